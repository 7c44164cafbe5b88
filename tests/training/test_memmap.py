"""Arrays on a disk: nothing of their size is copied, and nothing is written to them."""

import tracemalloc

import numpy as np
import pytest

from fastnn.arrays import check_finite
from fastnn.errors import DataError
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.training import arrays

ROWS, COLUMNS = 300_000, 40  # 48 MB of float32
#: Next to it, what training may take.
ALLOWED = 6_000_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write the arrays, block by block."""
    folder = tmp_path_factory.mktemp("memmap")
    generator = np.random.default_rng(0)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (ROWS, COLUMNS))
    for start in range(0, ROWS, 10_000):
        x[start : start + 10_000] = generator.standard_normal((10_000, COLUMNS), np.float32)
    np.save(folder / "y.npy", (x[:, 0] > 0).astype(np.float32))
    np.save(folder / "wide.npy", np.zeros((1, COLUMNS), np.float32))
    x.flush()
    return folder


def network(loss="binary_crossentropy", units=1, **options):
    model = Sequential([Dense(8, "relu", input_shape=(COLUMNS,)), Dense(units, "sigmoid")], seed=1)
    model.compile("adam", loss, **options)
    return model


def peak_of(function):
    """Return the largest number of bytes that Python and NumPy held at a time."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_fit_copies_nothing(folder, shuffle):
    x, y = np.load(folder / "x.npy", mmap_mode="r"), np.load(folder / "y.npy", mmap_mode="r")
    model = network(metrics=["accuracy"])
    fit = {"batch_size": 512, "verbose": 0, "shuffle": shuffle, "validation_split": 0.1}
    model.fit(x[:1000], y[:1000], **fit)  # kernels and plans are made
    before = (x[-1].copy(), model.get_weights()[0].copy())
    assert peak_of(lambda: model.fit(x, y, **fit)) < ALLOWED
    assert not x.flags.writeable and np.array_equal(x[-1], before[0])
    assert not np.array_equal(model.get_weights()[0], before[1])


def test_evaluate_and_predict_copy_nothing(folder):
    x, y = np.load(folder / "x.npy", mmap_mode="r"), np.load(folder / "y.npy", mmap_mode="r")
    model = network()
    model.evaluate(x[:1000], y[:1000])
    assert peak_of(lambda: model.evaluate(x, y)) < ALLOWED
    assert peak_of(lambda: model.predict(x)) < ALLOWED  # its outputs take 1.2 MB


def test_results_are_those_of_an_array(folder):
    x, y = np.load(folder / "x.npy", mmap_mode="r")[:5000], np.load(folder / "y.npy", mmap_mode="r")[:5000]
    one, other = network(), network()
    one.fit(x, y, verbose=0)
    other.fit(np.array(x), np.array(y), verbose=0)
    for first, second in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_bad_value_is_found_without_a_copy(tmp_path, folder):
    x = np.lib.format.open_memmap(tmp_path / "bad.npy", "w+", np.float32, (ROWS, COLUMNS))
    x[ROWS - 5, 7], x[ROWS - 2, 3] = np.nan, np.inf

    def check():
        with pytest.raises(
            DataError, match=rf"infinity in column 3, first in row {ROWS - 5} \(2 such.*in 2 "
        ):
            check_finite(x, "x")

    assert peak_of(check) < 12_000_000  # a million numbers at a time: their sizes, and which are bad


def test_large_labels_stay_where_they_are(monkeypatch):
    monkeypatch.setattr(arrays, "COPIED_BYTES", 100)
    labels = np.arange(300, dtype=np.int64)[:, None] % 3
    assert arrays.to_index(labels, 3, "y") is labels
    x = np.random.default_rng(0).standard_normal((300, COLUMNS)).astype(np.float32)
    weights = []
    for limit in (100, 10_000):
        monkeypatch.setattr(arrays, "COPIED_BYTES", limit)
        model = network("sparse_categorical_crossentropy", 3, metrics=["accuracy"])
        history = model.fit(x, labels, verbose=0, epochs=2)
        weights.append([*model.get_weights(), np.array(history.history["accuracy"])])
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


def test_whole_numbers_among_floats():
    with pytest.raises(DataError, match=r"whole numbers. Received: 0\.5"):
        arrays.to_index(np.array([1.0, 0.5]), 3, "y")
