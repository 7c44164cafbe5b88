"""Arrays that are on the GPU already: used where they are, checked where they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.arrays import READABLE
from fastnn.backends.gpu import compile as compiling
from fastnn.errors import DeviceError, DtypeError


def as_cupy(data: Any, where: str) -> Any:
    """Return an array on the GPU as CuPy's, without a copy.

    Parameters
    ----------
    data : CuPy array, or anything with ``__cuda_array_interface__`` or DLPack, such as a torch tensor
        float16 and bfloat16 become float32, which is a copy.
    where : str
        What the data are, for messages.

    Raises
    ------
    DeviceError
        If they are on another GPU than the current one, or CuPy is missing.
    DtypeError
        If they are not real numbers of a dtype that kernels read.
    """
    cp = compiling.cupy()
    if hasattr(data, "detach"):  # a tensor that may take part in a gradient
        data = data.detach()
        if str(data.dtype).endswith("bfloat16"):  # a dtype that CuPy does not have
            data = data.float()
    array = cp.asarray(data) if hasattr(data, "__cuda_array_interface__") else cp.from_dlpack(data)
    here = int(cp.cuda.Device().id)
    if int(array.device.id) != here:
        raise DeviceError(
            f"{where}: expected an array on the current GPU, {here}. Received: one on GPU {array.device.id}; "
            "copy it, or work in `with cupy.cuda.Device(...)`."
        )
    if array.dtype.name == "float16":
        return array.astype(np.float32)
    if array.dtype.name not in READABLE:
        raise DtypeError(f"{where}: expected one of {', '.join(READABLE)}. Received: dtype {array.dtype}.")
    return array


def all_finite(array: Any, dtype: str) -> bool:
    """Whether every value is finite and not too large for a dtype: two reductions, no copy."""
    if array.dtype.kind != "f" or not array.size:
        return True
    limit = float(np.finfo(dtype).max)
    return -limit <= float(array.min()) and float(array.max()) <= limit  # NaN is not above or below


def all_whole(array: Any, most: int) -> bool:
    """Whether every value is a whole number from 0 to `most`."""
    if not array.size:
        return True
    if array.dtype.kind == "f" and not bool((array == compiling.cupy().floor(array)).all()):
        return False
    return bool(array.min() >= 0) and bool(array.max() <= most)


def contiguous(array: Any, dtype: Any = None) -> Any:
    """Return an array C-contiguous and of a dtype, itself if it is."""
    array = array if dtype is None else array.astype(dtype, copy=False)
    return array if array.flags.c_contiguous else array.copy()
