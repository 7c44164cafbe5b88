"""Passes over row-major blocks that do what several ops ask for, while the numbers are in the nearest cache.

Forward: bias, activation and dropout. Backward: dropout, the activation's derivative and the bias' gradient.
"""

from __future__ import annotations

import numpy as np

from fastnn.backends.cpu import activations
from fastnn.backends.cpu.dropout import apply_chunk, dropped, fill_chunk, is_kept, read_rule, rule, stack
from fastnn.backends.cpu.jit import bits_to_float, inline, read_constants, vector
from fastnn.backends.cpu.lowering import Row, Target, Workspace, lowers
from fastnn.backends.cpu.registers import FIRST, ROW0, ROWS, at
from fastnn.random import CHUNK, LANES

#: Rows a turn: they are in the nearest cache when they are summed, and a turn has work for the vector lanes.
ROWS_A_TURN = 4


# --------------------------------------------------------------------------- backward
@inline
def add_rows(db, dy0, rows, u, dtype, size):
    """db += the sum of a turn's rows of `u` numbers: a pass takes four, and loads and stores db once."""
    if rows == ROWS_A_TURN:
        a, b = vector(dy0, u, dtype), vector(dy0 + u * size, u, dtype)
        c, d = vector(dy0 + 2 * u * size, u, dtype), vector(dy0 + 3 * u * size, u, dtype)
        for j in range(u):
            db[j] += (a[j] + b[j]) + (c[j] + d[j])
    else:
        for i in range(rows):
            a = vector(dy0 + i * u * size, u, dtype)
            for j in range(u):
                db[j] += a[j]


@inline
def _clear(sums, r):
    """Set sums over rows to zero before a lane's first block."""
    if r[FIRST]:
        for j in range(len(sums)):
            sums[j] = 0


def backward_rows(dtype, scalar, options):
    """dx = f'(s) m dy, and db (+)= its sum over rows: q = [dy, s, (m), dx, (db), units, groups, a, b, c, m].

    m is what dropout multiplied by: an array with the option 'mask', a number with 'factor', else 1. With
    'sums' there is a db; 'in place' dx is dy.
    """
    f = scalar.backward
    mask, factor, sums, in_place = (name in options for name in ("mask", "factor", "sums", "in place"))
    size = np.dtype(dtype).itemsize
    w_dx = 7 if mask else 5
    first = w_dx + 4 if sums else w_dx + 2

    def kernel(q, r):
        u, n = q[first], r[ROWS] * q[first + 1]
        dy0, s0, m0, dx0 = at(q, r, 1), at(q, r, 3), at(q, r, 5), at(q, r, w_dx)
        a, b, c = read_constants(q, first + 2, dtype)
        scale = dtype(bits_to_float(q[first + 5]))
        if sums:
            db = vector(at(q, r, w_dx + 2), u, dtype)
            _clear(db, r)
        turn = ROWS_A_TURN if sums else max(n, 1)
        for i in range(0, n, turn):
            rows = min(turn, n - i)
            o, count = i * u * size, rows * u
            dy, s = vector(dy0 + o, count, dtype), vector(s0 + o, count, dtype)
            dx = dy if in_place else vector(dx0 + o, count, dtype)
            m = vector(m0 + o, count, dtype) if mask else s
            for k in range(count):
                d = dy[k] * (m[k] if mask else scale) if mask or factor else dy[k]
                v = s[k]
                dx[k] = f(d, v, a, b, c)
            if sums:
                add_rows(db, dx0 + o, rows, u, dtype, size)

    return kernel


def column_backward(dtype, scalar, options):
    """The same after the product with one unit's weights, dx = f'(s) m (dy w.T).

    q = [dy, w, s, (m), dx, (db), units of dx, groups, a, b, c, m].
    """
    f = scalar.backward
    mask, factor, sums = (name in options for name in ("mask", "factor", "sums"))
    size = np.dtype(dtype).itemsize
    w_dx = 9 if mask else 7
    first = w_dx + 4 if sums else w_dx + 2

    def kernel(q, r):
        u, n = q[first], r[ROWS] * q[first + 1]
        dy, w = vector(at(q, r, 1), n, dtype), vector(at(q, r, 3), u, dtype)
        s0, m0, dx0 = at(q, r, 5), at(q, r, 7), at(q, r, w_dx)
        a, b, c = read_constants(q, first + 2, dtype)
        scale = dtype(bits_to_float(q[first + 5]))
        if sums:
            db = vector(at(q, r, w_dx + 2), u, dtype)
            _clear(db, r)
        for i in range(0, n, ROWS_A_TURN):
            rows = min(ROWS_A_TURN, n - i)
            for row in range(i, i + rows):
                o, d = row * u * size, dy[row] * scale if factor else dy[row]
                s, dx = vector(s0 + o, u, dtype), vector(dx0 + o, u, dtype)
                m = vector(m0 + o, u, dtype) if mask else w
                for j in range(u):
                    g = d * w[j] * m[j] if mask else d * w[j]
                    v = s[j]
                    dx[j] = f(g, v, a, b, c)
            if sums:
                add_rows(db, dx0 + i * u * size, rows, u, dtype, size)

    return kernel


