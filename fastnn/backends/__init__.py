"""Executors: how the ops are computed fast. One folder a device, the same file names in each.

A backend is imported when it is first used, because it brings its compiler along.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

DEVICES = ("cpu", "gpu")


def executor(device: str = "cpu") -> Any:
    """Return the module that runs programs on a device: ``Session``, ``stage``."""
    return importlib.import_module(f"fastnn.backends.{device}.executor")


def bound() -> Any:
    """Return the module of sessions that are used again, for the device that reads arrays in place."""
    return importlib.import_module("fastnn.backends.cpu.bound")


def warmup(
    progress: Callable[[int, int], None] | None = None, dtypes: Sequence[str] = ("float32", "float64")
) -> int:
    """Compile every kernel of the op table and put it in the cache on disk.

    Parameters
    ----------
    progress : callable, optional
        Called as ``progress(done, total)``.
    dtypes : sequence of str
        Which of ``'float32'`` and ``'float64'``.

    Returns
    -------
    int
        Number of kernels.
    """
    return importlib.import_module("fastnn.backends.cpu.warmup").warmup(progress, dtypes)
