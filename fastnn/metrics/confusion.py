"""Precision, recall and F scores: metrics of counts of right and wrong decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError
from fastnn.metrics._arrays import (
    FloatArray,
    as_columns,
    check_binary,
    class_indices,
    is_sparse,
    one_hot,
    same_columns,
)
from fastnn.metrics.base import Metric, MetricValue


def label_matrix(y_true: NDArray[Any], y_pred: NDArray[Any], where: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give the targets as booleans (n, K) beside the predictions (n, K); class indices become one-hot."""
    if is_sparse(y_true, y_pred):
        return one_hot(class_indices(y_true, y_pred, where), y_pred.shape[1]), y_pred
    y_true, y_pred = same_columns(y_true, y_pred, where)
    return check_binary(y_true, where), y_pred


def _counts(mask: NDArray[np.bool_], weights: FloatArray | None) -> FloatArray:
    """Sum the weights of the true entries of each column."""
    if weights is None:
        return np.count_nonzero(mask, axis=0).astype(np.float64)
    return weights @ mask.astype(np.float64)


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Divide, with 0 for an empty whole."""
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.0)


class _ThresholdRatio(Metric):
    """What precision and recall share: the decisions, and their true positives."""

    direction = "max"
    config_keys = ("thresholds", "top_k", "class_id")

    def __init__(
        self,
        thresholds: float | Sequence[float] | None,
        top_k: int | None,
        class_id: int | None,
        name: str,
    ) -> None:
        super().__init__(name)
        default = 0.5 if top_k is None else -np.inf
        levels = np.atleast_1d(np.asarray(default if thresholds is None else thresholds, dtype=np.float64))
        if levels.ndim != 1 or levels.size == 0 or np.isnan(levels).any():
            raise ArgumentError(f"{name}: thresholds must be a number or numbers. Received: {thresholds!r}.")
        for key, value, low in (("top_k", top_k, 1), ("class_id", class_id, 0)):
            if value is not None and (
                isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < low
            ):
                raise ArgumentError(
                    f"{name}: {key} must be an integer of at least {low}. Received: {value!r}."
                )
        self.thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        self._levels = [float(level) for level in levels]

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        truth, scores = label_matrix(y_true, y_pred, self.name)
        allowed = self._top_k_mask(scores)
        columns = self._columns(scores.shape[1], is_sparse(y_true, y_pred))
        truth, scores, allowed = truth[:, columns], scores[:, columns], allowed[:, columns]
        values = []
        for level in self._levels:
            chosen = (scores > level) & allowed
            true_positives = _counts(truth & chosen, sample_weight).sum()
            whole = _counts(self._whole(truth, chosen), sample_weight).sum()
            values.append(float(_ratio(true_positives, whole)))
        return values[0] if len(values) == 1 else np.array(values)

    def _whole(self, truth: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell which entries the true positives are a share of."""
        raise NotImplementedError

    def _columns(self, count: int, sparse: bool) -> slice:
        if self.class_id is not None:
            if self.class_id >= count:
                raise ArgumentError(
                    f"{self.name}: class_id must be below the {count} outputs. Received: {self.class_id}."
                )
            return slice(self.class_id, self.class_id + 1)
        return slice(1, 2) if sparse and count == 2 and self.top_k is None else slice(None)

    def _top_k_mask(self, scores: NDArray[Any]) -> NDArray[np.bool_]:
        if self.top_k is None:
            return np.ones(scores.shape, dtype=bool)
        if self.top_k > scores.shape[1]:
            raise ArgumentError(
                f"{self.name}: top_k must not exceed the {scores.shape[1]} outputs. Received: {self.top_k}."
            )
        ascending = scores[:, ::-1].argsort(axis=1, kind="stable")  # ties go to the first column
        mask = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(mask, scores.shape[1] - 1 - ascending[:, -self.top_k :], True, axis=1)
        return mask

    def _undefined(self, y_pred: NDArray[Any]) -> MetricValue:
        return float("nan") if len(self._levels) == 1 else np.full(len(self._levels), np.nan)


