"""The data of a run on the device: whole, or some batches at a time where they do not fit.

Data that are on the device already are used where they are. Data larger than its memory go through two halves
of a buffer: while the device works on one, the host gathers the next rows of the epoch's order into pinned
memory, and a second stream copies them to the other. The order is that of ``fastnn.random.permutation``, the
one that the device would make itself, and so are the results.

Rows that are read piece by piece come in blocks, each into the memory of the one before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastnn.backends.gpu.memory import upload
from fastnn.errors import DeviceError
from fastnn.program import ARRAYS_OF_A_PART, Program
from fastnn.random import permutation
from fastnn.rows import overlapping

#: Data may take so much of the memory that is free.
SHARE = 0.7
#: Bytes of a half of the buffer: a copy of some milliseconds.
HALF_BYTES = 64 << 20
#: Environment variable: data above so many bytes are not kept on the device.
LIMIT = "FASTNN_GPU_DATA_BYTES"


def resident(arrays: Sequence[Any], cp: Any) -> list[Any]:
    """Return arrays as they are used on the device, each brought there once; as they are if too large."""
    if _bytes(arrays, cp) > _limit(cp):
        return list(arrays)
    return [array if _line(array) is not None else _on_device(array, cp) for array in arrays]


def _limit(cp: Any) -> int:
    given = os.environ.get(LIMIT)
    return int(given) if given else int(cp.cuda.Device().mem_info[0] * SHARE)


def _bytes(arrays: Sequence[Any], cp: Any) -> int:
    """Return the bytes of the arrays that have to be brought to the device."""
    lines = [(array, _line(array)) for array in arrays if not isinstance(array, cp.ndarray)]
    return sum(array.nbytes if line is None else line.numbers.nbytes for array, line in lines)


def _line(array: Any) -> Any:
    """Return the numbers under a host's view of overlapping windows; None of any other table."""
    return overlapping(array) if isinstance(array, np.ndarray) and array.ndim == 2 else None


def _part_on_device(array: np.ndarray, cp: Any) -> tuple[Any, tuple[int, int, int]]:
    """Return a part's table on the device, flat, and its strides; of windows only the numbers under them."""
    line, width = _line(array), array.shape[1]
    if line is None:
        return _on_device(array, cp).reshape(-1), (width, 1, 0)
    backwards = array.strides[1] < 0
    strides = (line.step, -1 if backwards else 1, line.first + (width - 1 if backwards else 0))
    return cp.asarray(np.ascontiguousarray(line.numbers)), strides


def _on_device(array: Any, cp: Any) -> Any:
    """Return a table on the device, C-contiguous."""
    if isinstance(array, cp.ndarray):
        return array if array.flags.c_contiguous else array.copy()
    return cp.asarray(np.ascontiguousarray(array))


def _flat(array: Any) -> Any:
    """Return a device array as kernels take it: one axis, booleans as bytes."""
    flat = array.reshape(-1)
    return flat.view(np.uint8) if flat.dtype == np.bool_ else flat


def _width(array: Any) -> int:
    return int(np.prod(array.shape[1:], dtype=np.int64))


