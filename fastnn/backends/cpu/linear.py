"""Dense products.

Row-major blocks go to BLAS (called by address, so that it can add to what is there), large ones to a product
of our own; a single output unit has loops of its own, and so have narrow networks (linear_units).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types

from fastnn.backends.cpu import activations
from fastnn.backends.cpu.blas import gemm_address
from fastnn.backends.cpu.fused import ROWS_A_TURN, add_rows, lower_bias_dropout, lower_column_backward
from fastnn.backends.cpu.jit import inline_math, intrinsic, matrix, read_constants, vector
from fastnn.backends.cpu.linear_units import units_dw, units_dx, units_forward, units_sums
from fastnn.backends.cpu.lowering import Row, Target, Workspace, lowers
from fastnn.backends.cpu.products import (
    A_TURNED,
    B_TURNED,
    SMALL_PRODUCT,
    WORKSPACE_BYTES,
    call_product,
    is_ours,
    product_address,
)
from fastnn.backends.cpu.registers import FIRST, PART, PARTS, ROWS, at
from fastnn.backends.cpu.transpose import transpose

#: Weights up to this size are transposed before they are multiplied by.
LARGEST_TURNED = 128 * 128
_NO, _TRANSPOSED = ord("n"), ord("t")


@intrinsic
def call_gemm(typingctx, address, trans_a, trans_b, m, n, k, a, lda, b, ldb, beta, c, ldc):
    """C = op(A) op(B) + beta C in Fortran's column order; the numbers have `beta`'s dtype."""
    number = beta
    signature = types.void(*[types.int64] * 10, number, types.int64, types.int64)

    def codegen(context, builder, signature, args):
        llvm_number = context.get_data_type(number)

        def stored(value):
            with builder.goto_entry_block():
                slot = builder.alloca(value.type)
            builder.store(value, slot)
            return slot

        def integer(value):
            return stored(builder.trunc(value, ir.IntType(32)))

        def letter(value):
            return stored(builder.trunc(value, ir.IntType(8)))

        def array(value):
            return builder.inttoptr(value, llvm_number.as_pointer())

        address, trans_a, trans_b, m, n, k, a, lda, b, ldb, beta, c, ldc = args
        values = [
            letter(trans_a), letter(trans_b), integer(m), integer(n), integer(k),
            stored(ir.Constant(llvm_number, 1.0)), array(a), integer(lda), array(b), integer(ldb),
            stored(beta), array(c), integer(ldc),
        ]  # fmt: skip
        function = ir.FunctionType(ir.VoidType(), [value.type for value in values]).as_pointer()
        builder.call(builder.inttoptr(address, function), values)
        return context.get_dummy_value()

    return signature, codegen


# --------------------------------------------------------------------------- rows major, whole products
#: A thread's part of a product has whole tiles of any kernel, but for the last columns, and is never so small
#: that BLAS would take another way: no number's bits depend on how many parts there are.
PART_COLUMNS = 64


@inline_math
def columns_of(r, n, sizes):
    """Return the first column of the result that this thread computes, and how many of the `n`.

    `sizes` is the product of the two other sizes.
    """
    if r[PARTS] <= 1:
        return 0, n
    tiles = n // PART_COLUMNS if sizes * PART_COLUMNS > SMALL_PRODUCT else 0
    part = r[PARTS] - 1 - r[PART]  # the last, which has what is left over, is thread 0's
    first = tiles * part // r[PARTS] * PART_COLUMNS
    end = n if r[PART] == 0 else tiles * (part + 1) // r[PARTS] * PART_COLUMNS
    return first, end - first


def _gemm_forward(dtype):
    """y = x w: q = [x, w, y, gemm, inputs, units, groups, product, workspace]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        k, u = q[8], q[9]
        n = r[ROWS] * q[10]
        first, some = columns_of(r, u, n * k)
        if some == 0:
            return
        x, w, y = at(q, r, 1), at(q, r, 3) + first * size, at(q, r, 5) + first * size
        if is_ours(q[11], n, u, k, size):
            call_product(q[11], n, some, k, x, k, w, u, y, u, 0, 0, q[12])
        else:
            call_gemm(q[7], _NO, _NO, some, n, k, w, u, x, k, dtype(0), y, u)

    return kernel


def _gemm_dx(dtype, turned: bool):
    """dx = dy w.T: q = [dy, w, dx, gemm, inputs, units, groups, product, workspace].

    BLAS is slow with a transposed right operand: 32 x 64 x 64 takes 3.9 us, 2.3 us without; turning the
    weights by vector shuffles first takes 0.4 us.
    """
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        k, u = q[8], q[9]
        n = r[ROWS] * q[10]
        first, some = columns_of(r, k, n * u)
        if some == 0:
            return
        dy, w, dx = at(q, r, 1), at(q, r, 3) + first * u * size, at(q, r, 5) + first * size
        if is_ours(q[11], n, k, u, size):
            call_product(q[11], n, some, u, dy, u, w, u, dx, k, B_TURNED, 0, q[12])
        elif turned:
            transpose(w, some, u, q[12], dtype, size)
            call_gemm(q[7], _NO, _NO, some, n, u, q[12], some, dy, u, dtype(0), dx, k)
        else:
            call_gemm(q[7], _TRANSPOSED, _NO, some, n, u, w, u, dy, u, dtype(0), dx, k)

    return kernel


