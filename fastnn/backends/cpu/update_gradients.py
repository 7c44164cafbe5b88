"""What is done to gradients before an update: summing lanes, checks, penalties, accumulation, clipping.

Sliced kernels are elementwise and compiled without fast-math flags, so their bits do not depend on how
the team slices the vector; sums over a whole parameter are taken by one thread, in float64.
"""

from __future__ import annotations

import math

import numpy as np

from fastnn.backends.cpu.jit import bits_to_float, inline_math, vector
from fastnn.backends.cpu.lowering import FLAG, LANE_STRIDE, Row, Target, lowers
from fastnn.backends.cpu.registers import BATCH, LANES, SKIP, STEP
from fastnn.backends.cpu.updates import slice_high, slice_low

_F64 = np.float64
#: Elements of all lanes that are summed before the next ones: they stay in the first-level cache.
_PASS = 512


# --------------------------------------------------------------------------- sum of the lanes
@inline_math
def _add_lanes(at, step, others, n, dtype):
    """Sum up to four lanes into the first: ``(0 + 1) + (2 + 3)``."""
    g0, g1 = vector(at, n, dtype), vector(at + step, n, dtype)
    g2, g3 = vector(at + 2 * step, n, dtype), vector(at + 3 * step, n, dtype)
    if others >= 3:
        for i in range(n):
            g0[i] = (g0[i] + g1[i]) + (g2[i] + g3[i])
    elif others == 2:
        for i in range(n):
            g0[i] = (g0[i] + g1[i]) + g2[i]
    elif others == 1:
        for i in range(n):
            g0[i] = g0[i] + g1[i]


def _reduce(dtype):
    """Sum the lanes in use into the first, pair by pair: q = [start, count, lane stride, g].

    The tree depends on the number of lanes alone: neighbours first, then pairs of pairs.
    """
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        lanes = r[LANES]
        if lanes < 2:
            return
        high = slice_high(q, r)
        for begin in range(slice_low(q, r), high, _PASS):
            n = min(_PASS, high - begin)
            width = 1
            while width < lanes:  # two levels of the tree a pass
                for lane in range(0, lanes, 4 * width):
                    others = (lanes - lane - 1) // width
                    _add_lanes(q[4] + lane * q[3] + begin * size, width * q[3], others, n, dtype)
                width *= 4

    return kernel


# --------------------------------------------------------------------------- checks and penalties
def _check(dtype):
    """Set the flag if a number is NaN or infinite: q = [start, count, flag, g]."""
    size = np.dtype(dtype).itemsize
    bits, number = (np.int32, np.float32) if size == 4 else (np.int64, np.float64)
    magnitude = bits(np.iinfo(bits).max)
    infinity = bits(number(np.inf).view(bits))

    def kernel(q, r):
        low = slice_low(q, r)
        n = slice_high(q, r) - low
        g = vector(q[4] + low * size, n, bits)  # as integers: a maximum that needs no fast-math to vectorise
        largest = bits(0)
        for i in range(n):
            x = bits(g[i] & magnitude)
            largest = x if x > largest else largest
        if largest >= infinity:
            vector(q[3], 1, np.int64)[0] = 1

    return kernel


def _l1_l2(dtype):
    """g += l1 sign(p) + 2 l2 p: q = [start, count, l1, l2, p, g]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        low = slice_low(q, r)
        n, at = slice_high(q, r) - low, low * size
        l1, l2, zero = dtype(bits_to_float(q[3])), dtype(2.0 * bits_to_float(q[4])), dtype(0)
        p, g = vector(q[5] + at, n, dtype), vector(q[7] + at, n, dtype)
        for i in range(n):
            x = p[i]
            sign = l1 if x > zero else (-l1 if x < zero else zero)
            g[i] += sign + l2 * x

    return kernel


def _penalty(dtype):
    """sum += (l1 sum|p| + l2 sum p**2) rows of the batch: q = [count, l1, l2, p, sum]."""

    def kernel(q, r):
        p = vector(q[4], q[1], dtype)
        absolute = square = 0.0
        for i in range(q[1]):
            x = _F64(p[i])
            absolute += abs(x)
            square += x * x
        penalty = bits_to_float(q[2]) * absolute + bits_to_float(q[3]) * square
        vector(q[6], 1, _F64)[0] += penalty * r[BATCH]

    return kernel


# --------------------------------------------------------------------------- accumulation
def _accumulate(dtype):
    """Keep the sum; every `steps` batches give its mean: q = [start, count, steps, last, g, slot].

    In between, the last range of the vector has the rest of the update skipped.
    """
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        low = slice_low(q, r)
        n, at = slice_high(q, r) - low, low * size
        g, total = vector(q[5] + at, n, dtype), vector(q[7] + at, n, dtype)
        if (r[STEP] + 1) % q[3] == 0:
            steps, zero = dtype(q[3]), dtype(0)
            for i in range(n):
                g[i] = (g[i] + total[i]) / steps
                total[i] = zero
        else:
            for i in range(n):
                total[i] += g[i]
            if q[4]:
                r[SKIP] = 1

    return kernel


# --------------------------------------------------------------------------- clipping
def _clip_value(dtype):
    """Clip each element to [-limit, limit], NaN kept: q = [start, count, limit, g]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        low = slice_low(q, r)
        n = slice_high(q, r) - low
        limit = dtype(bits_to_float(q[3]))
        g = vector(q[4] + low * size, n, dtype)
        for i in range(n):
            x = g[i]
            x = limit if x > limit else x
            g[i] = -limit if x < -limit else x

    return kernel


