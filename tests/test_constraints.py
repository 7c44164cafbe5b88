"""The constraints and the regularizers: projections, penalties, configuration."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastnn import constraints, regularizers
from fastnn.constraints import MaxNorm, MinMaxNorm, NonNeg, UnitNorm
from fastnn.errors import ArgumentError, DtypeError, ShapeError, UnknownNameError
from fastnn.regularizers import L1, L1L2, L2

W = np.random.default_rng(2).normal(size=(4, 5)) * np.array([0.0, 0.1, 1.0, 3.0, 10.0])
NORMS = np.sqrt((W**2).sum(axis=0))
EPS = 1e-7

# name: (constraint, the norms it is to give the columns of W)
CASES = {
    "max_norm": (MaxNorm(), np.minimum(NORMS, 2.0)),
    "max_norm_small": (MaxNorm(0.5), np.minimum(NORMS, 0.5)),
    "unit_norm": (UnitNorm(), np.ones(5)),
    "min_max_norm": (MinMaxNorm(0.5, 2.0), np.clip(NORMS, 0.5, 2.0)),
    "min_max_norm_rate": (MinMaxNorm(0.5, 2.0, rate=0.25), 0.25 * np.clip(NORMS, 0.5, 2.0) + 0.75 * NORMS),
}


@pytest.mark.parametrize("case", CASES)
def test_norms_after_projection(case):
    constraint, desired = CASES[case]
    kept = W.copy()
    projected = constraint(W)
    np.testing.assert_array_equal(W, kept)
    np.testing.assert_allclose(projected, W * desired / (EPS + NORMS), rtol=1e-14)
    assert not np.shares_memory(projected, W)
    np.testing.assert_array_equal(projected[:, 0], 0.0)


@pytest.mark.parametrize("axis", [1, -1])
def test_axis(axis):
    np.testing.assert_array_equal(MaxNorm(1.0, axis=axis)(W.T), MaxNorm(1.0)(W).T)
    np.testing.assert_allclose(np.linalg.norm(UnitNorm()([3.0, 4.0])), 1.0, rtol=1e-6)


def test_non_negative():
    np.testing.assert_array_equal(NonNeg()(W), np.where(W > 0, W, 0.0))
    assert np.isnan(NonNeg()([np.nan])[0])


@pytest.mark.parametrize("constraint", [MaxNorm(), NonNeg(), UnitNorm(), MinMaxNorm()], ids=repr)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_is_kept(constraint, dtype):
    assert constraint(W.astype(dtype)).dtype == dtype
    assert constraint(np.array([[1, 2]])).dtype == np.float64


@pytest.mark.parametrize(
    ("constraint", "kind", "params", "axis"),
    [
        (MaxNorm(), "max_norm", (2.0,), 0),
        (MaxNorm(3, axis=1), "max_norm", (3.0,), 1),
        (NonNeg(), "non_neg", (), None),
        (UnitNorm(), "unit_norm", (), 0),
        (MinMaxNorm(), "min_max_norm", (0.0, 1.0, 1.0), 0),
    ],
    ids=repr,
)
def test_what_the_engine_reads(constraint, kind, params, axis):
    assert (constraint.kind, constraint.params, constraint.axis) == (kind, params, axis)
    assert all(type(value) is float for value in constraint.params)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (MaxNorm, {"max_value": -1.0}),
        (MaxNorm, {"axis": 0.5}),
        (UnitNorm, {"axis": None}),
        (MinMaxNorm, {"min_value": -0.1}),
        (MinMaxNorm, {"max_value": float("nan")}),
        (MinMaxNorm, {"rate": 1.5}),
        (L1, {"l1": -0.1}),
        (L2, {"l2": float("inf")}),
        (L1L2, {"l2": "0.1"}),
    ],
)
def test_arguments_are_checked(cls, arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(ArgumentError, match=rf"`{name}` of {cls.__name__} must be .*Received: {name}="):
        cls(**arguments)


def test_limits_must_be_in_order():
    with pytest.raises(ArgumentError, match=r"max_value.*\[2, inf\).*Received: max_value=1.0"):
        MinMaxNorm(2.0, 1.0)


def test_a_missing_axis_is_refused():
    with pytest.raises(ShapeError, match=r"MaxNorm.*axis 1.*Received: weights of shape \(3,\)"):
        MaxNorm(axis=1)(np.ones(3))


# ------------------------------------------------------------------------------ regularizers


@pytest.mark.parametrize(
    ("regularizer", "l1", "l2"),
    [
        (L1(), 0.01, 0.0),
        (L2(), 0.0, 0.01),
        (L1(None), 0.01, 0.0),
        (L1L2(), 0.0, 0.0),
        (L1L2(None, 0.5), 0.0, 0.5),
        (L1L2(l1=0.2, l2=0.3), 0.2, 0.3),
        (regularizers.l1(0.4), 0.4, 0.0),
        (regularizers.l2(0.4), 0.0, 0.4),
        (regularizers.l1_l2(0.1, 1), 0.1, 1.0),
    ],
    ids=repr,
)
def test_penalty_and_gradient(regularizer, l1, l2):
    assert (regularizer.l1, regularizer.l2) == (l1, l2)
    assert type(regularizer.l1) is type(regularizer.l2) is float
    penalty = regularizer(W)
    assert type(penalty) is float
    assert penalty == pytest.approx(l1 * np.abs(W).sum() + l2 * (W**2).sum(), rel=1e-14)
    np.testing.assert_array_equal(regularizer.gradient(np.zeros(2)), 0.0)
    direction, h = np.random.default_rng(4).normal(size=W.shape), 1e-6
    direction[:, 0] = 0.0  # the kink of |w| at 0
    difference = (regularizer(W + h * direction) - regularizer(W - h * direction)) / (2 * h)
    assert difference == pytest.approx(np.sum(regularizer.gradient(W) * direction), rel=1e-6, abs=1e-8)
    assert regularizer.gradient(W.astype(np.float32)).dtype == np.float32


# --------------------------------------------------------------------- names, configuration

NAMED = {
    "max_norm": MaxNorm,
    "non_neg": NonNeg,
    "unit_norm": UnitNorm,
    "min_max_norm": MinMaxNorm,
    "l1": L1,
    "l2": L2,
    "l1_l2": L1L2,
    "L1L2": L1L2,
}


@pytest.mark.parametrize("name", NAMED)
def test_names_and_configuration(name):
    cls = NAMED[name]
    module = regularizers if issubclass(cls, regularizers.Regularizer) else constraints
    assert type(module.get(name)) is type(module.get(cls.__name__)) is type(module.get(cls)) is cls
    instance = cls()
    assert module.get(instance) is instance
    again = module.get(json.loads(json.dumps(module.serialize(instance))))
    assert type(again) is cls
    assert again.get_config() == instance.get_config()
    assert repr(again) == repr(instance)


def test_none_stays_none():
    assert constraints.get(None) is None
    assert constraints.serialize(None) is None
    assert regularizers.get(None) is None
    assert regularizers.serialize(None) is None


def test_unknown_names_and_functions():
    with pytest.raises(UnknownNameError, match=r"Unknown constraint.*Did you mean 'max_norm'"):
        constraints.get("maxnrm")
    with pytest.raises(UnknownNameError, match=r"Unknown regularizer.*expected one of l1, l1_l2"):
        regularizers.get("ridge")
    with pytest.raises(DtypeError, match=r"constraint.*Received: <function.* of type function"):
        constraints.get(lambda w: w)
    with pytest.raises(DtypeError, match=r"regularizer.*Received: <function"):
        regularizers.get(lambda w: 0.0)
