"""Splits of rows into a training and a hold-out part."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import ArgumentError, DataError
from fastnn.random import generator

#: The node of the seed tree from which splits are drawn.
SPLIT_STREAM = 0x5F5F0010


def holdout_split(
    rows: int, test_size: float = 0.2, seed: int = 0, labels: ArrayLike | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose rows to hold out, at random; stratified where labels are given.

    Parameters
    ----------
    rows : int
    test_size : float, default 0.2
        The share to hold out, between 0 and 1.
    seed : int, default 0
    labels : array_like of int, shape (rows,), optional
        Class indices. Every class keeps its share in both parts, a class of at least two rows is in
        both, a class of one row is in the training part.

    Returns
    -------
    train, test : ndarray of int64
        Row numbers, ascending; together every row once.

    Raises
    ------
    ArgumentError
        If `test_size` does not lie between 0 and 1.
    DataError
        If either part would be empty.

    Examples
    --------
    >>> train, test = holdout_split(10, test_size=0.3, seed=1)
    >>> len(train), len(test)
    (7, 3)
    """
    if not 0.0 < test_size < 1.0:
        raise ArgumentError(f"`test_size` must lie between 0 and 1. Received: {test_size!r}.")
    draw = generator(seed, SPLIT_STREAM)
    held = np.zeros(rows, bool)
    if labels is None:
        held[draw.permutation(rows)[: round(rows * test_size)]] = True
    else:
        classes = np.asarray(labels)
        sizes = np.bincount(classes)
        groups = np.split(np.argsort(classes, kind="stable"), np.cumsum(sizes)[:-1])
        for members, count in zip(groups, _shares(sizes, test_size), strict=True):
            held[draw.permutation(members)[:count]] = True
    if held.all() or not held.any():
        raise DataError(
            f"Holding out a share of {test_size:g} of {rows} rows leaves {int(held.sum())} to test on and "
            f"{int(rows - held.sum())} to train on; expected at least one row in each."
        )
    return np.flatnonzero(~held), np.flatnonzero(held)


def _shares(counts: NDArray[np.int64], test_size: float) -> NDArray[np.int64]:
    """Return how many rows of each class to hold out: largest remainders; small classes by their rules."""
    exact = counts * test_size
    shares = np.floor(exact).astype(np.int64)
    extra = round(int(counts.sum()) * test_size) - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[: max(extra, 0)]] += 1
    shares = np.where(counts > 1, np.maximum(shares, 1), 0)
    return np.minimum(shares, np.maximum(counts - 1, 0))
