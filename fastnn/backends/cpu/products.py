"""Our own product of matrices, for the sizes where it beats BLAS.

The scheme is Goto and van de Geijn's (Anatomy of high-performance matrix multiplication, ACM TOMS 34, 2008):
a block of B that fits half the second cache is copied to panels two vectors wide, a strip of A's rows to a
panel that fits the first cache, and a tile of C, 12 rows by two vectors, stays in registers while k goes by.
Transposed operands are turned while they are copied, by vector shuffles. The tile, the copies and the masked
edges are written as LLVM instructions: the compiler must not choose what stays in registers.

A number of C is the sum over k in order, in runs of at most DEPTH: where it stands in C, how many rows there
are, and who computes it do not show in its bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from fastnn.backends.cpu.jit import Kernel, compile_kernel, inline_math, intrinsic
from fastnn.backends.cpu.vector_code import BYTE, INT, LONG, VECTOR_BYTES, VectorCode, has_avx512

#: Rows of a tile: 12 leave registers for two vectors of B and one of A; short ones finish what is left over.
TALL, SHORT = 12, 8
#: Vectors across a tile: each number of A that is loaded is multiplied by two.
ACROSS = 2
UNROLLED = 4
#: Operand `turned`: A is stored (k, m), B is stored (n, k).
A_TURNED, B_TURNED = 1, 2
#: Bytes of k in a panel: with 16 rows of them the panel of A takes 24 of the first cache's 32 KiB.
DEPTH_BYTES = 1536
#: Bytes of B that are copied at a time: half of the second cache.
PACKED_BYTES = 512 << 10
#: Memory of a product: the panels of B, one of A, a tile, and room for what is written beyond their ends.
WORKSPACE_BYTES = PACKED_BYTES + (48 << 10)
#: Rows of B that are copied together, and how many bytes ahead along them the next are asked for.
CHUNK, AHEAD, TURN_AHEAD = 8, 512, 128
#: Up to so many multiplications OpenBLAS reads the operands where they are; nothing that copies is faster.
SMALL_PRODUCT = 1_000_000


# --------------------------------------------------------------------------- copying to panels
@intrinsic
def _copy(typingctx, source, used, target, dtype):
    """One vector of a panel: the first `used` numbers at `source`, zeros after them."""

    def codegen(context, builder, signature, args):
        code = VectorCode(context, builder, dtype)
        code.prefetch(code.at(args[0], AHEAD, BYTE), write=0)
        code.store(code.masked_load(code.at(args[0], 0), code.first(args[1])), code.at(args[2], 0))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, dtype), codegen


@intrinsic
def _turn(typingctx, source, step, used, left, target, target_step, dtype):
    """As many vectors of a panel as a vector has lanes, from as many rows, `step` bytes apart.

    Only the first `used` rows are read, and of each the first `left` numbers; zeros come after these.
    """

    def codegen(context, builder, signature, args):
        code = VectorCode(context, builder, dtype)
        source, step, used, left, target, target_step, _ = args
        mask, last = code.first(left), builder.sub(used, LONG(1))
        rows = []
        for i in range(code.lanes):
            row = builder.select(builder.icmp_signed("<", LONG(i), last), LONG(i), last)
            place = builder.mul(row, step)
            code.prefetch(code.at(source, builder.add(place, LONG(TURN_AHEAD)), BYTE), write=0)
            rows.append(code.masked_load(code.at(source, place), mask))
        # log2(lanes) rounds of interleaving rows half the square apart exchange row and column
        half = code.lanes // 2
        kind = ir.VectorType(INT, code.lanes)
        masks = [
            ir.Constant(kind, [v for i in part for v in (i, i + code.lanes)])
            for part in (range(half), range(half, code.lanes))
        ]
        for _ in range(code.lanes.bit_length() - 1):
            rows = [builder.shuffle_vector(rows[i], rows[i + half], m) for i in range(half) for m in masks]
        for i, row in enumerate(rows):
            code.store(row, code.at(target, builder.mul(LONG(i), target_step)))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6, dtype), codegen


# --------------------------------------------------------------------------- tiles
def _tile(height: int, panel: int):
    """C (+)= a panel of A times a panel of B, for `height` rows `step` bytes apart, two vectors across.

    `panel` is the bytes of one k in A's panel; `depth`, how many there are, is a multiple of UNROLLED.
    """

    @intrinsic
    def tile(typingctx, a, b, depth, c, step, keep, dtype):
        def codegen(context, builder, signature, args):
            code = VectorCode(context, builder, dtype)
            a, b, depth, c, step, keep, _ = args
            places = [
                builder.add(builder.mul(step, LONG(i)), LONG(v * VECTOR_BYTES))
                for i in range(height)
                for v in range(ACROSS)
            ]
            for place in places:
                code.prefetch(code.at(c, place, BYTE), write=1)
            sums = _sums(code, a, b, depth, height, panel)
            with builder.if_else(builder.icmp_signed("!=", keep, LONG(0))) as (add, write):
                with add:
                    for total, place in zip(sums, places, strict=True):
                        pointer = code.at(c, place)
                        code.store(builder.fadd(code.load(pointer), total), pointer)
                with write:
                    for total, place in zip(sums, places, strict=True):
                        code.store(total, code.at(c, place))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 6, dtype), codegen

    return tile


def _sums(code: VectorCode, a, b, depth, height: int, panel: int):
    """Write the loop over k; every sum stays in a register."""
    builder, entry = code.builder, code.builder.block
    loop, done = builder.append_basic_block("depth"), builder.append_basic_block("done")
    builder.branch(loop)
    builder.position_at_end(loop)
    begin = [depth, a, b, *[code.zero] * (height * ACROSS)]
    now = [builder.phi(value.type) for value in begin]
    left, a, b, *sums = now
    for step in range(UNROLLED):
        offset = step * ACROSS * VECTOR_BYTES
        vectors = [code.load(code.at(b, offset + v * VECTOR_BYTES)) for v in range(ACROSS)]
        for i in range(height):
            number = builder.load(code.at(a, step * panel + i * code.size, code.number))
            factor = code.splat(number, code.kind)
            for v, vector in enumerate(vectors):
                sums[i * ACROSS + v] = code.fma(factor, vector, sums[i * ACROSS + v])
    steps = (-UNROLLED, UNROLLED * panel, UNROLLED * ACROSS * VECTOR_BYTES)
    after = [builder.add(value, LONG(by)) for value, by in zip((left, a, b), steps, strict=True)] + sums
    for phi, first, then in zip(now, begin, after, strict=True):
        phi.add_incoming(first, entry)
        phi.add_incoming(then, loop)
    builder.cbranch(builder.icmp_signed(">", after[0], LONG(0)), loop, done)
    builder.position_at_end(done)
    return sums


@intrinsic
def _put(typingctx, source, target, used, keep, dtype):
    """Write, or add, the first `used` numbers of one row of a tile to C."""

    def codegen(context, builder, signature, args):
        code = VectorCode(context, builder, dtype)
        source, target, used, keep, _ = args
        for v in range(ACROSS):
            left = builder.sub(used, LONG(v * code.lanes))
            place = code.at(target, v * VECTOR_BYTES)
            old = code.masked_load(place, code.first(builder.mul(left, keep)))
            total = builder.fadd(old, code.load(code.at(source, v * VECTOR_BYTES)))
            code.masked_store(total, place, code.first(left))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4, dtype), codegen


# --------------------------------------------------------------------------- the product
def _packing(dtype):
    """Return the functions that copy a panel, and all panels of a block of B."""
    size = np.dtype(dtype).itemsize
    lanes = VECTOR_BYTES // size
    across = ACROSS * lanes

    @inline_math
    def pack(source, step, turned, used, depth, padded, target, wide):
        """Write `padded` times `wide` numbers, and up to a vector's lanes of k more; zeros beyond `depth`."""
        if turned:
            for p in range(0, padded, lanes):
                for j in range(0, wide, lanes):
                    left = depth - p if j < used else 0
                    to = target + (p * wide + j) * size
                    _turn(source + j * step + p * size, step, used - j, left, to, wide * size, dtype)
        else:
            for p in range(padded):
                for j in range(0, wide, lanes):
                    left = used - j if p < depth else 0
                    _copy(source + j * size + p * step, left, target + (p * wide + j) * size, dtype)

    @inline_math
    def pack_all(b, step, turned, n, depth, padded, target):
        """Rows as they are read are copied by chunks: whole columns of them are slow to read."""
        chunk = padded if turned else CHUNK
        for p in range(0, padded, chunk):
            for j in range(0, n, across):
                source = b + (j * step if turned else p * step + j * size)
                to = target + (j * padded + p * across) * size
                pack(source, step, turned, n - j, depth - p, min(chunk, padded - p), to, across)

    return pack, pack_all


