"""A classic hand-written training, transcribed to NumPy, agrees with the compiled one to 1e-9.

The network has 2 inputs, 3 sigmoid units and 2 softmax outputs; the loss is the cross-entropy summed over
50,000 points on two noisy circles; weights start standard normal and move by
``velocity = 0.5 * velocity - 1e-4 * gradient``.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import layers, losses, ops, optimizers
from fastnn.models import Sequential

datasets = pytest.importorskip("sklearn.datasets", reason="the points come from scikit-learn")

ROWS, RATE, MOMENTUM, TOLERANCE = 50_000, 1e-4, 0.5, 1e-9


@pytest.fixture(scope="module")
def circles():
    x, label = datasets.make_circles(ROWS, noise=0.1, factor=0.1, random_state=0)
    return x, np.eye(2)[label]


def standard_normal_start(seed=7):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in ((2, 3), (3,), (3, 2), (2,))]


def train_numpy(x, t, weights, iterations):
    """Return the weights after so many iterations, and the losses before each of them."""
    w1, b1, w2, b2 = (w.copy() for w in weights)
    velocities = [np.zeros_like(w) for w in weights]
    found = []
    for _ in range(iterations):
        h = 1.0 / (1.0 + np.exp(-(x @ w1 + b1)))
        z = h @ w2 + b2
        e = np.exp(z - z.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        found.append(-np.sum(t * np.log(y)))
        dz = y - t
        da = dz @ w2.T * h * (1.0 - h)
        gradients = x.T @ da, da.sum(axis=0), h.T @ dz, dz.sum(axis=0)
        for w, velocity, gradient in zip((w1, b1, w2, b2), velocities, gradients, strict=True):
            velocity *= MOMENTUM
            velocity -= RATE * gradient
            w += velocity
    return [w1, b1, w2, b2], found


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("activation_layers", [False, True])
def test_thousand_iterations(circles, activation_layers, threads, expected_after_thousand):
    x, t = circles
    if activation_layers:
        stack = [
            layers.Dense(3, input_shape=(2,), name="hidden"),
            layers.Activation("sigmoid"),
            layers.Dense(2, name="output"),
            layers.Activation("softmax"),
        ]
    else:
        stack = [layers.Dense(3, "sigmoid", input_shape=(2,)), layers.Dense(2, "softmax")]
    model = Sequential(stack, dtype="float64", seed=0)
    assert model.count_params() == 17
    model.compile(optimizers.SGD(RATE, momentum=MOMENTUM), losses.CategoricalCrossentropy(reduction="sum"))
    model.set_weights(standard_normal_start())
    history = model.fit(x, t, batch_size=ROWS, epochs=1_000, verbose=0, threads=threads)
    weights, values = expected_after_thousand
    for value, wanted in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE)
    # a sum over 50,000 rows: history reports it as it is minimised
    np.testing.assert_allclose(history.history["loss"], values, rtol=TOLERANCE)
    assert values[-1] < 0.2 * values[0]


@pytest.fixture(scope="module")
def expected_after_thousand(circles):
    return train_numpy(*circles, standard_normal_start(), 1_000)


def test_by_hand_on_the_array_api(circles):
    """The same network written on ``fastnn.ops``: forward, gradients, updates in place."""
    x, t = circles
    w1, b1, w2, b2 = standard_normal_start()
    velocities = [np.zeros_like(w) for w in (w1, b1, w2, b2)]
    found = []
    for _ in range(50):
        a = ops.dense(x, w1, b1)
        h = ops.sigmoid(a)
        z = ops.dense(h, w2, b2)
        y = ops.softmax(z)
        rows = ops.categorical_crossentropy(t, y)
        found.append(rows.sum())
        dy = ops.categorical_crossentropy.grad(np.ones_like(rows), t, y)[1]
        dz = ops.softmax.grad(dy, z)
        dh, dw2, db2 = ops.dense.grad(dz, h, w2, b2)
        da = ops.sigmoid.grad(dh, a)
        _, dw1, db1 = ops.dense.grad(da, x, w1, b1)
        for w, gradient, velocity in zip((w1, b1, w2, b2), (dw1, db1, dw2, db2), velocities, strict=True):
            ops.sgd_inplace(w, gradient, velocity, learning_rate=RATE, momentum=MOMENTUM)
    weights, values = train_numpy(x, t, standard_normal_start(), 50)
    for value, wanted in zip((w1, b1, w2, b2), weights, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(found, values, rtol=TOLERANCE)
