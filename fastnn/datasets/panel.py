"""A table of monthly returns, checked and laid out for windows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.read import load_pandas
from fastnn.datasets.dates import Report, day, in_order, month_ends, month_numbers, to_dates
from fastnn.errors import DataError, DtypeError


def read_panel(returns: Any, lags: int, dtype: str) -> tuple[NDArray[Any], NDArray[np.int64], Any, Report]:
    """Return the panel (stocks, months), months newest first; its months in that order's reverse; tickers."""
    pandas = load_pandas("returns_windows")
    where = "returns"
    if isinstance(returns, pandas.Series):
        returns = returns.to_frame(returns.name if returns.name is not None else "stock")
    if not isinstance(returns, pandas.DataFrame):
        raise DtypeError(
            f"{where}: expected a DataFrame of monthly returns. Received: {type(returns).__name__}."
        )
    report: Report = dict(returns.attrs.get("report", {}))
    if not len(returns) or not returns.shape[1]:
        raise DataError(f"{where}: expected months and stocks. Received: a table of shape {returns.shape}.")
    if not isinstance(returns.index, (pandas.DatetimeIndex, pandas.PeriodIndex)):
        raise DataError(f"{where}: expected month ends as index. Received: {type(returns.index).__name__}.")
    for name, kind in zip(returns.columns, returns.dtypes, strict=True):
        if not pandas.api.types.is_float_dtype(kind):
            raise DataError(f"{where}, column {name!r}: expected returns. Received: {kind}.")
    tickers = pandas.Index(returns.columns)
    if not tickers.is_unique:
        raise DataError(
            f"{where}: expected each ticker once. Received: {tickers[tickers.duplicated()][0]!r}."
        )
    dates = to_dates(returns.index, f"{where}, dates", report)
    order = in_order(dates, f"{where}, dates", report)
    months = month_numbers(dates)[order]
    _check_months(months, lags, where)
    values = returns.to_numpy()
    if (order[:-1] > order[1:]).any():
        values = values[order]
    panel = np.empty(values.shape[::-1], dtype)
    panel[...] = values.T[:, ::-1]
    _check_values(panel, dates[order], tickers, where)
    return panel, months, tickers, report


def _check_months(months: NDArray[np.int64], lags: int, where: str) -> None:
    steps = np.diff(months)
    if (steps != 1).any():
        at = int(np.flatnonzero(steps != 1)[0])
        ends = [day(date) for date in month_ends(months[at : at + 2])]
        raise DataError(
            f"{where}: expected one row a month, without gaps. Received: {ends[0]}, then "
            f"{ends[1]}; fill the gap "
            "with rows of NaN, as monthly_returns does."
        )
    if len(months) < lags + 1:
        raise DataError(
            f"{where}: {lags} lags and a target need at least {lags + 1} months. Received: {len(months)}."
        )


def _check_values(panel: NDArray[Any], dates: Any, tickers: Any, where: str) -> None:
    """Refuse what cannot be a return, one row of the panel (a stock) at a time."""
    for stock, values in enumerate(panel):
        wrong = (values < -1) | np.isinf(values)
        if wrong.any():
            row = len(values) - 1 - int(np.flatnonzero(wrong)[-1])
            raise DataError(
                f"{where}, column {tickers[stock]!r}, row {row} ({day(dates[row])}): expected a "
                "return above -1. "
                f"Received: {values[::-1][row]:g}."
            )
    middle = np.nanmedian(np.abs(panel[: min(len(panel), 100)])) if not np.isnan(panel[:100]).all() else 0.0
    if middle > 1:
        raise DataError(
            f"{where}: half of the values are above {middle:.3g}: these look like prices or "
            "per cent. Expected "
            "returns such as 0.012; monthly_returns makes them of prices."
        )
