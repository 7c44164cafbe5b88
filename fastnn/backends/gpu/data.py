"""Moving rows: the order of an epoch, gathering a batch, storing results, sums over an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, IsLoss, Launch, Stride, Target, blocks, lowers
from fastnn.random import SHUFFLE_STREAM

#: What the caller's arrays hold, as the prelude names it (a macro's value has no spaces).
SOURCES = {
    "float32": "float", "float64": "double", "int8": "i8", "int16": "short", "int32": "int", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "unsigned", "bool": "u8",
}  # fmt: skip
MACROS = {"SHUFFLE_STREAM": f"{SHUFFLE_STREAM}u"}


@lowers("order")
def lower_order(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the chunk's row numbers."""
    arguments = (REGISTERS, instruction.outputs[0])
    return [Launch(target.variant("data", **MACROS), "order", blocks(target.rows), arguments)]


@lowers("gather")
def lower_gather(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a gather, converting the caller's dtype on the way."""
    rows, source = instruction.inputs
    (destination,) = instruction.outputs
    to = "real" if destination.spec.kind == "float" else "int"
    variant = target.variant("data", SOURCE=SOURCES[instruction.attrs["source"]], TO=to, **MACROS)
    units = destination.spec.size
    strides = Stride(source.index, 0), Stride(source.index, 1)
    arguments = (REGISTERS, rows, source, destination, *strides, units)
    return [Launch(variant, "gather", blocks(target.rows * units), arguments)]


@lowers("gather_part")
def lower_gather_part(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the gather of a part: rows looked up, prepared and put into some columns."""
    rows, table, index, numbers = instruction.inputs
    (destination,) = instruction.outputs
    part, column = instruction.attrs["part"], instruction.attrs["column"]
    variant = target.variant("data", SOURCE=SOURCES[part.dtype], TO="real", **MACROS)
    strides = [Stride(table.index, axis) for axis in range(3)]
    arguments = (
        REGISTERS, rows, table, index, numbers, destination, *strides, destination.spec.size, column,
        part.columns,
    )  # fmt: skip
    return [Launch(variant, "gather_part", blocks(target.rows * part.columns), arguments)]


@lowers("store")
def lower_store(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the write of results to the caller's array."""
    units = instruction.inputs[0].spec.size
    name = "store" if len(instruction.inputs) == 1 else "store_at"
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, units)
    return [Launch(target.variant("data", **MACROS), name, blocks(target.rows * units), arguments)]


@lowers("accumulate")
def lower_accumulate(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a sum over the epoch."""
    values, *weights = instruction.inputs
    (total,) = instruction.outputs
    arguments = (REGISTERS, values, weights[0] if weights else None, total, IsLoss(total.offset // 8))
    return [Launch(target.variant("data", **MACROS), "accumulate", (1,), arguments)]
