"""Dense products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu import custom
from fastnn.backends.gpu.lowering import REGISTERS, Launch, Scratch, Target, blocks, lowers
from fastnn.ops.activation_forms import form

TILE = 64
#: Rows that one block sums for a weight gradient; more rows are shared by more blocks.
SHARE, MOST_SHARES = 256, 64


def _tiles(columns: int, rows: int) -> tuple[int, int]:
    return (-(-columns // TILE), -(-rows // TILE))


@lowers("dense")
def lower_dense(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a dense layer with its bias and, where the planner fused one, its activation."""
    x, w = instruction.inputs[:2]
    bias = instruction.inputs[2] if len(instruction.inputs) > 2 else None
    (y,) = instruction.outputs
    inputs, units = w.spec.shape
    groups = y.spec.size // units
    attrs = instruction.attrs
    own = attrs.get("activation")
    if own in custom.OPS:  # a user's expression is a kernel of its own
        size = y.spec.size
        sums = Scratch(target.rows * size * _itemsize(target), target.dtype)
        arguments = (REGISTERS, x, w, bias, sums, inputs, units, groups, 0.0, 0.0, 0.0)
        variant = target.variant("linear", FORM="FORM_linear")
        dense = Launch(variant, "dense", _tiles(units, target.rows * groups), arguments)
        return [dense, custom.launch(target, own, False, (sums, y), size)]
    name, constants = form(attrs.get("activation", "linear"), attrs.get("activation_attrs", {}))
    arguments = (REGISTERS, x, w, bias, y, inputs, units, groups, *constants)
    variant = target.variant("linear", FORM=f"FORM_{name}")
    return [Launch(variant, "dense", _tiles(units, target.rows * groups), arguments)]


@lowers("dense_dx")
def lower_dense_dx(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower dx = dy w.T."""
    dy, w = instruction.inputs
    (dx,) = instruction.outputs
    inputs, units = w.spec.shape
    groups = dx.spec.size // inputs
    arguments = (REGISTERS, dy, w, dx, inputs, units, groups)
    return [Launch(target.variant("linear"), "dense_dx", _tiles(inputs, target.rows * groups), arguments)]


def shares(rows: int) -> int:
    """Return among how many blocks the rows of a weight gradient are shared."""
    return max(1, min(-(-rows // SHARE), MOST_SHARES))


def share_scratch(target: Target, rows: int, size: int) -> Scratch:
    """Return memory for `size` sums of each share of the rows."""
    return Scratch(shares(rows) * size * _itemsize(target), target.dtype)


def sum_of_shares(
    target: Target, part: Scratch, total: Any, size: int, parts: int, accumulate: bool
) -> Launch:
    """Return the launch that sums the shares in order, into a gradient or onto it."""
    arguments = (REGISTERS, part, total, size, parts, int(accumulate))
    return Launch(target.variant("linear"), "sum_parts", blocks(size), arguments)


def _itemsize(target: Target) -> int:
    return 4 if target.dtype == "float32" else 8


@lowers("dense_dw")
def lower_dense_dw(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower dw = x.T dy: shares of the rows, then their sum in order."""
    x, dy = instruction.inputs
    (dw,) = instruction.outputs
    inputs, units = dw.spec.shape
    groups = dy.spec.size // units
    parts = shares(target.rows * groups)
    part = share_scratch(target, target.rows * groups, inputs * units)
    return [
        Launch(
            target.variant("linear"), "dense_dw_part", (*_tiles(units, inputs), parts),
            (REGISTERS, x, dy, part, inputs, units, groups),
        ),
        sum_of_shares(target, part, dw, inputs * units, parts, instruction.accumulate),
    ]  # fmt: skip


@lowers("dense_db")
def lower_dense_db(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the sum of dy over rows."""
    (dy,), (db,) = instruction.inputs, instruction.outputs
    units = db.spec.shape[0]
    return sum_over_rows(target, dy, db, units, dy.spec.size // units, instruction.accumulate)


def sum_over_rows(
    target: Target, x: Any, total: Any, units: int, groups: int, accumulate: bool
) -> Sequence[Launch]:
    """Return the launches that sum ``(rows * groups, units)`` over its first axis."""
    parts, part = shares(target.rows * groups), share_scratch(target, target.rows * groups, units)
    return [
        Launch(
            target.variant("linear"), "dense_db_part", (-(-units // 32), parts),
            (REGISTERS, x, part, units, groups),
        ),
        sum_of_shares(target, part, total, units, parts, accumulate),
    ]  # fmt: skip
