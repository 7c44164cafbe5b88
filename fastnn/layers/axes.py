"""The `axis` argument of layers that work along the last axis only."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, ShapeError
from fastnn.layers.base import Layer
from fastnn.ops.registry import Spec


def check_axis(axis: Any, layer: Layer) -> int:
    """Return a layer's `axis` argument (an int, or a list of one) if it may be the last axis.

    Raises
    ------
    ArgumentError
        If it is no integer, or certainly another axis than the last.
    """
    found = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    if isinstance(found, bool) or not isinstance(found, (int, np.integer)) or (found < 1 and found != -1):
        raise ArgumentError(
            f"{type(layer).__name__} layer {layer.name!r} works along the last axis only: expected axis=-1. "
            f"Received: axis={axis!r}."
        )
    return int(found)


def check_last_axis(axis: int, spec: Spec, layer: Layer) -> None:
    """Check that `axis`, with the rows counted as axis 0, is the last axis of such values.

    Raises
    ------
    ShapeError
        If a row has no axis.
    ArgumentError
        If `axis` is not the last one.
    """
    if not spec.shape:
        raise ShapeError(f"{type(layer).__name__} needs rows of at least one axis. Received: scalars.")
    if axis not in (-1, len(spec.shape)):
        raise ArgumentError(
            f"{type(layer).__name__} layer {layer.name!r} works along the last axis only: expected axis=-1 "
            f"or axis={len(spec.shape)} for rows of shape {spec.shape}. Received: axis={axis}."
        )
