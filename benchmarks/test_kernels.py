"""Our own fit steps under pytest-benchmark: `pytest benchmarks/ --benchmark-autosave --benchmark-compare`.

One thread, no rivals: for watching our speed from commit to commit. Figures for publication come from
`benchmarks.run`. Extra columns: microseconds a step. `-k quick` takes half a minute.
"""

from dataclasses import replace

import pytest

pytest.importorskip("pytest_benchmark")

from benchmarks.rivals import fastnn_
from benchmarks.rivals.fastnn_ import Model
from benchmarks.worker import make_crowd, predictions
from benchmarks.workloads import QUICK, WORKLOADS, initial_weights, make_data

GROUPS = ("training", "SimpleChains")  # the sweeps are for `benchmarks.run`


def of_kind(kind):
    """Parameters: the workloads of a kind, those of the smoke test with `quick` in their names."""
    chosen = [w for w in WORKLOADS.values() if w.kind == kind]
    if kind == "steps":
        chosen = [w for w in chosen if w.group in GROUPS or w.name in QUICK]
    return [pytest.param(w, id=w.name + "-quick" * (w.name in QUICK)) for w in chosen]


def record(benchmark, steps):
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info["us_per_step"] = 1e6 * benchmark.stats.stats.median / steps


@pytest.mark.parametrize("w", of_kind("steps"))
def test_epoch(benchmark, w):
    model = Model(w, *make_data(w), initial_weights(w), 1, "")
    epochs = 100 if not w.shuffle else 1  # a full-batch epoch is a single step
    benchmark.pedantic(model.train, (epochs,), warmup_rounds=2, rounds=7)
    record(benchmark, epochs * w.steps_per_epoch)


@pytest.mark.parametrize("w", of_kind("steps"))
def test_fit_call(benchmark, w):
    """What a call of `fit` costs apart from the steps: one epoch of a single batch."""
    rows = min(w.batch_size, 128)
    w = replace(w, rows=rows, batch_size=rows)
    model = Model(w, *make_data(w), initial_weights(w), 1, "")
    model.train(1)
    benchmark(model.train, 1)


@pytest.mark.parametrize("w", of_kind("fresh"))
def test_fresh_model(benchmark, w):
    X, y = make_data(w)
    start = initial_weights(w)

    def build_and_fit():
        Model(w, X, y, start, 1, "").train(w.epochs)

    benchmark.pedantic(build_and_fit, warmup_rounds=2, rounds=11)
    record(benchmark, w.epochs * w.steps_per_epoch)


@pytest.mark.parametrize("w", of_kind("many"))
def test_many_at_once(benchmark, w):
    crowd = make_crowd(fastnn_, w, *make_data(w), 1, "")
    benchmark.pedantic(crowd.train, (1,), warmup_rounds=2, rounds=7)
    record(benchmark, w.count * w.steps_per_epoch)


@pytest.mark.parametrize("w", of_kind("predict"))
def test_predict(benchmark, w):
    run, calls = predictions(fastnn_, w, *make_data(w), {"threads": 1, "variant": ""}, {})
    benchmark.pedantic(run, (1,), warmup_rounds=1, rounds=7)
    record(benchmark, calls)
