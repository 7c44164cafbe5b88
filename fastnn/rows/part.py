"""A part of a table: columns whose rows are looked up in a smaller array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.errors import DataError, DtypeError, ShapeError
from fastnn.rows.transform import per_column, transform_numbers, transformed
from fastnn.rows.windows import Line, overlapping, windows


class Part:
    """Columns of a table whose rows are looked up in a smaller array.

    Row r of the part is, for each column,

        ``(min(max(array[index[r]], low), high) - mean) * (1 / scale)``

    in the array's dtype, each operation rounded.

    Parameters
    ----------
    array : ndarray of float32 or float64, shape (n, columns)
        Any strides: it may be a view of overlapping windows. It is not copied.
    index : array_like of int, shape (rows,)
        Which row of `array`, from 0 to n - 1. Kept as int32, without a copy if it is.
    columns : sequence of str, optional
        The columns' names.
    low, high : float or array_like of shape (columns,), optional
        Values beyond are replaced by these.
    mean, scale : float or array_like of shape (columns,), optional
        Taken off, then divided by; `scale` is positive.

    Raises
    ------
    DtypeError, ShapeError, DataError, ArgumentError
        If array and index do not fit, or a bound or scale is no number that can be used.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import Gathered, Part
    >>> np.asarray(Gathered([Part(np.array([[1.0, 9.0], [3.0, 4.0]]), [1, 0, 1], high=5.0)]))
    array([[3., 4.],
           [1., 5.],
           [3., 4.]])
    """

    def __init__(
        self,
        array: ArrayLike,
        index: ArrayLike,
        columns: Sequence[str] | None = None,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        mean: ArrayLike | None = None,
        scale: ArrayLike | None = None,
    ):
        self.array = _table(array)
        self.index = _index(index, len(self.array))
        width = self.array.shape[1]
        if columns is not None and len(columns) != width:
            raise ShapeError(f"columns: expected {width} names. Received: {len(columns)}.")
        self.columns = None if columns is None else [str(name) for name in columns]
        self.low = per_column("low", low, width)
        self.high = per_column("high", high, width)
        self.mean = per_column("mean", mean, width)
        self.scale = per_column("scale", scale, width)
        given = {"low": self.low, "high": self.high, "mean": self.mean, "scale": self.scale}
        self.numbers = transform_numbers(width, self.array.dtype, given, self.columns)

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        rows, (n, width) = len(self.index), self.array.shape
        return f"Part({rows} rows of {width} columns, from {n} rows of {self.array.dtype.name})"

    def __reduce__(self) -> tuple:
        # Pickled as it is, a view of overlapping windows would be as large as its windows.
        line = overlapping(self.array)
        numbers = (self.columns, self.low, self.high, self.mean, self.scale)
        if line is None:
            return Part, (self.array, self.index, *numbers)
        backwards = self.array.strides[1] < 0
        return _from_line, (line.copied(), self.array.shape, backwards, self.index, *numbers)

    def rows(self, index: np.ndarray) -> np.ndarray:
        """Return transformed rows of the array, shape (indices, columns)."""
        return transformed(self.array[index], self.numbers)

    def at(self, index: np.ndarray) -> Part:
        """Return the part with other rows; nothing is copied or checked."""
        cut = object.__new__(Part)
        cut.__dict__.update(self.__dict__, index=index)
        return cut

    def with_numbers(self, low: Any, high: Any, mean: Any, scale: Any) -> Part:
        """Return the part with a further transform, its four numbers per column or None."""
        old_mean = 0.0 if self.mean is None else self.mean
        old_scale = 1.0 if self.scale is None else self.scale
        new_low, new_high = self.low, self.high
        if low is not None or high is not None:  # the new bounds before the old mean and scale, then both
            low = -np.inf if low is None else old_mean + old_scale * low
            high = np.inf if high is None else old_mean + old_scale * high
            new_low = np.clip(-np.inf if self.low is None else self.low, low, high)
            new_high = np.clip(np.inf if self.high is None else self.high, low, high)
        new_mean, new_scale = self.mean, self.scale
        if mean is not None:
            new_mean = old_mean + old_scale * mean
        if scale is not None:
            new_scale = old_scale * scale
        return Part(self.array, self.index, self.columns, new_low, new_high, new_mean, new_scale)


def _from_line(line: Line, shape: tuple[int, int], backwards: bool, *rest: Any) -> Part:
    """Make the part again that :meth:`Part.__reduce__` took apart."""
    return Part(windows(line, shape, backwards), *rest)


def _table(array: ArrayLike) -> np.ndarray:
    table = array if isinstance(array, np.ndarray) else np.asarray(array)
    if table.dtype.name not in ("float32", "float64") or not table.dtype.isnative:
        raise DtypeError(f"array: expected float32 or float64. Received: {table.dtype}.")
    if table.ndim != 2 or not table.shape[1]:
        raise ShapeError(f"array: expected two axes, at least one column. Received: shape {table.shape}.")
    if len(table) > np.iinfo(np.int32).max:
        raise ShapeError(f"array: expected fewer than 2**31 rows. Received: {len(table)}.")
    if not table.flags.aligned or any(stride % table.itemsize for stride in table.strides):
        return table.copy()  # no kernel can read it where it is
    return table


def _index(index: ArrayLike, rows: int) -> np.ndarray:
    found = np.asarray(index)
    if found.ndim != 1:
        raise ShapeError(f"index: expected one axis. Received: shape {found.shape}.")
    if not found.size:
        return np.zeros(0, np.int32)
    if found.dtype.kind not in "iu":
        raise DtypeError(f"index: expected whole numbers. Received: {found.dtype}.")
    check_index(found, rows, "index")
    return np.ascontiguousarray(found, np.int32)


def check_index(index: np.ndarray, rows: int, where: str) -> None:
    """Raise DataError if an index is not the number of one of `rows` rows."""
    if index.size and (index.min() < 0 or index.max() >= rows):
        wrong = int(np.flatnonzero((index < 0) | (index >= rows))[0])
        raise DataError(
            f"{where}: expected rows of the array, 0 to {rows - 1}. Received: {index[wrong]} at {wrong}."
        )
