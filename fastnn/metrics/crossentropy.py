"""Cross-entropies, in nats."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError
from fastnn.metrics._arrays import FloatArray, class_indices, class_scores, is_sparse, mismatch, same_columns
from fastnn.metrics.confusion import label_matrix
from fastnn.metrics.mean import MeanMetric

EPSILON = 1e-7  # Keras' epsilon: the smallest probability its cross-entropies see


def _check_smoothing(label_smoothing: float, where: str) -> float:
    if not isinstance(label_smoothing, (int, float)) or not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"{where}: label_smoothing must lie in [0, 1]. Received: {label_smoothing!r}.")
    return float(label_smoothing)


def _log_probabilities(y_pred: NDArray[Any], from_logits: bool) -> FloatArray:
    """Give the logarithms of the class probabilities (n, C), clipped as Keras does unless logits."""
    scores = y_pred.astype(np.float64)
    if from_logits:
        scores -= scores.max(axis=1, keepdims=True)
        return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    return np.log(np.clip(scores / scores.sum(axis=1, keepdims=True), EPSILON, 1.0 - EPSILON))


class LogLoss(MeanMetric):
    r"""Mean negative log-likelihood of the target classes, in nats; scikit-learn's ``log_loss``.

    .. math:: v_i = -\ln \hat p_{i y_i}, \quad \hat p = \min(\max(\hat y, \epsilon), 1 - \epsilon)

    For outputs (n,) or (n, 1) the prediction is the probability of class 1.

    Parameters
    ----------
    name : str, default 'log_loss'
        Key in the history.

    Raises
    ------
    ShapeError
        If ``y_pred`` is (n, C) and ``y_true`` is neither (n,) class indices nor one-hot (n, C),
        or ``y_pred`` is (n,) or (n, 1) and ``y_true`` is neither.
    DataError
        If a target is not 0 or 1, or a class index out of range.

    Notes
    -----
    :math:`\epsilon` is the rounding unit of the dtype of the predictions, 1.2e-7 for float32.
    Probabilities are not normalised to sum to one.

    Examples
    --------
    >>> from fastnn.metrics import LogLoss
    >>> round(LogLoss()([1, 0], [0.5, 0.5]), 6)
    0.693147
    >>> round(LogLoss()([0, 2], [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]]), 6)
    0.693147
    """

    direction = "min"

    def __init__(self, name: str = "log_loss") -> None:
        super().__init__(name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        epsilon = float(np.finfo(y_pred.dtype).eps) if y_pred.dtype.kind == "f" else EPSILON
        probabilities = y_pred.astype(np.float64)
        if is_sparse(y_true, y_pred):
            classes = class_indices(y_true, y_pred, self.name)
            own = np.take_along_axis(probabilities, classes[:, None], axis=1)[:, 0]
            own[np.isnan(probabilities).any(axis=1)] = np.nan
            return -np.log(np.clip(own, epsilon, 1.0 - epsilon))
        truth, probabilities = label_matrix(y_true, probabilities, self.name)
        probabilities = np.clip(probabilities, epsilon, 1.0 - epsilon)
        if probabilities.shape[1] == 1:
            return -np.log(np.where(truth, probabilities, 1.0 - probabilities))[:, 0]
        return -(truth * np.log(probabilities)).sum(axis=1)


class BinaryCrossentropy(MeanMetric):
    r"""Cross-entropy of independent yes/no outputs, in nats, averaged over the outputs.

    .. math:: v_i = -\frac1K \sum_k \big(y_{ik} \ln \hat p_{ik} + (1 - y_{ik}) \ln(1 - \hat p_{ik})\big)

    Parameters
    ----------
    name : str, default 'binary_crossentropy'
        Key in the history.
    from_logits : bool, default False
        Whether predictions are logits z, :math:`\hat p = 1/(1 + e^{-z})`, instead of
        probabilities; these are clipped to [1e-7, 1 - 1e-7] as in Keras.
    label_smoothing : float, default 0
        s in [0, 1] replaces targets by :math:`(1 - s) y + s/2`.

    Raises
    ------
    ArgumentError
        If `label_smoothing` is outside [0, 1].
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n,) or (n, K).

    Examples
    --------
    >>> from fastnn.metrics import BinaryCrossentropy
    >>> round(BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]), 6)
    0.814924
    """

    direction = "min"
    config_keys = ("from_logits", "label_smoothing")

    def __init__(
        self, name: str = "binary_crossentropy", from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)
        self.label_smoothing = _check_smoothing(label_smoothing, name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        y_true, y_pred = same_columns(y_true, y_pred, self.name)
        y = y_true * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        z = y_pred.astype(np.float64)
        if self.from_logits:
            entropy = np.maximum(z, 0.0) - z * y + np.log1p(np.exp(-np.abs(z)))
        else:
            p = np.clip(z, EPSILON, 1.0 - EPSILON)
            entropy = -(y * np.log(p) + (1.0 - y) * np.log1p(-p))
        return entropy.mean(axis=1)


class CategoricalCrossentropy(MeanMetric):
    r"""Cross-entropy of exclusive classes with one-hot or soft targets, in nats.

    .. math:: v_i = -\sum_k y_{ik} \ln \hat p_{ik}

    Parameters
    ----------
    name : str, default 'categorical_crossentropy'
        Key in the history.
    from_logits : bool, default False
        Whether predictions are logits, turned to probabilities by softmax. Otherwise they are
        divided by their row sum and clipped to [1e-7, 1 - 1e-7] as in Keras.
    label_smoothing : float, default 0
        s in [0, 1] replaces targets by :math:`(1 - s) y + s/K`.

    Raises
    ------
    ArgumentError
        If `label_smoothing` is outside [0, 1].
    ShapeError
        If ``y_true`` and ``y_pred`` do not both have shape (n, K) with K > 1.

    Examples
    --------
    >>> from fastnn.metrics import CategoricalCrossentropy
    >>> round(CategoricalCrossentropy()([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 6)
    1.176939
    """

    direction = "min"
    config_keys = ("from_logits", "label_smoothing")

    def __init__(
        self, name: str = "categorical_crossentropy", from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)
        self.label_smoothing = _check_smoothing(label_smoothing, name)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        classes = class_scores(y_pred, y_true, self.name).shape[1]
        if y_true.shape != y_pred.shape:
            raise mismatch(y_true, y_pred, self.name, "y_true (one-hot or soft) of the shape of y_pred")
        y = y_true * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        return -(y * _log_probabilities(y_pred, self.from_logits)).sum(axis=1)


class SparseCategoricalCrossentropy(MeanMetric):
    r"""Cross-entropy of exclusive classes with integer targets, in nats.

    .. math:: v_i = -\ln \hat p_{i y_i}

    Parameters
    ----------
    name : str, default 'sparse_categorical_crossentropy'
        Key in the history.
    from_logits : bool, default False
        Whether predictions are logits, turned to probabilities by softmax. Otherwise they are
        divided by their row sum and clipped to [1e-7, 1 - 1e-7] as in Keras.

    Raises
    ------
    ShapeError
        If ``y_true`` is not (n,) or (n, 1), or ``y_pred`` not (n, classes) with at least two.
    DataError
        If a target is not a whole number in [0, classes).

    Examples
    --------
    >>> from fastnn.metrics import SparseCategoricalCrossentropy
    >>> round(SparseCategoricalCrossentropy()([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]]), 6)
    1.176939
    """

    direction = "min"
    config_keys = ("from_logits",)

    def __init__(self, name: str = "sparse_categorical_crossentropy", from_logits: bool = False) -> None:
        super().__init__(name)
        self.from_logits = bool(from_logits)

    def row_values(self, y_true: NDArray[Any], y_pred: NDArray[Any]) -> FloatArray:
        classes = class_indices(y_true, y_pred, self.name)
        logs = _log_probabilities(y_pred, self.from_logits)
        return -np.take_along_axis(logs, classes[:, None], axis=1)[:, 0]
