"""``fastnn gpucheck``: does this GPU compute what the CPU does, and how fast."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterable, Iterator
from itertools import chain

from tqdm import tqdm

import fastnn
from fastnn import backends
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import expected, first_use, rates, selfcheck
from fastnn.backends.gpu.limits import Limits, describe
from fastnn.backends.gpu.selfcheck import Check
from fastnn.cli import gpu_trainings, machine
from fastnn.cli.terminal import names, plural, seconds, table

PACKAGES = ("numpy", "numba", "llvmlite", "cupy-cuda13x", "cupy-cuda12x", "nvidia-cuda-nvrtc")
VARIABLES = ("CUPY_TF32", "CUPY_ACCELERATORS", "CUDA_VISIBLE_DEVICES", "CUDA_PATH", "NVIDIA_TF32_OVERRIDE")
#: (rows, inputs, units) on which cuBLAS and our kernel are compared.
PRODUCTS = ((32, 45, 64), (512, 64, 64), (1000, 129, 257), (8192, 512, 1024))
UPDATED, UPDATED_QUICK = 1 << 24, 1 << 20
ROWS, ROWS_QUICK = 1 << 20, 1 << 16
GROUPS = {
    "ops": "ops, forward and gradient", "updates": "optimizer updates", "products": "matrix products",
    "capture": "CUDA graphs", "training": "whole trainings",
}  # fmt: skip
FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--quick", action="store_true", help="float32, fewer samples of each op, smaller arrays"
    )
    parser.add_argument("--ops", type=names, default=(), help="only these ops, such as dense,relu_grad")
    parser.add_argument("--all", action="store_true", help="a line for each op, not only those that fail")


def run(args: argparse.Namespace) -> int:
    """Check, time, print; 0 if every check passed, else 1."""
    started = time.perf_counter()
    limits = describe(compiling.cupy())
    print(f"fastnn {fastnn.__version__} on {_device(limits)}\n", flush=True)
    checks = list(tqdm(_checks(args), unit=" checks", disable=None, leave=False))
    print(f"results beside the CPU's\n{results(checks, args.all)}\n", flush=True)
    if not args.ops:
        print(f"speed\n{speed(list(_timings(args.quick, limits)))}\n")
        if not args.quick:
            print(f"training steps, beside the plan for an H100 (docs/gpu.md)\n{steps(expected.STEPS)}\n")
        first_use.record(checks, backends.cache_root())
    failures = [check for check in checks if not check.ok]
    took = seconds(time.perf_counter() - started)
    if not failures:
        print(f"all {plural(len(checks), 'check')} passed, in {took}")
        return 0
    print(report(limits, failures, len(checks)))
    return FAILED


def _checks(args: argparse.Namespace) -> Iterator[Check]:
    dtypes = ("float32",) if args.quick else ("float32", "float64")
    ops = selfcheck.check_ops(args.ops or None, dtypes, each=not args.quick)
    if args.ops:
        return ops
    return chain(
        ops,
        selfcheck.check_updates(dtypes=dtypes),
        rates.check_products(PRODUCTS),
        rates.check_capture(),
        gpu_trainings.check_trainings(quick=args.quick),
    )


def _timings(quick: bool, limits: Limits) -> Iterator[rates.Timing]:
    yield rates.measure_launch(limits)
    for case in rates.cases(ROWS_QUICK if quick else ROWS):
        yield rates.measure(case, limits)
    yield rates.measure_update(UPDATED_QUICK if quick else UPDATED, limits)
    for extents in PRODUCTS:
        yield rates.measure_product(extents, limits)


def _device(limits: Limits) -> str:
    return (
        f"{limits.name}: compute capability {limits.capability}, {limits.multiprocessors} multiprocessors, "
        f"{limits.memory / 2**30:.1f} GiB; driver for CUDA {limits.driver}, CuPy for {limits.runtime}, "
        f"NVRTC {limits.compiler}\n"
        f"at most {limits.bandwidth / 1e9:,.0f} GB/s, {limits.flops / 1e9:,.0f} GFLOP/s in float32, "
        f"{limits.flops64 / 1e9:,.0f} in float64 (clock x lanes, without tensor cores; 0: not known)"
    )


def results(checks: Iterable[Check], every: bool = False) -> str:
    """Return the table of errors: a line for each kind of check, and for each op that fails (or every op)."""
    lines: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        lines.setdefault((check.group, ""), []).append(check)
        if every or not check.ok or check.group == "training":
            lines.setdefault((check.group, check.name), []).append(check)
    order = list(GROUPS)
    rows = []
    for (group, name), found in sorted(lines.items(), key=lambda item: (order.index(item[0][0]), item[0][1])):
        worst = max(found, key=lambda check: check.error / (check.tolerance or 1e-300))
        failed = sum(not check.ok for check in found)
        allowed = f"{worst.tolerance:.0e}" if worst.tolerance else "same bits"
        verdict = f"{failed} FAIL" if failed else "ok"
        title = f"  {name}" if name else GROUPS[group]
        rows.append([title, f"{len(found):,}", f"{worst.error:.1e}", allowed, verdict])
    return table(["", "cases", "largest error", "allowed", ""], rows)


def speed(timings: Iterable[rates.Timing]) -> str:
    """Return the table of times, bandwidths and flops beside what the device could do at most."""
    rows = []
    for t in timings:
        rows.append([
            t.name, t.case, f"{1e6 * t.seconds:,.1f}", f"{t.work.bytes / t.seconds / 1e9:,.1f}",
            _share(t.memory, t.seconds), f"{t.work.flops / t.seconds / 1e9:,.1f}",
            _share(t.arithmetic, t.seconds),
        ])  # fmt: skip
    return table(["kernel", "", "us", "GB/s", "of limit", "GFLOP/s", "of limit"], rows)


def steps(of: Iterable[expected.Step]) -> str:
    """Return the table of training steps: regime, time, and what the plan on paper expects of an H100."""
    rows = []
    for step in of:
        regime, took = gpu_trainings.time_step(step)
        rows.append([step.name, regime, f"{1e6 * took:,.1f}", f"{1e6 * expected.plan(step).expected:,.1f}"])
    return table(["step", "regime", "us", "planned us"], rows)


def _share(floor: float, took: float) -> str:
    return f"{floor / took:.0%}" if floor else "-"


def report(limits: Limits, failures: list[Check], total: int) -> str:
    """Return what to report where something is off: versions, device, driver, the checks that failed."""
    versions = [f"{name} {machine.version_of(name)}" for name in PACKAGES]
    settings = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    lines = [
        f"fastnn {fastnn.__version__}, python {platform.python_version()}, {platform.platform()}",
        ", ".join(version for version in versions if not version.endswith("not installed")),
        _device(limits),
        *([" ".join(settings)] if settings else []),
        f"{len(failures)} of {total} checks failed:",
        *(f"  {check}" for check in failures),
    ]
    rule = "-" * 78
    return (
        "Something is off: this GPU computes something else than the CPU. Train with device='cpu', and\n"
        "please report it with what stands between the lines (a newer driver may help):\n"
        f"{rule}\n" + "\n".join(lines) + f"\n{rule}"
    )
