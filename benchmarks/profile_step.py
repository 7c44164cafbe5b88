"""Where a training step's time goes: `python -m benchmarks.profile_step returns_b32 [...]`.

Runs each instruction of a workload's program alone, many times, on the memory of a real training, and
prints its best time, how often a step runs it, and its share; then the floor that this core's measured GEMM
peak sets. Unset OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE first, as benchmarks.run does.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.linalg.blas import sgemm

from benchmarks.rivals.fastnn_ import Model
from benchmarks.workloads import WORKLOADS, make_data
from fastnn.backends.cpu import registers
from fastnn.backends.cpu.blas import one_thread
from fastnn.backends.cpu.jit import call_kernel, compile_kernel, pointer
from fastnn.training.table import read_table
from fastnn.training.trainer import Training


def _repeat(q, r):
    row = pointer(q[0])
    for _ in range(q[1]):
        call_kernel(row[0], row, r)


def best_seconds(row: np.ndarray, r: np.ndarray, budget: float = 0.05) -> float:
    """Return the best time of one table row, of many short runs."""
    repeat = compile_kernel("benchmark_repeat", lambda: _repeat).call
    q = np.array([row.ctypes.data, 1])
    best, started = np.inf, time.perf_counter()
    while time.perf_counter() - started < budget:
        begun = time.perf_counter()
        repeat(q.ctypes.data, r.ctypes.data)
        best = min(best, (time.perf_counter() - begun) / q[1])
        q[1] = max(1, int(2e-4 / best))
    return best


def gemm_peak(side: int = 1024) -> float:
    """Return the float32 operations a second of the best of several large products."""
    a = np.asfortranarray(np.random.default_rng(0).standard_normal((side, side)), np.float32)
    best = np.inf
    for _ in range(7):
        begun = time.perf_counter()
        sgemm(1.0, a, a)
        best = min(best, time.perf_counter() - begun)
    return 2 * side**3 / best


def profile(name: str) -> None:
    """Print the profile of a workload."""
    w = WORKLOADS[name]
    model = Model(w, *make_data(w), None, 1, "")
    table = read_table(model.model, model.X, model.y)
    training = Training(model.model, table, w.batch_size, w.shuffle, threads=1)
    session = training.session
    with one_thread():
        floor = w.step_flops / gemm_peak() * 1e6
        session.run(20, 1)
        r = session._r[0]
        batch = training.batch_size
        r[registers.ROWS] = min(session.block, batch)
        r[registers.FIRST] = 0
        blocks = -(-batch // session.block)
        rows = []
        for table_rows, template, times in (
            (session._table[0], session._linked.block, blocks),
            (session._update, session._linked.update, 1),
        ):
            for row, kernel in zip(table_rows, template.kernels, strict=True):
                rows.append((kernel.key, times, best_seconds(row.copy(), r) * 1e6))
    total = sum(times * us for _, times, us in rows)
    print(f"\n{name}: {blocks} block(s) of {session.block} rows, {session.lanes} lane(s), one thread")
    for key, times, us in rows:
        print(f"  {us:9.3f} us x {times:<3d} {100 * times * us / total:5.1f} %  {key}")
    products = sum(
        times * us for key, times, us in rows if "gemm" in key or key.startswith(("units_", "column_"))
    )
    print(f"  {total:9.2f} us a step, {products:.2f} in products (floor at this core's peak: {floor:.2f})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "workloads", nargs="+", choices=[w.name for w in WORKLOADS.values() if w.kind == "steps"]
    )
    for name in parser.parse_args().workloads:
        profile(name)


if __name__ == "__main__":
    main()
