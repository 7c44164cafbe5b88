"""The public door for data: whatever holds numbers becomes an array of real numbers, or a clear error."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.errors import DataError, DtypeError, ShapeError

#: Dtypes that are read as they are; each batch is converted as it is gathered.
READABLE = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool")
#: Values looked at when searching for text among objects.
_SAMPLE = 1000
#: Numbers looked at together when searching for those that are not finite.
_CHUNK_NUMBERS = 1 << 20


def to_array(data: Any, where: str) -> tuple[np.ndarray, list[str] | None]:
    """Turn data into an array of real numbers, without a copy where possible.

    Parameters
    ----------
    data : array, list, DataFrame, Series or anything with ``__array__`` or DLPack
        float16 and bfloat16 become float32; numbers that are not in :data:`READABLE` float64.
    where : str
        What the data are, for messages: ``"x"``.

    Returns
    -------
    array : ndarray
        In the machine's byte order; read-only and strided arrays are returned as they are.
    columns : list of str or None
        Column names, where the data have them.

    Raises
    ------
    DtypeError
        If some values are not real numbers; the column is named where there is one.
    ShapeError
        If the rows of a list differ in length.
    DataError
        If some values are masked.

    Examples
    --------
    >>> from fastnn.arrays import to_array
    >>> to_array([[1, 2], [3, 4]], "x")[0].dtype
    dtype('int64')
    """
    columns = None
    if hasattr(data, "iloc"):
        data, columns = _from_pandas(data, where)
    array = _as_ndarray(data, where)
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise DataError(f"{where}: every value must be known. Received: an array with masked values.")
    return _numeric(np.asarray(array), where, columns, type(data).__name__), columns


def _as_ndarray(data: Any, where: str) -> np.ndarray:
    """Return the data as an array of any dtype."""
    if isinstance(data, np.ndarray):
        return data
    if hasattr(data, "toarray"):
        raise DtypeError(
            f"{where}: expected a dense array. Received: a sparse {type(data).__name__}; use .toarray()."
        )
    if hasattr(data, "detach"):  # a tensor that may take part in a gradient
        data = data.detach()
        if str(data.dtype).endswith("bfloat16"):  # a dtype that NumPy does not have
            data = data.float()
    try:
        if not hasattr(data, "__array__") and hasattr(data, "__dlpack__"):
            return np.from_dlpack(data)
        return np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"{where}: the rows do not all have the same length ({error}).") from None
    except (TypeError, BufferError, RuntimeError) as error:
        raise DtypeError(
            f"{where}: expected numbers that NumPy can read. Received: {type(data).__name__} ({error})."
        ) from None


def _from_pandas(data: Any, where: str) -> tuple[np.ndarray, list[str] | None]:
    """Return the numbers of a DataFrame or Series; missing values become NaN."""
    if not hasattr(data, "columns"):
        return _series(data, f"{where}: the series"), None
    columns = [str(column) for column in data.columns]
    dtypes = list(data.dtypes)
    if dtypes and isinstance(dtypes[0], np.dtype) and dtypes[0].kind in "fiub" and len(set(dtypes)) == 1:
        return data.to_numpy(), columns
    found = [_series(data.iloc[:, i], f"{where}: column {name!r}") for i, name in enumerate(columns)]
    dtype = np.result_type(*(array.dtype for array in found)) if found else np.dtype(np.float64)
    array = np.empty((len(data), len(found)), dtype)
    for number, values in enumerate(found):
        array[:, number] = values
    return array, columns


def _series(series: Any, where: str) -> np.ndarray:
    """Return one column's numbers."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
        return series.to_numpy()
    kind = getattr(dtype, "kind", "O")
    if not isinstance(dtype, np.dtype) and kind in "fiub":  # pandas' nullable dtypes
        if series.isna().any() or kind == "f":
            return series.to_numpy(dtype=np.float64, na_value=np.nan)
        return series.to_numpy(dtype={"i": np.int64, "u": np.uint64, "b": np.bool_}[kind])
    if isinstance(dtype, np.dtype) and kind == "O" and not any(map(_is_text, series)):
        with contextlib.suppress(TypeError, ValueError):
            return series.to_numpy().astype(np.float64)
    example = series.iloc[0] if len(series) else None
    raise DtypeError(f"{where} must hold numbers. Received: dtype {dtype}, for example {example!r}.")


