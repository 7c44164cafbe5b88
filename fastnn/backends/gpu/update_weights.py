"""What is done to weights after an update: their moving average, and constraints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers

_NORMS = {"max_norm": 0, "unit_norm": 1, "min_max_norm": 2}


@lowers("average_weights")
def lower_average(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the moving average of the weights."""
    (p, average), attrs = instruction.outputs, instruction.attrs
    size, m = p.spec.size, float(attrs["momentum"])
    arguments = (REGISTERS, p, average, size, attrs["steps"], attrs["overwrite"], m, 1.0 - m)
    return [Launch(target.variant("update_weights"), "average_weights", blocks(size), arguments)]


@lowers("non_neg")
def lower_non_neg(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the constraint to weights that are not negative."""
    (p,) = instruction.outputs
    size = p.spec.size
    return [Launch(target.variant("update_weights"), "non_neg", blocks(size), (REGISTERS, p, size))]


@lowers(*_NORMS)
def lower_norm(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a constraint on norms along an axis."""
    p = instruction.outputs[0]
    shape, axis = p.spec.shape, instruction.attrs["axis"]
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    numbers = [float(number) for number in (*instruction.attrs["params"], 0.0, 0.0, 0.0)[:3]]
    variant = target.variant("update_weights", NORM=_NORMS[instruction.op])
    arguments = (REGISTERS, p, outer, shape[axis], inner, *numbers)
    return [Launch(variant, "project", blocks(outer * inner), arguments)]
