"""Windows of lagged returns: features that are views of one panel, with a date and a ticker for each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from fastnn.data.read import load_pandas
from fastnn.datasets.dates import Report, bounds, day, month_ends
from fastnn.datasets.panel import read_panel
from fastnn.errors import ArgumentError, DataError
from fastnn.rows import Gathered, Part

TARGETS = ("sign", "value")
ENCODINGS = (None, "onehot", "codes")
#: The quantiles of a lag's values that the chapter clips at.
CLIP = (0.01, 0.99)
#: Rows whose targets are read at a time.
CHUNK = 65_536
#: What is wrong with the chapter's table.
CHAPTER_FAULTS = (
    "fault: lags clipped at quantiles of all rows, test rows included",
    "fault: the earliest window of each stock left out (n - T - 1 windows, not n - T)",
    "fault: stocks with a return in every month only (survivors)",
    "fault: year and month together tell the rows of one month apart; a random split shares months",
)


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Windows:
    """Rows of lagged returns and what followed them.

    Attributes
    ----------
    X : Gathered, shape (rows, features)
        Read by ``fit``, ``evaluate`` and ``predict`` as it is; ``numpy.asarray(X)`` is the whole table.
    y : ndarray, shape (rows,)
        int8, 1 where the target month's return is above zero; or the return itself.
    codes : dict of str to ndarray of int32, shape (rows,)
        For embeddings: of the target's year, month or ticker, where ``'codes'`` were asked for.
    levels : dict of str to list
        What the codes stand for: ``levels['ticker'][codes['ticker'][row]]``.
    report : dict
        What was left out and why, with counts.
    """

    X: Gathered
    y: NDArray[Any]
    codes: dict[str, NDArray[np.int32]]
    levels: dict[str, list[Any]]
    report: Report
    _months: NDArray[np.int64]
    _tickers: Any

    @property
    def columns(self) -> list[str]:
        """Names of the features."""
        return self.X.columns or []

    @property
    def _target(self) -> NDArray[np.int32]:
        """Where each row's target stands in the flat panel: before its lags, since months run backwards."""
        return self.X.parts[0].index - np.int32(1)

    @property
    def dates(self) -> Any:
        """The target month's last day, a row: a DatetimeIndex, made when asked for."""
        return month_ends(self._months)[len(self._months) - 1 - self._target % len(self._months)]

    @property
    def ticker_codes(self) -> NDArray[np.int32]:
        """The number of each row's stock."""
        return self._target // np.int32(len(self._months))

    @property
    def tickers(self) -> Any:
        """The name of each row's stock: a Categorical, made when asked for."""
        return load_pandas("Windows").Categorical.from_codes(self.ticker_codes, self._tickers)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, rows: Any) -> Windows:
        """Return a selection of rows: a slice, a mask or row numbers. The panel is shared."""
        if isinstance(rows, (int, np.integer)):
            raise ArgumentError(
                f"Rows of windows are chosen by a slice, mask or numbers. Received: {rows!r}."
            )
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            if rows.dtype == bool and rows.shape != (len(self),):
                raise ArgumentError(f"A mask of windows needs {len(self):,} values. Received: {rows.shape}.")
        return dataclasses.replace(
            self,
            X=self.X[rows],
            y=self.y[rows],
            codes={name: codes[rows] for name, codes in self.codes.items()},
        )

    def __repr__(self) -> str:
        span = f", {day(self.dates.min())} to {day(self.dates.max())}" if len(self) else ""
        return f"Windows({len(self):,} rows x {self.X.shape[1]} features{span})"

    def table(self) -> Any:
        """Return the rows as a DataFrame: the target, then the features; indexed by ticker and date.

        This is the table in full: as many times the panel's memory as there are lags.
        """
        pandas = load_pandas("Windows.table")
        index = pandas.MultiIndex.from_arrays([self.tickers, self.dates], names=["ticker", "date"])
        frame = pandas.DataFrame(np.asarray(self.X), index=index, columns=self.columns)
        frame.insert(0, "label" if self.y.dtype == np.int8 else "target", self.y)
        for name in set(self.codes) - {"ticker"}:
            frame[name] = pandas.Categorical.from_codes(self.codes[name], self.levels[name])
        return frame


