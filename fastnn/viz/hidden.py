"""How a hidden layer sees the inputs, and where the output unit cuts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import ArgumentError, ShapeError
from fastnn.serialization import check_choice
from fastnn.viz.boundary import scatter
from fastnn.viz.checks import check_model, class_indices, rows_of, thinned
from fastnn.viz.style import COLOURS, SEQUENTIAL, axes

#: What a unit computes before its activation where its output is `p`: the cut-off's place.
INVERSES: dict[str, Any] = {
    "linear": lambda p: p,
    "sigmoid": lambda p: np.log(p / (1 - p)),
    "softmax": lambda p: np.log(p / (1 - p)),
    "tanh": np.arctanh,
}
#: Points along each side of a surface over the inputs.
SURFACE = 50

Rows = NDArray[np.float64]


def hidden_space(
    model: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    ax: Any = None,
    *,
    layer: str | None = None,
    projection: str | None = None,
) -> Any:
    """Draw the rows as a hidden layer of three units represents them, in space.

    Parameters
    ----------
    model : Model
        Built. A row of `X` becomes the point whose coordinates are the layer's outputs.
    X : array_like, shape (n, inputs)
    y : array_like, optional
        Classes to colour the points by: indices, shape (n,) or (n, 1), or one-hot, shape (n, classes).
    ax : matplotlib Axes, optional
        Three-dimensional, as ``figure.add_subplot(projection='3d')`` makes; a new pyplot figure by default.
    layer : str, optional
        Name of a layer; by default the last of three units before the output layer.
    projection : {None, 'pca'}
        ``'pca'`` draws the first three principal components of a layer with more units.

    Returns
    -------
    matplotlib Axes
        Of many points 3,000 are drawn.

    Raises
    ------
    ShapeError
        If the layer does not have three units (with ``'pca'``, at least three), or there is none.
    NotBuiltError, UnknownNameError
        If the model is not built, or has no such layer.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.viz import hidden_space
    >>> from fastnn.viz.style import figure
    >>> model = Sequential([Dense(3, "sigmoid", input_shape=(2,), name="hidden"), Dense(1)], seed=0)
    >>> space = figure(4, 4).add_subplot(projection="3d")
    >>> hidden_space(model, [[0.0, 1.0], [1.0, 0.0]], [0, 1], ax=space).get_zlabel()
    'hidden, unit 3'
    """
    if projection is not None:
        check_choice("projection", projection, "hidden_space", ("pca",))
    check_model(model, "hidden_space")
    rows = rows_of(X, "hidden_space")
    name = layer or _default_layer(model, projection)
    points = np.asarray(model.layer_output(rows, name), np.float64).reshape(len(rows), -1)
    labels = [f"{name}, unit {number}" for number in (1, 2, 3)]
    if points.shape[1] != 3 and (projection is None or points.shape[1] < 3):
        hint = ' projection="pca" draws three principal components.' if points.shape[1] > 3 else ""
        raise ShapeError(
            f"hidden_space draws a layer of three units. Received: layer {name!r} of "
            f"{points.shape[1]} units.{hint}"
        )
    if points.shape[1] > 3:
        points, shares = _principal(points)
        labels = [f"component {k + 1} ({share:.0%} of variance)" for k, share in enumerate(shares)]
    classes = None if y is None else class_indices(y, len(rows), "hidden_space")
    ax = axes(ax, (6, 5.5), space=True)
    _points(ax, points, classes)
    _name_axes(ax, labels)
    return ax


def output_plane(
    model: Any,
    X: ArrayLike,
    y: ArrayLike | None = None,
    ax: Any = None,
    *,
    over: str = "hidden",
    cutoff: float = 0.5,
) -> Any:
    """Draw where a network's output crosses its cut-off: a plane in its hidden space, or over its inputs.

    The output unit computes ``f(w · h + b)`` from the hidden layer's outputs ``h``; where that is `cutoff`,
    ``w · h + b = f⁻¹(cutoff)``: a plane. Of two softmax units the difference of their weights counts.

    Parameters
    ----------
    model : Model
        Built; one output of one unit, or of two softmax units (class 1 counts).
    X : array_like, shape (n, inputs)
        With ``over='inputs'``, two inputs.
    y : array_like, optional
        Classes to colour the points by: indices, shape (n,) or (n, 1), or one-hot, shape (n, classes).
    ax : matplotlib Axes, optional
        Three-dimensional, as ``figure.add_subplot(projection='3d')`` makes; a new pyplot figure by default.
    over : {'hidden', 'inputs'}
        ``'hidden'``: the plane among the points of a last hidden layer of three units. ``'inputs'``: the
        output as height over the plane of two inputs, the points at the height of their class.
    cutoff : float, default 0.5
        The output at which class 1 begins.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ShapeError
        If the last hidden layer does not have three units, or the inputs are not two.
    ArgumentError
        If the output is not that of one unit, its activation has no inverse here (of linear, sigmoid,
        softmax and tanh), or it never takes the value `cutoff`.
    NotBuiltError
        If the model is not built.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.viz import output_plane
    >>> from fastnn.viz.style import figure
    >>> hidden = Dense(3, "sigmoid", input_shape=(2,), name="hidden")
    >>> model = Sequential([hidden, Dense(1, "sigmoid")], seed=0)
    >>> space = figure(4, 4).add_subplot(projection="3d")
    >>> output_plane(model, [[0.0, 1.0], [1.0, 0.0]], over="inputs", ax=space).get_zlabel()
    'output'
    """
    check_choice("over", over, "output_plane", ("hidden", "inputs"))
    check_model(model, "output_plane")
    rows = rows_of(X, "output_plane", 2 if over == "inputs" else None)
    classes = None if y is None else class_indices(y, len(rows), "output_plane")
    if over == "inputs":
        return _over_inputs(model, rows, classes, ax, cutoff)
    weights, bias, source = _output_unit(model, cutoff)
    points = np.asarray(model.layer_output(rows, source), np.float64)
    ax = axes(ax, (6, 5.5), space=True)
    low, high = points.min(axis=0), points.max(axis=0)
    margin = 0.05 * np.maximum(high - low, 1e-9)
    corners = _plane_in_box(weights, bias, low - margin, high + margin)
    label = f"output = {cutoff:g}"
    if len(corners):
        _polygon(ax, corners, label)
    else:
        ax.plot([], [], [], color="0.4", label=f"{label}: outside this box")
    _points(ax, points, classes)
    _name_axes(ax, [f"{source}, unit {number}" for number in (1, 2, 3)])
    ax.legend(loc="upper right", framealpha=0.9)
    return ax


# --------------------------------------------------------------------------- the network
def _default_layer(model: Any, projection: str | None) -> str:
    """Return the name of the last layer of three units (with a projection, or more) before the output's."""
    head = _head(model)
    before = list(itertools.takewhile(lambda symbol: symbol is not head, model.calls))
    fits = [s for s in before if s.spec.shape == (3,) or (projection and s.spec.size > 3)]
    if not fits:
        wide = [f"{symbol.layer.name!r} ({symbol.spec.size})" for symbol in before]
        more = "" if projection else " (or, with projection='pca', of more)"
        raise ShapeError(
            f"hidden_space draws a hidden layer of three units{more}. "
            f"Received: model {model.name!r} with hidden layers {', '.join(wide) or 'none'}."
        )
    return fits[-1].layer.name