class Feed:
    """The inputs of a session.

    Parameters
    ----------
    program : Program
    inputs : sequence of array
        On the host or on the device.
    batch_size, epoch_rows, total_rows, seed, shuffle
        Of the run.
    cp : module
        CuPy.

    Attributes
    ----------
    staged : bool
        Whether the rows come some at a time.
    batch_size : int
        The batch of a step: smaller than asked for where a program without an update, which has all rows in
        one batch, would need them all on the device.
    arrays : list of array
        What kernels read, flat.
    strides : list of (int, int, int)
        Items from a row to the next, from a column to the next, and before the first row.
    nbytes : int
        What it takes of the device's memory.
    """

    def __init__(
        self,
        program: Program,
        inputs: Sequence[Any],
        batch_size: int,
        epoch_rows: int,
        total_rows: int,
        seed: int,
        shuffle: bool,
        cp: Any,
    ):
        self._cp, self._seed, self._shuffle = cp, seed, shuffle
        self._epoch_rows, self._total = epoch_rows, total_rows
        self.batch_size = batch_size
        self.strides = [(_width(array), 1, 0) for array in inputs]
        self.nbytes, limit = _bytes(inputs, cp), _limit(cp)
        tables, by_rows = _kinds(program, len(inputs))
        in_blocks = any(len(inputs[n]) < total_rows for n in by_rows)
        self.staged = self.nbytes > limit and not in_blocks
        self._ahead = bool(program.update)  # there will be another epoch
        if self.staged:
            self._sources = {n: _host(inputs[n]) for n in by_rows}
            self._plan(program, limit - _bytes([a for n, a in enumerate(inputs) if n not in by_rows], cp))
            self._prepare()
        self.arrays = []
        for n, array in enumerate(inputs):
            if n in tables:
                flat, self.strides[n] = _part_on_device(array, cp)
            elif in_blocks:
                flat = cp.zeros(array.size, _host(array).dtype)
            elif self.staged and n in by_rows:
                flat = cp.zeros(2 * self.half * _width(array), self._sources[n].dtype)
            elif isinstance(array, cp.ndarray):
                flat = _flat(_on_device(array, cp))
            else:
                flat, strides = upload(_host(array), cp)
                self.strides[n] = (*strides, 0)
            self.arrays.append(flat)

    def _plan(self, program: Program, limit: int) -> None:
        """Decide how many rows a half of the buffer has: whole batches."""
        row = sum(array.itemsize * _width(array) for array in self._sources.values())
        most = max(0, min(HALF_BYTES, limit // 2)) // max(row, 1)
        cut = not program.update and not program.whole_batch and self.batch_size == self._epoch_rows
        if most < self.batch_size and cut:
            self.batch_size = max(1, most)
        if most < self.batch_size:
            raise DeviceError(
                f"The data do not fit into the GPU's memory, nor do two batches: a batch of "
                f"{self.batch_size} rows takes {self.batch_size * row} bytes, and there is room for "
                f"{max(0, limit)}. Expected a smaller batch_size."
            )
        self.half = most // self.batch_size * self.batch_size
        self.nbytes = 2 * self.half * row
        self._chunks = -(-self._epoch_rows // self.half)

    def _prepare(self) -> None:
        """Get pinned memory, and the stream that copies."""
        cp = self._cp
        self._pinned = [
            {n: _pinned(cp, (self.half, _width(a)), a.dtype) for n, a in self._sources.items()}
            for _ in range(2)
        ]
        self._copies = cp.cuda.Stream(non_blocking=True)
        self._copied: list[Any] = [None, None]
        self._used: list[Any] = [None, None]
        self._held: list[tuple[int, int] | None] = [None, None]
        self._orders: dict[int, np.ndarray] = {}

    def output_rows(self, rows: int) -> int:
        """Return how many rows of results the device holds."""
        return 2 * self.half if self.staged else rows

    # ------------------------------------------------------------------ running
    def load(self, inputs: Sequence[np.ndarray], stream: Any) -> None:
        """Bring a block of rows, after all that the stream has been given."""
        for flat, array in zip(self.arrays, inputs, strict=True):
            rows = np.ascontiguousarray(_host(array)).reshape(-1)
            flat[: rows.size].set(rows, stream=stream)

    def portions(self, session: Any, steps: int) -> Iterator[int]:
        """Cut some steps into those whose rows are on the device together; yields how many to do now."""
        if not self.staged:
            if not session.stop[0]:
                yield steps
            return
        epoch, position = session.epoch, session.position
        while steps > 0 and not session.stop[0]:
            number = position // self.half
            half = (epoch * self._chunks + number) % 2
            self._stage(epoch, number)
            session.stream.wait_event(self._copied[half])
            session.say("STAGED", (number - half) * self.half)
            end = min((number + 1) * self.half, self._epoch_rows)
            count = min(steps, -(-(end - position) // self.batch_size))
            yield count
            self._used[half] = session.stream.record()
            following = (epoch, number + 1) if end < self._epoch_rows else (epoch + 1, 0)
            if following[0] == epoch or self._ahead:
                self._stage(*following)
            stop = min(position + count * self.batch_size, end)
            if session.ask("STATUS"):  # a run that has stopped stays at its batch: nothing may move on
                return
            self._bring_results(session, epoch, slice(position, stop), number, half)
            steps -= count
            epoch, position = (epoch, stop) if stop < self._epoch_rows else (epoch + 1, 0)

    def _stage(self, epoch: int, number: int) -> None:
        """Bring a chunk of an epoch's rows to its half of the buffer, if it is not there."""
        half = (epoch * self._chunks + number) % 2
        if self._held[half] == (epoch, number):
            return
        if self._copied[half] is not None:
            self._copied[half].synchronize()  # its pinned memory is free
        first = number * self.half
        rows = slice(first, min(first + self.half, self._epoch_rows))
        count = rows.stop - rows.start
        for n, source in self._sources.items():
            if self._shuffle:
                np.take(source, self._order(epoch)[rows], axis=0, out=self._pinned[half][n][:count])
            else:
                np.copyto(self._pinned[half][n][:count], source[rows])
        with self._copies:
            if self._used[half] is not None:
                self._copies.wait_event(self._used[half])
            for n, pinned in self._pinned[half].items():
                table = self.arrays[n].reshape(2 * self.half, -1)
                table[half * self.half : half * self.half + count].set(pinned[:count], stream=self._copies)
            self._copied[half] = self._copies.record()
        self._held[half] = (epoch, number)

    def _order(self, epoch: int) -> np.ndarray:
        """Return the order of an epoch; the latest two are kept."""
        if epoch not in self._orders:
            self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = permutation(self._total, self._seed, epoch)
        return self._orders[epoch]

    def _bring_results(self, session: Any, epoch: int, rows: slice, number: int, half: int) -> None:
        """Write what was stored for some rows to the caller's arrays."""
        shift = (half - number) * self.half
        at = self._order(epoch)[rows] if self._shuffle else rows
        for array, device in session.outputs:
            table = device.reshape(2 * self.half, -1)
            array[at] = table[rows.start + shift : rows.stop + shift].get().reshape(-1, *array.shape[1:])


def _kinds(program: Program, count: int) -> tuple[set[int], set[int]]:
    """Return which arrays are tables of parts, and which have a row for each row of the data.

    Of a part's table, index and transform only the index does; an array that is no part's does.
    """
    tables, by_rows, part = set(), set(), 0
    for number in range(count):
        if program.inputs[number] is not None:
            by_rows.add(number)
            continue
        kind = part % ARRAYS_OF_A_PART
        part += 1
        if kind == 0:
            tables.add(number)
        elif kind == 1:
            by_rows.add(number)
    return tables, by_rows


def _host(array: Any) -> np.ndarray:
    """Return a table on the host with two axes, booleans as bytes."""
    table = array if isinstance(array, np.ndarray) else array.get()
    table = table.reshape(len(table), -1)
    return table.view(np.uint8) if table.dtype == np.bool_ else table


def _pinned(cp: Any, shape: tuple[int, int], dtype: np.dtype[Any]) -> np.ndarray:
    """Return memory on the host that the device can read by itself."""
    size = shape[0] * shape[1]
    memory = cp.cuda.alloc_pinned_memory(size * dtype.itemsize)
    return np.frombuffer(memory, dtype, size).reshape(shape)
