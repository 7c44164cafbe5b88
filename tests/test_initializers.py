"""The initializers: distributions, scales, determinism, configuration."""

from __future__ import annotations

import inspect
import json
import math

import numpy as np
import pytest

from fastnn import initializers
from fastnn.errors import ArgumentError, DtypeError, ShapeError, UnknownNameError
from fastnn.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
)

AXES = "seed=None input_axes=None output_axes=None"
# Arguments, order and defaults, transcribed from Keras 3.15.1.
KERAS = {
    Zeros: "",
    Ones: "",
    Constant: "value=0.0",
    Identity: "gain=1.0",
    RandomNormal: "mean=0.0 stddev=0.05 seed=None",
    TruncatedNormal: "mean=0.0 stddev=0.05 seed=None",
    RandomUniform: "minval=-0.05 maxval=0.05 seed=None",
    VarianceScaling: f"scale=1.0 mode='fan_in' distribution='truncated_normal' {AXES}",
    GlorotNormal: AXES,
    GlorotUniform: AXES,
    HeNormal: AXES,
    HeUniform: AXES,
    LecunNormal: AXES,
    LecunUniform: AXES,
    Orthogonal: "gain=1.0 seed=None",
}
RANDOM = [cls for cls in KERAS if "seed" in KERAS[cls]]


def rng():
    return np.random.default_rng(11)


@pytest.mark.parametrize("cls", KERAS)
def test_signature_is_that_of_keras(cls):
    if cls in (Zeros, Ones):
        return
    parameters = inspect.signature(cls).parameters.values()
    assert " ".join(f"{p.name}={p.default!r}" for p in parameters) == KERAS[cls]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("cls", KERAS)
def test_shape_dtype_and_determinism(cls, dtype):
    values = cls()((6, 4), dtype, rng())
    assert values.shape == (6, 4)
    assert values.dtype == dtype
    assert values.flags.c_contiguous and values.flags.writeable and values.flags.owndata
    np.testing.assert_array_equal(values, cls()((6, 4), dtype, rng()))
    np.testing.assert_array_equal(values, cls()((6, 4), np.float64, rng()).astype(dtype))


@pytest.mark.parametrize("cls", RANDOM)
def test_an_own_seed_comes_before_the_generator(cls):
    shared = rng()
    state = shared.bit_generator.state
    first = cls(seed=3)((5, 4), np.float64, shared)
    assert shared.bit_generator.state == state
    np.testing.assert_array_equal(first, cls(seed=3)((5, 4), np.float64))
    assert not np.array_equal(first, cls(seed=4)((5, 4), np.float64))
    drawn = cls()((5, 4), np.float64, shared)
    assert not np.array_equal(drawn, cls()((5, 4), np.float64, shared))


@pytest.mark.parametrize("cls", RANDOM)
def test_nothing_reads_a_global_generator(cls):
    with pytest.raises(ArgumentError, match=rf"{cls.__name__} needs random numbers.*Received: rng=None"):
        cls()((2, 2))


def test_constants():
    np.testing.assert_array_equal(Zeros()((2, 3)), np.zeros((2, 3), np.float32))
    np.testing.assert_array_equal(Ones()((0, 3)), np.ones((0, 3)))
    np.testing.assert_array_equal(Constant(2.5)(()), np.float32(2.5))
    np.testing.assert_array_equal(Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])
    with pytest.raises(ShapeError, match=r"matrices only.*\(3,\)"):
        Identity()((3,))


SHAPE = (200, 300)
# name: (initializer, standard deviation, bound on the absolute value), by the formulas of the papers.
SPREADS = {
    "random_normal": (RandomNormal(stddev=0.5), 0.5, None),
    "truncated_normal": (TruncatedNormal(stddev=0.5), 0.5 * 0.87962566, 1.0),
    "random_uniform": (RandomUniform(-0.6, 0.6), 0.6 / math.sqrt(3), 0.6),
    "glorot_uniform": (GlorotUniform(), math.sqrt(2 / 500), math.sqrt(6 / 500)),
    "glorot_normal": (GlorotNormal(), math.sqrt(2 / 500), None),
    "he_uniform": (HeUniform(), math.sqrt(2 / 200), math.sqrt(6 / 200)),
    "he_normal": (HeNormal(), math.sqrt(2 / 200), 2 * math.sqrt(2 / 200) / 0.87962566),
    "lecun_uniform": (LecunUniform(), math.sqrt(1 / 200), math.sqrt(3 / 200)),
    "lecun_normal": (LecunNormal(), math.sqrt(1 / 200), None),
    "fan_out": (VarianceScaling(3.0, "fan_out", "untruncated_normal"), math.sqrt(3 / 300), None),
}


@pytest.mark.parametrize("case", SPREADS)
def test_spread(case):
    initializer, stddev, bound = SPREADS[case]
    values = initializer(SHAPE, np.float64, rng())
    count = values.size
    assert abs(values.mean()) < 4 * stddev / math.sqrt(count)
    assert values.std() == pytest.approx(stddev, rel=4 / math.sqrt(count))
    if bound is not None:
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.99 * bound


