"""Exact areas under the ROC and precision-recall curves, by sorting."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError
from fastnn.metrics._arrays import (
    FloatArray,
    IntArray,
    check_binary,
    class_indices,
    is_sparse,
    one_hot,
    same_columns,
    spread,
    tie_blocks,
)
from fastnn.metrics.base import Metric, MetricValue


def areas(
    positive: NDArray[np.bool_],
    scores: NDArray[Any],
    weights: FloatArray | None,
    starts: IntArray,
    curve: str,
) -> FloatArray:
    """Give the area under the curve of each segment of rows.

    Rows are sorted by falling score and tied rows are taken together, as one step of the curve.
    ROC: the probability that a positive row scores above a negative one, a tie counting half.
    PR: the mean, over positive rows, of the precision at their score (average precision).
    """
    keys = -(scores if scores.dtype.kind == "f" else scores.astype(np.float64))
    order, blocks = tie_blocks(keys, starts)
    mass = np.ones(len(order)) if weights is None else weights[order]
    hits = mass * positive[order]
    if len(blocks) < len(order):
        hits, mass = np.add.reduceat(hits, blocks), np.add.reduceat(mass, blocks)
    misses = mass - hits
    first = np.searchsorted(blocks, starts)  # the first block of each segment
    positives, negatives = np.add.reduceat(hits, first), np.add.reduceat(misses, first)
    above = _cumulate(misses, first)
    if curve == "ROC":
        below = spread(negatives, first, len(misses)) - above + misses / 2.0
        part, whole = hits * below, positives * negatives
    else:
        found = _cumulate(hits, first)
        part, whole = hits * found / (found + above), positives
    area = np.add.reduceat(part, first) / np.where(whole > 0, whole, np.nan)
    return np.clip(area, 0.0, 1.0)


def _cumulate(values: FloatArray, first: IntArray) -> FloatArray:
    """Sum up to and including each entry, anew in each segment."""
    total = np.cumsum(values)
    if len(first) > 1:
        total -= spread((total - values)[first], first, len(values))
    return total


class AUC(Metric):
    r"""Exact area under the ROC or the precision-recall curve.

    .. math::
        \mathrm{ROC} = \frac{\sum_{i \in +, j \in -} w_i w_j \big([s_i > s_j] + \frac12 [s_i = s_j]\big)}
        {\sum_{i \in +} w_i \, \sum_{j \in -} w_j},
        \qquad
        \mathrm{PR} = \sum_n (R_n - R_{n-1}) P_n

    with scores s, and precision P and recall R at each distinct score in falling order. They
    equal scikit-learn's ``roc_auc_score`` and ``average_precision_score``; Keras approximates
    both with 200 thresholds. Both lie in [0, 1].

    Parameters
    ----------
    curve : {'ROC', 'PR'}, default 'ROC'
        Which curve.
    name : str, default 'auc'
        Key in the history.
    multi_label : bool, default False
        For outputs (n, K) with K > 1: the mean of the areas of the columns instead of, as in
        Keras, the area of all columns flattened together.
    from_logits : bool, default False
        Whether predictions are logits. Only integer targets with two outputs need it: then the
        score is the difference of the outputs. Elsewhere a sigmoid keeps the order of the
        scores, and so the area.
    by_group : bool, default False
        Whether a trainer that knows groups should pass them, to average the area over groups.
    **unsupported
        `num_thresholds`, `thresholds`, `summation_method`, `num_labels` and `label_weights` of
        Keras are refused: the exact area has no thresholds, and labels count equally.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    ShapeError
        If ``y_true`` is neither of the shape of ``y_pred``, (n,) or (n, K), nor (n,) class
        indices for K > 1 outputs.
    DataError
        If a target is not 0 or 1, or a class index out of range.

    Notes
    -----
    The ROC area is NaN if all rows are of one class, the PR area if none is positive. Integer
    targets with two outputs score class 1 by its output; with more outputs they are one-hot
    encoded. Time O(n log n).

    Examples
    --------
    >>> from fastnn.metrics import AUC
    >>> AUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    >>> round(AUC(curve="PR")([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    """

    direction = "max"
    config_keys: tuple[str, ...] = ("curve", "multi_label", "from_logits", "by_group")

    def __init__(
        self,
        curve: str = "ROC",
        name: str = "auc",
        *,
        multi_label: bool = False,
        from_logits: bool = False,
        by_group: bool = False,
        **unsupported: Any,
    ) -> None:
        super().__init__(name)
        if unsupported:
            raise ArgumentError(
                f"{name}: the area is exact and takes only curve, name, multi_label, from_logits and "
                f"by_group. Received: {', '.join(sorted(unsupported))}."
            )
        if curve not in ("ROC", "PR"):
            raise ArgumentError(f"{name}: curve must be 'ROC' or 'PR'. Received: {curve!r}.")
        self.curve = curve
        self.multi_label = bool(multi_label)
        self.from_logits = bool(from_logits)
        self.by_group = self.uses_groups = bool(by_group)

    def _compute(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None
    ) -> MetricValue:
        return float(self._compute_groups(y_true, y_pred, sample_weight, np.zeros(1, dtype=np.intp))[0])

    def _compute_groups(
        self, y_true: NDArray[Any], y_pred: NDArray[Any], sample_weight: FloatArray | None, starts: IntArray
    ) -> FloatArray:
        positive, scores = self._problem(y_true, y_pred)
        columns = scores.shape[1]
        if self.multi_label:
            each = [
                areas(positive[:, k], scores[:, k], sample_weight, starts, self.curve) for k in range(columns)
            ]
            values = np.mean(each, axis=0)
        else:
            weights = (
                sample_weight if sample_weight is None or columns == 1 else sample_weight.repeat(columns)
            )
            values = areas(positive.reshape(-1), scores.reshape(-1), weights, starts * columns, self.curve)
        broken = np.isnan(scores).any(axis=1)
        if broken.any():
            values[np.logical_or.reduceat(broken, starts)] = np.nan
        return values

    def _problem(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Give the targets as booleans and the scores, both (n, K)."""
        if is_sparse(y_true, y_pred):
            classes = class_indices(y_true, y_pred, self.name)
            if y_pred.shape[1] > 2 or self.multi_label:
                return one_hot(classes, y_pred.shape[1]), y_pred
            scores = (
                np.subtract(y_pred[:, 1:], y_pred[:, :1], dtype=np.float64)
                if self.from_logits
                else y_pred[:, 1:]
            )
            return classes[:, None] == 1, scores
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        return check_binary(y_true, self.name), y_pred


class ROCAUC(AUC):
    """Exact area under the ROC curve: `AUC` with ``curve='ROC'``.

    Parameters
    ----------
    name : str, default 'roc_auc'
        Key in the history.
    multi_label, from_logits, by_group : bool, default False
        As for `AUC`.

    Raises
    ------
    ArgumentError, ShapeError, DataError
        As for `AUC`.

    Examples
    --------
    >>> from fastnn.metrics import ROCAUC
    >>> ROCAUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """

    config_keys = ("multi_label", "from_logits", "by_group")

    def __init__(self, name: str = "roc_auc", **options: Any) -> None:
        super().__init__("ROC", name, **options)


class PRAUC(AUC):
    """Exact area under the precision-recall curve: `AUC` with ``curve='PR'``.

    Parameters
    ----------
    name : str, default 'pr_auc'
        Key in the history.
    multi_label, from_logits, by_group : bool, default False
        As for `AUC`.

    Raises
    ------
    ArgumentError, ShapeError, DataError
        As for `AUC`.

    Examples
    --------
    >>> from fastnn.metrics import PRAUC
    >>> round(PRAUC()([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 6)
    0.833333
    """

    config_keys = ("multi_label", "from_logits", "by_group")

    def __init__(self, name: str = "pr_auc", **options: Any) -> None:
        super().__init__("PR", name, **options)
