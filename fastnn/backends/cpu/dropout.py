"""Random ops: Philox in the vector lanes, one chunk of 512 elements at a time.

The numbers are those of ``fastnn.random``, bit for bit: they depend on the element's place in the batch,
not on the blocks. A block that starts or ends inside a chunk computes the chunk and uses its part.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from llvmlite import ir
from numba import types

from fastnn.backends.cpu import vecmath as vm
from fastnn.backends.cpu.jit import bits_to_float, inline, inline_math, intrinsic, read_constants, vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import ROW0, ROWS, SEED, STEP, at
from fastnn.ops.dropout import SELU_FLOOR, alpha_dropout_constants, keep_threshold
from fastnn.random import CHUNK, LANES, PHILOX_INCREMENTS, PHILOX_MULTIPLIERS, PHILOX_ROUNDS

_U64, _U32, _I32 = np.uint64, np.uint32, np.int32
_LOW, _HALF = _U64(0xFFFFFFFF), _U64(32)
_LOW16, _16 = _U32(0xFFFF), _U32(16)
_M0, _M1 = _U64(PHILOX_MULTIPLIERS[0]), _U64(PHILOX_MULTIPLIERS[1])
_I0, _I1 = _U64(PHILOX_INCREMENTS[0]), _U64(PHILOX_INCREMENTS[1])
_PAIRS = LANES // 2
#: Room for the 256 normal numbers of 64 counters; or for their words, and as many 16-bit numbers again.
STACK_BYTES = 4 * LANES * 8
_QUARTER_TURN = _U64(2**30)


@intrinsic
def stack(typingctx):
    """Address of room for one chunk on the stack, aligned to a cache line."""

    def codegen(context, builder, signature, args):
        with builder.goto_entry_block():
            slot = builder.alloca(ir.ArrayType(ir.IntType(8), STACK_BYTES))
            slot.align = 64
        return builder.ptrtoint(slot, ir.IntType(64))

    return types.int64(), codegen


@inline_math
def philox(c0, c1, c2, c3, k0, k1):
    """Encrypt a counter; twin of ``fastnn.random.philox``. Only the low 32 bits of each word count.

    Words live in 64-bit lanes: one vpmuludq gives a whole product, and the junk above a low half is never
    read. A round is 6 instructions for 8 counters; packed 32-bit lanes would spend more on shuffles.
    """
    for _ in range(PHILOX_ROUNDS):
        p0 = (c0 & _LOW) * _M0
        p1 = (c2 & _LOW) * _M1
        c0 = (p1 >> _HALF) ^ c1 ^ k0
        c1 = p1
        c2 = (p0 >> _HALF) ^ c3 ^ k1
        c3 = p0
        k0 += _I0
        k1 += _I1
    return c0, c1, c2, c3


@inline_math
def fill_words(pairs, counter, step, stream, k0, k1):
    """Write the words of 64 counters, word by word, as 128 pairs of 32-bit words."""
    for i in range(_PAIRS):
        first = counter + _U64(2 * i)
        a0, a1, a2, a3 = philox(first, step & _LOW, step >> _HALF, stream, k0, k1)
        b0, b1, b2, b3 = philox(first + _U64(1), step & _LOW, step >> _HALF, stream, k0, k1)
        pairs[i] = (a0 & _LOW) | (b0 << _HALF)  # cheaper than narrowing each to 32 bits
        pairs[_PAIRS + i] = (a1 & _LOW) | (b1 << _HALF)
        pairs[2 * _PAIRS + i] = (a2 & _LOW) | (b2 << _HALF)
        pairs[3 * _PAIRS + i] = (a3 & _LOW) | (b3 << _HALF)


@inline
def dropped(x, keep, constants):
    """Return the mask and the output of one element."""
    on, zero = constants[:2]
    mask = on if keep else zero
    return mask, x * mask


@inline
def _alpha_dropped(x, keep, constants):
    on, zero, on_shift, off_shift = constants
    mask = on if keep else zero
    shift = on_shift if keep else off_shift
    return mask, x * mask + shift


@inline
def is_kept(word, shift, threshold):
    """Whether an element is kept, by the low or high half of a word."""
    return _I32((word >> shift) & _LOW16) >= threshold


@inline
def decide(x0, y0, m0, w0, shift, count, threshold, constants, f, dtype):
    """Decide `count` elements by the low or high halves of as many words."""
    x, y, mask = vector(x0, count, dtype), vector(y0, count, dtype), vector(m0, count, dtype)
    words = vector(w0, count, _U32)
    for i in range(count):
        mask[i], y[i] = f(x[i], is_kept(words[i], shift, threshold), constants)


@inline
def apply_chunk(start, n, x0, y0, m0, buffer, threshold, constants, f, decide, dtype, size):
    """Apply a chunk to a row-major block of `n` elements; `start` counts from the block's first."""
    if start >= 0 and start + CHUNK <= n:  # a constant number of turns is a third faster
        for half in range(8):
            o = (start + half * LANES) * size
            w0, shift = buffer + (half >> 1) * LANES * 4, _16 if half & 1 else _U32(0)
            decide(x0 + o, y0 + o, m0 + o, w0, shift, LANES, threshold, constants, f, dtype)
        return
    for half in range(8):
        e = start + half * LANES
        low = max(0, -e)
        count = min(LANES, n - e) - low
        o = (e + low) * size
        w0, shift = buffer + ((half >> 1) * LANES + low) * 4, _16 if half & 1 else _U32(0)
        decide(x0 + o, y0 + o, m0 + o, w0, shift, count, threshold, constants, f, dtype)


