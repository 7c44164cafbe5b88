"""The losses' maths, in float64 NumPy: one value a row, and its gradient.

Every loss ``name(y_true, y_pred, **attrs)`` takes targets and predictions as arrays with one row
per example, shape ``(n, k)`` (``(n,)`` is read as one column), of any real dtype, and returns
float64 values of shape ``(n,)``. ``name_grad`` takes the same arguments and returns the gradient
of each row's value with respect to that row's prediction, float64, of the prediction's ``(n, k)``
shape. Arguments are never modified. These functions are the oracle the compiled kernels are
tested against, and what ``fastnn.losses`` computes with outside training.

The equations are those of Keras 3.15 (``keras/src/losses/losses.py``) unless a docstring says
otherwise; in them ``t`` is the target, ``p`` the prediction and ``k`` the number of columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import DataError, ShapeError

F64 = NDArray[np.float64]

#: The fuzz factor of Keras (``keras.config.epsilon()``): probabilities are clipped to [EPS, 1 - EPS].
EPS = 1e-7
#: Losses that are sums over columns; all others are means.
SUMS = frozenset(["kl_divergence", "activity_penalty"])

#: Smallest variance of `gaussian_nll`, as the ``eps`` of ``torch.nn.GaussianNLLLoss``.
MIN_VARIANCE = 1e-6


def columns(values: ArrayLike) -> F64:
    """Return `values` as float64 of shape (n, k); shape (n,) becomes (n, 1).

    Raises
    ------
    ShapeError
        If `values` has no rows axis, or more than two axes.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise ShapeError(f"A loss takes arrays of shape (rows, columns). Received: shape {array.shape}.")
    return array


def _pair(y_true: ArrayLike, y_pred: ArrayLike, copies: int = 1) -> tuple[F64, F64]:
    """Check that the prediction has `copies` times the target's columns; no broadcasting."""
    t, p = columns(y_true), columns(y_pred)
    if p.shape != (t.shape[0], t.shape[1] * copies):
        times = f" {copies} times" if copies != 1 else ""
        raise ShapeError(
            f"The prediction must have the target's rows and{times} its columns. "
            f"Received: target of shape {t.shape}, prediction of shape {p.shape}."
        )
    return t, p


# ------------------------------------------------------------------------------- regression


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``mean((p - t)**2)`` of each row."""
    t, p = _pair(y_true, y_pred)
    return np.mean((p - t) ** 2, axis=1)


def mean_squared_error_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``2 (p - t) / k``."""
    t, p = _pair(y_true, y_pred)
    return 2.0 * (p - t) / p.shape[1]


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``mean(|p - t|)`` of each row."""
    t, p = _pair(y_true, y_pred)
    return np.mean(np.abs(p - t), axis=1)


def mean_absolute_error_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``sign(p - t) / k``; 0 where they are equal."""
    t, p = _pair(y_true, y_pred)
    return np.sign(p - t) / p.shape[1]


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> F64:
    """Return the mean of ``e**2 / 2`` where ``|e| <= delta``, else of ``delta |e| - delta**2 / 2``.

    The error is ``e = p - t``.
    """
    t, p = _pair(y_true, y_pred)
    e = np.abs(p - t)
    return np.mean(np.where(e <= delta, 0.5 * e * e, delta * e - 0.5 * delta * delta), axis=1)


