"""Where prices come from: files, and real prices that packages on PyPI carry."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastnn.data.read import load_pandas
from fastnn.datasets.prices import clean, read_file
from fastnn.errors import DataError, missing_extra


def load_prices(
    path: str | Path,
    *,
    key: str | None = None,
    date: str | None = None,
    ticker: str | None = None,
    price: str | None = None,
    date_format: str | None = None,
) -> Any:
    """Read prices from a file, wide or long, and check them.

    Parameters
    ----------
    path : str or Path
        ``.csv``, ``.tsv`` (either also with ``.gz``), ``.parquet``, ``.pq``, ``.h5``, ``.hdf`` or ``.hdf5``.
    key : str, optional
        The table within an HDF5 file. HDF5 files can hold Python objects: read only those you trust.
    date, ticker, price, date_format : str, optional
        As in :func:`monthly_returns`.

    Returns
    -------
    pandas.DataFrame of float64
        Dates by tickers; ``attrs['report']`` is a dict of what was noticed.

    Raises
    ------
    OSError, ArgumentError, DataError, MissingExtraError
        If the file cannot be read, or its prices cannot be used: row and column are named.

    Notes
    -----
    Real prices that need no file come with the extra ``fastnn[data]``: :func:`load_stocks` (from skfolio,
    BSD-3-Clause) and :func:`load_sp500` (from great_tables, MIT, and skfolio).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastnn.datasets import load_prices
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "prices.csv"
    >>> _ = path.write_text("date,ABC,XYZ\\n2020-01-31,10,5\\n2020-02-28,11,\\n")
    >>> load_prices(path).shape
    (2, 2)
    """
    table, report = clean(
        read_file(path, key), date=date, ticker=ticker, price=price, date_format=date_format, where=str(path)
    )
    table.attrs["report"] = report
    return table


def load_stocks() -> Any:
    """Return daily prices of twenty large US stocks, 1990-01-02 to 2022-12-28.

    Split- and dividend-adjusted closes as they come with the package skfolio (BSD-3-Clause; the extra
    ``fastnn[data]``), which states Yahoo Finance as their source. The twenty were chosen for being large at
    the end: survivors, so their up share is flattering.

    Returns
    -------
    pandas.DataFrame of float64, shape (8313, 20)

    Raises
    ------
    MissingExtraError
        If skfolio is not installed.

    Examples
    --------
    >>> from fastnn.datasets import load_stocks, monthly_returns
    >>> monthly_returns(load_stocks()).shape
    (395, 20)
    """
    return load_prices(_packaged("skfolio", "sp500_dataset.csv.gz", "fastnn.datasets.load_stocks"))


def load_sp500() -> Any:
    """Return daily closes of the S&P 500, 1950-01-03 to 2022-12-28.

    To 1989 from the package great_tables (MIT), since 1990 from skfolio (BSD-3-Clause); both come with the
    extra ``fastnn[data]``. The index is without dividends.

    Returns
    -------
    pandas.DataFrame of float64, one column ``'SP500'``

    Raises
    ------
    MissingExtraError
        If skfolio or great_tables is not installed.

    Examples
    --------
    >>> from fastnn.datasets import load_sp500
    >>> load_sp500().loc[["1989-12-29", "1990-01-31"], "SP500"].tolist()
    [353.4, 329.08]
    """
    needed = "fastnn.datasets.load_sp500"
    recent = load_prices(_packaged("skfolio", "sp500_index.csv.gz", needed), price="SP500")
    older = load_prices(_packaged("great_tables", "*sp500.csv", needed), price="close")
    older = older.rename(columns={"close": "SP500"})
    joined = load_pandas(needed).concat([older[older.index < recent.index[0]], recent])
    joined.attrs["report"] = {
        "days from great_tables": len(joined) - len(recent), "days from skfolio": len(recent)
    }  # fmt: skip
    return joined


def _packaged(package: str, pattern: str, needed_for: str) -> Path:
    """Return a data file of an installed package, without importing it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise missing_extra(package, "data", needed_for)
    root = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(root.rglob(pattern))
    if not found:
        raise DataError(
            f"{needed_for}: expected a file {pattern!r} in the package {package!r}. Received: none."
        )
    return found[0]
