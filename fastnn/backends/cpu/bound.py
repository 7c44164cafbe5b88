"""Sessions that are used again and again: a program bound to its memory once, for many predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnn.backends.cpu import interpreter as control
from fastnn.backends.cpu import registers
from fastnn.backends.cpu.blas import one_thread, products_stay_serial
from fastnn.backends.cpu.cut import LARGEST_BLOCK, rows_per_block
from fastnn.backends.cpu.executor import Session
from fastnn.program import Program

#: Inputs and outputs up to so many bytes are copied to and from memory of the session's own.
COPIED_BYTES = 64 << 10


class Reused(Session):
    """One pass over so many rows, of arrays that differ from pass to pass.

    Parameters
    ----------
    program : Program
        Without an update section.
    parameters : ndarray
        The flat parameter buffer: its values at the time of each pass count.
    inputs, outputs : sequence of ndarray
        Arrays like those of the passes; they are not kept.
    rows : int
    threads : int or None
    """

    def __init__(
        self,
        program: Program,
        parameters: np.ndarray,
        inputs: Sequence[np.ndarray],
        outputs: Sequence[np.ndarray],
        rows: int,
        threads: int | None = None,
    ):
        super().__init__(
            program, parameters=parameters, inputs=inputs, outputs=outputs, batch_size=rows,
            epoch_rows=rows, total_rows=rows, threads=threads,
        )  # fmt: skip
        self._keep, self.inputs = [parameters], ()
        self._rows, self._asked = rows, threads
        columns = self._linked.columns
        self._inputs = [
            [self._cells(columns[f"{name}{k}{axis}"]) for name, axis in (("input", ""), *_STRIDES)]
            for k in range(len(inputs))
        ]
        self._outputs = [self._cells(columns[f"output{k}"]) for k in range(len(outputs))]

    def _cells(self, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where in the table a base is added, and to what."""
        template = self._linked.block
        rows, words = np.nonzero(template.bases == column)
        return rows, words, template.words[rows, words]

    def fits(self) -> bool:
        """Whether a new session would have as many threads: others may have begun or ended."""
        return self.threads == self._team_size(self._asked, self._rows)

    def run_on(self, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> bool:
        """Write the outputs; returns False if an input holds a number that is not finite."""
        table = self.tables
        for array, cells in zip(inputs, self._inputs, strict=True):
            strides = array.strides if array.ndim > 1 else (*array.strides, array.itemsize)
            values = (array.ctypes.data, strides[0] // array.itemsize, strides[-1] // array.itemsize)
            for (rows, words, offsets), value in zip(cells, values, strict=True):
                table[:, rows, words] = offsets + value
        for array, (rows, words, offsets) in zip(outputs, self._outputs, strict=True):
            table[:, rows, words] = offsets + array.ctypes.data
        if self.threads == 1 and products_stay_serial(self._linked.products, self._rows):
            log, _ = self.run(1, 1)
        else:
            with self:
                log, _ = self.run(1, 1)
        return bool(log[0, 0] == 0.0)


_STRIDES = (("stride", ".0"), ("stride", ".1"))


class OneBlock:
    """Predictions for few rows: one block, one thread, between arrays of its own.

    A pass over one row costs 0.6 us; finding the addresses of a caller's arrays would cost more than that.

    Parameters
    ----------
    program : Program
        With one input and one output.
    parameters : ndarray
        The flat parameter buffer: its values at the time of each pass count.
    dtype : str
        Of the input.
    rows : int
        At most so many, see :func:`most_rows`.

    Attributes
    ----------
    x, y : ndarray, shape (rows, numbers)
        To be filled, and filled by :meth:`run`.
    """

    def __init__(self, program: Program, parameters: np.ndarray, dtype: str, rows: int):
        (source,), (result,) = program.inputs, program.outputs
        assert source is not None
        self._x = np.empty((rows, source.size), dtype)
        self._y = np.empty((rows, *result.shape), program.dtype)
        session = self._session = Session(
            program, parameters=parameters, inputs=[self._x], outputs=[self._y.reshape(rows, -1)],
            batch_size=rows, epoch_rows=rows, total_rows=rows, threads=1,
        )  # fmt: skip
        self._log = np.zeros(session._sums)
        q = session._q
        q[control.STEPS], q[control.LOG_ROWS], q[control.LOG_AT] = 1, 1, self._log.ctypes.data
        self._call = session._run
        self._addresses = q.ctypes.data, session._alone.ctypes.data
        self._state, self._bad = session.state.data, self._log.data
        self.width = source.size
        self.resize(rows)

    def resize(self, rows: int) -> bool:
        """Take so many rows from now on; returns False if they are none or too many."""
        if not 0 < rows <= len(self._x):
            return False
        q, r = self._session._q, self._session._alone
        q[control.BATCH_SIZE] = q[control.EPOCH_ROWS] = rows
        r[:, registers.TOTAL] = rows
        self.x, self.y, self.shape = self._x[:rows], self._y[:rows], (rows, self.width)
        self._serial = products_stay_serial(self._session._linked.products, rows)
        return True

    def run(self) -> bool:
        """Compute `y` from `x`; returns False if `x` holds a number that is not finite."""
        state = self._state
        state[control.LOGGED] = state[control.HALT] = 0
        if self._serial:
            self._call(*self._addresses)
        else:
            with one_thread():
                self._call(*self._addresses)
        return self._bad[0] == 0.0


def most_rows(program: Program, dtype: str) -> int:
    """Return how many rows :class:`OneBlock` may take at most: `Session` would make one block of them."""
    if len(program.inputs) != 1 or len(program.outputs) != 1 or program.inputs[0] is None:
        return 0
    itemsize = max(np.dtype(dtype).itemsize, np.dtype(program.dtype).itemsize)
    widest = max(program.inputs[0].size, program.outputs[0].size)
    rows = min(COPIED_BYTES // (itemsize * widest), LARGEST_BLOCK)
    while rows:
        block, lanes = rows_per_block(program, rows)
        if lanes == 1 and block >= rows:
            return rows
        rows //= 2
    return 0
