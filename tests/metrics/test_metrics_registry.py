"""Metrics by name, by shape and as functions; directions of history keys."""

import json

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from fastnn import metrics
from fastnn.errors import ArgumentError, DtypeError, ShapeError, UnknownNameError


@pytest.mark.parametrize(
    ("name", "cls"),
    [
        ("acc", "Accuracy"),
        ("accuracy", "Accuracy"),
        ("binary_accuracy", "BinaryAccuracy"),
        ("BinaryAccuracy", "BinaryAccuracy"),
        ("auc", "AUC"),
        ("AUC", "AUC"),
        ("roc_auc", "ROCAUC"),
        ("pr_auc", "PRAUC"),
        ("average_precision", "PRAUC"),
        ("mse", "MeanSquaredError"),
        ("MSE", "MeanSquaredError"),
        ("mean_squared_error", "MeanSquaredError"),
        ("mae", "MeanAbsoluteError"),
        ("rmse", "RootMeanSquaredError"),
        ("mape", "MeanAbsolutePercentageError"),
        ("msle", "MeanSquaredLogarithmicError"),
        ("r2", "R2Score"),
        ("r2_score", "R2Score"),
        ("ic", "InformationCoefficient"),
        ("rank_ic", "RankInformationCoefficient"),
        ("icir", "InformationRatio"),
        ("f1", "F1Score"),
        ("f1_score", "F1Score"),
        ("fbeta_score", "FBetaScore"),
        ("precision", "Precision"),
        ("recall", "Recall"),
        ("logloss", "LogLoss"),
        ("log_loss", "LogLoss"),
        ("bce", "BinaryCrossentropy"),
        ("sparse_categorical_crossentropy", "SparseCategoricalCrossentropy"),
        ("top_k_categorical_accuracy", "TopKCategoricalAccuracy"),
        ("pearson_correlation", "PearsonCorrelation"),
        ("spearman", "SpearmanCorrelation"),
    ],
)
def test_get_by_name(name, cls):
    metric = metrics.get(name)
    assert type(metric).__name__ == cls
    assert metric.name == name
    assert metrics.direction_of(name) == metric.direction
    assert metrics.get(name) is not metric


def test_every_name_makes_a_metric_and_has_a_direction():
    for name in metrics.names():
        assert metrics.direction_of(name) in ("min", "max")
        assert metrics.direction_of(f"val_out_{name}_2") == metrics.direction_of(name)
        metric = metrics.resolve(name, output_shape=(None, 3), target_shape=(None,))
        assert metric.name == name


def test_names_with_arguments():
    assert metrics.get("f1").average == "macro"
    assert metrics.get("f1_score").average == "macro"
    assert metrics.get("F1Score").average is None
    assert metrics.get("rank_icir").rank


def test_unknown_name_suggests():
    with pytest.raises(UnknownNameError, match=r"Unknown metric.*'acuracy'\. Did you mean 'accuracy'"):
        metrics.get("acuracy")
    with pytest.raises(UnknownNameError, match="Unknown metric"):
        metrics.resolve("acuracy", output_shape=(None, 1))
    with pytest.raises(UnknownNameError, match=r"'AUCC'.*'AUC'"):
        metrics.get({"class_name": "AUCC", "config": {}})


def test_get_other_identifiers():
    auc = metrics.AUC()
    assert metrics.get(auc) is auc
    assert isinstance(metrics.get(metrics.AUC), metrics.AUC)
    assert metrics.get({"class_name": "AUC", "config": {"curve": "PR"}}).curve == "PR"
    for bad in (3, None):
        with pytest.raises(DtypeError, match="identifier"):
            metrics.get(bad)
    for name in ("ce", "crossentropy"):
        with pytest.raises(ArgumentError, match="resolve"):
            metrics.get(name)
    for config in ({"config": {}}, {"class_name": "MeanSquaredError", "config": {"beta": 1}}):
        with pytest.raises(ArgumentError, match="deserialize"):
            metrics.get(config)


def test_serialize_is_json_and_builtin_only():
    config = json.loads(json.dumps(metrics.serialize(metrics.FBetaScore(beta=2.0, name="f2"))))
    assert metrics.deserialize(config).get_config() == metrics.FBetaScore(beta=2.0, name="f2").get_config()
    with pytest.raises(ArgumentError, match="built-in"):
        metrics.serialize(metrics.FunctionMetric(np.maximum, name="m"))


