"""What all metrics have in common: shapes, weights, NaN, groups, state, configuration."""

import inspect
import math
import pickle

import numpy as np
import pytest

from fastnn import metrics
from fastnn.errors import ArgumentError, DataError, DtypeError, ShapeError

CLASSES = [
    value
    for value in vars(metrics).values()
    if inspect.isclass(value) and value not in (metrics.Metric, metrics.MeanMetric, metrics.FunctionMetric)
]
BY_CLASS = ("Categorical", "TopK")
NEEDS_GROUPS = (metrics.InformationRatio,)


def data_for(metric, rows=120, seed=0):
    """Make targets, predictions, weights and groups that `metric` takes."""
    rng = np.random.default_rng(seed)
    weights, groups = rng.random(rows), rng.integers(0, 5, rows)
    name = type(metric).__name__
    if any(word in name for word in BY_CLASS):
        scores = rng.dirichlet(np.ones(7), rows)
        classes = rng.integers(0, 7, rows)
        return (classes if "Sparse" in name else np.eye(7)[classes]), scores, weights, groups
    if name == "Accuracy":
        return rng.integers(0, 3, (rows, 1)), rng.integers(0, 3, (rows, 1)), weights, groups
    binary = rng.integers(0, 2, rows)
    return binary, rng.random((rows, 1)), weights, groups


@pytest.fixture(params=CLASSES, ids=lambda cls: cls.__name__)
def metric(request):
    return request.param()


def value_of(metric, y_true, y_pred, weights=None, groups=None):
    if isinstance(metric, NEEDS_GROUPS) and groups is None:
        groups = np.arange(len(y_pred)) % 4
    return metric(y_true, y_pred, weights, groups)


def test_there_are_all_classes():
    assert len(CLASSES) == 28


def test_value_is_a_python_float_and_inputs_are_kept(metric):
    arrays = data_for(metric)
    before = [a.copy() for a in arrays]
    value = value_of(metric, *arrays)
    assert type(value) is float
    assert math.isfinite(value)
    for now, then in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_read_only_lists_and_strided_inputs(metric):
    y_true, y_pred, weights, _ = data_for(metric)
    expected = value_of(metric, y_true, y_pred, weights)
    assert value_of(metric, y_true.tolist(), y_pred.tolist(), weights.tolist()) == pytest.approx(expected)
    strided = [np.repeat(a, 2, axis=0)[::2] for a in (y_true, y_pred, weights)]
    for a in strided:
        a.flags.writeable = False
    assert value_of(metric, *strided) == pytest.approx(expected)
    assert value_of(metric, y_true, np.asfortranarray(y_pred), weights) == pytest.approx(expected)


def test_columns_of_one_are_squeezed_consistently(metric):
    y_true, y_pred, weights, _ = data_for(metric)
    expected = value_of(metric, y_true, y_pred, weights)
    if y_true.ndim == 1:
        assert value_of(metric, y_true[:, None], y_pred, weights[:, None]) == expected
    if y_pred.shape[1] == 1:
        assert value_of(metric, y_true, y_pred[:, 0], weights) == expected
        assert value_of(metric, y_true.reshape(-1, 1), y_pred[:, 0], weights) == expected


def test_row_order_does_not_matter(metric):
    y_true, y_pred, weights, groups = data_for(metric)
    order = np.random.default_rng(1).permutation(len(weights))
    expected = value_of(metric, y_true, y_pred, weights, groups)
    shuffled = value_of(metric, y_true[order], y_pred[order], weights[order], groups[order])
    assert shuffled == pytest.approx(expected, rel=1e-12)


def test_equal_weights_are_no_weights(metric):
    y_true, y_pred, _, groups = data_for(metric)
    weights = np.full(len(y_pred), 2.0)
    for group in (None, groups):
        expected = value_of(metric, y_true, y_pred, None, group)
        if isinstance(metric, metrics.SpearmanCorrelation | metrics.InformationRatio):
            weights = np.ones(len(y_pred))
        assert value_of(metric, y_true, y_pred, weights, group) == pytest.approx(expected, rel=1e-10)


def test_integer_weights_repeat_rows(metric):
    y_true, y_pred, _, _ = data_for(metric)
    weights = np.random.default_rng(2).integers(0, 4, len(y_pred))
    groups = np.arange(len(y_pred)) % 4 if isinstance(metric, NEEDS_GROUPS) else None
    again = np.repeat(np.arange(len(y_pred)), weights)
    expected = metric(y_true[again], y_pred[again], None, None if groups is None else groups[again])
    assert metric(y_true, y_pred, weights, groups) == pytest.approx(expected, rel=1e-10)


def test_rows_of_weight_zero_are_left_out(metric):
    y_true, y_pred, weights, groups = data_for(metric)
    weights[::3] = 0.0
    kept = weights > 0
    expected = value_of(metric, y_true[kept], y_pred[kept], weights[kept], groups[kept])
    if y_pred.dtype.kind == "f":
        y_pred[::3] = np.nan
    assert value_of(metric, y_true, y_pred, weights, groups) == expected


