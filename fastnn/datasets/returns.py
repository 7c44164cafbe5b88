"""Monthly returns from daily or monthly closes, with every gap left a gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.read import load_pandas
from fastnn.datasets.dates import Report, bounds, day, days_to_month_end, month_ends, month_numbers
from fastnn.datasets.prices import clean, read_file
from fastnn.errors import DataError

#: The last trading day is at most so many days before the month's end (weekends and holidays).
MONTH_END_DAYS = 4
#: A last month whose dates stop earlier than this before its end is not over, in weekly data too.
INCOMPLETE_DAYS = 7


def monthly_returns(
    prices: Any,
    *,
    key: str | None = None,
    date: str | None = None,
    ticker: str | None = None,
    price: str | None = None,
    date_format: str | None = None,
    start: Any = None,
    end: Any = None,
    balanced: bool = False,
    incomplete_month: bool = False,
) -> Any:
    """Turn daily or monthly closes into monthly returns.

    ``r[t] = p[t] / p[t - 1] - 1``, `p` the last price within a month. Prices are never carried forward: a
    month without a price gives two missing returns, never a return over two months.

    Parameters
    ----------
    prices : DataFrame, Series, str or Path
        Wide (dates by tickers) or long (a row for each date and ticker), or a CSV, Parquet or HDF5 file of
        either. A table with a column named ``ticker``, ``symbol``, ... is long.
    key : str, optional
        The table within an HDF5 file. HDF5 files can hold Python objects: read only those you trust.
    date, ticker, price : str, optional
        Columns, where their names do not tell. With `price`, a wide table is one stock's.
    date_format : str, optional
        For dates in text that is not ISO, such as ``'%m/%d/%Y'``.
    start, end : str, int or date, optional
        First and last month of the returns, both included; ``'2008'`` is the whole year.
    balanced : bool, default False
        Keep only stocks with a return in every month. They are survivors: what is learned of them holds for
        stocks of which it was known beforehand that they would survive.
    incomplete_month : bool, default False
        Keep the last month of daily prices that stop more than a week before its end.

    Returns
    -------
    pandas.DataFrame of float64
        Month ends by tickers, every month in between, NaN where a return is unknown. ``attrs['report']`` is a
        dict of what was noticed and left out, with counts.

    Raises
    ------
    DataError
        For repeated dates, prices that are not positive, text among prices (row and column named), prices of
        mixed frequencies, or no return at all.
    ArgumentError
        For an empty range of dates.
    MissingExtraError
        If a package is needed to read the file.

    Notes
    -----
    Rows that are not in the order of dates are sorted, and counted. Dates with a time zone keep the date at
    the place itself: convert UTC stamps to the exchange's zone first. Dates of monthly prices that are not
    month ends count as their month's close.

    Examples
    --------
    >>> import pandas
    >>> from fastnn.datasets import monthly_returns
    >>> days = pandas.to_datetime(["2020-01-30", "2020-01-31", "2020-02-28", "2020-04-30", "2020-05-29"])
    >>> prices = pandas.DataFrame({"ABC": [9.0, 10.0, 11.0, 12.0, 15.0]}, index=days)
    >>> monthly_returns(prices)["ABC"].round(2).tolist()
    [0.1, nan, nan, 0.25]
    """
    where = "prices"
    if isinstance(prices, (str, Path)):
        where, prices = str(prices), read_file(prices, key)
    table, report = clean(prices, date=date, ticker=ticker, price=price, date_format=date_format, where=where)
    months, closes = month_closes(table, report, incomplete_month, where)
    if len(months) < 2:
        raise DataError(f"{where}: a return needs prices of two months. Received: {len(months)}.")
    returns = closes[1:] / closes[:-1] - 1.0
    frame = load_pandas("monthly_returns").DataFrame(
        returns, index=month_ends(months[1:]), columns=table.columns
    )
    report["months without a return: the first one"] = 1
    frame = _in_range(frame, months[1:], start, end, report, where)
    _count_gaps(frame, report, where)
    if balanced:
        frame = _balance(frame, report, where)
    frame.attrs["report"] = report
    return frame


def month_closes(
    table: Any, report: Report, incomplete_month: bool, where: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return every month from the first to the last, and each stock's last price within it."""
    dates, values = table.index, table.to_numpy()
    numbers = month_numbers(dates)
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    drop_last = _check_frequency(dates, numbers, starts, report, where) and not incomplete_month
    if drop_last:
        report[f"last month incomplete, left out: prices end on {day(dates[-1])}"] = 1
        dates, values, numbers, starts = (
            dates[: starts[-1]], values[: starts[-1]], numbers[: starts[-1]], starts[:-1],
        )  # fmt: skip
        if not len(starts):
            raise DataError(f"{where}: expected prices of a whole month. Received: {len(table):,} dates.")
    known = np.where(np.isnan(values), np.int32(-1), np.arange(len(values), dtype=np.int32)[:, None])
    last = np.maximum.reduceat(known, starts, axis=0)
    found = np.take_along_axis(values, np.maximum(last, 0).astype(np.intp), axis=0)
    found[last < 0] = np.nan
    _count_stale(dates, starts, last, report)
    months = np.arange(numbers[0], numbers[-1] + 1)
    closes = np.full((len(months), values.shape[1]), np.nan)
    closes[numbers[starts] - numbers[0]] = found
    empty = len(months) - len(starts)
    if empty:
        report["months without any price"] = empty
    return months, closes


