"""Correlations over rows, in whole or by group: information coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError
from fastnn.metrics._arrays import FloatArray, IntArray, average_ranks, same_columns, spread
from fastnn.metrics.base import Metric, MetricValue


def pearson(x: FloatArray, y: FloatArray, weights: FloatArray | None, starts: IntArray) -> FloatArray:
    """Give the correlation of each segment of rows; NaN where x or y is constant or NaN."""
    size = len(x)
    mass = np.diff(starts, append=size) if weights is None else np.add.reduceat(weights, starts)

    def total(values: FloatArray) -> FloatArray:
        return np.add.reduceat(values if weights is None else weights * values, starts)

    dx = x - spread(total(x) / mass, starts, size)
    dy = y - spread(total(y) / mass, starts, size)
    value = total(dx * dy) / np.sqrt(total(dx * dx) * total(dy * dy))
    for z in (x, y):  # rounding of the mean must not make a constant correlate
        value[~(np.maximum.reduceat(z, starts) > np.minimum.reduceat(z, starts))] = np.nan
    return np.clip(value, -1.0, 1.0)


class PearsonCorrelation(Metric):
    r"""Pearson correlation of predictions and targets over the rows, in [-1, 1].

    .. math::
        r = \frac{\sum_i w_i (\hat y_i - \bar{\hat y})(y_i - \bar y)}
        {\sqrt{\sum_i w_i (\hat y_i - \bar{\hat y})^2 \, \sum_i w_i (y_i - \bar y)^2}}

    with weighted means. Of several columns, the mean of their correlations. Keras' metric of
    this name correlates along the last axis, which gives NaN for targets (n, 1).

    Parameters
    ----------
    name : str, default 'pearson_correlation'
        Key in the history.
    by_group : bool, default False
        Whether a trainer that knows groups (dates) should pass them. The value is then the mean
        over groups of the correlation within each; `per_group` gives the single values.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Notes
    -----
    NaN if predictions or targets are constant, or with fewer than two rows; such groups are
    left out of the mean over groups. Weights act within groups; groups count equally.

    Examples
    --------
    >>> from fastnn.metrics import PearsonCorrelation
    >>> round(PearsonCorrelation()([[1.0], [2.0], [3.0]], [[1.0], [3.0], [2.0]]), 6)
    0.5
    """

    direction = "max"
    config_keys: tuple[str, ...] = ("by_group",)

    def __init__(self, name: str = "pearson_correlation", by_group: bool = False) -> None:
        super().__init__(name)
        self.by_group = self.uses_groups = bool(by_group)

    def _transform(self, values: NDArray[Any], weights: FloatArray | None, starts: IntArray) -> FloatArray:
        return values.astype(np.float64)

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        return float(self._compute_groups(y_true, y_pred, sample_weight, np.zeros(1, dtype=np.intp))[0])

    def _compute_groups(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None, starts: IntArray
    ) -> FloatArray:
        pairs = zip(*(y.T for y in same_columns(y_true, y_pred, self.name)), strict=True)
        each = []
        for true, pred in pairs:
            x, y = (self._transform(z, sample_weight, starts) for z in (pred, true))
            value = pearson(x, y, sample_weight, starts)
            broken = np.isnan(true) | np.isnan(pred)
            if broken.any():
                value[np.logical_or.reduceat(broken, starts)] = np.nan
            each.append(value)
        return each[0] if len(each) == 1 else np.mean(each, axis=0)


class SpearmanCorrelation(PearsonCorrelation):
    r"""Spearman rank correlation of predictions and targets over the rows, in [-1, 1].

    The Pearson correlation of the ranks, where tied rows share their average rank. With weights
    a row counts as if repeated as often as its weight says, for its rank and in the correlation:

    .. math:: \mathrm{rank}_i = \sum_{j : y_j < y_i} w_j + \frac12 \Big(1 + \sum_{j : y_j = y_i} w_j\Big)

    Parameters
    ----------
    name : str, default 'spearman_correlation'
        Key in the history.
    by_group : bool, default False
        Whether a trainer that knows groups (dates) should pass them. The value is then the mean
        over groups of the correlation within each; `per_group` gives the single values.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Notes
    -----
    NaN if predictions or targets are constant, or with fewer than two rows; such groups are
    left out of the mean over groups.

    Examples
    --------
    >>> from fastnn.metrics import SpearmanCorrelation
    >>> SpearmanCorrelation()([1.0, 2.0, 30.0], [0.1, 0.2, 0.3])
    1.0
    """

    def __init__(self, name: str = "spearman_correlation", by_group: bool = False) -> None:
        super().__init__(name, by_group)

    def _transform(self, values: NDArray[Any], weights: FloatArray | None, starts: IntArray) -> FloatArray:
        return average_ranks(values, weights, starts)


class InformationCoefficient(PearsonCorrelation):
    """Information coefficient (IC): the Pearson correlation of forecasts and outcomes, by date.

    `PearsonCorrelation` that asks for groups: with ``groups=dates`` the mean over dates of the
    correlation across the rows of each date; without groups the correlation over all rows.

    Parameters
    ----------
    name : str, default 'information_coefficient'
        Key in the history.
    by_group : bool, default True
        Whether a trainer that knows groups should pass them.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Examples
    --------
    >>> from fastnn.metrics import InformationCoefficient
    >>> ic = InformationCoefficient()
    >>> returns, forecasts, dates = [1.0, 2.0, 5.0, 6.0], [0.1, 0.2, 0.9, 0.8], [1, 1, 2, 2]
    >>> ic(returns, forecasts, groups=dates)
    0.0
    >>> ic.per_group(returns, forecasts, dates)
    (array([1, 2]), array([ 1., -1.]))
    """

    def __init__(self, name: str = "information_coefficient", by_group: bool = True) -> None:
        super().__init__(name, by_group)


class RankInformationCoefficient(SpearmanCorrelation):
    """Rank information coefficient: the Spearman correlation of forecasts and outcomes, by date.

    `SpearmanCorrelation` that asks for groups: with ``groups=dates`` the mean over dates of the
    rank correlation across the rows of each date; without groups that over all rows.

    Parameters
    ----------
    name : str, default 'rank_information_coefficient'
        Key in the history.
    by_group : bool, default True
        Whether a trainer that knows groups should pass them.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Examples
    --------
    >>> from fastnn.metrics import RankInformationCoefficient
    >>> metric = RankInformationCoefficient()
    >>> metric([1.0, 2.0, 5.0, 6.0], [0.1, 0.2, 0.9, 0.8], groups=[1, 1, 2, 2])
    0.0
    """

    def __init__(self, name: str = "rank_information_coefficient", by_group: bool = True) -> None:
        super().__init__(name, by_group)


class InformationRatio(Metric):
    r"""Information ratio of the IC (ICIR): its mean over groups in units of its own deviation.

    .. math:: \mathrm{ICIR} = \bar r \Big/ \sqrt{\frac{1}{G - 1} \sum_g (r_g - \bar r)^2}

    with the correlations :math:`r_g` within the G groups (dates) where they are defined. Not
    annualised: multiply by the root of the number of dates per year.

    Parameters
    ----------
    rank : bool, default False
        Use the Spearman instead of the Pearson correlation.
    name : str, default 'icir'
        Key in the history.

    Raises
    ------
    ArgumentError
        If called without groups.
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Notes
    -----
    NaN with fewer than two groups, or if all have the same correlation.

    Examples
    --------
    >>> from fastnn.metrics import InformationRatio
    >>> y_true, y_pred = [1.0, 2.0, 3.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 1.0, 3.0, 2.0]
    >>> round(InformationRatio()(y_true, y_pred, groups=[1, 1, 1, 2, 2, 2]), 6)
    2.12132
    """

    direction = "max"
    uses_groups = True
    config_keys = ("rank",)

    def __init__(self, rank: bool = False, name: str = "icir") -> None:
        super().__init__(name)
        self.rank = bool(rank)
        self._correlation = SpearmanCorrelation(name) if rank else PearsonCorrelation(name)

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        raise ArgumentError(f"{self.name}: needs groups, the date of each row. Received: None.")

    def _compute_groups(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None, starts: IntArray
    ) -> FloatArray:
        return self._correlation._compute_groups(y_true, y_pred, sample_weight, starts)

    def _merge_groups(self, values: FloatArray) -> MetricValue:
        defined = values[~np.isnan(values)]
        if len(defined) < 2 or (defined == defined[0]).all():
            return float("nan")
        return float(defined.mean() / defined.std(ddof=1))
