"""Inputs in parts on the device: the same bits as the table that they make."""

import numpy as np
import pytest
from gpu_fake import fake_gpu

from fastnn import Input, Model
from fastnn.backends.gpu import feed
from fastnn.data import Gathered, Part
from fastnn.layers import Concatenate, Dense
from fastnn.models import Sequential

RNG = np.random.default_rng(0)
LINE = RNG.normal(size=60).astype(np.float32)
WINDOWS = np.lib.stride_tricks.sliding_window_view(LINE, 4)
TABLE = RNG.normal(size=(9, 3)).astype(np.float32)
ROWS = 100
INDEX = RNG.integers(0, len(WINDOWS), ROWS)
Y = RNG.normal(size=ROWS).astype(np.float32)


@pytest.fixture
def cp():
    with fake_gpu() as module:
        yield module


PARTS = {
    "windows": [Part(WINDOWS, INDEX, mean=0.1, scale=2.0)],
    "backwards": [Part(WINDOWS[:, ::-1], INDEX, low=-1.0, high=0.5)],
    "last first": [Part(WINDOWS[::-1], INDEX), Part(WINDOWS[::-2, ::-1], INDEX // 2)],
    "strided": [
        Part(np.asfortranarray(TABLE), INDEX % 9),
        Part(TABLE[::2, ::2], INDEX % 5, scale=[3.0, 1.0]),
    ],
    "float64": [Part(TABLE.astype(np.float64), INDEX % 9, mean=[0.1, 0.2, 0.3]), Part(WINDOWS, INDEX)],
}


def model(columns, device="gpu"):
    net = Sequential([Dense(4, "tanh", input_shape=(columns,)), Dense(1)], seed=1)
    net.compile("adam", "mse", device=device)
    return net


def fit(x, device="gpu", **options):
    net = model(x.shape[1], device)
    history = net.fit(x, Y, epochs=2, batch_size=16, verbose=0, **options)
    return net.storage.array.copy(), history.history, net.predict(x, verbose=0)


def same(one, other):
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1] == other[1]
    np.testing.assert_array_equal(one[2], other[2])


@pytest.mark.parametrize("name", PARTS)
def test_parts_give_the_bits_of_the_table(cp, name):
    x = Gathered(PARTS[name])
    found = fit(x, validation_split=0.2)
    same(found, fit(np.asarray(x), validation_split=0.2))
    np.testing.assert_allclose(found[0], fit(x, "cpu", validation_split=0.2)[0], rtol=1e-4, atol=1e-6)


def test_windows_take_the_memory_of_their_line(cp, monkeypatch):
    sizes = []
    original = feed.Feed.__init__

    def spy(self, *rest):
        original(self, *rest)
        sizes.append([array.size for array in self.arrays])

    monkeypatch.setattr(feed.Feed, "__init__", spy)
    fit(Gathered(PARTS["windows"]))
    assert sizes[0] == [LINE.size, ROWS, 16, ROWS]


@pytest.mark.parametrize("name", ["last first", "float64"])
def test_parts_larger_than_the_device_give_the_same_bits(cp, monkeypatch, name):
    x = Gathered(PARTS[name])
    expected = fit(x)
    tables = {"last first": 2 * 240 + 300, "float64": 216 + 240 + 250}[name]
    monkeypatch.setenv(feed.LIMIT, str(tables + 600))
    found = fit(x)
    same((found[0], None, found[2]), (expected[0], None, expected[2]))
    np.testing.assert_allclose(found[1]["loss"], expected[1]["loss"], rtol=1e-12)


def test_one_input_in_parts_beside_an_array(cp):
    x, other = Gathered(PARTS["windows"]), RNG.normal(size=(ROWS, 2)).astype(np.float32)
    weights = []
    for first in (x, np.asarray(x)):
        a, b = Input(shape=(4,)), Input(shape=(2,))
        net = Model([a, b], Dense(1)(Concatenate()([a, b])), seed=1)
        net.compile("sgd", "mse", device="gpu")
        net.fit([first, other], Y, verbose=0)
        weights.append(net.storage.array.copy())
    np.testing.assert_array_equal(*weights)
