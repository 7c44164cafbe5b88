"""Precision, recall and F scores against scikit-learn and Keras' documented values."""

import numpy as np
import pytest
from sklearn.metrics import fbeta_score, precision_score, recall_score

from fastnn import metrics
from fastnn.errors import ArgumentError, DataError, ShapeError

RATIOS = [(metrics.Precision, precision_score), (metrics.Recall, recall_score)]


@pytest.fixture
def data():
    rng = np.random.default_rng(2)
    scores = rng.random((300, 3)).astype(np.float32)
    return rng.integers(0, 3, 300), scores, rng.random(300)


@pytest.mark.parametrize(("metric", "oracle"), RATIOS)
@pytest.mark.parametrize("weighted", [False, True])
def test_ratio_binary(metric, oracle, weighted, data):
    _, scores, weight = data
    y_true = np.random.default_rng(3).integers(0, 2, 300)
    weight = weight if weighted else None
    for threshold in (0.5, 0.2):
        expected = oracle(y_true, scores[:, 0] > threshold, sample_weight=weight)
        value = metric(thresholds=threshold)(y_true, scores[:, :1], weight)
        assert value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("metric", "oracle"), RATIOS)
def test_ratio_columns(metric, oracle, data):
    classes, scores, weight = data
    truth = np.eye(3, dtype=int)[classes]
    chosen = scores > 0.5
    micro = oracle(truth, chosen, average="micro", sample_weight=weight)
    single = oracle(truth[:, 1], chosen[:, 1], sample_weight=weight)
    for targets in (truth, classes, classes[:, None]):
        assert metric()(targets, scores, weight) == pytest.approx(micro, rel=1e-12)
        assert metric(class_id=1)(targets, scores, weight) == pytest.approx(single, rel=1e-12)
    several = metric(thresholds=[0.2, 0.5])(truth, scores, weight)
    assert several.shape == (2,)
    assert several[1] == pytest.approx(micro, rel=1e-12)


@pytest.mark.parametrize(("metric", "oracle"), RATIOS)
def test_ratio_two_classes_with_integer_targets_is_class_one(metric, oracle, data):
    _, scores, _ = data
    y_true = np.random.default_rng(4).integers(0, 2, 300)
    expected = oracle(y_true, scores[:, 1] > 0.5)
    assert metric()(y_true, scores[:, :2]) == pytest.approx(expected, rel=1e-12)


def test_top_k():
    y_true, y_pred = [[0, 0, 1, 1]], [[1.0, 1.0, 1.0, 1.0]]  # Keras' documented values
    assert metrics.Precision(top_k=2)(y_true, y_pred) == 0.0
    assert metrics.Precision(top_k=4)(y_true, y_pred) == 0.5
    assert metrics.Recall(top_k=3)(y_true, y_pred) == 0.5
    assert metrics.Recall(top_k=1)([[0, 0, 1]], [[0.1, 0.2, 0.3]]) == 1.0
    assert metrics.Precision(thresholds=0.5, top_k=2)([[1, 1, 0]], [[0.6, 0.4, 0.1]]) == 1.0
    assert metrics.Recall(thresholds=0.5, top_k=2)([[1, 1, 0]], [[0.6, 0.4, 0.1]]) == 0.5


def test_ratio_of_nothing_is_zero():
    assert metrics.Precision()([1, 0], [0.1, 0.2]) == 0.0
    assert metrics.Recall()([0, 0], [0.9, 0.2]) == 0.0


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
@pytest.mark.parametrize("beta", [1.0, 0.5, 2.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_fbeta_classes(average, beta, weighted, data):
    classes, scores, weight = data
    weight = weight if weighted else None
    expected = fbeta_score(classes, scores.argmax(1), beta=beta, average=average, sample_weight=weight)
    metric = metrics.FBetaScore(average=average, beta=beta)
    for targets in (classes, np.eye(3)[classes]):
        np.testing.assert_allclose(metric(targets, scores, weight), expected, rtol=1e-12)


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
def test_f1_labels(average, data):
    _, scores, weight = data
    truth = np.random.default_rng(5).integers(0, 2, (300, 3))
    expected = fbeta_score(truth, scores > 0.4, beta=1, average=average, sample_weight=weight)
    value = metrics.F1Score(average=average, threshold=0.4)(truth, scores, weight)
    np.testing.assert_allclose(value, expected, rtol=1e-12)


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
def test_f1_binary_is_a_float_at_half(average, data):
    _, scores, _ = data
    y_true = np.random.default_rng(6).integers(0, 2, 300)
    expected = fbeta_score(y_true, scores[:, 0] > 0.5, beta=1)
    value = metrics.F1Score(average=average)(y_true, scores[:, :1])
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-12)


def test_fbeta_keras_documented_values():
    y_true = [[1, 1, 1], [1, 0, 0], [1, 1, 0]]
    y_pred = np.array([[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]], np.float32)
    value = metrics.FBetaScore(beta=2.0, threshold=0.5)(y_true, y_pred)
    np.testing.assert_allclose(value, [0.3846154, 0.90909094, 0.8333334], rtol=1e-6)
    value = metrics.F1Score(threshold=0.5)(y_true, y_pred)
    np.testing.assert_allclose(value, [0.5, 0.8, 0.6666667], rtol=1e-6)


def test_absent_class_counts_in_macro():
    assert metrics.F1Score("macro")([0, 1], [[0.9, 0.1, 0.0], [0.1, 0.9, 0.0]]) == pytest.approx(2 / 3)


def test_refusals():
    for bad in ({"average": "median"}, {"threshold": "high"}):
        with pytest.raises(ArgumentError):
            metrics.F1Score(**bad)
    with pytest.raises(ArgumentError, match="beta"):
        metrics.FBetaScore(beta=0.0)
    for bad in ({"top_k": 0}, {"class_id": -1}, {"class_id": 1.5}, {"thresholds": []}):
        with pytest.raises(ArgumentError):
            metrics.Precision(**bad)
    with pytest.raises(ArgumentError, match="class_id"):
        metrics.Recall(class_id=2)([[0, 1]], [[0.1, 0.2]])
    with pytest.raises(ArgumentError, match="top_k"):
        metrics.Recall(top_k=3)([[0, 1]], [[0.1, 0.2]])
    with pytest.raises(DataError, match="0 or 1"):
        metrics.Precision()([0.5, 1.0], [0.1, 0.2])
    with pytest.raises(ShapeError, match=r"\(1, 2\).*\(1, 3\)"):
        metrics.F1Score()([[0, 1]], [[0.1, 0.2, 0.3]])
