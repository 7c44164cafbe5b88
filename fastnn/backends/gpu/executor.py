"""The GPU executor: a program's launches over device memory, captured once and replayed.

The data, the weights and the optimizer's state live on the device for the whole run. Where a run stands is
kept there too (see registers.py), so a step needs nothing from the host: no copy, no allocation, no
synchronisation. After each call the weights and the state come back, for callbacks and for safety.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import faults, feed, kernels, registers
from fastnn.backends.gpu.feed import Feed
from fastnn.backends.gpu.lowering import IsLoss, Launch, Registers, Scratch, Stride, Target
from fastnn.backends.gpu.memory import Memory, Mirror
from fastnn.backends.gpu.registers import INDEX
from fastnn.program import Program, Ref
from fastnn.random import shuffle_sides

#: Batches are always gathered, and programs are row-major.
IN_PLACE = False
#: Most bytes of temporaries; a batch that needs more goes through in chunks.
ARENA_BYTES = 1 << 30
#: Rows of a chunk are a multiple of this, so that every temporary starts on 256 bytes.
ROW_ALIGN = 64


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
    ):
        self._cp = cp = compiling.cupy()
        self.program = program
        self.seconds_per_step = 0.0
        self._losses, self._capture = losses, capture
        self._epoch_rows, self._batch_size = epoch_rows, batch_size
        self._stream = cp.cuda.Stream(non_blocking=True)
        self._stream.wait_event(cp.cuda.get_current_stream().record())  # data may still be under way there
        asked = functools.partial(self._asked, parameters, inputs, [*slots, *outputs])
        with (
            faults.named(cp, "the data and the model", asked, lambda: "The model is as it was."),
            self._stream,
        ):
            self._feed = Feed(program, inputs, batch_size, epoch_rows, total_rows, seed, shuffle, cp)
            self._batch_size = self._feed.batch_size
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
        rows = batch if program.whole_batch else max(min(batch, most), ROW_ALIGN)
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
        self._memory = Memory(program, rows, cp, regions)

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
        self._modes = cp.asarray(modes)
        self._epoch_sums = cp.asarray(np.zeros(self._count) if sums is None else np.asarray(sums, float))
        self._sums = np.zeros(self._count) if sums is None else np.array(sums, float)
        self._device_log = cp.zeros(self._count, np.float64)

    def _bind(self) -> list[Any]:
        """Return one step: functions, grids and arguments, in order."""
        self._scratches: dict[Scratch, Any] = {}
        target = Target(self.program.dtype, self._memory.rows)
        data = target.variant("data", **kernels.data.MACROS)
        block = [self._bound(launch) for i in self.program.block for launch in kernels.lower(i, target)]
        step = list(block)
        for _ in range(self._chunks - 1):
            step += [self._bound(Launch(data, "next_chunk", (1,), (Registers(),), 32)), *block]
        step += [self._bound(launch) for i in self.program.update for launch in kernels.lower(i, target)]
        return step

    def _bound(self, launch: Launch) -> tuple[Any, tuple[int, ...], int, tuple[Any, ...]]:
        function = compiling.function(launch.variant, launch.name)
        arguments = tuple(self._argument(argument) for argument in launch.arguments)
        return function, launch.grid, launch.block, function.wrap(arguments)

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
        return argument

    def _scratch(self, wanted: Scratch) -> Any:
        """Return scratch memory; launches run one after the other, so all of a size may share it."""
        if wanted not in self._scratches:
            self._scratches[wanted] = self._cp.empty(max(wanted.bytes, 1), np.uint8).view(wanted.dtype)
        return self._scratches[wanted]

    # ------------------------------------------------------------------ running
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
        cp, target = self._cp, Target(self.program.dtype, self._memory.rows)
        data = target.variant("data", **kernels.data.MACROS)
        log_rows = -(-steps // max(self._steps_per_epoch, 1)) + 1
        position = self.position
        with self._stream:
            for mirror in self._mirrors:
                mirror.push()
            if self._device_log.size < log_rows * self._count:
                self._device_log, self._graph = cp.zeros(2 * log_rows * self._count, np.float64), None
            self._go(self._bound(Launch(data, "start", (1,), (Registers(),), 32)))
            tick = (
                Registers(), self._memory.regions["accumulator"], self._epoch_sums, self._device_log,
                self._modes, self._count,
            )  # fmt: skip
            step = [*self._steps, self._bound(Launch(data, "tick", (1,), tick, 32))]
            for count in self._feed.portions(self, steps):
                self._replay(step, count)
            self._read(position)
        self._log = self._device_log_host[: int(self._host[INDEX["LOGGED"]])]
        return self._log, int(self._host[INDEX["STATUS"]])

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
        self._sums = self._epoch_sums.get()
        self._device_log_host = (
            self._device_log.get()
            .reshape(-1)[: self._device_log.size // self._count * self._count]
            .reshape(-1, self._count)
        )
        if not self._feed.staged:
            self._read_outputs(position)

    def _read_outputs(self, position: int) -> None:
        """Bring the results: all of an epoch that has ended, else the rows that are known to be new."""
        if self._host[INDEX["LOGGED"]]:
            rows = slice(0, None)
        elif not self._host[INDEX["SHUFFLE"]]:
            rows = slice(position, self.position)
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
        return self._sums

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
