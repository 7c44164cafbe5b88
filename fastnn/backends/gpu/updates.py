"""Optimizer updates: one kernel over a range of the flat vectors, compiled for each rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers
from fastnn.ops.updates import UPDATES, rule_name


@lowers(*UPDATES)
def lower_update(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower an optimizer's update of one contiguous range of parameters."""
    gradient, hyper = instruction.inputs
    parameter, *slots = instruction.outputs
    attrs = instruction.attrs
    name = rule_name(instruction.op, attrs, len(slots))
    variant = target.variant("updates", UPDATE=f"UPDATE_{name}")
    launches = []
    if name == "nadam":
        launches.append(Launch(variant, "nadam_schedule", (1,), (REGISTERS, hyper, attrs["steps"]), 32))
    state = (*slots, None, None, None)[:3]
    # RMSprop with momentum and centered keeps its state in the order velocity, momentum, mean of gradients.
    size = parameter.spec.size
    arguments = (REGISTERS, gradient, hyper, parameter, *state, size, attrs["steps"], int(attrs["decay"]))
    launches.append(Launch(variant, "update", blocks(size), arguments))
    return launches
