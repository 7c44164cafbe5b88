"""What the default callbacks cost a fit of 45-64-64-1 at batch 32, to be read as a ratio within each group.

Aim: under 3 % on the full table. The short table, where an epoch takes some 0.5 ms, shows the cost an epoch:
without callbacks many of its epochs run in one compiled call.
"""

from dataclasses import replace

import pytest

pytest.importorskip("pytest_benchmark")

from benchmarks.rivals.fastnn_ import Model
from benchmarks.workloads import WORKLOADS, initial_weights, make_data
from fastnn.callbacks import Callback, CSVLogger, EarlyStopping, History, ReduceLROnPlateau

W = WORKLOADS["returns_b32_nodropout"]
EPOCHS = {W.rows: 5, 2_000: 160}


def none(folder):
    return None


def default(folder):
    """Return the default callbacks; none of them ever decides, so that all trainings are the same."""
    return [
        EarlyStopping("loss", patience=10**6, restore_best_weights=True),
        ReduceLROnPlateau("loss", patience=10**6),
        History(),
        CSVLogger(folder / "log.csv"),
    ]


def every_100_batches(folder):
    """Return a callback that asks for a few batches."""

    class Watch(Callback):
        batch_interval = 100

        def on_train_batch_end(self, batch, logs=None):
            self.loss = logs["loss"]

    return [Watch()]


@pytest.mark.parametrize("callbacks", [none, default, every_100_batches], ids=lambda make: make.__name__)
@pytest.mark.parametrize("rows", EPOCHS)
def test_fit(benchmark, rows, callbacks, tmp_path):
    w = replace(W, rows=rows)
    model = Model(w, *make_data(w), initial_weights(w), 1, "")
    benchmark.group = f"{rows} rows"

    def train():
        model.model.fit(
            model.X, model.y, epochs=EPOCHS[rows], callbacks=callbacks(tmp_path), **model.fit
        )  # fmt: skip

    benchmark.pedantic(train, warmup_rounds=1, rounds=9)
    if benchmark.stats is not None:  # None under --benchmark-disable
        benchmark.extra_info["us_per_epoch"] = 1e6 * benchmark.stats.stats.median / EPOCHS[rows]
