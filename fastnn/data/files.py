"""Parquet, Arrow and Feather files that are read piece by piece. pyarrow is imported when used."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.arrays import not_finite
from fastnn.data.opened import (
    ARROW_SUFFIXES,
    Opened,
    Unit,
    dtype_of,
    pyarrow_here,
    reading,
    schema_of,
    units_of,
)
from fastnn.data.read import PARQUET_SUFFIXES
from fastnn.errors import (
    ArgumentError,
    DataError,
    DtypeError,
    unknown_name,
)
from fastnn.rows import Piece, Source
from fastnn.rows.stream import PIECE_ROWS

#: Rows, and numbers at most, that are turned from columns into rows at a time.
_TILE_ROWS, _TILE_NUMBERS = 4096, 1 << 20
#: Numbers between columns that are turned: at a distance of a power of two they would share the cache's sets.
_APART = 16
#: Of each file, what is hashed: so many blocks of 1 MiB, spread evenly.
_HASHED_BLOCKS = 64
#: Rows that are looked at before a training.
_SAMPLE_ROWS = 1024


class FileSource(Source):
    """Rows of Parquet, Arrow (IPC) or Feather files, read piece by piece.

    Parameters
    ----------
    path : str or Path, or a sequence of them
        Files named ``.parquet``, ``.pq``, ``.arrow``, ``.feather`` or ``.ipc``; of a folder, all of them,
        also in folders within, by name.
    x : str, sequence of str, or dict of str to them, optional
        The columns of the inputs, by default all others, in the file's order; a dict by the model's input
        names. They make arrays of the dtype in which all their columns fit.
    y : str, sequence of str, or dict of str to them, optional
        The columns of the targets.
    sample_weight : str, optional
        The column of the rows' weights.
    window : int, optional
        Rows that are shuffled with each other, and held in memory; see :class:`fastnn.data.Source`.

    Raises
    ------
    OSError
        If a file is not there or cannot be read.
    FileFormatError
        If a file is damaged, or not what its suffix says.
    ArgumentError
        If there are no files, or a suffix is not known.
    UnknownNameError
        If a column is not there; the nearest is suggested.
    DtypeError
        If a column does not hold numbers, or holds other numbers than in the first file.
    DataError
        If there are no rows. While rows are read, if a value is missing or not finite: file, row group, row
        and column are named.
    MissingExtraError
        If pyarrow is not installed.

    Notes
    -----
    With ``shuffle=True`` the row groups of all files come in a random order, and rows are mixed within blocks
    of `window` rows: files sorted by date, say, want row groups well below that (`row_group_size` of
    ``pyarrow.parquet.write_table``). Tables with categories or dates go through
    :class:`fastnn.data.TableSchema` first.

    Examples
    --------
    >>> import tempfile
    >>> import pandas
    >>> from fastnn.data import FileSource
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for month in ("01", "02"):
    ...         table = pandas.DataFrame({"a": range(100), "b": 1.0, "price": 2.0})
    ...         table.to_parquet(f"{folder}/{month}.parquet")
    ...     source = FileSource(folder, y="price")
    ...     model = Sequential([Dense(1, input_shape=(2,))], seed=1)
    ...     model.compile("adam", "mse")
    ...     history = model.fit(source, epochs=2, verbose=0)
    >>> history.epoch, source.columns
    ([0, 1], ['a', 'b'])
    """

    def __init__(
        self,
        path: Any,
        x: Any = None,
        y: Any = None,
        sample_weight: str | None = None,
        *,
        window: int | None = None,
    ):
        super().__init__(window)
        pyarrow_here()
        self.files = _files(path)
        schema = schema_of(self.files[0])
        taken = [*_names(y), *_names(sample_weight)]
        if x is None:
            x = [name for name in schema.names if name not in taken]
        self._x, self._y, self._weight = x, y, sample_weight
        self.columns = _names(x)
        self._used = list(dict.fromkeys([*self.columns, *taken]))
        if not self.columns:
            raise ArgumentError("FileSource: expected at least one column for `x`. Received: none.")
        self._dtypes: dict[str, np.dtype] = {}
        for file in self.files:
            self._check(file, schema if file is self.files[0] else schema_of(file))
        self._units = [unit for file in self.files for unit in units_of(file, self._used[0])]
        if not self._units:
            raise DataError(f"{self.files[0]}: expected at least one row. Received: files without rows.")

    def __repr__(self) -> str:
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"FileSource({self.files[0].name!r}{more})"

    def _check(self, file: Path, schema: Any) -> None:
        """Raise unless a file has all columns, with the dtypes of the first."""
        for name in self._used:
            if schema.names.count(name) != 1:
                if name in schema.names:
                    raise DataError(
                        f"{file}: column names must be unique. Received: {name!r} more than once."
                    )
                raise unknown_name("column", name, schema.names, str(file))
            dtype = dtype_of(schema.field(name).type, file, name)
            if self._dtypes.setdefault(name, dtype) != dtype:
                raise DtypeError(
                    f"{file}: column {name!r} differs from the first file, {self.files[0]}: expected "
                    f"{self._dtypes[name]}. Received: {dtype}."
                )

    # ------------------------------------------------------------------ as a source
    def units(self) -> list[int]:
        """Return the rows of each row group."""
        return [unit.rows for unit in self._units]

    def read(self, unit: int) -> Iterator[Piece]:
        """Go through a row group, at most 65,536 rows at a time."""
        with Opened(self._used) as opened:
            yield from self._read(self._units[unit], opened, PIECE_ROWS)

    def pieces(self, seed: int, epoch: int, shuffle: bool) -> Any:
        """Go through an epoch; a file is opened once, not once for each of its row groups."""
        with Opened(self._used) as opened:
            for unit in self._order(seed, epoch, shuffle):
                yield from self._read(self._units[unit], opened, PIECE_ROWS)

    def sample(self) -> Piece:
        """Return the first rows, without reading all of a row group."""
        with Opened(self._used) as opened:
            return next(self._read(self._units[0], opened, _SAMPLE_ROWS))

    def _read(self, at: Unit, opened: Opened, rows: int) -> Iterator[Piece]:
        """Go through a unit, at most so many rows at a time."""
        first = 0
        with reading(at.path):
            for batch in opened.batches(at, rows):
                cut = f"{at}, from row {first}" if first else str(at)
                columns = {name: self._column(batch, name, at, first) for name in self._used}
                yield Piece(
                    self._side_by_side(self._x, columns), self._side_by_side(self._y, columns),
                    self._side_by_side(self._weight, columns), cut,
                )  # fmt: skip
                first += batch.num_rows

    def fingerprint(self) -> str:
        """Return the hash of the files: names, sizes, and of each 64 blocks of 1 MiB, spread evenly."""
        digest = hashlib.sha256(repr((self._x, self._y, self._weight)).encode())
        for file in self.files:
            size = file.stat().st_size
            digest.update(f"{file.name} {size}\n".encode())
            starts = range(0, size, 1 << 20)
            if len(starts) > _HASHED_BLOCKS:
                starts = np.linspace(0, size - (1 << 20), _HASHED_BLOCKS).astype(np.int64).tolist()
            with file.open("rb") as opened:
                for start in starts:
                    opened.seek(start)
                    digest.update(opened.read(1 << 20))
        return digest.hexdigest()

    def _column(self, batch: Any, name: str, at: Unit, first: int) -> np.ndarray:
        """Return a column's numbers, all of them finite."""
        column = batch.column(batch.schema.get_field_index(name))
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise DataError(
                f"{at}: every value must be known. Received: no value in column {name!r}, first in row "
                f"{first + row} ({column.null_count} such values in these rows)."
            )
        values = column.to_numpy(zero_copy_only=False)
        if values.dtype.kind == "f":
            with np.errstate(all="ignore"):
                total = float(values.sum())
            if not np.isfinite(total):
                _check_finite(values, name, at, first)
        return values

    def _side_by_side(self, chosen: Any, columns: dict[str, np.ndarray]) -> Any:
        """Return columns as `fit` takes them: one, several side by side, or a dict."""
        if isinstance(chosen, Mapping):
            return {name: self._side_by_side(item, columns) for name, item in chosen.items()}
        if chosen is None or isinstance(chosen, str):
            return None if chosen is None else columns[chosen]
        return _rows_of([columns[name] for name in chosen])


