"""One rival on one workload in one process, driven line by line over a pipe. Started by `benchmarks.run`.

Kinds "steps" and "fresh": import, build, check the quality, warm up, report; then at each "go" on standard
input time one repeat and report it. So the runner can let all rivals take turns, and the machine's noise hits
all alike.
Kind "first_fit": no turns, the process's life is the measurement.
"""

from __future__ import annotations

import time

STARTED = time.perf_counter()  # before NumPy: "first fit" counts from a user's first import

import importlib  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import replace  # noqa: E402
from typing import Any  # noqa: E402


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": sys.version.split()[0]}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def blas() -> list[dict[str, Any]]:
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    wanted = ("internal_api", "version", "architecture", "num_threads", "threading_layer")
    return [{k: lib[k] for k in wanted if k in lib} for lib in threadpool_info()]


def fresh_models(module: Any, w: Any, X: Any, y: Any, threads: int, variant: str) -> Callable[[int], None]:
    """`train(count)` makes and trains that many new models, of ever new widths if the workload says so."""
    from benchmarks.workloads import initial_weights

    made = 0

    def train(count: int) -> None:
        nonlocal made
        for _ in range(count):
            made += 1
            one = w
            if w.vary_width:  # strictly new shapes every time
                one = replace(w, sizes=(w.sizes[0], w.sizes[1] + made, *w.sizes[2:]))
            module.Model(one, X, y, initial_weights(one), threads, variant).train(w.epochs)

    return train


def timed(train: Callable[[int], None], units: int) -> tuple[float, float]:
    """Wall and processor seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    train(units)
    return time.perf_counter() - wall, time.process_time() - cpu


def calibrate(train: Callable[[int], None], min_time: float) -> int:
    """How many units (epochs or models) make a repeat of at least `min_time`. It is the warm-up too."""
    timed(train, 1)
    units = 1
    while True:
        seconds, _ = timed(train, units)
        if seconds >= min_time:
            return units
        units = max(units + 1, math.ceil(units * min(20.0, 1.1 * min_time / seconds)))


def serve(job: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    module = importlib.import_module(f"benchmarks.rivals.{job['module']}")
    from benchmarks.workloads import WORKLOADS, evaluate, fingerprint, initial_weights, make_data

    w, threads, variant = WORKLOADS[job["workload"]], job["threads"], job["variant"]
    if hasattr(module, "setup"):
        module.setup(threads)
    imported = time.perf_counter() - STARTED
    X, y = make_data(w)
    start = initial_weights(w)

    before = time.perf_counter()
    model = module.Model(w, X, y, start, threads, variant)
    model.train(w.epochs)
    now = time.perf_counter()
    ready: dict[str, Any] = {
        "import_s": imported,
        "first_call_s": now - before,
        "first_fit_s": now - STARTED,
        "deviation": module.deviation(w, variant),
        "data": fingerprint(X, y),
        "versions": versions(module.PACKAGES),
        "blas": blas(),
    }
    if w.check_epochs > w.epochs:
        model.train(w.check_epochs - w.epochs)
    final = model.weights()
    ready["start_loss"] = evaluate(w, start, X, y)
    ready["final_loss"] = evaluate(w, final, X, y)
    ready["held_out_loss"] = evaluate(w, final, *make_data(w, held_out=True))
    if w.kind == "first_fit":
        return send(ready)

    train, steps = model.train, w.steps_per_epoch
    if w.kind == "fresh":
        train, steps = fresh_models(module, w, X, y, threads, variant), steps * w.epochs
    units = calibrate(train, job["min_time"])
    send(ready | {"units": units, "steps": units * steps})
    for line in sys.stdin:
        if line.strip() != "go":
            return None
        if w.kind == "steps":
            train(1)  # caches were someone else's in the meantime
        wall, cpu = timed(train, units)
        send({"seconds": wall, "cpu_seconds": cpu})
    return None


def gemm_peak(send: Callable[[dict[str, Any]], None], size: int = 1024, seconds: float = 2.0) -> None:
    """This core's best GFLOP/s in NumPy's matrix product, single and double precision."""
    import numpy as np

    best = {}
    for dtype in ("float32", "float64"):
        A = np.random.default_rng(0).normal(size=(size, size)).astype(dtype)
        out, fastest, end = A @ A, math.inf, time.perf_counter() + seconds
        while time.perf_counter() < end:
            begin = time.perf_counter()
            np.dot(A, A, out)
            fastest = min(fastest, time.perf_counter() - begin)
        best[dtype] = 2 * size**3 / fastest / 1e9
    send({"gflops": best, "size": size, "blas": blas(), "versions": versions(("numpy",))})


def gpu_limits(send: Callable[[dict[str, Any]], None]) -> None:
    """The device's name, driver and limits as its driver states them: the floors are counted from these."""
    from fastnn.backends.gpu.compile import cupy
    from fastnn.backends.gpu.limits import describe

    send(describe(cupy())._asdict())


def main() -> None:
    job = json.loads(sys.argv[1])
    os.sched_setaffinity(0, job["cpus"])  # before any library counts the cores
    # Libraries print; the pipe is for us alone, and their words go to the log.
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        pipe.write(json.dumps(message) + "\n")

    from benchmarks.rivals import Unsupported

    try:
        if job["module"] == "gemm_peak":
            gemm_peak(send)
        elif job["module"] == "gpu_limits":
            gpu_limits(send)
        else:
            serve(job, send)
    except Unsupported as reason:
        send({"unsupported": str(reason)})


if __name__ == "__main__":
    main()
