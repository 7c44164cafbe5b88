"""Opening Parquet, Arrow and Feather files to read them part by part. pyarrow is imported when used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.arrays import READABLE
from fastnn.data.read import PARQUET_SUFFIXES
from fastnn.errors import DtypeError, FileFormatError, missing_extra

ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
#: Bytes read from a file at a time.
_BUFFER_BYTES = 1 << 20
#: Files that are open at a time.
_MOST_OPEN = 8


def pyarrow_here() -> Any:
    """Return the package, or raise MissingExtraError."""
    try:
        import pyarrow
    except ImportError:
        raise missing_extra("pyarrow", "table", "FileSource") from None
    return pyarrow


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file from an Arrow file by its suffix."""
    return path.name.lower().endswith(PARQUET_SUFFIXES)


class Unit(NamedTuple):
    """A row group of a Parquet file, or a record batch of an Arrow file."""

    path: Path
    number: int
    rows: int

    def __str__(self) -> str:
        kind = "row group" if is_parquet(self.path) else "record batch"
        return f"{self.path}, {kind} {self.number}"


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in what goes wrong while it is read."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is no longer there.") from None
    except (pyarrow_here().ArrowException, OSError) as error:
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


def schema_of(path: Path) -> Any:
    """Return a file's schema."""
    with reading(path):
        if is_parquet(path):
            with _parquet_file(path) as file:
                return file.schema_arrow
        with _arrow_file(path) as reader:
            return reader.schema


def units_of(path: Path, name: str) -> list[Unit]:
    """Return the parts of a file that can be read on their own, those without rows left out."""
    with reading(path):
        if is_parquet(path):
            with _parquet_file(path) as file:
                groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        else:
            with _arrow_file(path, [name]) as reader:  # rows are told by a column only
                groups = [reader.get_batch(n).num_rows for n in range(reader.num_record_batches)]
    return [Unit(path, number, rows) for number, rows in enumerate(groups) if rows]


class Opened:
    """Files that are read from, a few of them kept open: to open one is to read where everything in it is.

    Parameters
    ----------
    names : list of str
        The columns that are read.
    """

    def __init__(self, names: list[str]):
        self._names = names
        self._files: dict[Path, tuple[Any, contextlib.ExitStack]] = {}

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *error: Any) -> None:
        while self._files:
            self._files.popitem()[1][1].close()

    def _file(self, path: Path) -> Any:
        if path not in self._files:
            if len(self._files) == _MOST_OPEN:
                self._files.pop(next(iter(self._files)))[1].close()
            stack = contextlib.ExitStack()
            opening = _parquet_file(path) if is_parquet(path) else _arrow_file(path, self._names)
            self._files[path] = stack.enter_context(opening), stack
        return self._files[path][0]

    def batches(self, at: Unit, rows: int) -> Iterator[Any]:
        """Go through a unit, as record batches of at most so many rows."""
        file = self._file(at.path)
        if is_parquet(at.path):
            yield from file.iter_batches(rows, row_groups=[at.number], columns=self._names, use_threads=False)
            return
        batch = file.get_batch(at.number)
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def dtype_of(type_: Any, path: Path, name: str) -> np.dtype:
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
