"""Activations: each with its derivative, and whether that is taken at the input or the output."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastnn.errors import ShapeError
from fastnn.ops.registry import Op, Sample, Spec, register, same_shape

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
_SQRT_2, _SQRT_2_PI = math.sqrt(2.0), math.sqrt(2.0 * math.pi)
_TANH_GELU = math.sqrt(2.0 / math.pi)

#: Names of the elementwise activations, and what each one's derivative reads: 'input' or 'output'.
ELEMENTWISE: dict[str, str] = {}


def _at_kinks(rng, kinks) -> list[Sample]:
    normal = Sample("normal", (3.0 * rng.standard_normal((17, 5)),))
    extremes = np.array([[0.0, -0.0, 1e-30, -1e-30, 30.0, -30.0, 800.0, -800.0, np.inf, -np.inf, np.nan]])
    samples = [Sample("one", (rng.standard_normal((1, 1)),)), normal, Sample("empty", (np.zeros((0, 3)),))]
    samples.append(Sample("large", (rng.standard_normal((301, 67)),)))
    samples.append(Sample("extremes", (extremes,), differentiable=False))
    if kinks:
        samples.append(Sample("kinks", (np.array([kinks], float),), differentiable=False))
    return samples


def elementwise(
    name: str,
    f: Callable[..., Any],
    derivative: Callable[..., Any],
    saves: str,
    attrs: dict[str, Any] | None = None,
    kinks: tuple[float, ...] = (),
    summary: str = "",
    variants: tuple[dict[str, Any], ...] = (),
) -> Op:
    """Register an elementwise op and its gradient op ``<name>_grad``.

    Parameters
    ----------
    name : str
    f : callable
        ``f(x, **attrs)`` on NumPy arrays.
    derivative : callable
        ``derivative(s, **attrs)`` where `s` is the op's input or output, as `saves` says.
    saves : {'input', 'output'}
    attrs : dict, optional
        Attributes with defaults.
    kinks : tuple of float
        Inputs at which there is no derivative.
    variants : tuple of dict
        Further attributes to test.
    """

    def gradient(emitter, inputs, outputs, d_outputs, attrs):
        saved = inputs[0] if saves == "input" else outputs[0]
        return [emitter.emit(f"{name}_grad", [d_outputs[0], saved], **attrs)]

    def samples(rng):
        found = _at_kinks(rng, kinks)
        for variant in variants:
            found.append(Sample(f"normal {variant}", found[1].arrays, dict(variant)))
        return found

    def gradient_samples(rng):
        found = []
        for s in samples(rng):
            if s.differentiable:
                (x,) = s.arrays
                saved = f(x, **{**(attrs or {}), **s.attrs}) if saves == "output" else x
                found.append(Sample(s.name, (rng.standard_normal(x.shape), saved), s.attrs))
        return found

    ELEMENTWISE[name] = saves
    op = register(
        Op(
            name,
            ("x",),
            same_shape,
            f,
            gradient,
            dict(attrs or {}),
            samples,
            summary=summary or f"y = {name}(x)",
        )
    )
    register(
        Op(
            f"{name}_grad",
            ("dy", saves),
            same_shape,
            lambda dy, s, **a: dy * derivative(s, **a),
            None,
            dict(attrs or {}),
            gradient_samples,
            summary=f"dx = dy * {name}'",
        )
    )
    return op


def _quiet(function):
    def wrapped(*args, **attrs):
        with np.errstate(all="ignore"):
            return function(*args, **attrs)

    return wrapped


@_quiet
def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0 / (1.0 + e), e / (1.0 + e))


@_quiet
def _softplus(x):
    return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))


@_quiet
def _erf(x):
    return np.vectorize(math.erf, otypes=[float])(x) if np.size(x) else np.zeros_like(x)


def _normal_cdf(x):
    return 0.5 * (1.0 + _erf(x / _SQRT_2))


@_quiet
def _gelu(x, approximate):
    if approximate:
        return 0.5 * x * (1.0 + np.tanh(_TANH_GELU * (x + 0.044715 * x**3)))
    return x * _normal_cdf(x)


@_quiet
def _gelu_derivative(x, approximate):
    if approximate:
        t = np.tanh(_TANH_GELU * (x + 0.044715 * x**3))
        return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * _TANH_GELU * (1.0 + 3 * 0.044715 * x * x)
    return _normal_cdf(x) + x * np.exp(-0.5 * x * x) / _SQRT_2_PI


@_quiet
def _relu(x, negative_slope, max_value, threshold):
    below = negative_slope * (x - threshold) if negative_slope else 0.0
    y = np.where(x < threshold, below, x)
    return y if max_value is None else np.where(y > max_value, max_value, y)


@_quiet
def _relu_derivative(x, negative_slope, max_value, threshold):
    slope = np.where(x > threshold, 1.0, negative_slope)
    return slope if max_value is None else np.where(x >= max_value, 0.0, slope)


@_quiet
def _elu(x, alpha):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


@_quiet
def _mish_derivative(x):
    t = np.tanh(_softplus(x))
    return t + x * (1.0 - t * t) * _sigmoid(x)


elementwise("linear", lambda x: x + 0.0, np.ones_like, "input", summary="y = x")
elementwise(
    "relu",
    _relu,
    _relu_derivative,
    "input",
    {"negative_slope": 0.0, "max_value": None, "threshold": 0.0},
    kinks=(0.0, 6.0),
    variants=({"negative_slope": 0.1}, {"max_value": 1.5}, {"threshold": 0.5, "negative_slope": 0.2}),
    summary="y = x above the threshold, negative_slope * (x - threshold) below, at most max_value",
)
elementwise(
    "leaky_relu",
    _quiet(lambda x, negative_slope: np.where(x > 0, x, negative_slope * x)),
    lambda y, negative_slope: np.where(y > 0, 1.0, negative_slope),
    "output",
    {"negative_slope": 0.2},
    kinks=(0.0,),
)
elementwise(
    "elu", _elu, lambda y, alpha: np.where(y > 0, 1.0, y + alpha), "output", {"alpha": 1.0},
    summary="y = x if x > 0 else alpha * (exp(x) - 1)", variants=({"alpha": 0.7},),
)  # fmt: skip
elementwise(
    "selu",
    lambda x: SELU_SCALE * _elu(x, SELU_ALPHA),
    lambda y: np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA),
    "output",
    kinks=(0.0,),
)
elementwise(
    "celu",
    _quiet(lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0) / alpha))),
    lambda y, alpha: np.where(y > 0, 1.0, y / alpha + 1.0),
    "output",
    {"alpha": 1.0},
    variants=({"alpha": 0.7},),
)
elementwise(
    "gelu", _gelu, _gelu_derivative, "input", {"approximate": False}, variants=({"approximate": True},)
)
elementwise(
    "silu",
    _quiet(lambda x: x * _sigmoid(x)),
    lambda x: _sigmoid(x) * (1.0 + x * (1.0 - _sigmoid(x))),
    "input",
    summary="y = x * sigmoid(x)",
)
elementwise("mish", _quiet(lambda x: x * np.tanh(_softplus(x))), _mish_derivative, "input")
elementwise("softplus", _softplus, lambda y: -np.expm1(-y), "output", summary="y = log(1 + exp(x))")
elementwise(
    "softsign",
    _quiet(lambda x: x / (1.0 + np.abs(x))),
    lambda y: (1.0 - np.abs(y)) ** 2,
    "output",
)
elementwise("tanh", np.tanh, lambda y: 1.0 - y * y, "output")
elementwise("sigmoid", _sigmoid, lambda y: y * (1.0 - y), "output", summary="y = 1 / (1 + exp(-x))")
elementwise(
    "hard_sigmoid",
    _quiet(lambda x: np.clip(x / 6.0 + 0.5, 0.0, 1.0)),
    lambda y: np.where((y > 0) & (y < 1), 1.0 / 6.0, 0.0),
    "output",
    kinks=(-3.0, 3.0),
)
elementwise(
    "hard_tanh",
    _quiet(lambda x: np.clip(x, -1.0, 1.0)),
    lambda y: np.where((y > -1) & (y < 1), 1.0, 0.0),
    "output",
    kinks=(-1.0, 1.0),
)
elementwise(
    "log_sigmoid",
    _quiet(lambda x: -_softplus(-x)),
    lambda y: -np.expm1(y),
    "output",
    summary="y = -log(1 + exp(-x))",
)
elementwise("exponential", _quiet(np.exp), lambda y: y, "output", summary="y = exp(x)")


# --------------------------------------------------------------------------- prelu: a slope per unit
def _prelu_shape(specs, attrs):
    if specs[0].shape != specs[1].shape:
        raise ShapeError(
            f"prelu needs one slope a unit: expected alpha of shape {specs[0].shape}. "
            f"Received: {specs[1].shape}."
        )
    return [specs[0]]


def _prelu_blocks(rng):
    """Give named blocks of rows: dy, x, and a slope for each unit."""
    for name, rows, units in (("normal", 17, 5), ("one", 1, 1), ("no rows", 0, 3), ("large", 301, 67)):
        yield name, *rng.standard_normal((2, rows, units)), rng.standard_normal(units)


register(
    Op(
        "prelu",
        ("x", "alpha"),
        _prelu_shape,
        _quiet(lambda x, alpha: np.where(x > 0, x, alpha * x)),
        lambda emitter, inputs, outputs, d_outputs, attrs: [
            emitter.emit("prelu_dx", [d_outputs[0], *inputs]),
            emitter.emit("prelu_dalpha", [d_outputs[0], inputs[0]]),
        ],
        samples=lambda rng: [
            *[Sample(name, (x, alpha)) for name, _, x, alpha in _prelu_blocks(rng)],
            Sample(
                "extremes",
                (np.array([[np.nan, np.inf, -np.inf, 0.0]]), np.full(4, 0.5)),
                differentiable=False,
            ),
        ],
        summary="y = x if x > 0 else alpha * x",
    )
)
register(
    Op(
        "prelu_dx",
        ("dy", "x", "alpha"),
        same_shape,
        lambda dy, x, alpha: dy * np.where(x > 0, 1.0, alpha),
        samples=lambda rng: [Sample(name, (dy, x, alpha)) for name, dy, x, alpha in _prelu_blocks(rng)],
        summary="dx = dy if x > 0 else alpha * dy",
    )
)
register(
    Op(
        "prelu_dalpha",
        ("dy", "x"),
        lambda specs, attrs: [Spec(specs[0].shape, rows=False)],
        lambda dy, x: (dy * np.minimum(x, 0.0)).sum(axis=0),
        samples=lambda rng: [Sample(name, (dy, x)) for name, dy, x, _ in _prelu_blocks(rng)],
        summary="dalpha = sum of dy * min(x, 0) over rows",
    )
)


# --------------------------------------------------------------------------- over the last axis
@_quiet
def _softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True, initial=-np.inf))
    return e / e.sum(axis=-1, keepdims=True)


@_quiet
def _log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True, initial=-np.inf)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _last_axis(name, f, derivative, summary, gradient_summary):
    def samples(rng):
        return [
            Sample("odd", (rng.standard_normal((17, 5)),)),
            Sample("two", (rng.standard_normal((9, 2)),)),
            Sample("one", (rng.standard_normal((1, 1)),)),
            Sample("empty", (np.zeros((0, 3)),)),
            Sample("large", (4.0 * rng.standard_normal((301, 67)),)),
            Sample(
                "saturated",
                (np.array([[1000.0, 0.0, -1000.0], [-1e30, -1e30, -1e30]]),),
                differentiable=False,
            ),
            Sample("nan", (np.array([[np.nan, 0.0, 1.0], [1.0, 2.0, 3.0]]),), differentiable=False),
        ]

    register(
        Op(
            name,
            ("x",),
            same_shape,
            f,
            lambda emitter, inputs, outputs, d_outputs, attrs: [
                emitter.emit(f"{name}_grad", [d_outputs[0], outputs[0]])
            ],
            samples=samples,
            summary=summary,
        )
    )
    register(
        Op(
            f"{name}_grad",
            ("dy", "y"),
            same_shape,
            derivative,
            samples=lambda rng: [
                Sample(s.name, (rng.standard_normal(s.arrays[0].shape), f(s.arrays[0])))
                for s in samples(rng)
                if s.differentiable
            ],
            summary=gradient_summary,
        )
    )


_last_axis(
    "softmax",
    _softmax,
    lambda dy, y: y * (dy - (dy * y).sum(axis=-1, keepdims=True)),
    "y = exp(x) / sum(exp(x)) over the last axis",
    "dx = y * (dy - sum(dy * y))",
)
_last_axis(
    "log_softmax",
    _log_softmax,
    lambda dy, y: dy - np.exp(y) * dy.sum(axis=-1, keepdims=True),
    "y = x - log(sum(exp(x))) over the last axis",
    "dx = dy - exp(y) * sum(dy)",
)
