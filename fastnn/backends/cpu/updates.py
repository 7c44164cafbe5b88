"""Optimizer updates: one loop over the flat vector, into which each optimizer's rule is inlined.

A rule is two short functions: ``prepare`` turns the hyperparameters and the update's number into scalars,
once a call and in float64; ``step`` is the equation on one element. The kernels are compiled without
fast-math flags: a remainder loop then rounds as the packed loop does, so the same bits come out however
the team slices the vector. (Adam on 7,233 float32: 2.3 us either way; 1.2 us of it is memory traffic.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.cpu.jit import inline_math, vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import HIGH, LOW, STEP
from fastnn.ops.updates import rule_name

_F64 = np.float64
#: Elements a pass of the rules that take two passes: they stay in the first-level cache between the two.
_PASS = 512
#: Float64 numbers a rule may read: learning rate, weight decay, the optimizer's own, its state.
_HYPER = 8


class Rule(NamedTuple):
    """An optimizer as the kernels inline it.

    Attributes
    ----------
    prepare : callable
        ``prepare(h, t) -> seven float64`` from the hyperparameters and the update's number, from 1.
    step : callable
        ``step(p, g, a, b, c) -> (p, a, b)``; `a` and `b` are the state, `c` the prepared scalars.
    advance : callable or None
        Rules with three state vectors: ``advance(g, a, b, d, c) -> (a, b, d)`` first, and `step` becomes
        ``step(p, a, b, d, c) -> p``. Five arrays in one loop would need more alias checks than LLVM
        accepts, and the loop would stay scalar.
    """

    prepare: Callable
    step: Callable
    advance: Callable | None = None


@inline_math
def slice_low(q, r):
    """First element of this thread's slice, relative to the range that starts at ``q[1]``."""
    return max(r[LOW] - q[1], 0)


@inline_math
def slice_high(q, r):
    """End of this thread's slice, relative to the range of ``q[2]`` elements that starts at ``q[1]``."""
    return min(r[HIGH] - q[1], q[2])


# --------------------------------------------------------------------------- the rules
# h[0] is the learning rate, h[1] the weight decay, then the numbers of fastnn.ops.updates in order.
# Scalars reach `step` in the array's dtype: a literal would promote float32.
@inline_math
def _sgd_scalars(h, t):
    return h[0], h[2], 0.0, 0.0, 0.0, 0.0, 0.0


@inline_math
def _sgd(p, g, a, b, c):
    return p - c[0] * g, a, b


@inline_math
def _sgd_momentum(p, g, a, b, c):
    a = c[1] * a - c[0] * g
    return p + a, a, b


@inline_math
def _sgd_nesterov(p, g, a, b, c):
    a = c[1] * a - c[0] * g
    return p + (c[1] * a - c[0] * g), a, b


@inline_math
def _rmsprop_scalars(h, t):
    return h[0], h[2], 1.0 - h[2], h[3], h[4], 0.0, 0.0


@inline_math
def _rmsprop(p, g, a, b, c):
    a = c[1] * a + c[2] * (g * g)
    return p - c[0] * g / math.sqrt(a + c[4]), a, b


@inline_math
def _rmsprop_momentum(p, g, a, b, c):
    a = c[1] * a + c[2] * (g * g)
    b = c[3] * b + c[0] * g / math.sqrt(a + c[4])
    return p - b, a, b


@inline_math
def _rmsprop_centered(p, g, a, b, c):
    a = c[1] * a + c[2] * (g * g)
    b = c[1] * b + c[2] * g
    return p - c[0] * g / math.sqrt(a - b * b + c[4]), a, b


@inline_math
def _rmsprop_both_state(g, a, b, d, c):
    a = c[1] * a + c[2] * (g * g)
    d = c[1] * d + c[2] * g
    return a, c[3] * b + c[0] * g / math.sqrt(a - d * d + c[4]), d


@inline_math
def _rmsprop_both(p, a, b, d, c):
    return p - b


@inline_math
def _adagrad_scalars(h, t):
    return h[0], h[2], 0.0, 0.0, 0.0, 0.0, 0.0


@inline_math
def _adagrad(p, g, a, b, c):
    a = a + g * g
    return p - c[0] * g / math.sqrt(a + c[1]), a, b


@inline_math
def _adadelta_scalars(h, t):
    return h[0], h[2], 1.0 - h[2], h[3], 0.0, 0.0, 0.0


@inline_math
def _adadelta(p, g, a, b, c):
    a = c[1] * a + c[2] * (g * g)
    delta = -g * math.sqrt(b + c[3]) / math.sqrt(a + c[3])
    b = c[1] * b + c[2] * (delta * delta)
    return p + c[0] * delta, a, b


