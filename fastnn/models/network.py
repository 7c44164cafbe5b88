"""The structure of a model: layers, variables in one storage, tracing. No training here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import random
from fastnn.errors import ArgumentError, NotBuiltError, unknown_name
from fastnn.graph.trace import Graph, Value
from fastnn.layers.base import Layer, Symbol, Trace, set_values, unique_name
from fastnn.layers.core import Activation, Dense, Embedding, InputLayer
from fastnn.layers.variables import Storage, Variable, place


class Network:
    """Layers connected from inputs to outputs.

    Attributes
    ----------
    name : str
    seed : int
        Fixes initial weights, shuffles and masks.
    dtype : {'float32', 'float64'}
    inputs, outputs : list of Symbol
    layers : list of Layer
        In an order of execution; Keras' ``Sequential`` leaves its input layer out.
    """

    def __init__(self, name: str | None = None, seed: int | None = None, dtype: str = "float32"):
        if dtype not in ("float32", "float64"):
            raise ArgumentError(f"dtype must be 'float32' or 'float64'. Received: {dtype!r}.")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise ArgumentError(f"seed must be an integer or None. Received: {seed!r}.")
        self.name = name or unique_name(type(self).__name__.lower())
        self.seed = random.next_seed() if seed is None else int(seed)
        self.dtype = dtype
        self.inputs: list[Symbol] = []
        self.outputs: list[Symbol] = []
        self._calls: list[Symbol] = []
        self._layers: list[Layer] = []

    # ------------------------------------------------------------------ connecting
    def _connect(self, inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> None:
        """Find the layers between inputs and outputs and place their variables."""
        self.inputs, self.outputs = list(inputs), list(outputs)
        self._calls = _in_order(self.inputs, self.outputs)
        self._layers = list({id(s.layer): s.layer for s in (*self.inputs, *self._calls)}.values())
        names: dict[str, Layer] = {}
        for layer in self._layers:
            if names.setdefault(layer.name, layer) is not layer:
                raise ArgumentError(f"Layer names must be unique in a model. Received: {layer.name!r} twice.")
        place(self.variables, self.dtype, self.seed)
        dtypes = {v.storage.array.dtype.name for v in self.variables if v.storage is not None}
        if dtypes - {self.dtype}:
            self.dtype = dtypes.pop()

    @property
    def built(self) -> bool:
        """Whether inputs and outputs are known."""
        return bool(self.outputs)

    def _require_built(self) -> None:
        if not self.built:
            raise NotBuiltError(
                f"Model {self.name!r} is not built: the shape of its input is not known yet. Give the first layer "
                "input_shape=..., start with fastnn.Input(shape=...), or call fit."
            )

    @property
    def layers(self) -> list[Layer]:
        """The layers, in an order of execution."""
        return list(self._layers)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or by position."""
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ArgumentError(f"Model {self.name!r} has {len(self.layers)} layers. Received: index {index}.")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise unknown_name("layer", name, [layer.name for layer in self.layers], f"model {self.name!r}")

    # ------------------------------------------------------------------ what the trainer asks
    def trace(self, graph: Graph, training: bool, with_penalties: bool = False) -> tuple[Trace, list[Value]]:
        """Emit the whole model into a graph; returns the trace and the output values."""
        self._require_built()
        trace = Trace(graph, training, with_penalties)
        values = {id(symbol): graph.input(symbol.spec, symbol.layer.name) for symbol in self.inputs}
        for symbol in self._calls:
            arguments = [values[id(source)] for source in symbol.inputs]
            values[id(symbol)] = symbol.layer.apply(trace, arguments)
        return trace, [values[id(symbol)] for symbol in self.outputs]

    @property
    def storage(self) -> Storage:
        """The flat buffer that holds the variables."""
        self._require_built()
        variables = self.variables
        if not variables:
            return Storage([], self.dtype, {})
        return place(variables, self.dtype, self.seed)

    @property
    def input_names(self) -> list[str]:
        """Names of the input layers."""
        return [symbol.layer.name for symbol in self.inputs]

    @property
    def output_names(self) -> list[str]:
        """Names of the output layers."""
        return [symbol.layer.name for symbol in self.outputs]

    @property
    def output_shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of the outputs, None for the rows."""
        return [symbol.shape for symbol in self.outputs]

    @property
    def index_limits(self) -> list[int | None]:
        """For each input, one more than the largest index its embeddings take (None: no embedding)."""
        limits: list[int | None] = []
        for source in self.inputs:
            sizes = [
                s.layer.input_dim for s in self._calls if isinstance(s.layer, Embedding) and s.inputs[0] is source
            ]
            limits.append(min(sizes) if sizes else None)
        return limits

    def output_activation(self, number: int) -> str | None:
        """Return the name of the activation an output ends with, where that is known."""
        layer = self.outputs[number].layer
        if isinstance(layer, (Dense, Activation)):
            return layer.activation
        return None

    def describe_output(self, number: int) -> str:
        """Name an output in a message."""
        return f"layer {self.outputs[number].layer.name!r}"

    # ------------------------------------------------------------------ variables
    @property
    def variables(self) -> list[Variable]:
        """All variables, layer by layer."""
        return [variable for layer in self._layers for variable in layer.variables]

    @property
    def weights(self) -> list[Variable]:
        """All variables, layer by layer."""
        return self.variables

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables training changes."""
        return [variable for layer in self._layers for variable in layer.trainable_variables]

    @property
    def trainable(self) -> bool:
        """Whether training changes any layer; setting it sets every layer's."""
        return any(layer.trainable for layer in self._layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._layers:
            layer.trainable = bool(value)

    def count_params(self) -> int:
        """Return the number of numbers in the variables."""
        self._require_built()
        return sum(variable.size for variable in self.variables)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of all variables' values, layer by layer."""
        self._require_built()
        return [variable.numpy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set all variables' values, in the order of :meth:`get_weights`; nothing changes if one does not fit."""
        self._require_built()
        set_values(self.variables, weights, f"Model {self.name!r}")


def _in_order(inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> list[Symbol]:
    """Return the symbols between inputs and outputs, each after those it needs (no recursion)."""
    known = {id(symbol) for symbol in inputs}
    done: set[int] = set()
    order: list[Symbol] = []
    stack = list(reversed(outputs))
    while stack:
        symbol = stack[-1]
        if id(symbol) in done or id(symbol) in known:
            stack.pop()
            continue
        if isinstance(symbol.layer, InputLayer):
            raise ArgumentError(
                f"An output depends on input {symbol.layer.name!r}, which is not among the model's inputs "
                f"{[s.layer.name for s in inputs]}."
            )
        waiting = [source for source in symbol.inputs if id(source) not in done and id(source) not in known]
        if waiting:
            stack.extend(reversed(waiting))
            continue
        stack.pop()
        done.add(id(symbol))
        order.append(symbol)
    return order
