"""Metrics that are sums over rows, added to a float64 accumulator while training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, lowers

_TERMS = {"metric_binary_accuracy": 0, "metric_mean_squared_error": 1, "metric_mean_absolute_error": 2}


def _operands(instruction: Any) -> tuple[Any, Any, Any]:
    target, prediction, *weight = instruction.inputs
    return target, prediction, weight[0] if weight else None


@lowers(*_TERMS)
def lower_elementwise(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a metric that is a mean over columns."""
    expected, prediction, weight = _operands(instruction)
    arguments = (REGISTERS, expected, prediction, weight, *instruction.outputs, prediction.spec.size)
    return [Launch(target.variant("metrics", TERM=_TERMS[instruction.op]), "metric_mean", (1,), arguments)]


@lowers("metric_categorical_accuracy", "metric_sparse_categorical_accuracy")
def lower_classes(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the accuracies over classes."""
    expected, prediction, weight = _operands(instruction)
    targets = (expected, None) if "sparse" in instruction.op else (None, expected)
    arguments = (REGISTERS, *targets, prediction, weight, *instruction.outputs, prediction.spec.size)
    return [Launch(target.variant("metrics"), "metric_hits", (1,), arguments)]
