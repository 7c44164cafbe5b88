"""What a classifier of points in the plane has learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import ArgumentError, ShapeError
from fastnn.random import generator
from fastnn.viz.style import COLOURS, MARKERS, axes

#: Points of the grid along each side: fine enough for a smooth curve at print size.
GRID = 300
#: More points than this hide each other: a random part of them is drawn.
MOST_POINTS = 3000


def decision_boundary(
    model: Any, X: ArrayLike, y: ArrayLike, ax: Any = None, *, labels: tuple[str, ...] | None = None
) -> Any:
    """Draw points of the plane, and the regions in which a model says each class.

    Parameters
    ----------
    model : object with ``predict``
        Takes rows of two numbers; gives a probability of class 1, shape (n,) or (n, 1), or one for each
        class, shape (n, classes).
    X : array_like, shape (n, 2)
    y : array_like
        Class indices, shape (n,) or (n, 1), or one-hot, shape (n, classes).
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure by default.
    labels : tuple of str, optional
        Names of the two axes; ``x1`` and ``x2`` by default.

    Returns
    -------
    matplotlib Axes
        The black line is where two classes are equally probable. Of many points 3,000 are drawn.

    Raises
    ------
    ShapeError
        If the rows are not of two numbers or `y` does not have as many rows.
    MissingExtraError
        If matplotlib is not installed.
    """
    points = np.asarray(X, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ShapeError(
            f"decision_boundary draws points of the plane, shape (n, 2). Received: {points.shape}."
        )
    classes = _classes(y, len(points))
    ax = axes(ax)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * np.maximum(high - low, 1e-9)
    sides = [np.linspace(low[k] - margin[k], high[k] + margin[k], GRID) for k in (0, 1)]
    grid = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    probabilities = _probabilities(model, grid)
    count = max(probabilities.shape[1], int(classes.max()) + 1)
    if count > len(COLOURS):
        raise ArgumentError(f"decision_boundary draws at most {len(COLOURS)} classes. Received: {count}.")
    _regions(ax, sides, probabilities)
    _points(ax, points, classes, count)
    ax.set_xlabel((labels or ("x1", "x2"))[0])
    ax.set_ylabel((labels or ("x1", "x2"))[1])
    ax.set_xlim(sides[0][0], sides[0][-1])
    ax.set_ylim(sides[1][0], sides[1][-1])
    return ax


def _classes(y: ArrayLike, rows: int) -> NDArray[np.int64]:
    given = np.asarray(y)
    if given.ndim == 2 and given.shape[1] > 1:
        given = given.argmax(axis=1)
    given = given.reshape(-1)
    if len(given) != rows:
        raise ShapeError(
            f"decision_boundary: expected one class for each of {rows} points. Received: {len(given)}."
        )
    return given.astype(np.int64)


def _probabilities(model: Any, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a column for each class."""
    outputs = np.asarray(model.predict(grid.astype(np.float32)), np.float64).reshape(len(grid), -1)
    return np.hstack([1.0 - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def _regions(ax: Any, sides: list[NDArray[np.float64]], probabilities: NDArray[np.float64]) -> None:
    shape = (len(sides[1]), len(sides[0]))
    winner = probabilities.argmax(axis=1)
    count = probabilities.shape[1]
    ax.contourf(
        *sides, winner.reshape(shape), levels=np.arange(count + 1) - 0.5, colors=COLOURS[:count], alpha=0.18
    )
    for label in range(count if count > 2 else 1):  # of two classes one line says it all
        rest = np.delete(probabilities, label, axis=1).max(axis=1)
        lead = (probabilities[:, label] - rest).reshape(shape)
        if lead.min() < 0 < lead.max():
            ax.contour(*sides, lead, levels=[0.0], colors="black", linewidths=1.5)


def _points(ax: Any, points: NDArray[np.float64], classes: NDArray[np.int64], count: int) -> None:
    if len(points) > MOST_POINTS:
        chosen = generator(0).permutation(len(points))[:MOST_POINTS]
        points, classes = points[chosen], classes[chosen]
    for label in range(count):
        members = points[classes == label]
        ax.scatter(
            *members.T, s=10, marker=MARKERS[label], color=COLOURS[label], linewidths=0, alpha=0.7,
            label=f"class {label}", rasterized=True,
        )  # fmt: skip
    ax.legend(loc="upper right", framealpha=0.9)