@pytest.mark.parametrize("name", ["accuracy", "acc", "Accuracy", "crossentropy", "ce"])
@pytest.mark.parametrize(
    ("output", "target", "sparse", "kind"),
    [
        ((None, 1), (None,), False, "Binary"),
        ((None, 1), (None, 1), False, "Binary"),
        ((None, 1), None, False, "Binary"),
        ((None, 1), None, True, "Binary"),
        ((None,), (None,), False, "Binary"),
        ((None, 2), (None, 2), False, "Categorical"),
        ((10, 3), (10, 3), False, "Categorical"),
        ((None, 3), None, False, "Categorical"),
        ((None, 3), None, True, "SparseCategorical"),
        ((None, 3), (None,), False, "SparseCategorical"),
        ((None, 3), (None, 1), False, "SparseCategorical"),
    ],
)
def test_resolve_by_shape(name, output, target, sparse, kind):
    metric = metrics.resolve(name, output_shape=output, target_shape=target, sparse=sparse)
    suffix = "Accuracy" if name.lower().startswith("acc") else "Crossentropy"
    assert type(metric).__name__ == kind + suffix
    assert metric.name == name


def test_resolve_refuses_targets_that_fit_nothing():
    with pytest.raises(ShapeError, match=r"\(None, 4\).*\(None, 3\)"):
        metrics.resolve("accuracy", output_shape=(None, 3), target_shape=(None, 4))


def test_resolve_passes_the_rest_to_get():
    assert isinstance(metrics.resolve("auc", output_shape=(None, 1)), metrics.AUC)
    metric = metrics.AUC()
    assert metrics.resolve(metric, output_shape=(None, 1)) is metric


@pytest.mark.parametrize(
    ("key", "direction"),
    [
        ("loss", "min"),
        ("val_loss", "min"),
        ("price_loss", "min"),
        ("val_price_mean_squared_error", "min"),
        ("val_accuracy", "max"),
        ("out_a_acc", "max"),
        ("val_ce", "min"),
        ("auc_1", "max"),
        ("val_out_1_auc_12", "max"),
        ("weighted_mae", "min"),
        ("val_AUC", "max"),
    ],
)
def test_direction_of(key, direction):
    assert metrics.direction_of(key) == direction


@pytest.mark.parametrize("key", ["lr", "val_", "lossy", "score", "auc_curve"])
def test_direction_of_unknown(key):
    with pytest.raises(ArgumentError, match="mode="):
        metrics.direction_of(key)


def test_direction_of_metrics_in_use():
    used = [metrics.AUC(name="area"), metrics.FunctionMetric(np.subtract, name="mse")]
    assert metrics.direction_of("val_out_area", used) == "max"
    with pytest.raises(ArgumentError):
        metrics.direction_of("area")
    with pytest.raises(ArgumentError):  # the user's function has taken the name
        metrics.direction_of("val_mse", used)
    with pytest.raises(ArgumentError):
        metrics.direction_of("my_mse", [metrics.FunctionMetric(np.subtract, name="my_mse")])


def bias(y_true, y_pred):
    return y_pred - y_true


def test_function_of_rows():
    metric = metrics.get(bias)
    assert metric.name == "bias"
    assert metric.direction is None
    assert metric([1.0, 2.0], [2.0, 5.0]) == 2.0
    assert metric([1.0, 2.0], [2.0, 5.0], [3.0, 1.0]) == 1.5
    assert metric([[1.0], [2.0]], [[2.0], [5.0]], groups=[0, 1]) == 2.0
    metric.update_state([1.0], [2.0])
    metric.update_state([2.0], [5.0])
    assert metric.result() == 2.0
    assert metrics.FunctionMetric.from_config(metric.get_config()).fn is bias


def test_function_of_everything():
    rng = np.random.default_rng(0)
    y_true, p, weight = rng.integers(0, 2, 50), rng.random(50), rng.random(50)
    metric = metrics.get(roc_auc_score)
    assert metric.name == "roc_auc_score"
    assert metric(y_true, p, weight) == roc_auc_score(y_true, p, sample_weight=weight)
    metric = metrics.FunctionMetric(lambda t, q: log_loss(t, y_proba=q), direction="min")
    assert metric.name == "lambda"
    assert metrics.direction_of("lambda", [metric]) == "min"
    assert metric(y_true, p) == log_loss(y_true, y_proba=p)
    with pytest.raises(ArgumentError, match="sample_weight"):
        metric(y_true, p, weight)


def test_function_refusals():
    with pytest.raises(ShapeError, match=r"\(2,\).*\(2, 3\)"):
        metrics.get(lambda t, p: np.ones((2, 3)))([0, 1], [0, 1])
    with pytest.raises(ArgumentError, match="callable"):
        metrics.FunctionMetric("bias")
    with pytest.raises(ArgumentError, match="direction"):
        metrics.FunctionMetric(bias, direction="up")