@inline_math
def _adam_scalars(h, t):
    alpha = h[0] * math.sqrt(1.0 - math.pow(h[3], t)) / (1.0 - math.pow(h[2], t))
    return alpha, 1.0 - h[2], 1.0 - h[3], h[4], 0.0, 0.0, 0.0


@inline_math
def _adam(p, g, a, b, c):
    a = a + (g - a) * c[1]
    b = b + (g * g - b) * c[2]
    return p - c[0] * a / (math.sqrt(b) + c[3]), a, b


@inline_math
def _amsgrad_state(g, a, b, d, c):
    a = a + (g - a) * c[1]
    b = b + (g * g - b) * c[2]
    return a, b, d if d > b else b


@inline_math
def _amsgrad(p, a, b, d, c):
    return p - c[0] * a / (math.sqrt(d) + c[3])


@inline_math
def _adamax_scalars(h, t):
    return h[0] / (1.0 - math.pow(h[2], t)), 1.0 - h[2], h[3], h[4], 0.0, 0.0, 0.0


@inline_math
def _adamax(p, g, a, b, c):
    a = a + (g - a) * c[1]
    old, new = c[2] * b, abs(g)
    b = old if old > new else new
    return p - c[0] * a / (b + c[3]), a, b


@inline_math
def nadam_momentum(beta_1, t):
    """Nadam's momentum of update number `t`."""
    return beta_1 * (1.0 - 0.5 * math.pow(0.96, t))


@inline_math
def _nadam_scalars(h, t):
    now, following, product = nadam_momentum(h[2], t), nadam_momentum(h[2], t + 1.0), h[6]
    mean = h[0] * following / (1.0 - product * following)
    fresh = h[0] * (1.0 - now) / (1.0 - product)
    return mean, 1.0 - h[2], 1.0 - h[3], h[4], fresh, 1.0 - math.pow(h[3], t), 0.0


@inline_math
def _nadam(p, g, a, b, c):
    a = a + (g - a) * c[1]
    b = b + (g * g - b) * c[2]
    return p - (c[0] * a + c[4] * g) / (math.sqrt(b / c[5]) + c[3]), a, b


@inline_math
def _radam_scalars(h, t):
    power = math.pow(h[3], t)
    limit = 2.0 / (1.0 - h[3]) - 1.0
    left = limit - 2.0 * t * power / (1.0 - power)
    alpha = h[0] / (1.0 - math.pow(h[2], t))
    if left <= 5.0:  # too few updates to estimate the variance
        return alpha, 1.0 - h[2], 1.0 - h[3], h[4], 0.0, 0.0, 0.0
    scale = math.sqrt((left - 4.0) * (left - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * left))
    return alpha * scale * math.sqrt(1.0 - power), 1.0 - h[2], 1.0 - h[3], h[4], 1.0, 0.0, 0.0


@inline_math
def _radam(p, g, a, b, c):
    a = a + (g - a) * c[1]
    b = b + (g * g - b) * c[2]
    plain = c[0] * a
    rectified = plain / (math.sqrt(b) + c[3])
    return p - (rectified if c[4] > 0 else plain), a, b


@inline_math
def _lion_scalars(h, t):
    return h[0], h[2], 1.0 - h[2], h[3], 1.0 - h[3], 0.0, 0.0


@inline_math
def _lion(p, g, a, b, c):
    mixed = c[1] * a + c[2] * g
    up, down = p - c[0], p + c[0]
    still = p + mixed * (mixed - mixed)  # p, or NaN where the gradient is not finite
    p = up if mixed > 0 else (down if mixed < 0 else still)
    return p, c[3] * a + c[4] * g, b


RULES: dict[str, Rule] = {
    "sgd": Rule(_sgd_scalars, _sgd),
    "sgd_momentum": Rule(_sgd_scalars, _sgd_momentum),
    "sgd_nesterov": Rule(_sgd_scalars, _sgd_nesterov),
    "rmsprop": Rule(_rmsprop_scalars, _rmsprop),
    "rmsprop_momentum": Rule(_rmsprop_scalars, _rmsprop_momentum),
    "rmsprop_centered": Rule(_rmsprop_scalars, _rmsprop_centered),
    "rmsprop_centered_momentum": Rule(_rmsprop_scalars, _rmsprop_both, _rmsprop_both_state),
    "adagrad": Rule(_adagrad_scalars, _adagrad),
    "adadelta": Rule(_adadelta_scalars, _adadelta),
    "adam": Rule(_adam_scalars, _adam),
    "adam_amsgrad": Rule(_adam_scalars, _amsgrad, _amsgrad_state),
    "adamax": Rule(_adamax_scalars, _adamax),
    "nadam": Rule(_nadam_scalars, _nadam),
    "radam": Rule(_radam_scalars, _radam),
    "lion": Rule(_lion_scalars, _lion),
}


