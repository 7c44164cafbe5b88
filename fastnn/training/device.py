"""Where a training, an evaluation or a prediction runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.devices import Work, choose
from fastnn.ops.libraries import is_on_gpu
from fastnn.rows import Gathered


def device_for(
    model: Any,
    arrays: Sequence[Any],
    rows: int,
    batch_size: int,
    passes: int = 1,
    training: bool = False,
    device: str | None = None,
) -> str:
    """Decide the device as ``compile(device=...)`` asks, and write it to ``model.device_choice``.

    Parameters
    ----------
    model : Model
    arrays : sequence of array or Gathered
        The data.
    rows, batch_size, passes : int
        How much work it is.
    training : bool
    device : {'cpu', 'gpu'}, optional
        The device of the training that this is a part of: then nothing is chosen or written.

    Returns
    -------
    {'cpu', 'gpu'}

    Raises
    ------
    DeviceError
        If there is no such device, or the data are on the other.
    """
    work = Work(
        rows, passes, batch_size, model.count_params(), training,
        sum(bytes_of(array) for array in arrays), model.dtype,
    )  # fmt: skip
    on_gpu = any(is_on_gpu(array) for array in arrays)
    choice = choose(device or model.device, work, on_gpu, f"Model {model.name!r} ")
    if device is None:
        model.device_choice = choice
    return choice.device


def bytes_of(table: Any) -> int:
    """Return the memory of an array, or of the parts of a table."""
    if not isinstance(table, Gathered):
        return int(table.nbytes)
    return sum(part.index.nbytes + part.array.nbytes for part in table.parts)
