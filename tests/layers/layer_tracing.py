"""What a layer emits, and its values by the ops' references: no kernel takes part."""

from __future__ import annotations

import numpy as np

from fastnn.graph.trace import Graph
from fastnn.layers import Layer
from fastnn.layers.base import Trace
from fastnn.layers.variables import place
from fastnn.ops import registry
from fastnn.ops.registry import Spec

ROW = Spec((3,))


def trace_of(layer: Layer, specs, training: bool = False):
    """Return the ops a layer emits, with their attributes, and its output."""
    layer.infer(specs)
    graph = Graph()
    trace = Trace(graph, training, with_penalties=True)
    output = layer.apply(trace, [graph.input(spec) for spec in specs])
    return graph, trace, output


def emitted(layer: Layer, specs, training: bool = False):
    """Return the ops a layer emits, with their attributes."""
    return [(node.op, node.attrs) for node in trace_of(layer, specs, training)[0].nodes]


def compute(layer: Layer, *arrays, training: bool = False):
    """Compute a layer in float64 by the ops' references; returns the output and the graph's other results."""
    arrays = [np.asarray(array, float) for array in arrays]
    specs = [Spec(array.shape[1:]) for array in arrays]
    layer.infer(specs)
    if layer.variables:
        place(layer.variables, "float64", seed=0)
    graph, trace, output = trace_of(layer, specs, training)
    values = {value.number: array for value, array in zip(graph.inputs, arrays, strict=True)}
    values |= {value.number: variable.numpy() for variable, value in trace.parameters()}
    for node in graph.nodes:
        results = registry.get(node.op).reference(*(values[v.number] for v in node.inputs), **node.attrs)
        results = results if isinstance(results, tuple) else (results,)
        values |= {value.number: result for value, result in zip(node.outputs, results, strict=True)}
    return values[output.number]
