"""What a classifier of points in the plane has learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import missing_extra
from fastnn.viz.checks import check_class_count, class_indices, rows_of, thinned
from fastnn.viz.style import COLOURS, MARKERS, axes

#: Points of the grid along each side: fine enough for a smooth curve at print size.
GRID = 300

Rows = NDArray[np.float64]


def decision_boundary(
    model: Any,
    X: ArrayLike,
    y: ArrayLike,
    ax: Any = None,
    *,
    labels: tuple[str, str] | None = None,
    cutoff: float = 0.5,
) -> Any:
    """Draw points of the plane, and the regions in which a model says each class.

    Drawn by scikit-learn's ``DecisionBoundaryDisplay``.

    Parameters
    ----------
    model : object with ``predict`` or ``predict_proba``
        Takes rows of two numbers; gives a probability of class 1, shape (n,) or (n, 1), or one for each
        class, shape (n, classes). scikit-learn's classifiers are asked for ``predict_proba``.
    X : array_like, shape (n, 2)
    y : array_like
        Class indices, shape (n,) or (n, 1), or one-hot, shape (n, classes); with an estimator that has
        ``classes_``, members of those.
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure by default.
    labels : tuple of str, optional
        Names of the two axes; a DataFrame's columns, or ``x1`` and ``x2``, by default.
    cutoff : float, default 0.5
        Class 1 begins above this output of a model with one output; 0 for a model that gives logits.

    Returns
    -------
    matplotlib Axes
        The black line is where two classes are equally probable. Of many points 3,000 are drawn.

    Raises
    ------
    ShapeError, DataError, ArgumentError
        If the rows are not of two numbers, `y` does not have as many rows, or there are more than seven
        classes.
    MissingExtraError
        If matplotlib or scikit-learn is not installed.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.viz import decision_boundary
    >>> from fastnn.viz.style import figure
    >>> model = Sequential([Dense(1, "sigmoid", input_shape=(2,))], seed=0)
    >>> ax = decision_boundary(model, [[0, 1], [1, 0]], [0, 1], ax=figure(4, 3).subplots())
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('x1', 'x2')
    """
    points = rows_of(X, "decision_boundary", 2)
    names = getattr(model, "classes_", None)
    classes = class_indices(y, len(points), "decision_boundary", names)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.08 * np.maximum(high - low, 1e-9)
    corners = np.stack([low - margin, high + margin])
    count = max(_probabilities(model, corners, cutoff).shape[1], int(classes.max()) + 1)
    check_class_count(count, "decision_boundary")
    ax = axes(ax)
    first, second = getattr(X, "columns", ("x1", "x2")) if labels is None else labels
    _regions(ax, corners, _probabilities(model, _grid(corners), cutoff))
    scatter(ax, points, classes, count, names)
    ax.set(xlabel=first, ylabel=second, xlim=corners[:, 0], ylim=corners[:, 1])
    return ax


def _probabilities(model: Any, grid: Rows, cutoff: float) -> Rows:
    """Return a column for each class; the largest is the class that the model says."""
    ask = getattr(model, "predict_proba", None) or model.predict
    outputs = np.asarray(ask(grid.astype(np.float32)), np.float64).reshape(len(grid), -1)
    return np.hstack([2 * cutoff - outputs, outputs]) if outputs.shape[1] == 1 else outputs


def _grid(corners: Rows) -> Rows:
    """Return the points at which the display asks, in its order."""
    sides = [np.linspace(corners[0, k], corners[1, k], GRID) for k in (0, 1)]
    return np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)


def _regions(ax: Any, corners: Rows, probabilities: Rows) -> None:
    """Fill the region of each class, and draw the lines between them."""
    winner = probabilities.argmax(axis=1)
    count = probabilities.shape[1]
    levels = np.arange(count + 1) - 0.5
    _display(ax, corners, winner, "contourf", levels=levels, colors=COLOURS[:count], alpha=0.18)
    for label in range(count if count > 2 else 1):  # of two classes one line says it all
        lead = probabilities[:, label] - np.delete(probabilities, label, axis=1).max(axis=1)
        if lead.min() < 0 < lead.max():
            _display(ax, corners, lead, "contour", levels=[0.0], colors="black", linewidths=1.5)


def _display(ax: Any, corners: Rows, values: NDArray[Any], method: str, **options: Any) -> None:
    """Draw values on the grid by scikit-learn's display, which takes an estimator that predicts them."""
    try:
        from sklearn.base import BaseEstimator, RegressorMixin
        from sklearn.inspection import DecisionBoundaryDisplay
    except ImportError:
        raise missing_extra("scikit-learn", "table", "decision_boundary") from None

    class Values(RegressorMixin, BaseEstimator):
        def fit(self, X: Any, y: Any) -> Any:
            self.values_ = y
            return self

        def predict(self, X: Any) -> Any:
            return self.values_

    DecisionBoundaryDisplay.from_estimator(
        Values().fit(corners, values.astype(np.float64)), corners, ax=ax, grid_resolution=GRID, eps=0,
        response_method="predict", plot_method=method, **options,
    )  # fmt: skip


def scatter(ax: Any, points: Rows, classes: NDArray[np.int64], count: int, names: Any = None) -> None:
    """Draw points of two or three coordinates, each class in its colour and marker, with a legend."""
    chosen = thinned(len(points))
    points, classes = points[chosen], classes[chosen]
    flat = {"depthshade": False} if points.shape[1] == 3 else {}
    for label in range(count):
        members = points[classes == label]
        name = f"class {label}" if names is None else str(names[label])
        ax.scatter(
            *members.T, s=10, marker=MARKERS[label], color=COLOURS[label], linewidths=0, alpha=0.7,
            label=name, rasterized=True, **flat,
        )  # fmt: skip
    ax.legend(loc="upper right", framealpha=0.9)
