"""The machine's devices, and the cost model that chooses one."""

from __future__ import annotations

import os
import platform
from typing import NamedTuple

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu.driver import gpus
from fastnn.errors import DeviceError

#: What ``compile(device=...)`` takes.
CHOICES = ("cpu", "gpu", "auto")
# The constants of the cost model. A core's and a GPU's rates are what small dense networks reach, not peaks;
# they order the devices, and predict no time to better than a factor of three.
CPU_STEP_SECONDS = 2e-6
CPU_FLOPS = 2e10  # a second and core, float32; half as many in float64
CPU_FLOPS_A_CORE = 2e6  # arithmetic of a batch that makes another core worth while
GPU_START_SECONDS = 2.0  # the driver's context, and kernels compiled or read from CuPy's cache
GPU_STEP_SECONDS = 25e-6  # a captured graph of some kernels
GPU_FLOPS = 5e12  # a second, float32 without TF32
GPU_FLOPS_FLOAT64 = 1e11
GPU_COPY_BYTES = 6e9  # a second, from pageable memory


class Device(NamedTuple):
    """A device that models can be trained on.

    Attributes
    ----------
    kind : {'cpu', 'gpu'}
    index : int
    name : str
    memory : int or None
        Bytes of a GPU's memory.
    compute_capability : str or None
        Of a GPU: ``'9.0'``.
    driver : str or None
        The newest CUDA version that the GPU's driver supports.
    """

    kind: str
    index: int  # type: ignore[assignment]
    name: str
    memory: int | None = None
    compute_capability: str | None = None
    driver: str | None = None


class Devices(list[Device]):
    """The devices of a machine, the CPU first.

    Attributes
    ----------
    reason : str
        Why there is no GPU among them; empty if there is one.
    """

    def __init__(self, found: list[Device], reason: str = ""):
        super().__init__(found)
        self.reason = reason

    def __repr__(self) -> str:
        lines = [_line(device) for device in self]
        return "\n".join([*lines, f"no gpu: {self.reason}"] if self.reason else lines)


def _line(device: Device) -> str:
    text = f"{device.kind}:{device.index}  {device.name}"
    if device.kind == "cpu" or device.memory is None:
        return text
    return (
        f"{text}, {device.memory / 2**30:.1f} GiB, compute capability {device.compute_capability}, "
        f"driver for CUDA {device.driver}"
    )


def devices() -> Devices:
    """Return the devices that ``compile(device=...)`` can use on this machine.

    Returns
    -------
    Devices
        A list of :class:`Device`: the CPU, then the GPUs that CuPy finds. Its attribute ``reason`` says why
        there is no GPU, if there is none: CuPy is missing, or the driver, or the driver is too old.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.devices()[0].kind
    'cpu'
    """
    here = Device("cpu", 0, f"{platform.processor() or platform.machine()}, {cores()} cores")
    try:
        found = gpus(compiling.cupy())
    except DeviceError as error:
        return Devices([here], str(error))
    except RuntimeError as error:
        return Devices([here], f"the driver answers: {error}")
    shown = [Device("gpu", g.index, g.name, g.memory, g.compute_capability, g.driver) for g in found]
    return Devices([here, *shown])


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Work(NamedTuple):
    """What is to be computed: the size of the data times the size of the model.

    Attributes
    ----------
    rows : int
        Of the data.
    passes : int
        How often they are gone through.
    batch_size : int
    parameters : int
        Of the model: a row takes two operations for each, and four more to train.
    training : bool
    nbytes : int
        Of the data.
    dtype : {'float32', 'float64'}
    """

    rows: int
    passes: int
    batch_size: int
    parameters: int
    training: bool
    nbytes: int
    dtype: str = "float32"

    @property
    def steps(self) -> int:
        """How many batches go through."""
        return self.passes * -(-self.rows // max(self.batch_size, 1))

    @property
    def flops_per_row(self) -> int:
        """Arithmetic of a row."""
        return self.parameters * (6 if self.training else 2)


class DeviceChoice(NamedTuple):
    """The device that was chosen, and why; prints as a sentence.

    Attributes
    ----------
    device : {'cpu', 'gpu'}
    reason : str
    how : str
        Of a training on a GPU: its regime (see docs/gpu.md), and what keeps it from fewer kernels.
    """

    device: str
    reason: str
    how: str = ""

    def __str__(self) -> str:
        return f"device={self.device!r}: {self.reason}{'; ' * bool(self.how)}{self.how}"


def seconds(work: Work) -> tuple[float, float]:
    """Return the estimated seconds of some work on the CPU and on a GPU.

    With `n` steps, `f` operations in all and `b` bytes of data, and the constants of this file,

        ``cpu = n * CPU_STEP_SECONDS + f / (CPU_FLOPS * cores)``,
        ``gpu = GPU_START_SECONDS + n * GPU_STEP_SECONDS + f / GPU_FLOPS + b / GPU_COPY_BYTES``;

    a batch of so little arithmetic that more cores would not pay counts fewer.

    Examples
    --------
    >>> from fastnn.backends.devices import Work, seconds
    >>> small = Work(1000, 10, 32, parameters=100, training=True, nbytes=80_000)
    >>> cpu, gpu = seconds(small)
    >>> cpu < gpu
    True
    """
    flops = work.rows * work.passes * work.flops_per_row
    rows = min(work.batch_size, work.rows)
    team = max(1, min(cores(), int(rows * work.flops_per_row / CPU_FLOPS_A_CORE)))
    double = work.dtype == "float64"
    cpu = work.steps * CPU_STEP_SECONDS + flops / (CPU_FLOPS * team) * (2 if double else 1)
    rate = GPU_FLOPS_FLOAT64 if double else GPU_FLOPS
    gpu = GPU_START_SECONDS + work.steps * GPU_STEP_SECONDS + flops / rate + work.nbytes / GPU_COPY_BYTES
    return cpu, gpu


def choose(device: str, work: Work, on_gpu: bool, where: str = "") -> DeviceChoice:
    """Decide where some work is done.

    Parameters
    ----------
    device : {'cpu', 'gpu', 'auto'}
        What ``compile`` was given. ``'auto'`` takes the GPU if the data are there already or if
        :func:`seconds` says that it is faster and there is one; CuPy is looked for only in these cases.
    work : Work
    on_gpu : bool
        Whether any of the data are on the GPU.
    where : str
        The model, for messages.

    Raises
    ------
    DeviceError
        If the device is missing, or data on the GPU are given to a model on the CPU.
    """
    if device == "cpu":
        if on_gpu:
            raise DeviceError(
                f"{where}is compiled for the CPU and takes arrays in the computer's memory. Received: an "
                "array on the GPU. Compile with device='gpu' or 'auto', or bring it over with .get() or "
                ".cpu()."
            )
        return DeviceChoice("cpu", "as compile() was told")
    if device == "gpu":
        require_gpu()
        return DeviceChoice("gpu", "as compile() was told")
    if on_gpu:
        return DeviceChoice("gpu", "the data are on it")
    cpu, gpu = seconds(work)
    estimate = f"estimated {_time(cpu)} on the CPU, {_time(gpu)} on a GPU"
    if cpu <= gpu:
        return DeviceChoice("cpu", estimate)
    try:
        require_gpu()
    except DeviceError as error:
        return DeviceChoice("cpu", f"{estimate}, but there is none ({error})")
    return DeviceChoice("gpu", estimate)


def _time(value: float) -> str:
    return f"{value:.1f} s" if value >= 0.1 else f"{value * 1e3:.1f} ms"


def require_gpu() -> None:
    """Raise DeviceError, saying what is missing, if there is no GPU."""
    compiling.cupy()
