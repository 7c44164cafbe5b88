"""Reverse-mode differentiation of a graph, by the ops' own gradient rules."""

from __future__ import annotations

from collections.abc import Iterable

from fastnn.errors import ArgumentError
from fastnn.graph.trace import Graph, Value
from fastnn.ops import registry


def backward(graph: Graph, seeds: dict[int, Value], parameters: Iterable[Value]) -> list[Value]:
    """Append the nodes that compute the parameters' gradients.

    Parameters
    ----------
    graph : Graph
        Extended in place.
    seeds : dict of int to Value
        The gradient of the loss with respect to some values, by number.
    parameters : iterable of Value
        The trainable parameters.

    Returns
    -------
    list of Value
        All gradient contributions (a parameter used twice has two, the second adding to the first).
        Each lies at its parameter's offset of the flat gradient buffer.
    """
    trainable = {value.number for value in parameters}
    reaches = _depends_on(graph, trainable)
    gradients = dict(seeds)
    contributions: list[Value] = []
    written: set[int] = set()
    for node in reversed(list(graph.nodes)):
        d_outputs = [gradients.get(output.number) for output in node.outputs]
        if all(d is None for d in d_outputs) or not any(v.number in reaches for v in node.inputs):
            continue
        rule = registry.get(node.op).gradient
        if rule is None:
            raise ArgumentError(f"Op {node.op!r} has no gradient, so nothing before it can be trained.")
        for value, gradient in zip(
            node.inputs, rule(graph, node.inputs, node.outputs, d_outputs, node.attrs), strict=True
        ):
            if gradient is None or value.number not in reaches:
                continue
            if value.role == "parameter":
                gradient.role, gradient.offset, gradient.name = "gradient", value.offset, value.name
                gradient.producer.accumulate = value.number in written
                written.add(value.number)
                contributions.append(gradient)
            elif value.number in gradients:
                gradients[value.number] = graph.emit("add", [gradients[value.number], gradient])
            else:
                gradients[value.number] = gradient
    return contributions


def _depends_on(graph: Graph, sources: set[int]) -> set[int]:
    """Numbers of the values that depend on any of `sources` (them included)."""
    reached = set(sources)
    for node in graph.nodes:
        if any(value.number in reached for value in node.inputs):
            reached.update(output.number for output in node.outputs)
    return reached
