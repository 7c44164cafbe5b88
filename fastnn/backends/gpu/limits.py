"""What the user's device can do at most, as its driver describes it, and the work of an op on arrays.

Published limits, and the work of a program's launches, are in floors.py; both count alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.gpu.driver import version
from fastnn.backends.gpu.floors import Work

#: float32 lanes of a multiprocessor, and float32 operations for one in float64, by compute capability
#: (CUDA C++ Programming Guide, "Arithmetic Instructions").
LANES = {"60": 64, "70": 64, "75": 64, "80": 64, "86": 128, "87": 128, "89": 128}
OTHER_LANES = 128
FLOAT64_SHARE = {"60": 2, "70": 2, "80": 2, "90": 2, "100": 2}
OTHER_FLOAT64_SHARE = 64
UNKNOWN = "unknown"


class Limits(NamedTuple):
    """A device and its limits.

    Attributes
    ----------
    name : str
    capability : str
        Compute capability without its point: ``'90'``.
    driver, runtime, compiler : str
        CUDA versions that the driver supports, that CuPy was built for, and of NVRTC.
    bandwidth : float
        Of the device's memory, bytes a second; 0 where the driver does not tell.
    flops, flops64 : float
        float32 and float64 operations a second, a multiply-add counted as two, without tensor cores.
    memory : int
        Bytes.
    multiprocessors : int
    """

    name: str
    capability: str
    driver: str
    runtime: str
    compiler: str
    bandwidth: float
    flops: float
    flops64: float
    memory: int
    multiprocessors: int

    def rate(self, dtype: str) -> float:
        """Return operations a second in a dtype."""
        return self.flops if dtype == "float32" else self.flops64


def describe(cp: Any) -> Limits:
    """Return the limits of CuPy's current device.

    Parameters
    ----------
    cp : module
        CuPy.
    """
    device, runtime = cp.cuda.Device(), cp.cuda.runtime
    known: dict[str, int] = device.attributes
    capability = str(device.compute_capability)
    clock = 1e3 * known.get("ClockRate", 0)  # kHz
    lanes = known.get("MultiProcessorCount", 0) * LANES.get(capability, OTHER_LANES)
    flops = 2.0 * clock * lanes
    # Two transfers a clock; the bus is counted in bits.
    bandwidth = 2e3 * known.get("MemoryClockRate", 0) * known.get("GlobalMemoryBusWidth", 0) / 8
    return Limits(
        name=_ask(lambda: runtime.getDeviceProperties(device.id)["name"].decode()),
        capability=capability,
        driver=_ask(lambda: version(runtime.driverGetVersion())),
        runtime=_ask(lambda: version(runtime.runtimeGetVersion())),
        compiler=_ask(lambda: ".".join(map(str, cp.cuda.nvrtc.getVersion()))),
        bandwidth=bandwidth,
        flops=flops,
        flops64=flops / FLOAT64_SHARE.get(capability, OTHER_FLOAT64_SHARE),
        memory=int(device.mem_info[1]),
        multiprocessors=known.get("MultiProcessorCount", 0),
    )


def _ask(question: Callable[[], str]) -> str:
    """Return an answer of the driver's; a report is made above all where something is wrong."""
    try:
        return question()
    except Exception:
        return UNKNOWN


def floors(work: Work, limits: Limits, dtype: str = "float32") -> tuple[float, float]:
    """Return the seconds that the arithmetic and the memory take at least (0 where unknown)."""
    rate = limits.rate(dtype)
    return (
        work.flops / rate if rate else 0.0,
        work.bytes / limits.bandwidth if limits.bandwidth else 0.0,
    )


#: Ops that are a matrix product: where its three extents are found in the shapes of the two inputs.
_PRODUCTS: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], tuple[int, ...]]] = {
    "dense": lambda x, w: (x[0], *w),
    "dense_dx": lambda dy, w: (dy[0], *w),
    "dense_dw": lambda x, dy: (x[0], x[1], dy[1]),
}


def work_of(op: str, inputs: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> Work:
    """Return the work of an op on arrays of these shapes and dtypes."""
    size = float(sum(array.nbytes for array in (*inputs, *outputs)))
    if op in _PRODUCTS:
        extents = _PRODUCTS[op](inputs[0].shape, inputs[1].shape)
        return Work(2.0 * float(np.prod(extents)), size)
    return Work(float(max(array.size for array in (*inputs, *outputs))), size)
