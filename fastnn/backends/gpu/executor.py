"""The GPU executor: a program's launches over device memory, captured once and replayed.

The data, the weights and the optimizer's state live on the device for the whole run. Where a run stands is
kept there too (see registers.py), so a step needs nothing from the host: no copy, no allocation, no
synchronisation. After each call the weights and the state come back, for callbacks and for safety.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import kernels, registers
from fastnn.backends.gpu.lowering import IsLoss, Launch, Registers, Scratch, Stride, Target
from fastnn.backends.gpu.registers import INDEX
from fastnn.program import Program, Ref
from fastnn.random import shuffle_sides

#: Batches are always gathered, and programs are row-major.
IN_PLACE = False
#: Sessions keep the arrays they were made with on the device.
REBINDS = False
#: Most bytes of temporaries; a batch that needs more goes through in chunks.
ARENA_BYTES = 1 << 30
#: Rows of a chunk are a multiple of this, so that every temporary starts on 256 bytes.
ROW_ALIGN = 64
_DTYPES: dict[str, np.dtype[Any]] = {"int": np.dtype(np.int32), "index": np.dtype(np.int64)}


class Mirror:
    """A host array and its copy on the device.

    Parameters
    ----------
    host : ndarray
    cp : module
        CuPy.
    """

    def __init__(self, host: np.ndarray, cp: Any):
        self.host, self.device = host, cp.asarray(host)
        self._known = host.copy()

    def push(self) -> None:
        """Bring a change of the host array to the device."""
        if not np.array_equal(self.host, self._known, equal_nan=True):
            np.copyto(self._known, self.host)
            self.device.set(self._known)

    def pull(self) -> None:
        """Bring the device's numbers to the host array."""
        self.device.get(out=self._known)
        np.copyto(self.host, self._known)


class Memory:
    """Device memory of a session, and the array that a Ref means.

    Parameters
    ----------
    program : Program
    rows : int
        Most rows of a chunk, a multiple of ROW_ALIGN.
    cp : module
        CuPy.
    regions : dict of str to array
        'parameter', 'hyper', 'inputN', 'outputN', 'slotN'.
    """

    def __init__(self, program: Program, rows: int, cp: Any, regions: dict[str, Any]):
        self.dtype = np.dtype(program.dtype)
        self.rows = rows
        self.regions = dict(regions)
        self.regions["arena"] = cp.empty(max(program.arena_row_bytes * rows, 1), np.uint8)
        self.regions["fixed"] = cp.zeros(max(program.fixed_bytes, 1), np.uint8)
        self.regions["gradient"] = cp.zeros(max(program.gradients, 1), self.dtype)
        self.regions["accumulator"] = cp.zeros(max(len(program.accumulators), 1), np.float64)

    def view(self, ref: Ref) -> Any:
        """Return the array of an operand, as long as it is."""
        region = ref.region if ref.region not in ("input", "output", "slot") else f"{ref.region}{ref.index}"
        array, size = self.regions[region], ref.spec.size
        dtype: np.dtype[Any] = _DTYPES.get(ref.spec.kind, self.dtype)
        if ref.region in ("input", "output"):
            return array
        if ref.region == "arena":
            start = ref.offset * self.rows
            return array[start : start + size * self.rows * dtype.itemsize].view(dtype)
        if ref.region == "fixed":
            return array[ref.offset : ref.offset + size * dtype.itemsize].view(dtype)
        start = ref.offset // array.dtype.itemsize
        return array[start : start + size]


class Session:
    """A program bound to device memory. The arguments are those of the CPU's session.

    Parameters
    ----------
    program : Program
        Row-major, not in place.
    parameters, inputs, outputs, slots, hyper, schedule
        Host arrays; inputs may be on the device already.
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
        self._steps_per_epoch = -(-epoch_rows // batch_size) if epoch_rows else 0
        self._stream = cp.cuda.Stream(non_blocking=True)
        with self._stream:
            self._place(parameters, inputs, outputs, slots, hyper, schedule)
            self._clock(seed, shuffle, step, epoch, position, total_rows, sums, batch_mean)
            self._steps: list[Any] = self._bind()
            self._stream.synchronize()
        self._graph: Any = None
        self._log = np.zeros((0, self._count))
        self.stop = np.zeros(8, np.int64)

    # ------------------------------------------------------------------ set-up
    def _place(self, parameters, inputs, outputs, slots, hyper, schedule) -> None:
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
        self._strides: list[tuple[int, int]] = []
        for number, array in enumerate(inputs):
            regions[f"input{number}"], strides = _upload(array, cp)
            self._strides.append(strides)
        self._outputs = []
        for number, array in enumerate(outputs):
            regions[f"output{number}"] = cp.zeros(array.size, array.dtype)
            self._outputs.append((array, regions[f"output{number}"]))
        self._memory = Memory(program, rows, cp, regions)

    def _clock(self, seed, shuffle, step, epoch, position, total, sums, batch_mean) -> None:
        cp = self._cp
        self._count = max(len(self.program.accumulators), 1)
        host = np.zeros(registers.COUNT, np.int64)
        a, b = shuffle_sides(total) if shuffle else (1, 1)
        values = {
            "SEED": np.uint64(seed).astype(np.int64), "TOTAL": total, "SHUFFLE": int(shuffle), "SIDE_A": a,
            "SIDE_B": b, "STEP": step, "EPOCH": epoch, "POSITION": position, "BATCH_SIZE": self._batch_size,
            "EPOCH_ROWS": self._epoch_rows, "CHUNK": self._memory.rows,
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
        steps = min(steps, self._steps_until(epochs))
        cp, target = self._cp, Target(self.program.dtype, self._memory.rows)
        data = target.variant("data", **kernels.data.MACROS)
        log_rows = -(-steps // max(self._steps_per_epoch, 1)) + 1
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
            self._replay([*self._steps, self._bound(Launch(data, "tick", (1,), tick, 32))], steps)
            self._read()
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

    def _read(self) -> None:
        """Bring everything the host may ask for; the only synchronisation of a call."""
        for mirror in self._mirrors:
            mirror.pull()
        self._host = self._registers.get()
        self._sums = self._epoch_sums.get()
        self._device_log_host = (
            self._device_log.get()
            .reshape(-1)[: self._device_log.size // self._count * self._count]
            .reshape(-1, self._count)
        )
        for array, device in self._outputs:
            np.copyto(array, device.get().reshape(array.shape))

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


def _upload(array: Any, cp: Any) -> tuple[Any, tuple[int, int]]:
    """Return a flat device array of a table, and its strides in items."""
    columns = array.reshape(len(array), -1)
    width = columns.shape[1]
    if isinstance(array, cp.ndarray) and columns.flags.c_contiguous:
        return columns.reshape(-1), (width, 1)
    return cp.asarray(np.ascontiguousarray(columns)).reshape(-1), (width, 1)


def stage(program: Program, arrays: Sequence[np.ndarray], batch: int) -> Sequence[np.ndarray]:
    """Return the arrays as they are: the GPU reads row-major programs only."""
    return arrays
