"""Fusions that pay: a dense layer takes its activation, a loss takes the activation before it."""

from __future__ import annotations

from fastnn.graph.trace import Graph, Node, Value
from fastnn.ops.activations import ELEMENTWISE

#: Losses that have a form on logits, and the activation that makes their probabilities.
LOGIT_LOSSES = {
    "binary_crossentropy": "sigmoid",
    "binary_focal_crossentropy": "sigmoid",
    "categorical_crossentropy": "softmax",
    "sparse_categorical_crossentropy": "softmax",
}


def logits_of(loss: str, attrs: dict, prediction: Value) -> Value | None:
    """Return the logits under a prediction, if the loss can be computed from them.

    Sigmoid or softmax followed by its cross-entropy is one op on the logits: no logarithm of a rounded
    probability, and its gradient is ``p - t``.
    """
    producer = prediction.producer
    if attrs.get("from_logits") or producer is None or LOGIT_LOSSES.get(loss) != producer.op:
        return None
    return producer.inputs[0]


def fuse_activations(graph: Graph) -> None:
    """Fold an activation into the dense op before it, where backward needs only the output."""
    consumers = graph.consumers()
    removed: set[int] = set()
    for node in graph.nodes:
        if node.op != "dense":
            continue
        readers = consumers.get(node.outputs[0].number, [])
        activation = _fusable(readers)
        if activation is None:
            continue
        for reader in readers:  # a relu's gradient may read its output as well as its input
            if reader is not activation:
                reader.inputs = (reader.inputs[0], activation.outputs[0])
        node.attrs = {**node.attrs, "activation": activation.op, "activation_attrs": activation.attrs}
        node.outputs = activation.outputs
        node.outputs[0].producer = node
        removed.add(id(activation))
    if removed:
        graph.nodes = [node for node in graph.nodes if id(node) not in removed]


def _fusable(readers: list[Node]) -> Node | None:
    """Return the one activation among the readers of a dense output, if it can be fused."""
    forward = [node for node in readers if node.op in ELEMENTWISE]
    if len(forward) != 1:
        return None
    activation = forward[0]
    others = [node for node in readers if node is not activation]
    if ELEMENTWISE[activation.op] == "output":
        return activation if not others else None
    if is_plain_relu(activation.op, activation.attrs) and all(node.op == "relu_grad" for node in others):
        return activation
    return None


def is_plain_relu(name: str, attrs: dict) -> bool:
    """Whether an activation is relu without options, whose output says where its gradient is zero."""
    return name == "relu" and not any(
        attrs[option] for option in ("negative_slope", "max_value", "threshold")
    )


def fuse_backward(graph: Graph) -> None:
    """Fold an activation's derivative into the `dense_dx` before it, a `dense_db` into the `dense_dw`.

    For blocks of (units, rows), where one more pass takes as long as a product.
    """
    consumers = graph.consumers()
    kept: list[Node] = []
    removed: set[int] = set()
    for node in graph.nodes:
        if id(node) in removed:
            continue
        before = kept[-1] if kept else node
        if node.op == "dense_db" and before.op == "dense_dw" and _same_sums(before, node):
            before.outputs += node.outputs
            node.outputs[0].producer = before
            continue
        kept.append(node)
        derivative = _derivative(node, consumers) if node.op == "dense_dx" else None
        if derivative is not None:
            activation = derivative.op.removesuffix("_grad")
            node.attrs = {**node.attrs, "activation": activation, "activation_attrs": derivative.attrs}
            node.inputs += derivative.inputs[1:]
            node.outputs = derivative.outputs
            node.outputs[0].producer = node
            removed.add(id(derivative))
    graph.nodes = kept


def _same_sums(weights: Node, bias: Node) -> bool:
    return weights.inputs[1] is bias.inputs[0] and weights.accumulate == bias.accumulate


def _derivative(product: Node, consumers: dict[int, list[Node]]) -> Node | None:
    """Return the one reader of a product, if it is an elementwise activation's gradient op."""
    (dx,) = product.outputs
    readers = consumers.get(dx.number, [])
    if len(readers) != 1 or not readers[0].op.endswith("_grad"):
        return None
    (reader,) = readers
    elementwise = reader.op.removesuffix("_grad") in ELEMENTWISE
    return reader if elementwise and reader.inputs[1] is not dx else None