def returns_windows(
    returns: Any,
    lags: int = 24,
    *,
    target: str = "sign",
    year: str | None = None,
    month: str | None = None,
    ticker: str | None = None,
    start: Any = None,
    end: Any = None,
    dtype: str = "float32",
    faults: str | None = None,
) -> Windows:
    """Build a row for each stock and month: the returns of the months before, and what the month brought.

    The lags of row `i` are ``r[t - 1], r[t - 2], ..., r[t - lags]``, newest first, read from one copy of the
    panel when a batch is gathered; ``r[t]`` is the target. Nothing is clipped or scaled: do that with
    :class:`fastnn.data.Winsorizer` and :class:`fastnn.data.Standardizer`, fitted on training rows only.

    Parameters
    ----------
    returns : pandas.DataFrame
        Monthly returns, month ends by tickers, as from :func:`monthly_returns`; NaN where unknown.
    lags : int, default 24
    target : {'sign', 'value'}
        Whether the target month's return is above zero (int8), or the return.
    year, month, ticker : {None, 'onehot', 'codes'}
        Add the target's year, month or stock to the features, in one-hot form; or as whole numbers apart from
        them, in ``windows.codes``, for an embedding.
    start, end : str, int or date, optional
        First and last *target* month, both included; ``'2008'`` is the whole year.
    dtype : {'float32', 'float64'}
    faults : {None, 'chapter'}
        ``'chapter'`` makes the table of the book's chapter, mistakes included; see Notes.

    Returns
    -------
    Windows
        Rows in the order of dates, then tickers. Windows with a missing return are left out and counted in
        ``report``.

    Raises
    ------
    DataError
        For fewer months than ``lags + 1``, gaps or repetitions in the months, returns below -1 or infinite
        (row and column are named), or no complete window.
    ArgumentError, DtypeError

    Notes
    -----
    The chapter's table (236,455 x 45 from 2,489 stocks and 120 months) is the target, 24 lags clipped at the
    1 % and 99 % quantiles *of all rows*, and the year and the month in one-hot form; its loop stops one
    window early, and its stocks are those with a return in each month. With ``faults='chapter'`` that is what
    you get (ordered by ticker, then date), and each fault is in the report. ``windows.table()`` is the table
    itself.

    Examples
    --------
    >>> from fastnn.datasets import returns_windows, synthetic_panel
    >>> panel = synthetic_panel(stocks=50, months=60, seed=1)
    >>> windows = returns_windows(panel, lags=24, month="onehot")
    >>> windows
    Windows(1,800 rows x 36 features, 2002-01-31 to 2004-12-31)
    >>> train = windows[windows.dates <= "2003-12-31"]
    >>> len(train)
    1200
    """
    encodings = {"year": year, "month": month, "ticker": ticker}
    _check_options(lags, target, encodings, dtype, faults)
    panel, months, tickers, report = read_panel(returns, lags, dtype)
    if faults == "chapter":
        if start is not None or end is not None or ticker is not None or target != "sign":
            raise ArgumentError(
                "faults='chapter' is one table: give no `start`, `end`, `ticker` or `target`."
            )
        encodings = {"year": "onehot", "month": "onehot", "ticker": None}
        report |= dict.fromkeys(CHAPTER_FAULTS, True)
    chosen = _target_months(months, lags, start, end, faults, report)
    index, dates = _complete(panel, chosen, lags, report, by_ticker=faults == "chapter")
    if faults == "chapter" and len(index) < len(panel) * len(chosen):
        raise DataError("faults='chapter' needs a return of every stock in every month: use balanced=True.")
    y = _targets(panel.reshape(-1), index, target, report)
    parts = [_lag_part(panel, index, lags)]
    if faults == "chapter":
        parts = [_clipped(parts[0])]
    codes, levels = {}, {}
    for name, encoding in encodings.items():
        if encoding is None:
            continue
        numbers, labels = _category(name, months, tickers, chosen)
        rows = (index - np.int32(1)) // np.int32(len(months)) if name == "ticker" else dates
        if encoding == "onehot":
            parts.append(_onehot_part(name, numbers, labels, rows, dtype))
        else:
            codes[name], levels[name] = numbers[rows].astype(np.int32), labels
    report["rows"] = len(index)
    return Windows(Gathered(parts), y, codes, levels, report, months, tickers)


def _check_options(
    lags: Any, target: str, encodings: Mapping[str, str | None], dtype: str, faults: str | None
) -> None:
    if not isinstance(lags, (int, np.integer)) or isinstance(lags, bool) or lags < 1:
        raise ArgumentError(f"`lags` must be a whole number >= 1. Received: {lags!r}.")
    for name, value, known in (
        ("target", target, TARGETS),
        *((name, value, ENCODINGS) for name, value in encodings.items()),
        ("dtype", str(np.dtype(dtype)), ("float32", "float64")),
        ("faults", faults, (None, "chapter")),
    ):
        if value not in known:
            raise ArgumentError(
                f"`{name}` must be one of {', '.join(map(repr, known))}. Received: {value!r}."
            )