def _numeric(array: np.ndarray, where: str, columns: list[str] | None, source: str) -> np.ndarray:
    """Return an array of one of the readable dtypes."""
    kind, name = array.dtype.kind, array.dtype.name
    if kind == "O" and array.size and not any(map(_is_text, array.ravel()[:_SAMPLE])):
        with contextlib.suppress(TypeError, ValueError):
            array = array.astype(np.float64)
        kind = array.dtype.kind
    if kind == "c":
        raise DtypeError(f"{where}: must hold real numbers. Received: complex dtype {name}.")
    if name in ("float16", "bfloat16"):
        return array.astype(np.float32)
    if kind not in "fiub":
        held = f"an object of type {source}" if array.ndim == 0 else f"dtype {array.dtype}"
        raise DtypeError(f"{where}: must hold numbers{_text_column(array, columns)}. Received: {held}.")
    if name not in READABLE:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _text_column(array: np.ndarray, columns: list[str] | None) -> str:
    """Say which column holds text, if one does."""
    for number in range(array.shape[1] if array.ndim == 2 else 0):
        for value in array[:_SAMPLE, number]:
            if _is_text(value):
                name = repr(columns[number]) if columns else number
                return f", but column {name} holds text, for example {str(value)!r}"
    return ""


def _is_text(value: Any) -> bool:
    return isinstance(value, (str, bytes))


def check_finite(
    array: np.ndarray, where: str, columns: Sequence[str] | None = None, dtype: str = "float64"
) -> None:
    """Raise DataError naming the column if a value is NaN, infinite, or too large for `dtype`.

    Parameters
    ----------
    array : ndarray, shape (rows, ...)
    where : str
        What the data are, for messages.
    columns : sequence of str, optional
        Names for the message; by default a column's number.
    dtype : {'float64', 'float32'}
        What the values will be computed in.
    """
    if array.dtype.kind != "f" or not array.size:
        return
    # (a float32 array is compared in float32, in which the largest float64 would be infinite)
    limit = min(float(np.finfo(dtype).max), float(np.finfo(array.dtype).max))
    with np.errstate(all="ignore"):
        total = float(array.sum())  # one pass, no temporary
        # (the sum of good data is finite, and not as large as the largest float)
        if not abs(total) < limit:
            _refuse_not_finite(array, where, columns, dtype, limit)


def _refuse_not_finite(
    array: np.ndarray, where: str, columns: Sequence[str] | None, dtype: str, limit: float
) -> None:
    """Look for values that are not finite, some rows at a time: the array may be larger than memory."""
    row = column = -1
    value = math.nan
    values = rows = 0
    step = max(1, _CHUNK_NUMBERS * len(array) // array.size)
    for start in range(0, len(array), step):
        part = array[start : start + step].reshape(min(step, len(array) - start), -1)
        bad = ~(np.abs(part) <= limit)
        if not bad.any():
            continue
        row = start + int(bad.any(axis=1).argmax()) if row < 0 else row
        leftmost = int(bad.any(axis=0).argmax())
        if column < 0 or leftmost < column:
            column, value = leftmost, float(part[bad[:, leftmost], leftmost][0])
        values, rows = values + int(bad.sum()), rows + int(bad.any(axis=1).sum())
    if values:
        place = ""
        if array.ndim > 1:
            place = f" in column {columns[column]!r}" if columns else f" in column {column}"
        raise not_finite(where, value, dtype, place, row, values, rows)


def not_finite(
    where: str, value: float, dtype: str, place: str, row: int, values: int, rows: int
) -> DataError:
    """Make the error for values that cannot be used: the first, where it is, how many there are."""
    what = "NaN" if np.isnan(value) else "infinity" if np.isinf(value) else f"{value}, beyond {dtype},"
    return DataError(
        f"{where}: every value must be finite. Received: {what}{place}, first in row {row} "
        f"({values} such values in {rows} rows)."
    )
