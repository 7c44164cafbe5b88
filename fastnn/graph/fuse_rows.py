"""Fusions for blocks of (rows, units): one pass over activations where several ops ask for one each.

Only for executors that know what comes of it: ``activation_backward``, with inputs ``(dy, saved, (mask))``
and outputs ``(dx, (db))``; a `dense_dx` that ends in one; a `dense` that ends in dropout.
"""

from __future__ import annotations

from fastnn.graph.fuse import is_plain_relu
from fastnn.graph.trace import Graph, Node
from fastnn.ops.activations import ELEMENTWISE

DROPOUTS = ("dropout", "alpha_dropout")


def fuse_rows(graph: Graph) -> None:
    """Give bias, activation and dropout to the product before them, and their backward pass to one node."""
    _take_masks(graph)
    _take_columns(graph)
    _take_sums(graph)
    _take_dropouts(graph)


def _take_masks(graph: Graph) -> None:
    """Make an activation's gradient an ``activation_backward``, and that of dropout after it as well."""
    consumers = graph.consumers()
    removed: set[int] = set()
    for node in graph.nodes:
        name = node.op.removesuffix("_grad")
        if name == node.op or name not in ELEMENTWISE:
            continue
        node.attrs = {"activation": name, "activation_attrs": node.attrs}
        node.op = "activation_backward"
        product = _only_before(node, consumers)
        dropout = _dropout_of(product)
        if product is None or dropout is None:
            continue
        dy, saved = product.inputs[0], node.inputs[1]
        removed.add(id(product))
        relu = is_plain_relu(name, node.attrs["activation_attrs"]) and saved is dropout.inputs[0]
        if relu and dropout.op == "dropout":
            # Dropout's output is positive where it kept a positive number: it says all that the mask says.
            node.inputs = (dy, dropout.outputs[0])
            node.attrs["factor"] = 1.0 / (1.0 - dropout.attrs["rate"])
        else:
            node.inputs = (dy, saved, product.inputs[1])
    _remove(graph, removed)


def _only_before(node: Node, consumers: dict[int, list[Node]]) -> Node | None:
    """Return what made a node's first input, if nothing else reads it."""
    dy = node.inputs[0]
    alone = dy.role == "temporary" and consumers[dy.number] == [node] and node.inputs[1] is not dy
    return dy.producer if alone else None


def _dropout_of(product: Node | None) -> Node | None:
    """Return the dropout whose gradient a node is."""
    if product is None or product.op != "multiply":
        return None
    mask = product.inputs[1]
    dropout = mask.producer
    return dropout if dropout is not None and dropout.op in DROPOUTS and mask is dropout.outputs[1] else None


def _take_columns(graph: Graph) -> None:
    """Fold a derivative into the product with one unit's weights before it."""
    consumers = graph.consumers()
    removed: set[int] = set()
    for node in graph.nodes:
        product = _only_before(node, consumers) if node.op == "activation_backward" else None
        if product is None or product.op != "dense_dx" or product.inputs[1].spec.shape[1] != 1:
            continue
        product.attrs = {**product.attrs, **node.attrs}
        product.inputs += node.inputs[1:]
        product.outputs = node.outputs
        product.outputs[0].producer = product
        removed.add(id(node))
    _remove(graph, removed)


def _take_sums(graph: Graph) -> None:
    """Fold a bias' gradient into the derivative that it sums.

    One that adds to what another node wrote stays where it is, behind that.
    """
    removed: set[int] = set()
    for node in graph.nodes:
        maker = node.inputs[0].producer if node.op == "dense_db" and not node.accumulate else None
        if maker is None or "activation" not in maker.attrs or len(maker.outputs) > 1:
            continue
        if maker.op in ("activation_backward", "dense_dx"):
            maker.outputs += node.outputs
            node.outputs[0].producer = maker
            removed.add(id(node))
    _remove(graph, removed)


def _take_dropouts(graph: Graph) -> None:
    """Fold dropout into the dense op before it where nothing is read but dropout's output, now that op's."""
    consumers = graph.consumers()
    removed: set[int] = set()
    for node in graph.nodes:
        maker = node.inputs[0].producer if node.op == "dropout" else None
        if maker is None or maker.op != "dense" or maker.inputs[1].spec.shape[1] == 1:
            continue
        dropped, mask = node.outputs
        alone = consumers[node.inputs[0].number] == [node] and "dropout" not in maker.attrs
        if alone and mask.number not in consumers:
            maker.attrs = {**maker.attrs, "dropout": node.attrs}
            maker.outputs = (dropped,)
            dropped.producer = maker
            removed.add(id(node))
    _remove(graph, removed)


def _remove(graph: Graph, removed: set[int]) -> None:
    graph.nodes = [node for node in graph.nodes if id(node) not in removed]