def _gemm_dw(dtype):
    """dw (+)= x.T dy: q = [x, dy, dw, gemm, inputs, units, groups, product, workspace, add]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        k, u = q[8], q[9]
        n = r[ROWS] * q[10]
        first, some = columns_of(r, u, n * k)
        if some == 0:
            return
        x, dy, dw = at(q, r, 1), at(q, r, 3) + first * size, at(q, r, 5) + first * size
        add = 0 if r[FIRST] and not q[14] else 1
        if is_ours(q[11], k, u, n, size):
            call_product(q[11], k, some, n, x, k, dy, u, dw, u, A_TURNED, add, q[12])
        else:
            call_gemm(q[7], _NO, _TRANSPOSED, some, k, n, dy, u, x, k, dtype(add), dw, u)

    return kernel


def _bias_activation(dtype, scalar, bias: bool):
    """y = f(y + b) in place: q = [y, (b), units, groups, a, b, c]."""
    f = scalar.forward
    first = 5 if bias else 3

    def kernel(q, r):
        u = q[first]
        n = r[ROWS] * q[first + 1]
        y = matrix(at(q, r, 1), n, u, dtype)
        c0, c1, c2 = read_constants(q, first + 2, dtype)
        if bias:
            b = vector(at(q, r, 3), u, dtype)
            for i in range(n):
                for j in range(u):
                    y[i, j] = f(y[i, j] + b[j], c0, c1, c2)
        else:
            flat = vector(at(q, r, 1), n * u, dtype)
            for i in range(n * u):
                flat[i] = f(flat[i], c0, c1, c2)

    return kernel


def column_sums(dtype):
    """db (+)= sum of dy over rows: q = [dy, db, units, groups, add]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        u = q[5]
        n = r[ROWS] * q[6]
        dy0 = at(q, r, 1)
        db = vector(at(q, r, 3), u, dtype)
        if r[FIRST] and not q[7]:
            for j in range(u):
                db[j] = 0
        if u == 1:
            dy, total = vector(dy0, n, dtype), dtype(0)
            for i in range(n):
                total += dy[i]
            db[0] += total
            return
        for i in range(0, n, ROWS_A_TURN):
            add_rows(db, dy0 + i * u * size, min(ROWS_A_TURN, n - i), u, dtype, size)

    return kernel


# --------------------------------------------------------------------------- rows major, one unit
def _column_forward(dtype, scalar, bias: bool):
    """y = f(x w + b) for one unit: q = [x, w, y, (b), inputs, groups, a, b, c]."""
    f = scalar.forward
    first = 9 if bias else 7

    def kernel(q, r):
        k = q[first]
        n = r[ROWS] * q[first + 1]
        x = matrix(at(q, r, 1), n, k, dtype)
        w = vector(at(q, r, 3), k, dtype)
        y = vector(at(q, r, 5), n, dtype)
        b = vector(at(q, r, 7), 1, dtype)[0] if bias else dtype(0)
        c0, c1, c2 = read_constants(q, first + 2, dtype)
        for i in range(n):
            total = dtype(0)
            for j in range(k):
                total += x[i, j] * w[j]
            y[i] = f(total + b, c0, c1, c2)

    return kernel


def _column_dx(dtype):
    """dx = dy w.T for one unit: q = [dy, w, dx, inputs, groups]."""

    def kernel(q, r):
        k = q[7]
        n = r[ROWS] * q[8]
        dy = vector(at(q, r, 1), n, dtype)
        w = vector(at(q, r, 3), k, dtype)
        dx = matrix(at(q, r, 5), n, k, dtype)
        for i in range(n):
            d = dy[i]
            for j in range(k):
                dx[i, j] = d * w[j]

    return kernel


def _column_dw(dtype):
    """dw (+)= x.T dy for one unit: q = [x, dy, dw, inputs, groups, add]."""

    def kernel(q, r):
        k = q[7]
        n = r[ROWS] * q[8]
        x = matrix(at(q, r, 1), n, k, dtype)
        dy = vector(at(q, r, 3), n, dtype)
        dw = vector(at(q, r, 5), k, dtype)
        if r[FIRST] and not q[9]:
            for j in range(k):
                dw[j] = 0
        i = 0
        while i + 4 <= n:
            d0, d1, d2, d3 = dy[i], dy[i + 1], dy[i + 2], dy[i + 3]
            for j in range(k):
                dw[j] += (x[i, j] * d0 + x[i + 1, j] * d1) + (x[i + 2, j] * d2 + x[i + 3, j] * d3)
            i += 4
        while i < n:
            d = dy[i]
            for j in range(k):
                dw[j] += x[i, j] * d
            i += 1

    return kernel


