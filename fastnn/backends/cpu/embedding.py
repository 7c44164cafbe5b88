"""Embedding: gathering rows of a table, and adding to them."""

from __future__ import annotations

import numpy as np

from fastnn.backends.cpu.jit import vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import FIRST, ROWS, at


def embedding(dtype):
    """y = table[index]: q = [index, table, y, indices a row, width]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        n, width = r[ROWS] * q[7], q[8]
        index = vector(at(q, r, 1), n, np.int32)
        table0, y0 = at(q, r, 3), at(q, r, 5)
        for i in range(n):
            row = vector(table0 + np.int64(index[i]) * width * size, width, dtype)
            y = vector(y0 + i * width * size, width, dtype)
            for j in range(width):
                y[j] = row[j]

    return kernel


def embedding_grad(dtype):
    """dtable[index] += dy: q = [index, dy, dtable, indices a row, width, size of the table, add]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        n, width = r[ROWS] * q[7], q[8]
        index = vector(at(q, r, 1), n, np.int32)
        dy0, dtable0 = at(q, r, 3), at(q, r, 5)
        if r[FIRST] and not q[10]:
            dtable = vector(dtable0, q[9] * width, dtype)
            for j in range(q[9] * width):
                dtable[j] = 0
        for i in range(n):
            row = vector(dtable0 + np.int64(index[i]) * width * size, width, dtype)
            dy = vector(dy0 + i * width * size, width, dtype)
            for j in range(width):
                row[j] += dy[j]

    return kernel


@lowers("embedding")
def lower_embedding(instruction, target: Target):
    """Lower a gather from the table."""
    index, table = instruction.inputs
    operands = (index, table, *instruction.outputs, index.spec.size, table.spec.shape[1])
    return [Row(f"embedding({target.name})", lambda: embedding(target.dtype), operands)]


@lowers("embedding_grad")
def lower_embedding_grad(instruction, target: Target):
    """Lower the scattered sum."""
    index, (dtable,) = instruction.inputs[0], instruction.outputs
    size, width = dtable.spec.shape
    operands = (*instruction.inputs, dtable, index.spec.size, width, size, int(instruction.accumulate))
    return [Row(f"embedding_grad({target.name})", lambda: embedding_grad(target.dtype), operands)]