def test_mean_and_bounds_are_used():
    assert RandomNormal(mean=3.0)(SHAPE, np.float64, rng()).mean() == pytest.approx(3.0, abs=1e-3)
    assert TruncatedNormal(mean=3.0)(SHAPE, np.float64, rng()).mean() == pytest.approx(3.0, abs=1e-3)
    values = RandomUniform(2.0, 5.0)(SHAPE, np.float64, rng())
    assert values.min() >= 2.0
    assert values.max() < 5.0
    assert values.mean() == pytest.approx(3.5, abs=0.01)


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((7,), (7, 7)), ((2, 5), (2, 5)), ((3, 4, 2, 5), (24, 60)), ((0, 5), (0, 5))],
)
def test_fans(shape, fans):
    assert VarianceScaling().fans(shape) == fans


def test_fans_by_axes():
    initializer = HeNormal(input_axes=(0,), output_axes=(1, 2))
    assert initializer.fans((2, 3, 4)) == (2, 12)
    with pytest.raises(ShapeError, match=r"Received: shape \(2, 3\)"):
        initializer.fans((2, 3))
    assert VarianceScaling(seed=1)((0, 5)).shape == (0, 5)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (2, 3, 4), (1, 1)])
def test_orthogonal(shape):
    q = Orthogonal(gain=2.0)(shape, np.float64, rng()).reshape(-1, shape[-1]) / 2.0
    rows, cols = q.shape
    product = q.T @ q if rows >= cols else q @ q.T
    np.testing.assert_allclose(product, np.eye(min(rows, cols)), atol=1e-14)


def test_orthogonal_signs_are_uniform_and_need_two_axes():
    signs = [np.sign(Orthogonal(seed=seed)((1, 1)).item()) for seed in range(40)]
    assert 5 < signs.count(1.0) < 35
    with pytest.raises(ShapeError, match=r"two axes.*\(3,\)"):
        Orthogonal(seed=1)((3,))


def test_own_function_or_array():
    assert initializers.get(lambda shape, dtype: np.full(shape, 3, dtype))((2,)).tolist() == [3.0, 3.0]
    drawn = initializers.get(lambda shape, dtype, rng: rng.normal(size=shape))((3,), np.float64, rng())
    np.testing.assert_array_equal(drawn, rng().normal(size=3))
    array = np.arange(4.0).reshape(2, 2)
    given = initializers.get(array)
    values = given((2, 2), np.float64)
    np.testing.assert_array_equal(values, array)
    assert not np.shares_memory(values, array)
    with pytest.raises(ShapeError, match=r"must give shape \(3,\)\. Received: shape \(2, 2\)"):
        given((3,))
    with pytest.raises(ArgumentError, match="configuration cannot hold"):
        initializers.serialize(given)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (Constant, {"value": "a"}),
        (RandomNormal, {"stddev": -1.0}),
        (TruncatedNormal, {"mean": float("nan")}),
        (RandomUniform, {"maxval": -1.0}),
        (RandomUniform, {"seed": -1}),
        (RandomNormal, {"seed": 1.5}),
        (VarianceScaling, {"scale": 0.0}),
        (VarianceScaling, {"mode": "fan"}),
        (VarianceScaling, {"distribution": "cauchy"}),
        (GlorotUniform, {"input_axes": (0,)}),
        (Orthogonal, {"gain": None}),
    ],
)
def test_arguments_are_checked(cls, arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(ArgumentError, match=rf"`{name}`.* of {cls.__name__} must be .*Received: {name}="):
        cls(**arguments)


def test_bad_shapes_are_refused():
    with pytest.raises(ArgumentError, match=r"`shape` of Zeros must be an integer >= 0.*-1"):
        Zeros()((2, -1))
    with pytest.raises(ArgumentError, match=r"`shape` of Zeros.*2.5"):
        Zeros()((2.5,))


@pytest.mark.parametrize("cls", KERAS)
def test_names_and_configuration(cls):
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__).lstrip("_")
    assert type(initializers.get(snake)) is type(initializers.get(cls.__name__)) is cls
    assert type(initializers.get(cls)) is cls
    initializer = cls(**({"seed": 5} if cls in RANDOM else {}))
    assert initializers.get(initializer) is initializer
    again = initializers.get(json.loads(json.dumps(initializers.serialize(initializer))))
    assert type(again) is cls
    assert again.get_config() == initializer.get_config()
    np.testing.assert_array_equal(again((3, 2)), initializer((3, 2)))


def test_configuration_keeps_settings():
    given = VarianceScaling(2.0, "fan_out", "normal", input_axes=(0,), output_axes=[1])
    again = VarianceScaling.from_config(json.loads(json.dumps(given.get_config())))
    assert repr(again) == repr(given)
    assert again.distribution == "truncated_normal"


def test_unknown_names():
    with pytest.raises(UnknownNameError, match=r"Unknown initializer.*Did you mean 'glorot_uniform'"):
        initializers.get("glorot_unifrm")
    with pytest.raises(DtypeError, match=r"initializer.*Received: 3 of type int"):
        initializers.get(3)