def test_nan_prediction_gives_nan(metric):
    y_true, y_pred, weights, groups = data_for(metric)
    y_pred = y_pred.astype(np.float64)
    y_pred[5, 0] = np.nan
    assert math.isnan(value_of(metric, y_true, y_pred))
    assert math.isnan(value_of(metric, y_true, y_pred, weights, groups))
    metric.update_state(y_true, y_pred, weights)
    assert math.isnan(metric.result())
    labels, values = metric.per_group(y_true, y_pred, groups)
    assert np.isnan(values[labels == groups[5]]).all()
    assert np.isfinite(values[labels != groups[5]]).all()


def test_nan_target_gives_nan(metric):
    y_true, y_pred, _, _ = data_for(metric)
    y_true = y_true.astype(np.float64)
    y_true[5] = np.nan
    assert math.isnan(value_of(metric, y_true, y_pred))
    metric.update_state(y_true, y_pred)
    assert math.isnan(metric.result())


def test_no_rows_give_nan(metric):
    y_true, y_pred, _, _ = data_for(metric)
    assert math.isnan(metric.result())
    assert math.isnan(metric(y_true[:0], y_pred[:0]))
    assert math.isnan(metric(y_true[:0], y_pred[:0], np.ones(0), np.ones(0)))
    assert math.isnan(metric(y_true, y_pred, np.zeros(len(y_pred))))
    labels, values = metric.per_group(y_true[:0], y_pred[:0], np.ones(0))
    assert labels.shape == values.shape == (0,)


