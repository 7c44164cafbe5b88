"""Where the layers of a network are placed in its diagram: columns, and places within a column.

Layers are ranked by their longest way from an input (Sugiyama, Tagawa and Toda 1981): a column each. A
connection that skips columns gets a narrow lane in each of them, so that no line crosses a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

#: Inches: between two units, of a letter (at 8.5 points), of a line of text, between columns and within.
UNIT, LETTER, LINE, GAP, SPACE = 0.3, 0.073, 0.155, 0.6, 0.3
#: Passes over the columns that put each layer near those it is connected to.
SWEEPS = 4


@dataclass(eq=False)
class Node:
    """A layer, or a lane of a connection where `lines` is empty.

    Attributes
    ----------
    lines : list of str
        The label.
    units : int
        How many the layer has; 0 for one that is drawn as a box.
    symbol : str
        What is written in the box.
    dense : bool
        Whether each unit is connected to all units before.
    sources : list of Node
    """

    lines: list[str]
    units: int = 0
    symbol: str = ""
    dense: bool = False
    sources: list[Node] = field(default_factory=list)
    rank: int = 0
    shown: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def tall(self) -> float:
        """Height of what is drawn, without the label."""
        return UNIT * max(self.shown, 1)

    @property
    def height(self) -> float:
        """Height with the label."""
        return self.tall + LINE * len(self.lines) + (0.12 if self.lines else 0.0)

    @property
    def width(self) -> float:
        """Width with the label."""
        return max([LETTER * len(line) for line in self.lines] + [0.5 if self.lines else 0.0])


def nodes_of(model: Any, max_units: int) -> list[Node]:
    """Return a node for each layer of a model, each after its sources.

    What gives rows of the same size from one layer alone, as activations and dropout do, is written into
    the label of that layer.
    """
    readers: dict[int, int] = {}
    for symbol in model.calls:
        for source in symbol.inputs:
            readers[id(source)] = readers.get(id(source), 0) + 1
    found: dict[int, Node] = {}
    nodes: list[Node] = []
    for symbol in (*model.inputs, *model.calls):
        layer, kind = symbol.layer, type(symbol.layer).__name__
        size = math.prod(symbol.spec.shape)
        has_table = hasattr(layer, "kernel") or hasattr(layer, "embeddings")
        if len(symbol.inputs) == 1 and not has_table:
            source = symbol.inputs[0]
            if readers[id(source)] == 1 and math.prod(source.spec.shape) == size:
                found[id(symbol)] = found[id(source)]
                found[id(symbol)].lines += _note(layer, kind)
                continue
        lines = [layer.name, f"{'Input' if kind == 'InputLayer' else kind} {_extents(symbol.spec.shape)}"]
        drawn = has_table or not symbol.inputs
        node = Node(
            lines + (_note(layer, "") if has_table else []),
            units=size if drawn else 0,
            symbol="" if drawn else SYMBOLS.get(kind, "f"),
            dense=hasattr(layer, "kernel"),
            sources=[found[id(source)] for source in symbol.inputs],
            shown=min(size, max_units) if drawn else 1,
        )
        found[id(symbol)] = node
        nodes.append(node)
    return nodes


SYMBOLS = {
    "Add": "+", "Subtract": "−", "Multiply": "×", "Concatenate": "[ ]", "Average": "avg", "Maximum": "max",
    "Minimum": "min", "Dot": "·",
}  # fmt: skip


def _extents(shape: Sequence[int]) -> str:
    return " × ".join(f"{extent:,}" for extent in shape)


def _note(layer: Any, kind: str) -> list[str]:
    """Return what a layer's label says beside name and size: activation, rate, or the kind of layer."""
    activation = getattr(layer, "activation", None)
    if isinstance(activation, str):
        return [activation] if activation != "linear" or kind == "Activation" else []
    rate = getattr(layer, "rate", None)
    return [f"{kind} {rate:g}" if isinstance(rate, float) else kind] if kind not in ("", "Flatten") else []


def place(nodes: list[Node]) -> tuple[list[list[Node]], tuple[float, float, float, float]]:
    """Give every node its x and y, in inches.

    Returns
    -------
    routes : list of list of Node
        For each connection the nodes on its way: source, lanes, target.
    box : tuple of float
        Left, right, bottom and top of everything.
    """
    _rank(nodes)
    columns: list[list[Node]] = [[] for _ in range(1 + max(node.rank for node in nodes))]
    for node in nodes:
        columns[node.rank].append(node)
    routes = _routes(nodes, columns)
    _order(columns, routes)
    left = 0.0
    for column in columns:
        width = max(node.width for node in column)
        for node in column:
            node.x = left + width / 2
        left += width + GAP
    tops = [node.y + node.tall / 2 for node in (node for column in columns for node in column)]
    bottoms = [
        node.y + node.tall / 2 - node.height for node in (node for column in columns for node in column)
    ]
    return routes, (-0.1, left - GAP + 0.1, min(bottoms) - 0.1, max(tops) + 0.1)


def _rank(nodes: list[Node]) -> None:
    for node in nodes:
        node.rank = 1 + max((source.rank for source in node.sources), default=-1)
    for node in nodes:  # an input stands right before the first layer that reads it
        readers = [other.rank for other in nodes if node in other.sources]
        if not node.sources and readers:
            node.rank = min(readers) - 1


def _routes(nodes: list[Node], columns: list[list[Node]]) -> list[list[Node]]:
    """Return the way of every connection, putting lanes into the columns it skips."""
    lanes: dict[tuple[int, int], Node] = {}
    routes = []
    for node in nodes:
        for source in node.sources:
            way = [source]
            for rank in range(source.rank + 1, node.rank):
                lane = lanes.get((id(source), rank))
                if lane is None:
                    lane = lanes[id(source), rank] = Node([], rank=rank)
                    columns[rank].append(lane)
                way.append(lane)
            routes.append([*way, node])
    return routes


def _order(columns: list[list[Node]], routes: list[list[Node]]) -> None:
    """Put each node near the middle of those it is connected to, column by column, there and back."""
    for column in columns:
        _stack(column, [0.0] * len(column))
    near: dict[int, list[Node]] = {}
    for way in routes:
        for one, two in pairwise(way):
            near.setdefault(id(one), []).append(two)
            near.setdefault(id(two), []).append(one)
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            rank = column[0].rank + (-1 if sweep % 2 == 0 else 1)
            wished = {}
            for node in column:
                ends = [other.y for other in near.get(id(node), []) if other.rank == rank]
                wished[id(node)] = float(np.mean(ends)) if ends else node.y
            column.sort(key=lambda node: -wished[id(node)])
            _stack(column, [wished[id(node)] for node in column])


def _stack(column: list[Node], wished: list[float]) -> None:
    """Place a column's nodes, top to bottom, as near to their wished heights as they have room.

    The least squares solution: nodes that would overlap move together (pool adjacent violators).
    """
    below = [0.0]  # how far under the first each must stay
    for one, two in pairwise(column):
        below.append(below[-1] + one.height - one.tall / 2 + SPACE + two.tall / 2)
    groups: list[tuple[float, int]] = []
    for wish, drop in zip(wished, below, strict=True):
        mean, count = wish + drop, 1
        while groups and groups[-1][0] < mean:
            other, others = groups.pop()
            mean, count = (mean * count + other * others) / (count + others), count + others
        groups.append((mean, count))
    tops = [mean for mean, count in groups for _ in range(count)]
    for node, top, drop in zip(column, tops, below, strict=True):
        node.y = top - drop
