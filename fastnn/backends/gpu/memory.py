"""Device memory of a session: mirrors of host arrays, regions, the arrays that operands mean."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.program import Program, Ref

#: Bytes that memory moves at once; rows of fewer sectors would waste more than they gain by starting on one.
SECTOR, LEAST_SECTORS = 32, 4
#: Bytes of a padded copy on the host.
PIECE = 16 << 20
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
    arena : bool, default True
        Whether temporaries are kept here.
    """

    def __init__(self, program: Program, rows: int, cp: Any, regions: dict[str, Any], arena: bool = True):
        self.dtype = np.dtype(program.dtype)
        self.rows = rows
        self.regions = dict(regions)
        self.regions["arena"] = cp.empty(max(program.arena_row_bytes * rows * arena, 1), np.uint8)
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


def upload(array: Any, cp: Any) -> tuple[Any, tuple[int, int]]:
    """Return a flat device array of a table, and its strides in items.

    Rows of some width start on a sector of memory each, because batches gather them from anywhere.
    """
    columns = array.reshape(len(array), -1)
    rows, width = columns.shape
    if isinstance(array, cp.ndarray) and columns.flags.c_contiguous:
        return columns.reshape(-1), (width, 1)
    sector = SECTOR // columns.dtype.itemsize
    padded = -(-width // sector) * sector
    if width < LEAST_SECTORS * sector or width == padded:
        return cp.asarray(np.ascontiguousarray(columns)).reshape(-1), (width, 1)
    device = cp.zeros((rows, padded), columns.dtype)
    piece = max(PIECE // (padded * columns.dtype.itemsize), 1)
    for start in range(0, rows, piece):
        part = np.zeros((min(piece, rows - start), padded), columns.dtype)
        part[:, :width] = columns[start : start + piece]
        device[start : start + piece].set(part)
    return device.reshape(-1), (padded, 1)