def huber_grad(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> F64:
    """Return ``clip(p - t, -delta, delta) / k``."""
    t, p = _pair(y_true, y_pred)
    return np.clip(p - t, -delta, delta) / p.shape[1]


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``mean(log(cosh(p - t)))`` of each row.

    Computed as ``log1p(sinh(e)**2) / 2`` for small errors and ``|e| + log1p(exp(-2|e|)) - log(2)``
    for large ones, so it neither cancels nor overflows.
    """
    t, p = _pair(y_true, y_pred)
    e = np.abs(p - t)
    small = 0.5 * np.log1p(np.sinh(np.minimum(e, 1.0)) ** 2)
    large = e + np.log1p(np.exp(-2.0 * e)) - np.log(2.0)
    return np.mean(np.where(e < 1.0, small, large), axis=1)


def log_cosh_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``tanh(p - t) / k``."""
    t, p = _pair(y_true, y_pred)
    return np.tanh(p - t) / p.shape[1]


def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``100 mean(|p - t| / max(|t|, 1e-7))`` of each row."""
    t, p = _pair(y_true, y_pred)
    return 100.0 * np.mean(np.abs(p - t) / np.maximum(np.abs(t), EPS), axis=1)


def mean_absolute_percentage_error_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``100 sign(p - t) / (k max(|t|, 1e-7))``."""
    t, p = _pair(y_true, y_pred)
    return 100.0 * np.sign(p - t) / (p.shape[1] * np.maximum(np.abs(t), EPS))


def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``mean((log(1 + max(p, 1e-7)) - log(1 + max(t, 1e-7)))**2)`` of each row."""
    t, p = _pair(y_true, y_pred)
    return np.mean((np.log1p(np.maximum(p, EPS)) - np.log1p(np.maximum(t, EPS))) ** 2, axis=1)


def mean_squared_logarithmic_error_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return the gradient of `mean_squared_logarithmic_error`; 0 where ``p <= 1e-7``."""
    t, p = _pair(y_true, y_pred)
    raised = np.maximum(p, EPS)
    difference = np.log1p(raised) - np.log1p(np.maximum(t, EPS))
    return np.where(p > EPS, 2.0 * difference / (1.0 + raised) / p.shape[1], 0.0)


def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``mean(p - t log(p + 1e-7))`` of each row; ``p`` is the mean count, not its log."""
    t, p = _pair(y_true, y_pred)
    return np.mean(p - t * np.log(p + EPS), axis=1)


def poisson_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``(1 - t / (p + 1e-7)) / k``."""
    t, p = _pair(y_true, y_pred)
    return (1.0 - t / (p + EPS)) / p.shape[1]


def gaussian_nll(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``mean((log v + (t - m)**2 / v) / 2)`` of each row, ``v = max(exp(s), 1e-6)``.

    The prediction has ``2k`` columns: the ``k`` means ``m``, then the ``k`` log-variances ``s``.
    As ``torch.nn.GaussianNLLLoss(full=False, eps=1e-6)`` with ``var = exp(s)``.
    """
    t, p = _pair(y_true, y_pred, copies=2)
    m, s = np.split(p, 2, axis=1)
    s = np.maximum(s, np.log(MIN_VARIANCE))
    return np.mean(0.5 * (s + (t - m) ** 2 * np.exp(-s)), axis=1)


def gaussian_nll_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``[(m - t) / v | (1 - (t - m)**2 / v) exp(s) / v / 2] / k``.

    As in PyTorch the floor of the variance is not differentiated: where ``exp(s) < 1e-6`` the
    gradient is small but not 0, so that a variance that fell too low can grow again.
    """
    t, p = _pair(y_true, y_pred, copies=2)
    m, s = np.split(p, 2, axis=1)
    floored = np.maximum(s, np.log(MIN_VARIANCE))
    d_mean = (m - t) * np.exp(-floored)
    d_log_variance = 0.5 * (1.0 - (m - t) * d_mean) * np.exp(s - floored)
    return np.concatenate([d_mean, d_log_variance], axis=1) / t.shape[1]


def quantile(y_true: ArrayLike, y_pred: ArrayLike, quantiles: Sequence[float] = (0.5,)) -> F64:
    """Return the mean pinball loss of each row: ``max(q e, (q - 1) e)``, ``e = t - p``.

    With ``len(quantiles)`` = Q the prediction has ``Q k`` columns: first the ``k`` targets at the
    first quantile, then at the second, and so on. Koenker and Bassett (1978), "Regression
    Quantiles", Econometrica 46(1).
    """
    t, p = _pair(y_true, y_pred, copies=len(quantiles))
    q = np.repeat(np.asarray(quantiles, dtype=np.float64), t.shape[1])
    e = np.tile(t, (1, len(quantiles))) - p
    return np.mean(np.maximum(q * e, (q - 1.0) * e), axis=1)


def quantile_grad(y_true: ArrayLike, y_pred: ArrayLike, quantiles: Sequence[float] = (0.5,)) -> F64:
    """Return ``-q`` where ``t > p``, ``1 - q`` where ``t < p``, 0 where equal; over ``Q k``."""
    t, p = _pair(y_true, y_pred, copies=len(quantiles))
    q = np.repeat(np.asarray(quantiles, dtype=np.float64), t.shape[1])
    e = np.tile(t, (1, len(quantiles))) - p
    return np.where(e > 0, -q, np.where(e < 0, 1.0 - q, 0.0)) / p.shape[1]


# -------------------------------------------------------------------------- two classes


def _sigmoid(z: F64) -> F64:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def _inside(p: F64) -> F64:
    """Return 1.0 where clipping to [EPS, 1 - EPS] lets the gradient through."""
    return ((p >= EPS) & (p <= 1.0 - EPS)).astype(np.float64)


def _binary_terms(t: F64, p: F64, from_logits: bool) -> tuple[F64, F64]:
    """Return the cross-entropy of each element and its derivative with respect to `p`."""
    if from_logits:
        return np.maximum(p, 0.0) - p * t + np.log1p(np.exp(-np.abs(p))), _sigmoid(p) - t
    c = np.clip(p, EPS, 1.0 - EPS)
    return -(t * np.log(c) + (1.0 - t) * np.log1p(-c)), _inside(p) * (c - t) / (c * (1.0 - c))


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> F64:
    """Return ``mean(-t log p - (1 - t) log(1 - p))`` of each row.

    Labels are first smoothed: ``t (1 - s) + s / 2``. Probabilities are clipped to
    ``[1e-7, 1 - 1e-7]``; with `from_logits` the value is ``max(z, 0) - z t + log1p(exp(-|z|))``.
    """
    t, p = _pair(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return np.mean(_binary_terms(t, p, from_logits)[0], axis=1)


def binary_crossentropy_grad(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> F64:
    """Return ``(p - t) / (p (1 - p)) / k`` (0 where clipped), or ``(sigmoid(z) - t) / k``."""
    t, p = _pair(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return _binary_terms(t, p, from_logits)[1] / p.shape[1]


def _power_slope(base: F64, gamma: float) -> F64:
    """Return the derivative of ``base**gamma``, with 0 at a base of 0 where it is infinite."""
    if gamma >= 1.0:
        return gamma * base ** (gamma - 1.0)
    return np.where(base > 0, gamma * np.where(base > 0, base, 1.0) ** (gamma - 1.0), 0.0)


def _binary_focal_terms(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool,
    alpha: float,
    gamma: float,
    from_logits: bool,
    label_smoothing: float,
) -> tuple[F64, F64]:
    """Return the focal cross-entropy of each element and its derivative."""
    t, p = _pair(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + 0.5 * label_smoothing
    entropy, d_entropy = _binary_terms(t, p, from_logits)
    s = _sigmoid(p) if from_logits else p
    not_s = _sigmoid(-p) if from_logits else 1.0 - p
    miss = t * not_s + (1.0 - t) * s  # 1 - p_t of the paper
    d_miss = (1.0 - 2.0 * t) * (s * not_s if from_logits else 1.0)
    weight = t * alpha + (1.0 - t) * (1.0 - alpha) if apply_class_balancing else np.ones_like(t)
    value = weight * miss**gamma * entropy
    slope = weight * (_power_slope(miss, gamma) * d_miss * entropy + miss**gamma * d_entropy)
    return value, slope


def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> F64:
    """Return the mean of ``w (1 - p_t)**gamma * crossentropy``, ``p_t = t p + (1 - t)(1 - p)``.

    ``w = t alpha + (1 - t)(1 - alpha)`` with `apply_class_balancing`, else 1. Lin et al. (2018),
    arXiv:1708.02002. From logits the cross-entropy is never clipped (Keras clips the sigmoid, so
    the two differ where ``|z| > 16``).
    """
    terms = _binary_focal_terms(
        y_true, y_pred, apply_class_balancing, alpha, gamma, from_logits, label_smoothing
    )
    return np.mean(terms[0], axis=1)


def binary_focal_crossentropy_grad(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> F64:
    """Return the gradient of `binary_focal_crossentropy`, by the product rule."""
    terms = _binary_focal_terms(
        y_true, y_pred, apply_class_balancing, alpha, gamma, from_logits, label_smoothing
    )
    return terms[1] / terms[1].shape[1]


def _signs(t: F64) -> F64:
    """Return -1.0 for labels <= 0 and 1.0 for the others."""
    return np.where(t <= 0, -1.0, 1.0)


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``mean(max(1 - y p, 0))`` of each row, ``y = -1`` for labels <= 0, else ``1``.

    Keras converts labels only where a whole batch holds nothing but 0 and 1; here each label is
    converted alone, so the value does not depend on the batch.
    """
    t, p = _pair(y_true, y_pred)
    return np.mean(np.maximum(1.0 - _signs(t) * p, 0.0), axis=1)


def hinge_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``-y / k`` where ``y p < 1``, else 0."""
    t, p = _pair(y_true, y_pred)
    y = _signs(t)
    return np.where(y * p < 1.0, -y, 0.0) / p.shape[1]


def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``mean(max(1 - y p, 0)**2)`` of each row; labels as in `hinge`."""
    t, p = _pair(y_true, y_pred)
    return np.mean(np.maximum(1.0 - _signs(t) * p, 0.0) ** 2, axis=1)


def squared_hinge_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``-2 y max(1 - y p, 0) / k``."""
    t, p = _pair(y_true, y_pred)
    y = _signs(t)
    return -2.0 * y * np.maximum(1.0 - y * p, 0.0) / p.shape[1]


# ------------------------------------------------------------------------- many classes


def _log_softmax(z: F64) -> F64:
    shifted = z - np.max(z, axis=1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))


def _normalised_back(p: F64, d_share: F64) -> F64:
    """Return the gradient with respect to `p`, given that of its shares ``p / sum(p)``."""
    total = np.sum(p, axis=1, keepdims=True)
    return (d_share - np.sum(d_share * p / total, axis=1, keepdims=True)) / total


def one_hot(labels: ArrayLike, classes: int) -> F64:
    """Return class indices, shape (n,) or (n, 1), as float64 indicators of shape (n, classes).

    Raises
    ------
    DataError
        If a label is not a whole number in ``0 .. classes - 1``.
    """
    column = columns(labels)
    if column.shape[1] != 1:
        raise ShapeError(f"Class indices must have shape (n,) or (n, 1). Received: shape {column.shape}.")
    index = column[:, 0]
    good = (index >= 0) & (index < classes) & (index == np.floor(index))
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            f"Class indices must be whole numbers from 0 to {classes - 1}. "
            f"Received: {index[row]} in row {row}."
        )
    return np.equal.outer(index, np.arange(classes, dtype=np.float64)).astype(np.float64)


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> F64:
    """Return ``-sum(t log q)`` of each row, ``q = clip(p / sum(p), 1e-7, 1 - 1e-7)``.

    Labels are first smoothed: ``t (1 - s) + s / k``. With `from_logits`, ``log q`` is the
    log-softmax of the prediction, unclipped.
    """
    t, p = _pair(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + label_smoothing / t.shape[1]
    if from_logits:
        return -np.sum(t * _log_softmax(p), axis=1)
    share = p / np.sum(p, axis=1, keepdims=True)
    return -np.sum(t * np.log(np.clip(share, EPS, 1.0 - EPS)), axis=1)


def categorical_crossentropy_grad(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> F64:
    """Return ``softmax(z) sum(t) - t``, or ``-t / q`` carried back through the row's sum."""
    t, p = _pair(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + label_smoothing / t.shape[1]
    if from_logits:
        return np.exp(_log_softmax(p)) * np.sum(t, axis=1, keepdims=True) - t
    share = p / np.sum(p, axis=1, keepdims=True)
    return _normalised_back(p, -t * _inside(share) / np.clip(share, EPS, 1.0))


def sparse_categorical_crossentropy(y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False) -> F64:
    """Return `categorical_crossentropy` with class indices, shape (n,) or (n, 1), as targets."""
    return categorical_crossentropy(one_hot(y_true, columns(y_pred).shape[1]), y_pred, from_logits)


def sparse_categorical_crossentropy_grad(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False
) -> F64:
    """Return the gradient of `sparse_categorical_crossentropy`."""
    return categorical_crossentropy_grad(one_hot(y_true, columns(y_pred).shape[1]), y_pred, from_logits)


def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> F64:
    """Return ``-alpha sum((1 - q)**gamma t log q)`` of each row, ``q`` as in `categorical_crossentropy`.

    From logits ``q`` is the softmax, unclipped (Keras clips it to ``[1e-7, 1 - 1e-7]``).
    """
    t, p = _pair(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + label_smoothing / t.shape[1]
    if from_logits:
        log_q = _log_softmax(p)
    else:
        log_q = np.log(np.clip(p / np.sum(p, axis=1, keepdims=True), EPS, 1.0 - EPS))
    return -alpha * np.sum((-np.expm1(log_q)) ** gamma * t * log_q, axis=1)


def categorical_focal_crossentropy_grad(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> F64:
    """Return the gradient of `categorical_focal_crossentropy`.

    With ``h = alpha t (gamma (1 - q)**(gamma - 1) q log q - (1 - q)**gamma)``: ``h - q sum(h)``
    from logits, else ``h / q`` carried back through the row's sum.
    """
    t, p = _pair(y_true, y_pred)
    t = t * (1.0 - label_smoothing) + label_smoothing / t.shape[1]
    share = p / np.sum(p, axis=1, keepdims=True) if not from_logits else p
    log_q = _log_softmax(p) if from_logits else np.log(np.clip(share, EPS, 1.0 - EPS))
    q, miss = np.exp(log_q), -np.expm1(log_q)
    h = alpha * t * (_power_slope(miss, gamma) * q * log_q - miss**gamma)
    if from_logits:
        return h - q * np.sum(h, axis=1, keepdims=True)
    return _normalised_back(p, _inside(share) * h / q)


def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``max(max((1 - t) p) - sum(t p) + 1, 0)`` of each row."""
    t, p = _pair(y_true, y_pred)
    return np.maximum(np.max((1.0 - t) * p, axis=1) - np.sum(t * p, axis=1) + 1.0, 0.0)


def categorical_hinge_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``(1 - t) [first largest (1 - t) p] - t`` in rows whose loss is positive, else 0."""
    t, p = _pair(y_true, y_pred)
    rival = (1.0 - t) * p
    first = np.arange(p.shape[1]) == np.argmax(rival, axis=1)[:, None]
    active = np.max(rival, axis=1) - np.sum(t * p, axis=1) + 1.0 > 0.0
    return np.where(active[:, None], (1.0 - t) * first - t, 0.0)


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``sum(t log(t / p))`` of each row, both first clipped to ``[1e-7, 1]``."""
    t, p = _pair(y_true, y_pred)
    t, p = np.clip(t, EPS, 1.0), np.clip(p, EPS, 1.0)
    return np.sum(t * np.log(t / p), axis=1)


def kl_divergence_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``-t / p``; 0 where the prediction is clipped."""
    t, p = _pair(y_true, y_pred)
    return np.where((p >= EPS) & (p <= 1.0), -np.clip(t, EPS, 1.0) / np.clip(p, EPS, 1.0), 0.0)


def _directions(values: F64) -> tuple[F64, F64]:
    """Return rows divided by ``max(norm, EPS)``, and the norms, shape (n, 1)."""
    norms = np.sqrt(np.sum(values * values, axis=1, keepdims=True))
    return values / np.maximum(norms, EPS), norms


def cosine_similarity(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return minus the cosine of the angle of target and prediction: -1 where they agree.

    Each is divided by ``max(its norm, 1e-7)``, so a row of zeros gives 0.
    """
    t, p = _pair(y_true, y_pred)
    return -np.sum(_directions(t)[0] * _directions(p)[0], axis=1)


def cosine_similarity_grad(y_true: ArrayLike, y_pred: ArrayLike) -> F64:
    """Return ``(p' (t' . p') - t') / |p|``, primes for unit vectors; ``-t' / 1e-7`` at tiny ``|p|``."""
    t, p = _pair(y_true, y_pred)
    t, (p, norms) = _directions(t)[0], _directions(p)
    radial = p * np.sum(t * p, axis=1, keepdims=True)
    return (np.where(norms > EPS, radial, 0.0) - t) / np.maximum(norms, EPS)
