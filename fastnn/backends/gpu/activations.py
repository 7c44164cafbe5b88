"""Activations: elementwise by their form, PReLU, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu import custom
from fastnn.backends.gpu.linear import share_scratch, shares, sum_of_shares
from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers
from fastnn.ops import activations as table
from fastnn.ops.activation_forms import form

#: Vectors a block of 256 threads takes at once: a warp each.
VECTORS = 8


def lower_elementwise(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower any elementwise op or its gradient op."""
    backward = instruction.op.endswith("_grad")
    if instruction.op.removesuffix("_grad") in custom.OPS:  # registered before this file was read
        return custom.lower_custom(instruction, target)
    name, constants = form(instruction.op.removesuffix("_grad"), instruction.attrs)
    units = instruction.outputs[0].spec.size
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, units, *constants)
    variant = target.variant("activations", FORM=f"FORM_{name}")
    kernel = "flat_backward" if backward else "flat_forward"
    return [Launch(variant, kernel, blocks(target.rows * units), arguments)]


for _name in table.ELEMENTWISE:
    lowers(_name, f"{_name}_grad")(lower_elementwise)


@lowers("prelu", "prelu_dx")
def lower_prelu(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower PReLU and its gradient with respect to the input."""
    units = instruction.inputs[0].spec.size
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, units)
    return [Launch(target.variant("activations"), instruction.op, blocks(target.rows * units), arguments)]


@lowers("prelu_dalpha")
def lower_prelu_dalpha(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the gradient of PReLU's slopes: shares of the rows, then their sum in order."""
    (dalpha,), units = instruction.outputs, instruction.inputs[0].spec.size
    parts, part = shares(target.rows), share_scratch(target, target.rows, units)
    arguments = (REGISTERS, *instruction.inputs, part, units)
    return [
        Launch(target.variant("activations"), "prelu_dalpha_part", (-(-units // 32), parts), arguments),
        sum_of_shares(target, part, dalpha, units, parts, instruction.accumulate),
    ]


@lowers("softmax", "log_softmax", "softmax_grad", "log_softmax_grad")
def lower_softmax(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower softmax and log-softmax, forward and backward."""
    shape = instruction.outputs[0].spec.shape
    groups = instruction.outputs[0].spec.size // shape[-1]
    variant = target.variant("activations", LOG=int(instruction.op.startswith("log")))
    name = "softmax_grad" if instruction.op.endswith("_grad") else "softmax"
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, shape[-1], groups)
    return [Launch(variant, name, blocks(target.rows * groups, VECTORS), arguments)]
