"""Models that are no plain stack, in every regime: skips, concatenations and embeddings, on a stand-in for a device."""

import dataclasses
import functools

import numpy as np
import opened_sessions
import pytest
from opened_sessions import BATCH, counted, fakecupy, largest

from fastnn import layers
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import floors, fused, library, regimes
from fastnn.backends.gpu.chain import Unlike
from fastnn.backends.gpu.net import Net, recognise
from fastnn.models import Model
from fastnn.optimizers import SGD

RNG = np.random.default_rng(1)
ROWS, NUMBERS, CATEGORIES = 90, 8, 10
X = RNG.normal(size=(ROWS, NUMBERS)).astype("f4")
CATEGORY = RNG.integers(0, CATEGORIES, (ROWS, 1))
TWO_COLUMNS = RNG.integers(0, 7, (ROWS, 2)).astype("i8")
SIGN = (X[:, 0] * X[:, 1] > 0).astype("f4")
CLASS = RNG.integers(0, 3, ROWS)
WEIGHT = RNG.uniform(size=ROWS)


@pytest.fixture(scope="module", autouse=True)
def device():
    with opened_sessions.stand_in() as cp:
        yield cp


@pytest.fixture
def opened(monkeypatch):
    return opened_sessions.Opened(monkeypatch)


def skip(width=16, dtype="float64"):
    """Numbers and a category; two layers with a way around the second."""
    numbers, category = layers.Input((NUMBERS,)), layers.Input((1,), dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(CATEGORIES, 4)(category))
    hidden = layers.Dense(width, "relu")(layers.Concatenate()([numbers, embedded]))
    hidden = layers.Add()([hidden, layers.Dense(width, "relu")(hidden)])
    return Model([numbers, category], layers.Dense(1, "sigmoid")(hidden), seed=1, dtype=dtype)


def dense_net():
    """Every layer reads all that came before it; dropout; two columns of one table; classes."""
    numbers, pair = layers.Input((NUMBERS,)), layers.Input((2,), dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(7, 3)(pair))
    first = layers.Dense(6, "gelu")(layers.Dropout(0.3)(embedded))
    both = layers.Concatenate()([first, layers.Dense(5, "silu", use_bias=False)(first)])
    joined = layers.Concatenate()([numbers, both, layers.AlphaDropout(0.2)(layers.Dense(9, "selu")(both))])
    return Model([numbers, pair], layers.Dense(3, "softmax")(joined), seed=2, dtype="float64")


def residual():
    """Blocks with an activation after the sum, and dropout on the way around."""
    x = layers.Input((NUMBERS,))
    hidden = layers.Dense(8)(x)
    for name in ("relu", "gelu"):
        around = layers.Dropout(0.25)(hidden)
        hidden = layers.Activation(name)(layers.Add()([layers.Dense(8, "tanh")(hidden), around, hidden]))
    return Model(x, layers.Dense(2, "softplus")(hidden), seed=3, dtype="float64")


def four_inputs():
    """Two numeric inputs, one of them added to itself, and two categories; the loss of numbers."""
    x, also = layers.Input((NUMBERS,)), layers.Input((NUMBERS,))
    one, two = layers.Input((1,), dtype="int32"), layers.Input((2,), dtype="int32")
    parts = [layers.Flatten()(layers.Embedding(10, 2)(one)), layers.Flatten()(layers.Embedding(7, 2)(two))]
    joined = layers.Concatenate()([layers.Add()([x, also]), layers.Dense(3)(also), *parts])
    return Model([x, also, one, two], layers.Dense(1)(joined), seed=4, dtype="float64")


BOTH = [X, CATEGORY]
NETS = {
    "skip": (skip, BOTH, SIGN, {}),
    "weighted skip": (skip, BOTH, SIGN, {"sample_weight": WEIGHT, "optimizer": lambda: SGD(0.1, momentum=0.9)}),
    "dense net": (dense_net, [X, TWO_COLUMNS], CLASS, {"loss": "sparse_categorical_crossentropy"}),
    "residual": (residual, X, np.c_[SIGN, 1 - SIGN], {"loss": "mse", "metrics": ["mae"]}),
    "four inputs": (four_inputs, [X, X[::-1], CATEGORY, TWO_COLUMNS], X[:, 2], {"loss": "huber", "metrics": []}),
}  # fmt: skip
ONE_LAUNCH = ("resident", "fused")


# --------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("regime", ONE_LAUNCH)
def test_training_equals_the_cpus_step_for_step(opened, net, regime):
    build, x, y, options = NETS[net]
    weights, history = opened.fit(build, x, y, regime=regime, **options)
    session = opened.trained
    assert session.regime == regime and isinstance(session._choice.chain, Net)
    expected, log = opened.fit(build, x, y, "cpu", **options)
    assert largest(weights, expected) < 1e-12
    for name, values in log.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-6, err_msg=name)
    one, _ = opened.fit(build, x, y, regime=regime, epochs=1, batch_size=ROWS, **options)
    expected, _ = opened.fit(build, x, y, "cpu", epochs=1, batch_size=ROWS, **options)
    assert largest(one, expected) < 1e-13  # a single step


def test_the_choice_is_the_stacks(opened):
    opened.fit(skip, BOTH, SIGN)
    assert opened.trained.regime == "resident"
    program = opened.trained.program
    assert regimes.choose(program, 1 << 12).regime == "fused"