# --------------------------------------------------------------------------- lowering
def _row(name: str, build: Callable[..., Callable], target: Target, operands, *options) -> Row:
    key = f"{name}({','.join([str(option) for option in options] + [target.name])})"
    arguments = [activations.SCALARS[o] if isinstance(o, str) else o for o in options]
    return Row(key, lambda: build(target.dtype, *arguments), tuple(operands))


def _shared(row: Row) -> Row:
    return row._replace(sliced=True)


def _activation(instruction):
    return activations.resolve(
        instruction.attrs.get("activation", "linear"), instruction.attrs.get("activation_attrs", {})
    )


def _product_operands(target: Target, inputs: int, units: int, groups: int, turned_bytes: int = 0):
    """Return the operands of who multiplies, and what: BLAS' address, sizes, our product's, its memory."""
    product = product_address(target.dtype, inputs, units)
    workspace = Workspace(max(turned_bytes, WORKSPACE_BYTES if product else 0))
    return gemm_address(target.name), inputs, units, groups, product, workspace


@lowers("dense")
def lower_dense(instruction, target: Target):
    """Lower a dense layer with its bias and, where the planner fused them, its activation and dropout."""
    x, w = instruction.inputs[:2]
    bias = instruction.inputs[2:3]
    (y,) = instruction.outputs
    inputs, units = w.spec.shape
    groups = y.spec.size // units
    name, constants = _activation(instruction)
    has_bias = bool(bias)
    if target.units_major:
        operands = (x, w, y, *bias, inputs, units, *constants)
        return [_row("units_forward", units_forward, target, operands, name, has_bias)]
    if units == 1:
        operands = (x, w, y, *bias, inputs, groups, *constants)
        return [_row("column_forward", _column_forward, target, operands, name, has_bias)]
    operands = (x, w, y, *_product_operands(target, inputs, units, groups))
    rows = [_shared(_row("gemm_forward", _gemm_forward, target, operands))]
    if "dropout" in instruction.attrs:
        rows.append(lower_bias_dropout(instruction, target, name, constants))
    elif has_bias or name != "linear":
        operands = (y, *bias, units, groups, *constants)
        rows.append(_row("bias_activation", _bias_activation, target, operands, name, has_bias))
    return rows


@lowers("dense_dx")
def lower_dense_dx(instruction, target: Target):
    """Lower dx = dy w.T, times the derivative of the activation before it where the planner fused one.

    Of row-major blocks only the product with one unit's weights is fused: BLAS writes the others.
    """
    dy, w = instruction.inputs[:2]
    dx = instruction.outputs[0]
    name, constants = _activation(instruction)
    inputs, units = w.spec.shape
    groups = dx.spec.size // inputs
    if target.units_major:
        operands = (dy, w, *instruction.inputs[2:], dx, inputs, units, *constants)
        return [_row("units_dx", units_dx, target, operands, name, len(instruction.inputs) > 2)]
    if units == 1 and len(instruction.inputs) > 2:
        return lower_column_backward(instruction, target)
    if units == 1:
        return [_row("column_dx", _column_dx, target, (dy, w, dx, inputs, groups))]
    turned = inputs * units <= LARGEST_TURNED
    turned_bytes = inputs * units * target.itemsize if turned else 0
    operands = (dy, w, dx, *_product_operands(target, inputs, units, groups, turned_bytes))
    return [_shared(_row("gemm_dx", _gemm_dx, target, operands, turned))]


@lowers("dense_dw")
def lower_dense_dw(instruction, target: Target):
    """Lower dw = x.T dy and, where the planner fused it, the sum of dy over rows."""
    x, dy = instruction.inputs
    dw, *db = instruction.outputs
    inputs, units = dw.spec.shape
    groups = dy.spec.size // units
    add = int(instruction.accumulate)
    if target.units_major:
        return [_row("units_dw", units_dw, target, (x, dy, dw, *db, inputs, units, add), bool(db))]
    if units == 1:
        return [_row("column_dw", _column_dw, target, (x, dy, dw, inputs, groups, add))]
    operands = (x, dy, dw, *_product_operands(target, inputs, units, groups), add)
    return [_shared(_row("gemm_dw", _gemm_dw, target, operands))]


@lowers("dense_db")
def lower_dense_db(instruction, target: Target):
    """Lower the sum of dy over rows."""
    (dy,), (db,) = instruction.inputs, instruction.outputs
    units = db.spec.shape[0]
    operands = (dy, db, units, dy.spec.size // units, int(instruction.accumulate))
    if target.units_major:
        return [_row("units_sums", units_sums, target, operands)]
    return [_row("column_sums", column_sums, target, operands)]
