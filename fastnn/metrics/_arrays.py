"""Checks on the arrays given to metrics, and the sorting shared by the ranking metrics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import DataError, DtypeError, ShapeError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


def as_rows(values: Any, what: str, where: str) -> NDArray[Any]:
    """Give `values` as a numeric array with at least one axis, whose first is the rows."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DtypeError(f"{where}: {what} must be real numbers. Received: dtype {array.dtype}.")
    if array.ndim == 0:
        raise ShapeError(f"{where}: {what} must have a row axis. Received: a scalar, shape ().")
    return array


def as_columns(array: NDArray[Any]) -> NDArray[Any]:
    """Give `array` as a matrix, one line per row: (n,) becomes (n, 1), (n, a, b) becomes (n, a * b)."""
    return array.reshape(len(array), math.prod(array.shape[1:]))


def same_columns(y_true: NDArray[Any], y_pred: NDArray[Any], where: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Give both arrays as matrices of one shape; (n,) and (n, 1) count as equal, nothing broadcasts."""
    shape_true, shape_pred = y_true.shape, y_pred.shape
    if y_true.ndim == y_pred.ndim + 1 and shape_true[-1] == 1:
        shape_true = shape_true[:-1]
    elif y_pred.ndim == y_true.ndim + 1 and shape_pred[-1] == 1:
        shape_pred = shape_pred[:-1]
    if shape_true != shape_pred:
        raise mismatch(y_true, y_pred, where)
    return as_columns(y_true), as_columns(y_pred)


def mismatch(
    y_true: NDArray[Any], y_pred: NDArray[Any], where: str, expected: str = "equal shapes"
) -> ShapeError:
    """Make the error for targets and predictions that do not fit."""
    return ShapeError(
        f"{where}: y_true and y_pred do not fit; expected {expected}. "
        f"Received: y_true of shape {y_true.shape}, y_pred of shape {y_pred.shape}."
    )


def is_sparse(y_true: NDArray[Any], y_pred: NDArray[Any]) -> bool:
    """Tell whether the targets (n,) or (n, 1) are class indices for the columns of the predictions."""
    return y_pred.ndim == 2 and y_pred.shape[1] > 1 and y_true.shape in ((len(y_pred),), (len(y_pred), 1))


def class_scores(y_pred: NDArray[Any], y_true: NDArray[Any], where: str) -> NDArray[Any]:
    """Check that the predictions are (n, C) with C > 1."""
    if y_pred.ndim != 2 or y_pred.shape[1] < 2:
        raise mismatch(y_true, y_pred, where, "y_pred of shape (n, classes) with at least two classes")
    return y_pred


def class_indices(y_true: NDArray[Any], y_pred: NDArray[Any], where: str) -> IntArray:
    """Give integer class targets as (n,) indices into the columns of `y_pred`."""
    if not is_sparse(y_true, y_pred):
        raise mismatch(y_true, y_pred, where, "integer classes of shape (n,) or (n, 1) for y_true")
    flat = y_true.reshape(-1)
    if flat.size == 0:
        return flat.astype(np.intp)
    low, high = float(flat.min()), float(flat.max())
    classes = y_pred.shape[1]
    if not (low >= 0 and high < classes):
        raise DataError(
            f"{where}: class indices must lie in [0, {classes - 1}] for {classes} outputs. "
            f"Received: values from {low:g} to {high:g}."
        )
    indices: IntArray = flat.astype(np.intp)
    if flat.dtype.kind == "f" and not np.array_equal(indices, flat):
        raise DataError(f"{where}: class indices must be whole numbers. Received: fractional values.")
    return indices


def one_hot(indices: IntArray, classes: int) -> NDArray[np.bool_]:
    """Give class indices (n,) as a boolean (n, classes) matrix."""
    return indices[:, None] == np.arange(classes)


def check_binary(y_true: NDArray[Any], where: str) -> NDArray[np.bool_]:
    """Give targets that are 0 or 1 as booleans."""
    positive: NDArray[np.bool_] = y_true == 1
    bad = ~(positive | (y_true == 0))
    if bad.any():
        raise DataError(f"{where}: targets must be 0 or 1. Received: {y_true[bad][0]:g}.")
    return positive


def check_weights(sample_weight: Any, rows: int, where: str) -> FloatArray:
    """Give row weights as a float64 (n,) array, finite and not negative."""
    weights = as_rows(sample_weight, "sample_weight", where)
    if weights.shape not in ((rows,), (rows, 1)):
        raise ShapeError(
            f"{where}: sample_weight must have shape ({rows},), one weight per row. "
            f"Received: shape {weights.shape}."
        )
    flat = weights.reshape(-1).astype(np.float64)
    if rows and not (np.isfinite(flat).all() and flat.min() >= 0):
        raise DataError(f"{where}: weights must be finite and at least 0. Received: minimum {flat.min():g}.")
    return flat


def check_groups(groups: Any, rows: int, where: str) -> NDArray[Any]:
    """Give row groups (dates, names, numbers) as an (n,) array without missing values."""
    array = np.asarray(groups)
    if array.shape not in ((rows,), (rows, 1)):
        raise ShapeError(
            f"{where}: groups must have shape ({rows},), one group per row. Received: shape {array.shape}."
        )
    flat = array.reshape(-1)
    if bool((flat != flat).any()):  # NaN and NaT differ from themselves
        raise DataError(f"{where}: groups must not be missing. Received: NaN or NaT.")
    return flat


def has_nan(array: NDArray[Any]) -> bool:
    """Tell whether a numeric array holds a NaN."""
    return array.dtype.kind == "f" and bool(np.isnan(array).any())


# --- segments: rows sorted by group; `starts` holds the first row of each group ---


def sort_groups(groups: NDArray[Any]) -> tuple[IntArray | None, IntArray]:
    """Give the stable order that sorts the rows by group (None if sorted) and the group starts."""
    order = None
    if not bool((groups[1:] >= groups[:-1]).all()):
        order = np.argsort(groups, kind="stable")
        groups = groups[order]
    changed = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    return order, np.concatenate((np.zeros(1, dtype=np.intp), changed))


def spread(values: FloatArray, starts: IntArray, size: int) -> FloatArray | np.float64:
    """Give one value per segment to each of its rows; a single segment broadcasts."""
    if len(starts) == 1:
        return values[0]
    return np.repeat(values, np.diff(starts, append=size))


def tie_blocks(keys: NDArray[Any], starts: IntArray) -> tuple[IntArray, IntArray]:
    """Sort `keys` within each segment and find the runs of equal keys.

    Returns the order (n,), which keeps segments in place, and the sorted position at which
    each run starts. A run never crosses a segment.
    """
    size = len(keys)
    if len(starts) == 1:
        order = np.argsort(keys)
    else:
        order = np.lexsort((keys, np.repeat(np.arange(len(starts)), np.diff(starts, append=size))))
    ordered = keys[order]
    new = np.empty(size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    new[starts] = True
    return order, np.flatnonzero(new)


def average_ranks(values: NDArray[Any], weights: FloatArray | None, starts: IntArray) -> FloatArray:
    """Rank the rows within each segment, ties sharing their average rank.

    With weights, the rank is the one the row would have if each row were repeated as often as
    its weight says. Ranks are offset by a constant per segment, which no correlation sees.
    """
    order, blocks = tie_blocks(values, starts)
    sizes = np.diff(blocks, append=len(values))
    mass = sizes.astype(np.float64) if weights is None else np.add.reduceat(weights[order], blocks)
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(np.cumsum(mass) - (mass - 1.0) / 2.0, sizes)
    return ranks
