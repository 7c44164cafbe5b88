"""Dates of prices and returns: reading them, and months as whole numbers."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.read import load_pandas
from fastnn.errors import ArgumentError, DataError

#: What was noticed, and how often (or its name): plain values, so that it can be saved with a table.
Report = dict[str, Any]
YEAR_MONTH = re.compile(r"\d{4}[-/]\d{2}")


def to_dates(values: Any, where: str, report: Report, date_format: str | None = None) -> Any:
    """Turn a column or index into dates without a time zone, in the order given.

    Parameters
    ----------
    values : pandas.Index or pandas.Series
        Timestamps, periods, dates, ISO text, months such as ``'2010-01'`` (their last day), or whole numbers
        such as 20100129 and 201001.
    where : str
    report : dict
        Takes a note of a time zone that was dropped.
    date_format : str, optional
        For text in any other form, as in ``strftime``.

    Returns
    -------
    pandas.DatetimeIndex

    Raises
    ------
    DataError
        If some value is not a date; the row is named.
    """
    pandas = load_pandas("Reading dates")
    index = pandas.Index(values)
    missing = np.flatnonzero(index.isna())
    if len(missing):
        raise DataError(f"{where}: expected a date in every row. Received: none in row {missing[0]}.")
    if isinstance(index, pandas.PeriodIndex):
        return index.to_timestamp(how="end").normalize()
    if not isinstance(index, pandas.DatetimeIndex):
        index = _parse(pandas, index, where, date_format)
    if index.tz is not None:  # the date at the place itself: a close at 16:00 stays on its day
        report["time zone dropped, local dates kept"] = str(index.tz)
        index = index.tz_localize(None)
    return index


def _parse(pandas: Any, index: Any, where: str, date_format: str | None) -> Any:
    if pandas.api.types.is_bool_dtype(index) or pandas.api.types.is_float_dtype(index):
        raise DataError(f"{where}: expected dates. Received: {index.dtype}, such as {index[0]!r}.")
    texts = index.astype(str)
    if pandas.api.types.is_integer_dtype(index):
        lengths = set(texts.str.len())
        if date_format is None and lengths not in ({8}, {6}):
            raise DataError(
                f"{where}: whole numbers are dates if they look like 20100129 or 201001. "
                f"Received: {texts[0]}."
            )
        date_format = date_format or ("%Y%m%d" if lengths == {8} else "%Y%m")
    elif date_format is None and all(YEAR_MONTH.fullmatch(text) for text in texts):
        date_format = "%Y" + texts[0][4] + "%m"
    try:
        dates = pandas.to_datetime(texts, format=date_format or "ISO8601")
    except ValueError as error:
        bad = _first_bad(pandas, texts, date_format or "ISO8601")
        if bad is None:
            raise DataError(f"{where}: the dates cannot be read: {error}") from None
        hint = "" if date_format else "; for another form give `date_format`, such as '%m/%d/%Y'"
        wanted = date_format or "ISO dates such as 2010-01-29"
        raise DataError(f"{where}: expected {wanted}{hint}. Received: {texts[bad]!r} in row {bad}.") from None
    if not isinstance(dates, pandas.DatetimeIndex):  # pandas 2 keeps texts of several time zones as objects
        raise DataError(f"{where}: expected one time zone. Received: several.")
    if date_format and "%d" not in date_format and "%m" in date_format:  # a month is known at its end
        dates = dates + pandas.offsets.MonthEnd(0)
    return dates


def _first_bad(pandas: Any, texts: Any, date_format: str) -> int | None:
    for row, text in enumerate(texts):
        try:
            pandas.to_datetime([text], format=date_format)
        except ValueError:
            return row
    return None


def in_order(dates: Any, where: str, report: Report) -> NDArray[np.int64]:
    """Return the order that sorts dates, each of which must occur once.

    Raises
    ------
    DataError
        If a date occurs twice; its rows are named.
    """
    doubled = np.flatnonzero(dates.duplicated())
    if len(doubled):
        second = int(doubled[0])
        first = int(np.flatnonzero(dates == dates[second])[0])
        raise DataError(
            f"{where}: expected each date once. Received: {day(dates[second])} in rows {first} and {second}"
            + (f", and {len(doubled) - 1:,} more repeated dates." if len(doubled) > 1 else ".")
        )
    order: NDArray[np.int64] = np.argsort(dates.to_numpy(), kind="stable")
    moved = int((np.diff(dates.to_numpy()) < np.timedelta64(0)).sum())
    if moved:
        report["rows earlier than the row before them, sorted by date"] = moved
    return order


def day(date: Any) -> str:
    """Return a date as text, with the time of day only where there is one."""
    return str(date)[:10] if date == date.normalize() else str(date)


def month_numbers(dates: Any) -> NDArray[np.int64]:
    """Return months counted from the year 0, one a date."""
    return (dates.year.to_numpy() * 12 + dates.month.to_numpy() - 1).astype(np.int64)


def month_ends(numbers: NDArray[np.int64]) -> Any:
    """Return the last day of each month, as a DatetimeIndex."""
    pandas = load_pandas("Reading dates")
    starts = (np.asarray(numbers, np.int64) + 1 - 1970 * 12).astype("datetime64[M]")
    return pandas.DatetimeIndex((starts.astype("datetime64[D]") - 1).astype("datetime64[s]"), name="date")


def days_to_month_end(dates: Any) -> NDArray[np.int64]:
    """Return the calendar days from each date to the end of its month."""
    return (dates.days_in_month - dates.day).to_numpy().astype(np.int64)


def bounds(start: Any, end: Any) -> tuple[int | None, int | None]:
    """Return the first and last month of a range of labels, both included: ``'2008'`` is a whole year.

    Raises
    ------
    ArgumentError
        If a label is no date, or the range is empty.
    """
    first = None if start is None else _month_of(start, "start", "start")
    last = None if end is None else _month_of(end, "end", "end")
    if first is not None and last is not None and first > last:
        raise ArgumentError(f"`start` must not be after `end`. Received: {start!r} and {end!r}.")
    return first, last


def _month_of(label: Any, name: str, side: str) -> int:
    pandas = load_pandas("Reading dates")
    try:
        if isinstance(label, (int, np.integer)):
            label = str(label)
        if isinstance(label, str):
            label = getattr(pandas.Period(label), f"{side}_time")
        date = pandas.Timestamp(label)
        return int(date.year * 12 + date.month - 1)
    except (ValueError, TypeError):
        raise ArgumentError(
            f"`{name}` must be a date or text such as '2008' or '2008-01'. Received: {label!r}."
        ) from None
