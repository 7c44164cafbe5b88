"""Elementwise ops that a user registers: compiled, cached, differentiated and trained like any other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import layers, ops
from fastnn.errors import ArgumentError, UnknownNameError
from fastnn.ops import registry


def bump(x):
    return np.exp(-x * x)


def bump_slope(x):
    return -2.0 * x * np.exp(-x * x)


@pytest.fixture
def register():
    """Register ops that are taken out of the table again."""
    names = []

    def add(name, *arguments, **options):
        op = ops.register_elementwise(name, *arguments, **options)
        names.append(name)
        return op

    yield add
    for name in names:
        ops.unregister_elementwise(name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_op_and_its_gradient_are_compiled(register, dtype):
    register("bump", bump, bump_slope)
    x = np.random.default_rng(0).standard_normal((33, 7)).astype(dtype)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    y, dx = ops.bump(x), ops.bump.grad(np.full_like(x, 3.0), x)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(y, bump(x.astype(float)), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx, 3.0 * bump_slope(x.astype(float)), rtol=10 * tolerance, atol=tolerance)


def test_a_derivative_may_read_the_output(register):
    register("softer", lambda x: x / (1.0 + abs(x)), lambda y: (1.0 - abs(y)) ** 2, saves="output")
    x = np.linspace(-3.0, 3.0, 11).reshape(1, 11)
    np.testing.assert_allclose(ops.softer.grad(np.ones_like(x), x), ops.softsign.grad(np.ones_like(x), x))


@pytest.mark.parametrize("units", [4, 40])  # blocks of (units, rows), and of (rows, units)
def test_a_model_trains_with_it(register, units):
    register("same_as_tanh", np_tanh, lambda y: 1.0 - y * y, saves="output")
    rng = np.random.default_rng(1)
    x = rng.standard_normal((256, 3))
    y = np.sin(x.sum(axis=1))
    weights = {}
    for activation in ("tanh", "same_as_tanh"):
        model = fastnn.Sequential(
            [layers.Dense(units, activation=activation, input_shape=(3,)), layers.Dense(1)],
            seed=5,
            dtype="float64",
        )
        model.compile("adam", "mse")
        losses = model.fit(x, y, epochs=20, batch_size=32, verbose=0).history["loss"]
        assert losses[-1] < 0.9 * losses[0]
        weights[activation] = model.get_weights()
    for one, other in zip(*weights.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def np_tanh(x):
    return np.tanh(x)


def test_the_same_name_may_mean_another_function_later(register):
    x = np.array([[2.0]])
    for factor in (3.0, 5.0):
        ops.register_elementwise(
            "times", lambda x, factor=factor: factor * x, lambda x, factor=factor: factor
        )
        assert ops.times(x).item() == 2.0 * factor
        assert ops.times.grad(x, x).item() == 2.0 * factor
        ops.unregister_elementwise("times")


SCRIPT = """
import json, sys
import numpy as np
from fastnn import ops
from fastnn.backends.cpu import jit
{code}
ops.register_elementwise("mine", f, d)
y = ops.mine(np.array([[2.0]])).item()
print(json.dumps([y, [kernel.cached for kernel in jit.compiled_kernels()]]))
"""


def run(code, folder):
    environment = {**os.environ, "FASTNN_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(code=code)], capture_output=True, text=True, env=environment,
        cwd=Path(fastnn.__file__).parents[1],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    y, cached = json.loads(done.stdout)
    return y, all(cached)


def test_kernels_are_cached_under_what_the_function_does(tmp_path):
    plain = "def f(x): return {} * x\ndef d(x): return {}"
    with_global = "SCALE = {}\ndef f(x): return SCALE * x\ndef d(x): return SCALE"
    with_helper = (
        "from numba import njit\n@njit\ndef g(x): return {} * x\ndef f(x): return g(x)\ndef d(x): return {}"
    )
    for number, code in enumerate((plain, with_global, with_helper)):
        folder = tmp_path / str(number)
        assert run(code.format(3.0, 3.0), folder) == (6.0, False)
        assert run(code.format(3.0, 3.0), folder) == (6.0, True), "the same function again"
        assert run(code.format(4.0, 4.0), folder) == (8.0, False), "a constant was changed"


@pytest.mark.parametrize("name", ["relu", "dense", "relu_grad", "tanh"])
def test_names_that_are_taken_are_refused(name):
    with pytest.raises(ArgumentError, match="registered already"):
        ops.register_elementwise(name, bump, bump_slope)
    assert registry.get(name)


@pytest.mark.parametrize("name", ["", "Bump", "2fast", "a b", "_bump", "bump!", None])
def test_names_that_are_none_are_refused(name):
    with pytest.raises(ArgumentError, match="lower-case letters"):
        ops.register_elementwise(name, bump, bump_slope)


def test_other_arguments_are_checked():
    with pytest.raises(ArgumentError, match="`saves` must be 'input' or 'output'"):
        ops.register_elementwise("bump", bump, bump_slope, saves="both")
    with pytest.raises(ArgumentError, match=r"`function` must be a Python function.*ufunc"):
        ops.register_elementwise("bump", np.exp, bump_slope)
    with pytest.raises(ArgumentError, match=r"`derivative` must be a Python function.*NoneType"):
        ops.register_elementwise("bump", bump, None)
    assert "bump" not in registry.names()


def test_registering_twice_and_taking_out(register):
    register("bump", bump, bump_slope)
    with pytest.raises(ArgumentError, match="registered already"):
        ops.register_elementwise("bump", bump, bump_slope)
    assert {"bump", "bump_grad"} <= set(ops.names())


def test_after_taking_out_the_name_is_unknown():
    ops.register_elementwise("bump", bump, bump_slope)
    ops.unregister_elementwise("bump")
    assert not {"bump", "bump_grad"} & set(registry.names())
    with pytest.raises(AttributeError, match="bump"):
        _ = ops.bump
    with pytest.raises(UnknownNameError, match="bump"):
        layers.Dense(2, activation="bump")


@pytest.mark.parametrize("name", ["relu", "never_registered"])
def test_only_ones_own_ops_can_be_taken_out(name):
    with pytest.raises(ArgumentError, match="an op of your own"):
        ops.unregister_elementwise(name)
    assert registry.get("relu") and ops.relu(np.ones((1, 1))).item() == 1.0
