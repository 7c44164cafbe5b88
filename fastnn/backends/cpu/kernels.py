"""All kernels of the CPU backend: importing this file registers every lowering."""

from __future__ import annotations

from fastnn.backends.cpu import (
    activations,
    data,
    dropout,
    elementwise,
    embedding,
    finite,
    fused,
    linear,
    loss_classes,
    losses,
    losses_rowwise,
    metrics,
    normalization,
    reduce,
    schedules,
    update_gradients,
    update_weights,
    updates,
)
from fastnn.backends.cpu.lowering import has_lowering, lower

__all__ = [
    "activations",
    "data",
    "dropout",
    "elementwise",
    "embedding",
    "finite",
    "fused",
    "has_lowering",
    "linear",
    "loss_classes",
    "losses",
    "losses_rowwise",
    "lower",
    "metrics",
    "normalization",
    "reduce",
    "schedules",
    "update_gradients",
    "update_weights",
    "updates",
]