def _clip_factor(dtype):
    """factor = limit / max(norm, limit): q = [count, limit, first, last, g, factor].

    The norm may span several ranges: the first one starts the sum of squares, the last one ends it.
    """

    def kernel(q, r):
        g, cell = vector(q[5], q[1], dtype), vector(q[7], 1, _F64)
        total = 0.0
        for i in range(q[1]):
            x = _F64(g[i])
            total += x * x
        if not q[3]:
            total += cell[0]
        if q[4]:
            norm, limit = math.sqrt(total), bits_to_float(q[2])
            total = 1.0 if norm <= limit else limit / norm
        cell[0] = total

    return kernel


def _scale(dtype):
    """g *= factor: q = [start, count, g, factor]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        low = slice_low(q, r)
        n = slice_high(q, r) - low
        g, factor = vector(q[3] + low * size, n, dtype), vector(q[5], 1, _F64)[0]
        if factor != 1.0:
            factor = dtype(factor)
            for i in range(n):
                g[i] *= factor

    return kernel


# --------------------------------------------------------------------------- lowering
def sliced(name: str, build, target: Target, operands, checked: bool = False) -> list[Row]:
    """Return the one row of an elementwise kernel, which the team shares."""
    key, dtype = f"{name}({target.name})", target.dtype
    return [Row(key, lambda: build(dtype), tuple(operands), sliced=True, exact=True, checked=checked)]


def whole(name: str, build, target: Target, operands) -> list[Row]:
    """Return the one row of a kernel that one thread runs."""
    dtype = target.dtype
    return [Row(f"{name}({target.name})", lambda: build(dtype), tuple(operands))]


@lowers("reduce_gradients")
def lower_reduce(instruction, target: Target):
    """Lower the sum of the lanes."""
    (g,) = instruction.outputs
    operands = (instruction.attrs["start"], g.spec.size, LANE_STRIDE, g)
    return sliced("reduce_gradients", _reduce, target, operands)


@lowers("check_finite")
def lower_check(instruction, target: Target):
    """Lower the search for NaN and infinity; the team stops after the last range."""
    (g,), attrs = instruction.inputs, instruction.attrs
    operands = (attrs["start"], g.spec.size, FLAG, g)
    return sliced("check_finite", _check, target, operands, checked=attrs["last"])


@lowers("l1_l2")
def lower_l1_l2(instruction, target: Target):
    """Lower the gradient of a weight penalty."""
    (p,), (g,), attrs = instruction.inputs, instruction.outputs, instruction.attrs
    return sliced("l1_l2", _l1_l2, target, (attrs["start"], p.spec.size, attrs["l1"], attrs["l2"], p, g))


@lowers("l1_l2_penalty")
def lower_penalty(instruction, target: Target):
    """Lower a weight penalty."""
    (p,), (total,), attrs = instruction.inputs, instruction.outputs, instruction.attrs
    return whole("l1_l2_penalty", _penalty, target, (p.spec.size, attrs["l1"], attrs["l2"], p, total))


@lowers("accumulate_gradients")
def lower_accumulate(instruction, target: Target):
    """Lower the accumulation of gradients over steps."""
    (g, total), attrs = instruction.outputs, instruction.attrs
    operands = (attrs["start"], g.spec.size, attrs["steps"], int(attrs["last"]), g, total)
    return sliced("accumulate_gradients", _accumulate, target, operands)


@lowers("clip_value")
def lower_clip_value(instruction, target: Target):
    """Lower clipping by value."""
    (g,), attrs = instruction.outputs, instruction.attrs
    return sliced("clip_value", _clip_value, target, (attrs["start"], g.spec.size, attrs["limit"], g))


@lowers("clip_factor")
def lower_clip_factor(instruction, target: Target):
    """Lower the factor that brings a norm down to its limit."""
    (g,), (factor,), attrs = instruction.inputs, instruction.outputs, instruction.attrs
    operands = (g.spec.size, attrs["limit"], int(attrs["first"]), int(attrs["last"]), g, factor)
    return whole("clip_factor", _clip_factor, target, operands)


@lowers("scale_gradient")
def lower_scale(instruction, target: Target):
    """Lower the multiplication of a gradient by such a factor."""
    (factor,), (g,) = instruction.inputs, instruction.outputs
    return sliced("scale_gradient", _scale, target, (instruction.attrs["start"], g.spec.size, g, factor))
