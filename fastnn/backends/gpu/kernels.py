"""Every kernel file, so that all ops are registered."""

from __future__ import annotations

from fastnn.backends.gpu import activations, data, elementwise, linear
from fastnn.backends.gpu.lowering import has_lowering, lower

__all__ = ["activations", "data", "elementwise", "has_lowering", "linear", "lower"]
