"""The public door for data: whatever holds numbers becomes arrays the executor can read, or a clear error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.errors import DataError, DtypeError, ShapeError
from fastnn.ops.registry import Spec

#: Dtypes the executor reads as they are, converting each batch as it is gathered.
READABLE = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool")


def to_array(data: Any, where: str) -> tuple[np.ndarray, list[str] | None]:
    """Turn data into an array of real numbers, without a copy where possible.

    Parameters
    ----------
    data : array, list, DataFrame, Series or anything with ``__array__`` or DLPack
    where : str
        What the data are, for messages.

    Returns
    -------
    array : ndarray
    columns : list of str or None
        Column names, where the data have them.

    Raises
    ------
    DtypeError
        If some values are not real numbers; the column is named where there is one.
    """
    columns = [str(c) for c in data.columns] if hasattr(data, "columns") and hasattr(data, "dtypes") else None
    if columns is not None:
        _check_frame(data, where)
        array = data.to_numpy()
    elif isinstance(data, np.ndarray):
        array = data
    elif hasattr(data, "__array__"):
        array = np.asarray(data)
    elif hasattr(data, "__dlpack__"):
        array = np.from_dlpack(data)
    else:
        try:
            array = np.asarray(data)
        except ValueError as error:
            raise ShapeError(f"{where}: the rows do not all have the same length ({error}).") from None
    return _numeric(array, where, columns), columns


def _check_frame(frame: Any, where: str) -> None:
    for column, dtype in zip(frame.columns, frame.dtypes, strict=True):
        kind = getattr(dtype, "kind", "O")
        if kind not in "fiub":
            example = frame[column].iloc[0] if len(frame) else None
            raise DtypeError(
                f"{where}: column {column!r} must hold numbers. Received: dtype {dtype}, for example {example!r}."
            )


def _numeric(array: np.ndarray, where: str, columns: list[str] | None) -> np.ndarray:
    if array.dtype.kind in "OUS":
        converted = None
        if array.dtype.kind == "O" and not any(isinstance(v, (str, bytes)) for v in array.ravel()[:1000]):
            try:
                converted = array.astype(np.float64)
            except (TypeError, ValueError):
                converted = None
        if converted is None:
            raise DtypeError(
                f"{where}: must hold numbers{_text_column(array, columns)}. Received: dtype {array.dtype}."
            )
        array = converted
    if array.dtype.kind == "c":
        raise DtypeError(f"{where}: must hold real numbers. Received: complex dtype {array.dtype}.")
    if array.dtype.name in ("float16", "bfloat16"):
        return array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise DtypeError(f"{where}: must hold numbers. Received: dtype {array.dtype}.")
    if array.dtype.name not in READABLE:
        array = array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _text_column(array: np.ndarray, columns: list[str] | None) -> str:
    if array.ndim != 2:
        return ""
    for number in range(array.shape[1]):
        if any(isinstance(v, (str, bytes)) for v in array[:1000, number]):
            name = repr(columns[number]) if columns else str(number)
            return f", but column {name} holds text, for example {array[0, number]!r}"
    return ""


def check_finite(array: np.ndarray, where: str, columns: Sequence[str] | None = None) -> None:
    """Raise DataError naming the column if an array holds NaN or infinity."""
    if array.dtype.kind != "f" or not array.size:
        return
    with np.errstate(all="ignore"):
        if np.isfinite(array.sum()):  # one pass, no temporary; the sum of good data is finite
            return
    bad = ~np.isfinite(array)
    if not bad.any():
        return
    rows = np.flatnonzero(bad.reshape(len(array), -1).any(axis=1))
    place = ""
    if array.ndim > 1:
        column = int(np.flatnonzero(bad.reshape(len(array), -1).any(axis=0))[0])
        place = f" in column {columns[column]!r}" if columns else f" in column {column}"
    what = "NaN" if np.isnan(array[bad]).any() else "infinity"
    raise DataError(
        f"{where}: every value must be finite. Received: {what}{place}, first in row {rows[0]} "
        f"({int(bad.sum())} such values in {len(rows)} rows)."
    )


def match_rows(array: np.ndarray, spec: Spec, where: str) -> np.ndarray:
    """Check an array's row shape against a spec; a missing or extra axis of one is forgiven.

    Returns
    -------
    ndarray, shape (rows, numbers in a row)
    """
    if array.ndim == 0:
        raise ShapeError(f"{where}: expected one row per example, shape (rows, {_shape(spec)}). Received: a scalar.")
    row = array.shape[1:]
    if row != spec.shape:
        trimmed = tuple(e for e in row if e != 1), tuple(e for e in spec.shape if e != 1)
        if trimmed[0] != trimmed[1]:
            raise ShapeError(
                f"{where}: expected shape (rows, {_shape(spec)}). Received: {array.shape}."
            )
    if array.ndim > 2 or array.ndim == 1 or array.shape[1:] != (spec.size,):
        array = array.reshape(len(array), spec.size)
    return array


def _shape(spec: Spec) -> str:
    return ", ".join(map(str, spec.shape)) if spec.shape else "no further axes"


def to_index(array: np.ndarray, limit: int | None, where: str) -> np.ndarray:
    """Turn whole numbers into int32 indices from 0 to ``limit - 1``."""
    if array.dtype.kind == "f":
        check_finite(array, where)
        if array.size and (array != np.floor(array)).any():
            bad = array[array != np.floor(array)].ravel()[0]
            raise DataError(f"{where}: expected whole numbers. Received: {bad!r}.")
    if array.size:
        low, high = array.min(), array.max()
        if low < 0 or (limit is not None and high >= limit):
            top = "" if limit is None else f" to {limit - 1}"
            raise DataError(
                f"{where}: expected whole numbers from 0{top}. Received: values from {low} to {high}."
            )
    return np.ascontiguousarray(array, np.int32)
