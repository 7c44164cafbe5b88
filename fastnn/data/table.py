"""From the columns of a table to the arrays a model takes, learned on the training rows only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.columns import CATEGORY, LEFT_OUT, NUMBER, Column, learn
from fastnn.errors import ArgumentError, DataError, DtypeError, unknown_name

#: Version of the plain-data form.
FORMAT = 1


@dataclasses.dataclass(frozen=True)
class InputField:
    """One of the arrays that `TableSchema.transform` returns.

    Attributes
    ----------
    name : str
        ``'numbers'``, ``'missing'`` or ``'column_'`` and a category's name.
    width : int
        Columns of the array.
    levels : int
        0 for numbers; for a category the number of indices, index 0 (missing, unknown) included.
    """

    name: str
    width: int
    levels: int = 0


class TableSchema:
    """How a table's columns become arrays: names, kinds, medians and levels.

    Numbers become one float32 matrix, with missing values replaced by the training rows' median; a second
    matrix has a column of 0 and 1 for each number column in which training rows had missing values.
    Each categorical column becomes a column of int32 indices: 1 for the first level seen in training, 0 for
    missing and unknown ones.

    Parameters
    ----------
    columns : sequence of Column
        As :meth:`fit` learns them.

    Examples
    --------
    >>> import pandas
    >>> from fastnn.data import TableSchema
    >>> train = pandas.DataFrame({"size": [1.5, None, 4.0], "town": ["Rome", "Oslo", "Rome"]})
    >>> schema = TableSchema.fit(train)
    >>> [field.name for field in schema.inputs]
    ['numbers', 'missing', 'column_town']
    >>> numbers, missing, town = schema.transform(train)
    >>> numbers.ravel().tolist(), missing.ravel().tolist(), town.ravel().tolist()
    ([1.5, 2.75, 4.0], [0.0, 1.0, 0.0], [2, 1, 2])
    """

    def __init__(self, columns: Sequence[Column]):
        self.columns = tuple(columns)
        self.numbers = [column for column in self.columns if column.kind == NUMBER]
        self.flagged = [column for column in self.numbers if column.missing]
        self.categories = [column for column in self.columns if column.kind == CATEGORY]
        self.left_out = [column for column in self.columns if column.kind == LEFT_OUT]

    @classmethod
    def fit(
        cls,
        frame: Any,
        *,
        numeric: Sequence[str] = (),
        categorical: Sequence[str] = (),
        drop: Sequence[str] = (),
        decimal: str | None = None,
        units: Mapping[str, str] | None = None,
    ) -> TableSchema:
        """Learn the columns of the training rows (the target not among them).

        Parameters
        ----------
        frame : pandas.DataFrame
            The training rows, and no others.
        numeric, categorical, drop : sequence of str, optional
            Columns whose kind the user knows better, or does not want.
        decimal : {'.', ','}, optional
            The decimal mark of numbers in text, where it cannot be told.
        units : dict of str to str, optional
            What a column's numbers count; kept beside its name.

        Raises
        ------
        UnknownNameError
            If one of the names is not a column; the nearest is suggested.
        ArgumentError
            If a name is given twice.
        DataError
            If no column is left, or a column cannot be used: infinite numbers, numbers mixed with text.
        DtypeError
            If a column holds something other than numbers, text, truth values and dates.
        """
        names = [str(name) for name in frame.columns]
        if not len(frame):
            raise DataError("A table needs at least one row to learn its columns from. Received: none.")
        forced = _forced({NUMBER: numeric, CATEGORY: categorical, LEFT_OUT: drop}, names)
        units = dict(units or {})
        for name in units:
            if name not in names:
                raise unknown_name("column", name, names, "the table")
        columns = []
        for position, name in enumerate(names):
            series = frame.iloc[:, position]
            if forced.get(name) == LEFT_OUT:
                column = Column(name, LEFT_OUT, note="as asked")
            else:
                column = learn(series, name, forced.get(name), decimal)
            columns.append(dataclasses.replace(column, dtype=str(series.dtype), unit=units.get(name, "")))
        schema = cls(columns)
        if not schema.inputs:
            reasons = "; ".join(f"{column.name!r}: {column.note}" for column in schema.left_out)
            raise DataError(f"The table has no column to learn from ({reasons or 'it has no other column'}).")
        return schema

    @property
    def inputs(self) -> list[InputField]:
        """The arrays that :meth:`transform` returns, in order."""
        fields = [InputField("numbers", len(self.numbers)), InputField("missing", len(self.flagged))]
        fields += [InputField(f"column_{c.name}", 1, len(c.levels) + 1) for c in self.categories]
        return [field for field in fields if field.width]

    def transform(self, frame: Any) -> list[NDArray[Any]]:
        """Turn rows into the arrays a model takes.

        Parameters
        ----------
        frame : pandas.DataFrame
            Rows with (at least) the columns of the training rows, in any order.

        Returns
        -------
        list of ndarray
            One array for each of :attr:`inputs`: float32 of shape (rows, width), or int32 of shape (rows, 1).

        Raises
        ------
        DataError
            If a column is not there or holds values of another kind than in training.
        """
        self._check_columns(frame)
        rows = len(frame)
        numbers = np.empty((rows, len(self.numbers)), np.float32)
        flags = np.zeros((rows, len(self.flagged)), np.float32)
        flag_of = {column.name: number for number, column in enumerate(self.flagged)}
        for position, column in enumerate(self.numbers):
            values = column.numbers(frame[column.name])
            missing = np.isnan(values)
            if missing.any():
                values[missing] = (column.median - column.center) / column.scale
                if column.name in flag_of:
                    flags[missing, flag_of[column.name]] = 1.0
            numbers[:, position] = _to_float32(values, column)
        arrays: list[NDArray[Any]] = [array for array in (numbers, flags) if array.shape[1]]
        return arrays + [column.codes(frame[column.name]).reshape(-1, 1) for column in self.categories]

    def unknown_levels(self, frame: Any) -> dict[str, int]:
        """Count, for each categorical column, the rows whose level was not seen in training.

        Returns
        -------
        dict
            Column name to number of rows; columns without such rows are not in it.
        """
        self._check_columns(frame)
        counts = {}
        for column in self.categories:
            series = frame[column.name]
            counts[column.name] = int(((column.codes(series) == 0) & series.notna().to_numpy()).sum())
        return {name: count for name, count in counts.items() if count}

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return {"format": FORMAT, "columns": [column.to_dict() for column in self.columns]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TableSchema:
        """Return the schema that `to_dict` described."""
        if data.get("format") != FORMAT:
            raise ArgumentError(
                f"Expected a table schema of format {FORMAT}. Received: {data.get('format')!r}."
            )
        return cls([Column.from_dict(column) for column in data["columns"]])

    def _check_columns(self, frame: Any) -> None:
        present = [str(name) for name in frame.columns]
        for column in (*self.numbers, *self.categories):
            if column.name not in present:
                raise unknown_name("column", column.name, present, "the table")


def _forced(wishes: dict[str, Sequence[str]], names: Iterable[str]) -> dict[str, str]:
    """Return column name -> kind, from the user's lists."""
    forced: dict[str, str] = {}
    for kind, columns in wishes.items():
        for name in columns:
            if name not in names:
                raise unknown_name("column", name, names, "the table")
            if name in forced:
                raise ArgumentError(f"Column {name!r} is given twice: as {forced[name]} and as {kind}.")
            forced[name] = kind
    return forced


def _to_float32(values: NDArray[np.float64], column: Column) -> NDArray[np.float32]:
    if len(values) and np.abs(values).max() > np.finfo(np.float32).max:
        raise DtypeError(
            f"{column.where} must fit float32 (up to 3.4e38). Received: {np.abs(values).max():.3g}, "
            "far outside the training rows."
        )
    return values.astype(np.float32)
