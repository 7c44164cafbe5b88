"""The environment a measured process gets, and the record of the machine. Standard library only."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

# Set together on some machines for the sake of old OpenBLAS builds; they hold a current one back.
REMOVED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def child_env(threads: int, cache_dir: str | None = None, device: str = "cpu") -> dict[str, str]:
    """The parent's environment, thread counts pinned; compiler caches in `cache_dir` if one is given."""
    env = {k: v for k, v in os.environ.items() if k not in REMOVED}
    for name in ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB", "BLIS", "NUMBA"):
        env[f"{name}_NUM_THREADS"] = str(threads)
    # Keep freed memory: without this, glibc gives large arrays back to the kernel at every step, and the
    # full-batch loops of NumPy and PyTorch spend up to a fourth of their time in page faults.
    env |= {"MALLOC_MMAP_THRESHOLD_": str(2**28), "MALLOC_TRIM_THRESHOLD_": str(2**30)}
    env["TF_NUM_INTRAOP_THREADS"] = env["TF_NUM_INTEROP_THREADS"] = str(threads)
    env["TF_CPP_MIN_LOG_LEVEL"] = "2"
    if device == "cpu":
        env |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    else:  # one device for all; neither TensorFlow nor JAX takes all of its memory, and nobody rounds to TF32
        env.setdefault("CUDA_VISIBLE_DEVICES", "0")
        env |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
                "NVIDIA_TF32_OVERRIDE": "0", "FASTNN_GPU_SELFCHECK": "0"}  # fmt: skip
    env["PYTHONHASHSEED"] = "0"
    if (
        threads == 1 and device == "cpu"
    ):  # JAX's documented way to one thread; with more, its pool follows the process's cores
        env["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    if cache_dir is not None:
        for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "FASTNN_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR",
                     "JAX_COMPILATION_CACHE_DIR"):  # fmt: skip
            env[name] = cache_dir
        env["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return env


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _git(*args: str) -> str | None:
    try:
        here = Path(__file__).parent
        done = subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def load() -> list[float]:
    return [round(x, 2) for x in os.getloadavg()]


def machine() -> dict[str, Any]:
    """What a reader needs to judge the figures: processor, caches, clock policy, load, our commit."""
    fields: dict[str, str] = {}
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    cpu0 = Path("/sys/devices/system/cpu/cpu0")
    caches = {}
    for index in sorted(cpu0.glob("cache/index*")):
        caches[f"L{_read(index / 'level')} {_read(index / 'type')}"] = _read(index / "size")
    flags = fields.get("flags", "").split()
    memory = (_read("/proc/meminfo") or "").partition("\n")[0]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": fields.get("model name", platform.processor()),
        "cpu_family_model_stepping": [fields.get(k) for k in ("cpu family", "model", "stepping")],
        "cores_visible": len(os.sched_getaffinity(0)),
        "threads_per_core": _threads_per_core(cpu0),
        "caches": caches,
        "vector_flags": [f for f in flags if f.startswith(("avx", "fma", "amx"))],
        "virtual_machine": "hypervisor" in flags,
        "governor": _read(cpu0 / "cpufreq/scaling_governor") or "not readable",
        "memory": memory.partition(":")[2].strip(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average": load(),
        "environment_removed": {name: os.environ.get(name) for name in REMOVED},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain")),
    }


def _threads_per_core(cpu0: Path) -> int | None:
    siblings = _read(cpu0 / "topology/thread_siblings_list")
    return None if siblings is None else len(siblings.replace("-", ",").split(","))
