"""How a batch is cut: into blocks of rows that fit the cache, and lanes that threads may share."""

from __future__ import annotations

from fastnn.backends.cpu.products import SMALL_PRODUCT
from fastnn.program import Program, product_flops

#: A block's temporaries should stay in the first- or second-level cache.
NARROW_BLOCK_BYTES, BLOCK_BYTES = 48 << 10, 256 << 10
SMALLEST_BLOCK, LARGEST_BLOCK = 64, 2048
#: Arithmetic that makes a lane of its own worth while (some 20 us of it).
FLOPS_PER_LANE = 2_000_000
MOST_LANES = 16
#: With products of so much arithmetic a row, a team shares each product, by columns, and not the rows of a
#: batch: weights are copied to panels once a step, and there is one gradient.
SHARED_FLOPS_PER_ROW = 400_000


def shares_products(program: Program, batch: int) -> bool:
    """Whether threads share each product of a batch, which is one block and one lane then.

    So it is with wide layers where rows could be shared by few: they would all read all of the weights, and
    their gradients take a while to add up.
    """
    if not program.gradients or program.flops_per_row < SHARED_FLOPS_PER_ROW:
        return False
    return program.whole_batch or lanes_for_sums(program, batch) < MOST_LANES


def rows_per_block(program: Program, batch: int) -> tuple[int, int]:
    """Return how a batch is cut: rows in a block (a multiple of 16), and gradient lanes.

    Both depend on the program and the batch alone, never on the machine or its threads, because the
    order in which gradients are summed follows from them.
    """
    batch = max(batch, 1)
    if program.whole_batch or shares_products(program, batch):
        return -(-batch // 16) * 16, 1
    largest = largest_block(program)
    lanes = max(min(lanes_for_work(program, batch), lanes_for_sums(program, batch), MOST_LANES), 1)
    lanes = 1 << (int(lanes).bit_length() - 1)
    blocks = -(-batch // largest)
    blocks = -(-blocks // lanes) * lanes
    block = -(-batch // blocks)
    return -(-block // 16) * 16, lanes


def block_budget(program: Program) -> int:
    """Return the bytes that the temporaries of a block may take."""
    if program.units_major:
        return NARROW_BLOCK_BYTES
    # Wide layers: every block reads all the weights again, so it had better be as large as they are
    # (512-1024-1024-10, batch 256: 33 ms with blocks of 64 rows, 27 with blocks of 128).
    return max(BLOCK_BYTES, program.parameters * itemsize_of(program))


def largest_block(program: Program) -> int:
    """Return the most rows of a block."""
    # Rows in parts are cut into the same blocks, and so give the same bits, as an array read in place.
    rows = block_budget(program) // max(program.arena_row_bytes - program.parts_row_bytes, 1)
    return min(max(min(rows, rows_of_small_products(program)), SMALLEST_BLOCK), LARGEST_BLOCK)


def rows_of_small_products(program: Program) -> int:
    """Return the most rows with which BLAS takes a program's products for small ones, a sixth faster.

    45-64-64-1 without dropout, batch 8,192: 64 x 64 products take 76 ns a row in blocks of 176, 89 in blocks
    of 256. Products that are large with the smallest block do not count.
    """
    products = [i for i in program.block if i.op == "dense" and i.inputs[1].spec.shape[1] > 1]
    rows = [SMALL_PRODUCT // max(product_flops(i) // 2, 1) for i in products]
    return min((n for n in rows if n >= SMALLEST_BLOCK), default=LARGEST_BLOCK) // 16 * 16


def lanes_for_work(program: Program, batch: int) -> int:
    """Return how many lanes have work enough."""
    return batch * program.flops_per_row // FLOPS_PER_LANE


def lanes_for_sums(program: Program, batch: int) -> int:
    """Return with how many lanes adding their gradients up stays under a tenth of the step."""
    if not program.gradients:
        return MOST_LANES
    work = batch * program.flops_per_row
    return int(work * 0.01) // (program.gradients * itemsize_of(program))


def itemsize_of(program: Program) -> int:
    """Return the bytes of one of the program's numbers."""
    return 4 if program.dtype == "float32" else 8
