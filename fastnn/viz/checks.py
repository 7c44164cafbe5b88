"""What figures are given: points, classes and numbers, checked before anything is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import ArgumentError, DataError, DtypeError, NotBuiltError, ShapeError
from fastnn.random import generator
from fastnn.viz.style import COLOURS

#: More points than this hide each other: a random part of them is drawn.
MOST_POINTS = 3000


def numbers(values: ArrayLike, name: str, where: str) -> NDArray[np.float64]:
    """Return a column of finite numbers, shape (n,).

    Raises
    ------
    DtypeError, ShapeError, DataError
        If they are not numbers, not one a row, none at all, or not finite.
    """
    try:
        found = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise DtypeError(f"{where}: `{name}` must be numbers. Received: {type(values).__name__}.") from None
    if found.size != len(np.atleast_1d(found)) or not found.size:
        raise ShapeError(
            f"{where}: expected `{name}` of shape (n,) or (n, 1), n > 0. Received: {found.shape}."
        )
    found = found.reshape(-1)
    wrong = np.flatnonzero(~np.isfinite(found))
    if len(wrong):
        raise DataError(
            f"{where}: `{name}` must be finite. Received: {found[wrong[0]]} in row {wrong[0]}"
            f"{f' and {len(wrong) - 1:,} more' if len(wrong) > 1 else ''}."
        )
    return found


def rows_of(X: ArrayLike, where: str, width: int | None = None) -> NDArray[np.float64]:
    """Return rows of numbers, shape (n, width), at least one.

    Raises
    ------
    ShapeError
        If they are not of that shape.
    """
    found = np.asarray(X, np.float64)
    if found.ndim != 2 or (width is not None and found.shape[1] != width) or not len(found):
        expected = "points of the plane, shape (n, 2)" if width == 2 else "rows, shape (n, inputs)"
        raise ShapeError(f"{where} draws {expected}. Received: {found.shape}.")
    return found


def class_indices(y: ArrayLike, rows: int, where: str, names: Any = None) -> NDArray[np.int64]:
    """Return the class of each row, counted from 0.

    Parameters
    ----------
    y : array_like
        Class indices, shape (n,) or (n, 1); one-hot, shape (n, classes); or members of `names`.
    rows : int
        How many are expected.
    where : str
        The function, for messages.
    names : sequence, optional
        The classes of an estimator, in order (``classes_``).

    Raises
    ------
    ShapeError
        If there are not as many as rows.
    DataError
        If they are no classes.
    """
    given = np.asarray(y)
    if given.ndim == 2 and given.shape[1] > 1:
        given = given.argmax(axis=1)
        names = None
    given = given.reshape(-1)
    if len(given) != rows:
        raise ShapeError(f"{where}: expected one class for each of {rows} points. Received: {len(given)}.")
    if names is not None:
        known = {name: number for number, name in enumerate(np.asarray(names).tolist())}
        strange = [value for value in given.tolist() if value not in known]
        if strange:
            raise DataError(f"{where}: expected classes of {list(known)}. Received: {strange[0]!r} in `y`.")
        return np.array([known[value] for value in given.tolist()], np.int64)
    kind = given.dtype.kind
    if kind not in "biuf" or (kind == "f" and (given != np.round(given)).any()) or given.min() < 0:
        raise DataError(
            f"{where}: `y` must be class indices from 0, or one-hot rows. Received: {given[:3].tolist()}..."
        )
    found = given.astype(np.int64)
    check_class_count(int(found.max()) + 1, where)
    return found


def check_class_count(count: int, where: str) -> None:
    """Raise ArgumentError if there are more classes than colours."""
    if count > len(COLOURS):
        raise ArgumentError(f"{where} draws at most {len(COLOURS)} classes. Received: {count}.")


def thinned(rows: int) -> NDArray[np.int64]:
    """Return which rows to draw: all, or 3,000 at random, always the same."""
    if rows <= MOST_POINTS:
        return np.arange(rows)
    return np.sort(generator(0).permutation(rows)[:MOST_POINTS])


def check_model(model: Any, where: str) -> None:
    """Raise unless this is a model, and built.

    Raises
    ------
    DtypeError, NotBuiltError
    """
    if not hasattr(model, "calls"):
        raise DtypeError(f"{where} draws a fastnn model. Received: {type(model).__name__}.")
    if not model.built:
        raise NotBuiltError(
            f"{where}: model {model.name!r} is not built: the shape of its input is not known yet. Give the "
            "first layer input_shape=..., start with fastnn.Input(shape=...), or call fit."
        )
