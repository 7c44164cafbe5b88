"""Small models and data for the tests of models."""

from __future__ import annotations

import numpy as np

from fastnn.layers import Activation, Dense
from fastnn.models import Sequential

ROWS = 40


def points(rows: int = ROWS, seed: int = 0):
    """Return points of the plane and the class each belongs to, one-hot."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, 2)).astype(np.float32)
    return x, np.eye(2, dtype=np.float32)[(x.sum(axis=1) > 0).astype(int)]


def chapter(**arguments):
    """Return the 2-3-2 network."""
    stack = [
        Dense(units=3, input_shape=(2,), name="hidden"),
        Activation("sigmoid", name="logistic"),
        Dense(2, name="output"),
        Activation("softmax", name="softmax"),
    ]
    return Sequential(stack, **arguments)


def regressor(inputs: int = 2, seed: int = 0, **compile_arguments):
    """Return a compiled model of one hidden layer and one output."""
    model = Sequential([Dense(4, "tanh", input_shape=(inputs,)), Dense(1)], seed=seed)
    model.compile("adam", "mse", **compile_arguments)
    return model
