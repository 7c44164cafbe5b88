"""Graphs: values and the nodes that make them, in the order they were emitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.errors import ShapeError
from fastnn.ops import registry
from fastnn.ops.registry import Spec


class Value:
    """A value of a graph: an input, a parameter, a temporary or a parameter's gradient.

    Attributes
    ----------
    number : int
        Position among the graph's values.
    spec : Spec
    role : {'input', 'parameter', 'temporary', 'gradient'}
    name : str
    offset : int
        Of a parameter or gradient: its first element in the flat buffer. Of an input: which input.
    producer : Node or None
    """

    __slots__ = ("name", "number", "offset", "producer", "role", "spec")

    def __init__(self, number: int, spec: Spec, role: str, name: str = "", offset: int = 0):
        self.number = number
        self.spec = spec
        self.role = role
        self.name = name
        self.offset = offset
        self.producer: Node | None = None

    def __repr__(self) -> str:
        return f"<{self.role} {self.number} {self.name} {self.spec.shape}>"


class Node:
    """An op applied to values.

    Attributes
    ----------
    accumulate : bool
        The output is a gradient that an earlier node has written already: add to it.
    scope : str
        Name of the layer that emitted it.
    """

    __slots__ = ("accumulate", "attrs", "inputs", "op", "outputs", "scope")

    def __init__(self, op: str, inputs: tuple[Value, ...], outputs: tuple[Value, ...], attrs: dict[str, Any]):
        self.op = op
        self.inputs = inputs
        self.outputs = outputs
        self.attrs = attrs
        self.accumulate = False
        self.scope = ""

    def __repr__(self) -> str:
        return f"<{self.op} {self.inputs} -> {self.outputs}>"


class Graph:
    """Values and nodes in order of emission, which is an order of execution."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.nodes: list[Node] = []
        self.inputs: list[Value] = []
        self.random_ops = 0
        self.scope = ""  # the layer whose ops are being emitted

    def value(self, spec: Spec, role: str = "temporary", name: str = "", offset: int = 0) -> Value:
        """Add a value that no node makes."""
        value = Value(len(self.values), spec, role, name, offset)
        self.values.append(value)
        return value

    def input(self, spec: Spec, name: str = "") -> Value:
        """Add an input: an array with one row per example, given when the program runs."""
        value = self.value(spec, "input", name, len(self.inputs))
        self.inputs.append(value)
        return value

    def parameter(self, shape: tuple[int, ...], name: str, offset: int) -> Value:
        """Add a parameter, which lives in the flat buffer from element `offset` on."""
        return self.value(Spec(tuple(shape), rows=False), "parameter", name, offset)

    def emit(self, op: str, inputs: Sequence[Value], **attrs: Any) -> Any:
        """Apply an op; returns its output value, or a tuple of them where it has several."""
        record = registry.get(op)
        attrs = record.complete(attrs)
        try:
            specs = record.shape([value.spec for value in inputs], attrs)
        except ShapeError as error:
            raise ShapeError(f"{error} (in op {op!r})") from None
        outputs = tuple(self.value(spec) for spec in specs)
        node = Node(op, tuple(inputs), outputs, attrs)
        node.scope = self.scope
        for output in outputs:
            output.producer = node
        self.nodes.append(node)
        return outputs[0] if len(outputs) == 1 else outputs

    def next_stream(self) -> int:
        """Number of the next random op: its stream of random numbers."""
        self.random_ops += 1
        return self.random_ops

    def prune(self, keep: Sequence[Value]) -> None:
        """Drop the nodes that neither `keep` nor a node without outputs (a sum, a store) needs."""
        needed = {value.number for value in keep}
        nodes = []
        for node in reversed(self.nodes):
            if not node.outputs or any(output.number in needed for output in node.outputs):
                needed.update(value.number for value in node.inputs)
                nodes.append(node)
        self.nodes = nodes[::-1]

    def consumers(self) -> dict[int, list[Node]]:
        """Map a value's number to the nodes that read it."""
        found: dict[int, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                found.setdefault(value.number, []).append(node)
        return found


def freeze(attrs: Mapping[str, Any]) -> tuple:
    """Make attributes hashable."""
    return tuple(sorted((key, freeze(v) if isinstance(v, dict) else v) for key, v in attrs.items()))
