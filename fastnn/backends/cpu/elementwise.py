"""Ops on equal shapes as flat loops, which serve either layout; joining, cutting and copying."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnn.backends.cpu.jit import bits_to_float, inline, vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import ROWS, at


# --------------------------------------------------------------------------- equal shapes
@inline
def _add(x, other):
    return x + other


@inline
def _subtract(x, other):
    return x - other


@inline
def _multiply(x, other):
    return x * other


@inline
def _maximum(x, other):
    return x if x > other or x != x else other


@inline
def _minimum(x, other):
    return x if x < other or x != x else other


_BINARY: dict[str, Callable] = {
    "add": _add, "subtract": _subtract, "multiply": _multiply, "maximum": _maximum, "minimum": _minimum,
}  # fmt: skip


def binary(dtype, f):
    """y = f(x, other): q = [x, other, y, units]."""

    def kernel(q, r):
        n = r[ROWS] * q[7]
        x, other, y = (
            vector(at(q, r, 1), n, dtype),
            vector(at(q, r, 3), n, dtype),
            vector(at(q, r, 5), n, dtype),
        )
        for i in range(n):
            a = x[i]
            b = other[i]
            y[i] = f(a, b)

    return kernel


def chosen_grad(dtype, greater: bool):
    """dx = dy where x was chosen, half of it at a tie: q = [dy, x, other, dx, units]."""
    zero, half = dtype(0), dtype(0.5)

    def kernel(q, r):
        n = r[ROWS] * q[9]
        dy, x = vector(at(q, r, 1), n, dtype), vector(at(q, r, 3), n, dtype)
        other, dx = vector(at(q, r, 5), n, dtype), vector(at(q, r, 7), n, dtype)
        for i in range(n):
            d = dy[i]
            a = x[i]
            b = other[i]
            tie = d * half if a == b else zero
            chosen = a > b if greater else a < b
            dx[i] = d if chosen else tie

    return kernel


def scale(dtype):
    """y = factor x: q = [x, y, units, factor]."""

    def kernel(q, r):
        n = r[ROWS] * q[5]
        factor = dtype(bits_to_float(q[6]))
        x, y = vector(at(q, r, 1), n, dtype), vector(at(q, r, 3), n, dtype)
        for i in range(n):
            y[i] = factor * x[i]

    return kernel


@lowers(*_BINARY)
def lower_binary(instruction, target: Target):
    """Lower an op on two equal shapes."""
    f = _BINARY[instruction.op]
    operands = (*instruction.inputs, *instruction.outputs, instruction.inputs[0].spec.size)
    return [Row(f"{instruction.op}({target.name})", lambda: binary(target.dtype, f), operands)]


@lowers("maximum_grad", "minimum_grad")
def lower_chosen_grad(instruction, target: Target):
    """Lower the gradient of maximum or minimum."""
    greater = instruction.op == "maximum_grad"
    operands = (*instruction.inputs, *instruction.outputs, instruction.inputs[0].spec.size)
    return [Row(f"{instruction.op}({target.name})", lambda: chosen_grad(target.dtype, greater), operands)]


@lowers("scale")
def lower_scale(instruction, target: Target):
    """Lower a product with a constant."""
    operands = (*instruction.inputs, *instruction.outputs, instruction.inputs[0].spec.size,
                float(instruction.attrs["factor"]))  # fmt: skip
    return [Row(f"scale({target.name})", lambda: scale(target.dtype), operands)]


# --------------------------------------------------------------------------- along the last axis
def copy_columns(dtype, units_major: bool):
    """Copy columns between blocks of unlike width.

    q = [x, y, x's width, y's width, first column of x, first of y, columns, groups, pad]; with `pad` the
    other columns of y become zero.
    """
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        width, y_width, x_start, y_start, columns, pad = q[5], q[6], q[7], q[8], q[9], q[11]
        n = r[ROWS] * q[10]
        x0, y0 = at(q, r, 1), at(q, r, 3)
        if units_major:  # columns lie one after the other: one flat copy
            if pad:
                _clear(vector(y0, y_start * n, dtype))
                end = y_start + columns
                _clear(vector(y0 + end * n * size, (y_width - end) * n, dtype))
            x = vector(x0 + x_start * n * size, columns * n, dtype)
            y = vector(y0 + y_start * n * size, columns * n, dtype)
            for i in range(columns * n):
                y[i] = x[i]
            return
        if pad:
            _clear(vector(y0, n * y_width, dtype))
        for i in range(n):
            x = vector(x0 + (i * width + x_start) * size, columns, dtype)
            y = vector(y0 + (i * y_width + y_start) * size, columns, dtype)
            for j in range(columns):
                y[j] = x[j]

    return kernel


@inline
def _clear(values):
    for i in range(values.size):
        values[i] = 0


def _columns(target: Target, x, y, x_start: int, y_start: int, columns: int, pad: bool) -> Row:
    groups = y.spec.size // max(y.spec.shape[-1], 1)
    dtype, name = (target.dtype, target.name) if x.spec.kind == "float" else (np.int32, "int32")
    return Row(
        f"copy_columns({'units,' if target.units_major else ''}{name})",
        lambda: copy_columns(dtype, target.units_major),
        (x, y, x.spec.shape[-1], y.spec.shape[-1], x_start, y_start, columns, groups, int(pad)),
    )


@lowers("concatenate")
def lower_concatenate(instruction, target: Target):
    """Lower to one copy for each input."""
    rows, start = [], 0
    for x in instruction.inputs:
        rows.append(_columns(target, x, instruction.outputs[0], 0, start, x.spec.shape[-1], False))
        start += x.spec.shape[-1]
    return rows


@lowers("slice")
def lower_slice(instruction, target: Target):
    """Lower y = x[..., start:stop]."""
    (x,), (y,) = instruction.inputs, instruction.outputs
    return [_columns(target, x, y, instruction.attrs["start"], 0, y.spec.shape[-1], False)]


@lowers("slice_grad")
def lower_slice_grad(instruction, target: Target):
    """Lower the zero-padded copy."""
    (dy,), (dx,) = instruction.inputs, instruction.outputs
    return [_columns(target, dy, dx, 0, instruction.attrs["start"], dy.spec.shape[-1], True)]


def copy(dtype):
    """y = x: q = [x, y, units]."""

    def kernel(q, r):
        n = r[ROWS] * q[5]
        x, y = vector(at(q, r, 1), n, dtype), vector(at(q, r, 3), n, dtype)
        for i in range(n):
            y[i] = x[i]

    return kernel


@lowers("reshape")
def lower_reshape(instruction, target: Target):
    """Lower a change of shape: the memory is the same, row by row."""
    x = instruction.inputs[0]
    dtype, name = (target.dtype, target.name) if x.spec.kind == "float" else (np.int32, "int32")
    return [
        Row(f"copy({name})", lambda: copy(dtype), (*instruction.inputs, *instruction.outputs, x.spec.size))
    ]