@lowers("activation_backward")
def lower_activation_backward(instruction, target: Target):
    """Lower an activation's derivative, with what the planner fused: dropout's before it, sums after it."""
    return [_backward(backward_rows, instruction, target, instruction.inputs[2:])]


def lower_column_backward(instruction, target: Target):
    """Lower the same where the planner fused it with the product with one unit before it."""
    return [_backward(column_backward, instruction, target, instruction.inputs[3:])]


def _backward(build, instruction, target: Target, mask) -> Row:
    attrs, dy, dx = instruction.attrs, instruction.inputs[0], instruction.outputs[0]
    name, constants = activations.resolve(attrs["activation"], attrs["activation_attrs"])
    chosen = {
        "mask": bool(mask),
        "factor": "factor" in attrs,
        "sums": len(instruction.outputs) > 1,
        "in place": build is backward_rows and dy._replace(spec=dx.spec) == dx,
    }
    options = [option for option, on in chosen.items() if on]
    units = dx.spec.shape[-1] if dx.spec.shape else 1
    scalar = activations.SCALARS[name]
    numbers = (units, dx.spec.size // units, *constants, float(attrs.get("factor", 1.0)))
    return Row(
        f"{build.__name__}({','.join([name, *options, target.name])})",
        lambda: build(target.dtype, scalar, options),
        (*instruction.inputs, *instruction.outputs, *numbers),
    )


# --------------------------------------------------------------------------- forward
def bias_dropout(dtype, scalar, bias: bool):
    """y = f(y + b), then dropout of it, in place and without a mask.

    q = [y, (b), units, size of a row, a, b, c, stream, seed, step, threshold, on, on shift, off shift,
    workspace].
    A run of numbers begins in the midst of a row and may be longer than one: the bias is repeated for it.
    """
    f, size = scalar.forward, np.dtype(dtype).itemsize
    first = 5 if bias else 3

    @inline
    def decide(y0, z0, m0, w0, shift, count, threshold, constants, drop, dtype):
        numbers, start, u, biases, (c0, c1, c2) = constants
        y, words = vector(y0, count, dtype), vector(w0, count, np.uint32)
        b = vector(biases + (y0 - start) // size % u * size, count, dtype)
        for i in range(count):
            v = f(y[i] + b[i] if bias else y[i], c0, c1, c2)
            y[i] = drop(v, is_kept(words[i], shift, threshold), numbers)[1]

    def kernel(q, r):
        u, n, before = q[first], r[ROWS] * q[first + 1], r[ROW0] * q[first + 1]
        y0 = at(q, r, 1)
        if bias:
            b, biases = vector(at(q, r, 3), u, dtype), vector(q[first + 12], u + LANES, dtype)
            for j in range(0, u + LANES, u):
                for i in range(min(u, u + LANES - j)):
                    biases[j + i] = b[i]
        threshold, numbers = read_rule(q, first + 8, dtype)
        constants = numbers, y0, u, q[first + 12], read_constants(q, first + 2, dtype)
        buffer = stack()
        for chunk in range(before // CHUNK, (before + n + CHUNK - 1) // CHUNK):
            fill_chunk(buffer, chunk, q, r, first + 5)
            start = chunk * CHUNK - before
            apply_chunk(start, n, y0, y0, y0, buffer, threshold, constants, dropped, decide, dtype, size)

    return kernel


def lower_bias_dropout(instruction, target: Target, name: str, constants) -> Row:
    """Lower what follows a product whose bias, activation and dropout the planner fused."""
    bias, (y,) = instruction.inputs[2:], instruction.outputs
    scalar = activations.SCALARS[name]
    units = instruction.inputs[1].spec.shape[1]
    numbers = rule("dropout", instruction.attrs["dropout"])[1]
    return Row(
        f"bias_dropout({','.join([name, *(['bias'] if bias else []), target.name])})",
        lambda: bias_dropout(target.dtype, scalar, bool(bias)),
        (y, *bias, units, y.spec.size, *constants, *numbers, Workspace((units + LANES) * target.itemsize)),
    )