@inline
def fill_chunk(buffer, chunk, q, r, i):
    """Write a chunk's words; the random stream's operands are from ``q[i]`` on: stream, seed, step."""
    seed, step, stream = _U64(r[SEED] + q[i + 1]), _U64(r[STEP] + q[i + 2]), _U64(q[i])
    pairs = vector(buffer, 4 * _PAIRS, _U64)
    fill_words(pairs, _U64(chunk * LANES), step, stream, seed & _LOW, seed >> _HALF)


@inline
def read_rule(q, i, dtype):
    """Read the threshold and the numbers of `dropped`, which are from ``q[i]`` on."""
    on, on_shift, off_shift = read_constants(q, i + 1, dtype)
    return _I32(q[i]), (on, dtype(0), on_shift, off_shift)


@inline
def _apply_rows(start, x0, y0, m0, n, u, buffer, threshold, constants, f, dtype, size):
    """Apply a chunk to a units-major block of `n` rows; `start` counts from the block's first element."""
    numbers = buffer + 4 * LANES * 4  # behind the words: 16 bits an element, in order
    for half in range(8):
        words = vector(buffer + (half >> 1) * LANES * 4, LANES, _U32)
        part = vector(numbers + half * LANES * 2, LANES, np.uint16)
        shift = _16 if half & 1 else _U32(0)
        for i in range(LANES):
            part[i] = np.uint16(words[i] >> shift)
    for j in range(u):
        low = max(0, (start - j + u - 1) // u)  # rows whose element j lies in this chunk
        count = min(n, (start + CHUNK - j + u - 1) // u) - low
        o = (j * n + low) * size
        x, y, mask = vector(x0 + o, count, dtype), vector(y0 + o, count, dtype), vector(m0 + o, count, dtype)
        part = vector(numbers + (low * u + j - start) * 2, count * u, np.uint16)
        for i in range(count):
            keep = _I32(part[_U64(i * u)]) >= threshold
            mask[i], y[i] = f(x[i], keep, constants)


def dropout(dtype, f, units_major: bool):
    """q = [x, y, mask, units, stream, seed, step, threshold, on, on shift, off shift]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        u = q[7]
        n, first = r[ROWS] * u, r[ROW0] * u
        x0, y0, m0 = at(q, r, 1), at(q, r, 3), at(q, r, 5)
        threshold, constants = read_rule(q, 11, dtype)
        buffer = stack()
        for chunk in range(first // CHUNK, (first + n + CHUNK - 1) // CHUNK):
            fill_chunk(buffer, chunk, q, r, 8)
            start = chunk * CHUNK - first  # the chunk's first element, counted in this block
            if units_major:
                _apply_rows(start, x0, y0, m0, r[ROWS], u, buffer, threshold, constants, f, dtype, size)
            else:
                apply_chunk(start, n, x0, y0, m0, buffer, threshold, constants, f, decide, dtype, size)

    return kernel


@lowers("dropout", "alpha_dropout")
def lower_dropout(instruction, target: Target):
    """Lower dropout or alpha dropout; the rate is an operand, so one kernel serves all."""
    units = instruction.inputs[0].spec.size
    layout = "units," if target.units_major and units > 1 else ""
    f, numbers = rule(instruction.op, instruction.attrs)
    return [
        Row(
            f"{instruction.op}({layout}{target.name})",
            lambda: dropout(target.dtype, f, bool(layout)),
            (*instruction.inputs, *instruction.outputs, units, *numbers),
        )
    ]


def rule(op: str, attrs: dict) -> tuple[Callable, tuple[int | float, ...]]:
    """Return what decides an element, and the operands: random stream, threshold, constants."""
    rate = attrs["rate"]
    if op == "alpha_dropout":
        on, shift = alpha_dropout_constants(rate)
        constants, f = (on, shift, on * SELU_FLOOR + shift), _alpha_dropped
    else:
        constants, f = (1.0 / (1.0 - rate), 0.0, 0.0), dropped
    return f, (*_stream(attrs), keep_threshold(rate), *constants)


def _stream(attrs) -> tuple[int, int, int]:
    return attrs["seed_stream"] & 0xFFFFFFFF, _signed(attrs["seed"]), _signed(attrs["step"])


def _signed(value: int) -> int:
    """Return the signed number with the same 64 bits."""
    return (value + 2**63) % 2**64 - 2**63


# --------------------------------------------------------------------------- Gaussian noise
@inline_math
def fill_normals(normals, counter, step, stream, k0, k1):
    """Write the 256 normal numbers of 64 counters; in float64, for the tails (Box and Muller)."""
    scale, half = 2.0**-32, 0.5
    for i in range(LANES):
        w0, w1, w2, w3 = philox(counter + _U64(i), step & _LOW, step >> _HALF, stream, k0, k1)
        near = math.sqrt(-2.0 * vm.log((np.float64(w0 & _LOW) + half) * scale))
        far = math.sqrt(-2.0 * vm.log((np.float64(w2 & _LOW) + half) * scale))
        turn = 2.0 * math.pi * scale
        # the sine is the cosine a quarter turn earlier
        normals[4 * i] = near * vm.cos((np.float64(w1 & _LOW) + half) * turn)
        normals[4 * i + 1] = near * vm.cos((np.float64((w1 - _QUARTER_TURN) & _LOW) + half) * turn)
        normals[4 * i + 2] = far * vm.cos((np.float64(w3 & _LOW) + half) * turn)
        normals[4 * i + 3] = far * vm.cos((np.float64((w3 - _QUARTER_TURN) & _LOW) + half) * turn)


def gaussian_noise(dtype):
    """y = x + stddev * normal: q = [x, y, units, stream, seed, step, stddev]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        u = q[5]
        n, first = r[ROWS] * u, r[ROW0] * u
        x0, y0 = at(q, r, 1), at(q, r, 3)
        seed, step, stream = _U64(r[SEED] + q[7]), _U64(r[STEP] + q[8]), _U64(q[6])
        stddev = bits_to_float(q[9])
        buffer = stack()
        normals = vector(buffer, 4 * LANES, np.float64)
        chunk = first // (4 * LANES)
        while chunk * 4 * LANES < first + n:
            fill_normals(normals, _U64(chunk * LANES), step, stream, seed & _LOW, seed >> _HALF)
            start = chunk * 4 * LANES - first
            low = max(0, -start)
            count = min(4 * LANES, n - start) - low
            x = vector(x0 + (start + low) * size, count, dtype)
            y = vector(y0 + (start + low) * size, count, dtype)
            part = vector(buffer + low * 8, count, np.float64)
            for i in range(count):
                y[i] = x[i] + dtype(stddev * part[i])
            chunk += 1

    return kernel


@lowers("gaussian_noise")
def lower_gaussian_noise(instruction, target: Target):
    """Lower Gaussian noise."""
    attrs = instruction.attrs
    return [
        Row(
            f"gaussian_noise({target.name})",
            lambda: gaussian_noise(target.dtype),
            (*instruction.inputs, *instruction.outputs, instruction.inputs[0].spec.size,
             *_stream(attrs), float(attrs["stddev"])),
        )
    ]  # fmt: skip
