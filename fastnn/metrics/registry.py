"""Metrics by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

from fastnn.errors import ArgumentError, DtypeError, ShapeError, unknown_name
from fastnn.metrics import accuracy, confusion, correlation, crossentropy, ranking, regression
from fastnn.metrics.base import Metric
from fastnn.metrics.function import FunctionMetric

_CLASSES: tuple[type[Metric], ...] = (
    accuracy.Accuracy,
    accuracy.BinaryAccuracy,
    accuracy.CategoricalAccuracy,
    accuracy.SparseCategoricalAccuracy,
    accuracy.TopKCategoricalAccuracy,
    accuracy.SparseTopKCategoricalAccuracy,
    confusion.Precision,
    confusion.Recall,
    confusion.FBetaScore,
    confusion.F1Score,
    crossentropy.LogLoss,
    crossentropy.BinaryCrossentropy,
    crossentropy.CategoricalCrossentropy,
    crossentropy.SparseCategoricalCrossentropy,
    ranking.AUC,
    ranking.ROCAUC,
    ranking.PRAUC,
    regression.MeanSquaredError,
    regression.RootMeanSquaredError,
    regression.MeanAbsoluteError,
    regression.MeanAbsolutePercentageError,
    regression.MeanSquaredLogarithmicError,
    regression.R2Score,
    correlation.PearsonCorrelation,
    correlation.SpearmanCorrelation,
    correlation.InformationCoefficient,
    correlation.RankInformationCoefficient,
    correlation.InformationRatio,
)
_BY_CLASS_NAME: dict[str, type[Metric]] = {cls.__name__: cls for cls in _CLASSES}


def _macro(factory: Callable[..., Metric]) -> Callable[..., Metric]:
    return lambda: factory(average="macro")


_BY_NAME: dict[str, Callable[..., Metric]] = {
    **{inspect.signature(cls).parameters["name"].default: cls for cls in _CLASSES},
    "acc": accuracy.Accuracy,
    "f1": _macro(confusion.F1Score),
    "f1_score": _macro(confusion.F1Score),
    "fbeta": _macro(confusion.FBetaScore),
    "fbeta_score": _macro(confusion.FBetaScore),
    "logloss": crossentropy.LogLoss,
    "bce": crossentropy.BinaryCrossentropy,
    "cce": crossentropy.CategoricalCrossentropy,
    "average_precision": ranking.PRAUC,
    "mse": regression.MeanSquaredError,
    "rmse": regression.RootMeanSquaredError,
    "mae": regression.MeanAbsoluteError,
    "mape": regression.MeanAbsolutePercentageError,
    "msle": regression.MeanSquaredLogarithmicError,
    "r2": regression.R2Score,
    "pearson": correlation.PearsonCorrelation,
    "spearman": correlation.SpearmanCorrelation,
    "ic": correlation.InformationCoefficient,
    "rank_ic": correlation.RankInformationCoefficient,
    "rank_icir": lambda: correlation.InformationRatio(rank=True),
}
# names that stand for one of three metrics: (binary, categorical, sparse)
_BY_SHAPE: dict[str, tuple[type[Metric], type[Metric], type[Metric]]] = {
    **dict.fromkeys(
        ("accuracy", "acc"),
        (accuracy.BinaryAccuracy, accuracy.CategoricalAccuracy, accuracy.SparseCategoricalAccuracy),
    ),
    **dict.fromkeys(
        ("crossentropy", "ce"),
        (
            crossentropy.BinaryCrossentropy,
            crossentropy.CategoricalCrossentropy,
            crossentropy.SparseCategoricalCrossentropy,
        ),
    ),
}


def names() -> list[str]:
    """Give all names of metrics, sorted."""
    return sorted({*_BY_NAME, *_BY_SHAPE})


def get(identifier: Any) -> Metric:
    """Give the metric for an identifier.

    Parameters
    ----------
    identifier : str, Metric, type, callable or dict
        A name ('auc', 'mse', ...; case does not matter), a class name ('MeanSquaredError'), a
        metric (given back as it is), a metric class, a function ``f(y_true, y_pred)`` (wrapped
        as `FunctionMetric`), or what `serialize` gave.

    Returns
    -------
    Metric
        A metric made from a name bears the name as typed.

    Raises
    ------
    UnknownNameError
        If no metric has the name.
    ArgumentError
        If 'crossentropy' or 'ce' is given, whose meaning depends on shapes; see `resolve`.
    DtypeError
        If `identifier` is of another type.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.get("mse")([1.0, 2.0], [1.5, 2.0])
    0.125
    >>> metrics.get("rmse").name
    'rmse'
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str):
        return _from_name(identifier)
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()  # type: ignore[call-arg]
    if callable(identifier):
        return FunctionMetric(identifier)
    raise DtypeError(
        f"metrics.get: identifier must be a name, a metric, a function or a dict. Received: {identifier!r}."
    )


def _from_name(name: str) -> Metric:
    factory: Callable[..., Metric] | None = _BY_CLASS_NAME.get(name) or _BY_NAME.get(name.lower())
    if factory is None:
        if name.lower() in _BY_SHAPE:
            raise ArgumentError(
                f"metrics.get: {name!r} depends on the shapes of outputs and targets; use "
                "metrics.resolve, or name the binary, categorical or sparse one."
            )
        raise unknown_name("metric", name, names(), "metrics.get")
    metric = factory()
    metric.name = name
    return metric


