"""Whether a block of numbers is finite, looked at while it is in the cache."""

from __future__ import annotations

import numpy as np

from fastnn.backends.cpu.jit import vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import ROWS, at


def finite(dtype):
    """Add 0, or NaN if a number is NaN or infinite: q = [x, accumulator, numbers a row, zero]."""

    def kernel(q, r):
        x = vector(at(q, r, 1), r[ROWS] * q[5], dtype)
        zero = dtype(q[6])  # an operand, so that no compiler takes it for granted that 0 x is 0
        total = dtype(0)
        for i in range(r[ROWS] * q[5]):
            total += x[i] * zero
        vector(q[3], 1, np.float64)[0] += np.float64(total)

    return kernel


@lowers("check_input")
def lower_check_input(instruction, target: Target):
    """Lower the check of a program's input."""
    (x,), (accumulator,) = instruction.inputs, instruction.outputs
    return [
        Row(f"check_input({target.name})", lambda: finite(target.dtype), (x, accumulator, x.spec.size, 0)),
    ]
