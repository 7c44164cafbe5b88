"""Correlations and information coefficients against SciPy, NumPy and loops over groups."""

import math

import numpy as np
import pytest
from scipy.stats import pearsonr, rankdata, spearmanr

from fastnn import metrics
from fastnn.errors import ArgumentError

PAIRS = [
    (metrics.PearsonCorrelation, pearsonr),
    (metrics.InformationCoefficient, pearsonr),
    (metrics.SpearmanCorrelation, spearmanr),
    (metrics.RankInformationCoefficient, spearmanr),
]
RANKED = [metrics.SpearmanCorrelation, metrics.RankInformationCoefficient]


def make(rows=600, ties=False, dtype=np.float64):
    rng = np.random.default_rng(0)
    y_true = rng.normal(size=rows)
    y_pred = 0.3 * y_true + rng.normal(size=rows)
    if ties:
        y_true, y_pred = np.round(y_true), np.round(y_pred)
    return y_true.astype(dtype), y_pred.astype(dtype)


@pytest.mark.parametrize(("metric", "oracle"), PAIRS)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_correlation(metric, oracle, ties, dtype):
    y_true, y_pred = make(ties=ties, dtype=dtype)
    expected = oracle(y_true.astype(np.float64), y_pred.astype(np.float64))[0]
    for true, pred in ((y_true, y_pred), (y_true[:, None], y_pred), (y_true[:, None], y_pred[:, None])):
        assert metric()(true, pred) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("metric", "oracle"), PAIRS)
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("ordered", [False, True])
def test_by_group(metric, oracle, ties, ordered):
    y_true, y_pred = make(ties=ties)
    dates = np.datetime64("2020-01-01") + np.random.default_rng(1).integers(0, 25, 600)
    dates = np.sort(dates) if ordered else dates
    expected = [oracle(y_true[rows], y_pred[rows])[0] for rows in (dates == d for d in np.unique(dates))]
    labels, values = metric().per_group(y_true, y_pred, dates)
    np.testing.assert_array_equal(labels, np.unique(dates))
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)
    assert metric()(y_true[:, None], y_pred[:, None], groups=dates[:, None]) == pytest.approx(
        np.mean(expected)
    )


@pytest.mark.parametrize(("metric", "oracle"), PAIRS)
@pytest.mark.parametrize("grouped", [False, True])
def test_weights_repeat_rows(metric, oracle, grouped):
    y_true, y_pred = make(ties=True)
    weight = np.random.default_rng(2).integers(0, 4, 600)
    groups = np.repeat([0, 1], 300) if grouped else None
    again = np.repeat(np.arange(600), weight)
    expected = metric()(y_true[again], y_pred[again], groups=groups[again] if grouped else None)
    assert metric()(y_true, y_pred, weight, groups) == pytest.approx(expected, rel=1e-10)
    if not grouped:
        assert expected == pytest.approx(oracle(y_true[again], y_pred[again])[0], rel=1e-10)


def test_pearson_with_fractional_weights():
    y_true, y_pred = make()
    weight = np.random.default_rng(3).random(600)
    cov = np.cov(y_true, y_pred, aweights=weight)
    expected = cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1])
    assert metrics.PearsonCorrelation()(y_true, y_pred, weight) == pytest.approx(expected, rel=1e-10)


def test_weighted_ranks_use_the_weight_below_and_half_the_tie():
    y_true, y_pred = np.array([1.0, 2.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0, 4.0])
    weight = np.array([0.5, 1.5, 1.0, 2.0])
    ranks_true, ranks_pred = np.array([0.25, 1.75, 1.75, 4.0]), np.array([0.25, 2.25, 1.0, 4.0])
    cov = np.cov(ranks_true, ranks_pred, aweights=weight)
    expected = cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1])
    assert metrics.SpearmanCorrelation()(y_true, y_pred, weight) == pytest.approx(expected, rel=1e-12)


