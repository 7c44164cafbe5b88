"""One rival on one workload in one process, driven line by line over a pipe. Started by `benchmarks.run`.

All kinds but "first_fit": import, build, check the quality, warm up, report; then at each "go" on standard
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
import resource  # noqa: E402
import sys  # noqa: E402
from collections.abc import Callable  # noqa: E402
from dataclasses import replace  # noqa: E402
from typing import Any  # noqa: E402

#: Epochs as long as this are timed without one before them: filling the caches again is a small part of them.
LONG_S = 0.25


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
    """`train(count)` makes and trains that many new models, of ever new widths if the workload says so.

    Of two hidden layers' widths one goes round, so that who makes many models does not make wide ones.
    """
    from benchmarks.workloads import initial_weights

    made = 0

    def train(count: int) -> None:
        nonlocal made
        for _ in range(count):
            made += 1
            one = w
            if w.vary_width:
                first, second = w.sizes[1] + made % 16, w.sizes[2] + made // 16
                one = replace(w, sizes=(w.sizes[0], first, second, *w.sizes[3:]))
            module.Model(one, X, y, initial_weights(one), threads, variant).train(w.epochs)

    return train


class Crowd:
    """Many models at once, for libraries without a way of their own: each trains in a thread."""

    def __init__(self, model: Any, w: Any, X: Any, y: Any, starts: list[Any], threads: int, variant: str):
        from concurrent.futures import ThreadPoolExecutor

        try:
            from threadpoolctl import threadpool_limits

            threadpool_limits(1)  # the threads are ours
        except ImportError:
            pass
        self.models = [model(w, X, y, start, 1, variant) for start in starts]
        self.pool = ThreadPoolExecutor(threads)

    def train(self, epochs: int) -> None:
        list(self.pool.map(lambda model: model.train(epochs), self.models))

    def weights(self) -> list[Any]:
        return [model.weights() for model in self.models]


def make_crowd(module: Any, w: Any, X: Any, y: Any, threads: int, variant: str) -> Any:
    from benchmarks.workloads import initial_weights

    starts = [initial_weights(replace(w, seed=w.seed + i)) for i in range(w.count)]
    own = getattr(module, "POPULATIONS", {}).get(variant) or getattr(module, "Population", None)
    if own is not None:
        return own(w, X, y, starts, threads, variant)
    return Crowd(module.Model, w, X, y, starts, threads, variant)


def peak_mb() -> float:
    """This process's largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(train: Callable[[int], None], units: int) -> tuple[float, float]:
    """Wall and processor seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    train(units)
    return time.perf_counter() - wall, time.process_time() - cpu


def calibrate(train: Callable[[int], None], min_time: float) -> int:
    """How many units (epochs or models) make a repeat of at least `min_time`. It is the warm-up too."""
    first, _ = timed(train, 1)
    units = 1
    while first < LONG_S:
        seconds, _ = timed(train, units)
        if seconds >= min_time:
            return units
        units = max(units + 1, math.ceil(units * min(20.0, 1.1 * min_time / seconds)))
    return units


def serve(job: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> None:
    module = importlib.import_module(f"benchmarks.rivals.{job['module']}")
    from benchmarks.workloads import WORKLOADS, fingerprint, make_data

    w, threads = WORKLOADS[job["workload"]], job["threads"]
    if hasattr(module, "setup"):
        module.setup(
            1 if w.kind == "many" and job["variant"] not in getattr(module, "POPULATIONS", {}) else threads
        )
    ready: dict[str, Any] = {"import_s": time.perf_counter() - STARTED}
    X, y = make_data(w)
    ready |= {"data": fingerprint(X, y), "data_mb": (X.nbytes + y.nbytes) / 2**20, "before_mb": peak_mb()}
    run, steps = (predictions if w.kind == "predict" else trainings)(module, w, X, y, job, ready)
    ready |= {
        "versions": versions(module.PACKAGES),
        "blas": blas(),
        "deviation": module.deviation(w, job["variant"]),
    }
    if w.kind == "first_fit":
        return send(ready)
    units, wall = calibrate(run, job["min_time"]), 0.0
    send(ready | {"units": units, "steps": units * steps})
    for line in sys.stdin:
        if line.strip() != "go":
            return None
        if w.kind not in ("fresh", "first_fit") and wall < LONG_S * units:
            run(1)  # caches were someone else's in the meantime
        wall, cpu = timed(run, units)
        send({"seconds": wall, "cpu_seconds": cpu})
    return None


def trainings(
    module: Any, w: Any, X: Any, y: Any, job: dict[str, Any], ready: dict[str, Any]
) -> tuple[Callable[[int], None], int]:
    """Checks the training into `ready`; returns what a repeat calls, and the steps of one unit of it."""
    from benchmarks.workloads import evaluate, initial_weights, make_data

    threads, variant = job["threads"], job["variant"]
    start = initial_weights(w)
    before = time.perf_counter()
    if w.kind == "many":
        model = make_crowd(module, w, X, y, threads, variant)
    else:
        model = module.Model(w, X, y, start, threads, variant)
    model.train(w.epochs)
    now = time.perf_counter()
    ready |= {"first_call_s": now - before, "first_fit_s": now - STARTED}
    if w.check_epochs > w.epochs:
        model.train(w.check_epochs - w.epochs)
    ready["peak_mb"] = peak_mb()  # before the judge's float64
    final = model.weights() if w.kind == "many" else [model.weights()]
    held_out = make_data(w, held_out=True)
    ready["start_loss"] = evaluate(w, start, X, y)
    ready["final_loss"] = sum(evaluate(w, one, X, y) for one in final) / len(final)
    ready["held_out_loss"] = sum(evaluate(w, one, *held_out) for one in final) / len(final)
    if w.kind == "fresh":
        return fresh_models(module, w, X, y, threads, variant), w.steps_per_epoch * w.epochs
    return model.train, w.steps_per_epoch * w.count


def predictions(
    module: Any, w: Any, X: Any, y: Any, job: dict[str, Any], ready: dict[str, Any]
) -> tuple[Callable[[int], None], int]:
    """The same for predictions: all calls over the table are one unit, a call is a step."""
    import numpy as np

    from benchmarks.rivals import Unsupported
    from benchmarks.workloads import initial_weights, prediction_error

    if not hasattr(module.Model, "predict"):
        raise Unsupported("does not predict here")
    start = initial_weights(w)
    parts = [X[first : first + w.batch_size] for first in range(0, w.rows, w.batch_size)]
    before = time.perf_counter()
    model = module.Model(w, X, y, start, job["threads"], job["variant"])
    model.predict(parts[0])
    ready["first_call_s"] = time.perf_counter() - before
    answers = np.concatenate([model.predict(part) for part in parts])
    ready["peak_mb"] = peak_mb()
    ready["prediction_error"] = prediction_error(w, start, X, answers)

    def run(count: int) -> None:
        for _ in range(count):
            for part in parts:
                model.predict(part)

    return run, len(parts)


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
        if job["module"] == "limits":
            send(importlib.import_module("benchmarks.limits").measure())
        elif job["module"] == "bandwidth":
            rate = importlib.import_module("benchmarks.limits").bandwidth(job["threads"])
            send({str(job["threads"]): rate})
        elif job["module"] == "our_limits":
            send(importlib.import_module("benchmarks.limits").measure_ours())
        elif job["module"] == "gpu_limits":
            gpu_limits(send)
        elif job["module"] == "profile":
            send(importlib.import_module("benchmarks.profile_step").measure(job["workload"], job["threads"]))
        else:
            serve(job, send)
    except Unsupported as reason:
        send({"unsupported": str(reason)})


if __name__ == "__main__":
    main()
