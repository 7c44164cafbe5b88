"""The short self-check that a device gets once for each version of fastnn and of its driver.

What it found is kept in a file of the cache folder. A kernel that computes something else than the CPU
backend gives a warning, at once and in every later process, but stops nothing: ``fastnn gpucheck`` says
more. ``FASTNN_GPU_SELFCHECK=0`` switches it off.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import limits, rates, selfcheck
from fastnn.backends.gpu.selfcheck import Check

SWITCH = "FASTNN_GPU_SELFCHECK"


def short() -> list[Check]:
    """Run the short form: some seconds, most of them NVRTC's."""
    adam = [rule for rule in selfcheck.RULES if str(rule) == "adam"]
    return [
        *selfcheck.check_ops(selfcheck.SHORT, ("float32",), each=False),
        *selfcheck.check_updates(adam, ("float32",)),
        *rates.check_capture(),
    ]


def once(folder: Path) -> None:
    """Check the device unless it has been checked; called at the first use of ``device='gpu'``.

    Parameters
    ----------
    folder : Path
        Where the result is kept.
    """
    if os.environ.get(SWITCH, "1") != "0":
        _once(folder)


@functools.cache
def _once(folder: Path) -> None:
    path = marker(folder)
    failures = _read(path)
    if failures is None:
        failures = record(short(), folder)
    if failures:
        named = "; ".join(failures[:3]) + ("; ..." if len(failures) > 3 else "")
        warnings.warn(
            f"{len(failures)} of fastnn's checks failed on this GPU, so results may be wrong: {named}. "
            f"Run `fastnn gpucheck`, which says what to report. ({path}; {SWITCH}=0 switches the check off.)",
            RuntimeWarning,
            stacklevel=2,
        )


def marker(folder: Path) -> Path:
    """Return the file for this version of fastnn and its sources, this device and driver."""
    device = limits.describe(compiling.cupy())
    digest = hashlib.sha256()
    ours = compiling.FOLDER.parent
    version = ours.parents[1] / "__init__.py"
    for path in (version, *sorted(ours.glob("*.py")), *sorted(compiling.FOLDER.glob("*.cu"))):
        digest.update(path.read_bytes())
    key = (device.name, device.capability, device.driver, device.runtime, device.compiler)
    digest.update("\n".join(key).encode())
    return folder / f"gpu-{digest.hexdigest()[:16]}.json"


def record(checks: Iterable[Check], folder: Path) -> list[str]:
    """Keep what checks found, for later processes; return the failures in words."""
    failures = [str(check) for check in checks if not check.ok]
    path = marker(folder)
    temporary = path.with_suffix(f".{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"failures": failures}), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        pass  # without a writable folder each process checks for itself
    return failures


def _read(path: Path) -> list[str] | None:
    try:
        return [str(line) for line in json.loads(path.read_text(encoding="utf-8"))["failures"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
