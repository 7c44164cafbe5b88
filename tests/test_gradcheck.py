"""Gradients of a network written by hand from the array API, checked against differences."""

import numpy as np
import pytest

from fastnn import gradient_check, ops
from fastnn.errors import ArgumentError, ShapeError

PARAMETERS = ("hidden_weights", "hidden_bias", "output_weights", "output_bias")


@pytest.fixture
def network():
    """Hidden layer, softmax, cross-entropy on 40 rows: the loss and its four gradients."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((40, 5)), np.eye(3)[rng.integers(0, 3, 40)]
    shapes = dict(zip(PARAMETERS, [(5, 8), (8,), (8, 3), (3,)], strict=True))
    parameters = {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def forward(hidden_weights, hidden_bias, output_weights, output_bias):
        z = ops.dense(x, hidden_weights, hidden_bias)
        h = ops.sigmoid(z)
        y = ops.dense(h, output_weights, output_bias)
        return z, h, y, ops.softmax(y)

    def loss(**parameters):
        return float(ops.categorical_crossentropy(t, forward(**parameters)[-1]).sum())

    z, h, y, p = forward(**parameters)
    _, dp = ops.categorical_crossentropy.grad(np.ones(40), t, p)
    dh, *output = ops.dense.grad(ops.softmax.grad(dp, y), h, *(parameters[n] for n in PARAMETERS[2:]))
    _, *hidden = ops.dense.grad(ops.sigmoid.grad(dh, z), x, *(parameters[n] for n in PARAMETERS[:2]))
    return loss, parameters, dict(zip(PARAMETERS, (*hidden, *output), strict=True))


def test_correct_gradients_pass(network):
    loss, parameters, gradients = network
    before = {name: value.tobytes() for name, value in parameters.items()}
    check = gradient_check(loss, parameters, gradients)
    assert check and check.passed, str(check)
    assert set(check.errors) == set(PARAMETERS) and max(check.errors.values()) < 1e-6
    assert "off" not in str(check)
    assert {name: value.tobytes() for name, value in parameters.items()} == before


def transposed(g):
    return g[::-1].copy()


@pytest.mark.parametrize("wrong", PARAMETERS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda g: -g,
        lambda g: 1.001 * g,
        lambda g: 0.0 * g,
        transposed,
        lambda g: g + 0.01,
        lambda g: g * np.nan,
    ],
    ids=["sign", "factor", "zero", "order", "shift", "nan"],
)
def test_the_parameter_that_is_off_is_named(network, wrong, spoil):
    loss, parameters, gradients = network
    check = gradient_check(loss, parameters, {**gradients, wrong: spoil(gradients[wrong])})
    assert not check
    assert check.worst == wrong
    off = [line.split(":")[0] for line in str(check).splitlines() if "<- off" in line]
    assert off == [wrong]


def test_a_single_wrong_number_is_found(network):
    loss, parameters, gradients = network
    gradients = {name: value.copy() for name, value in gradients.items()}
    gradients["output_weights"][4, 1] *= 1.01
    assert gradient_check(loss, parameters, gradients).worst == "output_weights"


def test_some_parameters_alone_can_be_checked(network):
    loss, parameters, gradients = network
    check = gradient_check(loss, parameters, {"hidden_bias": gradients["hidden_bias"]}, directions=1, seed=3)
    assert check and list(check.errors) == ["hidden_bias"]


def test_a_loss_that_is_not_finite_does_not_pass(network):
    _, parameters, gradients = network
    assert not gradient_check(lambda **parameters: float("nan"), parameters, gradients)


def test_names_and_shapes_that_do_not_fit_are_refused(network):
    loss, parameters, gradients = network
    with pytest.raises(ArgumentError, match=r"unknown parameters.*\['bias'\]"):
        gradient_check(loss, parameters, {"bias": gradients["output_bias"]})
    with pytest.raises(ShapeError, match=r"'output_bias' must have shape \(3,\)\. Received: \(8,\)"):
        gradient_check(loss, parameters, {"output_bias": gradients["hidden_bias"]})
    with pytest.raises(ArgumentError, match="no gradients"):
        gradient_check(loss, parameters, {})
