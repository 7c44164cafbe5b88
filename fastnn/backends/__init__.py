"""Executors: how the ops are computed fast. One folder a device, the same file names in each.

A backend is imported when it is first used, because it brings its compiler along.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def executor(device: str = "cpu") -> Any:
    """Return the module that runs programs on a device: ``Session``, ``stage``.

    A GPU is checked first, once for each version and driver.
    """
    module = importlib.import_module(f"fastnn.backends.{device}.executor")
    if device == "gpu":
        importlib.import_module("fastnn.backends.gpu.first_use").once(cache_root())
    return module


def cache_root() -> Path:
    """Return the folder of what outlives a process: ``$FASTNN_CACHE_DIR`` or the user's cache folder."""
    folder: Path = importlib.import_module("fastnn.backends.cpu.cache").cache_root()
    return folder


def resident(device: str, arrays: Sequence[Any]) -> Sequence[Any]:
    """Return arrays as several sessions may share them: for a GPU brought there, if they fit."""
    return executor(device).resident(arrays) if device == "gpu" else arrays


def profile(device: str = "cpu") -> Any:
    """Return the module that measures programs on a device: ``rows``, ``step_seconds``, ``reasons``."""
    return importlib.import_module(f"fastnn.backends.{device}.profile")


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