def _check_frequency(
    dates: Any, numbers: NDArray[np.int64], starts: NDArray[np.int64], report: Report, where: str
) -> bool:
    """Check how many dates each month has; return whether the last month is not over."""
    counts = np.diff(starts, append=len(dates))
    last = starts + counts - 1
    early = days_to_month_end(dates[last])
    single = counts == 1
    if single.all():
        count = int((early > MONTH_END_DAYS).sum())
        if count:
            report["dates that are not month ends, taken as their month's close"] = count
        return False
    inner = np.ones(len(counts), bool)
    inner[[0, -1]] = False
    mixed = np.flatnonzero(single & inner & (early > MONTH_END_DAYS))
    if len(mixed):
        row = int(last[mixed[0]])
        raise DataError(
            f"{where}: mixed frequencies: some months have up to {counts.max()} dates, and "
            f"{len(mixed)} have one, "
            f"far from the month's end: row {row} after sorting ({day(dates[row])}). Expected "
            "daily closes, or one "
            "at each month's end."
        )
    if (single & inner).any():
        report["months with a month-end close only, beside months with several"] = int((single & inner).sum())
    return bool(early[-1] > INCOMPLETE_DAYS)


def _count_stale(dates: Any, starts: NDArray[np.int64], last: NDArray[np.int32], report: Report) -> None:
    """Count closes from well before the month's last date: the stock was not traded to its end."""
    days = dates.to_numpy().astype("datetime64[D]").astype(np.int64)
    final = np.append(starts[1:], len(days)) - 1
    stale = (last >= 0) & (days[final][:, None] - days[np.maximum(last, 0)] > INCOMPLETE_DAYS)
    if stale.any():
        report[f"closes more than {INCOMPLETE_DAYS} days older than the month's last date"] = int(stale.sum())


def _in_range(frame: Any, months: NDArray[np.int64], start: Any, end: Any, report: Report, where: str) -> Any:
    first, last = bounds(start, end)
    keep = np.ones(len(months), bool)
    if first is not None:
        keep &= months >= first
    if last is not None:
        keep &= months <= last
    if not keep.any():
        raise DataError(
            f"{where}: no return from {start} to {end}; there are returns from {day(frame.index[0])} to "
            f"{day(frame.index[-1])}."
        )
    if not keep.all():
        report["months outside start and end"] = int((~keep).sum())
    return frame[keep]


def _count_gaps(frame: Any, report: Report, where: str) -> None:
    """Count what is missing: before a stock's first return, after its last, and in between."""
    known = frame.notna().to_numpy()
    ever = known.any(axis=0)
    if not ever.any():
        raise DataError(
            f"{where}: no stock has prices in two consecutive months; are the prices quarterly or yearly?"
        )
    alive = known[:, ever]
    first, last = alive.argmax(axis=0), len(alive) - 1 - alive[::-1].argmax(axis=0)
    month = np.arange(len(alive))[:, None]
    inside = (month > first) & (month < last) & ~alive
    for name, count in (
        ("stocks without any return", int((~ever).sum())),
        ("stocks that start after the first month", int((first > 0).sum())),
        ("stocks that stop before the last month", int((last < len(alive) - 1).sum())),
        ("stocks with a gap between returns", int(inside.any(axis=0).sum())),
        ("missing returns within gaps", int(inside.sum())),
    ):
        if count:
            report[name] = count


def _balance(frame: Any, report: Report, where: str) -> Any:
    whole = frame.notna().all(axis=0).to_numpy()
    if not whole.any():
        raise DataError(
            f"{where}: no stock has a return in all {len(frame)} months; use balanced=False "
            "or a shorter range."
        )
    if not whole.all():
        report["stocks left out of the balanced panel: a month without a return"] = int((~whole).sum())
    return frame.loc[:, whole]