def _head(model: Any) -> Any:
    """Return the symbol of the last layer with a kernel before the first output."""
    symbol = model.outputs[0]
    while not hasattr(symbol.layer, "kernel") and len(symbol.inputs) == 1:
        symbol = symbol.inputs[0]
    return symbol


def _output_unit(model: Any, cutoff: float) -> tuple[Rows, float, str]:
    """Return weights and bias such that ``w · h + b = 0`` at the cut-off, and the name of the layer of h."""
    head = _head(model)
    last = model.output_activation(0)
    units = head.spec.size
    one = len(model.outputs) == 1 and hasattr(head.layer, "kernel")
    if not one or (units, last == "softmax") not in ((1, False), (2, True)):
        raise ArgumentError(
            f"output_plane draws the output of one unit, or of two softmax units. Received: model "
            f"{model.name!r} with {len(model.outputs)} output(s), the first of {units} units, {last}."
        )
    own = getattr(head.layer, "activation", "linear")
    if last not in INVERSES or (head is not model.outputs[0] and own != "linear"):
        raise ArgumentError(
            f"output_plane knows where units of {', '.join(INVERSES)} cross a cut-off. "
            f"Received: an output of {last} after {own}."
        )
    with np.errstate(all="ignore"):
        level = float(INVERSES[last](np.float64(cutoff)))
    if not np.isfinite(level):
        raise ArgumentError(f"output_plane: an output of {last} is never `cutoff`. Received: {cutoff!r}.")
    if head.inputs[0].spec.shape != (3,):
        raise ShapeError(
            f"output_plane draws a plane in the space of a last hidden layer of three units. "
            f"Received: {head.inputs[0].spec.size} units of layer {head.inputs[0].layer.name!r}."
        )
    kernel = np.asarray(head.layer.kernel, np.float64)
    bias = np.zeros(units) if head.layer.bias is None else np.asarray(head.layer.bias, np.float64)
    if units == 2:
        kernel, bias = np.diff(kernel, axis=1), np.diff(bias)
    return kernel[:, 0], float(bias[0]) - level, head.inputs[0].layer.name


