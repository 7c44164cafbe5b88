"""Accuracies against scikit-learn and Keras' documented values."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, top_k_accuracy_score

from fastnn import metrics
from fastnn.errors import ArgumentError, DataError, ShapeError

DTYPES = [np.float32, np.float64]


def make_classes(dtype, rows=500, classes=4):
    rng = np.random.default_rng(0)
    scores = rng.random((rows, classes)).astype(dtype)
    return rng.integers(0, classes, rows), scores, rng.random(rows)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("threshold", [0.5, 0.3])
def test_binary_accuracy(dtype, weighted, threshold):
    rng = np.random.default_rng(1)
    y_true = rng.integers(0, 2, 400)
    y_pred = rng.choice([0.1, 0.3, 0.5, 0.9], 400).astype(dtype)
    weight = rng.random(400) if weighted else None
    expected = accuracy_score(y_true, y_pred > threshold, sample_weight=weight)
    metric = metrics.BinaryAccuracy(threshold=threshold)
    assert metric(y_true, y_pred[:, None], weight) == pytest.approx(expected, rel=1e-14)


def test_binary_accuracy_compares_in_the_dtype_of_the_predictions():
    assert metrics.BinaryAccuracy(threshold=0.3)([0], np.array([0.3], np.float32)) == 1.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
def test_class_accuracies(dtype, weighted):
    classes, scores, weight = make_classes(dtype)
    weight = weight if weighted else None
    expected = pytest.approx(accuracy_score(classes, scores.argmax(1), sample_weight=weight), rel=1e-14)
    one_hot = np.eye(4, dtype=dtype)[classes]
    assert metrics.SparseCategoricalAccuracy()(classes, scores, weight) == expected
    assert metrics.SparseCategoricalAccuracy()(classes[:, None].astype(dtype), scores, weight) == expected
    assert metrics.CategoricalAccuracy()(one_hot, scores, weight) == expected
    assert metrics.Accuracy()(classes, scores.argmax(1), weight) == expected


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_top_k(k, weighted):
    classes, scores, weight = make_classes(np.float32)
    weight = weight if weighted else None
    expected = pytest.approx(top_k_accuracy_score(classes, scores, k=k, sample_weight=weight), rel=1e-14)
    assert metrics.SparseTopKCategoricalAccuracy(k)(classes, scores, weight) == expected
    assert metrics.TopKCategoricalAccuracy(k=k)(np.eye(4)[classes], scores, weight) == expected


def test_top_k_counts_ties_and_saturates():
    assert metrics.SparseTopKCategoricalAccuracy(1)([0, 1], [[0.5, 0.5], [0.5, 0.5]]) == 1.0
    assert metrics.SparseTopKCategoricalAccuracy()([0, 1], [[0.1, 0.9], [0.9, 0.1]]) == 1.0


def test_keras_documented_values():
    top = metrics.TopKCategoricalAccuracy(k=1)
    top.update_state([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]], sample_weight=[0.7, 0.3])
    assert top.result() == pytest.approx(0.3)
    assert metrics.BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]], [1, 0, 0, 1]) == 0.5
    assert metrics.Accuracy()([[1], [2], [3], [4]], [[0], [2], [3], [4]], [1, 1, 0, 0]) == 0.5


def test_several_outputs_average_over_the_columns():
    assert metrics.BinaryAccuracy()([[1, 0], [1, 1]], [[0.9, 0.9], [0.9, 0.9]], [1.0, 3.0]) == 0.875


def test_wrong_classes_are_refused():
    scores = np.ones((2, 3))
    with pytest.raises(DataError, match=r"\[0, 2\].*from 0 to 3"):
        metrics.SparseCategoricalAccuracy()([0, 3], scores)
    with pytest.raises(DataError, match="from -1"):
        metrics.SparseCategoricalAccuracy()([-1, 1], scores)
    with pytest.raises(DataError, match="whole"):
        metrics.SparseCategoricalAccuracy()([0.5, 1.0], scores)


@pytest.mark.parametrize("metric", [metrics.CategoricalAccuracy(), metrics.SparseCategoricalAccuracy()])
def test_a_single_output_has_no_classes(metric):
    with pytest.raises(ShapeError):
        metric([[0], [1]], [[0.2], [0.9]])


@pytest.mark.parametrize("k", [0, 1.5, True])
def test_bad_k_is_refused(k):
    with pytest.raises(ArgumentError, match="k must"):
        metrics.TopKCategoricalAccuracy(k)
    with pytest.raises(ArgumentError, match="k must"):
        metrics.SparseTopKCategoricalAccuracy(k)


def test_bad_threshold_is_refused():
    with pytest.raises(ArgumentError, match="threshold"):
        metrics.BinaryAccuracy(threshold=float("nan"))


def test_kernels_name_the_compiled_accumulators():
    assert metrics.BinaryAccuracy().kernel == "binary_accuracy"
    assert metrics.BinaryAccuracy(threshold=0.4).kernel is None
    assert metrics.CategoricalAccuracy().kernel == "categorical_accuracy"
    assert metrics.SparseCategoricalAccuracy().kernel == "sparse_categorical_accuracy"
    assert metrics.Accuracy().kernel is None
