"""What is done to gradients before an update: checks, penalties, accumulation, clipping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers


def _launch(target: Target, name: str, grid: tuple[int, ...], *arguments: Any) -> list[Launch]:
    return [Launch(target.variant("update_gradients"), name, grid, (REGISTERS, *arguments))]


@lowers("reduce_gradients")
def lower_reduce(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the sum of the lanes: a GPU has one."""
    return []


@lowers("check_finite")
def lower_check(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the search for NaN and infinity."""
    (g,) = instruction.inputs
    return _launch(target, "check_finite", blocks(g.spec.size), g, g.spec.size)


@lowers("l1_l2")
def lower_l1_l2(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the gradient of a weight penalty."""
    (p,), (g,), attrs = instruction.inputs, instruction.outputs, instruction.attrs
    return _launch(target, "l1_l2", blocks(p.spec.size), p, g, p.spec.size, attrs["l1"], attrs["l2"])


@lowers("l1_l2_penalty")
def lower_penalty(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a weight penalty."""
    (p,), (total,), attrs = instruction.inputs, instruction.outputs, instruction.attrs
    return _launch(target, "l1_l2_penalty", (1,), p, total, p.spec.size, attrs["l1"], attrs["l2"])


@lowers("accumulate_gradients")
def lower_accumulate(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the accumulation of gradients over steps."""
    (g, total), attrs = instruction.outputs, instruction.attrs
    options = (g.spec.size, attrs["steps"], int(attrs["last"]))
    return _launch(target, "accumulate_gradients", blocks(g.spec.size), g, total, *options)


@lowers("clip_value")
def lower_clip_value(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower clipping by value."""
    (g,) = instruction.outputs
    return _launch(target, "clip_value", blocks(g.spec.size), g, g.spec.size, instruction.attrs["limit"])


@lowers("clip_factor")
def lower_clip_factor(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the factor that brings a norm down to its limit."""
    (g,), (factor,), attrs = instruction.inputs, instruction.outputs, instruction.attrs
    options = (g.spec.size, attrs["limit"], int(attrs["first"]), int(attrs["last"]))
    return _launch(target, "clip_factor", (1,), g, factor, *options)


@lowers("scale_gradient")
def lower_scale(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the multiplication of a gradient by such a factor."""
    (factor,), (g,) = instruction.inputs, instruction.outputs
    return _launch(target, "scale_gradient", blocks(g.spec.size), factor, g, g.spec.size)
