"""A synthetic panel of returns whose predictability is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastnn.data.read import load_pandas
from fastnn.datasets.dates import month_ends
from fastnn.errors import ArgumentError
from fastnn.random import generator

#: The node of the seed tree from which panels are drawn.
PANEL_STREAM = 0x5F5F0020
FIRST_MONTH = 2000 * 12


def synthetic_panel(
    stocks: int,
    months: int,
    signal: float = 0.04,
    seed: int = 0,
    *,
    volatility: float = 0.08,
    dtype: str = "float32",
) -> Any:
    """Draw monthly returns of which a known part can be predicted from the month before.

    Each stock's logarithmic return is a stationary first-order autoregression: ``log(1 + r[t]) = v z[t]``
    with ``z[t] = s z[t - 1] + sqrt(1 - s^2) e[t]``, where `v` is the volatility, `s` the signal and `e`
    standard normal and independent. So `s` is the correlation between the best prediction and what comes.

    Parameters
    ----------
    stocks, months : int
        100 million cells take 400 MB in float32, and little more while they are drawn.
    signal : float, default 0.04
        In [0, 1). No model's expected AUC for the sign of the next return is above :func:`linear_auc` of it,
        and the newest lag alone, as in a linear model, reaches it: 0.518 for 0.04.
    seed : int, default 0
    volatility : float, default 0.08
        Standard deviation of the logarithmic returns, a month.
    dtype : {'float32', 'float64'}

    Returns
    -------
    pandas.DataFrame, shape (months, stocks)
        Returns from 2000-01 on; ``attrs['auc']`` is the AUC of the best prediction.

    Raises
    ------
    ArgumentError
        If a size is below 1, `signal` is outside [0, 1), or `volatility` is not positive.

    Examples
    --------
    >>> from fastnn.datasets import synthetic_panel
    >>> panel = synthetic_panel(stocks=1000, months=120, signal=0.1)
    >>> panel.shape, round(panel.attrs["auc"], 3)
    ((120, 1000), 0.545)
    """
    for name, count in (("stocks", stocks), ("months", months)):
        if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count < 1:
            raise ArgumentError(
                f"synthetic_panel: `{name}` must be a whole number >= 1. Received: {count!r}."
            )
    _check_signal(signal)
    if not 0 < volatility < math.inf:
        raise ArgumentError(f"synthetic_panel: `volatility` must be positive. Received: {volatility!r}.")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ArgumentError(f"synthetic_panel: `dtype` must be float32 or float64. Received: {dtype!r}.")
    pandas = load_pandas("synthetic_panel")
    draw = generator(seed, PANEL_STREAM)
    panel = np.empty((months, stocks), dtype)
    for row in panel:
        draw.standard_normal(out=row, dtype=row.dtype.type)
    fresh = row.dtype.type(math.sqrt(1 - signal**2))
    for month in range(1, months):
        panel[month] *= fresh
        panel[month] += row.dtype.type(signal) * panel[month - 1]
    panel *= row.dtype.type(volatility)
    np.expm1(panel, out=panel)
    width = len(str(stocks - 1))
    frame = pandas.DataFrame(
        panel,
        index=month_ends(np.arange(FIRST_MONTH, FIRST_MONTH + months)),
        columns=pandas.Index([f"S{number:0{width}d}" for number in range(stocks)], name="ticker"),
        copy=False,
    )
    frame.attrs["auc"] = linear_auc(signal)
    return frame


def linear_auc(signal: float) -> float:
    """Return the AUC of a prediction for a sign, both normal and with a correlation of `signal`.

    ``AUC = 1/2 + (2 / pi) asin(signal / sqrt(2))``: of two independent pairs, one with a positive outcome and
    one with a negative one, the chance that the first has the higher prediction (Sheppard's orthant formula
    for three normal variables).

    Parameters
    ----------
    signal : float
        The correlation, in [0, 1).

    Raises
    ------
    ArgumentError
        If `signal` is outside [0, 1).

    Examples
    --------
    >>> from fastnn.datasets import linear_auc
    >>> round(linear_auc(0.05), 4)
    0.5225
    """
    _check_signal(signal)
    return 0.5 + 2.0 / math.pi * math.asin(signal / math.sqrt(2.0))


def _check_signal(signal: Any) -> None:
    if not 0 <= signal < 1:
        raise ArgumentError(f"`signal` must lie in [0, 1). Received: {signal!r}.")
