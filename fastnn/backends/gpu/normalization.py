"""Normalization over units, over rows, and by given statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers
from fastnn.ops.normalization import LEAST_DEVIATION

#: Groups a block takes at once (a warp each), and columns.
WARPS, COLUMNS = 8, 32


def _sizes(spec: Any) -> tuple[int, int]:
    """Return the units and how many groups of them a row holds."""
    return spec.shape[-1], spec.size // max(spec.shape[-1], 1)


def _affine(instruction: Any) -> tuple[list[Any], Any, Any]:
    """Return the inputs without gamma and beta, then these two, None where they are absent."""
    given = list(instruction.inputs)
    beta = given.pop() if instruction.attrs["center"] else None
    gamma = given.pop() if instruction.attrs["scale"] else None
    return given, gamma, beta


def _launch(target: Target, name: str, grid: tuple[int, ...], *arguments: Any) -> Launch:
    return Launch(target.variant("normalization"), name, grid, (REGISTERS, *arguments))


@lowers("layer_norm")
def lower_layer_norm(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a normalization over units."""
    (x,), gamma, beta = _affine(instruction)
    units, groups = _sizes(x.spec)
    grid, epsilon = blocks(target.rows * groups, WARPS), instruction.attrs["epsilon"]
    return [_launch(target, "layer_norm", grid, x, gamma, beta, *instruction.outputs, units, groups, epsilon)]


@lowers("layer_norm_dx")
def lower_layer_norm_dx(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the gradient with respect to the input."""
    gamma = instruction.inputs[4] if len(instruction.inputs) == 5 else None
    units, groups = _sizes(instruction.inputs[1].spec)
    grid = blocks(target.rows * groups, WARPS)
    inputs = instruction.inputs[:4]
    return [_launch(target, "layer_norm_dx", grid, *inputs, gamma, *instruction.outputs, units, groups)]


@lowers("layer_norm_dgamma", "batch_norm_dgamma")
def lower_dgamma(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the sum for gamma, which adds to what earlier chunks found."""
    layer = instruction.op == "layer_norm_dgamma"
    out, rstd = (*instruction.outputs, None)[:2]
    units, groups = _sizes(instruction.inputs[1].spec)
    epsilon = 0.0 if layer else instruction.attrs["epsilon"]
    grid, options = blocks(units, COLUMNS), (int(layer), int(instruction.accumulate))
    return [_launch(target, "dgamma", grid, *instruction.inputs, out, rstd, units, groups, epsilon, *options)]


@lowers("batch_norm_train")
def lower_batch_norm_train(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a normalization over the rows of a batch: statistics, then values."""
    (x,), gamma, beta = _affine(instruction)
    y, mean, variance, multiplier = instruction.outputs
    units, groups = _sizes(x.spec)
    statistics = (mean, variance, multiplier, units, groups, instruction.attrs["epsilon"])
    grid = blocks(target.rows * groups * units)
    return [
        _launch(target, "batch_statistics", blocks(units, COLUMNS), x, gamma, *statistics),
        _launch(target, "normalize", grid, x, mean, multiplier, beta, y, units, groups),
    ]


@lowers("batch_norm_infer")
def lower_batch_norm_infer(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a normalization by the moving statistics."""
    (x, mean, variance), gamma, beta = _affine(instruction)
    y, multiplier = instruction.outputs
    units, groups = _sizes(x.spec)
    grid, epsilon = blocks(target.rows * groups * units), instruction.attrs["epsilon"]
    return [
        _launch(target, "multiplier_of", blocks(units), variance, gamma, multiplier, units, epsilon),
        _launch(target, "normalize", grid, x, mean, multiplier, beta, y, units, groups),
    ]


@lowers("batch_norm_dx")
def lower_batch_norm_dx(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the gradient with respect to the input, of a whole batch."""
    dy, x, mean, variance, multiplier = instruction.inputs
    dx, shift, slope = instruction.outputs
    units, groups = _sizes(x.spec)
    sums = (mean, variance, shift, slope, units, groups, instruction.attrs["epsilon"])
    grid = blocks(target.rows * groups * units)
    return [
        _launch(target, "batch_norm_sums", blocks(units, COLUMNS), dy, x, *sums),
        _launch(target, "batch_norm_dx", grid, dy, x, mean, multiplier, shift, slope, dx, units, groups),
    ]


@lowers("batch_norm_update")
def lower_batch_norm_update(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the step of the moving statistics."""
    units, momentum = instruction.inputs[2].spec.size, float(instruction.attrs["momentum"])
    arguments = (*instruction.inputs, units, momentum, 1.0 - momentum)
    return [_launch(target, "batch_norm_update", blocks(units), *arguments)]


@lowers("scale_units")
def lower_scale_units(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a product with a number a unit."""
    units, groups = _sizes(instruction.inputs[0].spec)
    grid = blocks(target.rows * groups * units)
    return [_launch(target, "scale_units", grid, *instruction.inputs, *instruction.outputs, units, groups)]


@lowers("standardize", "standardize_grad")
def lower_standardize(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the standardization of the data, or its gradient (which reads no mean)."""
    x, *statistics = instruction.inputs
    mean, variance = statistics if len(statistics) == 2 else (None, *statistics)
    units, groups = _sizes(x.spec)
    grid = blocks(target.rows * groups * units)
    (y,) = instruction.outputs
    return [_launch(target, "standardize", grid, x, mean, variance, y, units, groups, LEAST_DEVIATION)]
