"""Reductions over the last axis, and the sum over rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.linear import sum_over_rows
from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers

#: Groups a block takes at once: a warp each.
WARPS = 8


def _sizes(spec: Any) -> tuple[int, int]:
    """Return the width of the last axis and how many such groups a row holds."""
    return spec.shape[-1], spec.size // max(spec.shape[-1], 1)


@lowers("reduce_sum", "reduce_mean", "reduce_max", "reduce_min")
def lower_reduction(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a reduction."""
    (x,), (y,) = instruction.inputs, instruction.outputs
    width, groups = _sizes(x.spec)
    extreme = instruction.op in ("reduce_max", "reduce_min")
    divisor = width if instruction.op == "reduce_mean" else 1
    option = int(instruction.op == "reduce_max") if extreme else divisor
    name = "reduce_extreme" if extreme else "reduce_sum"
    grid = blocks(target.rows * groups, WARPS)
    return [Launch(target.variant("reduce"), name, grid, (REGISTERS, x, y, width, groups, option))]


@lowers("reduce_sum_grad", "reduce_mean_grad")
def lower_sum_grad(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the gradient of a sum or mean."""
    (dy,), (dx,) = instruction.inputs, instruction.outputs
    width, groups = _sizes(dx.spec)
    divisor = width if instruction.op == "reduce_mean_grad" else 1
    grid = blocks(target.rows * groups * width)
    arguments = (REGISTERS, dy, dx, width, groups, divisor)
    return [Launch(target.variant("reduce"), "reduce_sum_grad", grid, arguments)]


@lowers("reduce_extreme_grad")
def lower_extreme_grad(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the gradient of a maximum or minimum."""
    width, groups = _sizes(instruction.inputs[1].spec)
    arguments = (REGISTERS, *instruction.inputs, *instruction.outputs, width, groups)
    grid = blocks(target.rows * groups, WARPS)
    return [Launch(target.variant("reduce"), "reduce_extreme_grad", grid, arguments)]


@lowers("sum_rows")
def lower_sum_rows(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the sum over rows: the kernels of a bias's gradient, with every unit of a row apart."""
    (x,), (y,) = instruction.inputs, instruction.outputs
    return sum_over_rows(target, x, y, x.spec.size, 1, instruction.accumulate)
