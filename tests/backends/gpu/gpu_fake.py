"""A CUDA device that is not there, for one test: CuPy's stand-in in the place of CuPy, and what it lacks.

Tests that inject faults, or look at the device from outside, patch the module that `fake_gpu` gives them.
"""

import contextlib
import sys
from pathlib import Path

import numpy as np

SHIM = Path(__file__).resolve().parents[2] / "cuda_on_cpu"


@contextlib.contextmanager
def fake_gpu(regime="generic"):
    """Put the stand-in in the place of CuPy, and take it out again with all that was compiled for it.

    By default programs run one kernel an instruction: the other regimes have tests of their own. None leaves
    the choice to the executor.
    """
    from fastnn.backends.gpu import compile as compiling
    from fastnn.backends.gpu import regimes

    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "cupy"}
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, str(SHIM))
    try:
        import fakecupy

        cp = fakecupy.install()
        _complete(cp)
        compiling.forget()
        with regimes.preferred(regime) if regime else contextlib.nullcontext():
            yield cp
    finally:
        sys.path.remove(str(SHIM))
        for name in [name for name in sys.modules if name.split(".")[0] == "cupy"]:
            del sys.modules[name]
        sys.modules.update(before)
        compiling.forget()


def _complete(cp):
    """Give the stand-in what CuPy has and these tests need."""
    device = cp.cuda.Device(0)
    if not hasattr(cp.ndarray, "device"):
        cp.ndarray.device = property(lambda array: getattr(array, "_device", device))
    if not hasattr(cp.ndarray, "__cuda_array_interface__"):
        cp.ndarray.__cuda_array_interface__ = property(
            lambda array: {
                "shape": array.shape, "typestr": array.dtype.str, "strides": array.strides,
                "data": (array.data.ptr, False), "version": 3,
            }
        )  # fmt: skip
    runtime = cp.cuda.runtime
    runtime.driverGetVersion = lambda: 13000
    properties = {"name": b"Stand-in", "totalGlobalMem": 1 << 33}
    runtime.getDeviceProperties = lambda index: properties
    if not hasattr(cp.cuda, "alloc_pinned_memory"):
        cp.cuda.alloc_pinned_memory = lambda size: np.empty(size, np.uint8)
    pool = type(cp.get_default_memory_pool())
    if not hasattr(pool, "free_bytes"):
        pool.free_bytes = lambda pool: 0
    if not hasattr(cp, "plain_asarray"):
        cp.plain_asarray = cp.asarray
        cp.from_dlpack = lambda x: x._array
        cp.asarray = lambda x, *a, **k: x._array if isinstance(x, Tensor) else cp.plain_asarray(x, *a, **k)


class Capsule:
    """An array of another library on the device that has DLPack alone."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **options):
        raise NotImplementedError("the stand-in takes the array itself")


class Tensor:
    """An array of another library on the device: it has the protocol and nothing else."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype

    @property
    def __cuda_array_interface__(self):
        return self._array.__cuda_array_interface__
