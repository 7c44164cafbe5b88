"""Transposing a small matrix by vector shuffles."""

from __future__ import annotations

from llvmlite import ir
from numba import types

from fastnn.backends.cpu.jit import inline_math, intrinsic, vector

#: Side of the square that is transposed in registers: 16 rows of 16 numbers.
TILE = 16


@intrinsic
def _transpose_tile(typingctx, source, source_bytes, target, target_bytes, dtype):
    """Transpose TILE x TILE numbers; rows are so many bytes apart."""

    def codegen(context, builder, signature, args):
        number = context.get_data_type(dtype.dtype)
        row_type = ir.VectorType(number, TILE)
        align = dtype.dtype.bitwidth // 8

        def pointer(base, stride, row):
            address = builder.add(base, builder.mul(stride, ir.Constant(ir.IntType(64), row)))
            return builder.inttoptr(address, row_type.as_pointer())

        rows = [builder.load(pointer(args[0], args[1], row), align=align) for row in range(TILE)]
        # Four rounds of interleaving pairs of rows half the tile apart: a perfect shuffle of the address
        # bits each, which after log2(16) rounds has exchanged row and column.
        halves = [list(range(TILE // 2)), list(range(TILE // 2, TILE))]
        masks = [
            ir.Constant(ir.VectorType(ir.IntType(32), TILE), [v for i in half for v in (i, i + TILE)])
            for half in halves
        ]
        for _ in range(4):
            rows = [
                builder.shuffle_vector(rows[i], rows[i + TILE // 2], mask)
                for i in range(TILE // 2)
                for mask in masks
            ]
        for row in range(TILE):
            builder.store(rows[row], pointer(args[2], args[3], row), align=align)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.int64, dtype), codegen


@inline_math
def transpose(source, rows, columns, target, dtype, size):
    """Write the transpose of a C-contiguous ``rows x columns`` matrix at `source` to `target`."""
    full_rows, full_columns = rows - rows % TILE, columns - columns % TILE
    for i in range(0, full_rows, TILE):
        for j in range(0, full_columns, TILE):
            _transpose_tile(
                source + (i * columns + j) * size,
                columns * size,
                target + (j * rows + i) * size,
                rows * size,
                dtype,
            )
    a = vector(source, rows * columns, dtype)
    b = vector(target, rows * columns, dtype)
    for i in range(full_rows, rows):
        for j in range(columns):
            b[j * rows + i] = a[i * columns + j]
    for i in range(full_rows):
        for j in range(full_columns, columns):
            b[j * rows + i] = a[i * columns + j]
