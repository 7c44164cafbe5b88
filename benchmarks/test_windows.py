"""Training on windows that are gathered lazily, beside the same table as an array.

    pytest benchmarks/test_windows.py --benchmark-only

The windows of 3,313 stocks over 118 months: 24 returns, newest first, one-hot month and year, 308,109 rows of
44 numbers in float32 (54 MB as an array, of which the panel is 1.6 MB). Both trainings give the same weights;
the ratio compares one epoch of 44-64-64-1, relu, dropout .5, Adam, batch 32.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")

from fastnn import Sequential, layers
from fastnn.data import Gathered, Part

STOCKS, MONTHS, LAGS, YEARS = 3_313, 118, 24, 8
ROWS = 308_109
#: Least speed of the lazy epoch, as a share of the array's.
AIM = 0.85


def windows():
    """Return the table in parts, and labels."""
    rng = np.random.default_rng(0)
    panel = rng.standard_normal(STOCKS * MONTHS, dtype=np.float32)
    view = np.lib.stride_tricks.sliding_window_view(panel, LAGS)[:, ::-1]
    stock, month = np.divmod(np.arange(STOCKS * (MONTHS - LAGS)), MONTHS - LAGS)
    stock, month = stock[:ROWS].astype(np.int32), month[:ROWS].astype(np.int32)
    returns = Part(view, stock * MONTHS + month, low=-3, high=3, mean=0.01, scale=1.1)
    calendar = np.eye(12, dtype=np.float32), np.eye(YEARS, dtype=np.float32)
    x = Gathered([returns, Part(calendar[0], month % 12), Part(calendar[1], month // 12)])
    return x, rng.integers(0, 2, ROWS).astype(np.float32)


def network():
    dense = [layers.Dense(64, "relu", input_shape=(44,)), layers.Dropout(0.5)]
    dense += [layers.Dense(64, "relu"), layers.Dropout(0.5), layers.Dense(1, "sigmoid")]
    model = Sequential(dense, seed=1)
    model.compile("adam", "binary_crossentropy")
    return model


def test_epoch_over_windows(benchmark):
    x, y = windows()
    tables = {"lazy": x, "array": np.asarray(x)}
    models = {name: network() for name in tables}
    seconds: dict[str, list[float]] = {name: [] for name in tables}

    def epochs():
        for name, table in tables.items():  # by turns, so that both meet the same load
            start = time.perf_counter()
            models[name].fit(table, y, batch_size=32, verbose=0, threads=1)
            seconds[name].append(time.perf_counter() - start)

    benchmark.pedantic(epochs, warmup_rounds=1, rounds=5)
    for one, other in zip(models["lazy"].get_weights(), models["array"].get_weights(), strict=True):
        assert np.array_equal(one, other)
    if benchmark.stats is not None:  # None under --benchmark-disable
        best = {name: min(times[1:]) for name, times in seconds.items()}
        share = best["array"] / best["lazy"]
        benchmark.extra_info.update(
            lazy_seconds=best["lazy"], array_seconds=best["array"], speed_of_lazy=share, aim=AIM
        )
        assert share >= AIM


def test_check_of_windows(benchmark):
    """What a call of `fit` costs before the first step: checks and plans."""
    x, y = windows()
    model = network()
    model.fit(x, y, steps_per_epoch=1, verbose=0)
    benchmark(model.fit, x, y, steps_per_epoch=1, verbose=0)
