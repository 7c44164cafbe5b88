"""Where a program's time goes: each row of its table alone, beside the least that this machine allows."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.cpu import cut, executor, kernels, registers
from fastnn.backends.cpu.blas import gemm_address, one_thread
from fastnn.backends.cpu.jit import call_kernel, compile_kernel, pointer, vector
from fastnn.backends.cpu.lowering import Row, Target
from fastnn.backends.cpu.products import WORKSPACE_BYTES, product_kernel
from fastnn.backends.cpu.vector_code import has_avx512
from fastnn.program import Instruction, Program, Ref, product_flops

#: How long one row, and the whole step each way, is measured.
ROW_SECONDS, STEP_SECONDS = 0.02, 0.1
#: A measurement repeats a row for at least so long, well above the clock's grain.
RUN_SECONDS = 2e-4
GEMM_SIDES = (64, 128, 256, 512)
READS = tuple(1 << bits for bits in range(12, 27))  # 4 KiB to 64 MiB
#: The machine is measured in passes over all sizes.
PASSES, PASS_SECONDS = 3, 0.003
#: Ops that often find nothing to do, so that no bytes have to move.
MAY_DO_NOTHING = ("reduce_gradients", "scale_gradient")


class RowTime(NamedTuple):
    """One row of a program's table, timed alone on one thread, with its operands in the nearest cache.

    Attributes
    ----------
    section : {'block', 'update'}
        Run for each block of rows, or once a step.
    op, kernel : str
        What is computed, and by which variant of the kernel.
    times : float
        How often a step runs it.
    microseconds : float
        Of one run, the best of many.
    floor : float
        Microseconds that its arithmetic, or its bytes, take at this machine's measured best.
    bound : {'arithmetic', 'memory', ''}
        Which of the two is the floor; '' where a run may have nothing to do.
    product : bool
        Whether it is a product of matrices.
    """

    section: str
    op: str
    kernel: str
    times: float
    microseconds: float
    floor: float
    bound: str
    product: bool


# --------------------------------------------------------------------------- the machine
@functools.cache
def gemm_rate(dtype: str) -> float:
    """Return the operations a second of this core's best products, measured once, on one thread.

    That is the fastest of BLAS' and of our own, square and of several sizes.

    Parameters
    ----------
    dtype : {'float32', 'float64'}

    Examples
    --------
    >>> gemm_rate("float32") > 1e8
    True
    """
    works = [(side, _product(dtype, side)) for side in GEMM_SIDES]
    works += [(side, _own_product(dtype, side)) for side in GEMM_SIDES if has_avx512()]
    with one_thread():
        return max(2 * side**3 / _best(work, ROW_SECONDS / 2) for _ in range(PASSES) for side, work in works)


def _product(dtype: str, n: int) -> Callable[[], None]:
    a = np.random.default_rng(0).standard_normal((n, n)).astype(dtype)
    c = np.empty_like(a)
    scalar = ctypes.c_float if dtype == "float32" else ctypes.c_double
    side, plain = ctypes.byref(ctypes.c_int(n)), ctypes.c_char_p(b"N")
    one, zero = ctypes.byref(scalar(1)), ctypes.byref(scalar(0))
    gemm = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(gemm_address(dtype))

    def run() -> None:
        x, y = ctypes.c_void_p(a.ctypes.data), ctypes.c_void_p(c.ctypes.data)
        gemm(plain, plain, side, side, side, one, x, side, x, side, zero, y, side)

    return run


def _own_product(dtype: str, n: int) -> Callable[[], None]:
    kernel = product_kernel(dtype)
    a = np.random.default_rng(0).standard_normal((n, n)).astype(dtype)
    c, workspace = np.empty_like(a), np.empty(WORKSPACE_BYTES, np.uint8)

    def run() -> None:
        addresses = (a.ctypes.data, n, a.ctypes.data, n, c.ctypes.data, n)
        q = np.array([n, n, n, *addresses, 0, 0, workspace.ctypes.data], np.int64)
        kernel.call(q.ctypes.data, q.ctypes.data)

    return run


def bandwidth(size: int) -> float:
    """Return the bytes a second that one thread reads, or reads and writes, of so many bytes.

    That is the nearest cache's that holds them, or memory's; measured once.

    Parameters
    ----------
    size : int
        Rounded down to a power of two: never an underestimate.

    Examples
    --------
    >>> bandwidth(16 << 10) >= bandwidth(64 << 20) > 1e7
    True
    """
    return _bandwidths()[min(max(size, READS[0]), READS[-1]).bit_length() - 1]


@functools.cache
def _bandwidths() -> dict[int, float]:
    """Return the rate for each power of two, by its logarithm."""
    data, out = (
        np.ones(READS[-1] // 4 + 16, np.float32),
        np.zeros(1, np.float32),
    )  # zeros would be one shared page
    # In the first-level cache the one is faster, 290 against 210 GB/s; further away the other.
    both = compile_kernel("profile_read_and_write", lambda: _read_and_write)
    read = compile_kernel("profile_read", lambda: _read)
    r, first = np.zeros(registers.COUNT, np.int64), -(-data.ctypes.data // 64) * 64
    rates = dict.fromkeys(READS, 0.0)
    for _ in range(PASSES):  # other processes disturb one pass more than another
        for size in READS:
            for kernel, vectors in ((read, 2), (both, 3)):
                n = size // (64 * vectors) * 16
                row = np.array([kernel.address, first, n, out.ctypes.data])
                rates[size] = max(rates[size], 4 * n * vectors / best_seconds(row, r, PASS_SECONDS))
    # Fewer bytes are not further away than more.
    return {size.bit_length() - 1: max(rates[s] for s in READS if s >= size) for size in READS}


def _read(q, r):
    """Read two vectors: q = [a, numbers of one, result]."""
    n = q[2]
    a, b = vector(q[1], n, np.float32), vector(q[1] + 4 * n, n, np.float32)
    total = np.float32(0)
    for i in range(n):
        total += a[i] * b[i]
    vector(q[3], 1, np.float32)[0] = total


def _read_and_write(q, r):
    """Read two vectors and write a third: q = [a, numbers of one]."""
    n = q[2]
    a, b = vector(q[1], n, np.float32), vector(q[1] + 4 * n, n, np.float32)
    c = vector(q[1] + 8 * n, n, np.float32)
    for i in range(n):
        c[i] = a[i] * b[i]


def _repeat(q, r):
    row = pointer(q[0])
    for _ in range(q[1]):
        call_kernel(row[0], row, r)


def best_seconds(row: np.ndarray, r: np.ndarray, budget: float = ROW_SECONDS) -> float:
    """Return the best time of one table row, of many short runs."""
    repeat = compile_kernel("profile_repeat", lambda: _repeat).call
    q = np.array([row.ctypes.data, 1])

    def run() -> None:
        repeat(q.ctypes.data, r.ctypes.data)

    best, started = np.inf, time.perf_counter()
    while time.perf_counter() - started < budget:
        best = min(best, _best(run, 0) / q[1])
        q[1] = max(1, int(RUN_SECONDS / best))
    return float(best)


def _best(run: Callable[[], None], budget: float) -> float:
    """Return the shortest of the times that calls take, made for `budget` seconds, once at least."""
    best, started = np.inf, time.perf_counter()
    while True:
        begun = time.perf_counter()
        run()
        ended = time.perf_counter()
        best = min(best, ended - begun)
        if ended - started >= budget:
            return best


# --------------------------------------------------------------------------- the program
def rows(session: executor.Session) -> list[RowTime]:
    """Time each row of a session's program; its parameters, state and sums are overwritten.

    The session must have run a step, so that there are data to work on.
    """
    program, r = session.program, session.registers_of_a_block()
    found = []
    times = float(-(-int(r[registers.BATCH]) // session.block))
    lanes = int(r[registers.LANES])
    sections: list[tuple[str, list[Instruction], np.ndarray]] = [
        ("block", program.block, session.tables[0]),
        ("update", program.update, session.update_table),
    ]
    for section, instructions, table in sections:
        times = times if section == "block" else 1.0
        lowered = list(_lowered(program, instructions))
        for (instruction, row, product), words in zip(lowered, table, strict=True):
            seconds = best_seconds(words.copy(), r.copy())
            floor, bound = _floor(program, instruction, row, product, int(r[registers.ROWS]), lanes, session)
            kernel = row.key.partition("(")[0]
            variant = row.key[len(kernel) :].removesuffix(f"{program.dtype})").rstrip(",(")
            found.append(
                RowTime(section, instruction.op, kernel + (variant + ")" if variant else ""), times,
                        1e6 * seconds, 1e6 * floor, bound, product)
            )  # fmt: skip
            if instruction.op == "accumulate_gradients":  # what comes after runs when the last has been added
                times = 1 / instruction.attrs["steps"]
    return found


def _lowered(
    program: Program, instructions: Sequence[Instruction]
) -> Iterator[tuple[Instruction, Row, bool]]:
    """Go through the table's rows; the first of a dense product's is the product itself."""
    target = Target(np.float32 if program.dtype == "float32" else np.float64, program.units_major)
    for instruction in instructions:
        for number, row in enumerate(kernels.lower(instruction, target)):
            yield instruction, row, number == 0 and product_flops(instruction) > 0


def _floor(
    program: Program, instruction: Instruction, row: Row, product: bool, rows: int, lanes: int, session: Any
) -> tuple[float, str]:
    """Return the least seconds of one run, and what sets them."""
    if instruction.op in MAY_DO_NOTHING and (lanes == 1 or instruction.op != "reduce_gradients"):
        return 0.0, ""
    operands = {(o.region, o.index, o.offset): o for o in row.operands if isinstance(o, Ref)}
    moved = {True: 0, False: 0}
    for operand in operands.values():
        moved[operand.spec.rows] += operand.spec.size * _itemsize(program, operand, session)
    moved[True] *= rows
    if instruction.op.startswith("embedding"):  # reads, or adds to, a row of the table for each index
        moved[False] = min(moved[False], moved[True])
    size = (moved[True] + moved[False]) * (lanes if instruction.op == "reduce_gradients" else 1)
    memory = size / bandwidth(size)
    arithmetic = product_flops(instruction) * rows / gemm_rate(program.dtype) if product else 0.0
    return (arithmetic, "arithmetic") if arithmetic > memory else (memory, "memory")


def _itemsize(program: Program, operand: Ref, session: Any) -> int:
    if operand.region == "input":
        return int(session.inputs[operand.index].itemsize)
    if operand.region in ("hyper", "accumulator", "schedule"):
        return 8
    return {"float": cut.itemsize_of(program), "index": 8}.get(operand.spec.kind, 4)


def step_seconds(session: executor.Session, team: bool) -> float:
    """Return the best time of a step, run by the team or alone, of many short runs; weights are changed."""
    best, steps, started = np.inf, 1, time.perf_counter()
    while time.perf_counter() - started < STEP_SECONDS:
        begun = time.perf_counter()
        done = session.run_as(team, steps)
        best = min(best, (time.perf_counter() - begun) / max(done, 1))
        steps = max(1, int(5e-3 / best))
    return float(best)


# --------------------------------------------------------------------------- the choices
def reasons(session: executor.Session, batch: int, asked: int | None) -> dict[str, str]:
    """Return why blocks have so many rows, and why there are so many lanes and threads."""
    return {
        "block": _why_block(session.program, batch),
        "lanes": _why_lanes(session.program, batch),
        "threads": _why_threads(session, asked),
    }


def _why_block(program: Program, batch: int) -> str:
    if program.whole_batch:
        return "an op mixes the rows of a batch, so the batch is one block"
    if cut.shares_products(program, batch):
        return "layers are wide, so a batch is one block, and weights are copied for the products once a step"
    most, small = cut.largest_block(program), cut.rows_of_small_products(program)
    row = program.arena_row_bytes - program.parts_row_bytes
    layout = "stored (units, rows), as every layer is narrow" if program.units_major else "stored row by row"
    if most == small < cut.LARGEST_BLOCK:
        why = "with which BLAS takes products for small ones"
    else:
        most = -(-most // 16) * 16
        why = f"as a row has {row:,} bytes of temporaries, a block {cut.block_budget(program) >> 10:,} KiB"
        why += f" (from {cut.SMALLEST_BLOCK} to {cut.LARGEST_BLOCK:,} rows)"
    text = f"{layout}; at most {most:,}, {why}"
    return text + (", and the batch has fewer" if batch <= most else ", in blocks of equal size")


def _why_lanes(program: Program, batch: int) -> str:
    if cut.shares_products(program, batch):
        return "threads share each product, by its columns, so there is one gradient"
    if program.whole_batch:
        return "an op mixes the rows of a batch, so one thread runs it"
    work, sums = cut.lanes_for_work(program, batch), cut.lanes_for_sums(program, batch)
    if work <= min(sums, cut.MOST_LANES):
        operations = batch * program.flops_per_row
        return f"a step has {operations:,} operations, and a lane is worth {cut.FLOPS_PER_LANE:,}"
    if sums < cut.MOST_LANES:
        return f"adding up the lanes' {program.gradients:,} gradients would take more than a tenth of a step"
    return f"there are never more than {cut.MOST_LANES}"


def _why_threads(session: executor.Session, asked: int | None) -> str:
    cores = executor.available_cores()
    if not session.shared and session.threads == session.lanes and (asked is None or asked >= session.lanes):
        return "one a lane" if session.threads > 1 else "one lane is nothing to share"
    if asked is not None:
        return f"asked for: threads={asked}"
    if session.threads < cores:
        return f"other trainings of this process want some of the {cores} cores"
    return "one a core"