def test_ties_do_not_cross_groups():
    y_true, y_pred, groups = (
        [1.0, 2.0, 4.0, 4.0, 5.0, 7.0],
        [1.0, 3.0, 4.0, 4.0, 4.0, 6.0],
        [0, 0, 0, 1, 1, 1],
    )
    expected = [1.0, spearmanr(y_true[3:], y_pred[3:])[0]]
    values = metrics.SpearmanCorrelation().per_group(y_true, y_pred, groups)[1]
    np.testing.assert_allclose(values, expected, rtol=1e-12)


@pytest.mark.parametrize("metric", RANKED)
def test_rank_correlation_sees_only_ranks(metric):
    y_true, y_pred = make(ties=True)
    assert metric()(y_true, y_pred) == pytest.approx(metric()(rankdata(y_true), np.exp(y_pred)), rel=1e-12)


@pytest.mark.parametrize(("metric", "oracle"), PAIRS)
def test_columns_are_averaged(metric, oracle):
    y_true, y_pred = (z.reshape(300, 2) for z in make())
    expected = np.mean([oracle(y_true[:, k], y_pred[:, k])[0] for k in (0, 1)])
    assert metric()(y_true, y_pred) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("metric", "oracle"), PAIRS)
def test_constant_is_nan_and_left_out_of_the_mean(metric, oracle):
    assert math.isnan(metric()([1.0, 2.0, 3.0], [0.1, 0.1, 0.1]))
    assert math.isnan(metric()([0.1] * 7, np.arange(7)))
    assert math.isnan(metric()([1.0], [2.0]))
    y_true, y_pred, dates = [1.0, 2.0, 3.0, 1.0, 2.0, 5.0], [3.0, 4.0, 5.0, 0.1, 0.1, 1.0], [1, 1, 1, 2, 2, 3]
    assert metric()(y_true, y_pred, groups=dates) == pytest.approx(1.0)
    np.testing.assert_allclose(metric().per_group(y_true, y_pred, dates)[1], [1.0, np.nan, np.nan])


@pytest.mark.parametrize(("metric", "oracle"), PAIRS)
def test_nan_is_not_hidden_by_groups(metric, oracle):
    y_true, y_pred, dates = np.arange(6.0), np.arange(6.0), np.repeat([0, 1], 3)
    y_pred[4] = np.nan
    assert math.isnan(metric()(y_true, y_pred, groups=dates))
    np.testing.assert_allclose(metric().per_group(y_true, y_pred, dates)[1], [1.0, np.nan])
    np.testing.assert_allclose(metric().per_group(y_pred, y_true, dates)[1], [1.0, np.nan])


@pytest.mark.parametrize("rank", [False, True])
def test_information_ratio(rank):
    y_true, y_pred = make()
    dates = np.repeat(np.arange(20), 30)
    oracle = spearmanr if rank else pearsonr
    each = np.array([oracle(y_true[dates == d], y_pred[dates == d])[0] for d in range(20)])
    expected = each.mean() / each.std(ddof=1)
    assert metrics.InformationRatio(rank)(y_true, y_pred, groups=dates) == pytest.approx(expected, rel=1e-10)


def test_information_ratio_needs_groups_that_differ():
    metric = metrics.InformationRatio()
    assert math.isnan(metric([1.0, 2.0], [1.0, 2.0], groups=[0, 0]))
    assert math.isnan(metric([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], groups=[0, 0, 1, 1]))
    with pytest.raises(ArgumentError, match="groups"):
        metric([1.0, 2.0], [1.0, 2.0])


def test_uses_groups():
    assert metrics.InformationCoefficient().uses_groups
    assert metrics.RankInformationCoefficient().uses_groups
    assert metrics.InformationRatio().uses_groups
    assert not metrics.InformationCoefficient(by_group=False).uses_groups
    assert not metrics.PearsonCorrelation().uses_groups
    assert metrics.AUC(by_group=True).uses_groups
    assert not metrics.AUC().uses_groups
