"""Clipping and standardising columns: the arithmetic that rows undergo as they are gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastnn.errors import ArgumentError, DtypeError, ShapeError

#: What leaves a column as it is.
DEFAULTS = {"low": -np.inf, "high": np.inf, "mean": 0.0, "scale": 1.0}


def per_column(name: str, value: ArrayLike | None, width: int) -> np.ndarray | None:
    """Return a number for each column, float64; None for None."""
    if value is None:
        return None
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise DtypeError(f"{name}: expected numbers. Received: {value!r}.") from None
    if found.shape not in ((), (width,)):
        raise ShapeError(f"{name}: expected one number, or one a column ({width}). Received: {found.shape}.")
    return np.broadcast_to(found, (width,)).copy()


def transform_numbers(
    width: int,
    dtype: np.dtype,
    given: Mapping[str, np.ndarray | None],
    columns: Sequence[str] | None = None,
) -> np.ndarray:
    """Return a transform as :func:`transformed` and the kernels read it: low, high, mean, 1 / scale.

    Parameters
    ----------
    width : int
    dtype : numpy.dtype
    given : dict
        ``'low'``, ``'high'``, ``'mean'``, ``'scale'``: a number for each column, or None for no change.
    columns : sequence of str, optional
        Names for messages.

    Returns
    -------
    ndarray, shape (4, width), C-contiguous
        In `dtype`.

    Raises
    ------
    ArgumentError
        If a bound is NaN, bounds are in the wrong order, a mean is not finite, or a scale is not a positive
        number with a reciprocal.
    """
    numbers = np.empty((4, width), dtype)
    for row, (name, default) in enumerate(DEFAULTS.items()):
        value = given[name]
        numbers[row] = default if value is None else value
    with np.errstate(all="ignore"):
        numbers[3] = dtype.type(1) / numbers[3]
    wrong = {
        "low": np.isnan(numbers[0]),
        "high": np.isnan(numbers[1]) | (numbers[1] < numbers[0]),
        "mean": ~np.isfinite(numbers[2]),
        "scale": ~(np.isfinite(numbers[3]) & (numbers[3] > 0)),
    }
    expected = {
        "low": "numbers", "high": "numbers of at least `low`", "mean": "finite numbers",
        "scale": "finite numbers above 0",
    }  # fmt: skip
    for name, bad in wrong.items():
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            value = given[name]
            received = "a smaller one" if value is None else f"{value[at]}"
            where = f"{columns[at]!r}" if columns else f"{at}"
            raise ArgumentError(f"{name}: expected {expected[name]}. Received: {received}, column {where}.")
    return numbers


def transformed(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Clip and standardise `values` in place, as the kernels do; NaN stays NaN."""
    low, high, mean, inverse = numbers
    with np.errstate(all="ignore"):  # what overflows is named where the data come in
        np.copyto(values, low, where=values < low)
        np.copyto(values, high, where=values > high)
        values -= mean
        values *= inverse
    return values
