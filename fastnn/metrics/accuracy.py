"""Accuracies: the share of rows (or elements) predicted right."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError
from fastnn.metrics._arrays import FloatArray, class_indices, class_scores, mismatch, same_columns
from fastnn.metrics.mean import MeanMetric


def _right(hits: NDArray[np.bool_], y_pred: NDArray[Any]) -> FloatArray:
    """Give hits (n,) or (n, k) as the row means, NaN for a row whose predictions hold a NaN."""
    values = hits.astype(np.float64) if hits.ndim == 1 else hits.mean(axis=1, dtype=np.float64)
    if y_pred.dtype.kind == "f":
        broken = np.isnan(y_pred)
        if broken.any():
            values[broken.any(axis=1)] = np.nan
    return values


def _one_hot_classes(y_true: NDArray[Any], y_pred: NDArray[Any], where: str) -> NDArray[np.intp]:
    if y_true.shape != class_scores(y_pred, y_true, where).shape:
        raise mismatch(y_true, y_pred, where, "one-hot y_true of the shape of y_pred")
    return y_true.argmax(axis=1)


def _in_top_k(classes: NDArray[np.intp], y_pred: NDArray[Any], k: int) -> NDArray[np.bool_]:
    own = np.take_along_axis(y_pred, classes[:, None], axis=1)
    return (y_pred > own).sum(axis=1) < k


def _check_k(k: int, where: str) -> int:
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ArgumentError(f"{where}: k must be a positive integer. Received: {k!r}.")
    return int(k)


class Accuracy(MeanMetric):
    r"""Share of predictions equal to the targets.

    .. math:: v_i = \frac1K \sum_k [\hat y_{ik} = y_{ik}]

    Parameters
    ----------
    name : str, default 'accuracy'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Notes
    -----
    The predictions are classes or values, not scores. In ``compile(metrics=['accuracy'])`` the
    string stands for the accuracy that suits the output and the targets; see
    `fastnn.metrics.resolve`.

    Examples
    --------
    >>> from fastnn.metrics import Accuracy
    >>> Accuracy()([1, 2, 3, 4], [0, 2, 3, 4])
    0.75
    """

    direction = "max"

    def __init__(self, name: str = "accuracy") -> None:
        super().__init__(name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        return _right(y_true == y_pred, y_pred)


class BinaryAccuracy(MeanMetric):
    r"""Share of thresholded predictions equal to targets of 0 and 1.

    .. math:: v_i = \frac1K \sum_k \big[[\hat y_{ik} > t] = y_{ik}\big]

    Parameters
    ----------
    name : str, default 'binary_accuracy'
        Key in the history.
    threshold : float, default 0.5
        Predictions above it, in the units of the output, count as 1. Use 0 for logits.

    Raises
    ------
    ArgumentError
        If `threshold` is not a finite number.
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Notes
    -----
    The comparison is made in the dtype of the predictions, as Keras does.

    Examples
    --------
    >>> from fastnn.metrics import BinaryAccuracy
    >>> BinaryAccuracy()([1, 1, 0, 0], [0.98, 1.0, 0.0, 0.6])
    0.75
    """

    direction = "max"
    kernel: str | None = "binary_accuracy"
    config_keys = ("threshold",)

    def __init__(self, name: str = "binary_accuracy", threshold: float = 0.5) -> None:
        super().__init__(name)
        if not isinstance(threshold, (int, float, np.number)) or not np.isfinite(threshold):
            raise ArgumentError(f"{name}: threshold must be a finite number. Received: {threshold!r}.")
        self.threshold = float(threshold)
        if self.threshold != 0.5:
            self.kernel = None

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        return _right((y_pred > self.threshold) == y_true, y_pred)


class CategoricalAccuracy(MeanMetric):
    r"""Share of rows whose highest score is at the highest target.

    .. math:: v_i = [\arg\max_k \hat y_{ik} = \arg\max_k y_{ik}]

    Parameters
    ----------
    name : str, default 'categorical_accuracy'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_true`` (one-hot) and ``y_pred`` (scores, probabilities or logits) do not both
        have shape (n, classes) with at least two classes.

    Examples
    --------
    >>> from fastnn.metrics import CategoricalAccuracy
    >>> CategoricalAccuracy()([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0.0]])
    0.5
    """

    direction = "max"
    kernel = "categorical_accuracy"

    def __init__(self, name: str = "categorical_accuracy") -> None:
        super().__init__(name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        classes = _one_hot_classes(y_true, y_pred, self.name)
        return _right(y_pred.argmax(axis=1) == classes, y_pred)


class SparseCategoricalAccuracy(MeanMetric):
    r"""Share of rows whose highest score is at the target class.

    .. math:: v_i = [\arg\max_k \hat y_{ik} = y_i]

    Parameters
    ----------
    name : str, default 'sparse_categorical_accuracy'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_true`` is not (n,) or (n, 1), or ``y_pred`` (scores, probabilities or logits) not
        (n, classes) with at least two classes.
    DataError
        If a target is not a whole number in [0, classes).

    Examples
    --------
    >>> from fastnn.metrics import SparseCategoricalAccuracy
    >>> SparseCategoricalAccuracy()([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0.0]])
    0.5
    """

    direction = "max"
    kernel = "sparse_categorical_accuracy"

    def __init__(self, name: str = "sparse_categorical_accuracy") -> None:
        super().__init__(name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        classes = class_indices(y_true, y_pred, self.name)
        return _right(y_pred.argmax(axis=1) == classes, y_pred)


class TopKCategoricalAccuracy(MeanMetric):
    r"""Share of rows whose target class is among the `k` highest scores.

    .. math:: v_i = \big[\#\{j : \hat y_{ij} > \hat y_{ic_i}\} < k\big], \quad c_i = \arg\max_j y_{ij}

    Parameters
    ----------
    k : int, default 5
        How many of the highest scores count; all rows are right if `k` reaches the classes.
    name : str, default 'top_k_categorical_accuracy'
        Key in the history.

    Raises
    ------
    ArgumentError
        If `k` is not a positive integer.
    ShapeError
        If ``y_true`` (one-hot) and ``y_pred`` do not both have shape (n, classes).

    Notes
    -----
    A target tied with the k-th highest score counts as among them.

    Examples
    --------
    >>> from fastnn.metrics import TopKCategoricalAccuracy
    >>> TopKCategoricalAccuracy(k=2)([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.5, 0.2, 0.3]])
    0.5
    """

    direction = "max"
    config_keys = ("k",)

    def __init__(self, k: int = 5, name: str = "top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = _check_k(k, name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        classes = _one_hot_classes(y_true, y_pred, self.name)
        return _right(_in_top_k(classes, y_pred, self.k), y_pred)


class SparseTopKCategoricalAccuracy(MeanMetric):
    r"""Share of rows whose integer target class is among the `k` highest scores.

    .. math:: v_i = \big[\#\{j : \hat y_{ij} > \hat y_{iy_i}\} < k\big]

    Parameters
    ----------
    k : int, default 5
        How many of the highest scores count; all rows are right if `k` reaches the classes.
    name : str, default 'sparse_top_k_categorical_accuracy'
        Key in the history.

    Raises
    ------
    ArgumentError
        If `k` is not a positive integer.
    ShapeError
        If ``y_true`` is not (n,) or (n, 1), or ``y_pred`` not (n, classes).
    DataError
        If a target is not a whole number in [0, classes).

    Notes
    -----
    A target tied with the k-th highest score counts as among them.

    Examples
    --------
    >>> from fastnn.metrics import SparseTopKCategoricalAccuracy
    >>> SparseTopKCategoricalAccuracy(k=2)([2, 1], [[0.1, 0.9, 0.8], [0.5, 0.2, 0.3]])
    0.5
    """

    direction = "max"
    config_keys = ("k",)

    def __init__(self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy") -> None:
        super().__init__(name)
        self.k = _check_k(k, name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        classes = class_indices(y_true, y_pred, self.name)
        return _right(_in_top_k(classes, y_pred, self.k), y_pred)
