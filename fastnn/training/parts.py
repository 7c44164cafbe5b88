"""Tables in parts at the door: every row that is used is checked, and few are put together for it."""

from __future__ import annotations

import numpy as np

from fastnn.arrays import not_finite
from fastnn.errors import DtypeError
from fastnn.rows import Gathered, Part, check_index, chunks, overlapping

#: A part's array is looked at whole where it has at most so many rows for each row of the table.
LOOKED_AT_WHOLE = 4


def check_parts(table: Gathered, kind: str, where: str, dtype: str) -> None:
    """Check a table in parts as an array of its values would be, without making that array.

    Parameters
    ----------
    table : Gathered
    kind : {'float', 'int'}
        Of the model's input.
    where : str
        What the data are, for messages.
    dtype : {'float32', 'float64'}
        What the values will be computed in.

    Raises
    ------
    DtypeError
        If the input takes indices.
    DataError
        If a value is NaN, infinite or too large for `dtype`; the column and the row are named.
    """
    if kind == "int":
        raise DtypeError(
            f"{where}: this input is looked up in an embedding, which needs an array of whole numbers. "
            "Received: a Gathered."
        )
    column = 0
    for part in table.parts:
        check_index(part.index, len(part.array), f"{where}: index of a part")
        suspects = _suspects(part, dtype)
        if len(suspects):
            _check_rows(part, suspects, table.columns, column, where, dtype)
        column += part.array.shape[1]


def _suspects(part: Part, dtype: str) -> np.ndarray:
    """Return the rows of the table that may come out not finite; all others are known to be good."""
    array, index = part.array, part.index
    limit = _limit(part, dtype)
    everything = np.arange(len(index))
    if not len(index) or len(array) > LOOKED_AT_WHOLE * len(index):
        return everything
    line = overlapping(array)
    values = array if line is None else line.numbers
    with np.errstate(all="ignore"):
        if max(-float(values.min()), float(values.max())) <= limit:  # NaN is not below any limit
            return everything[:0]
        if line is None:
            return everything
        bad = ~(np.abs(values) <= limit)
    before = np.concatenate(([0], np.cumsum(bad)))  # bad numbers left of each
    starts = line.first + index.astype(np.int64) * line.step
    return np.flatnonzero(before[starts + array.shape[1]] != before[starts])


def _limit(part: Part, dtype: str) -> float:
    """Return a size up to which a raw value certainly stays finite when it is transformed."""
    largest = np.finfo(part.array.dtype).max
    mean, inverse = part.numbers[2:].astype(np.float64)
    with np.errstate(all="ignore"):
        fits = np.minimum(np.finfo(dtype).max / inverse, largest)
        return float(np.min(0.99 * fits - np.abs(mean)))


def _check_rows(
    part: Part, rows: np.ndarray, columns: list[str] | None, first: int, where: str, dtype: str
) -> None:
    """Put these rows together, some at a time, and raise if they hold numbers that are not finite."""
    limit = float(np.finfo(dtype).max)
    values, bad_rows = 0, []
    column, example = part.array.shape[1], 0.0
    for some in chunks(len(rows)):
        block = part.rows(part.index[rows[some]])
        bad = ~(np.abs(block) <= limit)
        if bad.any():
            values += int(bad.sum())
            bad_rows.append(rows[some][bad.any(axis=1)])
            leftmost = int(np.flatnonzero(bad.any(axis=0))[0])
            if leftmost < column:
                column, example = leftmost, float(block[bad[:, leftmost], leftmost][0])
    if values:
        name = first + column if columns is None else repr(columns[first + column])
        count = sum(map(len, bad_rows))
        raise not_finite(where, example, dtype, f" in column {name}", int(bad_rows[0][0]), values, count)