def _target_months(
    months: NDArray[np.int64], lags: int, start: Any, end: Any, faults: str | None, report: Report
) -> NDArray[np.int32]:
    """Return the numbers of the months that are targets, ascending."""
    chosen = np.arange(lags + (faults == "chapter"), len(months), dtype=np.int32)
    report["first months, lags only"] = lags
    first, last = bounds(start, end)
    keep = np.ones(len(chosen), bool)
    if first is not None:
        keep &= months[chosen] >= first
    if last is not None:
        keep &= months[chosen] <= last
    if not keep.any():
        ends = month_ends(months[[lags, -1]])
        raise DataError(
            f"No target month from {start} to {end}: with {lags} lags there are targets from "
            f"{day(ends[0])} to "
            f"{day(ends[1])}."
        )
    if not keep.all():
        report["target months outside start and end"] = int((~keep).sum())
    return chosen[keep]


def _complete(
    panel: NDArray[Any], chosen: NDArray[np.int32], lags: int, report: Report, by_ticker: bool
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return, a row, where its lags begin in the flat panel, and the number of its target month."""
    stocks, months = panel.shape
    if panel.size > np.iinfo(np.int32).max:
        raise DataError(f"A panel may have up to 2,147,483,647 cells. Received: {panel.size:,}.")
    stock = np.arange(stocks, dtype=np.int32) * np.int32(months)
    lag = np.int32(months) - chosen
    if by_ticker:
        first, dates = np.add.outer(stock, lag), np.broadcast_to(chosen, (stocks, len(chosen)))
    else:
        first, dates = np.add.outer(lag, stock), np.broadcast_to(chosen[:, None], (len(chosen), stocks))
    missing = np.isnan(panel)
    if not missing.any():
        return first.reshape(-1), dates.reshape(-1)
    counts = np.cumsum(np.pad(missing, ((0, 0), (1, 0))), axis=1, dtype=np.int32)
    newest = months - 1 - chosen
    no_target = missing[:, newest]
    no_lags = (counts[:, newest + lags + 1] > counts[:, newest + 1]) & ~no_target
    whole = ~(no_target | no_lags)
    if no_target.any():
        report["windows left out: no return in the target month"] = int(no_target.sum())
    if no_lags.any():
        report["windows left out: a return missing among the lags"] = int(no_lags.sum())
    if not whole.any():
        raise DataError(f"No stock has {lags + 1} returns in a row: there is no complete window.")
    keep = whole if by_ticker else whole.T
    return first[keep], dates[keep]


def _targets(flat: NDArray[Any], index: NDArray[np.int32], target: str, report: Report) -> NDArray[Any]:
    """Return what stands before each window in the panel, whose months run backwards."""
    y = np.empty(len(index), flat.dtype if target == "value" else np.int8)
    zeros = 0
    for first in range(0, len(index), CHUNK):
        rows = slice(first, first + CHUNK)
        values = flat[index[rows] - 1]
        zeros += int((values == 0).sum())
        y[rows] = values if target == "value" else values > 0
    if zeros and target == "sign":
        report["rows with a target return of exactly zero, labelled 0"] = zeros
    return y


def _lag_part(panel: NDArray[Any], index: NDArray[np.int32], lags: int) -> Part:
    """Return the windows as overlapping rows of the flat panel; those across two stocks are never read."""
    view = sliding_window_view(panel.reshape(-1), lags)
    return Part(view, index, columns=[f"lag_{lag}" for lag in range(1, lags + 1)])


def _clipped(part: Part) -> Part:
    """Return the lags clipped at quantiles of all their rows, as the chapter does."""
    rows = Gathered([part])
    low, high = np.array([np.quantile(rows.column(lag), CLIP) for lag in range(rows.shape[1])]).T
    return part.with_numbers(low, high, None, None)


def _category(
    name: str, months: NDArray[np.int64], tickers: Any, chosen: NDArray[np.int32]
) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the code of each month of the panel (of each stock), and what codes stand for."""
    if name == "ticker":
        return np.arange(len(tickers)), list(tickers)
    if name == "month":
        return months % 12, list(range(1, 13))
    first, last = (int(months[at]) // 12 for at in chosen[[0, -1]])
    return np.clip(months // 12 - first, 0, last - first), list(range(first, last + 1))


def _onehot_part(
    name: str, numbers: NDArray[np.int64], labels: list[Any], rows: NDArray[np.int32], dtype: str
) -> Part:
    """Return a column a label; the identity's rows are a view of one run of zeros around a one."""
    size = len(labels)
    run = np.zeros(2 * size - 1, dtype)
    run[size - 1] = 1
    step = run.strides[0]
    identity = as_strided(run[size - 1 :], (size, size), (-step, step), writeable=False)
    columns = [f"{name}_{label}" for label in labels]
    if np.array_equal(numbers, np.arange(size)):
        return Part(identity, rows, columns=columns)
    return Part(identity[numbers], rows, columns=columns)
