"""Which array library a call's arrays belong to: CuPy for arrays in a GPU's memory, else NumPy."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.errors import DeviceError

#: The backend for each array library, imported at the first call: a backend brings its compiler along.
BACKENDS = {"numpy": "fastnn.backends.cpu.eager", "cupy": "fastnn.backends.gpu.eager"}


def is_on_gpu(array: Any) -> bool:
    """Whether an array lies in a GPU's memory, whatever library made it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.ops.libraries import is_on_gpu
    >>> is_on_gpu(np.zeros(3))
    False
    """
    ask = getattr(array, "__dlpack_device__", None)
    if ask is None:
        return hasattr(array, "__cuda_array_interface__")
    with contextlib.suppress(Exception):  # a tensor without memory, say
        return int(ask()[0]) in (2, 13)  # DLPack's numbers for CUDA, and for memory that it manages
    return False


def backend(xp: Any) -> Any:
    """Return the module that runs ops on the arrays of a library."""
    return importlib.import_module(BACKENDS["numpy" if xp is np else "cupy"])


def library_of(arrays: Sequence[Any], where: str) -> Any:
    """Return NumPy, or CuPy if the arrays are CuPy's; CuPy is never imported for it.

    Parameters
    ----------
    arrays : sequence of object
        None among them is left out.
    where : str
        What is called, for messages.

    Raises
    ------
    DeviceError
        If some arrays are on a GPU and others are not, they are on two GPUs, or they are on a GPU and another
        library's.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.ops.libraries import library_of
    >>> library_of([np.ones(2), [1, 2]], "dense").__name__
    'numpy'
    """
    cupy = sys.modules.get("cupy")
    arrays = [array for array in arrays if array is not None]
    on_device = [cupy is not None and isinstance(array, cupy.ndarray) for array in arrays]
    for array, cupys in zip(arrays, on_device, strict=True):
        if not cupys and is_on_gpu(array):
            kind = type(array)
            raise DeviceError(
                f"{where}: expected NumPy or CuPy arrays. Received: {kind.__module__}.{kind.__name__} on a "
                "GPU; cupy.asarray(x) takes it without a copy."
            )
    if not any(on_device):
        return np
    if not all(on_device):
        kinds = [
            "on the GPU" if cupys else type(array).__name__
            for array, cupys in zip(arrays, on_device, strict=True)
        ]
        raise DeviceError(
            f"{where}: expected all arrays on the GPU or none. Received: {', '.join(kinds)}; cupy.asarray(x) "
            "copies one there, x.get() brings one back."
        )
    devices = sorted({int(array.device.id) for array in arrays})
    if len(devices) > 1:
        raise DeviceError(f"{where}: expected all arrays on one GPU. Received: on GPUs {devices}.")
    return cupy
