"""``fastnn doctor``: what is installed, what the machine offers, what is slow and why."""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
from typing import Any

import fastnn
from fastnn.backends.cpu import blas, profile
from fastnn.backends.cpu.executor import available_cores
from fastnn.cli import machine
from fastnn.cli.cache import describe_cache, other_versions, size_text
from fastnn.cli.terminal import plural, seconds

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "threadpoolctl", "tqdm")
OPTIONAL_PACKAGES = ("pandas", "pyarrow", "scikit-learn", "matplotlib")
#: Kernels of OpenBLAS for processors of long ago, chosen when it does not know the processor.
OLD_BLAS_KERNELS = ("prescott", "core2", "nehalem", "generic", "armv8")
SLOW_WARM_FIT, SLOW_COLD_FIT = 2.0, 20.0
MUCH_CACHE = 500 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--quick", action="store_true", help="do not time the first fit of a new process")


def run(args: argparse.Namespace) -> int:
    """Print the facts, then what is slow and why."""
    hints: list[str] = []
    print(f"fastnn {fastnn.__version__}")
    print(f"\nversions\n{_versions()}")
    print(f"\nmachine\n{_machine(hints)}")
    print(f"\nmatrix products\n{_blas(hints)}")
    print(f"\nkernels\n{_kernels(hints)}", flush=True)
    if not args.quick:
        print(f"\nfirst fit of a new process, imports included\n{_first_fit(hints)}")
    print("\nwhat is slow and why")
    for hint in hints or ["nothing found"]:
        print(f"  - {hint}")
    return 0


def _lines(pairs: list[tuple[str, str]]) -> str:
    return "\n".join(f"  {name:<14}{value}" for name, value in pairs)


def _versions() -> str:
    pairs = [
        ("python", f"{platform.python_version()} ({platform.python_implementation()}, {platform.system()})")
    ]
    pairs += [(name, machine.version_of(name)) for name in (*PACKAGES, *OPTIONAL_PACKAGES)]
    return _lines(pairs)


def _machine(hints: list[str]) -> str:
    name, flags = machine.processor()
    cores, quota, load = available_cores(), machine.core_quota(), machine.load()
    pairs = [("processor", name), ("vectors", machine.vector_width(flags))]
    pairs.append(
        ("cores", f"{cores} available of {os.cpu_count()}" + (f", limit {quota:g}" if quota else ""))
    )
    pairs.append(
        ("threads", f"up to {cores} in one fit, fewer for small networks; results do not depend on it")
    )
    near, far = (profile.bandwidth(size) / 1e9 for size in (16 << 10, profile.READS[-1]))
    pairs.append(("memory", f"{far:,.0f} GB/s at best, on one thread; {near:,.0f} in the first-level cache"))
    if load is not None:
        pairs.append(("load", f"{load:.1f} in the last minute"))
        if load > 0.5 + cores:
            hints.append(
                f"other programs keep the processor busy (load {load:.1f} on {plural(cores, 'core')})."
            )
    if quota is not None and quota < cores:
        hints.append(
            f"the container grants {quota:g} of {plural(cores, 'core')}: more threads than that wait for "
            f"each other. Pass threads={max(1, int(quota))} to fit."
        )
    if flags and not {"avx2", "asimd", "sve"} & flags:
        hints.append("the processor has no AVX2: kernels run at a half or less of the usual speed.")
    for variable in (
        "NUMBA_DISABLE_JIT",
        "NUMBA_OPT",
        "NUMBA_CPU_NAME",
        "NUMBA_CPU_FEATURES",
        "NUMBA_DEBUGINFO",
    ):
        if os.environ.get(variable):
            hints.append(f"{variable}={os.environ[variable]} changes how kernels are compiled. Unset it.")
    return _lines(pairs)


def _blas(hints: list[str]) -> str:
    libraries: list[dict[str, Any]] = [
        entry for entry in blas.record() if "scipy" in str(entry.get("filepath"))
    ]
    libraries = libraries or blas.record()
    pairs = []
    for entry in libraries[:1]:
        kernel = str(entry.get("architecture", "unknown"))
        pairs.append(("BLAS", f"{entry.get('internal_api')} {entry.get('version')}"))
        pairs.append(("its kernel", kernel))
        if kernel.lower() in OLD_BLAS_KERNELS:
            hints.append(f"BLAS did not know the processor and uses kernels for {kernel}: a newer scipy may.")
    forced = os.environ.get("OPENBLAS_CORETYPE")
    if forced:
        pairs.append(("forced", f"OPENBLAS_CORETYPE={forced}"))
        hints.append(
            f"OPENBLAS_CORETYPE={forced} forces the BLAS kernel: one not made for the processor multiplies "
            "matrices about three times slower. Unset it."
        )
    pairs = pairs or [("BLAS", "not found")]
    for dtype in ("float32", "float64"):
        pairs.append((dtype, f"{profile.gemm_rate(dtype) / 1e9:,.0f} GFLOP/s at best, on one thread"))
    return _lines(pairs)


def _kernels(hints: list[str]) -> str:
    text, folder = describe_cache()
    pairs = [("cache", text)]
    if folder is None:
        hints.append(
            "the kernel cache is not writable: every process compiles. Set FASTNN_CACHE_DIR to a folder."
        )
    count, size = other_versions()
    if count:
        pairs.append(("", f"{plural(count, 'folder')} of other versions beside it, {size_text(size)}"))
    if size > MUCH_CACHE:
        hints.append(f"the cache holds {size_text(size)} of other versions' kernels: they can be deleted.")
    return _lines(pairs)


def _first_fit(hints: list[str]) -> str:
    with tempfile.TemporaryDirectory(prefix="fastnn-doctor-") as folder:
        cold = machine.first_fit(folder)
        warm = machine.first_fit(folder)
    if cold > SLOW_COLD_FIT:
        hints.append(f"compiling a tiny network's kernels took {seconds(cold)}; 8 s is usual.")
    if warm > SLOW_WARM_FIT:
        hints.append(
            f"a new process needs {seconds(warm)} to its first fit with all kernels in the cache, mostly "
            "for imports: is the environment on a slow or network disk, or the processor busy?"
        )
    hints.append(
        f"a network with kernels not seen before waits for the compiler, {seconds(cold)} for a tiny one, "
        f"{seconds(warm)} from then on. `fastnn warmup` compiles everything ahead."
    )
    return _lines([("empty cache", seconds(cold)), ("warm cache", seconds(warm))])
