"""Reading a table from a file, by its suffix."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastnn.errors import ArgumentError, DataError, missing_extra

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET_SUFFIXES = (".parquet", ".pq")
SEPARATORS = (",", ";", "\t", "|")


def load_pandas(needed_for: str) -> Any:
    """Return the module pandas.

    Raises
    ------
    MissingExtraError
        If pandas is not installed; the message names the extra that installs it.
    """
    try:
        import pandas
    except ImportError:
        raise missing_extra("pandas", "table", needed_for) from None
    return pandas


def read_table(path: str | Path, separator: str | None = None, missing: Sequence[str] = ()) -> Any:
    """Read a CSV or Parquet file.

    Parameters
    ----------
    path : str or Path
        A file named ``.csv``, ``.tsv`` (either also with ``.gz``), ``.parquet`` or ``.pq``.
    separator : str, optional
        One character between the values of a CSV file; by default the one of ``, ; | tab`` that is most
        frequent in the first line.
    missing : sequence of str, optional
        Further texts of a CSV file that mean "no value", beside pandas' own (empty, ``NA``, ``NaN``, ...).

    Returns
    -------
    pandas.DataFrame
        At least one row and one column; column names are text and unique.

    Raises
    ------
    OSError
        If the file is not there or cannot be read.
    ArgumentError
        If the suffix is not known.
    DataError
        If the content is not what the suffix says, is empty, or has two columns of one name.
    MissingExtraError
        If pandas (or pyarrow, for Parquet) is not installed.
    """
    path = Path(path)
    name = path.name.lower()
    pandas = load_pandas(f"Reading {path.name}")
    if name.endswith(CSV_SUFFIXES):
        frame = _read_csv(pandas, path, separator, missing)
    elif name.endswith(PARQUET_SUFFIXES):
        frame = _read_parquet(pandas, path)
    else:
        raise ArgumentError(
            f"The format of a table is told by its suffix: expected one of "
            f"{', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES)}. Received: {path.name!r}."
        )
    frame.columns = [str(column) for column in frame.columns]
    doubled = frame.columns[frame.columns.duplicated()]
    if len(doubled):
        raise DataError(f"{path}: column names must be unique. Received: {doubled[0]!r} more than once.")
    if not len(frame):
        raise DataError(f"{path}: expected at least one row. Received: a table without rows.")
    return frame


def _read_csv(pandas: Any, path: Path, separator: str | None, missing: Sequence[str]) -> Any:
    if separator is not None and len(separator) != 1:
        raise ArgumentError(f"`separator` must be one character. Received: {separator!r}.")
    try:
        separator = separator or _guess_separator(path)
        return pandas.read_csv(path, sep=separator, na_values=list(missing), low_memory=False)
    except pandas.errors.EmptyDataError:
        raise DataError(f"{path}: expected a line of column names. Received: an empty file.") from None
    except (pandas.errors.ParserError, gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path} cannot be read as CSV: {str(error).strip()}") from None
    except UnicodeError as error:
        raise DataError(f"{path}: expected text in UTF-8. {str(error).capitalize()}.") from None


def _guess_separator(path: Path) -> str:
    """Return the separator most frequent in the first line; the comma where there is none."""
    opener: Any = gzip.open if path.name.lower().endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        line = file.readline(1 << 20)
    return max(SEPARATORS, key=line.count)


def _read_parquet(pandas: Any, path: Path) -> Any:
    with path.open("rb"):  # the system's own error for a file that is not there or not readable
        pass
    try:
        frame = pandas.read_parquet(path)
    except ImportError:
        raise missing_extra("pyarrow", "table", f"Reading {path.name}") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}") from None
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index() if named else frame
