"""Metrics that are a mean of one value per row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError
from fastnn.metrics._arrays import FloatArray, IntArray, has_nan
from fastnn.metrics.base import Metric, MetricValue


class MeanMetric(Metric):
    r"""Base class of the metrics that are a mean of one value per row.

    .. math:: M = f\Big(\sum_i w_i v_i \Big/ \sum_i w_i\Big)

    with the row values :math:`v` from `row_values` and :math:`f` from `finish` (the identity
    unless overridden). `update_state` keeps only the two sums.

    Parameters
    ----------
    name : str
        Key of the metric in the training history.

    Attributes
    ----------
    kernel : str or None
        Name of the compiled accumulator that sums the same row values, if there is one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.metrics import MeanMetric
    >>> class MaxError(MeanMetric):
    ...     direction = "min"
    ...     def row_values(self, y_true, y_pred):
    ...         return np.abs(y_true - y_pred).max(axis=1)
    >>> MaxError("max_error")([[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.5], [4.0, 4.0]])
    0.75
    """

    kernel: str | None = None

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        """Give the value of each row, float64 (n,); the mean over the columns if there are several.

        Parameters
        ----------
        y_true, y_pred : ndarray of shape (n,) or (n, ...)
            Targets and predictions.

        Returns
        -------
        ndarray of shape (n,)
            NaN for a row whose prediction holds a NaN.

        Raises
        ------
        ShapeError
            If the shapes do not fit.
        """
        raise NotImplementedError(f"{type(self).__name__} must define row_values")

    def finish(self, mean: float) -> float:
        """Turn the mean of the row values into the metric."""
        return mean

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        total, weight = self._sums(y_true, y_pred, sample_weight)
        return self.finish(total / weight)

    def _compute_groups(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None, starts: IntArray
    ) -> FloatArray:
        values = self.row_values(y_true, y_pred)
        if sample_weight is None:
            means = np.add.reduceat(values, starts) / np.diff(starts, append=len(values))
        else:
            means = np.add.reduceat(sample_weight * values, starts) / np.add.reduceat(sample_weight, starts)
        return np.array([self.finish(float(mean)) for mean in means])

    def _sums(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], weights: FloatArray | None
    ) -> tuple[float, float]:
        values = self.row_values(y_true, y_pred)
        if weights is None:
            return float(values.sum()), float(len(values))
        return float((weights * values).sum()), float(weights.sum())

    def reset_state(self) -> None:
        """Forget the sums of `update_state`."""
        self._total, self._weight = 0.0, 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> None:
        """Add the row values of a batch to the sums; groups need all rows at once, so call the metric."""
        if groups is not None:
            raise ArgumentError(f"{self.name}: update_state keeps sums only; call the metric to use groups.")
        y_true, y_pred, weights, _ = self._check(y_true, y_pred, sample_weight)
        if has_nan(y_true) or has_nan(y_pred):
            total, weight = math.nan, 1.0
        else:
            with np.errstate(all="ignore"):
                total, weight = self._sums(y_true, y_pred, weights)
        self._total += total
        self._weight += weight

    def result(self) -> MetricValue:
        """Give the metric of all rows since the last reset; NaN without rows."""
        return self.finish(self._total / self._weight) if self._weight else float("nan")
