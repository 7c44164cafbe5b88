"""Cross-entropies against scikit-learn, SciPy and Keras' documented values."""

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from fastnn import metrics
from fastnn.errors import ArgumentError, DataError, ShapeError


@pytest.fixture
def data():
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 3, (400, 3))
    return rng.integers(0, 3, 400), logits, rng.random(400)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_log_loss_binary(dtype, weighted, data):
    _, logits, weight = data
    p = expit(logits[:, 0]).astype(dtype)
    p[:3] = [0.0, 1.0, 0.0]  # to be clipped
    y_true = np.random.default_rng(8).integers(0, 2, 400)
    y_true[:3] = [1, 0, 0]
    weight = weight if weighted else None
    # scikit-learn computes in the dtype of the predictions, clipping by its rounding unit
    tolerance = {np.float32: 1e-5, np.float64: 1e-12}[dtype]
    expected = log_loss(y_true, y_proba=p, sample_weight=weight)
    for pred in (p, p[:, None]):
        assert metrics.LogLoss()(y_true, pred, weight) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("weighted", [False, True])
def test_log_loss_classes(weighted, data):
    classes, logits, weight = data
    p = softmax(logits, axis=1)
    p[0] = [1.0, 0.0, 0.0]
    classes[0] = 1
    weight = weight if weighted else None
    expected = pytest.approx(log_loss(classes, y_proba=p, sample_weight=weight), rel=1e-12)
    assert metrics.LogLoss()(classes, p, weight) == expected
    assert metrics.LogLoss()(np.eye(3)[classes], p, weight) == expected


@pytest.mark.parametrize("weighted", [False, True])
def test_probabilities_and_logits_agree(weighted, data):
    classes, logits, weight = data
    weight = weight if weighted else None
    p = softmax(logits, axis=1)
    expected = pytest.approx(log_loss(classes, y_proba=p, sample_weight=weight), rel=1e-9)
    one_hot = np.eye(3)[classes]
    assert metrics.SparseCategoricalCrossentropy()(classes, p, weight) == expected
    assert metrics.SparseCategoricalCrossentropy(from_logits=True)(classes, logits, weight) == expected
    assert metrics.CategoricalCrossentropy()(one_hot, 7.0 * p, weight) == expected  # rows are normalised
    assert metrics.CategoricalCrossentropy(from_logits=True)(one_hot, logits, weight) == expected
    binary = one_hot[:, 0]
    expected = pytest.approx(log_loss(binary, y_proba=expit(logits[:, 0]), sample_weight=weight), rel=1e-9)
    assert metrics.BinaryCrossentropy()(binary, expit(logits[:, :1]), weight) == expected
    assert metrics.BinaryCrossentropy(from_logits=True)(binary, logits[:, :1], weight) == expected


def test_label_smoothing(data):
    classes, logits, _ = data
    p, one_hot = softmax(logits, axis=1), np.eye(3)[classes]
    expected = -np.mean(np.sum((0.8 * one_hot + 0.2 / 3) * np.log(p), axis=1))
    assert metrics.CategoricalCrossentropy(label_smoothing=0.2)(one_hot, p) == pytest.approx(expected)
    q, smooth = expit(logits), 0.8 * one_hot + 0.1
    expected = -np.mean(smooth * np.log(q) + (1 - smooth) * np.log(1 - q))
    assert metrics.BinaryCrossentropy(label_smoothing=0.2)(one_hot, q) == pytest.approx(expected)


def test_extreme_logits_stay_finite():
    assert metrics.BinaryCrossentropy(from_logits=True)([1, 0], [-1e4, 1e4]) == 1e4
    sparse = metrics.SparseCategoricalCrossentropy(from_logits=True)
    assert sparse([0], [[-1e4, 1e4]]) == 2e4
    assert metrics.BinaryCrossentropy()([1.0], [0.0]) == pytest.approx(-np.log(1e-7))


def test_keras_documented_values():
    y_true, y_pred = [[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]]
    assert metrics.BinaryCrossentropy()(y_true, y_pred) == pytest.approx(0.81492424, rel=1e-6)
    assert metrics.BinaryCrossentropy()(y_true, y_pred, [1, 0]) == pytest.approx(0.9162905, rel=1e-6)
    y_pred, weight = [[0.05, 0.95, 0], [0.1, 0.8, 0.1]], [0.3, 0.7]
    sparse = metrics.SparseCategoricalCrossentropy()
    assert sparse([1, 2], y_pred) == pytest.approx(1.1769392, rel=1e-6)
    assert sparse([1, 2], y_pred, weight) == pytest.approx(1.6271976, rel=1e-6)


def test_log_loss_of_a_row_with_nan_in_another_class_is_nan():
    values = metrics.LogLoss().row_values(np.array([0, 1]), np.array([[0.5, np.nan], [0.5, 0.5]]))
    assert np.isnan(values).tolist() == [True, False]


def test_refusals():
    with pytest.raises(ArgumentError, match="label_smoothing"):
        metrics.BinaryCrossentropy(label_smoothing=1.5)
    with pytest.raises(ArgumentError, match="label_smoothing"):
        metrics.CategoricalCrossentropy(label_smoothing=-0.1)
    with pytest.raises(DataError, match="0 or 1"):
        metrics.LogLoss()([0.2], [0.2])
    with pytest.raises(ShapeError):
        metrics.CategoricalCrossentropy()([[1], [0]], [[0.2, 0.8], [0.3, 0.7]])
    with pytest.raises(ShapeError):
        metrics.SparseCategoricalCrossentropy()([[1, 0]], [[0.2, 0.8]])
