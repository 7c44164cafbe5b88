"""A table put together from parts when its rows are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.errors import ArgumentError, DtypeError, ShapeError
from fastnn.rows.part import Part
from fastnn.rows.transform import per_column, transform_numbers, transformed

#: Rows that are put together at a time where rows are read in Python.
CHUNK_ROWS = 4096


class Gathered:
    """A table put together from parts when its rows are read: it takes the memory of its parts.

    ``fit``, ``evaluate`` and ``predict`` take it in the place of an array and look up only the rows of a
    batch. What comes out has the same bits as with ``np.asarray`` of it.

    Parameters
    ----------
    parts : sequence of Part
        Side by side, each with as many rows.

    Attributes
    ----------
    parts : tuple of Part
    shape : tuple of int
        Rows, and the columns of all parts.
    dtype : numpy.dtype
        float64 if a part is, else float32.
    columns : list of str or None
        Names; a column that has none is called by its number. None if no part has names.

    Raises
    ------
    ArgumentError, DtypeError, ShapeError
        If there are no parts, or they differ in their rows.

    Examples
    --------
    Windows of three months over two stocks, and the quarter as a one-hot part:

    >>> import numpy as np
    >>> from fastnn.data import Gathered, Part
    >>> panel = np.arange(10, dtype=np.float32)  # two stocks, five months each
    >>> windows = np.lib.stride_tricks.sliding_window_view(panel, 3)
    >>> starts, quarter = [0, 1, 2, 5, 6, 7], [0, 0, 1, 0, 0, 1]
    >>> x = Gathered([Part(windows, starts), Part(np.eye(2, dtype=np.float32), quarter)])
    >>> x.shape
    (6, 5)
    >>> np.asarray(x[2:4])
    array([[2., 3., 4., 0., 1.],
           [5., 6., 7., 1., 0.]], dtype=float32)
    """

    ndim = 2

    def __init__(self, parts: Sequence[Part]):
        parts = tuple(parts)
        for part in parts:
            if not isinstance(part, Part):
                raise DtypeError(f"parts: expected fastnn.data.Part. Received: {type(part).__name__}.")
        if not parts:
            raise ArgumentError("parts: expected at least one part. Received: none.")
        if len({len(part) for part in parts}) > 1:
            raise ShapeError(
                f"parts: all must have equally many rows. Received: {[len(part) for part in parts]}."
            )
        self.parts = parts

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), sum(part.array.shape[1] for part in self.parts)

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the table as an array."""
        return np.result_type(*(part.array.dtype for part in self.parts))

    @property
    def size(self) -> int:
        """Rows times columns."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the table as an array; as with any view, not the memory that it takes."""
        return self.size * self.dtype.itemsize

    @property
    def columns(self) -> list[str] | None:
        """The columns' names."""
        if all(part.columns is None for part in self.parts):
            return None
        names: list[str] = []
        for part in self.parts:
            last = len(names) + part.array.shape[1]
            names += part.columns or map(str, range(len(names), last))
        return names

    def __len__(self) -> int:
        return len(self.parts[0])

    def __repr__(self) -> str:
        rows, columns = self.shape
        return f"Gathered({rows} rows, {columns} columns of {self.dtype.name}, from {list(self.parts)})"

    def __getitem__(self, rows: Any) -> Any:
        """Choose rows, as of an array: by a slice, mask or index array; a single number gives a row.

        Only the index is cut; the arrays are shared.
        """
        if isinstance(rows, tuple):
            others = [key for key in rows[1:] if not (key is Ellipsis or repr(key) == repr(slice(None)))]
            if others or not rows or len(rows) > 2:
                raise IndexError(
                    f"A Gathered is cut by rows only: expected x[rows]. Received: the index {rows!r}."
                )
            rows = rows[0]
        if rows is Ellipsis:
            return self
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            rows = rows.astype(np.intp) if rows.size == 0 else rows
        if isinstance(rows, np.ndarray) and rows.ndim == 0:
            at = range(len(self))[rows]
            return np.asarray(self[at : at + 1])[0]
        cut: dict[int, np.ndarray] = {}
        for part in self.parts:  # an index that parts share stays shared
            if id(part.index) not in cut:
                cut[id(part.index)] = np.ascontiguousarray(part.index[rows])
        if next(iter(cut.values())).ndim != 1:
            raise IndexError("A Gathered is cut by rows only: expected an index of one axis.")
        return Gathered([part.at(cut[id(part.index)]) for part in self.parts])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("A Gathered has no array to share: its rows have to be put together.")
        table = np.empty(self.shape, self.dtype if dtype is None else dtype)
        column = 0
        for part in self.parts:
            last = column + part.array.shape[1]
            for rows in chunks(len(self)):
                table[rows, column:last] = part.rows(part.index[rows])
            column = last
        return table

    def column(self, number: int) -> np.ndarray:
        """Return one column, shape (rows,), in the table's dtype.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn.data import Gathered, Part
        >>> Gathered([Part(np.array([[1.0, 2.0], [3.0, 4.0]]), [1, 1, 0])]).column(1)
        array([4., 4., 2.])
        """
        at = number
        for part in self.parts:
            width = part.array.shape[1]
            if 0 <= at < width:
                values = part.array[:, at][part.index]
                return transformed(values, part.numbers[:, at]).astype(self.dtype, copy=False)
            at -= width
        raise IndexError(f"column: expected 0 to {self.shape[1] - 1}. Received: {number}.")

    def with_transform(
        self,
        low: ArrayLike | None = None,
        high: ArrayLike | None = None,
        mean: ArrayLike | None = None,
        scale: ArrayLike | None = None,
    ) -> Gathered:
        """Return the table clipped to `low` and `high`, then less `mean`, then divided by `scale`.

        Nothing is computed until rows are read. A transform that a part has already comes first; the two
        become one. Clipping what was clipped is exact; the numbers of a table that was standardised before
        are combined in float64.

        Parameters
        ----------
        low, high, mean, scale : float or array_like of shape (columns,), optional

        Returns
        -------
        Gathered

        Raises
        ------
        ShapeError, ArgumentError
            If there is not one number a column, or it cannot be used.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn.data import Gathered, Part
        >>> x = Gathered([Part(np.array([[1.0], [2.0], [30.0]]), [0, 1, 2])])
        >>> np.asarray(x.with_transform(high=3.0).with_transform(mean=2.0)).ravel()
        array([-1.,  0.,  1.])
        """
        width = self.shape[1]
        given = {"low": low, "high": high, "mean": mean, "scale": scale}
        numbers = {name: per_column(name, value, width) for name, value in given.items()}
        transform_numbers(width, self.dtype, numbers, self.columns)  # so that an error names our columns
        parts, column = [], 0
        for part in self.parts:
            cut = slice(column, column + part.array.shape[1])
            parts.append(part.with_numbers(*(None if n is None else n[cut] for n in numbers.values())))
            column = cut.stop
        return Gathered(parts)


def chunks(count: int) -> Iterator[slice]:
    """Go through so many rows, some at a time."""
    for start in range(0, count, CHUNK_ROWS):
        yield slice(start, min(start + CHUNK_ROWS, count))
