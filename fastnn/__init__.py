"""fastnn: train and run small and medium feedforward networks at hardware speed.

Names are imported when first used: ``import fastnn`` costs a few milliseconds and brings no compiler.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    "activations", "callbacks", "constraints", "data", "datasets", "errors", "initializers", "io", "layers",
    "losses", "metrics", "models", "ops", "optimizers", "random", "regularizers", "schedules", "viz",
)  # fmt: skip
_NAMES = {
    "FastnnError": "fastnn.errors",
    "Input": "fastnn.layers",
    "Model": "fastnn.models",
    "Sequential": "fastnn.models",
    "devices": "fastnn.backends.devices",
    "gradient_check": "fastnn.gradcheck",
    "load_model": "fastnn.models",
    "set_random_seed": "fastnn.random",
}

__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"fastnn.{name}")
    if name in _NAMES:
        return getattr(importlib.import_module(_NAMES[name]), name)
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
