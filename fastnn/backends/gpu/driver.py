"""What CuPy says of the driver and its devices, and why there may be none."""

from __future__ import annotations

from typing import Any, NamedTuple


class Gpu(NamedTuple):
    """A CUDA device.

    Attributes
    ----------
    index : int
        As CuPy counts them.
    name : str
    memory : int
        Bytes.
    compute_capability : str
        ``'9.0'``.
    driver : str
        The newest CUDA version that the driver supports.
    """

    index: int  # type: ignore[assignment]
    name: str
    memory: int
    compute_capability: str
    driver: str


def version(number: int) -> str:
    """Return a CUDA version as people write it: 13010 is ``'13.1'``."""
    return f"{number // 1000}.{number % 1000 // 10}"


def gpus(cp: Any) -> list[Gpu]:
    """Return the devices that the driver shows."""
    runtime = cp.cuda.runtime
    driver = version(runtime.driverGetVersion())
    found = []
    for index in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(index)
        capability = cp.cuda.Device(index).compute_capability
        name = properties["name"]
        found.append(
            Gpu(
                index,
                name.decode() if isinstance(name, bytes) else name,
                int(properties["totalGlobalMem"]),
                f"{capability[:-1]}.{capability[-1]}",
                driver,
            )
        )
    return found


def why_none(cp: Any) -> str:
    """Say why CuPy, which is installed, finds no device."""
    runtime = cp.cuda.runtime
    try:
        driver, built = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    except RuntimeError as error:
        return f"CuPy cannot ask the driver: {error}"
    if not driver:
        return "there is no NVIDIA driver: install it, and see that `nvidia-smi` shows the device"
    if driver // 1000 < built // 1000:
        smaller = f"'fastnn[gpu{driver // 1000}]'" if driver >= 12000 else "a CuPy for an older CUDA"
        return (
            f"the driver supports CUDA {version(driver)} and CuPy was built for CUDA {version(built)}: "
            f"install a newer driver, or {smaller}"
        )
    try:
        count = runtime.getDeviceCount()
    except RuntimeError as error:
        return f"the driver answers: {error}"
    return (
        f"the driver shows {count} devices; CUDA_VISIBLE_DEVICES may hide them, and `nvidia-smi` shows what "
        "the machine has"
    )
