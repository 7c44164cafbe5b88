"""A user's function as a metric."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError, ShapeError
from fastnn.metrics._arrays import FloatArray
from fastnn.metrics.base import Metric, MetricValue


class FunctionMetric(Metric):
    """A metric made from a function ``f(y_true, y_pred)``.

    The function gets whole arrays, as they were given. It returns either one value per row,
    shape (n,), of which the (weighted) mean is taken, or the metric itself, a scalar. With row
    weights a scalar function must accept a `sample_weight` argument, as scikit-learn's do.

    Parameters
    ----------
    fn : callable
        ``f(y_true, y_pred)`` or ``f(y_true, y_pred, sample_weight=None)``.
    name : str, optional
        Key in the history; the function's name by default.
    direction : {'max', 'min'}, optional
        Which way is better. By default ``fn.direction`` if there is one, else unknown.

    Raises
    ------
    ArgumentError
        If `fn` is not callable or `direction` is not known; when called, if weights are given
        and the function returns a scalar without taking them.
    ShapeError
        When called, if the function returns neither a scalar nor one value per row.

    Examples
    --------
    >>> from fastnn.metrics import FunctionMetric
    >>> def bias(y_true, y_pred):
    ...     return y_pred - y_true
    >>> FunctionMetric(bias)([1.0, 2.0], [1.5, 2.0])
    0.25
    """

    config_keys = ("fn", "direction")

    def __init__(self, fn: Callable[..., Any], name: str | None = None, direction: str | None = None) -> None:
        if not callable(fn):
            raise ArgumentError(f"FunctionMetric: fn must be callable. Received: {fn!r}.")
        direction = getattr(fn, "direction", None) if direction is None else direction
        if direction not in (None, "max", "min"):
            raise ArgumentError(
                f"FunctionMetric: direction must be 'max', 'min' or None. Received: {direction!r}."
            )
        default = getattr(fn, "__name__", type(fn).__name__).strip("<>")
        super().__init__(default if name is None else name)
        self.fn = fn
        self.direction = direction
        try:
            self._takes_weight = "sample_weight" in inspect.signature(fn).parameters
        except (TypeError, ValueError):  # a built-in without a signature
            self._takes_weight = False

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        if sample_weight is not None and self._takes_weight:
            value = np.asarray(self.fn(y_true, y_pred, sample_weight=sample_weight), dtype=np.float64)
            sample_weight = None
        else:
            value = np.asarray(self.fn(y_true, y_pred), dtype=np.float64)
        if value.ndim == 0:
            if sample_weight is not None:
                raise ArgumentError(
                    f"{self.name}: to be weighted, the function must return one value per row or take "
                    "sample_weight. Received: a scalar."
                )
            return float(value)
        if value.shape not in ((len(y_pred),), (len(y_pred), 1)):
            raise ShapeError(
                f"{self.name}: the function must return a scalar or one value per row, shape "
                f"({len(y_pred)},). Received: shape {value.shape}."
            )
        return float(np.average(value.reshape(-1), weights=sample_weight))
