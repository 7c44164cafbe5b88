"""Regression metrics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError
from fastnn.metrics._arrays import FloatArray, as_columns, same_columns
from fastnn.metrics.base import Metric, MetricValue
from fastnn.metrics.mean import MeanMetric

SMALLEST_TARGET = 1e-7  # Keras' epsilon: what a target of 0 counts as in a percentage


def _column_mean(values: FloatArray) -> FloatArray:
    return values[:, 0] if values.shape[1] == 1 else values.mean(axis=1)


class MeanSquaredError(MeanMetric):
    r"""Mean squared error, in squared units of the target.

    .. math:: v_i = \frac1K \sum_k (\hat y_{ik} - y_{ik})^2

    Parameters
    ----------
    name : str, default 'mean_squared_error'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Examples
    --------
    >>> from fastnn.metrics import MeanSquaredError
    >>> MeanSquaredError()([1.0, 2.0], [1.5, 2.0])
    0.125
    """

    direction = "min"
    kernel = "mean_squared_error"

    def __init__(self, name: str = "mean_squared_error") -> None:
        super().__init__(name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        error = np.subtract(y_pred, y_true, dtype=np.float64)
        return _column_mean(np.square(error, out=error))


class RootMeanSquaredError(MeanSquaredError):
    r"""Root of the mean squared error, in units of the target.

    .. math:: \sqrt{\sum_i w_i v_i \Big/ \sum_i w_i}, \quad v_i = \frac1K \sum_k (\hat y_{ik} - y_{ik})^2

    Parameters
    ----------
    name : str, default 'root_mean_squared_error'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Examples
    --------
    >>> from fastnn.metrics import RootMeanSquaredError
    >>> RootMeanSquaredError()([0.0, 0.0], [3.0, 3.0])
    3.0
    """

    def __init__(self, name: str = "root_mean_squared_error") -> None:
        super().__init__(name)

    def finish(self, mean: float) -> float:
        return math.sqrt(mean)


class MeanAbsoluteError(MeanMetric):
    r"""Mean absolute error, in units of the target.

    .. math:: v_i = \frac1K \sum_k |\hat y_{ik} - y_{ik}|

    Parameters
    ----------
    name : str, default 'mean_absolute_error'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Examples
    --------
    >>> from fastnn.metrics import MeanAbsoluteError
    >>> MeanAbsoluteError()([1.0, 2.0], [1.5, 2.0])
    0.25
    """

    direction = "min"
    kernel = "mean_absolute_error"

    def __init__(self, name: str = "mean_absolute_error") -> None:
        super().__init__(name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        error = np.subtract(y_pred, y_true, dtype=np.float64)
        return _column_mean(np.abs(error, out=error))


class MeanAbsolutePercentageError(MeanMetric):
    r"""Mean absolute error relative to the target, in per cent.

    .. math:: v_i = \frac{100}{K} \sum_k \frac{|\hat y_{ik} - y_{ik}|}{\max(|y_{ik}|, 10^{-7})}

    Parameters
    ----------
    name : str, default 'mean_absolute_percentage_error'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Notes
    -----
    As in Keras the value is 100 times scikit-learn's, and the smallest divisor is 1e-7.

    Examples
    --------
    >>> from fastnn.metrics import MeanAbsolutePercentageError
    >>> MeanAbsolutePercentageError()([1.0, 2.0], [1.5, 2.0])
    25.0
    """

    direction = "min"

    def __init__(self, name: str = "mean_absolute_percentage_error") -> None:
        super().__init__(name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        error = np.abs(np.subtract(y_pred, y_true, dtype=np.float64))
        scale = np.maximum(np.abs(y_true.astype(np.float64)), SMALLEST_TARGET)
        return 100.0 * _column_mean(error / scale)


class MeanSquaredLogarithmicError(MeanMetric):
    r"""Mean squared difference of logarithms, for targets that are not negative; no unit.

    .. math:: v_i = \frac1K \sum_k \big(\ln(1 + \hat y^+_{ik}) - \ln(1 + y^+_{ik})\big)^2

    with :math:`y^+ = \max(y, 0)`.

    Parameters
    ----------
    name : str, default 'mean_squared_logarithmic_error'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Notes
    -----
    Negative values count as 0. Keras lifts them to 1e-7, which changes the value by less than
    its own rounding.

    Examples
    --------
    >>> from fastnn.metrics import MeanSquaredLogarithmicError
    >>> round(MeanSquaredLogarithmicError()([0.0, 1.0], [1.0, 1.0]), 6)
    0.240227
    """

    direction = "min"

    def __init__(self, name: str = "mean_squared_logarithmic_error") -> None:
        super().__init__(name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        logs = [np.log1p(np.maximum(y.astype(np.float64), 0.0)) for y in (y_true, y_pred)]
        return _column_mean((logs[1] - logs[0]) ** 2)


class R2Score(Metric):
    r"""Coefficient of determination: the share of the targets' variance that is predicted.

    .. math:: R^2 = 1 - \frac{\sum_i w_i (y_i - \hat y_i)^2}{\sum_i w_i (y_i - \bar y)^2}

    with the weighted mean :math:`\bar y`; adjusted for `p` regressors,
    :math:`1 - (1 - R^2)(n - 1)/(n - p - 1)`.

    Parameters
    ----------
    class_aggregation : {'uniform_average', 'variance_weighted_average', None}, default 'uniform_average'
        How the scores of several target columns become one; None gives an array (K,).
    num_regressors : int, default 0
        Number p of regressors for the adjusted score; 0 is the plain score.
    name : str, default 'r2_score'
        Key in the history.

    Raises
    ------
    ArgumentError
        If `class_aggregation` or `num_regressors` is not allowed.
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Notes
    -----
    NaN with fewer than two rows, or if n <= p + 1. For a constant target the score is 1 if all
    predictions are right, else 0, as in scikit-learn.

    Examples
    --------
    >>> from fastnn.metrics import R2Score
    >>> round(R2Score()([1.0, 4.0, 3.0], [2.0, 4.0, 4.0]), 6)
    0.571429
    """

    direction = "max"
    config_keys = ("class_aggregation", "num_regressors")

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
    ) -> None:
        super().__init__(name)
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ArgumentError(
                f"{name}: class_aggregation must be 'uniform_average', 'variance_weighted_average' "
                f"or None. Received: {class_aggregation!r}."
            )
        if isinstance(num_regressors, bool) or not isinstance(num_regressors, int) or num_regressors < 0:
            raise ArgumentError(
                f"{name}: num_regressors must be an integer of at least 0. Received: {num_regressors!r}."
            )
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        rows = len(y_true)
        if rows < max(2, self.num_regressors + 2):
            return self._undefined(y_pred)
        true = y_true.astype(np.float64)
        weight = np.ones((rows, 1)) if sample_weight is None else sample_weight[:, None]
        residual = (weight * np.subtract(true, y_pred, dtype=np.float64) ** 2).sum(axis=0)
        variance = (weight * (true - (weight * true).sum(axis=0) / weight.sum()) ** 2).sum(axis=0)
        variance[(y_true == y_true[0]).all(axis=0)] = 0.0
        scores = np.where(variance > 0, 1.0 - residual / variance, np.where(residual > 0, 0.0, 1.0))
        if self.class_aggregation == "variance_weighted_average" and variance.any():
            scores = np.array((variance * scores).sum() / variance.sum())
        elif self.class_aggregation is not None:
            scores = np.array(scores.mean())
        if self.num_regressors:
            scores = 1.0 - (1.0 - scores) * (rows - 1) / (rows - self.num_regressors - 1)
        return float(scores) if scores.ndim == 0 or scores.size == 1 else scores

    def _undefined(self, y_pred: NDArray[Any]) -> MetricValue:
        columns = as_columns(y_pred).shape[1]
        return np.full(columns, np.nan) if self.class_aggregation is None and columns > 1 else float("nan")
