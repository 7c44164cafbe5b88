"""Dates of rows: whatever says when a row is becomes an array that can be compared and sorted."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.errors import DataError, DtypeError, ShapeError


def as_dates(dates: Any, where: str) -> np.ndarray:
    """Turn dates into an array of one axis.

    Parameters
    ----------
    dates : array_like, pandas Series, DatetimeIndex or PeriodIndex, shape (rows,)
        Datetimes without a time zone, ``datetime.date``, text such as ``'1991-12'``, or numbers (years, say).
    where : str
        What they are, for messages.

    Returns
    -------
    ndarray of datetime64, integers or floats, shape (rows,)

    Raises
    ------
    DtypeError
        If they are no dates, or have a time zone.
    ShapeError
        If there is more than one axis.
    DataError
        If one is missing.

    Examples
    --------
    >>> as_dates(["1991-12", "1992-01"], "dates")
    array(['1991-12', '1992-01'], dtype='datetime64[M]')
    """
    if hasattr(dates, "to_timestamp") and not hasattr(dates, "index"):  # a PeriodIndex
        dates = dates.to_timestamp()
    found = np.asarray(dates)
    if found.ndim != 1:
        raise ShapeError(f"{where}: expected one date a row, shape (rows,). Received: shape {found.shape}.")
    if found.dtype.kind in "OUST":
        found = _parsed(found, where)
    if found.dtype.kind not in "iufM":
        raise DtypeError(f"{where}: expected dates or numbers. Received: dtype {found.dtype}.")
    missing = np.isnat(found) if found.dtype.kind == "M" else found != found
    if missing.any():
        raise DataError(
            f"{where}: every row needs a date. Received: none in row {int(np.flatnonzero(missing)[0])} "
            f"({int(missing.sum())} such rows)."
        )
    return found


def _parsed(found: np.ndarray, where: str) -> np.ndarray:
    """Return the datetimes that objects or texts mean."""
    first = found[0] if len(found) else None
    if getattr(first, "tzinfo", None) is not None:
        raise DtypeError(
            f"{where}: expected dates without a time zone (pandas: .tz_localize(None)). Received: {first!r}."
        )
    if hasattr(first, "to_timestamp"):  # pandas' periods, in a Series or list
        found = np.array([period.to_timestamp() for period in found], object)
    try:
        return np.array(found.tolist() if found.dtype.kind == "O" else found.astype(str), "M8")
    except (TypeError, ValueError):
        pass
    try:
        return found.astype("M8[ns]")
    except (TypeError, ValueError):
        raise DtypeError(
            f"{where}: expected dates, texts such as '1991-12-31', or numbers. Received: {first!r}."
        ) from None


def not_after(dates: np.ndarray, label: Any, where: str) -> np.ndarray:
    """Return which dates are at or before a label; ``'1991'`` means the whole year, as in ``.loc``.

    Raises
    ------
    DtypeError
        If the label cannot be compared with the dates.
    """
    if dates.dtype.kind != "M":
        if isinstance(label, bool) or not isinstance(label, (int, float, np.integer, np.floating)):
            raise DtypeError(f"{where}: the dates are numbers, so expected a number. Received: {label!r}.")
        return dates <= label
    if isinstance(label, (bool, int, float, np.integer, np.floating)):
        label = str(int(label)) if isinstance(label, (int, np.integer)) and 1000 <= label <= 9999 else None
    try:
        if getattr(label, "tzinfo", None) is not None:
            raise ValueError
        end = np.datetime64(label)
        if np.isnat(end):
            raise ValueError
    except (TypeError, ValueError):
        raise DtypeError(
            f"{where}: expected a date without a time zone, or text such as '1991' or '1991-06-30'. "
            f"Received: {label!r}."
        ) from None
    finer = np.promote_types(dates.dtype, end.dtype)
    if finer != end.dtype:  # the label is a whole year, month or day: every date within belongs to it
        return dates.astype(end.dtype) <= end
    return dates <= end