# --------------------------------------------------------------------------- the loops
# q = [start, count, steps an update, p, g, hyper, slots...]
@inline_math
def _scalars(prepare, q, r, dtype):
    """Prepare a rule's scalars in float64 and round them once."""
    t = _F64((r[STEP] + 1) // q[3])
    s = prepare(vector(q[8], _HYPER, _F64), t)
    return dtype(s[0]), dtype(s[1]), dtype(s[2]), dtype(s[3]), dtype(s[4]), dtype(s[5]), dtype(s[6])


@inline_math
def _decay_rate(q):
    h = vector(q[8], _HYPER, _F64)
    return h[0] * h[1]


def _one_pass(dtype, rule: Rule, slots: int, decay: bool):
    """Update with at most two state vectors."""
    prepare, step = rule.prepare, rule.step
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        low = slice_low(q, r)
        n, at = slice_high(q, r) - low, low * size
        if n <= 0:
            return
        c = _scalars(prepare, q, r, dtype)
        rate = dtype(_decay_rate(q)) if decay else dtype(0)
        p, g = vector(q[4] + at, n, dtype), vector(q[6] + at, n, dtype)
        a = vector(q[10] + at, n, dtype) if slots > 0 else g
        b = vector(q[12] + at, n, dtype) if slots > 1 else g
        for i in range(n):
            x = p[i]
            if decay:
                x -= x * rate
            x, y, z = step(x, g[i], a[i], b[i], c)
            p[i] = x
            if slots > 0:
                a[i] = y
            if slots > 1:
                b[i] = z

    return kernel


def _two_passes(dtype, rule: Rule, slots: int, decay: bool):
    """Update with three state vectors: the state first, then the parameters."""
    prepare, step = rule.prepare, rule.step
    advance: Any = rule.advance
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        low, high = slice_low(q, r), slice_high(q, r)
        if high <= low:
            return
        c = _scalars(prepare, q, r, dtype)
        rate = dtype(_decay_rate(q)) if decay else dtype(0)
        for begin in range(low, high, _PASS):
            n, at = min(_PASS, high - begin), begin * size
            p, g = vector(q[4] + at, n, dtype), vector(q[6] + at, n, dtype)
            a, b, d = vector(q[10] + at, n, dtype), vector(q[12] + at, n, dtype), vector(q[14] + at, n, dtype)
            for i in range(n):
                a[i], b[i], d[i] = advance(g[i], a[i], b[i], d[i], c)
            for i in range(n):
                x = p[i]
                if decay:
                    x -= x * rate
                p[i] = step(x, a[i], b[i], d[i], c)

    return kernel


def _nadam_schedule():
    """Bring the product of Nadam's momenta up to this update: q = [steps an update, hyper].

    The state is (how many factors, product); a state that does not fit the step (a resumed run) is
    computed anew, and one that is up to date is left alone.
    """

    def kernel(q, r):
        h = vector(q[2], _HYPER, _F64)
        t = _F64((r[STEP] + 1) // q[1])
        if h[5] == t:
            return
        if h[5] != t - 1.0:
            h[5], h[6] = 0.0, 1.0
        while h[5] < t:
            h[5] += 1.0
            h[6] *= nadam_momentum(h[2], h[5])

    return kernel


@lowers("sgd", "rmsprop", "adagrad", "adadelta", "adam", "adamax", "nadam", "radam", "lion")
def lower_update(instruction, target: Target):
    """Lower an optimizer's update of one contiguous range of parameters."""
    gradient, hyper = instruction.inputs
    parameter, *slots = instruction.outputs
    attrs = instruction.attrs
    name = rule_name(instruction.op, attrs, len(slots))
    rule, decay, steps = RULES[name], bool(attrs["decay"]), attrs["steps"]
    build = _two_passes if rule.advance else _one_pass
    key = f"{name}({'decay,' if decay else ''}{target.name})"
    rows = []
    if name == "nadam":
        rows.append(Row("nadam_schedule()", _nadam_schedule, (steps, hyper), exact=True))
    operands = (attrs["start"], parameter.spec.size, steps, parameter, gradient, hyper, *slots)
    rows.append(
        Row(key, lambda: build(target.dtype, rule, len(slots), decay), operands, sliced=True, exact=True)
    )
    return rows
