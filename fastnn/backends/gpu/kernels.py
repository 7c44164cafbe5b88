"""Every kernel file, so that all ops are registered."""

from __future__ import annotations

from fastnn.backends.gpu import (
    activations,
    custom,
    data,
    dropout,
    elementwise,
    embedding,
    linear,
    losses,
    metrics,
    normalization,
    reduce,
    schedules,
    update_gradients,
    update_weights,
    updates,
)
from fastnn.backends.gpu.lowering import has_lowering, lower

__all__ = [
    "activations",
    "custom",
    "data",
    "dropout",
    "elementwise",
    "embedding",
    "has_lowering",
    "linear",
    "losses",
    "lower",
    "metrics",
    "normalization",
    "reduce",
    "schedules",
    "update_gradients",
    "update_weights",
    "updates",
]