class Precision(_ThresholdRatio):
    r"""Share of the positive decisions that are right.

    .. math:: \frac{\sum_i w_i \sum_k [\hat y_{ik} > t]\, y_{ik}}{\sum_i w_i \sum_k [\hat y_{ik} > t]}

    Parameters
    ----------
    thresholds : float or sequence of float, default 0.5
        Predictions above it, in the units of the output, are positive decisions. Several give
        an array with one value each. Use 0 for logits.
    top_k : int, optional
        Only the k highest predictions of a row can be positive; the threshold is then none
        unless given.
    class_id : int, optional
        Count this output column only. By default all columns are counted together; with integer
        targets and two outputs, class 1 only.
    name : str, default 'precision'
        Key in the history.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    ShapeError
        If ``y_true`` is neither of the shape of ``y_pred``, (n,) or (n, K), nor (n,) class indices.
    DataError
        If a target is not 0 or 1, or a class index out of range.

    Notes
    -----
    0 if there is no positive decision.

    Examples
    --------
    >>> from fastnn.metrics import Precision
    >>> Precision()([0, 1, 1, 1], [0.9, 0.2, 0.8, 0.4])
    0.5
    """

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str = "precision",
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name)

    def _whole(self, truth: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return chosen


class Recall(_ThresholdRatio):
    r"""Share of the positive targets that are found.

    .. math:: \frac{\sum_i w_i \sum_k [\hat y_{ik} > t]\, y_{ik}}{\sum_i w_i \sum_k y_{ik}}

    Parameters
    ----------
    thresholds : float or sequence of float, default 0.5
        Predictions above it, in the units of the output, are positive decisions. Several give
        an array with one value each. Use 0 for logits.
    top_k : int, optional
        Only the k highest predictions of a row can be positive; the threshold is then none
        unless given.
    class_id : int, optional
        Count this output column only. By default all columns are counted together; with integer
        targets and two outputs, class 1 only.
    name : str, default 'recall'
        Key in the history.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    ShapeError
        If ``y_true`` is neither of the shape of ``y_pred``, (n,) or (n, K), nor (n,) class indices.
    DataError
        If a target is not 0 or 1, or a class index out of range.

    Notes
    -----
    0 if there is no positive target.

    Examples
    --------
    >>> from fastnn.metrics import Recall
    >>> Recall()([0, 1, 1, 0], [0.9, 0.2, 0.8, 0.4])
    0.5
    """

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str = "recall",
    ) -> None:
        super().__init__(thresholds, top_k, class_id, name)

    def _whole(self, truth: NDArray[np.bool_], chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return truth


class FBetaScore(Metric):
    r"""Weighted harmonic mean of precision P and recall R.

    .. math::
        F_\beta = \frac{(1 + \beta^2)\,P R}{\beta^2 P + R}
                = \frac{(1 + \beta^2)\,TP}{(1 + \beta^2)\,TP + \beta^2 FN + FP}

    Parameters
    ----------
    average : {None, 'micro', 'macro', 'weighted'}, default None
        None gives an array with the score of each of K > 1 columns. 'micro' counts all columns
        together, 'macro' is the mean over columns, 'weighted' the mean weighted by the number of
        positive targets. A single column always gives a float.
    beta : float, default 1.0
        How much recall counts against precision.
    threshold : float, optional
        Predictions above it are positive decisions. By default the highest column of each row
        is the decision, and for a single column the threshold is 0.5.
    name : str, default 'fbeta_score'
        Key in the history.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    ShapeError
        If ``y_true`` is neither of the shape of ``y_pred``, (n,) or (n, K), nor (n,) class indices.
    DataError
        If a target is not 0 or 1, or a class index out of range.

    Notes
    -----
    A column without positive targets and decisions scores 0 and counts in 'macro', as in Keras.

    Examples
    --------
    >>> from fastnn.metrics import FBetaScore
    >>> round(FBetaScore(beta=2.0)([0, 1, 1, 0], [0.9, 0.2, 0.8, 0.4]), 6)
    0.5
    """

    direction = "max"
    config_keys: tuple[str, ...] = ("average", "beta", "threshold")

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
    ) -> None:
        super().__init__(name)
        if average not in (None, "micro", "macro", "weighted"):
            raise ArgumentError(
                f"{name}: average must be None, 'micro', 'macro' or 'weighted'. Received: {average!r}."
            )
        if not isinstance(beta, (int, float)) or not 0 < beta < np.inf:
            raise ArgumentError(f"{name}: beta must be a positive number. Received: {beta!r}.")
        if threshold is not None and (not isinstance(threshold, (int, float)) or not np.isfinite(threshold)):
            raise ArgumentError(f"{name}: threshold must be a finite number. Received: {threshold!r}.")
        self.average = average
        self.beta = float(beta)
        self.threshold = None if threshold is None else float(threshold)

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        truth, scores = label_matrix(y_true, y_pred, self.name)
        if scores.shape[1] > 1 and self.threshold is None:
            chosen = one_hot(scores.argmax(axis=1), scores.shape[1])
        else:
            chosen = scores > (0.5 if self.threshold is None else self.threshold)
        both = _counts(truth & chosen, sample_weight)
        positives = _counts(truth, sample_weight)
        decisions = _counts(chosen, sample_weight)
        if self.average == "micro":
            both, positives, decisions = (count.sum(keepdims=True) for count in (both, positives, decisions))
        square = self.beta**2
        score = _ratio((1.0 + square) * both, square * positives + decisions)
        if self.average == "weighted":
            return float(_ratio((score * positives).sum(), positives.sum()))
        return score if self.average is None and score.size > 1 else float(score.mean())

    def _undefined(self, y_pred: NDArray[Any]) -> MetricValue:
        columns = as_columns(y_pred).shape[1]
        return np.full(columns, np.nan) if self.average is None and columns > 1 else float("nan")


class F1Score(FBetaScore):
    r"""Harmonic mean of precision P and recall R.

    .. math:: F_1 = \frac{2 P R}{P + R} = \frac{2\,TP}{2\,TP + FN + FP}

    Parameters
    ----------
    average : {None, 'micro', 'macro', 'weighted'}, default None
        None gives an array with the score of each of K > 1 columns. 'micro' counts all columns
        together, 'macro' is the mean over columns, 'weighted' the mean weighted by the number of
        positive targets. A single column always gives a float.
    threshold : float, optional
        Predictions above it are positive decisions. By default the highest column of each row
        is the decision, and for a single column the threshold is 0.5.
    name : str, default 'f1_score'
        Key in the history.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    ShapeError
        If ``y_true`` is neither of the shape of ``y_pred``, (n,) or (n, K), nor (n,) class indices.
    DataError
        If a target is not 0 or 1, or a class index out of range.

    Notes
    -----
    The strings 'f1' and 'f1_score' stand for ``average='macro'``, so that the history holds one
    number. A column without positive targets and decisions scores 0 and counts in 'macro'.

    Examples
    --------
    >>> from fastnn.metrics import F1Score
    >>> F1Score()([0, 1, 1, 0], [0.9, 0.2, 0.8, 0.4])
    0.5
    >>> F1Score()([0, 1, 2], [[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.2, 0.1, 0.7]])
    array([1., 1., 1.])
    """

    config_keys = ("average", "threshold")

    def __init__(
        self, average: str | None = None, threshold: float | None = None, name: str = "f1_score"
    ) -> None:
        super().__init__(average, 1.0, threshold, name)
