"""Moving rows: the order of an epoch, gathering a batch, storing results, sums over an epoch."""

from __future__ import annotations

import numpy as np

from fastnn.backends.cpu.jit import inline_math, matrix, prefetch, prefetch_later, vector
from fastnn.backends.cpu.lowering import SCRATCH, InputStride, Row, Target, lowers
from fastnn.backends.cpu.order import feistel, inverse_of, shuffled
from fastnn.backends.cpu.registers import KEYS, ROW_POSITION, ROWS, SHUFFLE, SIDE_A, SIDE_B, TOTAL, at
from fastnn.random import (
    PHILOX_INCREMENTS,
    PHILOX_MULTIPLIERS,
    PHILOX_ROUNDS,
    SHUFFLE_ROUNDS,
    SHUFFLE_STREAM,
)

_I64, _U64, _U32 = np.int64, np.uint64, np.uint32
#: Tables from this size on are not in the nearest caches when a row is wanted.
FAR_BYTES = 1 << 19


@inline_math
def _philox_word(counter0, counter1, counter2, counter3, key0, key1, word):
    """One output word of Philox4x32-7; twin of ``fastnn.random.philox``."""
    c0, c1, c2, c3 = _U64(counter0), _U64(counter1), _U64(counter2), _U64(counter3)
    k0, k1 = _U64(key0), _U64(key1)
    low = _U64(0xFFFFFFFF)
    for _ in range(PHILOX_ROUNDS):
        p0 = c0 * _U64(PHILOX_MULTIPLIERS[0])
        p1 = c2 * _U64(PHILOX_MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (p1 >> _U64(32)) ^ c1 ^ k0,
            p1 & low,
            (p0 >> _U64(32)) ^ c3 ^ k1,
            p0 & low,
        )
        k0 = (k0 + _U64(PHILOX_INCREMENTS[0])) & low
        k1 = (k1 + _U64(PHILOX_INCREMENTS[1])) & low
    if word == 0:
        return c0
    if word == 1:
        return c1
    return c2 if word == 2 else c3


@inline_math
def shuffle_key(seed, epoch, number):
    """Round key `number` of an epoch's shuffle; twin of ``fastnn.random.shuffle_keys``."""
    low = _I64(0xFFFFFFFF)
    word = _philox_word(
        number // 4, epoch & low, (epoch >> 32) & low, _U64(SHUFFLE_STREAM),
        seed & low, (seed >> 32) & low, number % 4,
    )  # fmt: skip
    return _I64(word)


def order(dtype):
    """Row numbers of this block: q = [order, scratch]."""
    assert SHUFFLE_ROUNDS == 4

    def kernel(q, r):
        n, first = r[ROWS], r[ROW_POSITION]
        rows = vector(at(q, r, 1), n, np.int64)
        if r[SHUFFLE] == 0 or r[TOTAL] < 2:
            for i in range(n):
                rows[i] = first + i
            return
        found, total = vector(q[3], n, np.uint32), _U32(r[TOTAL])
        largest = shuffled(found, n, first, r)
        for i in range(n):
            rows[i] = found[i]
        if largest >= total:  # rare: less than one row in sqrt(total)
            a, b = _U32(r[SIDE_A]), _U32(r[SIDE_B])
            inverse = inverse_of(r[SIDE_A])
            k0, k1, k2, k3 = _U32(r[KEYS]), _U32(r[KEYS + 1]), _U32(r[KEYS + 2]), _U32(r[KEYS + 3])
            for i in range(n):
                if found[i] >= total:
                    row = feistel(found[i], a, b, inverse, k0, k1, k2, k3)
                    while row >= total:
                        row = feistel(row, a, b, inverse, k0, k1, k2, k3)
                    rows[i] = row

    return kernel


def fetch_ahead(source):
    """Ask for the next block's rows: q = [source, scratch, row stride, units].

    Shuffled rows of a large table miss the caches: of a step of 45-64-64-1 that cost 2.1 us of 16.5 on 32 of
    64,000 rows and 26 of 217 on 512.
    """
    size = np.dtype(source).itemsize

    def kernel(q, r):
        first, row_bytes, used = r[ROW_POSITION] + r[ROWS], q[5] * size, q[6] * size
        n = min(r[ROWS], r[TOTAL] - first)
        if r[SHUFFLE] == 0 or n <= 0 or r[TOTAL] * row_bytes < FAR_BYTES:
            return
        rows = vector(q[3], n, np.uint32)
        shuffled(rows, n, first, r)
        last = r[TOTAL] - 1
        for i in range(n):
            place = q[1] + min(_I64(rows[i]), last) * row_bytes
            for line in range(0, used, 64):
                prefetch_later(place + line)
            prefetch_later(place + used - 1)

    return kernel


