"""Data come in: on the host as NumPy's arrays, on a GPU as CuPy's; every check is made where they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.arrays import check_finite as check_host
from fastnn.arrays import to_array
from fastnn.backends.gpu import arrays as gpu
from fastnn.ops.libraries import is_on_gpu
from fastnn.training.arrays import readable as readable_host
from fastnn.training.arrays import to_index as index_on_host


def read(data: Any, where: str) -> tuple[Any, list[str] | None]:
    """Turn data into an array of real numbers where they are, and their column names if they have them."""
    if is_on_gpu(data):
        return gpu.as_cupy(data, where), None
    return to_array(data, where)


def shape_of(data: Any, where: str) -> tuple[int, ...]:
    """Return the shape of data."""
    return tuple(read(data, where)[0].shape)


def on_host(array: Any) -> np.ndarray:
    """Return an array in the computer's memory, itself if it is there."""
    return array if isinstance(array, np.ndarray) else array.get()


def check_finite(
    array: Any, where: str, columns: Sequence[str] | None = None, dtype: str = "float64"
) -> None:
    """Raise DataError naming the column if a value is NaN, infinite or too large for `dtype`."""
    if isinstance(array, np.ndarray):
        check_host(array, where, columns, dtype)
    elif not gpu.all_finite(array, dtype):
        check_host(array.get(), where, columns, dtype)  # finds the value, and raises


def to_index(array: Any, limit: int | None, where: str) -> Any:
    """Turn whole numbers into int32 indices from 0 to ``limit - 1``."""
    if isinstance(array, np.ndarray):
        return index_on_host(array, limit, where)
    most = 2**31 - 1 if limit is None else limit - 1
    if not gpu.all_whole(array, most):
        index_on_host(array.get(), limit, where)  # finds the value, and raises
    return gpu.contiguous(array, np.int32)


def readable(array: Any) -> Any:
    """Copy only what no kernel can read."""
    return readable_host(array) if isinstance(array, np.ndarray) else gpu.contiguous(array)
