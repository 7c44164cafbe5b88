"""Two noisy rings of points: the smallest problem that a line cannot solve."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError, missing_extra


class Circles(NamedTuple):
    """Points of two rings.

    Attributes
    ----------
    X : ndarray of float32, shape (n, 2)
        Coordinates; the outer ring has radius 1, before noise.
    labels : ndarray of int64, shape (n,)
        0 for the outer ring, 1 for the inner.
    Y : ndarray of float32, shape (n, 2)
        The labels in one-hot form.
    """

    X: NDArray[np.float32]
    labels: NDArray[np.int64]
    Y: NDArray[np.float32]


def circles(n: int = 50_000, factor: float = 0.1, noise: float | None = 0.1, seed: int = 0) -> Circles:
    """Draw points on two rings around the origin, in random order.

    Parameters
    ----------
    n : int, default 50,000
        Points of both rings; half of them, rounded down, lie on the outer one.
    factor : float, default 0.1
        The inner ring's radius; the outer one's is 1. In [0, 1).
    noise : float or None, default 0.1
        Standard deviation of the normal noise added to both coordinates.
    seed : int, default 0

    Returns
    -------
    Circles
        The named tuple ``(X, labels, Y)``.

    Raises
    ------
    ArgumentError
        If `n` is below 2, `factor` is outside [0, 1), or `noise` or `seed` is negative.
    MissingExtraError
        If scikit-learn is not installed.

    Notes
    -----
    The points are those of :func:`sklearn.datasets.make_circles` with ``random_state=seed``.

    Examples
    --------
    >>> from fastnn.datasets import circles
    >>> X, labels, Y = circles(1000, seed=1)
    >>> X.shape, Y.shape, labels.sum()
    ((1000, 2), (1000, 2), np.int64(500))
    """
    _check(n, factor, noise, seed)
    try:
        from sklearn.datasets import make_circles
    except ImportError:
        raise missing_extra("scikit-learn", "table", "fastnn.datasets.circles") from None
    X, labels = make_circles(n, factor=factor, noise=noise, random_state=seed % 2**32)
    return Circles(X.astype(np.float32), labels, np.eye(2, dtype=np.float32)[labels])


def _check(n: Any, factor: Any, noise: Any, seed: Any) -> None:
    for name, value, least in (("n", n, 2), ("seed", seed, 0)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise ArgumentError(f"circles: `{name}` must be a whole number >= {least}. Received: {value!r}.")
    if not 0 <= factor < 1:
        raise ArgumentError(f"circles: `factor` must lie in [0, 1). Received: {factor!r}.")
    if noise is not None and not 0 <= noise < np.inf:
        raise ArgumentError(f"circles: `noise` must be None or a finite number >= 0. Received: {noise!r}.")
