"""Exact areas under curves against scikit-learn and a naive count of pairs."""

import math
import time

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fastnn import metrics
from fastnn.errors import ArgumentError, DataError, ShapeError

CURVES = [("ROC", roc_auc_score), ("PR", average_precision_score)]


def naive_roc(y_true, scores, weights):
    """Count the weighted pairs (positive, negative) in the right order, a tie counting half."""
    won = total = 0.0
    for i in np.flatnonzero(y_true == 1):
        for j in np.flatnonzero(y_true == 0):
            pair = weights[i] * weights[j]
            total += pair
            won += pair * (1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0)
    return won / total


def make(rows=1000, levels=None, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=rows) if levels is None else rng.integers(0, levels, rows) / levels
    y_true = (rng.random(rows) < 0.3).astype(int)
    return y_true, scores.astype(dtype), rng.random(rows)


@pytest.mark.parametrize(("curve", "oracle"), CURVES)
@pytest.mark.parametrize("levels", [None, 7, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_auc(curve, oracle, levels, dtype, weighted):
    y_true, scores, weight = make(levels=levels, dtype=dtype)
    weight = weight if weighted else None
    expected = oracle(y_true, scores, sample_weight=weight)
    for pred in (scores, scores[:, None]):
        assert metrics.AUC(curve)(y_true, pred, weight) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_auc_naive(seed):
    y_true, scores, weights = make(rows=40, levels=6, seed=seed)
    assert metrics.AUC()(y_true, scores, weights) == pytest.approx(
        naive_roc(y_true, scores, weights), rel=1e-12
    )


@pytest.mark.parametrize(("curve", "oracle"), CURVES)
def test_auc_of_integer_and_boolean_scores(curve, oracle):
    y_true, scores, _ = make(levels=7)
    votes = np.rint(7 * scores).astype(np.uint8)
    assert metrics.AUC(curve)(y_true == 1, votes) == pytest.approx(oracle(y_true, votes), rel=1e-12)
    assert metrics.AUC(curve)(y_true, votes > 3) == pytest.approx(oracle(y_true, votes > 3), rel=1e-12)


@pytest.mark.parametrize(("curve", "oracle"), CURVES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_auc_by_group(curve, oracle, weighted, ordered):
    y_true, scores, weight = make(levels=9)
    groups = np.random.default_rng(1).integers(10, 40, 1000)
    groups = np.sort(groups) if ordered else groups
    weight = weight if weighted else None
    expected = [
        oracle(y_true[rows], scores[rows], sample_weight=None if weight is None else weight[rows])
        for rows in (groups == g for g in np.unique(groups))
    ]
    metric = metrics.AUC(curve, by_group=True)
    labels, values = metric.per_group(y_true, scores, groups, weight)
    np.testing.assert_array_equal(labels, np.unique(groups))
    np.testing.assert_allclose(values, expected, rtol=1e-10)
    assert metric(y_true, scores, weight, groups) == pytest.approx(np.mean(expected), rel=1e-12)


def test_ties_do_not_cross_groups():
    y_true, scores, groups = [0, 1, 1, 0, 1, 0], [0.9, 0.5, 0.5, 0.5, 0.5, 0.1], [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(metrics.AUC().per_group(y_true, scores, groups)[1], [0.0, 0.75])
    np.testing.assert_allclose(metrics.AUC("PR").per_group(y_true, scores, groups)[1], [2 / 3, 0.5])


def test_groups_of_one_class_are_left_out():
    metric = metrics.AUC()
    y_true, scores, groups = [0, 1, 1, 1], [0.2, 0.1, 0.3, 0.4], list("aabb")
    labels, values = metric.per_group(y_true, scores, groups)
    assert labels.tolist() == ["a", "b"]
    np.testing.assert_array_equal(values, [0.0, np.nan])
    assert metric(y_true, scores, groups=groups) == 0.0
    assert math.isnan(metric([1, 1], [0.1, 0.2], groups=[0, 1]))


@pytest.mark.parametrize(("curve", "oracle"), CURVES)
def test_auc_columns(curve, oracle):
    rng = np.random.default_rng(2)
    truth, scores, weight = rng.integers(0, 2, (200, 3)), rng.random((200, 3)), rng.random(200)
    for average, multi_label in (("micro", False), ("macro", True)):
        expected = oracle(truth, scores, average=average, sample_weight=weight)
        value = metrics.AUC(curve, multi_label=multi_label)(truth, scores, weight)
        assert value == pytest.approx(expected, rel=1e-12)
    groups = np.repeat([0, 1], 100)
    halves = [oracle(truth[g == groups], scores[g == groups], average="micro") for g in (0, 1)]
    assert metrics.AUC(curve)(truth, scores, groups=groups) == pytest.approx(np.mean(halves), rel=1e-12)


def test_auc_integer_targets():
    rng = np.random.default_rng(3)
    logits, classes = rng.normal(size=(200, 3)), rng.integers(0, 3, 200)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = roc_auc_score(classes, p, multi_class="ovr")
    assert metrics.AUC(multi_label=True)(classes, p) == pytest.approx(expected, rel=1e-12)
    assert metrics.AUC()(classes, p) == metrics.AUC()(np.eye(3)[classes], p)
    pair, binary = logits[:, :2], classes % 2
    p = np.exp(pair) / np.exp(pair).sum(1, keepdims=True)
    expected = roc_auc_score(binary, p[:, 1])
    assert metrics.AUC()(binary, p) == pytest.approx(expected, rel=1e-12)
    assert metrics.AUC(from_logits=True)(binary, pair) == pytest.approx(expected, rel=1e-12)
    assert metrics.AUC()(binary, pair) != pytest.approx(expected, rel=1e-3)


def test_one_class_is_nan_without_warning():
    assert math.isnan(metrics.AUC()([1, 1], [0.1, 0.2]))
    assert math.isnan(metrics.AUC()([0, 0], [0.1, 0.2]))
    assert math.isnan(metrics.AUC("PR")([0, 0], [0.1, 0.2]))
    assert metrics.AUC("PR")([1, 1], [0.1, 0.2]) == 1.0


def test_infinite_scores_rank():
    assert metrics.AUC()([0, 1, 0, 1], [-np.inf, np.inf, 0.0, np.inf]) == 1.0


def test_aliases():
    y_true, scores, _ = make()
    assert metrics.ROCAUC()(y_true, scores) == metrics.AUC("ROC")(y_true, scores)
    assert metrics.PRAUC()(y_true, scores) == metrics.AUC("PR")(y_true, scores)


def test_refusals():
    with pytest.raises(ArgumentError, match="curve"):
        metrics.AUC(curve="roc curve")
    with pytest.raises(ArgumentError, match="num_thresholds"):
        metrics.AUC(num_thresholds=200)
    with pytest.raises(DataError, match="0 or 1"):
        metrics.AUC()([-1, 1], [0.1, 0.2])
    with pytest.raises(ShapeError, match=r"\(2, 3\).*\(2, 2\)"):
        metrics.AUC()(np.zeros((2, 3)), np.zeros((2, 2)))


def test_a_million_rows_are_fast():
    y_true, scores, _ = make(rows=1_000_000, dtype=np.float32)
    metric = metrics.AUC()
    times = []
    for _ in range(3):
        start = time.perf_counter()
        metric(y_true, scores)
        times.append(time.perf_counter() - start)
    assert min(times) < 1.0  # 0.14 s on one quiet core; the margin is for busy machines