# --------------------------------------------------------------------------- geometry
def _principal(points: Rows) -> tuple[Rows, Rows]:
    """Return coordinates along the first three principal components, and their shares of the variance."""
    centred = points - points.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    shares = sizes**2 / max((sizes**2).sum(), 1e-300)
    return centred @ directions[:3].T, shares[:3]


def _plane_in_box(weights: Rows, bias: float, low: Rows, high: Rows) -> Rows:
    """Return the corners, in order, of the part of the plane ``w · h + b = 0`` that lies in a box."""
    found = []
    for axis in range(3):  # where the plane cuts the box's edges along this axis
        others = [k for k in range(3) if k != axis]
        for ends in itertools.product((low, high), repeat=2):
            corner = np.zeros(3)
            corner[others] = [ends[0][others[0]], ends[1][others[1]]]
            if weights[axis]:
                corner[axis] = -(weights @ corner + bias) / weights[axis]
                if low[axis] <= corner[axis] <= high[axis]:
                    found.append(corner)
    if len(found) < 3:
        return np.empty((0, 3))
    corners = np.array(found)
    centred = corners - corners.mean(axis=0)
    across = np.linalg.svd(centred, full_matrices=False)[2][:2]
    return corners[np.argsort(np.arctan2(centred @ across[1], centred @ across[0]))]


# --------------------------------------------------------------------------- drawing
def _polygon(ax: Any, corners: Rows, label: str) -> None:
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    fill = (0.5, 0.5, 0.5, 0.3)
    ax.add_collection3d(Poly3DCollection([corners], facecolor=fill, edgecolor="0.2"))
    # The legend gets a mark of its own: that of a polygon fails in matplotlib 3.7.
    ax.plot([], [], [], marker="s", ms=9, mfc=fill, mec="0.2", linestyle="", label=label)


def _points(ax: Any, points: Rows, classes: NDArray[np.int64] | None) -> None:
    if classes is not None:
        scatter(ax, points, classes, int(classes.max()) + 1)
    else:
        chosen = points[thinned(len(points))]
        ax.scatter(*chosen.T, s=10, color=COLOURS[0], linewidths=0, alpha=0.7, depthshade=False, label="rows")


def _name_axes(ax: Any, labels: list[str]) -> None:
    for axis, label in zip((ax.xaxis, ax.yaxis, ax.zaxis), labels, strict=True):
        axis.set_label_text(label)
        axis.labelpad = 9  # clear of the numbers
    ax.set_box_aspect(None, zoom=0.82)  # else the outer labels leave the figure


def _over_inputs(model: Any, rows: Rows, classes: NDArray[np.int64] | None, ax: Any, cutoff: float) -> Any:
    low, high = rows.min(axis=0), rows.max(axis=0)
    sides = [np.linspace(low[k], high[k], SURFACE) for k in (0, 1)]
    grid = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    outputs = np.asarray(model.predict(grid.astype(np.float32)), np.float64).reshape(len(grid), -1)
    if outputs.shape[1] > 2:
        raise ArgumentError(
            f"output_plane draws the output of one unit, or of two softmax units. "
            f"Received: {outputs.shape[1]} units."
        )
    height = outputs[:, -1].reshape(SURFACE, SURFACE)
    ax = axes(ax, (6, 5.5), space=True)
    first, second = np.meshgrid(*sides)
    ax.plot_surface(first, second, height, cmap=SEQUENTIAL, alpha=0.55, linewidth=0, rasterized=True)
    if height.min() < cutoff < height.max():
        ax.contour(first, second, height, levels=[cutoff], colors="black", linewidths=2)
    ax.plot([], [], [], color="black", linewidth=2, label=f"output = {cutoff:g}")
    if classes is not None:
        _points(ax, np.column_stack([rows, classes]), classes)
    _name_axes(ax, ["x1", "x2", "output"])
    ax.legend(loc="upper right", framealpha=0.9)
    return ax
