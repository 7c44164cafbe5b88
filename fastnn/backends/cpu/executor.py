"""The CPU executor: links a program to memory and runs it, alone or with a team of threads."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.backends.cpu import interpreter as control
from fastnn.backends.cpu import kernels, registers
from fastnn.backends.cpu.blas import one_thread, one_thread_here
from fastnn.backends.cpu.cut import MOST_LANES, itemsize_of, rows_per_block, shares_products
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Flag, InputStride, LaneStride, Row, Scratch, Target, Workspace
from fastnn.backends.cpu.pace import Pace
from fastnn.backends.cpu.registers import WIDTH
from fastnn.backends.cpu.team import Team, memory_bytes
from fastnn.program import Program, Ref
from fastnn.random import shuffle_sides

#: Programs may read the caller's arrays where they are, and be laid out in (units, rows).
IN_PLACE = True
ALIGN = 64
#: Rows of an epoch whose end is not known yet.
MOST_ROWS = 1 << 60

_active = 0
_active_lock = threading.Lock()


def _forget_after_fork() -> None:
    # The other threads of the parent, with their trainings and perhaps this lock, do not exist in the child.
    global _active, _active_lock
    _active, _active_lock = 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


class Template:
    """A program's table before memory is known: words, and what to add to each."""

    def __init__(self, rows: Sequence[Row], columns: dict[str, int]):
        self.kernels = [compile_kernel(row.key, row.make, row.exact) for row in rows]
        words = np.zeros((len(rows), WIDTH), np.int64)
        bases = np.zeros((len(rows), WIDTH), np.int64)
        scaled = np.zeros((len(rows), WIDTH), bool)
        for number, row in enumerate(rows):
            words[number, 0] = self.kernels[number].address
            if row.sliced:
                words[number, control.SHARING] = control.CHECKED if row.checked else control.SLICED
            position = 1
            for operand in row.operands:
                position = self._write(
                    operand, words[number], bases[number], scaled[number], position, columns
                )
        self.words, self.bases, self.scaled = words, bases, scaled
        self.any_scaled = bool(scaled.any())
        self.workspace = max(
            (o.bytes for row in rows for o in row.operands if isinstance(o, Workspace)), default=0
        )

    @staticmethod
    def _write(operand: Any, words, bases, scaled, at: int, columns: dict[str, int]) -> int:
        if isinstance(operand, Ref):
            words[at], words[at + 1] = operand.offset, operand.stride
            name = (
                f"{operand.region}{operand.index}"
                if operand.region in ("input", "output", "slot")
                else operand.region
            )
            bases[at] = columns[name]
            scaled[at] = operand.region == "arena"
            return at + 2
        if isinstance(operand, Scratch):
            bases[at] = columns["scratch"]
            return at + 2
        if isinstance(operand, Workspace):
            bases[at] = columns["workspace"]
            return at + 2
        if isinstance(operand, InputStride):
            bases[at] = columns[f"stride{operand.index}.{operand.axis}"]
        elif isinstance(operand, LaneStride):
            bases[at] = columns["lane_stride"]
        elif isinstance(operand, Flag):
            bases[at] = columns["flag"]
        elif isinstance(operand, float):
            words[at] = np.float64(operand).view(np.int64)
        else:
            words[at] = int(operand)
        return at + 1

    def link(self, bases: np.ndarray, rows_per_block: int) -> np.ndarray:
        """Return the table with addresses in place."""
        words = self.words + bases[self.bases]
        if self.any_scaled:
            words += np.where(self.scaled, self.words * (rows_per_block - 1), 0)
        return words


