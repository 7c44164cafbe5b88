"""Elementwise ops of the user's own on the device."""

import math

import numpy as np
import pytest
from gpu_fake import fake_gpu

from fastnn import ops
from fastnn.backends.gpu import custom
from fastnn.errors import ArgumentError, DeviceError
from fastnn.layers import Activation, Dense
from fastnn.models import Sequential

X = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)
Y = X[:, 0]


def bump(x):
    return math.exp(-x * x)


def bump_slope(x):
    return -2.0 * x * math.exp(-x * x)


def halved(x):
    return 0.5 * x + 0.1 * x * abs(x)


def halved_slope(y):  # of the output: |x| = sqrt(6.25 + 10 |y|) - 2.5
    return 0.5 + 0.2 * (math.sqrt(6.25 + 10 * abs(y)) - 2.5)


C = {
    "bump": ("exp(-x * x)", "(T)-2 * s * exp(-s * s)"),
    "halved": (
        "(T)0.5 * x + (T)0.1 * x * fabs(x)",
        "(T)0.5 + (T)0.2 * (sqrt((T)6.25 + 10 * fabs(s)) - (T)2.5)",
    ),
}  # fmt: skip


@pytest.fixture
def cp():
    with fake_gpu() as module:
        yield module


@pytest.fixture(params=["bump", "halved"])
def op(request, cp):
    name = request.param
    functions = {"bump": (bump, bump_slope, "input"), "halved": (halved, halved_slope, "output")}[name]
    ops.register_elementwise(name, *functions, cuda=C[name][0], cuda_derivative=C[name][1])
    yield name
    ops.unregister_elementwise(name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_own_op_on_cupy_arrays(cp, op, dtype):
    x, dy = X.astype(dtype), (X[::-1] * 2).astype(dtype)
    function = getattr(ops, op)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(function(cp.asarray(x)).get(), function(x), tolerance, tolerance)
    found = function.grad(cp.asarray(dy), cp.asarray(x))
    assert isinstance(found, cp.ndarray) and found.dtype == dtype
    np.testing.assert_allclose(found.get(), function.grad(dy, x), tolerance, tolerance)


@pytest.mark.parametrize("alone", [False, True], ids=["in a dense layer", "alone"])
def test_a_model_with_an_own_op_trains_on_the_device(cp, op, alone):
    weights = []
    for device in ("cpu", "gpu"):
        first = [Dense(6, input_shape=(5,)), Activation(op)] if alone else [Dense(6, op, input_shape=(5,))]
        net = Sequential([*first, Dense(1)], seed=1)
        net.compile("sgd", "mse", device=device)
        net.fit(X, Y, epochs=3, batch_size=16, verbose=0)
        weights.append(net.storage.array.copy())
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-6)


def test_an_op_without_a_c_expression_says_so(cp):
    ops.register_elementwise("bump", bump, bump_slope)
    try:
        with pytest.raises(DeviceError, match=r"'bump' is your own and has no C expression.*cuda='\.\.\.'"):
            ops.bump(cp.asarray(X))
        net = Sequential([Dense(6, "bump", input_shape=(5,)), Dense(1)], seed=1)
        net.compile("sgd", "mse", device="gpu")
        with pytest.raises(DeviceError, match="no C expression"):
            net.fit(X, Y, verbose=0)
    finally:
        ops.unregister_elementwise("bump")
    assert "bump" not in custom.OPS


def test_an_expression_that_does_not_compile_is_quoted(cp):
    ops.register_elementwise("bump", bump, bump_slope, cuda="exp(-x * ", cuda_derivative="s")
    try:
        with pytest.raises(DeviceError, match=r"of op 'bump' could not be compiled: 'exp\(-x \* '"):
            ops.bump(cp.asarray(X))
    finally:
        ops.unregister_elementwise("bump")


@pytest.mark.parametrize(
    "options", [{"cuda": "x"}, {"cuda_derivative": "s"}, {"cuda": "", "cuda_derivative": "s"}]
)
def test_one_expression_alone_is_refused(options):
    with pytest.raises(
        ArgumentError, match="`cuda` and `cuda_derivative` must be C expressions, or both None"
    ):
        ops.register_elementwise("bump", bump, bump_slope, **options)
    assert "bump" not in ops.names()
