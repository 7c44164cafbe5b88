"""All kernels of the CPU backend: importing this file registers every lowering."""

from __future__ import annotations

from fastnn.backends.cpu import activations, data, linear
from fastnn.backends.cpu.lowering import has_lowering, lower

__all__ = ["activations", "data", "has_lowering", "linear", "lower"]
