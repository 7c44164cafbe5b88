"""The elementwise losses as scalar functions: ``term(t, p, a, b, c) -> (value, slope)``.

`t` is the target, `p` the prediction, `a`, `b`, `c` the loss's settings, all of one dtype; `slope` is the
derivative of `value` with respect to `p`. Each function is made for a dtype, so that its constants have it:
a Python literal would promote float32 to float64. Nothing branches: every select has both sides computed.
A kernel that needs the value only drops the slope, and the compiler its arithmetic.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from fastnn.backends.cpu import vecmath as vm
from fastnn.backends.cpu.jit import inline
from fastnn.ops.loss_reference import EPS

#: Limits of the logarithms of p and of 1 - p for p clipped to [EPS, 1 - EPS]. The logarithms are clipped in
#: place of p because float32 has no 1 - EPS: the nearest number makes 1 - p too large by a fifth.
LOG_LOW, LOG_HIGH = math.log(EPS), math.log(1 - EPS)
LOG_REST_LOW, LOG_REST_HIGH = math.log1p(-(1 - EPS)), math.log1p(-EPS)


@inline
def at_least(x, low):
    """Return the larger of the two; NaN stays NaN."""
    return low if x < low else x


@inline
def at_most(x, high):
    """Return the smaller of the two; NaN stays NaN."""
    return high if x > high else x


@inline
def clip(x, low, high):
    """Return `x` within [low, high]; NaN stays NaN."""
    return at_most(at_least(x, low), high)


@inline
def signed(d, size):
    """Return `size` with the sign of `d`; 0 and NaN stay."""
    below = -size if d < d - d else d
    return size if d > d - d else below


# --------------------------------------------------------------------------- regression
@functools.cache
def _squared(dtype):
    @inline
    def term(t, p, a, b, c):
        d = p - t
        return d * d, d + d

    return term


@functools.cache
def _absolute(dtype):
    one = dtype(1)

    @inline
    def term(t, p, a, b, c):
        d = p - t
        return abs(d), signed(d, one)

    return term


@functools.cache
def _huber(dtype):
    half = dtype(0.5)

    @inline
    def term(t, p, a, b, c):
        d = p - t
        clipped = clip(d, -a, a)
        return clipped * (d - half * clipped), clipped

    return term


@functools.cache
def _log_cosh(dtype):
    half, one, two = dtype(0.5), dtype(1), dtype(2)

    @inline
    def term(t, p, a, b, c):
        d = p - t
        e = abs(d)
        g = vm.expm1(-two * e)
        tangent = -g / (two + g)
        # log cosh e = -log(1 - tanh(e)^2) / 2 = e + log((1 + exp(-2e)) / 2): the first for small errors.
        near, far = -tangent * tangent, half * g
        small = e < one
        log = vm.log1p(near if small else far)
        below, above = -half * log, e + log
        return below if small else above, signed(d, tangent)

    return term


@functools.cache
def _percentage(dtype):
    eps, hundred = dtype(EPS), dtype(100)

    @inline
    def term(t, p, a, b, c):
        d = p - t
        scale = hundred / at_least(abs(t), eps)
        return scale * abs(d), signed(d, scale)

    return term


@functools.cache
def _squared_logarithmic(dtype):
    eps, zero, one = dtype(EPS), dtype(0), dtype(1)

    @inline
    def term(t, p, a, b, c):
        raised = at_least(p, eps)
        d = vm.log1p(raised) - vm.log1p(at_least(t, eps))
        slope = (d + d) / (one + raised)
        return d * d, slope if p > eps else zero

    return term


@functools.cache
def _poisson(dtype):
    eps, one = dtype(EPS), dtype(1)

    @inline
    def term(t, p, a, b, c):
        q = p + eps
        return p - t * vm.log(q), one - t / q

    return term


@functools.cache
def quantile(dtype):
    one, zero = dtype(1), dtype(0)

    @inline
    def term(t, p, a, b, c):
        e = t - p
        above, below = a * e, (a - one) * e
        over = one - a if e < zero else zero
        return below if below > above else above, -a if e > zero else over

    return term


# --------------------------------------------------------------------------- two classes
@functools.cache
def _binary(dtype, logits: bool):
    """Binary cross-entropy of ``t a + b``."""
    zero, one = dtype(0), dtype(1)
    if logits:

        @inline
        def term(t, p, a, b, c):
            t = t * a + b
            e = vm.exp(-abs(p))
            r = one / (one + e)
            low = e * r
            sigmoid = low if p < zero else r
            # The compiler finds the exponential within softplus to be `e`: it is taken once.
            return vm.softplus(p) - p * t, sigmoid - t

        return term

    low, high = dtype(LOG_LOW), dtype(LOG_HIGH)
    rest_low, rest_high = dtype(LOG_REST_LOW), dtype(LOG_REST_HIGH)
    eps, top = dtype(EPS), dtype(1 - EPS)

    @inline
    def share_term(t, p, a, b, c):
        t = t * a + b
        inside = clip(p, zero, one)
        log_p = clip(vm.log(inside), low, high)
        log_q = clip(vm.log1p(-inside), rest_low, rest_high)
        slope = (p - t) / (p * (one - p))
        slope = zero if p < eps else slope
        return -(t * log_p + (one - t) * log_q), zero if p > top else slope

    return share_term


@functools.cache
def power(dtype, square: bool):
    """Make ``f(x, gamma) -> (x**gamma, its derivative)``, the derivative 0 where it is infinite."""
    zero, one = dtype(0), dtype(1)
    if square:

        @inline
        def f(x, gamma):
            return x * x, x + x

    else:

        @inline
        def f(x, gamma):
            lower = vm.exp((gamma - one) * vm.log(x))
            at_zero = one if gamma == one else zero
            lower = at_zero if x == zero else lower
            level = x * lower
            return one if gamma == zero else level, gamma * lower

    return f


@functools.cache
def _binary_focal(dtype, logits: bool, square: bool, balanced: bool):
    """``w miss**gamma crossentropy``, with a = alpha, b = gamma, c = label smoothing."""
    half, zero, one = dtype(0.5), dtype(0), dtype(1)
    entropy_of, power_of = _binary(dtype, logits), power(dtype, square)

    @inline
    def term(t, p, a, b, c):
        t = t * (one - c) + half * c
        entropy, d_entropy = entropy_of(t, p, one, zero, zero)
        if logits:
            e = vm.exp(-abs(p))
            r = one / (one + e)
            low = e * r
            share, rest = low if p < zero else r, r if p < zero else low
            inner = share * rest
        else:
            share, rest, inner = p, one - p, one
        miss = t * rest + (one - t) * share
        d_miss = (one - t - t) * inner
        factor, d_factor = power_of(miss, b)
        weight = t * a + (one - t) * (one - a) if balanced else one
        return weight * factor * entropy, weight * (d_factor * d_miss * entropy + factor * d_entropy)

    return term


@functools.cache
def _hinge(dtype, squared: bool):
    zero, one = dtype(0), dtype(1)

    @inline
    def term(t, p, a, b, c):
        y = -one if t <= zero else one
        m = one - y * p
        margin = zero if m < zero else m
        if squared:
            return margin * margin, -(y + y) * margin
        return margin, -y if m > zero else zero

    return term


@functools.cache
def _divergence(dtype):
    """A share of the Kullback-Leibler divergence."""
    eps, zero, one = dtype(EPS), dtype(0), dtype(1)

    @inline
    def term(t, p, a, b, c):
        t, q = clip(t, eps, one), clip(p, eps, one)
        ratio = t / q
        slope = -ratio if p >= eps else zero
        return t * vm.log(ratio), zero if p > one else slope

    return term


@functools.cache
def _penalty(dtype):
    """Activity penalty: ``a |p| + b p**2``; there is no target."""

    @inline
    def term(t, p, a, b, c):
        return a * abs(p) + b * p * p, signed(p, a) + b * (p + p)

    return term


def resolve(op: str, attrs: dict[str, Any]) -> tuple[str, Callable, tuple[float, float, float]]:
    """Return the variant's name, the maker of its function, and its settings a, b, c."""
    if op == "huber":
        return op, _huber, (attrs["delta"], 0.0, 0.0)
    if op == "activity_penalty":
        return op, _penalty, (attrs["l1"], attrs["l2"], 0.0)
    if op == "quantile":
        return op, quantile, (attrs["quantiles"][0], 0.0, 0.0)
    if op == "binary_crossentropy":
        logits, smoothing = attrs["from_logits"], attrs["label_smoothing"]
        name = f"{op},logits" if logits else op
        return name, lambda dtype: _binary(dtype, logits), (1.0 - smoothing, 0.5 * smoothing, 0.0)
    if op == "binary_focal_crossentropy":
        logits, balanced, gamma = attrs["from_logits"], attrs["apply_class_balancing"], attrs["gamma"]
        name = f"{op},{power_name(gamma)}{',logits' if logits else ''}{',balanced' if balanced else ''}"
        settings = (attrs["alpha"], gamma, attrs["label_smoothing"])
        return name, lambda dtype: _binary_focal(dtype, logits, gamma == 2.0, balanced), settings
    return op, _PLAIN[op], (0.0, 0.0, 0.0)


def power_name(gamma: float) -> str:
    """Return the part of a kernel's name that says which `power` it holds."""
    return "square" if gamma == 2.0 else "power"


_PLAIN: dict[str, Callable] = {
    "mean_squared_error": _squared,
    "mean_absolute_error": _absolute,
    "log_cosh": _log_cosh,
    "mean_absolute_percentage_error": _percentage,
    "mean_squared_logarithmic_error": _squared_logarithmic,
    "poisson": _poisson,
    "hinge": lambda dtype: _hinge(dtype, False),
    "squared_hinge": lambda dtype: _hinge(dtype, True),
    "kl_divergence": _divergence,
}
