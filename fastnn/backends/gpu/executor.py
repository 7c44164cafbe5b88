"""The GPU executor: a program's launches over device memory, captured once and replayed.

The data, the weights and the optimizer's state live on the device for the whole run. Where a run stands is
kept there too (see registers.py), so a step needs nothing from the host: no copy, no allocation, no
synchronisation. After each call the weights and the state come back, for callbacks and for safety.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import faults, feed, kernels, regimes, registers, watched
from fastnn.backends.gpu.feed import Feed
from fastnn.backends.gpu.fused import lower_fused
from fastnn.backends.gpu.library import BoundProduct, lower_library
from fastnn.backends.gpu.lowering import (
    Held,
    IsLoss,
    Launch,
    Product,
    Registers,
    Scratch,
    Stride,
    Table,
    Target,
)
from fastnn.backends.gpu.memory import Memory, Mirror
from fastnn.backends.gpu.registers import INDEX
from fastnn.backends.gpu.resident import lower_resident
from fastnn.program import Program, Ref
from fastnn.random import shuffle_sides

#: Batches are always gathered, and programs are row-major.
IN_PLACE = False
#: Most bytes of temporaries; a batch that needs more goes through in chunks.
ARENA_BYTES = 1 << 30
#: Rows of a chunk are a multiple of this, so that every temporary starts on 256 bytes.
ROW_ALIGN = 64
#: Rows of an epoch whose end is not known yet.
MOST_ROWS = 1 << 40
#: Epochs that a call can log before the log is made longer.
LOG_ROWS = 64


class Session:
    """A program bound to device memory. The arguments are those of the CPU's session.

    Parameters
    ----------
    program : Program
        Row-major, not in place.
    parameters, inputs, outputs, slots, hyper, schedule
        Host arrays; inputs may be on the device already, and go there in portions if they are larger than
        its memory (see feed.py).
    batch_size, epoch_rows, total_rows, losses, batch_mean, seed, shuffle, step, epoch, position, sums
        As on the CPU.
    threads : int, optional
        Without meaning here.
    capture : bool, default True
        Record a step once as a CUDA graph and replay it; False launches every kernel.
    regime : {'resident', 'fused', 'library', 'generic'}, optional
        How the program runs (see regimes.py); by default the fastest.

    Attributes
    ----------
    regime : str
    how : str
        The regime in words, and why it is no faster one.
    """

    def __init__(
        self,
        program: Program,
        *,
        parameters: np.ndarray,
        inputs: Sequence[Any],
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
        capture: bool = True,
        regime: str | None = None,
    ):
        self._cp = cp = compiling.cupy()
        self.program = program
        watch = watched.current() if program.update else None
        self.seconds_per_step = 0.0
        self._epoch_rows, self._batch_size, self._first_row = epoch_rows, batch_size, 0
        self._stream = cp.cuda.Stream(non_blocking=True)
        self._stream.wait_event(cp.cuda.get_current_stream().record())  # data may still be under way there
        asked = functools.partial(self._asked, parameters, inputs, [*slots, *outputs])
        with (
            faults.named(cp, "the data and the model", asked, lambda: "The model is as it was."),
            self._stream,
        ):
            self._feed = Feed(program, inputs, batch_size, epoch_rows, total_rows, seed, shuffle, cp)
            self._batch_size = self._most = self._feed.batch_size
            self._choice = regimes.choose(program, self._most, regime)
            self.regime, self.how = self._choice.regime, str(self._choice)
            if watch is not None:
                watch.regimes.append(self.regime)
                capture = watch.capture
            self._losses, self._capture = losses, capture and self.regime != "library"
            self._steps_per_epoch = -(-epoch_rows // self._batch_size) if epoch_rows else 0
            self._place(parameters, outputs, slots, hyper, schedule)
            self._clock(seed, shuffle, step, epoch, position, total_rows, sums, batch_mean)
            self._steps: list[Any] = self._bind()
            self._stream.synchronize()
        #: Steps of this session that make one of the caller's: more than one where the feed cut the batch.
        self._pace = self._steps_per_epoch if self._batch_size < min(batch_size, epoch_rows) else 1
        self._graph: Any = None
        self._log = np.zeros((0, self._count))
        self.stop = np.zeros(8, np.int64)

    # ------------------------------------------------------------------ set-up
    def _asked(self, parameters: np.ndarray, inputs: Sequence[Any], others: Sequence[np.ndarray]) -> int:
        """Return the device memory that the session needs in all."""
        feed = getattr(self, "_feed", None)
        data = sum(array.nbytes for array in inputs) if feed is None else feed.nbytes
        rows = max(min(self._batch_size, self._epoch_rows), ROW_ALIGN)
        temporaries = min(self.program.arena_row_bytes * rows, ARENA_BYTES) + self.program.fixed_bytes
        return data + 2 * parameters.nbytes + sum(array.nbytes for array in others) + temporaries

    def _place(self, parameters, outputs, slots, hyper, schedule) -> None:
        cp, program = self._cp, self.program
        batch = -(-min(self._batch_size, max(self._epoch_rows, 1)) // ROW_ALIGN) * ROW_ALIGN
        most = ARENA_BYTES // max(program.arena_row_bytes, 1) // ROW_ALIGN * ROW_ALIGN
        whole = (
            program.whole_batch or self._choice.chain is not None
        )  # a chain's temporaries are in its blocks
        rows = batch if whole else max(min(batch, most), ROW_ALIGN)
        self._chunks = -(-batch // rows)
        self._mirrors = [Mirror(array, cp) for array in (parameters, *slots)]
        regions = {"parameter": self._mirrors[0].device}
        for number, mirror in enumerate(self._mirrors[1:]):
            regions[f"slot{number}"] = mirror.device
        if hyper is not None:
            self._mirrors.append(Mirror(hyper, cp))
            regions["hyper"] = self._mirrors[-1].device
        if schedule is not None:
            self._mirrors.append(Mirror(schedule, cp))
            regions["schedule"] = self._mirrors[-1].device
        self._strides = self._feed.strides
        regions.update({f"input{number}": array for number, array in enumerate(self._feed.arrays)})
        self.outputs = []
        for number, array in enumerate(outputs):
            items = self._feed.output_rows(len(array)) * (array.size // max(len(array), 1))
            regions[f"output{number}"] = cp.zeros(items, array.dtype)
            self.outputs.append((array, regions[f"output{number}"]))
        self._memory = Memory(program, rows, cp, regions, arena=self._choice.chain is None)

    def _clock(self, seed, shuffle, step, epoch, position, total, sums, batch_mean) -> None:
        cp = self._cp
        self._count = max(len(self.program.accumulators), 1)
        host = np.zeros(registers.COUNT, np.int64)
        a, b = shuffle_sides(total) if shuffle else (1, 1)
        values = {
            "SEED": np.uint64(seed).astype(np.int64), "TOTAL": total, "SIDE_A": a, "SIDE_B": b, "STEP": step,
            "SHUFFLE": int(shuffle and not self._feed.staged), "EPOCH": epoch, "POSITION": position,
            "BATCH_SIZE": self._batch_size, "EPOCH_ROWS": self._epoch_rows, "CHUNK": self._memory.rows,
        }  # fmt: skip
        for name, value in values.items():
            host[INDEX[name]] = value
        self._host = host
        self._registers = cp.asarray(host)
        modes = np.zeros(self._count, np.int32)
        modes[: len(batch_mean)] = batch_mean
        self._sums = Mirror(np.zeros(self._count) if sums is None else np.array(sums, float), cp)
        self._held: dict[str, Any] = {
            "modes": cp.asarray(modes), "epoch_sums": self._sums.device,
            "log": cp.zeros(LOG_ROWS * self._count, np.float64),
        }  # fmt: skip

    def _bind(self) -> list[Any]:
        """Return one step: functions, grids and arguments, in order."""
        self._scratches: dict[Scratch, Any] = {}
        self._tables: dict[Table, Any] = {}
        self._chunk, self._row = 0, 0
        target, program = Target(self.program.dtype, self._memory.rows), self.program
        if self.regime == "resident":
            return []
        data = target.variant("data", **kernels.data.MACROS)
        lower = lower_library if self.regime == "library" else kernels.lower
        step: list[Any] = []
        update: Sequence[Any] = program.update
        if self.regime == "fused":
            launches, update = lower_fused(program, self._choice.chain, self._most)  # type: ignore[arg-type]
            step += map(self._bound, launches)
        else:
            for chunk in range(self._chunks):
                self._chunk = chunk
                if chunk:
                    step.append(self._bound(Launch(data, "next_chunk", (1,), (Registers(),), 32)))
                step += [self._bound(launch) for i in program.block for launch in lower(i, target)]
        step += [self._bound(launch) for i in update for launch in kernels.lower(i, target)]
        tick = (
            Registers(), self._memory.regions["accumulator"], Held("epoch_sums"), Held("log"), Held("modes"),
            self._count,
        )  # fmt: skip
        return [*step, self._bound(Launch(data, "tick", (1,), tick, 32))]

    def _bound(self, launch: Launch | Product) -> tuple[Any, tuple[int, ...], int, tuple[Any, ...]]:
        if isinstance(launch, Product):
            left, right, out = (self._argument(operand) for operand in launch[1:4])
            rows = self._rows_of(self._chunk)
            return BoundProduct(launch, left, right, out, self._cp, rows), (), 0, ()
        function = compiling.function(launch.variant, launch.name)
        arguments = tuple(self._argument(argument) for argument in launch.arguments)
        return function, launch.grid, launch.block, function.wrap(arguments)

    def _rows_of(self, chunk: int) -> Callable[[], int]:
        """Return a function that tells the rows of a chunk in the step under way, as the device counts."""
        size = self._memory.rows

        def rows() -> int:
            batch = min(self._batch_size, self._epoch_rows - self._row)
            return max(min(batch - chunk * size, size), 0)

        return rows

    def _argument(self, argument: Any) -> Any:
        if isinstance(argument, Ref):
            return self._memory.view(argument)
        if isinstance(argument, Registers):
            return self._registers
        if isinstance(argument, Scratch):
            return self._scratch(argument)
        if isinstance(argument, Stride):
            return self._strides[argument.number][argument.axis]
        if isinstance(argument, IsLoss):
            return int(argument.accumulator < self._losses)
        if isinstance(argument, Table):
            if argument not in self._tables:
                self._tables[argument] = self._cp.asarray(np.array(argument.values, argument.dtype))
            return self._tables[argument]
        if isinstance(argument, Held):
            return self._held[argument.name]
        return argument

    def _scratch(self, wanted: Scratch) -> Any:
        """Return scratch memory; launches run one after the other, so all of a size may share it."""
        if wanted not in self._scratches:
            make = self._cp.zeros if wanted.zeros else self._cp.empty
            self._scratches[wanted] = make(max(wanted.bytes, 1), np.uint8).view(wanted.dtype)
        return self._scratches[wanted]

    # ------------------------------------------------------------------ running
    def rebind(
        self,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        batch_size: int,
        last_row: int | None,
    ) -> None:
        """Go on, from the row where the epoch stands, with the rows of other arrays; see the CPU's."""
        self._first_row, self._batch_size = self.position, batch_size
        self._epoch_rows = MOST_ROWS if last_row is None else last_row
        self._steps_per_epoch = -(-self._epoch_rows // batch_size)
        self.outputs = [(array, device) for array, (_, device) in zip(outputs, self.outputs, strict=True)]
        self._host[[INDEX[name] for name in ("STAGED", "BATCH_SIZE", "EPOCH_ROWS")]] = (
            self._first_row, batch_size, self._epoch_rows,
        )  # fmt: skip
        with faults.named(self._cp, "some rows", lambda: 0, self._kept):
            self._feed.load(inputs, self._stream)
            self._registers.set(self._host, stream=self._stream)

    def run(self, steps: int, epochs: int) -> tuple[np.ndarray, int]:
        """Run at most `steps` steps, until `epochs` epochs have ended; as the CPU's session does.

        Returns
        -------
        log : ndarray of float64, shape (epochs ended, accumulators)
        status : int
        """
        steps = min(steps * self._pace, self._steps_until(epochs))
        with faults.named(self._cp, "a step", lambda: 0, self._kept):
            return self._run(steps)

    def _kept(self) -> str:
        """Say what is on the host, should the device be lost."""
        return (
            f"The weights and the optimizer's state are those after {self.step} steps, {self.epoch} epochs "
            f"and {self.position} rows of the next."
        )

    def _run(self, steps: int) -> tuple[np.ndarray, int]:
        start = Target(self.program.dtype).variant("data", **kernels.data.MACROS)
        log_rows = -(-steps // max(self._steps_per_epoch, 1)) + 1
        position = self.position
        with self._stream:
            for mirror in self._mirrors:
                mirror.push()
            self._sums.push()  # a resumed run's own
            if self._held["log"].size < log_rows * self._count:
                self._held["log"], self._graph = self._cp.zeros(2 * log_rows * self._count, np.float64), None
                self._steps = self._bind()
            self._go(self._bound(Launch(start, "start", (1,), (Registers(),), 32)))
            self._row = position
            for count in self._feed.portions(self, steps):
                if self.regime == "resident":
                    self._run_resident(count)
                else:
                    self._replay(self._steps, count)
            self._read(position)
        self._log = self._device_log_host[: int(self._host[INDEX["LOGGED"]])]
        return self._log, int(self._host[INDEX["STATUS"]])

    def _run_resident(self, steps: int) -> None:
        """Launch the one kernel that runs many steps."""
        self._held.update(steps=steps, log_stride=self._held["log"].size)
        chain, update = self._choice.chain, self._choice.update
        self._go(self._bound(lower_resident(self.program, chain, update, self._most)))  # type: ignore[arg-type]

    def _steps_until(self, epochs: int) -> int:
        done = -(-self.position // self._batch_size) if self._batch_size else 0
        return epochs * self._steps_per_epoch - done

    def _replay(self, step: list[Any], count: int) -> None:
        """Run a step `count` times; captured once, after an eager step has compiled everything."""
        for number in range(count):
            if self._graph is not None:
                self._graph.launch(self._stream)
                continue
            if number and self._capture:
                self._stream.begin_capture()
                for bound in step:
                    self._go(bound)
                self._graph = self._stream.end_capture()
                self._graph.launch(self._stream)
            else:
                for bound in step:
                    self._go(bound)
                self._row += self._batch_size
                self._row *= self._row < self._epoch_rows

    @staticmethod
    def _go(bound: tuple[Any, tuple[int, ...], int, tuple[Any, ...]]) -> None:
        function, grid, block, arguments = bound
        function.launch(grid, block, arguments)

    def _read(self, position: int) -> None:
        """Bring everything the host may ask for; the only synchronisation of a call, which began at a row."""
        self._stream.synchronize()  # a device that was lost is noticed before anything is overwritten
        if self.program.update:
            for mirror in self._mirrors:
                mirror.pull()
        self._host = self._registers.get()
        self._sums.pull()
        log = self._held["log"].get()
        self._device_log_host = log[: log.size // self._count * self._count].reshape(-1, self._count)
        if not self._feed.staged:
            self._read_outputs(position)

    def _read_outputs(self, position: int) -> None:
        """Bring the results: all of an epoch that has ended, else the rows that are known to be new."""
        if self._host[INDEX["LOGGED"]]:
            rows = slice(0, None)
        elif not self._host[INDEX["SHUFFLE"]]:
            rows = slice(position - self._first_row, self.position - self._first_row)
        else:
            return
        for array, device in self.outputs:
            table = device.reshape(len(array), -1)[rows]
            array[rows] = table.get().reshape(array[rows].shape)

    # ------------------------------------------------------------------ what the feed asks
    @property
    def stream(self) -> Any:
        """The stream of every launch."""
        return self._stream

    def say(self, register: str, value: int) -> None:
        """Set a register, in the order of the launches."""
        data = Target(self.program.dtype).variant("data", **kernels.data.MACROS)
        arguments = (Registers(), INDEX[register], value)
        self._go(self._bound(Launch(data, "set_register", (1,), arguments, 32)))

    def ask(self, register: str) -> int:
        """Return a register after all launches so far."""
        index = INDEX[register]
        return int(self._registers[index : index + 1].get()[0])

    def finished(self) -> np.ndarray:
        """Return the sums of the epochs that ended in the last call."""
        return self._log

    @property
    def step(self) -> int:
        """Training steps done; set it when weights and state of an earlier step are put back."""
        return int(self._host[INDEX["STEP"]])

    @step.setter
    def step(self, value: int) -> None:
        self._host[INDEX["STEP"]] = value
        self._registers.set(self._host)

    @property
    def epoch(self) -> int:
        """Epochs done (the number of the current one)."""
        return int(self._host[INDEX["EPOCH"]])

    @property
    def position(self) -> int:
        """Rows of the current epoch done."""
        return int(self._host[INDEX["POSITION"]])

    @property
    def sums(self) -> np.ndarray:
        """The sums of the current epoch so far."""
        return self._sums.host

    @property
    def gradient(self) -> np.ndarray:
        """The flat gradient vector as the latest step's update left it, on the host."""
        return self._memory.regions["gradient"].get()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: Any) -> None:
        pass


def resident(arrays: Sequence[Any]) -> list[Any]:
    """Return arrays on the device, for all sessions that read them; as they are if they are too large."""
    cp = compiling.cupy()
    size = sum(array.nbytes for array in arrays)
    with faults.named(cp, "the data", lambda: size, lambda: "The model is as it was."):
        return feed.resident(arrays, cp)


def stage(program: Program, arrays: Sequence[np.ndarray], batch: int) -> Sequence[np.ndarray]:
    """Return the arrays as they are: the GPU reads row-major programs only."""
    return arrays
