"""Arrays against what a model expects: the shape of a row, indices, strides that kernels can follow."""

from __future__ import annotations

import numpy as np

from fastnn.arrays import READABLE, check_finite
from fastnn.errors import DataError, ShapeError
from fastnn.ops.registry import Spec
from fastnn.rows import chunks

#: Indices up to this size are converted before training, larger ones batch by batch.
COPIED_BYTES = 64 << 20


def match_rows(array: np.ndarray, spec: Spec, where: str) -> np.ndarray:
    """Check an array's row shape against a spec; a missing or extra axis of one is forgiven.

    Parameters
    ----------
    array : ndarray, shape (rows, ...)
    spec : Spec
    where : str
        What the data are, for messages.

    Returns
    -------
    ndarray, shape (rows, numbers in a row)

    Raises
    ------
    ShapeError
        If the rows have another shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.ops.registry import Spec
    >>> from fastnn.training.arrays import match_rows
    >>> match_rows(np.zeros(5), Spec((1,)), "x").shape
    (5, 1)
    """
    match_shape(array.shape, spec, where)
    return array if array.shape[1:] == (spec.size,) else array.reshape(len(array), spec.size)


def match_shape(shape: tuple[int, ...], spec: Spec, where: str) -> None:
    """Raise ShapeError if rows of an array of this shape do not fit a spec, give or take axes of one."""
    expected = ", ".join(["rows", *map(str, spec.shape)])
    if not shape:
        raise ShapeError(
            f"{where}: expected one row per example, shape ({expected}). Received: a single number."
        )
    row = shape[1:]
    if row != spec.shape and _without_ones(row) != _without_ones(spec.shape):
        hint = " For a single row, add an axis: x[None]." if shape == spec.shape else ""
        raise ShapeError(f"{where}: expected shape ({expected}). Received: {shape}.{hint}")


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(extent for extent in shape if extent != 1)


def readable(array: np.ndarray) -> np.ndarray:
    """Copy only what no kernel can read: unaligned numbers, strides that are not whole numbers of items."""
    if array.flags.aligned and not any(stride % array.itemsize for stride in array.strides):
        return array
    return array.copy(order="C")


def to_index(array: np.ndarray, limit: int | None, where: str) -> np.ndarray:
    """Turn whole numbers into int32 indices from 0 to ``limit - 1``.

    Parameters
    ----------
    array : ndarray
        Integers, booleans, or floats with whole values.
    limit : int or None
        One more than the largest index; None for any.
    where : str
        What the data are, for messages.

    Returns
    -------
    ndarray of int32, C-contiguous
        Whole numbers of another dtype as they are if they take more than 64 MiB: they may lie on a disk.

    Raises
    ------
    DataError
        If a value is not whole or out of range.
    """
    if array.dtype.kind == "f":
        check_finite(array, where)
        for rows in chunks(len(array)):
            part = array[rows]
            fractions = part != np.floor(part)
            if fractions.any():
                raise DataError(f"{where}: expected whole numbers. Received: {part[fractions].ravel()[0]}.")
    most = 2**31 - 1 if limit is None else limit - 1
    if array.size and (array.min() < 0 or array.max() > most):
        raise DataError(
            f"{where}: expected whole numbers from 0 to {most}. "
            f"Received: values from {array.min()} to {array.max()}."
        )
    if array.dtype.kind in "iu" and array.nbytes > COPIED_BYTES:
        return readable(array)
    return np.ascontiguousarray(array, np.int32)


__all__ = ["READABLE", "match_rows", "match_shape", "readable", "to_index"]
