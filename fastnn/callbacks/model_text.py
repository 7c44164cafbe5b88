"""A model as TensorBoard shows it: its graph, its summary and its hyperparameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from fastnn.graph.trace import Graph
from fastnn.ops.registry import Spec
from fastnn.serialization import snake_case

#: Arguments that do not make one model another.
NOT_TUNED = ("name", "trainable", "dtype", "input_shape", "input_dim")


# ---------------------------------------------------------------------------- graph
def graph_def(model: Any) -> Any:
    """Return a model's graph as it is trained: ops in a scope for each layer.

    Parameters
    ----------
    model : Model
        Built.

    Returns
    -------
    GraphDef
        TensorFlow's message, whose ops are those of ``fastnn.ops``.
    """
    from tensorboard.compat.proto import graph_pb2, versions_pb2

    graph = Graph()
    model.trace(graph, training=True)
    names: dict[int, str] = {}
    taken: dict[str, int] = {}
    nodes = []
    for value in graph.values:
        if value.role in ("input", "parameter"):
            names[value.number] = name = _unique(value.name, taken)
            op = "Placeholder" if value.role == "input" else "VariableV2"
            nodes.append(_node(name, op, [], [value], model.dtype, {}))
    for node in graph.nodes:
        name = _unique(f"{node.scope}/{node.op}", taken)
        for number, output in enumerate(node.outputs):
            names[output.number] = f"{name}:{number}" if number else name
        inputs = [names[value.number] for value in node.inputs]
        nodes.append(_node(name, node.op, inputs, node.outputs, model.dtype, node.attrs))
    return graph_pb2.GraphDef(node=nodes, versions=versions_pb2.VersionDef(producer=22))


def _unique(name: str, taken: dict[str, int]) -> str:
    name = re.sub(r"[^A-Za-z0-9_./-]", "_", name)
    number = taken[name] = taken.get(name, -1) + 1
    return f"{name}_{number}" if number else name


def _node(name: str, op: str, inputs: list[str], outputs: Any, dtype: str, attrs: Mapping[str, Any]) -> Any:
    from tensorboard.compat.proto import attr_value_pb2, node_def_pb2, types_pb2

    message = attr_value_pb2.AttrValue
    node = node_def_pb2.NodeDef(name=name, op=op, input=inputs)
    for key, value in attrs.items():
        node.attr[key].CopyFrom(_attribute(value))
    for value in outputs[:1]:
        kind = types_pb2.DT_INT32 if value.spec.kind == "int" else types_pb2.DataType.Value(_TYPES[dtype])
        node.attr["dtype"].CopyFrom(message(type=kind))
    shapes = message.ListValue(shape=[_shape(value.spec) for value in outputs])
    node.attr["_output_shapes"].CopyFrom(message(list=shapes))  # what the edges are labelled with
    return node


_TYPES = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE"}


def _attribute(value: Any) -> Any:
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue

    if isinstance(value, bool):
        return AttrValue(b=value)
    if isinstance(value, int):
        return AttrValue(i=value)
    if isinstance(value, float):
        return AttrValue(f=value)
    return AttrValue(s=str(value).encode())


def _shape(spec: Spec) -> Any:
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    extents = (-1, *spec.shape) if spec.rows else spec.shape  # -1: any number of rows
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=extent) for extent in extents])


# ---------------------------------------------------------------------------- text
def hyperparameters(model: Any, params: Mapping[str, Any]) -> dict[str, float | bool | str]:
    """Return what was chosen for a model and its training, by name.

    Parameters
    ----------
    model : Model
        Built and compiled.
    params : mapping
        What callbacks know of the training.

    Returns
    -------
    dict
        Layers are named by their place, so that runs can be compared: ``'layer 1 units'``. What has its
        default is left out.

    Examples
    --------
    >>> from fastnn.layers import Dense, Dropout
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(8, "relu", input_shape=(4,)), Dropout(0.5), Dense(1)], seed=3)
    >>> model.compile("adam", "mse")
    >>> found = hyperparameters(model, {"batch_size": 32, "epochs": 5})
    >>> found["optimizer"], found["batch_size"], found["layer 1 Dense units"], found["layer 2 Dropout rate"]
    ('Adam', 32, 8, 0.5)
    """
    found: dict[str, float | bool | str] = {"optimizer": type(model.optimizer).__name__}
    rate = model.optimizer.learning_rate
    found["learning_rate"] = rate if isinstance(rate, float) else type(rate).__name__
    found.update((key, value) for key, value in _chosen(model.optimizer) if key != "learning_rate")
    found["loss"] = loss_text(model.loss)
    found.update((key, params[key]) for key in ("batch_size", "epochs") if key in params)
    found["parameters"] = model.count_params()
    found["dtype"] = model.dtype
    found["seed"] = str(model.seed)  # may have more digits than a float64
    for number, layer in enumerate(model.layers, 1):
        for key, value in _chosen(layer):
            found[f"layer {number} {type(layer).__name__} {key}"] = value
    return found


def _chosen(thing: Any) -> Iterator[tuple[str, float | bool | str]]:
    """Go through the arguments of an optimizer or a layer that do not have their defaults."""
    signature = inspect.signature(type(thing)).parameters
    for key in signature:
        value = getattr(thing, key, None)
        default = signature[key].default
        if key in NOT_TUNED or value is None or value == default:
            continue
        if isinstance(value, (bool, int, float, str)):
            yield key, value
        elif snake_case(type(value).__name__) != default:
            yield key, repr(value)


def loss_text(loss: Any) -> str:
    """Return what compile() was given as its loss in one line."""
    if isinstance(loss, Mapping):
        return ", ".join(f"{name}: {loss_text(item)}" for name, item in loss.items())
    if isinstance(loss, (list, tuple)):
        return ", ".join(loss_text(item) for item in loss)
    return loss if isinstance(loss, str) else getattr(loss, "name", None) or type(loss).__name__


def description(model: Any, numbers: Mapping[str, Any]) -> str:
    """Return a model's summary and hyperparameters in Markdown."""
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    code = "\n".join("    " + line for line in "\n".join(lines).splitlines())
    table = "\n".join(f"| {key} | {str(value).replace('|', '/')} |" for key, value in numbers.items())
    return f"{code}\n\n| hyperparameter | value |\n|---|---|\n{table}"
