"""Parquet, Arrow and Feather files that are read piece by piece. pyarrow is imported when used."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.arrays import READABLE, not_finite
from fastnn.data.read import PARQUET_SUFFIXES
from fastnn.errors import (
    ArgumentError,
    DataError,
    DtypeError,
    FileFormatError,
    missing_extra,
    unknown_name,
)
from fastnn.rows import Piece, Source
from fastnn.rows.stream import PIECE_ROWS

ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
#: Rows whose columns are put side by side at a time: they stay in the cache (9 ms for 65,536 x 45, not 25).
_TILE_ROWS = 1024
#: Bytes read from a file at a time.
_BUFFER_BYTES = 1 << 20
#: Of each file, what is hashed: so many blocks of 1 MiB, spread evenly.
_HASHED_BLOCKS = 64
#: Rows that are looked at before a training.
_SAMPLE_ROWS = 1024
#: Files that are open at a time.
_MOST_OPEN = 8


class _Unit(NamedTuple):
    """A row group of a Parquet file, or a record batch of an Arrow file."""

    path: Path
    number: int
    rows: int

    def __str__(self) -> str:
        kind = "row group" if _is_parquet(self.path) else "record batch"
        return f"{self.path}, {kind} {self.number}"


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
        _pyarrow()
        self.files = _files(path)
        schema = _schema(self.files[0])
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
            self._check(file, schema if file is self.files[0] else _schema(file))
        self._units = [unit for file in self.files for unit in _units(file, self._used[0])]
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
            dtype = _dtype_of(schema.field(name).type, file, name)
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
        with _Opened(self._used) as opened:
            yield from self._read(self._units[unit], opened, PIECE_ROWS)

    def pieces(self, seed: int, epoch: int, shuffle: bool) -> Any:
        """Go through an epoch; a file is opened once, not once for each of its row groups."""
        with _Opened(self._used) as opened:
            for unit in self._order(seed, epoch, shuffle):
                yield from self._read(self._units[unit], opened, PIECE_ROWS)

    def sample(self) -> Piece:
        """Return the first rows, without reading all of a row group."""
        with _Opened(self._used) as opened:
            return next(self._read(self._units[0], opened, _SAMPLE_ROWS))

    def _read(self, at: _Unit, opened: _Opened, rows: int) -> Iterator[Piece]:
        """Go through a unit, at most so many rows at a time."""
        first = 0
        with _reading(at.path):
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

    def _column(self, batch: Any, name: str, at: _Unit, first: int) -> np.ndarray:
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
        rows = len(columns[chosen[0]])
        table = np.empty((rows, len(chosen)), np.result_type(*(columns[name].dtype for name in chosen)))
        for start in range(0, rows, _TILE_ROWS):
            tile = slice(start, start + _TILE_ROWS)
            for number, name in enumerate(chosen):
                table[tile, number] = columns[name][tile]
        return table


def _check_finite(values: np.ndarray, name: str, at: _Unit, first: int) -> None:
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(bad.argmax())
        count = int(bad.sum())
        raise not_finite(
            str(at), float(values[row]), "float64", f" in column {name!r}", first + row, count, count
        )


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise missing_extra("pyarrow", "table", "FileSource") from None
    return pyarrow


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(PARQUET_SUFFIXES)


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


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong while it is read."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is no longer there.") from None
    except (_pyarrow().ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # the system's, which names the file
            raise
        raise FileFormatError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _parquet_file(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)


@contextlib.contextmanager
def _arrow_file(path: Path, names: Sequence[str] = ()) -> Iterator[Any]:
    """Open a file to read some of its columns, by default all."""
    from pyarrow import OSFile, ipc

    with OSFile(str(path)) as file:
        with ipc.open_file(file) as reader:
            if not names:
                yield reader
                return
            fields = sorted(reader.schema.get_field_index(name) for name in names)
        with ipc.open_file(file, options=ipc.IpcReadOptions(included_fields=fields)) as reader:
            yield reader


def _schema(path: Path) -> Any:
    """Return a file's schema."""
    with _reading(path):
        if _is_parquet(path):
            with _parquet_file(path) as file:
                return file.schema_arrow
        with _arrow_file(path) as reader:
            return reader.schema


def _units(path: Path, name: str) -> list[_Unit]:
    """Return the parts of a file that can be read on their own, those without rows left out."""
    with _reading(path):
        if _is_parquet(path):
            with _parquet_file(path) as file:
                groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        else:
            with _arrow_file(path, [name]) as reader:  # rows are told by a column only
                groups = [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]
    return [_Unit(path, number, rows) for number, rows in enumerate(groups) if rows]


class _Opened:
    """Files that are read from, a few of them kept open: to open one is to read where everything in it is.

    Parameters
    ----------
    names : list of str
        The columns that are read.
    """

    def __init__(self, names: list[str]):
        self._names = names
        self._files: dict[Path, tuple[Any, contextlib.ExitStack]] = {}

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *error: Any) -> None:
        while self._files:
            self._files.popitem()[1][1].close()

    def _file(self, path: Path) -> Any:
        if path not in self._files:
            if len(self._files) == _MOST_OPEN:
                self._files.pop(next(iter(self._files)))[1].close()
            stack = contextlib.ExitStack()
            opening = _parquet_file(path) if _is_parquet(path) else _arrow_file(path, self._names)
            self._files[path] = stack.enter_context(opening), stack
        return self._files[path][0]

    def batches(self, at: _Unit, rows: int) -> Iterator[Any]:
        """Go through a unit, as record batches of at most so many rows."""
        file = self._file(at.path)
        if _is_parquet(at.path):
            yield from file.iter_batches(
                rows, row_groups=[at.number], columns=self._names, use_threads=False
            )
            return
        batch = file.get_batch(at.number)
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _dtype_of(type_: Any, path: Path, name: str) -> np.dtype:
    """Return a column's dtype, if it holds numbers."""
    try:
        dtype = np.dtype(type_.to_pandas_dtype())
    except (NotImplementedError, TypeError):
        dtype = np.dtype(object)
    if dtype.name not in (*READABLE, "float16", "uint64"):
        raise DtypeError(
            f"{path}: column {name!r} must hold numbers. Received: {type_}. Categories and dates go through "
            "fastnn.data.TableSchema first; columns that are not wanted are left out by naming those of `x`."
        )
    return dtype