def gather(dtype, source, units_major: bool, contiguous: bool):
    """Copy rows: q = [order, source, destination, row stride, column stride, units]; strides in items."""

    size, item = np.dtype(source).itemsize, np.dtype(dtype).itemsize

    def kernel(q, r):
        n, u = r[ROWS], q[9]
        rows = vector(at(q, r, 1), n, np.int64)
        row_stride, column_stride = q[7], 1 if contiguous else q[8]
        # A view begins at its lowest number: a negative index would be counted from its end.
        low = 0 if contiguous else min(0, (u - 1) * column_stride)
        span = (u - 1) * abs(column_stride) + 1
        if units_major:
            # A loop over a row's few numbers takes longer to begin than to run: 0.2 us for 128 rows of one.
            for j in range(u):
                y = vector(at(q, r, 5) + j * n * item, n, dtype)
                column = q[3] + j * column_stride * size
                for i in range(n):
                    y[i] = dtype(vector(column + rows[i] * row_stride * size, 1, source)[0])
        else:
            y = matrix(at(q, r, 5), n, u, dtype)
            for i in range(n):
                x = vector(q[3] + (rows[i] * row_stride + low) * size, span, source)
                for j in range(u):
                    y[i, j] = dtype(x[j * column_stride - low])

    return kernel


@inline_math
def _prepared(x, low, high, mean, inverse):
    """Clip and standardise a number; twin of ``fastnn.rows.transform.transformed``."""
    x = low if x < low else x
    x = high if x > high else x
    return (x - mean) * inverse


def gather_part(dtype, source, step, units_major: bool):
    """Look rows up, prepare them and put them into some columns.

    q = [order, table, index, transform, destination, scratch, row stride, column stride, units of the
    destination, first column, units]; strides in items; `step` is the column stride if it is 1 or -1.

    The rows are looked up before the first is read: the index and the table miss the cache, and a row's
    arithmetic would keep the processor from going on to the next one's misses (2 us a batch of 32 x 44).
    """
    size, item = np.dtype(source).itemsize, np.dtype(dtype).itemsize

    def kernel(q, r):
        n, width, first, u = r[ROWS], q[15], q[16], q[17]
        rows = vector(at(q, r, 1), n, np.int64)
        places = vector(q[11], n, np.int64)
        row_stride, column_stride = q[13], step if step else q[14]
        low = min(0, (u - 1) * column_stride)
        span = (u - 1) * abs(column_stride) + 1
        for i in range(n):
            row = _I64(vector(q[5] + rows[i] * 4, 1, np.int32)[0])
            places[i] = q[3] + (row * row_stride + low) * size
            if step:
                for line in range(0, u * size, 64):
                    prefetch(places[i] + line)
                prefetch(places[i] + u * size - 1)
        numbers = matrix(q[7], 4, u, source)
        destination = at(q, r, 9) + first * (n if units_major else 1) * item
        columns = matrix(destination, u, n, dtype)
        for i in range(n):
            x = vector(places[i], span, source)
            y = vector(destination + i * width * item, u, dtype)
            for j in range(u):
                # (an unsigned index is not tested for being counted from the end)
                v = x[_U64(j * column_stride - low)]
                v = dtype(_prepared(v, numbers[0, j], numbers[1, j], numbers[2, j], numbers[3, j]))
                if units_major:
                    columns[j, i] = v
                else:
                    y[j] = v

    return kernel


def store(dtype, units_major: bool):
    """Write a block to the caller's array, rows in order: q = [x, y, units]; `y` is read in place."""

    def kernel(q, r):
        n, u = r[ROWS], q[5]
        y = matrix(at(q, r, 3), n, u, dtype)
        if units_major:
            x = matrix(at(q, r, 1), u, n, dtype)
            for i in range(n):
                for j in range(u):
                    y[i, j] = x[j, i]
        else:
            x = matrix(at(q, r, 1), n, u, dtype)
            for i in range(n):
                for j in range(u):
                    y[i, j] = x[i, j]

    return kernel


