"""What is done to weights after an update: their moving average, and constraints."""

from __future__ import annotations

import math

import numpy as np

from fastnn.backends.cpu.jit import bits_to_float, inline, vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import STEP
from fastnn.backends.cpu.update_gradients import sliced
from fastnn.backends.cpu.updates import slice_high, slice_low
from fastnn.ops.updates import NORM_EPSILON

_F64 = np.float64


def _average(dtype):
    """average = m average + (1 - m) p: q = [start, count, steps an update, overwrite every, m, p, average].

    The first update sets the average to the weights; every so many updates (0: never) it replaces them.
    """
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        low = slice_low(q, r)
        n, at = slice_high(q, r) - low, low * size
        t = (r[STEP] + 1) // q[3]
        m = bits_to_float(q[5])
        keep, add = dtype(m), dtype(1.0 - m)
        p, average = vector(q[6] + at, n, dtype), vector(q[8] + at, n, dtype)
        if t <= 1:
            for i in range(n):
                average[i] = p[i]
        else:
            for i in range(n):
                average[i] = keep * average[i] + add * p[i]
        if q[4] and t % q[4] == 0:
            for i in range(n):
                p[i] = average[i]

    return kernel


def _non_neg(dtype):
    """p = max(p, 0), NaN kept: q = [start, count, p]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        low = slice_low(q, r)
        n, zero = slice_high(q, r) - low, dtype(0)
        p = vector(q[3] + low * size, n, dtype)
        for i in range(n):
            x = p[i]
            p[i] = zero if x < zero else x

    return kernel


# Desired norms, from the norm and the constraint's numbers; a NaN passes through.
@inline
def _max_norm(norm, a, b, c):
    return a if norm > a else norm


@inline
def _unit_norm(norm, a, b, c):
    return 1.0


@inline
def _min_max_norm(norm, a, b, c):
    clipped = b if norm > b else (a if norm < a else norm)
    return c * clipped + (1.0 - c) * norm


NORMS = {"max_norm": _max_norm, "unit_norm": _unit_norm, "min_max_norm": _min_max_norm}


def _project(dtype, desired):
    """Give each norm along the middle axis its desired size.

    q = [outer, length, inner, a, b, c, p, norms]; `p` is ``(outer, length, inner)``; `norms` has room for
    `inner` float64. Rows are walked in order, so that the inner loops are contiguous.
    """
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        length, inner = q[2], q[3]
        a, b, c = bits_to_float(q[4]), bits_to_float(q[5]), bits_to_float(q[6])
        norms = vector(q[9], inner, _F64)
        for outer in range(q[1]):
            base = q[7] + outer * length * inner * size
            if inner == 1:
                _project_row(vector(base, length, dtype), length, desired, a, b, c, dtype)
                continue
            for j in range(inner):
                norms[j] = 0.0
            for k in range(length):
                row = vector(base + k * inner * size, inner, dtype)
                for j in range(inner):
                    x = _F64(row[j])
                    norms[j] += x * x
            for j in range(inner):
                norm = math.sqrt(norms[j])
                norms[j] = desired(norm, a, b, c) / (NORM_EPSILON + norm)
            for k in range(length):
                row = vector(base + k * inner * size, inner, dtype)
                for j in range(inner):
                    row[j] *= dtype(norms[j])

    return kernel


@inline
def _project_row(row, length, desired, a, b, c, dtype):
    total = 0.0
    for k in range(length):
        x = _F64(row[k])
        total += x * x
    norm = math.sqrt(total)
    factor = dtype(desired(norm, a, b, c) / (NORM_EPSILON + norm))
    for k in range(length):
        row[k] *= factor


# --------------------------------------------------------------------------- lowering
@lowers("average_weights")
def lower_average(instruction, target: Target):
    """Lower the moving average of the weights."""
    (p, average), attrs = instruction.outputs, instruction.attrs
    numbers = (attrs["steps"], attrs["overwrite"], attrs["momentum"])
    operands = (attrs["start"], p.spec.size, *numbers, p, average)
    return sliced("average_weights", _average, target, operands)


@lowers("non_neg")
def lower_non_neg(instruction, target: Target):
    """Lower the constraint to weights that are not negative."""
    (p,) = instruction.outputs
    return sliced("non_neg", _non_neg, target, (instruction.attrs["start"], p.spec.size, p))


@lowers("max_norm", "unit_norm", "min_max_norm")
def lower_norm(instruction, target: Target):
    """Lower a constraint on norms along an axis."""
    p, norms = instruction.outputs
    attrs, op = instruction.attrs, instruction.op
    shape, axis = p.spec.shape, attrs["axis"]
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    numbers = [float(number) for number in (*attrs["params"], 0.0, 0.0, 0.0)[:3]]
    operands = (outer, shape[axis], inner, *numbers, p, norms)
    return [Row(f"{op}({target.name})", lambda: _project(target.dtype, NORMS[op]), operands)]