class Linked:
    """What is kept of a program once its kernels are compiled; cached on the program."""

    def __init__(self, program: Program):
        target = Target(np.float32 if program.dtype == "float32" else np.float64, program.units_major)
        names = [
            "none",
            "arena",
            "fixed",
            "scratch",
            "workspace",
            "parameter",
            "gradient",
            "accumulator",
            "hyper",
            "schedule",
            "lane_stride",
            "flag",
        ]
        for index in range(len(program.inputs)):
            names += [f"input{index}", f"stride{index}.0", f"stride{index}.1"]
        names += [f"output{index}" for index in range(len(program.outputs))]
        names += [f"slot{index}" for index in range(program.slots)]
        self.columns = {name: number for number, name in enumerate(names)}
        rows = [row for instruction in program.block for row in kernels.lower(instruction, target)]
        self.block = Template(rows, self.columns)
        rows = [row for instruction in program.update for row in kernels.lower(instruction, target)]
        self.update = Template(rows, self.columns)
        self.paces: dict[tuple[int, int], Pace] = {}  # for each number of lanes and of threads
        self.uses_blas = any(kernel.key.startswith("gemm") for kernel in self.block.kernels)
        #: Of a prediction's products by BLAS, the rows for each row of data, and the elements of the matrix.
        self.products = [
            (instruction.outputs[0].spec.size // weights.shape[1], weights.size)
            for instruction in program.block
            if self.uses_blas and instruction.op == "dense"
            for weights in [instruction.inputs[1].spec]
        ]


def linked(program: Program) -> Linked:
    """Compile (once) and return what a session needs of a program."""
    if program.linked is None:
        program.linked = Linked(program)
    return program.linked


class Session:
    """A program bound to its memory: parameters, data and state. Runs until told to stop.

    Parameters
    ----------
    program : Program
    parameters : ndarray
        The flat parameter buffer.
    inputs : sequence of ndarray
        Inputs, targets and weights; rows first; at most two axes used; any strides when gathered. Three
        for each part of an input in parts.
    outputs : sequence of ndarray
        Arrays written by ``store``.
    batch_size : int
    epoch_rows : int
        Rows visited in an epoch.
    total_rows : int
        Rows of the data.
    slots : sequence of ndarray
        The optimizer's flat state vectors.
    hyper : ndarray of float64
        Learning rate and the like, read by the update kernels.
    schedule : ndarray of float64, optional
        A switch and the numbers of the learning rate's schedule, for programs that have one.
    losses : int
        How many of the accumulators are losses, which must stay finite.
    batch_mean : sequence of bool
        For each accumulator, whether a batch's sum is to be multiplied by the batch's rows.
    seed, shuffle, step, epoch, position : int
        Where the random streams and the run stand.
    sums : ndarray of float64, optional
        The sums of the epoch so far, where `position` is not its beginning.
    threads : int or None
        At most so many threads; None lets the cost model decide.
    """

    def __init__(
        self,
        program: Program,
        *,
        parameters: np.ndarray,
        inputs: Sequence[np.ndarray],
        batch_size: int,
        epoch_rows: int,
        total_rows: int,
        outputs: Sequence[np.ndarray] = (),
        slots: Sequence[np.ndarray] = (),
        hyper: np.ndarray | None = None,
        schedule: np.ndarray | None = None,
        losses: int = 0,
        batch_mean: Sequence[bool] = (),
        seed: int = 0,
        shuffle: bool = False,
        step: int = 0,
        epoch: int = 0,
        position: int = 0,
        sums: np.ndarray | None = None,
        threads: int | None = None,
    ):
        self.program = program
        self._linked = linked(program)
        rows = min(batch_size, epoch_rows)
        self.block, self.lanes = rows_per_block(program, rows)
        self.shared = shares_products(program, rows)
        self.threads = self._team_size(threads, rows)
        # What earlier sessions found out holds for this one: a prediction is one step long.
        paces = self._linked.paces
        self._pace = paces.setdefault((self.lanes, self.threads), Pace()) if self.threads > 1 else None
        self._warm = False  # the first step pays for new memory, more of it with a team, and is not counted
        self.inputs = inputs
        self._keep = [parameters, outputs, slots, hyper, schedule]
        self._sums = max(len(program.accumulators), 1)
        self._seed, self._shuffle = seed, shuffle
        self._total = total_rows
        self._steps_per_epoch = -(-epoch_rows // batch_size) if epoch_rows else 0
        self._layout(parameters, inputs, outputs, slots, hyper, schedule)
        self._control(batch_size, epoch_rows, losses, batch_mean)
        self.state[control.AT_STEP] = step
        self.state[control.AT_EPOCH] = epoch
        self.state[control.AT_POSITION] = position
        if sums is not None:
            self._epoch_sums[:] = sums
        self.stop = self._stop
        self._log = np.zeros((0, self._sums))
        self.seconds_per_step = 0.0

    # ------------------------------------------------------------------ set-up
    def _team_size(self, threads: int | None, batch: int) -> int:
        if threads is None:
            # Below two lanes there is nothing to share; other fits in this process want cores as well.
            threads = max(1, available_cores() // max(1, _active + 1))
        return max(1, min(threads, MOST_LANES if self.shared else self.lanes))

    def _layout(self, parameters, inputs, outputs, slots, hyper, schedule) -> None:
        program, team = self.program, self.threads
        itemsize = itemsize_of(program)
        arena = _aligned(program.arena_row_bytes * self.block)
        fixed = _aligned(program.fixed_bytes)
        scratch = _aligned(2 * 8 * self.block)
        workspace = _aligned(max(self._linked.block.workspace, self._linked.update.workspace))
        # The threads of a shared block have all in common but what they copy operands to.
        place, places = arena + fixed + scratch, 1 if self.shared else team
        lane_bytes = _aligned(program.gradients * itemsize) + ALIGN
        memory = np.empty(places * place + team * workspace + self.lanes * lane_bytes + ALIGN, np.uint8)
        base = -(-memory.ctypes.data // ALIGN) * ALIGN
        workspaces = base + places * place
        self._gradients_at = workspaces + team * workspace
        self._lane_bytes = lane_bytes
        self._memory = memory
        if program.gradients:  # pad elements and unused parameters are never written: they must be zero
            memory[self._gradients_at - memory.ctypes.data :].fill(0)
        self._sums_by_lane = np.zeros((self.lanes, self._sums))
        self._epoch_sums = np.zeros(self._sums)
        self._flag = np.zeros(8, np.int64)
        columns = self._linked.columns
        bases = np.zeros(len(columns), np.int64)
        bases[columns["parameter"]] = parameters.ctypes.data
        bases[columns["hyper"]] = 0 if hyper is None else hyper.ctypes.data
        bases[columns["schedule"]] = 0 if schedule is None else schedule.ctypes.data
        bases[columns["lane_stride"]] = lane_bytes
        bases[columns["flag"]] = self._flag.ctypes.data
        self._bound = {}
        for index, array in enumerate(inputs):
            bases[columns[f"input{index}"]] = self._bound[f"input{index}"] = array.ctypes.data
            strides = array.strides if array.ndim > 1 else (*array.strides, array.itemsize)
            bases[columns[f"stride{index}.0"]] = strides[0] // array.itemsize
            bases[columns[f"stride{index}.1"]] = strides[-1] // array.itemsize
        for index, array in enumerate(outputs):
            bases[columns[f"output{index}"]] = self._bound[f"output{index}"] = array.ctypes.data
        for index, array in enumerate(slots):
            bases[columns[f"slot{index}"]] = array.ctypes.data
        offsets = {"arena": 0, "fixed": arena, "scratch": arena + fixed}
        self._link(bases, offsets, (base, place), (workspaces, workspace))

    def _link(
        self, bases: np.ndarray, offsets: dict[str, int], places: tuple[int, int], workspaces: tuple[int, int]
    ) -> None:
        """Fill the tables: one for each lane, or for each thread of a shared block.

        Of places and workspaces come the first's address and the bytes of each; `offsets` are within a place.
        """
        columns, team = self._linked.columns, self.threads
        block, update = self._linked.block, self._linked.update
        tables = team if self.shared else self.lanes
        self.tables = np.empty((tables, *block.words.shape), np.int64)
        for number in range(tables):
            thread, lane = (number, 0) if self.shared else (number * team // tables, number)
            at = places[0] + (0 if self.shared else thread * places[1])
            for name, offset in offsets.items():
                bases[columns[name]] = at + offset
            bases[columns["workspace"]] = workspaces[0] + thread * workspaces[1]
            bases[columns["gradient"]] = self._gradients_at + lane * self._lane_bytes
            bases[columns["accumulator"]] = self._sums_by_lane[lane].ctypes.data
            self.tables[number] = block.link(bases, self.block)
        bases[columns["gradient"]] = self._gradients_at
        bases[columns["accumulator"]] = self._epoch_sums.ctypes.data
        self.update_table = update.link(bases, self.block)

    def _control(self, batch_size: int, epoch_rows: int, losses: int, batch_mean: Sequence[bool]) -> None:
        q = self._q = np.zeros(control.CONTROL_WORDS, np.int64)
        self.state = np.zeros(control.STATE_WORDS, np.int64)
        self._barrier = np.zeros(memory_bytes(self.threads) // 8 + ALIGN, np.int64)
        self._stop = np.zeros(8, np.int64)
        self._modes = np.zeros(self._sums, np.int64)
        self._modes[: len(batch_mean)] = batch_mean
        q[control.MAX_LANES] = self.lanes
        q[control.TABLE], q[control.TABLE_ROWS] = self.tables.ctypes.data, self.tables.shape[1]
        q[control.UPDATE], q[control.UPDATE_ROWS] = self.update_table.ctypes.data, self.update_table.shape[0]
        q[control.BLOCK] = self.block
        q[control.BATCH_SIZE], q[control.EPOCH_ROWS] = batch_size, epoch_rows
        q[control.BARRIER_AT] = -(-self._barrier.ctypes.data // ALIGN) * ALIGN
        q[control.YIELD_AT] = _yield_address()
        q[control.STOP_AT], q[control.FLAG_AT] = self._stop.ctypes.data, self._flag.ctypes.data
        q[control.STATE_AT] = self.state.ctypes.data
        q[control.SUMS_AT], q[control.EPOCH_SUMS_AT] = (
            self._sums_by_lane.ctypes.data,
            self._epoch_sums.ctypes.data,
        )
        q[control.MODES_AT] = self._modes.ctypes.data
        q[control.SUMS], q[control.LOSSES] = self._sums, losses
        self._alone = self._registers(1)
        self._team = Team(self._registers(self.threads), int(q[control.BARRIER_AT]), self._member)
        self._run = control.interpreter().call

    def _registers(self, threads: int) -> np.ndarray:
        """Return the registers of each thread of a team."""
        r = np.zeros((threads, registers.COUNT), np.int64)
        r[:, registers.ONE] = 1
        r[:, registers.THREAD] = np.arange(threads)
        r[:, registers.THREADS] = threads
        r[:, registers.PARTS] = threads if self.shared else 1
        r[:, registers.PART] = np.arange(threads) if self.shared else 0
        r[:, registers.SEED] = self._seed
        r[:, registers.TOTAL] = self._total
        r[:, registers.SHUFFLE] = self._shuffle
        r[:, registers.EPOCH] = -1
        if self._shuffle:
            r[:, registers.SIDE_A], r[:, registers.SIDE_B] = shuffle_sides(self._total)
        elements = self.program.gradients
        shares = threads if elements >= 32768 else 1  # sharing a short vector costs more than it saves
        for thread in range(threads):
            low, high = elements * thread // shares // 16 * 16, elements * (thread + 1) // shares // 16 * 16
            r[thread, registers.LOW] = min(low, elements)
            r[thread, registers.HIGH] = elements if thread == shares - 1 else min(high, elements)
        return r

    def rebind(
        self,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        batch_size: int,
        last_row: int | None,
    ) -> None:
        """Go on, from the row where the epoch stands, with the rows of other arrays, from their first.

        Parameters
        ----------
        inputs, outputs : sequence of ndarray
            Of the dtypes and strides of those the session was made with.
        batch_size : int
            At most the one the session was made with.
        last_row : int or None
            How many rows the epoch has, if that is known by now.
        """
        first_row = self.position
        found = {f"input{index}": array for index, array in enumerate(inputs)}
        found |= {f"output{index}": array for index, array in enumerate(outputs)}
        for name, array in found.items():
            # Where row 0 of the epoch would be: kernels add the row's number to it.
            address = array.ctypes.data - first_row * array.strides[0]
            moved = self.tables, self._linked.block.bases == self._linked.columns[name]
            np.add(moved[0], address - self._bound[name], out=moved[0], where=moved[1])
            self._bound[name] = address
        self._keep[1:3] = inputs, outputs
        self._q[control.BATCH_SIZE] = batch_size
        self._q[control.EPOCH_ROWS] = MOST_ROWS if last_row is None else last_row

    # ------------------------------------------------------------------ running
    @property
    def step(self) -> int:
        """Training steps done; set it when weights and state of an earlier step are put back."""
        return int(self.state[control.AT_STEP])

    @step.setter
    def step(self, value: int) -> None:
        self.state[control.AT_STEP] = value

    @property
    def epoch(self) -> int:
        """Epochs done (the number of the current one)."""
        return int(self.state[control.AT_EPOCH])

    @property
    def position(self) -> int:
        """Rows of the current epoch done."""
        return int(self.state[control.AT_POSITION])

    @property
    def sums(self) -> np.ndarray:
        """The sums of the current epoch so far."""
        return self._epoch_sums

    @property
    def gradient(self) -> np.ndarray:
        """The flat gradient vector as the latest step's update left it; a view, written by every step."""
        start = self._gradients_at - self._memory.ctypes.data
        itemsize = np.dtype(self.program.dtype).itemsize
        return self._memory[start : start + self.program.gradients * itemsize].view(self.program.dtype)

    def run(self, steps: int, epochs: int) -> tuple[np.ndarray, int]:
        """Run at most `steps` steps, until `epochs` epochs have ended.

        Returns
        -------
        log : ndarray of float64, shape (epochs ended, accumulators)
            The sums of each epoch that ended.
        status : int
            0, or why the run stopped: 1 a loss, 2 a gradient is not finite.
        """
        self._open_log(epochs)
        state, batch = self.state, int(self._q[control.BATCH_SIZE])
        while steps > 0:
            team, some = self._pace.piece(steps, batch) if self._pace is not None else (False, steps)
            steps -= self._piece(team, some if self._warm or self._pace is None else 1)
            if state[control.HALT] or state[control.STATUS]:
                break
        return self.finished(), int(state[control.STATUS])

    def _open_log(self, epochs: int) -> None:
        q, state = self._q, self.state
        self._log = np.zeros((max(epochs, 1), self._sums))
        q[control.LOG_ROWS], q[control.LOG_AT] = epochs, self._log.ctypes.data
        state[control.LOGGED] = state[control.STATUS] = state[control.HALT] = 0

    def _piece(self, team: bool, steps: int) -> int:
        """Run at most `steps` steps, with the team or alone; returns how many were done."""
        q, state, before, started = self._q, self.state, self.step, time.perf_counter()
        q[control.STEPS] = steps
        self._flag[0] = 0
        if team:
            self._run_together()
        else:
            self._member(self._alone[0])
        done = int(state[control.AT_STEP]) - before
        if self._pace is not None and done and self._warm:
            self._pace.note(team, done * int(q[control.BATCH_SIZE]), time.perf_counter() - started)
        self._warm = True
        return done

    def _run_together(self) -> None:
        try:
            self._team.assemble()
            self._member(self._team.registers[0])
            self._team.release()
        except BaseException:
            self._team.dismiss()
            raise

    def run_as(self, team: bool, steps: int) -> int:
        """Run at most `steps` steps by the team, or alone, whatever is faster; returns how many were done."""
        epochs = steps // max(self._steps_per_epoch, 1) + 1
        self._open_log(epochs)
        return self._piece(team, steps)

    def registers_of_a_block(self) -> np.ndarray:
        """Return the registers as one thread has them at the first lane's last full block; for measuring."""
        r = self._alone[0].copy()
        batch = min(int(self._q[control.BATCH_SIZE]), int(self._q[control.EPOCH_ROWS]))
        r[registers.BATCH], r[registers.ROWS] = batch, min(self.block, batch)
        r[registers.ROW0] = r[registers.POSITION] = r[registers.ROW_POSITION] = 0
        blocks = -(-batch // self.block)
        r[registers.LANES] = min(self.lanes, blocks)
        r[registers.FIRST] = blocks <= self.lanes
        return r

    def finished(self) -> np.ndarray:
        """Return the sums of the epochs that ended in the last run, also of one that was interrupted."""
        return self._log[: self.state[control.LOGGED]]

    def _member(self, r: np.ndarray) -> None:
        """Be one thread of the team (a method: a helper keeps the session's memory alive)."""
        if r[registers.THREAD] and self._linked.uses_blas:
            one_thread_here()
        self._run(self._q.ctypes.data, r.ctypes.data)

    def __enter__(self) -> Session:
        global _active
        with _active_lock:
            _active += 1
        self._blas: Any = one_thread() if self._linked.uses_blas else None
        if self._blas is not None:
            self._blas.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        global _active
        try:
            self._team.dismiss()
        finally:
            if self._blas is not None:
                self._blas.__exit__(None, None, None)
            with _active_lock:
                _active = max(0, _active - 1)


def stage(program: Program, arrays: Sequence[np.ndarray], batch: int) -> list[np.ndarray]:
    """Cut arrays into the (units, rows) blocks of a full batch, once, so that no step has to transpose.

    Parts of an input stay as they are.
    """
    block, _ = rows_per_block(program, batch)
    staged = []
    for array, spec in zip(arrays, program.inputs, strict=True):
        if spec is None:
            staged.append(array)
            continue
        dtype = program.dtype if spec.kind == "float" else np.int32
        pieces = [
            np.ascontiguousarray(array[at : at + block].T, dtype).ravel()
            for at in range(0, len(array), block)
        ]
        staged.append(np.concatenate(pieces).reshape(len(array), -1))
    return staged


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _aligned(size: int) -> int:
    return -(-size // ALIGN) * ALIGN


def _yield_address() -> int:
    global _yield
    if _yield is None:
        if sys.platform == "win32":
            _yield = ctypes.windll.kernel32.SwitchToThread
        else:
            _yield = ctypes.CDLL(None).sched_yield
    return ctypes.cast(_yield, ctypes.c_void_p).value or 0


_yield: Any = None
