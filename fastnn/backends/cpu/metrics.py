"""Metrics that are sums over rows, added to a float64 accumulator while training.

As in `fastnn.metrics`: a row with a NaN among its predictions has no value, so the sum is NaN, unless the
row's weight is 0: such a row is left out, whatever it holds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnn.backends.cpu.jit import inline, vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import ROWS, at

_F64 = np.float64
_LABEL = np.int32


@inline
def _squared_error(t, p):
    d = _F64(p) - _F64(t)
    return d * d


@inline
def _absolute_error(t, p):
    return abs(_F64(p) - _F64(t))


@inline
def _binary_hit(t, p):
    predicted = _F64(1) if _F64(p) > _F64(0.5) else _F64(0)
    hit = _F64(1) if predicted == _F64(t) else _F64(0)
    return hit if p == p else _F64(p)


def elementwise(dtype, units_major: bool, weighted: bool, term: Callable):
    """Add the means over columns: q = [target, prediction, (weight), accumulator, units]."""
    size = np.dtype(dtype).itemsize
    last = 7 if weighted else 5
    w_w = 5 if weighted else 1

    def kernel(q, r):
        n, k = r[ROWS], q[last + 2]
        lines, length = (k, n) if units_major else (n, k)
        t0, p0 = at(q, r, 1), at(q, r, 3)
        w = vector(at(q, r, w_w), n, dtype)
        total = _F64(0)
        for line in range(lines):
            t = vector(t0 + line * length * size, length, dtype)
            p = vector(p0 + line * length * size, length, dtype)
            for i in range(length):
                value = term(t[i], p[i])
                if weighted:
                    weight = _F64(w[i if units_major else line])
                    value *= weight
                    value = value if weight != 0 else _F64(0)
                total += value
        vector(q[last], 1, _F64)[0] += total / _F64(k)

    return kernel


def class_hits(dtype, units_major: bool, weighted: bool, sparse: bool):
    """Count the rows whose largest prediction, the first of equals, is at the target's class."""
    last = 7 if weighted else 5
    w_w = 5 if weighted else 1

    def kernel(q, r):
        n, k = r[ROWS], q[last + 2]
        t0, p0 = at(q, r, 1), at(q, r, 3)
        labels, w = vector(t0, n, _LABEL), vector(at(q, r, w_w), n, dtype)
        t, p = vector(t0, n * k, dtype), vector(p0, n * k, dtype)
        row, column = (1, n) if units_major else (k, 1)
        total = _F64(0)
        for i in range(n):
            start = i * row
            top, guess = p[start], 0
            bad = top  # NaN once a prediction is
            for j in range(1, k):
                v = p[start + j * column]
                bad = bad if v == v else v
                above = v > top
                top = v if above else top
                guess = j if above else guess
            answer = _first_largest(t, start, column, k) if not sparse else np.int64(labels[i])
            value = _F64(1) if guess == answer else _F64(0)
            value = value if bad == bad else _F64(bad)
            if weighted:
                weight = _F64(w[i])
                value *= weight
                value = value if weight != 0 else _F64(0)
            total += value
        vector(q[last], 1, _F64)[0] += total

    return kernel


@inline
def _first_largest(x, start, step, count):
    top, index = x[start], 0
    for j in range(1, count):
        v = x[start + j * step]
        above = v > top
        top = v if above else top
        index = j if above else index
    return index


_TERMS = {
    "metric_binary_accuracy": _binary_hit,
    "metric_mean_squared_error": _squared_error,
    "metric_mean_absolute_error": _absolute_error,
}


def _lower(instruction, target: Target, name: str, build: Callable, option) -> list[Row]:
    weighted = len(instruction.inputs) == 3
    units = instruction.inputs[1].spec.size
    units_major = target.units_major or units == 1
    layout = f"{'units,' if units_major else ''}{'weighted,' if weighted else ''}"
    return [
        Row(
            f"{name}({layout}{target.name})",
            lambda: build(target.dtype, units_major, weighted, option),
            (*instruction.inputs, *instruction.outputs, units),
        )
    ]


@lowers(*_TERMS)
def lower_elementwise(instruction, target: Target):
    """Lower a metric that is a mean over columns."""
    return _lower(instruction, target, instruction.op, elementwise, _TERMS[instruction.op])


@lowers("metric_categorical_accuracy", "metric_sparse_categorical_accuracy")
def lower_classes(instruction, target: Target):
    """Lower the accuracies over classes."""
    return _lower(instruction, target, instruction.op, class_hits, "sparse" in instruction.op)
