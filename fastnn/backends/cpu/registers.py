"""The run-time registers every kernel may read, and how it finds its operands.

`r` is one int64 vector a thread; `q` is the instruction's row of the program table: ``q[0]`` is the
kernel's address, then come the operands. An array takes two words, address and bytes a row; the second
is zero unless the array is read in place, where the block's first row is. A float takes one word.
"""

from __future__ import annotations

from fastnn.backends.cpu.jit import inline_math

ONE = 0  # always 1
ROWS = 1  # rows in this block
ROW0 = 2  # first row of the block within the batch
BATCH = 3  # rows in the batch
POSITION = 4  # first row of the batch within the epoch's order
ROW_POSITION = 5  # POSITION + ROW0
FIRST = 6  # 1 in the first block of a lane: gradients are overwritten, then added to
STEP = 7  # training steps since the model was compiled
EPOCH = 8
SEED = 9
TOTAL = 10  # rows in the data
THREAD, THREADS = 11, 12
LOW, HIGH = 13, 14  # this thread's slice of the flat parameter vector
LANES = 15  # gradient lanes in use in this batch
SHUFFLE = 16  # 1 if rows are visited in the epoch's random order
BARRIER = 17  # barriers passed by this thread
SKIP = 18  # 1 if the rest of the update section is to be skipped (gradient accumulation)
SIDE_A, SIDE_B = 19, 20  # sides of the shuffle's rectangle
KEYS = 21  # the shuffle's four round keys, up to 24
PART, PARTS = 25, 26  # this thread's part of a shared block: 0 of 1 where it has blocks of its own
COUNT = 32

#: Words in a row of the program table.
WIDTH = 24


@inline_math
def at(q, r, i):
    """Address of the array operand whose two words start at ``q[i]``."""
    return q[i] + r[ROW_POSITION] * q[i + 1]