def resolve(
    identifier: Any,
    *,
    output_shape: tuple[int | None, ...],
    target_shape: tuple[int | None, ...] | None = None,
    sparse: bool = False,
) -> Metric:
    """Give the metric for an identifier, choosing 'accuracy' and 'crossentropy' by shape as Keras does.

    One output unit means binary. With more, integer targets mean sparse categorical and targets
    with a column per unit categorical. Like Keras, this ignores the loss: for several yes/no
    outputs ask for 'binary_accuracy'.

    Parameters
    ----------
    identifier : str, Metric, type, callable or dict
        As for `get`.
    output_shape : tuple
        Shape of the output with the row axis, such as (None, 3).
    target_shape : tuple, optional
        Shape of the targets with the row axis, such as (1000,) or (None, 3).
    sparse : bool, default False
        Whether the targets are class indices, where `target_shape` does not tell.

    Returns
    -------
    Metric
        Named as typed: 'accuracy' stays 'accuracy'.

    Raises
    ------
    ShapeError
        If the targets fit none of the three.
    UnknownNameError
        If no metric has the name.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.resolve("accuracy", output_shape=(None, 3), target_shape=(None,))
    SparseCategoricalAccuracy(name='accuracy')
    >>> metrics.resolve("accuracy", output_shape=(None, 1), target_shape=(None,))
    BinaryAccuracy(name='accuracy', threshold=0.5)
    """
    choices = _BY_SHAPE.get(identifier.lower()) if isinstance(identifier, str) else None
    if choices is None:
        return get(identifier)
    binary, categorical, integer = choices
    units = output_shape[-1] if len(output_shape) > 1 else 1
    if units == 1:
        return binary(name=identifier)
    if target_shape is not None:
        sparse = sparse or len(target_shape) < len(output_shape) or target_shape[-1] == 1
        if not sparse and None not in (units, target_shape[-1]) and target_shape[-1] != units:
            raise ShapeError(
                f"{identifier}: targets must be class indices or have one column per output unit. "
                f"Received: targets of shape {target_shape}, outputs of shape {output_shape}."
            )
    return (integer if sparse else categorical)(name=identifier)


def serialize(metric: Metric) -> dict[str, Any]:
    """Give a metric as ``{'class_name': ..., 'config': ...}``, from which `get` makes it again.

    Raises
    ------
    ArgumentError
        If the metric is not one of this package: a file cannot hold a function or a user's class.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.serialize(metrics.BinaryAccuracy(threshold=0.3))
    {'class_name': 'BinaryAccuracy', 'config': {'name': 'binary_accuracy', 'threshold': 0.3}}
    """
    name = type(metric).__name__
    if _BY_CLASS_NAME.get(name) is not type(metric):
        raise ArgumentError(f"metrics.serialize: only built-in metrics can be stored. Received: {metric!r}.")
    return {"class_name": name, "config": metric.get_config()}


def deserialize(config: dict[str, Any]) -> Metric:
    """Make the metric that `serialize` described.

    Raises
    ------
    ArgumentError
        If `config` has no 'class_name', or arguments the class does not take.
    UnknownNameError
        If no metric class has the name.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.deserialize({"class_name": "AUC", "config": {"curve": "PR"}}).curve
    'PR'
    """
    if not isinstance(config.get("class_name"), str):
        raise ArgumentError(f"metrics.deserialize: expected a 'class_name'. Received: {config!r}.")
    cls = _BY_CLASS_NAME.get(config["class_name"])
    if cls is None:
        raise unknown_name("metric", config["class_name"], _BY_CLASS_NAME, "metrics.deserialize")
    try:
        return cls.from_config(config.get("config", {}))
    except TypeError as error:
        raise ArgumentError(f"metrics.deserialize: {error}. Received: {config!r}.") from error


def direction_of(name: str, metrics: Iterable[Metric] = ()) -> str:
    """Tell which way a value of the training history is better.

    The prefix 'val_', the names of outputs ('price_mse') and the number of a duplicate ('auc_1')
    are taken off until a known name remains. 'loss' is 'min'.

    Parameters
    ----------
    name : str
        Key of the history, such as 'val_loss' or 'auc'.
    metrics : iterable of Metric, optional
        The metrics in use, whose own names come first.

    Returns
    -------
    {'min', 'max'}

    Raises
    ------
    ArgumentError
        If the name is not known or its metric has no direction.

    Examples
    --------
    >>> from fastnn import metrics
    >>> metrics.direction_of("val_auc"), metrics.direction_of("val_price_loss")
    ('max', 'min')
    """
    known: dict[str, str | None] = {metric.name: metric.direction for metric in metrics}
    unknown = ArgumentError(
        f"The direction of {name!r} is not known; expected 'loss' or the name of a metric that has one. "
        f"Give mode='min' or mode='max'. Received: {name!r}."
    )
    plain = name.removeprefix("val_")
    for stem in dict.fromkeys((plain, re.sub(r"_\d+$", "", plain))):
        parts = stem.split("_")
        for start in range(len(parts)):
            key = "_".join(parts[start:])
            direction = known[key] if key in known else _direction(key)
            if direction is not None:
                return direction
            if key in known:
                raise unknown
    raise unknown


def _direction(name: str) -> str | None:
    lower = name.lower()
    if lower == "loss":
        return "min"
    if lower in _BY_SHAPE:
        return _BY_SHAPE[lower][0].direction
    if name in _BY_CLASS_NAME:
        return _BY_CLASS_NAME[name].direction
    return _BY_NAME[lower]().direction if lower in _BY_NAME else None
