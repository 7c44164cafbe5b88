"""Learning-rate schedules: once a step, before the update, the rate of this step.

There is nothing to make fast (20 to 60 ns), so the functions of ``fastnn.ops.schedules`` are compiled as
they stand, without fast-math flags.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastnn.backends.cpu.jit import inline_math, vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import STEP
from fastnn.ops.schedules import RATES

_F64 = np.float64


def _schedule(function: Callable):
    """rate = function(step, numbers): q = [how many numbers, switch and numbers, rate].

    Nothing is written while the switch is 0: Python then sets the rate.
    """
    rate = inline_math(function)

    def kernel(q, r):
        n = q[1]
        if vector(q[2], 1, _F64)[0] != 0.0:
            vector(q[4], 1, _F64)[0] = rate(_F64(r[STEP]), vector(q[2] + 8, n, _F64))

    return kernel


@lowers(*RATES)
def lower_schedule(instruction, target: Target):
    """Lower a schedule; each thread of a team writes the same number, which saves waiting for one of them."""
    (numbers,), (rate,) = instruction.inputs, instruction.outputs
    function = RATES[instruction.op]
    operands = (numbers.spec.size - 1, numbers, rate)
    return [Row(f"{instruction.op}()", lambda: _schedule(function), operands, sliced=True, exact=True)]
