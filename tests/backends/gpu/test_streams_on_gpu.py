"""Rows that are read piece by piece, trained on a device that the CPU plays, beside the CPU's training."""

import itertools
import shutil

import numpy as np
import pandas as pd
import pytest
from gpu_fake import fake_gpu

from fastnn.callbacks import LambdaCallback
from fastnn.data import ArraySource, FileSource, PyDataset
from fastnn.layers import Dense, Dropout, Input
from fastnn.models import Sequential
from fastnn.training import feed as feeding

if shutil.which("g++") is None:
    pytest.skip("kernels run on the CPU by way of g++, which is missing", allow_module_level=True)

ROWS, COLUMNS = 403, 5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, COLUMNS)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.float32)
WEIGHT = RNG.random(ROWS).astype(np.float32)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setenv("FASTNN_GPU_SELFCHECK", "0")
    with fake_gpu(regime=None) as cp:
        yield cp


def network(device, width=8, metrics=("accuracy",)):
    hidden = [Dense(width, "relu"), Dropout(0.2), Dense(width, "tanh")]
    model = Sequential([Input((COLUMNS,)), *hidden, Dense(1, "sigmoid")], seed=1, dtype="float64")
    model.compile("adam", "binary_crossentropy", metrics=list(metrics), device=device)
    return model


def source(window=96):
    """Blocks of 96 rows: three batches of 32 each, and a short one at the end."""
    return ArraySource(X, Y, WEIGHT, window=window)


def trained(device, data, width=8, metrics=("accuracy",), **options):
    model = network(device, width, metrics)
    history = model.fit(data(), **{"epochs": 3, "verbose": 0, **options}).history
    return model, history


def compare(data, **options):
    model, history = trained("gpu", data, **options)
    expected, log = trained("cpu", data, **options)
    for found, wanted in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)
    assert history.keys() == log.keys()
    for name, values in log.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-9, err_msg=name)
    return model


@pytest.mark.parametrize("regime", ["resident", "fused", "library", "generic"])
def test_a_training_is_the_cpus_in_every_regime(gpu, regime):
    from fastnn.backends.gpu import regimes

    with regimes.preferred(regime):
        model = compare(
            source, width=70 if regime == "library" else 8, validation_data=source(64), batch_size=32
        )
    assert f"regime {regime!r}" in str(model.device_choice)


def test_in_the_order_of_the_rows(gpu):
    model = compare(source, batch_size=50, shuffle=False, metrics=["AUC"])
    arrays = network("gpu", metrics=["AUC"])
    arrays.fit(X, Y, sample_weight=WEIGHT, batch_size=50, shuffle=False, epochs=3, verbose=0)
    for found, wanted in zip(model.get_weights(), arrays.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)  # where blocks end makes no difference


def test_a_file_of_row_groups(gpu, tmp_path):
    table = pd.DataFrame(X, columns=list("abcde")).assign(y=Y)
    table.to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    compare(lambda: FileSource(tmp_path / "rows.parquet", y="y", window=100), batch_size=30)


SIZES = (32, 32, 20, 20, 31, 7, 32, 32)


class Uneven(PyDataset):
    """Batches of several sizes, none larger than the first."""

    def __init__(self):
        super().__init__()
        self.ends = list(itertools.accumulate(SIZES))

    def __len__(self):
        return len(SIZES)

    def __getitem__(self, number):
        rows = slice(self.ends[number] - SIZES[number], self.ends[number])
        return X[rows], Y[rows]


@pytest.mark.parametrize("regime", ["resident", "fused", "generic"])
def test_batches_of_several_sizes(gpu, monkeypatch, regime):
    from fastnn.backends.gpu import compile as compiling
    from fastnn.backends.gpu import regimes

    compiled, function = set(), compiling.function

    def asked(variant, name):
        compiled.add(variant)
        return function(variant, name)

    with monkeypatch.context() as patched, regimes.preferred(regime):
        patched.setattr(compiling, "function", asked)
        compare(Uneven)
    # Of the largest batch: nothing is compiled for a smaller one.
    assert sum(variant.source == regime for variant in compiled) == (regime != "generic")


def test_batches_whose_end_is_not_known(gpu):
    def batches():
        return ((X[at : at + 40], Y[at : at + 40]) for at in range(0, ROWS, 40))

    compare(batches, epochs=1)


def test_evaluate_and_predict(gpu):
    def batch_by_batch():
        seen = []
        return seen, LambdaCallback(
            on_test_batch_end=lambda batch, logs: seen.append(logs["loss"]),
            on_predict_batch_end=lambda batch, logs: seen.append(logs["outputs"].sum()),
        )

    found = {}
    for device in ("gpu", "cpu"):
        model, (seen, callback) = network(device, metrics=["accuracy", "AUC"]), batch_by_batch()
        found[device] = [
            *model.evaluate(source(), verbose=0),
            *model.evaluate(source(), batch_size=40, callbacks=[callback], verbose=0),
            *model.predict(ArraySource(X, window=96), verbose=0).ravel(),
            *model.predict(ArraySource(X, window=96), batch_size=40, callbacks=[callback], verbose=0).ravel(),
            *seen,
        ]
        assert len(seen) > 2 * ROWS // 40
    np.testing.assert_allclose(found["gpu"], found["cpu"], rtol=1e-9)


def test_a_block_takes_no_memory_of_its_own(gpu, monkeypatch):
    opened = []
    load = feeding.Feed.take

    def take(feed):
        opened.append(gpu.stats["allocs"])
        return load(feed)

    monkeypatch.setattr(feeding.Feed, "take", take)
    trained("gpu", source, batch_size=32)
    assert len(opened) == 15 and len(set(opened[2:])) == 1  # the first steps compile and capture


@pytest.mark.parametrize("device", ["gpu", "auto"])
def test_the_device_is_chosen_by_the_rows(gpu, device):
    model, _ = trained(device, source, batch_size=32, epochs=1)
    assert model.device_choice.device == {"gpu": "gpu", "auto": "cpu"}[device]  # so few rows: the CPU
    for use in (model.evaluate, model.predict):
        use(source() if use == model.evaluate else ArraySource(X), verbose=0)
