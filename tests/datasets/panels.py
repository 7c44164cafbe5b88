"""Real data beside the checkout, and small panels to break."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pandas = pytest.importorskip("pandas")
SHARED = Path(__file__).parents[3] / "shared" / "data"
STOCKS = SHARED / "us_stocks_panel_2007-12_2017-10.csv.gz"
INDEX = SHARED / "sp500_monthly.csv"
needs_shared_data = pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/data beside the checkout")


def monthly(values, start="2010-01", tickers=None):
    """Give a table of month ends by tickers."""
    values = np.asarray(values, float)
    values = values[:, None] if values.ndim == 1 else values
    dates = pandas.period_range(start, periods=len(values), freq="M").to_timestamp(how="end").normalize()
    return pandas.DataFrame(values, dates, tickers or [f"T{i}" for i in range(values.shape[1])])


def daily(start="2010-01-01", end="2010-12-31", stocks=2, seed=0):
    """Give a random walk on business days."""
    days = pandas.bdate_range(start, end)
    steps = np.random.default_rng(seed).normal(0, 0.01, (len(days), stocks))
    return pandas.DataFrame(100 * np.exp(steps.cumsum(0)), days, [f"T{i}" for i in range(stocks)])