def store_at(dtype, units_major: bool):
    """Write a block to the rows of the caller's array it came from: q = [x, order, y, units]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        n, u = r[ROWS], q[7]
        x = matrix(at(q, r, 1), u, n, dtype) if units_major else matrix(at(q, r, 1), n, u, dtype)
        rows = vector(at(q, r, 3), n, np.int64)
        for i in range(n):
            y = vector(q[5] + rows[i] * u * size, u, dtype)
            for j in range(u):
                y[j] = x[j, i] if units_major else x[i, j]

    return kernel


def accumulate(dtype, weighted: bool):
    """Add a block's row values to a float64 sum: q = [values, (weights), sum]."""
    last = 5 if weighted else 3

    def kernel(q, r):
        n = r[ROWS]
        values = vector(at(q, r, 1), n, dtype)
        total = np.float64(0)
        if weighted:
            weights = vector(at(q, r, 3), n, dtype)
            for i in range(n):
                total += np.float64(values[i]) * np.float64(weights[i])
        else:
            for i in range(n):
                total += np.float64(values[i])
        vector(q[last], 1, np.float64)[0] += total

    return kernel


_SOURCES = {
    "float32": np.float32, "float64": np.float64, "int8": np.int8, "int16": np.int16, "int32": np.int32,
    "int64": np.int64, "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "bool": np.uint8,
}  # fmt: skip


@lowers("order")
def lower_order(instruction, target: Target):
    """Lower the block's row numbers."""
    return [Row("order", lambda: order(target.dtype), (*instruction.outputs, SCRATCH))]


@lowers("gather")
def lower_gather(instruction, target: Target):
    """Lower a gather, converting the caller's dtype on the way."""
    places, source = instruction.inputs
    (destination,) = instruction.outputs
    name = instruction.attrs["source"]
    spec = destination.spec
    dtype = target.dtype if spec.kind == "float" else np.int32
    contiguous = instruction.attrs.get("contiguous", True)
    options = ("units," if target.units_major else "") + ("" if contiguous else "strided,")
    rows = [
        Row(
            f"gather({options}{name},{np.dtype(dtype).name})",
            lambda: gather(dtype, _SOURCES[name], target.units_major, contiguous),
            (
                places,
                source,
                destination,
                InputStride(source.index, 0),
                InputStride(source.index, 1),
                spec.size,
            ),
        )
    ]
    if contiguous and spec.size > 1:
        operands = (source, SCRATCH, InputStride(source.index, 0), spec.size)
        rows.append(Row(f"fetch_ahead({name})", lambda: fetch_ahead(_SOURCES[name]), operands))
    return rows


@lowers("gather_part")
def lower_gather_part(instruction, target: Target):
    """Lower the gather of a part; exact, so that the bits are those of the table as an array."""
    order, table, index, numbers = instruction.inputs
    (destination,) = instruction.outputs
    part, column = instruction.attrs["part"], instruction.attrs["column"]
    options = ("units," if target.units_major else "") + {1: "", -1: "backwards,", 0: "strided,"}[part.step]
    return [
        Row(
            f"gather_part({options}{part.dtype},{target.name})",
            lambda: gather_part(target.dtype, _SOURCES[part.dtype], part.step, target.units_major),
            (
                order,
                table,
                index,
                numbers,
                destination,
                SCRATCH,
                InputStride(table.index, 0),
                InputStride(table.index, 1),
                destination.spec.size,
                column,
                part.columns,
            ),
            exact=True,
        )
    ]


@lowers("store")
def lower_store(instruction, target: Target):
    """Lower the write of results to the caller's array."""
    x = instruction.inputs[0]
    units = x.spec.size
    layout = "units," if target.units_major and units > 1 else ""
    build = store if len(instruction.inputs) == 1 else store_at
    return [
        Row(
            f"{build.__name__}({layout}{target.name})",
            lambda: build(target.dtype, bool(layout)),
            (*instruction.inputs, *instruction.outputs, units),
        )
    ]


@lowers("accumulate")
def lower_accumulate(instruction, target: Target):
    """Lower a sum over the epoch."""
    weighted = len(instruction.inputs) == 2
    return [
        Row(
            f"accumulate({'weighted,' if weighted else ''}{target.name})",
            lambda: accumulate(target.dtype, weighted),
            (*instruction.inputs, *instruction.outputs),
        )
    ]
