"""Reductions over the last axis, and the sum over rows."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from fastnn.backends.cpu.jit import intrinsic, matrix, vector
from fastnn.backends.cpu.linear import column_sums
from fastnn.backends.cpu.linear_units import units_sums
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import ROWS, at


def _llvm(name: str):
    """Return a function of two numbers of one type that is the LLVM intrinsic `name`.

    A reduction written with comparisons stays scalar, since NaN is kept: 4.4 us for 32 x 64, against 0.3.
    """

    def function(typingctx, x, other):
        def codegen(context, builder, signature, args):
            type_ = ir.FunctionType(args[0].type, [args[0].type] * 2)
            return builder.call(builder.module.declare_intrinsic(name, [args[0].type], type_), args)

        return x(x, x), codegen

    return intrinsic(function)


maximum, minimum = _llvm("llvm.maximum"), _llvm("llvm.minimum")


def reduce_sum(dtype, mean: bool):
    """y = sum or mean over the last axis: q = [x, y, width, groups]."""

    def kernel(q, r):
        width = q[5]
        n = r[ROWS] * q[6]
        x, y = matrix(at(q, r, 1), n, width, dtype), vector(at(q, r, 3), n, dtype)
        divisor = dtype(width) if mean else dtype(1)
        for i in range(n):
            total = dtype(0)
            for j in range(width):
                total += x[i, j]
            y[i] = total / divisor

    return kernel


def reduce_extreme(dtype, greatest: bool):
    """y = greatest or least over the last axis: q = [x, y, width, groups]."""

    def kernel(q, r):
        width = q[5]
        n = r[ROWS] * q[6]
        x, y = matrix(at(q, r, 1), n, width, dtype), vector(at(q, r, 3), n, dtype)
        for i in range(n):
            best = x[i, 0]
            for j in range(1, width):
                best = maximum(best, x[i, j]) if greatest else minimum(best, x[i, j])
            y[i] = best

    return kernel


def reduce_sum_grad(dtype, mean: bool):
    """dx = dy or dy / width along a new axis: q = [dy, dx, width, groups]."""

    def kernel(q, r):
        width = q[5]
        n = r[ROWS] * q[6]
        dy, dx = vector(at(q, r, 1), n, dtype), matrix(at(q, r, 3), n, width, dtype)
        divisor = dtype(width) if mean else dtype(1)
        for i in range(n):
            d = dy[i] / divisor
            for j in range(width):
                dx[i, j] = d

    return kernel


def reduce_extreme_grad(dtype):
    """Share dy equally between the extremes: q = [dy, x, y, dx, width, groups]."""

    def kernel(q, r):
        width = q[9]
        n = r[ROWS] * q[10]
        dy, x = vector(at(q, r, 1), n, dtype), matrix(at(q, r, 3), n, width, dtype)
        y, dx = vector(at(q, r, 5), n, dtype), matrix(at(q, r, 7), n, width, dtype)
        zero, one = dtype(0), dtype(1)
        for i in range(n):
            best = y[i]
            count = zero
            for j in range(width):
                count += one if x[i, j] == best else zero
            share = dy[i] / count
            for j in range(width):
                dx[i, j] = share if x[i, j] == best else zero

    return kernel


_REDUCTIONS: dict[str, tuple[Callable, bool]] = {
    "reduce_sum": (reduce_sum, False),
    "reduce_mean": (reduce_sum, True),
    "reduce_max": (reduce_extreme, True),
    "reduce_min": (reduce_extreme, False),
    "reduce_sum_grad": (reduce_sum_grad, False),
    "reduce_mean_grad": (reduce_sum_grad, True),
}


def _sizes(spec) -> tuple[int, int]:
    """Return the width of the last axis and how many such groups a row holds."""
    return spec.shape[-1], spec.size // max(spec.shape[-1], 1)


@lowers(*_REDUCTIONS)
def lower_reduction(instruction, target: Target):
    """Lower a reduction, or the gradient of a sum or mean."""
    build, option = _REDUCTIONS[instruction.op]
    (x,), (y,) = instruction.inputs, instruction.outputs
    wide = y if instruction.op.endswith("_grad") else x
    key = f"{instruction.op}({target.name})"
    return [Row(key, lambda: build(target.dtype, option), (x, y, *_sizes(wide.spec)))]


@lowers("reduce_extreme_grad")
def lower_extreme_grad(instruction, target: Target):
    """Lower the gradient of a maximum or minimum."""
    operands = (*instruction.inputs, *instruction.outputs, *_sizes(instruction.inputs[1].spec))
    return [Row(f"reduce_extreme_grad({target.name})", lambda: reduce_extreme_grad(target.dtype), operands)]


@lowers("sum_rows")
def lower_sum_rows(instruction, target: Target):
    """Lower the sum over rows: the kernels of a bias's gradient, with every unit of a row apart."""
    (x,), (y,) = instruction.inputs, instruction.outputs
    name, build = ("units_sums", units_sums) if target.units_major else ("column_sums", column_sums)
    operands = (x, y, x.spec.size, 1, int(instruction.accumulate))
    return [Row(f"{name}({target.name})", lambda: build(target.dtype), operands)]
