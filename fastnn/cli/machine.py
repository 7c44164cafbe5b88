"""Facts about the machine and the installation."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import fastnn

#: A new process trains a tiny model; it prints seconds for imports and for the first fit.
FIRST_FIT = """
import time
started = time.perf_counter()
import numpy as np
from fastnn import Sequential, layers
X = np.linspace(0, 1, 4000, dtype=np.float32).reshape(1000, 4)
model = Sequential([layers.Dense(16, activation="relu", input_shape=(4,)), layers.Dense(1)], seed=1)
model.compile(optimizer="adam", loss="mse")
model.fit(X, X[:, :1], epochs=1, verbose=0)
print(time.perf_counter() - started)
"""
SECONDS_TO_GIVE_UP = 300


def version_of(package: str) -> str:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def processor() -> tuple[str, set[str]]:
    """Return the processor's name and its instruction sets (empty where the system does not tell)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    fields = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))
    }
    flags = fields.get("flags", fields.get("Features", ""))
    return fields.get("model name", platform.machine()), set(flags.split())


def vector_width(flags: set[str]) -> str:
    """Name the widest vector instructions.

    Examples
    --------
    >>> vector_width({"sse2", "avx2", "fma"})
    'AVX2 (8 float32 at a time)'
    """
    if "avx512f" in flags:
        return "AVX-512 (16 float32 at a time)"
    if "avx2" in flags:
        return "AVX2 (8 float32 at a time)"
    if {"sve", "asimd"} & flags:
        return "SVE" if "sve" in flags else "NEON (4 float32 at a time)"
    return "SSE (4 float32 at a time)" if "sse2" in flags else "unknown"


def core_quota() -> float | None:
    """Return how many cores a container's limit grants (None: no limit known)."""
    for path in ("/sys/fs/cgroup/cpu.max",):
        try:
            quota, period = Path(path).read_text().split()
        except (OSError, ValueError):
            continue
        return None if quota == "max" else int(quota) / int(period)
    try:
        limit = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text())
        period_us = int(Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return limit / period_us if limit > 0 else None


def load() -> float | None:
    """Return how many programs wanted a core over the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def first_fit(cache: str | None = None) -> float:
    """Time the first fit of a new process, imports included.

    Parameters
    ----------
    cache : str, optional
        The folder of its kernel cache; the user's own by default.

    Raises
    ------
    OSError
        If the process fails.
    """
    environment = dict(os.environ)
    if cache is not None:
        environment["FASTNN_CACHE_DIR"] = cache
    home = str(Path(fastnn.__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [home, environment.get("PYTHONPATH")]))
    command = [sys.executable, "-c", FIRST_FIT]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=SECONDS_TO_GIVE_UP
        )
    except subprocess.TimeoutExpired:
        raise OSError(f"the first fit of a new process took more than {SECONDS_TO_GIVE_UP} s") from None
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise OSError(f"a new process could not train: {reason[0]}")
    return float(done.stdout.split()[-1])
