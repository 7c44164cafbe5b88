"""Arithmetic on equal shapes, and ops along the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers

_BINARY = {"add": 0, "subtract": 1, "multiply": 2, "maximum": 3, "minimum": 4}


@lowers(*_BINARY)
def lower_binary(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower an op on two equal shapes."""
    units = instruction.inputs[0].spec.size
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, units)
    variant = target.variant("elementwise", OP=_BINARY[instruction.op])
    return [Launch(variant, "binary", blocks(target.rows * units), arguments)]


@lowers("maximum_grad", "minimum_grad")
def lower_chosen_grad(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the gradient of maximum or minimum."""
    units, greater = instruction.inputs[0].spec.size, int(instruction.op == "maximum_grad")
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, units, greater)
    return [Launch(target.variant("elementwise"), "chosen_grad", blocks(target.rows * units), arguments)]


@lowers("scale")
def lower_scale(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a product with a constant."""
    units = instruction.inputs[0].spec.size
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, units, instruction.attrs["factor"])
    return [Launch(target.variant("elementwise"), "scale", blocks(target.rows * units), arguments)]


def _columns(target: Target, x: Any, y: Any, x_start: int, y_start: int, columns: int, pad: bool) -> Launch:
    groups = y.spec.size // max(y.spec.shape[-1], 1)
    variant = target.variant("elementwise", ITEM="real" if x.spec.kind == "float" else "int")
    width = y.spec.shape[-1] if pad else columns
    arguments = (
        REGISTERS, x, y, x.spec.shape[-1], y.spec.shape[-1], x_start, y_start, columns, groups, int(pad),
    )  # fmt: skip
    return Launch(variant, "copy_columns", blocks(target.rows * groups * width), arguments)


@lowers("concatenate")
def lower_concatenate(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower to one copy for each input."""
    launches, start = [], 0
    for x in instruction.inputs:
        columns = x.spec.shape[-1]
        launches.append(_columns(target, x, instruction.outputs[0], 0, start, columns, False))
        start += columns
    return launches


@lowers("slice")
def lower_slice(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower y = x[..., start:stop]."""
    (x,), (y,) = instruction.inputs, instruction.outputs
    return [_columns(target, x, y, instruction.attrs["start"], 0, y.spec.shape[-1], False)]


@lowers("slice_grad")
def lower_slice_grad(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the zero-padded copy."""
    (dy,), (dx,) = instruction.inputs, instruction.outputs
    return [_columns(target, dy, dx, 0, instruction.attrs["start"], dy.spec.shape[-1], True)]


@lowers("reshape")
def lower_reshape(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a change of shape: the memory is the same, row by row."""
    (x,), (y,) = instruction.inputs, instruction.outputs
    variant = target.variant("elementwise", ITEM="real" if x.spec.kind == "float" else "int")
    size = x.spec.size
    arguments = (REGISTERS, x, y, size, size, 0, 0, size, 1, 0)
    return [Launch(variant, "copy_columns", blocks(target.rows * size), arguments)]