def test_groups_are_a_loop(metric):
    y_true, y_pred, weights, groups = data_for(metric)
    labels, values = metric.per_group(y_true, y_pred, groups, weights)
    np.testing.assert_array_equal(labels, np.unique(groups))
    if isinstance(metric, NEEDS_GROUPS):
        return
    expected = [metric(y_true[r], y_pred[r], weights[r]) for r in (groups == g for g in labels)]
    np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-12)
    assert metric(y_true, y_pred, weights, groups) == pytest.approx(np.mean(expected), rel=1e-10)
    names = np.array(["b", "d", "a", "e", "c"])[groups]
    assert metric(y_true, y_pred, weights, names) == pytest.approx(np.mean(expected), rel=1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_state_gives_the_value_of_all_rows(metric, weighted):
    y_true, y_pred, weights, groups = data_for(metric)
    weights = weights if weighted else None
    groups = None if isinstance(metric, metrics.MeanMetric) else groups
    expected = metric(y_true, y_pred, weights, groups)
    for _ in range(2):
        for start in range(0, len(y_pred), 50):
            rows = slice(start, start + 50)
            batch = [None if a is None else a[rows].copy() for a in (y_true, y_pred, weights, groups)]
            metric.update_state(*batch)
            for a in batch:  # a trainer may reuse its buffers
                if a is not None:
                    a[...] = 0
        assert metric.result() == pytest.approx(expected, rel=1e-12)
        assert metric(y_true, y_pred, weights, groups) == expected  # a call leaves the state alone
        assert metric.result() == pytest.approx(expected, rel=1e-12)
        metric.reset_state()
        assert math.isnan(metric.result())


def test_state_mixes_batches_with_and_without_weights(metric):
    y_true, y_pred, weights, _ = data_for(metric)
    groups = np.arange(len(y_pred)) % 4 if isinstance(metric, NEEDS_GROUPS) else None
    weights[:50] = 1.0
    metric.update_state(y_true[:50], y_pred[:50], None, None if groups is None else groups[:50])
    metric.update_state(y_true[50:], y_pred[50:], weights[50:], None if groups is None else groups[50:])
    assert metric.result() == pytest.approx(metric(y_true, y_pred, weights, groups), rel=1e-12)


def test_config_round_trip(metric):
    config = metric.get_config()
    assert set(config) == set(inspect.signature(type(metric)).parameters) - {"unsupported", "options"} | (
        {"multi_label", "from_logits", "by_group"} if isinstance(metric, metrics.AUC) else set()
    )
    again = type(metric).from_config({**config, "name": "other"})
    assert again.get_config() == {**config, "name": "other"}
    assert metrics.get(metrics.serialize(metric)).get_config() == config
    arrays = data_for(metric)
    assert pickle.loads(pickle.dumps(metric))(*arrays) == metric(*arrays)
    assert repr(metric).startswith(type(metric).__name__ + "(name=")


@pytest.mark.parametrize(
    "made",
    [
        metrics.BinaryAccuracy(threshold=0.3),
        metrics.TopKCategoricalAccuracy(k=3),
        metrics.SparseTopKCategoricalAccuracy(k=3),
        metrics.Precision(thresholds=[0.1, 0.2], top_k=2, class_id=1),
        metrics.Recall(thresholds=0.2),
        metrics.FBetaScore(average="micro", beta=2.0, threshold=0.3),
        metrics.F1Score(average="weighted", threshold=0.3),
        metrics.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics.SparseCategoricalCrossentropy(from_logits=True),
        metrics.AUC("PR", multi_label=True, from_logits=True, by_group=True),
        metrics.ROCAUC(multi_label=True, from_logits=True, by_group=True),
        metrics.R2Score(None, 3),
        metrics.PearsonCorrelation(by_group=True),
        metrics.RankInformationCoefficient(by_group=False),
        metrics.InformationRatio(rank=True),
    ],
    ids=repr,
)
def test_config_keeps_every_argument(made):
    default = type(made)().get_config()
    config = made.get_config()
    assert all(
        config[key] != default[key]
        for key in config
        if key not in ("name", "top_k", "class_id", "thresholds")
    )
    assert type(made).from_config(config).get_config() == config


def test_shapes_that_do_not_fit_name_both(metric):
    with pytest.raises(ShapeError, match=r"\(3, 2\).*\(3, 4\)"):
        value_of(metric, np.ones((3, 2)), np.ones((3, 4)))
    with pytest.raises(ShapeError, match=r"\(4,\).*\(3, 1\)"):
        metric(np.ones(4), np.ones((3, 1)))
    with pytest.raises(ShapeError, match="row axis"):
        metric(1.0, 1.0)


def test_bad_weights_groups_and_dtypes_are_refused(metric):
    y_true, y_pred, weights, groups = data_for(metric)
    with pytest.raises(ShapeError, match="sample_weight"):
        metric(y_true, y_pred, weights[:-1])
    with pytest.raises(ShapeError, match="sample_weight"):
        metric(y_true, y_pred, np.ones((120, 2)))
    with pytest.raises(ShapeError, match="groups"):
        metric(y_true, y_pred, None, groups[:-1])
    for bad in (-1.0, np.nan, np.inf):
        weights[3] = bad
        with pytest.raises(DataError, match="weights"):
            metric(y_true, y_pred, weights)
    missing = np.full(120, np.datetime64("2020-01-01"))
    missing[7] = np.datetime64("NaT")
    with pytest.raises(DataError, match="missing"):
        metric(y_true, y_pred, None, missing)
    with pytest.raises(DtypeError, match="y_true"):
        metric(np.full(120, "up"), y_pred)
    with pytest.raises(ArgumentError, match="name"):
        type(metric)(name="")


def test_direction_is_declared(metric):
    low = ("Error", "Loss", "entropy")
    assert metric.direction == ("min" if type(metric).__name__.endswith(low) else "max")


def test_state_refuses_a_change_of_shape_or_of_groups():
    auc = metrics.AUC()
    auc.update_state([0, 1], [0.1, 0.2])
    with pytest.raises(ShapeError, match="between updates"):
        auc.update_state([0, 1], [[0.1], [0.2]])
    with pytest.raises(ArgumentError, match="groups"):
        auc.update_state([0, 1], [0.1, 0.2], groups=[0, 1])
    with pytest.raises(ArgumentError, match="groups"):
        metrics.MeanSquaredError().update_state([0, 1], [0.1, 0.2], groups=[0, 1])


@pytest.mark.parametrize("make", [lambda: metrics.F1Score(), lambda: metrics.Precision([0.2, 0.5])])
def test_array_values_by_group_and_undefined(make):
    metric, rng = make(), np.random.default_rng(0)
    y_true, y_pred, groups = np.eye(2)[rng.integers(0, 2, 60)], rng.random((60, 2)), np.repeat([0, 1, 2], 20)
    _, values = metric.per_group(y_true, y_pred, groups)
    assert values.shape == (3, 2)
    np.testing.assert_allclose(metric(y_true, y_pred, groups=groups), values.mean(axis=0))
    y_pred[3] = np.nan
    assert np.isnan(metric(y_true, y_pred)).tolist() == [True, True]
    assert np.isnan(metric(y_true[:0], y_pred[:0])).tolist() == [True, True]
    assert np.isnan(metric.per_group(y_true, y_pred, groups)[1]).tolist() == [
        [True, True],
        [False] * 2,
        [False] * 2,
    ]


def test_float32_row_values_are_float64():
    for cls in CLASSES:
        if issubclass(cls, metrics.MeanMetric):
            y_true, y_pred, _, _ = data_for(cls())
            pred = y_pred.astype(np.float32) if y_pred.dtype.kind == "f" else y_pred
            values = cls().row_values(y_true, pred)
            assert (values.dtype, values.shape) == (np.float64, (120,))


def test_row_values_mark_rows_with_nan():
    for cls in CLASSES:
        if issubclass(cls, metrics.MeanMetric):
            y_true, y_pred, _, _ = data_for(cls())
            y_pred = y_pred.astype(np.float64)
            y_pred[5, -1] = np.nan
            assert np.flatnonzero(np.isnan(cls().row_values(y_true, y_pred))).tolist() == [5], cls
