"""Saving and loading a small network in training: `pytest benchmarks/test_saving.py`.

45-64-64-1 with Adam: 87 kB of weights and two vectors of state. The aim is under 3 ms each, on a disk whose
sync is quick; `test_write_alone` has the part of it that is the file system's.
"""

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")

from fastnn.io import atomic
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential, load_model


@pytest.fixture
def model():
    layers = [Dense(64, "relu", input_shape=(45,)), Dropout(0.5), Dense(64, "relu"), Dropout(0.5), Dense(1)]
    made = Sequential(layers, seed=1)
    made.compile("adam", "mse", metrics=["mae"])
    x = np.random.default_rng(0).standard_normal((256, 45)).astype(np.float32)
    made.fit(x, x[:, 0], epochs=10, verbose=0)
    return made


def test_save(benchmark, model, tmp_path):
    benchmark(model.save, tmp_path / "model.fastnn")


def test_load(benchmark, model, tmp_path):
    model.save(tmp_path / "model.fastnn")
    benchmark(load_model, tmp_path / "model.fastnn")


def test_save_weights(benchmark, model, tmp_path):
    benchmark(model.save_weights, tmp_path / "weights.fastnn")


def test_load_weights(benchmark, model, tmp_path):
    model.save_weights(tmp_path / "weights.fastnn")
    benchmark(model.load_weights, tmp_path / "weights.fastnn")


def test_write_alone(benchmark, model, tmp_path):
    model.save(tmp_path / "model.fastnn")
    data = (tmp_path / "model.fastnn").read_bytes()
    benchmark(atomic.write, tmp_path / "model.fastnn", data)
