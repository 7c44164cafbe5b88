"""Transformers that learn from the training rows only: clipping outliers, standardising.

They derive from scikit-learn's base classes, so this module is imported when they are first used. What they
do to an array they also do to a :class:`fastnn.data.Gathered`, lazily: its rows are clipped and standardised
as they are put together, and come out with the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from fastnn.errors import ArgumentError, DataError, ShapeError
from fastnn.rows import Gathered, transform_numbers, transformed
from fastnn.serialization import check_bool, check_number

try:
    from sklearn.utils.validation import validate_data
except ImportError:  # before scikit-learn 1.6

    def validate_data(estimator: Any, X: Any, **options: Any) -> Any:
        """Check `X` as an estimator's input."""
        return estimator._validate_data(X, **options)


class _ColumnTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """What the two have in common: checks, and a transform of low, high, mean and scale a column."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _more_tags(self) -> dict[str, Any]:  # before scikit-learn 1.6
        return {"preserves_dtype": [np.float64, np.float32]}

    def _learn(self, X: Any, learn: Callable[[np.ndarray], Any]) -> list[Any]:
        """Apply a function to each column of `X`, shape (rows,)."""
        if not isinstance(X, Gathered):
            X = validate_data(self, X, dtype=(np.float64, np.float32))
            return [learn(np.ascontiguousarray(X[:, number])) for number in range(X.shape[1])]
        if not len(X):
            raise DataError(f"{type(self).__name__}: expected at least one row. Received: none.")
        self.n_features_in_ = X.shape[1]
        if X.columns is not None:
            self.feature_names_in_ = np.array(X.columns, object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_
        return [learn(self._finite(X, number)) for number in range(X.shape[1])]

    def _finite(self, X: Gathered, number: int) -> np.ndarray:
        """Return a column of a table in parts."""
        values = X.column(number)
        bad = ~np.isfinite(values)
        if bad.any():
            name = number if X.columns is None else repr(X.columns[number])
            raise DataError(
                f"{type(self).__name__}: every value must be finite. Received: {values[bad][0]} in column "
                f"{name}, first in row {int(np.flatnonzero(bad)[0])} ({int(bad.sum())} such values)."
            )
        return values

    def _apply(self, X: Any, **numbers: Any) -> Any:
        """Return `X` transformed: a new array, or a table in parts that will be."""
        check_is_fitted(self)
        given = {name: numbers.get(name) for name in ("low", "high", "mean", "scale")}
        if isinstance(X, Gathered):
            if X.shape[1] != self.n_features_in_:
                raise ShapeError(
                    f"{type(self).__name__}: expected {self.n_features_in_} columns, as fitted on. "
                    f"Received: {X.shape[1]}."
                )
            names = list(getattr(self, "feature_names_in_", X.columns or []))
            if X.columns is not None and names != X.columns:
                raise ArgumentError(
                    f"{type(self).__name__}: expected the columns fitted on, {names}. Received: {X.columns}."
                )
            return X.with_transform(**given)
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return transformed(np.array(X), transform_numbers(X.shape[1], X.dtype, given))


class Winsorizer(_ColumnTransformer):
    """Replaces values beyond two quantiles of the training rows by these quantiles, column by column.

    Parameters
    ----------
    lower, upper : float, default 0.01 and 0.99
        The quantiles, from 0 to 1, interpolated linearly.

    Attributes
    ----------
    low_, high_ : ndarray of float64, shape (columns,)
        The quantiles of each column.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (columns,)
        Where the training data had names.

    Raises
    ------
    ArgumentError
        From ``fit``, if the quantiles are not in order.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import Winsorizer
    >>> x = np.arange(101.0).reshape(-1, 1)
    >>> clip = Winsorizer().fit(x)
    >>> clip.low_, clip.high_
    (array([1.]), array([99.]))
    >>> clip.transform([[-5.0], [50.0], [1000.0]]).ravel()
    array([ 1., 50., 99.])
    """

    def __init__(self, lower: float = 0.01, upper: float = 0.99):
        self.lower = lower
        self.upper = upper

    def fit(self, X: Any, y: Any = None) -> Winsorizer:
        """Learn each column's quantiles.

        Parameters
        ----------
        X : array, DataFrame or Gathered, shape (rows, columns)
            Of a Gathered one column at a time is put together.
        y : object
            Not used.
        """
        where = type(self).__name__
        lower = check_number("lower", self.lower, where, 0.0)
        upper = check_number("upper", self.upper, where, 0.0)
        if not lower <= upper <= 1:
            raise ArgumentError(
                f"{where}: expected 0 <= lower <= upper <= 1. Received: lower={lower}, upper={upper}."
            )
        bounds = self._learn(X, lambda column: np.quantile(column.astype(np.float64), (lower, upper)))
        self.low_, self.high_ = np.array(bounds).T.copy()
        return self

    def transform(self, X: Any) -> Any:
        """Clip each column.

        Parameters
        ----------
        X : array, DataFrame or Gathered, shape (rows, columns)

        Returns
        -------
        ndarray of float64 or (from float32) float32, or Gathered
            A new array; a Gathered that clips its rows when they are read.
        """
        check_is_fitted(self)
        return self._apply(X, low=self.low_, high=self.high_)


class Standardizer(_ColumnTransformer):
    """Takes off each column's mean over the training rows and divides by its standard deviation.

    ``(x - mean) * (1 / scale)`` in the dtype of the data. A column that is constant in training is only
    centred: its scale is 1.

    Parameters
    ----------
    with_mean, with_std : bool, default True
        Whether to take off the mean; whether to divide.

    Attributes
    ----------
    mean_, scale_ : ndarray of float64, shape (columns,)
        Mean and standard deviation (over n, not n - 1) of each column; 0 and 1 where not used.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (columns,)
        Where the training data had names.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import Standardizer
    >>> Standardizer().fit_transform(np.array([[1.0, 5.0], [3.0, 5.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """

    def __init__(self, with_mean: bool = True, with_std: bool = True):
        self.with_mean = with_mean
        self.with_std = with_std

    def fit(self, X: Any, y: Any = None) -> Standardizer:
        """Learn each column's mean and standard deviation.

        Parameters
        ----------
        X : array, DataFrame or Gathered, shape (rows, columns)
            Of a Gathered one column at a time is put together.
        y : object
            Not used.
        """
        where = type(self).__name__
        centre = check_bool("with_mean", self.with_mean, where)
        divide = check_bool("with_std", self.with_std, where)
        found = self._learn(X, _mean_and_deviation)
        means, deviations = np.array(found).T
        self.mean_ = means.copy() if centre else np.zeros(len(found))
        self.scale_ = deviations.copy() if divide else np.ones(len(found))
        return self

    def transform(self, X: Any) -> Any:
        """Standardise each column.

        Parameters
        ----------
        X : array, DataFrame or Gathered, shape (rows, columns)

        Returns
        -------
        ndarray of float64 or (from float32) float32, or Gathered
            A new array; a Gathered that standardises its rows when they are read.
        """
        check_is_fitted(self)
        return self._apply(X, mean=self.mean_, scale=self.scale_)


def _mean_and_deviation(column: np.ndarray) -> tuple[float, float]:
    """Return them in float64; a constant's deviation as 1, not as the rounding of its mean."""
    values = column.astype(np.float64)
    if values.min() == values.max():
        return float(values[0]), 1.0
    return float(values.mean()), float(values.std())
