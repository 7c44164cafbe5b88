"""Every op's gradient rule against central differences in float64, along random directions."""

import numpy as np
import pytest
from op_table import OPS, as_tuple, names_of, samples

from fastnn import ops
from fastnn.errors import ArgumentError, DtypeError, ShapeError
from fastnn.ops import registry
from fastnn.ops.registry import INTEGER_NAMES

DIFFERENTIABLE = [name for name in OPS if registry.get(name).gradient is not None]
#: Ops that are themselves gradients: training differentiates once, so they need no rule of their own.
GRADIENTS = [name for name in OPS if registry.get(name).gradient is None]
STEP, TOLERANCE = 1e-6, 2e-6
#: Inputs that have no gradient: labels, and statistics that training does not change by gradients.
NO_GRADIENT = {
    "batch_norm_infer": ("mean", "variance"),
    "standardize": ("mean", "variance"),
}


def is_constant(name, label):
    return label in (*INTEGER_NAMES, "target", *NO_GRADIENT.get(name, ()))


def differences(function, arrays, position, direction, dy):
    """Directional derivative of ``sum(dy * function)`` in one input; twice, as half the step tells a kink."""
    found = []
    for step in (STEP, STEP / 2):
        ends = []
        for sign in (1.0, -1.0):
            moved = list(arrays)
            moved[position] = arrays[position] + sign * step * direction
            ends.append(float((as_tuple(function(*moved))[0] * dy).sum()))
        found.append((ends[0] - ends[1]) / (2.0 * step))
    return found


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_is_the_central_difference(name):
    rng = np.random.default_rng(1)
    tried = 0
    for sample in samples(name):
        if not sample.differentiable:
            continue
        arrays = [np.asarray(array) for array in sample.arrays]
        before = [array.tobytes() for array in arrays]

        def function(*arrays, attrs=sample.attrs):
            return getattr(ops, name)(*arrays, **attrs)

        dy = rng.standard_normal(as_tuple(function(*arrays))[0].shape)
        gradients = as_tuple(getattr(ops, name).grad(dy, *arrays, **sample.attrs))
        assert len(gradients) == len(arrays)
        for position, (label, gradient) in enumerate(zip(names_of(name, arrays), gradients, strict=True)):
            where = f"sample {sample.name!r}, input {label!r}"
            if is_constant(name, label):
                assert gradient is None, where
                continue
            assert gradient.shape == arrays[position].shape and gradient.dtype == np.float64, where
            direction = rng.standard_normal(gradient.shape)
            numeric, again = differences(function, arrays, position, direction, dy)
            scale = max(1.0, abs(numeric), float(np.abs(gradient).max(initial=0.0)))
            if abs(numeric - again) > 50 * TOLERANCE * scale:
                continue  # a kink between the ends
            assert abs((gradient * direction).sum() - numeric) <= TOLERANCE * scale * max(
                1.0, gradient.size**0.5
            ), where
            tried += gradient.size > 0
        assert [array.tobytes() for array in arrays] == before, sample.name
    assert tried >= 2, "too few samples lie away from kinks"


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient_ops_refuse_a_second_derivative(name):
    sample = samples(name)[0]
    with pytest.raises(ArgumentError, match=f"'{name}' has no gradient"):
        getattr(ops, name).grad(1.0, *sample.arrays, **sample.attrs)


def test_every_op_without_a_rule_is_a_gradient():
    suffixes = ("_grad", "_dx", "_dw", "_db", "_dalpha", "_dgamma")
    helpers = {"sum_rows", "scale_units"}  # used by rules only
    assert [name for name in GRADIENTS if not name.endswith(suffixes) and name not in helpers] == []


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradients_of_the_output_are_checked(name):
    sample = next(s for s in samples(name) if s.arrays[0].shape[0] > 1)
    shape = as_tuple(getattr(ops, name)(*sample.arrays, **sample.attrs))[0].shape
    for wrong in (np.ones((*shape, 2)), np.ones((shape[0] + 1, *shape[1:]))):
        with pytest.raises(ShapeError, match="output's shape"):
            getattr(ops, name).grad(wrong, *sample.arrays, **sample.attrs)
    for dtype in (np.float16, np.complex128, object, "U3"):
        with pytest.raises(DtypeError, match=f"'{name}'.*'d_output'"):
            getattr(ops, name).grad(np.zeros(shape, dtype), *sample.arrays, **sample.attrs)
