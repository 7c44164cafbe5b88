"""Prices of any layout become one table: dates down, tickers across, every price positive or missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.read import load_pandas, read_table
from fastnn.datasets.dates import Report, day, in_order, to_dates
from fastnn.errors import ArgumentError, DataError, DtypeError, missing_extra, unknown_name

HDF_SUFFIXES = (".h5", ".hdf", ".hdf5")
DATE_NAMES = ("date", "datetime", "day", "month", "time", "timestamp")
TICKER_NAMES = ("ticker", "symbol", "asset", "stock", "name", "permno", "secid", "isin")
#: The best name first.
PRICE_NAMES = ("adj_close", "adjclose", "adj close", "adj_price", "close", "price", "prc", "last", "value")
OHLC = {"open", "high", "low", "close"}


def read_file(path: str | Path, key: str | None) -> Any:
    """Read a table of prices from CSV, Parquet or HDF5.

    Raises
    ------
    OSError, ArgumentError, DataError, MissingExtraError
    """
    path = Path(path)
    if not path.name.lower().endswith(HDF_SUFFIXES):
        if key is not None:
            raise ArgumentError(
                f"`key` names a table within an HDF5 file. Received: {key!r} for {path.name!r}."
            )
        return read_table(path)
    pandas = load_pandas(f"Reading {path.name}")
    with path.open("rb"):  # the system's own error for a file that is not there or not readable
        pass
    try:
        with pandas.HDFStore(str(path), mode="r") as store:
            keys = [name.lstrip("/") for name in store.keys()]  # noqa: SIM118 - no mapping
            if key is None and len(keys) != 1:
                raise ArgumentError(
                    f"{path}: give the `key` of one of its tables: {', '.join(keys) or 'none'}."
                )
            if key is not None and key.lstrip("/") not in keys:
                raise unknown_name("key", key, keys, str(path))
            return store[key or keys[0]]
    except ImportError:
        raise missing_extra("tables", "hdf", f"Reading {path.name}") from None
    except (OSError, RuntimeError) as error:  # what the package tables raises is a RuntimeError
        raise DataError(f"{path} cannot be read as HDF5: {str(error).strip().splitlines()[-1]}") from None


def clean(
    table: Any,
    *,
    date: str | None = None,
    ticker: str | None = None,
    price: str | None = None,
    date_format: str | None = None,
    where: str = "prices",
) -> tuple[Any, Report]:
    """Return prices as a table of dates by tickers, and what was noticed on the way.

    Parameters
    ----------
    table : pandas.DataFrame or pandas.Series
    date, ticker, price : str, optional
        Columns; found by their names where not given.
    date_format : str, optional
    where : str
        For messages.

    Returns
    -------
    prices : pandas.DataFrame of float64
        Dates ascending and unique, without time zone; prices positive or NaN.
    report : dict
    """
    pandas = load_pandas("Reading prices")
    if isinstance(table, pandas.Series):
        table = table.to_frame(table.name if table.name is not None else "price")
    if not isinstance(table, pandas.DataFrame):
        raise DtypeError(
            f"{where}: expected a DataFrame, a Series or a path. Received: {type(table).__name__}."
        )
    if table.columns.nlevels > 1:
        raise DataError(
            f"{where}: expected one level of column names. Received: {table.columns.nlevels} levels; "
            "select one field first, such as prices['Close']."
        )
    if not len(table):
        raise DataError(f"{where}: expected at least one row. Received: a table without rows.")
    report: Report = dict(table.attrs.get("report", {}))
    if table.index.nlevels > 1:
        table = _levels_as_columns(pandas, table, where)
    ticker = ticker if ticker is not None else _named(table, TICKER_NAMES)
    if ticker is not None:
        return _from_long(pandas, table, date, ticker, price, date_format, where, report), report
    return _from_wide(pandas, table, date, price, date_format, where, report), report


def _levels_as_columns(pandas: Any, table: Any, where: str) -> Any:
    """Turn the two levels of an index, dates and tickers in either order, into columns."""
    if table.index.nlevels != 2:
        raise DataError(
            f"{where}: expected an index of dates, or of dates and tickers. "
            f"Received: {table.index.nlevels} levels."
        )
    dates = [isinstance(level, (pandas.DatetimeIndex, pandas.PeriodIndex)) for level in table.index.levels]
    if None in table.index.names and sum(dates) == 1:
        table = table.rename_axis(["date", "ticker"] if dates[0] else ["ticker", "date"])
    return table.reset_index()


def _named(table: Any, names: tuple[str, ...]) -> Any:
    """Return the column with the first of these names, in any case; or None.

    A column with fractions is none of them: in a wide table, ``'DAY'`` and ``'NAME'`` are stocks.
    """
    spelled = {
        str(column).lower(): column
        for column, kind in zip(table.columns[::-1], table.dtypes.iloc[::-1], strict=True)
        if names is PRICE_NAMES or getattr(kind, "kind", "O") != "f"
    }
    return next((spelled[name] for name in names if name in spelled), None)


def _column(table: Any, name: Any, where: str) -> Any:
    if name not in table.columns:
        raise unknown_name("column", name, [str(column) for column in table.columns], where)
    found = table[name]
    if found.ndim > 1:
        raise DataError(f"{where}: column names must be unique. Received: {name!r} more than once.")
    return found


def _split_dates(pandas: Any, table: Any, date: Any, where: str) -> tuple[Any, Any]:
    """Return the dates as they were given, and the other columns."""
    if date is not None:
        return _column(table, date, where), table.drop(columns=date)
    if isinstance(table.index, (pandas.DatetimeIndex, pandas.PeriodIndex)):
        return table.index, table
    named = _named(table, DATE_NAMES)
    if named is not None:
        return _column(table, named, where), table.drop(columns=named)
    if not pandas.api.types.is_numeric_dtype(table.index):
        return table.index, table
    if str(table.index.name).lower() in DATE_NAMES:
        return table.index, table
    first = table.columns[0]
    if not pandas.api.types.is_numeric_dtype(table[first]):
        return table[first], table.drop(columns=first)
    raise DataError(
        f"{where}: no dates found: expected them in the index or in a column named {', '.join(DATE_NAMES)}. "
        f"Received: columns {', '.join(map(str, table.columns[:5]))}; give `date`."
    )


def _from_wide(
    pandas: Any, table: Any, date: Any, price: Any, date_format: str | None, where: str, report: Report
) -> Any:
    given, table = _split_dates(pandas, table, date, where)
    if price is not None:
        left_out = table.shape[1] - 1
        table = _column(table, price, where).to_frame()
        if left_out:
            report[f"columns left out beside {price!r}"] = left_out
    elif {str(name).lower() for name in table.columns} >= OHLC:
        raise DataError(
            f"{where}: columns {', '.join(map(str, table.columns))} look like one stock's, not like stocks. "
            "Choose one: price='Close' (or the adjusted close)."
        )
    if not table.shape[1]:
        raise DataError(f"{where}: expected a column of prices. Received: dates alone.")
    doubled = table.columns[table.columns.duplicated()]
    if len(doubled):
        raise DataError(f"{where}: column names must be unique. Received: {doubled[0]!r} more than once.")
    dates = to_dates(given, f"{where}, dates", report, date_format)
    values = np.empty(table.shape, np.float64)
    for position, name in enumerate(table.columns):
        values[:, position] = _numbers(pandas, table.iloc[:, position], f"{where}, column {name!r}", dates)
    _check_positive(values, dates, table.columns, where)
    order = in_order(dates, f"{where}, dates", report)
    columns = pandas.Index([str(name) for name in table.columns], name="ticker")
    return pandas.DataFrame(values[order], index=dates[order].rename("date"), columns=columns)


def _from_long(
    pandas: Any,
    table: Any,
    date: Any,
    ticker: Any,
    price: Any,
    date_format: str | None,
    where: str,
    report: Report,
) -> Any:
    names = _column(table, ticker, where)
    given, rest = _split_dates(pandas, table.drop(columns=ticker), date, where)
    if price is None:
        price = _price_column(pandas, rest, where)
    report["column of prices"] = str(price)
    if names.isna().any():
        raise DataError(
            f"{where}, column {ticker!r}: expected a ticker in every row. "
            f"Received: none in row {int(np.flatnonzero(names.isna())[0])}."
        )
    dates = to_dates(given, f"{where}, dates", report, date_format)
    values = _numbers(pandas, _column(rest, price, where), f"{where}, column {price!r}", dates)
    row, every_date = pandas.factorize(dates, sort=True)
    column, every_ticker = pandas.factorize(names.astype(str), sort=True)
    place = row.astype(np.int64) * len(every_ticker) + column
    _check_unique(place, dates, names, where)
    _check_positive(values[:, None], dates, [price], where, names)
    missing = int(np.isnan(values).sum())
    if missing:
        report["rows without a price"] = missing
    wide = np.full((len(every_date), len(every_ticker)), np.nan)
    wide.reshape(-1)[place] = values
    return pandas.DataFrame(
        wide,
        index=pandas.DatetimeIndex(every_date, name="date"),
        columns=pandas.Index(every_ticker, name="ticker", dtype=object),
    )


def _price_column(pandas: Any, rest: Any, where: str) -> Any:
    named = _named(rest, PRICE_NAMES)
    if named is not None:
        return named
    numeric = [name for name in rest.columns if pandas.api.types.is_numeric_dtype(rest[name])]
    if len(numeric) == 1:
        return numeric[0]
    raise DataError(
        f"{where}: which column holds the prices? Expected one named {', '.join(PRICE_NAMES)}. "
        f"Received: {', '.join(map(str, rest.columns))}; give `price`."
    )


def _numbers(pandas: Any, series: Any, where: str, dates: Any) -> NDArray[np.float64]:
    """Return a column's numbers; text that is none is named with its row."""
    if pandas.api.types.is_bool_dtype(series) or pandas.api.types.is_datetime64_any_dtype(series):
        raise DataError(f"{where}: expected prices. Received: {series.dtype}, such as {series.iloc[0]!r}.")
    if pandas.api.types.is_numeric_dtype(series):
        found: NDArray[np.float64] = series.to_numpy(np.float64, na_value=np.nan)
        return found
    numbers = pandas.to_numeric(series, errors="coerce")
    wrong = np.flatnonzero(numbers.isna().to_numpy() & series.notna().to_numpy())
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{where}, row {row} ({day(dates[row])}): expected a price. Received: {series.iloc[row]!r}"
            + (f", and text in {len(wrong) - 1:,} more rows." if len(wrong) > 1 else ".")
        )
    return np.asarray(numbers.to_numpy(np.float64))


def _check_positive(
    values: NDArray[np.float64], dates: Any, columns: Any, where: str, tickers: Any = None
) -> None:
    wrong = (values <= 0) | np.isinf(values)
    if not wrong.any():
        return
    row, column = (int(place) for place in np.argwhere(wrong)[0])
    of = columns[column] if tickers is None else tickers.iloc[row]
    more = int(wrong.sum()) - 1
    raise DataError(
        f"{where}, column {of!r}, row {row} ({day(dates[row])}): expected a positive price, or none (NaN). "
        f"Received: {values[row, column]:g}" + (f", and {more:,} more such prices." if more else ".")
    )


def _check_unique(place: NDArray[np.int64], dates: Any, names: Any, where: str) -> None:
    order = np.argsort(place, kind="stable")
    again = np.flatnonzero(np.diff(place[order]) == 0)
    if len(again):
        first, second = int(order[again[0]]), int(order[again[0] + 1])
        raise DataError(
            f"{where}, ticker {names.iloc[second]!r}: expected one price a date. Received: "
            f"{day(dates[second])} in rows {first} and {second}"
            + (f", and {len(again) - 1:,} more repeated rows." if len(again) > 1 else ".")
        )