def _strips(dtype, panel: int):
    """Return the function that multiplies one panel of A by all panels of B."""
    size = np.dtype(dtype).itemsize
    across = ACROSS * VECTOR_BYTES // size
    tall, short = _tile(TALL, panel), _tile(SHORT, panel)

    @inline_math
    def strip(a, b, depth, c, step, rows, n, high, keep, edge):
        for j in range(0, n, across):
            whole = rows >= high and n - j >= across
            to, to_step, add = (c + j * size, step, keep) if whole else (edge, across * size, 0)
            if high == TALL:
                tall(a, b + j * depth * size, depth, to, to_step, add, dtype)
            else:
                short(a, b + j * depth * size, depth, to, to_step, add, dtype)
            if not whole:
                for i in range(min(rows, high)):
                    _put(edge + i * across * size, c + i * step + j * size, n - j, keep, dtype)

    return strip


def product(dtype) -> Callable:
    """C (+)= A B: q = [m, n, k, A, its stride, B, its stride, C, its stride, turned, add, workspace].

    Strides are leading dimensions, in numbers; `turned` is the sum of A_TURNED and B_TURNED.
    The workspace has WORKSPACE_BYTES.
    """
    size = np.dtype(dtype).itemsize
    lanes = VECTOR_BYTES // size
    WIDE, DEPTH = ACROSS * lanes, DEPTH_BYTES // size
    HIGH = -(-TALL // lanes) * lanes  # A's panel has whole vectors
    pack, pack_all = _packing(dtype)
    strip = _strips(dtype, HIGH * size)

    def kernel(q, r):
        m, n, k = q[0], q[1], q[2]
        a, a_step, b, b_step, c, c_step = q[3], q[4] * size, q[5], q[6] * size, q[7], q[8] * size
        a_turned, b_turned = q[9] & A_TURNED != 0, q[9] & B_TURNED != 0
        edge = (q[11] + 63) // 64 * 64
        panel = edge + TALL * WIDE * size
        packed = panel + (DEPTH + lanes) * HIGH * size
        depth = (k + (k + DEPTH - 1) // DEPTH - 1) // ((k + DEPTH - 1) // DEPTH)  # equal runs
        depth = (depth + UNROLLED - 1) // UNROLLED * UNROLLED
        most = PACKED_BYTES // size // depth // WIDE * WIDE
        strips = (n + most - 1) // most
        most = ((n + strips - 1) // strips + WIDE - 1) // WIDE * WIDE
        for j in range(0, n, most):
            columns = min(most, n - j)
            for p in range(0, k, depth):
                here = min(depth, k - p)
                padded = (here + UNROLLED - 1) // UNROLLED * UNROLLED
                source = b + (j * b_step + p * size if b_turned else p * b_step + j * size)
                pack_all(source, b_step, b_turned, columns, here, padded, packed)
                keep = 1 if q[10] != 0 or p > 0 else 0
                i = 0
                while i < m:
                    left = m - i
                    high = SHORT if left <= SHORT or TALL < left <= 2 * SHORT else TALL
                    source = a + (p * a_step + i * size if a_turned else i * a_step + p * size)
                    pack(source, a_step, not a_turned, min(left, high), here, padded, panel, HIGH)
                    to = c + i * c_step + j * size
                    strip(panel, packed, padded, to, c_step, left, columns, high, keep, edge)
                    i += high

    return kernel


def product_kernel(dtype: Any) -> Kernel:
    """Return the kernel of `product`; processors without AVX-512 run it too, more slowly than BLAS."""
    kind = np.dtype(dtype)
    return compile_kernel(f"product({kind})", lambda: product(kind.type), exact=True)


def product_address(dtype: Any, inputs: int, units: int) -> int:
    """Return the address of our product, or 0 where BLAS multiplies by weights of this shape.

    Below 64 x 64 there is little to gain, and nothing to be compiled for it.
    """
    return product_kernel(dtype).address if has_avx512() and inputs * units >= 64 * 64 else 0


@inline_math
def is_ours(address, m, n, k, size):
    """Whether our product, of numbers of `size` bytes, is the faster: it is large, and C fills its tiles."""
    wide = ACROSS * VECTOR_BYTES // size
    return address != 0 and m * n * k > SMALL_PRODUCT and (n + wide - 1) // wide * wide * 7 <= n * 8


@intrinsic
def call_product(typingctx, address, m, n, k, a, lda, b, ldb, c, ldc, turned, add, workspace):
    """Call `product` at `address` with these operands."""

    def codegen(context, builder, signature, args):
        with builder.goto_entry_block():
            q = builder.alloca(LONG, len(args) - 1)
        for i, value in enumerate(args[1:]):
            builder.store(value, builder.gep(q, [INT(i)]))
        kind = ir.FunctionType(ir.VoidType(), [q.type, q.type]).as_pointer()
        builder.call(builder.inttoptr(args[0], kind), [q, q])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 13), codegen
