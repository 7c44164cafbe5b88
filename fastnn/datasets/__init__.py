"""Data to learn from: circles, stock returns, the S&P 500, real prices and synthetic ones.

Tables are pandas': ``pip install 'fastnn[table]'``, or ``'fastnn[data]'`` with real prices.
"""

from fastnn.datasets.circles import Circles, circles
from fastnn.datasets.returns import monthly_returns
from fastnn.datasets.sources import load_prices, load_sp500, load_stocks
from fastnn.datasets.sp500 import IndexMonths, sp500_sma
from fastnn.datasets.synthetic import linear_auc, synthetic_panel
from fastnn.datasets.windows import Windows, returns_windows

__all__ = [
    "Circles", "IndexMonths", "Windows", "circles", "linear_auc", "load_prices", "load_sp500", "load_stocks",
    "monthly_returns", "returns_windows", "sp500_sma", "synthetic_panel",
]  # fmt: skip
