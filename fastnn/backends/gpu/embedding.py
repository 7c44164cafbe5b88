"""Embedding: gathering rows of a table, and adding to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers

#: Rows of the table a block takes at once: a warp each.
WARPS = 8


@lowers("embedding")
def lower_embedding(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a gather from the table."""
    index, table = instruction.inputs
    indices, width = index.spec.size, table.spec.shape[1]
    arguments = (REGISTERS, index, table, *instruction.outputs, indices, width)
    return [
        Launch(target.variant("embedding"), "embedding", blocks(target.rows * indices * width), arguments)
    ]


@lowers("embedding_grad")
def lower_embedding_grad(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the scattered sum."""
    index, (dtable,) = instruction.inputs[0], instruction.outputs
    size, width = dtable.spec.shape
    add = int(instruction.accumulate)
    arguments = (REGISTERS, *instruction.inputs, dtable, index.spec.size, width, size, add)
    return [Launch(target.variant("embedding"), "embedding_grad", blocks(size, WARPS), arguments)]
