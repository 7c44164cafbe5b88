"""Learning-rate schedules: once a step, before the update, the rate of this step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, lowers
from fastnn.ops.schedules import RATES


@lowers(*RATES)
def lower_schedule(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a schedule."""
    (numbers,), (rate,) = instruction.inputs, instruction.outputs
    variant = target.variant("schedules", SCHEDULE=f"SCHEDULE_{instruction.op}")
    return [Launch(variant, "schedule", (1,), (REGISTERS, numbers, rate, numbers.spec.size - 1), 32)]
