"""Regression metrics against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.metrics import (
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_log_error,
    r2_score,
    root_mean_squared_error,
)

from fastnn import metrics
from fastnn.errors import ArgumentError, ShapeError

PAIRS = [
    (metrics.MeanSquaredError, mean_squared_error),
    (metrics.MeanAbsoluteError, mean_absolute_error),
    (metrics.MeanAbsolutePercentageError, lambda *a, **k: 100 * mean_absolute_percentage_error(*a, **k)),
    (metrics.MeanSquaredLogarithmicError, mean_squared_log_error),
    (metrics.R2Score, r2_score),
]


def make(columns, dtype):
    rng = np.random.default_rng(0)
    shape = (300, columns) if columns else (300,)
    y_true, y_pred = (rng.random(shape).astype(dtype) + dtype(0.1) for _ in "ab")
    return y_true, y_pred, rng.random(300)


@pytest.mark.parametrize(("metric", "oracle"), PAIRS)
@pytest.mark.parametrize("columns", [0, 1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regression(metric, oracle, columns, weighted, dtype):
    y_true, y_pred, weight = make(columns, dtype)
    weight = weight if weighted else None
    expected = oracle(y_true.astype(np.float64), y_pred.astype(np.float64), sample_weight=weight)
    assert metric()(y_true, y_pred, weight) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_root_mean_squared_error(weighted):
    y_true, y_pred, weight = make(1, np.float64)
    weight = weight if weighted else None
    expected = root_mean_squared_error(y_true, y_pred, sample_weight=weight)
    assert metrics.RootMeanSquaredError()(y_true, y_pred, weight) == pytest.approx(expected, rel=1e-12)


def test_float32_is_summed_in_float64():
    y_true = np.full(3_000_000, 1e-4, np.float32)
    expected = float(np.float64(y_true[0])) ** 2
    assert metrics.MeanSquaredError()(y_true, np.zeros_like(y_true)) == pytest.approx(expected, rel=1e-12)


def test_integer_arrays():
    y_true, y_pred = np.array([3, 250], np.uint8), np.array([5, 3], np.uint8)
    assert metrics.MeanAbsoluteError()(y_true, y_pred) == 124.5
    assert metrics.MeanSquaredError()(y_true > 4, y_pred > 4) == 1.0


def test_percentage_of_a_zero_target_has_a_smallest_divisor():
    assert metrics.MeanAbsolutePercentageError()([0.0], [1e-7]) == pytest.approx(100.0)


def test_logarithmic_error_takes_negatives_as_zero():
    assert metrics.MeanSquaredLogarithmicError()([-1.0, -5.0], [0.0, -2.0]) == 0.0


@pytest.mark.parametrize("weighted", [False, True])
def test_r2_aggregation(weighted):
    y_true, y_pred, weight = make(3, np.float64)
    y_true[:, 1] *= 5
    weight = weight if weighted else None
    for name, theirs in ((None, "raw_values"), ("variance_weighted_average", "variance_weighted")):
        expected = r2_score(y_true, y_pred, sample_weight=weight, multioutput=theirs)
        value = metrics.R2Score(class_aggregation=name)(y_true, y_pred, weight)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_r2_adjusted():
    y_true, y_pred, _ = make(0, np.float64)
    plain = r2_score(y_true, y_pred)
    value = metrics.R2Score(num_regressors=4)(y_true, y_pred)
    assert value == pytest.approx(1 - (1 - plain) * 299 / 295, rel=1e-12)
    assert math.isnan(metrics.R2Score(num_regressors=4)(y_true[:5], y_pred[:5]))


def test_r2_constant_target_and_too_few_rows():
    for constant in (np.full(7, 0.1), np.full(7, 0.5)):  # the mean of the first is not quite 0.1
        assert metrics.R2Score()(constant, constant) == 1.0 == r2_score(constant, constant)
        assert metrics.R2Score()(constant, constant + 1) == 0.0
    assert r2_score(constant, constant + 1) == 0.0
    assert math.isnan(metrics.R2Score()([1.0], [1.0]))
    columns = np.stack([constant, np.arange(7.0)], axis=1)
    expected = r2_score(columns, columns + 1, multioutput="variance_weighted")
    weighted = metrics.R2Score("variance_weighted_average")
    assert weighted(columns, columns + 1) == pytest.approx(expected, rel=1e-12)


def test_refusals():
    with pytest.raises(ArgumentError, match="class_aggregation"):
        metrics.R2Score("mean")
    for bad in (-1, 1.5, True):
        with pytest.raises(ArgumentError, match="num_regressors"):
            metrics.R2Score(num_regressors=bad)
    for metric, _ in PAIRS:
        with pytest.raises(ShapeError, match=r"\(4,\).*\(4, 2\)"):
            metric()(np.ones(4), np.ones((4, 2)))


def test_kernels_name_the_compiled_accumulators():
    assert metrics.MeanSquaredError.kernel == "mean_squared_error"
    assert metrics.MeanAbsoluteError.kernel == "mean_absolute_error"
    assert metrics.RootMeanSquaredError.kernel == "mean_squared_error"
    assert metrics.RootMeanSquaredError().finish(4.0) == 2.0
    assert metrics.MeanSquaredError().finish(4.0) == 4.0
    assert metrics.MeanAbsolutePercentageError.kernel is None
