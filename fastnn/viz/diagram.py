"""A network as a drawing: layers, their units, and what connects them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from fastnn.serialization import check_integer
from fastnn.viz.checks import check_model
from fastnn.viz.layout import UNIT, Node, nodes_of, place
from fastnn.viz.style import COLOURS, axes

#: Points of the labels at full size; a large network is drawn smaller, down to the second.
TEXT, SMALLEST_TEXT = 8.5, 3.0
#: Inches of the largest new figure.
LARGEST = (18.0, 10.0)
RADIUS = 0.1
FIRST, INNER, LAST = COLOURS[5], "white", COLOURS[4]


def network_diagram(model: Any, ax: Any = None, *, max_units: int = 9) -> Any:
    """Draw a network: a column of circles for each layer's units, its name, size and activation below.

    Activations, dropout and the like are written below the layer they follow; layers that merge others are
    boxes. Inputs are blue, outputs orange. Lines from unit to unit stand for a dense layer's weights; a
    connection that skips layers is an arrow around them.

    Parameters
    ----------
    model : Model
        Built; sequential or functional.
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure, as large as the network needs, by default.
    max_units : int, default 9
        Of a larger layer the first and last units are drawn, with dots between; at least 3.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    NotBuiltError
        If the model is not built.
    DtypeError, ArgumentError
        If it is no model, or `max_units` is less than 3.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.viz import network_diagram
    >>> from fastnn.viz.style import figure
    >>> model = Sequential([Dense(3, "sigmoid", input_shape=(2,), name="hidden"), Dense(2, name="output")])
    >>> ax = network_diagram(model, ax=figure(5, 3).subplots())
    >>> [text.get_text() for text in ax.texts][1:]
    ['hidden\\nDense 3\\nsigmoid', 'output\\nDense 2']
    """
    check_model(model, "network_diagram")
    check_integer("max_units", max_units, "network_diagram", 3)
    nodes = nodes_of(model, max_units)
    routes, (left, right, bottom, top) = place(nodes)
    width, height = right - left, top - bottom
    if ax is None:
        shrink = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
        ax = axes(None, (max(2.0, width * shrink), max(1.5, height * shrink)))
    else:
        ax = axes(ax)
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.axis("off")
    scale = _scale(ax, width, height)
    for way in routes:
        _connect(ax, way, scale)
    for node in nodes:
        _draw(ax, node, scale, nodes)
    return ax


def _scale(ax: Any, width: float, height: float) -> float:
    """Return the size on paper of an inch of the drawing."""
    box, drawing = ax.get_position(), ax.get_figure()
    room = drawing.get_figwidth() * box.width / width, drawing.get_figheight() * box.height / height
    return min(*room, 1.2)


def _places(node: Node) -> np.ndarray:
    """Return the heights of a layer's circles, from top to bottom, without those the dots stand for."""
    heights = node.y + UNIT * ((node.shown - 1) / 2 - np.arange(node.shown))
    return np.delete(heights, node.shown // 2) if node.units > node.shown else heights


def _draw(ax: Any, node: Node, scale: float, nodes: list[Node]) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    size = max(TEXT * scale, SMALLEST_TEXT)
    read = any(node in other.sources for other in nodes)
    colour = FIRST if not node.sources else INNER if read else LAST
    if node.units:
        for y in _places(node):
            ax.add_patch(Circle((node.x, y), RADIUS, fc=colour, ec="0.15", lw=scale, zorder=3))
        if node.units > node.shown:
            middle = node.y + UNIT * ((node.shown - 1) / 2 - node.shown // 2)
            for step in (-1, 0, 1):
                ax.add_patch(Circle((node.x, middle + 0.08 * step), 0.018, color="0.15", zorder=3))
    else:
        ax.add_patch(
            FancyBboxPatch(
                (node.x - 0.17, node.y - 0.13), 0.34, 0.26, "round,pad=0,rounding_size=0.06",
                fc=colour, ec="0.15", lw=scale, zorder=3,
            )
        )  # fmt: skip
        ax.text(node.x, node.y, node.symbol, ha="center", va="center_baseline", fontsize=size, zorder=4)
    ax.text(
        node.x, node.y - node.tall / 2 - 0.06, "\n".join(node.lines), ha="center", va="top", fontsize=size,
        linespacing=1.15, zorder=4,
    )  # fmt: skip


def _connect(ax: Any, way: list[Node], scale: float) -> None:
    """Draw a connection: from unit to unit into the next column's dense layer, else an arrow."""
    from matplotlib.collections import LineCollection
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    source, target = way[0], way[-1]
    if len(way) == 2 and target.dense and source.units:
        lines = [
            [(source.x + RADIUS, y), (target.x - RADIUS, z)] for y in _places(source) for z in _places(target)
        ]
        ax.add_collection(LineCollection(lines, colors="0.55", linewidths=0.5 * scale, alpha=0.7, zorder=1))
        return
    ends = [0.17 if not node.units else RADIUS + 0.04 for node in (source, target)]
    points = [(source.x + ends[0], source.y), *((lane.x, lane.y) for lane in way[1:-1])]
    points.append((target.x - ends[1], target.y))
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (x1 + x2) / 2
        vertices += [(middle, y1), (middle, y2), (x2, y2)]
        codes += [Path.CURVE4] * 3
    ax.add_patch(
        FancyArrowPatch(
            path=Path(vertices, codes), arrowstyle="-|>", mutation_scale=9 * scale, color="0.25",
            lw=1.2 * scale, shrinkA=0, shrinkB=0, zorder=2,
        )
    )  # fmt: skip
