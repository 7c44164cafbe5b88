"""What can go wrong on a device, as DeviceError: what was asked, what was received, what is intact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastnn.errors import DeviceError, FastnnError


@contextmanager
def named(cp: Any, doing: str, asked: Callable[[], int], intact: Callable[[], str]) -> Iterator[None]:
    """Turn errors of CuPy and the driver into DeviceError.

    Parameters
    ----------
    cp : module
        CuPy.
    doing : str
        What is being done, for the message.
    asked : callable
        Returns the bytes of device memory it takes in all.
    intact : callable
        Returns a sentence: what is left on the host.
    """
    try:
        yield
    except FastnnError:
        raise
    except MemoryError as error:  # CuPy's OutOfMemoryError
        free, total = _memory(cp)
        raise DeviceError(
            f"The GPU's memory is too small for {doing}: {_mib(asked())} were asked for in all, {_mib(free)} "
            f"of {_mib(total)} are free. {intact()} A smaller batch_size takes less. Received: {error}"
        ) from error
    except RuntimeError as error:  # of the CUDA runtime, the driver, cuBLAS
        raise DeviceError(
            f"The GPU failed in {doing}. {intact()} Received: {type(error).__name__}: {error}"
        ) from error


def _memory(cp: Any) -> tuple[int, int]:
    """Return the device's free and total bytes; what CuPy's pool keeps counts as free."""
    try:
        free, total = cp.cuda.Device().mem_info
        pool = cp.get_default_memory_pool()
        return free + pool.free_bytes(), total
    except RuntimeError:
        return 0, 0


def _mib(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
