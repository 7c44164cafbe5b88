"""Every kernel file, so that all ops are registered."""

from __future__ import annotations

from fastnn.backends.gpu import data, elementwise
from fastnn.backends.gpu.lowering import has_lowering, lower

__all__ = ["data", "elementwise", "has_lowering", "lower"]
