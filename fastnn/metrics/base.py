"""What every metric is: a function of whole arrays, and Keras' stateful protocol on top of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError, ShapeError
from fastnn.metrics._arrays import (
    FloatArray,
    IntArray,
    as_rows,
    check_groups,
    check_weights,
    has_nan,
    mismatch,
    sort_groups,
)

MetricValue = float | FloatArray


class Metric:
    """Base class of the metrics.

    Calling a metric computes its exact value in float64 from all rows at once::

        value = metric(y_true, y_pred, sample_weight=None, groups=None)

    With `groups` (one label per row, such as the row's date), the value is the mean over the
    groups of the metric within each group, every group counting once; groups in which the
    metric is undefined are left out.

    The same rules hold for all metrics:

    * ``(n,)`` and ``(n, 1)`` are the same shape; nothing else broadcasts.
    * A row of weight 0 is left out, whatever it holds.
    * No rows, or a NaN in a remaining row, give NaN. No NumPy warning escapes.

    A subclass sets `direction`, lists its constructor arguments in `config_keys` and writes
    ``_compute(y_true, y_pred, sample_weight)``, which gets checked arrays with at least one
    row and no NaN.

    Parameters
    ----------
    name : str
        Key of the metric in the training history.

    Attributes
    ----------
    name : str
    direction : {'max', 'min', None}
        Which way is better; None if unknown.
    uses_groups : bool
        Whether a trainer that knows the rows' groups should pass them.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    ShapeError
        If targets, predictions, weights or groups do not fit together.
    DtypeError
        If an array does not hold real numbers.
    DataError
        If labels are out of range, weights negative, or groups missing.

    Examples
    --------
    >>> from fastnn.metrics import MeanAbsoluteError
    >>> metric = MeanAbsoluteError()
    >>> metric([1.0, 2.0], [1.5, 2.0])
    0.25
    >>> metric.update_state([1.0], [1.5])
    >>> metric.update_state([2.0], [2.0])
    >>> metric.result()
    0.25
    """

    direction: str | None = None
    uses_groups: bool = False
    config_keys: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise ArgumentError(
                f"{type(self).__name__}: name must be a non-empty string. Received: {name!r}."
            )
        self.name = name
        self.reset_state()

    def __repr__(self) -> str:
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"

    # --- the value of whole arrays ---

    def __call__(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None
    ) -> MetricValue:
        """Compute the metric.

        Parameters
        ----------
        y_true, y_pred : array_like of shape (n,) or (n, ...)
            Targets and predictions.
        sample_weight : array_like of shape (n,), optional
            Weight of each row; 1 by default.
        groups : array_like of shape (n,), optional
            Group of each row, of any dtype that sorts; one group by default.

        Returns
        -------
        float
            The metric; an array for the few metrics asked for several values at once.
        """
        y_true, y_pred, weights, groups = self._check(y_true, y_pred, sample_weight, groups)
        if len(y_true) == 0 or has_nan(y_pred) or has_nan(y_true):
            return self._undefined(y_pred)
        with np.errstate(all="ignore"):
            if groups is None:
                return self._compute(y_true, y_pred, weights)
            return self._merge_groups(self._grouped(y_true, y_pred, weights, groups)[1])

    def per_group(
        self, y_true: Any, y_pred: Any, groups: Any, sample_weight: Any = None
    ) -> tuple[NDArray[Any], FloatArray]:
        """Compute the metric within each group.

        Parameters
        ----------
        y_true, y_pred, sample_weight : array_like
            As for calling the metric.
        groups : array_like of shape (n,)
            Group of each row.

        Returns
        -------
        labels : ndarray of shape (g,)
            The groups, sorted.
        values : ndarray of shape (g,)
            The metric within each; NaN where it is undefined or a row holds a NaN.
        """
        y_true, y_pred, weights, groups = self._check(y_true, y_pred, sample_weight, groups)
        if len(y_true) == 0:
            return groups, np.empty(0)
        with np.errstate(all="ignore"):
            return self._grouped(y_true, y_pred, weights, groups)

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        raise NotImplementedError(f"{type(self).__name__} must define _compute")

    def _compute_groups(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None, starts: IntArray
    ) -> FloatArray:
        """Compute the metric of each segment of rows; a subclass may do all at once."""
        slices = [slice(a, b) for a, b in zip(starts, [*starts[1:], len(y_true)], strict=True)]
        weights = [None if sample_weight is None else sample_weight[rows] for rows in slices]
        return np.array(
            [
                self._undefined(y_pred)
                if has_nan(y_true[rows]) or has_nan(y_pred[rows])
                else self._compute(y_true[rows], y_pred[rows], weight)
                for rows, weight in zip(slices, weights, strict=True)
            ]
        )

    def _undefined(self, y_pred: NDArray[Any]) -> MetricValue:
        """Give the value for no rows or rows with NaN; overridden where the value is an array."""
        return float("nan")

    def _merge_groups(self, values: FloatArray) -> MetricValue:
        """Average the groups in which the metric is defined."""
        defined = ~np.isnan(values)
        mean = np.where(defined, values, 0.0).sum(axis=0) / defined.sum(axis=0)
        return float(mean) if mean.ndim == 0 else mean

    def _grouped(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], weights: FloatArray | None, groups: NDArray[Any]
    ) -> tuple[NDArray[Any], FloatArray]:
        order, starts = sort_groups(groups)
        if order is not None:
            y_true, y_pred, groups = y_true[order], y_pred[order], groups[order]
            weights = None if weights is None else weights[order]
        return groups[starts], self._compute_groups(y_true, y_pred, weights, starts)

    def _check(
        self, y_true: Any, y_pred: Any, sample_weight: Any, groups: Any = None
    ) -> tuple[NDArray[Any], NDArray[Any], FloatArray | None, Any]:
        """Check what all metrics have in common, and leave out the rows of weight 0."""
        y_true = as_rows(y_true, "y_true", self.name)
        y_pred = as_rows(y_pred, "y_pred", self.name)
        rows = len(y_pred)
        if len(y_true) != rows:
            raise mismatch(y_true, y_pred, self.name, "as many rows in both")
        weights = None if sample_weight is None else check_weights(sample_weight, rows, self.name)
        groups = None if groups is None else check_groups(groups, rows, self.name)
        if weights is not None and not weights.all():
            kept = weights > 0
            y_true, y_pred, weights = y_true[kept], y_pred[kept], weights[kept]
            groups = None if groups is None else groups[kept]
        return y_true, y_pred, weights, groups

    # --- Keras' stateful protocol ---

    def reset_state(self) -> None:
        """Forget all rows seen by `update_state`."""
        self._seen: list[tuple[NDArray[Any], NDArray[Any], FloatArray | None, Any]] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None, groups: Any = None) -> None:
        """Add rows, copied; the arguments are those of calling the metric."""
        y_true, y_pred, weights, groups = self._check(y_true, y_pred, sample_weight, groups)
        if self._seen:
            first_true, first_pred, _, first_groups = self._seen[0]
            if first_true.shape[1:] != y_true.shape[1:] or first_pred.shape[1:] != y_pred.shape[1:]:
                raise ShapeError(
                    f"{self.name}: rows must keep their shape between updates; expected "
                    f"{first_true.shape[1:]} for y_true and {first_pred.shape[1:]} for y_pred. "
                    f"Received: {y_true.shape[1:]} and {y_pred.shape[1:]}."
                )
            if (first_groups is None) != (groups is None):
                raise ArgumentError(f"{self.name}: give groups in all updates or in none.")
        groups = None if groups is None else groups.copy()
        self._seen.append((y_true.copy(), y_pred.copy(), weights, groups))

    def result(self) -> MetricValue:
        """Give the metric of all rows since the last reset, as if they had come at once."""
        if not self._seen:
            return float("nan")
        trues, preds, weights, groups = zip(*self._seen, strict=True)
        weight = None
        if any(w is not None for w in weights):
            weight = np.concatenate(
                [np.ones(len(y)) if w is None else w for w, y in zip(weights, trues, strict=True)]
            )
        group = None if groups[0] is None else np.concatenate(groups)
        return self(np.concatenate(trues), np.concatenate(preds), weight, group)

    # --- configuration ---

    def get_config(self) -> dict[str, Any]:
        """Give the constructor arguments that make an equal metric."""
        return {"name": self.name, **{key: getattr(self, key) for key in self.config_keys}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Make the metric whose `get_config` gave `config`."""
        return cls(**config)
