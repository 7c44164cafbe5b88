"""The forms of the elementwise activations: what kernels on every device are written for."""

from __future__ import annotations

import math
from typing import Any

from fastnn.ops.activations import SELU_ALPHA, SELU_SCALE


def form(name: str, attrs: dict[str, Any]) -> tuple[str, tuple[float, float, float]]:
    """Return which form of an activation these attributes ask for, and its three constants.

    Kernels on every device are written for these forms: ``relu`` and ``relu_general``, ``gelu_erf`` and
    ``gelu_tanh``; the others have their op's name.
    """
    if name == "relu":
        if (
            attrs.get("negative_slope", 0.0)
            or attrs.get("max_value") is not None
            or attrs.get("threshold", 0.0)
        ):
            top = attrs.get("max_value")
            return "relu_general", (
                attrs.get("negative_slope", 0.0),
                math.inf if top is None else top,
                attrs.get("threshold", 0.0),
            )
        return "relu", (0.0, 0.0, 0.0)
    if name == "gelu":
        if attrs.get("approximate", False):
            return "gelu_tanh", (math.sqrt(2.0 / math.pi), 0.5, 0.044715)
        return "gelu_erf", (math.sqrt(0.5), 0.5, 1.0 / math.sqrt(2.0 * math.pi))
    if name == "selu":
        return name, (SELU_ALPHA, SELU_SCALE, 0.0)
    if name == "hard_sigmoid":
        return name, (1.0, 1.0 / 6.0, 0.5)
    if name == "leaky_relu":
        return name, (attrs.get("negative_slope", 0.2), 0.0, 0.0)
    if name in ("elu", "celu"):
        return name, (attrs.get("alpha", 1.0), 0.0, 0.0)
    values = tuple(float(v) for v in attrs.values())[:3]
    return name, (values + (1.0, 0.0, 0.0)[len(values) :])  # type: ignore[return-value]
