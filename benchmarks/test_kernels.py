"""Our own fit steps under pytest-benchmark: `pytest benchmarks/ --benchmark-autosave --benchmark-compare`.

One thread, no rivals: for watching our speed from commit to commit. Figures for publication come from
`benchmarks.run`. Extra columns: microseconds a step.
"""

from dataclasses import replace

import pytest

pytest.importorskip("pytest_benchmark")

from benchmarks.rivals.fastnn_ import Model
from benchmarks.workloads import WORKLOADS, initial_weights, make_data

STEPS = [w for w in WORKLOADS.values() if w.kind == "steps"]
FRESH = [w for w in WORKLOADS.values() if w.kind == "fresh"]


def record(benchmark, steps):
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info["us_per_step"] = 1e6 * benchmark.stats.stats.median / steps


@pytest.mark.parametrize("w", STEPS, ids=lambda w: w.name)
def test_epoch(benchmark, w):
    model = Model(w, *make_data(w), initial_weights(w), 1, "")
    epochs = 100 if not w.shuffle else 1  # a full-batch epoch is a single step
    benchmark.pedantic(model.train, (epochs,), warmup_rounds=2, rounds=7)
    record(benchmark, epochs * w.steps_per_epoch)


@pytest.mark.parametrize("w", STEPS, ids=lambda w: w.name)
def test_fit_call(benchmark, w):
    """What a call of `fit` costs apart from the steps: one epoch of a single batch."""
    rows = min(w.batch_size, 128)
    w = replace(w, rows=rows, batch_size=rows)
    model = Model(w, *make_data(w), initial_weights(w), 1, "")
    model.train(1)
    benchmark(model.train, 1)


@pytest.mark.parametrize("w", FRESH, ids=lambda w: w.name)
def test_fresh_model(benchmark, w):
    X, y = make_data(w)
    start = initial_weights(w)

    def build_and_fit():
        Model(w, X, y, start, 1, "").train(w.epochs)

    benchmark.pedantic(build_and_fit, warmup_rounds=2, rounds=11)
    record(benchmark, w.epochs * w.steps_per_epoch)