def _rows_of(columns: list[np.ndarray]) -> np.ndarray:
    """Return a table of columns, in the dtype in which all fit: 65,536 x 45 take 3 ms, not 6 one by one."""
    rows = len(columns[0])
    table = np.empty((rows, len(columns)), np.result_type(*(column.dtype for column in columns)))
    size = min(_TILE_ROWS, max(_TILE_NUMBERS // len(columns), 1), rows)
    tile = np.empty((len(columns), size + _APART), table.dtype)
    for start in range(0, rows, size):
        count = min(size, rows - start)
        for line, column in zip(tile, columns, strict=True):
            line[:count] = column[start : start + count]
        table[start : start + count] = tile[:, :count].T
    return table


def _check_finite(values: np.ndarray, name: str, at: Unit, first: int) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        count = int(bad.sum())
        raise not_finite(
            str(at), float(values[row]), "float64", f" in column {name!r}", first + row, count, count
        )


def _names(chosen: Any) -> list[str]:
    """Return the columns that an argument names."""
    if chosen is None:
        return []
    if isinstance(chosen, str):
        return [chosen]
    items = list(chosen.values()) if isinstance(chosen, Mapping) else list(chosen)
    if isinstance(chosen, Mapping):
        return [name for item in items for name in _names(item)]
    wrong = [item for item in items if not isinstance(item, str)]
    if wrong:
        raise ArgumentError(f"FileSource: expected names of columns. Received: {wrong[0]!r}.")
    return items


def _files(path: Any) -> list[Path]:
    """Return the files that are meant, by name."""
    if not isinstance(path, (str, Path)):
        if not isinstance(path, Sequence) or not path:
            raise ArgumentError(f"FileSource: expected a path or a list of paths. Received: {path!r}.")
        return [file for item in path for file in _files(item)]
    path, suffixes = Path(path), (*PARQUET_SUFFIXES, *ARROW_SUFFIXES)
    if path.is_dir():
        found = sorted(
            file
            for file in path.rglob("*")
            if file.name.lower().endswith(suffixes)
            and not file.name.startswith((".", "_"))
            and file.is_file()
        )
        if not found:
            raise ArgumentError(f"{path}: expected files named {', '.join(suffixes)}. Received: none.")
        return found
    if not path.name.lower().endswith(suffixes):
        raise ArgumentError(
            f"The format of a table is told by its suffix: expected one of {', '.join(suffixes)}. "
            f"Received: {path.name!r}."
        )
    with path.open("rb"):  # the system's own error for a file that is not there or not readable
        pass
    return [path]
