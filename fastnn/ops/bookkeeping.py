"""Ops that write to the caller: sums over an epoch, and results. They have no outputs of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.errors import ShapeError
from fastnn.ops.registry import Op, Spec, register

#: Metrics that are sums over rows, by op; `fastnn.metrics` names them without the prefix.
METRICS = (
    "metric_binary_accuracy",
    "metric_categorical_accuracy",
    "metric_sparse_categorical_accuracy",
    "metric_mean_squared_error",
    "metric_mean_absolute_error",
)
_CLASSES = frozenset(["metric_categorical_accuracy", "metric_sparse_categorical_accuracy"])


def _nothing(*arrays: Any, **attrs: Any) -> tuple[()]:
    return ()


def _no_outputs(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> list[Spec]:
    return []


def _one_weight(specs: Sequence[Spec]) -> None:
    if specs and specs[0].size != 1:
        raise ShapeError(f"Expected one weight a row. Received: {specs[0].shape} a row.")


def _sum_shape(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> list[Spec]:
    if specs[0].size != 1:
        raise ShapeError(f"accumulate takes one value a row. Received: {specs[0].shape} a row.")
    _one_weight(specs[1:])
    return []


def _metric_shape(name: str):
    def shape(specs, attrs):
        target, prediction = specs[0], specs[1]
        expected = 1 if "sparse" in name else prediction.size
        if target.size != expected or (name in _CLASSES and prediction.size < 2):
            raise ShapeError(
                f"{name}: target and prediction do not fit. "
                f"Received: target {target.shape}, prediction {prediction.shape} a row."
            )
        _one_weight(specs[2:])
        return []

    return shape


register(
    Op(
        "accumulate",
        ("values", "weight"),
        _sum_shape,
        _nothing,
        attrs={"accumulator": 0},
        outputs=(),
        optional=1,
        summary="accumulator += sum of values (times weight)",
    )
)
register(
    Op(
        "store",
        ("x", "order"),
        _no_outputs,
        _nothing,
        attrs={"output": 0},
        outputs=(),
        optional=1,
        summary="write the rows of x to the caller's array, in order or at the rows they came from",
    )
)
for _name in METRICS:
    register(
        Op(
            _name,
            ("labels" if "sparse" in _name else "target", "prediction", "weight"),
            _metric_shape(_name),
            _nothing,
            attrs={"accumulator": 0},
            outputs=(),
            optional=1,
            summary=f"accumulator += sum of the {_name.removeprefix('metric_')} of each row (times weight)",
        )
    )
