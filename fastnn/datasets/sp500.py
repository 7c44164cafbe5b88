"""Months of the S&P 500 beside their moving average, and the month that follows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.read import load_pandas
from fastnn.datasets.dates import Report, bounds, day, month_ends
from fastnn.datasets.prices import clean, read_file
from fastnn.datasets.returns import month_closes
from fastnn.datasets.sources import load_sp500
from fastnn.errors import ArgumentError, DataError


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class IndexMonths:
    """A month's normalised close and moving average, and the next month's normalised close.

    Attributes
    ----------
    X : ndarray of float64, shape (rows, 2)
        ``close`` and ``sma``, in standard deviations of their window.
    y : ndarray of float64, shape (rows,)
        The next month's ``close``.
    dates : pandas.DatetimeIndex
        The end of the *target's* month: what a row may be tested on starts there.
    returns : ndarray of float64, shape (rows,)
        The index's return over the target's month, for comparison.
    columns : list of str
    report : dict
        What was left out, with counts.
    """

    X: NDArray[np.float64]
    y: NDArray[np.float64]
    dates: Any
    returns: NDArray[np.float64]
    columns: list[str]
    report: Report

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        return f"IndexMonths({len(self)} rows x 2, {day(self.dates[0])} to {day(self.dates[-1])})"

    def loc(self, start: Any = None, end: Any = None) -> IndexMonths:
        """Return the rows with a target from `start` to `end`, labels that are both included.

        Examples
        --------
        >>> from fastnn.datasets import sp500_sma
        >>> len(sp500_sma().loc("1991", "2000"))
        120
        """
        first, last = bounds(start, end)
        months = self.dates.year * 12 + self.dates.month - 1
        keep = np.ones(len(self), bool)
        if first is not None:
            keep &= months >= first
        if last is not None:
            keep &= months <= last
        if not keep.any():
            raise DataError(
                f"No month from {start} to {end}: there are {day(self.dates[0])} to {day(self.dates[-1])}."
            )
        return dataclasses.replace(
            self, X=self.X[keep], y=self.y[keep], dates=self.dates[keep], returns=self.returns[keep]
        )

    def split(
        self, validation: Any = "1991", test: Any = "2001"
    ) -> tuple[IndexMonths, IndexMonths, IndexMonths]:
        """Return training rows (before `validation`), validation rows (before `test`) and test rows.

        Examples
        --------
        >>> from fastnn.datasets import sp500_sma
        >>> [len(part) for part in sp500_sma().split()]
        [252, 120, 240]
        """
        first, second = bounds(validation, None)[0], bounds(test, None)[0]
        if first is None or second is None or first >= second:
            raise ArgumentError(f"Validation must begin before the test. Received: {validation!r}, {test!r}.")
        before = month_ends(np.array([first - 1, second - 1]))
        return (
            self.loc(None, before[0]),
            self.loc(validation, before[1]),
            self.loc(test, None),
        )


def sp500_sma(
    window: int = 10,
    prices: Any = None,
    *,
    key: str | None = None,
    price: str | None = None,
    start: Any = "1970",
    end: Any = "2020",
) -> IndexMonths:
    """Make rows of the S&P 500's monthly closes and their simple moving average.

    With `c` the last close of a month and `w` the window: ``sma[t] = mean(c[t - w + 1 .. t])``. Close and
    average are each normalised by their own last `w` months, ``(c[t] - mean) / std``; the target is the next
    month's normalised close. All of it is known at the end of month `t`, but for the target.

    Parameters
    ----------
    window : int, default 10
        Months, at least 3.
    prices : Series, DataFrame of one column, str or Path, optional
        Daily or monthly closes; by default :func:`load_sp500`.
    key, price : str, optional
        The table within an HDF5 file; the column of closes, where there are several columns.
    start, end : str, int or date, default '1970' and '2020'
        First and last target month, both included.

    Returns
    -------
    IndexMonths
        With the defaults 612 rows; ``split()`` gives 252 to train on, 120 to validate, and 240 to test.

    Raises
    ------
    ArgumentError
        If `window` is below 3.
    DataError
        For several columns, gaps, closes that do not change within a window, or too few months.
    MissingExtraError
        If no `prices` are given and the extra ``[data]`` is not installed.

    Notes
    -----
    The target's window shares all but one of its months with the features' window, and the new close is in
    it. So most of what a model explains here is that overlap, not the future: compare ``returns``.

    Examples
    --------
    >>> from fastnn.datasets import sp500_sma
    >>> months = sp500_sma(window=10)
    >>> months
    IndexMonths(612 rows x 2, 1970-01-31 to 2020-12-31)
    """
    if not isinstance(window, (int, np.integer)) or isinstance(window, bool) or window < 3:
        raise ArgumentError(f"`window` must be a whole number of months >= 3. Received: {window!r}.")
    where = "prices"
    if prices is None:
        prices = load_sp500()
    elif isinstance(prices, (str, Path)):
        where, prices = str(prices), read_file(prices, key)
    table, report = clean(prices, price=price, where=where)
    if table.shape[1] != 1:
        raise DataError(f"{where}: expected one column of closes. Received: {', '.join(table.columns)}.")
    numbers, closes = month_closes(table, report, False, where)
    closes = closes[:, 0]
    if np.isnan(closes).any():
        gap = month_ends(numbers[np.isnan(closes)])[0]
        raise DataError(f"{where}: expected a close in each month. Received: none in {day(gap)[:7]}.")
    if len(closes) < 2 * window:
        raise DataError(
            f"{where}: a window of {window} months needs {2 * window} months. Received: {len(closes)}."
        )
    average = load_pandas("sp500_sma").Series(closes).rolling(window).mean().to_numpy()
    features = np.column_stack([_normalised(closes, window), _normalised(average, window)])
    rows = np.arange(2 * window - 2, len(closes) - 1)
    flat = ~np.isfinite(features[2 * window - 2 :]).all(axis=1)
    if flat.any():
        month = month_ends(numbers[2 * window - 2 :][flat])[0]
        raise DataError(f"{where}: the close does not change in the {window} months to {day(month)}.")
    report["first months, windows only"] = 2 * window - 1
    months = IndexMonths(
        features[rows],
        features[rows + 1, 0],
        month_ends(numbers[rows + 1]),
        closes[rows + 1] / closes[rows] - 1.0,
        ["close", "sma"],
        report,
    )
    chosen = months.loc(start, end)
    report["months outside start and end"] = len(months) - len(chosen)
    return chosen


def _normalised(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return each value less its window's mean, in its window's standard deviations (n - 1)."""
    windows = np.lib.stride_tricks.sliding_window_view(values, window)
    spread = windows.std(axis=1, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (windows[:, -1] - windows.mean(axis=1)) / spread
    return np.concatenate([np.full(window - 1, np.nan), found])
