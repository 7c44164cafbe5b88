"""The structure of a model: layers, variables in one storage, tracing. No training here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import activations, random
from fastnn.backends.devices import DeviceChoice
from fastnn.errors import ArgumentError, NotBuiltError, unknown_name
from fastnn.graph.trace import Graph, Value
from fastnn.layers import revision
from fastnn.layers.activation_layers import ActivationLayer
from fastnn.layers.base import Layer, Symbol, Trace, set_values, unique_name
from fastnn.layers.core import Activation, Dense, Flatten, Reshape
from fastnn.layers.variables import Storage, Variable, place
from fastnn.models import wiring
from fastnn.serialization import check_choice, check_integer, snake_case


class Network:
    """Layers connected from inputs to outputs.

    Attributes
    ----------
    name : str
    seed : int
        Fixes initial weights, shuffles and masks.
    dtype : {'float32', 'float64'}
    inputs, outputs : list of Symbol
    """

    #: Where the model is to be trained and evaluated: 'cpu', 'gpu' or 'auto'.
    device = "cpu"
    #: Where the latest training, evaluation or prediction ran, and why; None before the first.
    device_choice: DeviceChoice | None = None

    def __init__(self, name: str | None = None, seed: int | None = None, dtype: str = "float32"):
        if name is not None and not (isinstance(name, str) and name):
            raise ArgumentError(f"`name` of a model must be a non-empty string or None. Received: {name!r}.")
        self.name = name or unique_name(snake_case(type(self).__name__))
        where = f"model {self.name!r}"
        self.dtype = check_choice("dtype", dtype, where, ("float32", "float64"))
        self._given_seed = None if seed is None else check_seed(seed, where)
        self._seed_is_drawn = seed is None and not random.is_seeded()
        self.seed = random.next_seed() if self._given_seed is None else self._given_seed
        self._input_keys: list[str] | None = None
        self._output_keys: list[str] | None = None
        self._forget()

    def _forget(self) -> None:
        """Know no inputs and outputs."""
        self.inputs: list[Symbol] = []
        self.outputs: list[Symbol] = []
        self._calls: list[Symbol] = []
        self._layers: list[Layer] = []
        revision.changed()

    # ------------------------------------------------------------------ connecting
    def _connect(self, inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> None:
        """Find the layers between inputs and outputs and place their variables."""
        calls = wiring.in_order(inputs, outputs)
        layers = wiring.layers_of(inputs, calls)
        variables = [variable for layer in layers for variable in layer.variables]
        dtypes = {v.storage.array.dtype.name for v in variables if v.storage is not None}
        if len(dtypes) > 1:
            raise ArgumentError(
                f"Model {self.name!r} shares layers with models of different dtypes, expected one. "
                f"Received: {sorted(dtypes)}."
            )
        for dtype in dtypes:  # weights that exist keep their dtype
            self.dtype = dtype
        place(variables, self.dtype, self.seed)
        self.inputs, self.outputs = list(inputs), list(outputs)
        self._calls, self._layers = calls, layers
        revision.changed()

    @property
    def seed_is_drawn(self) -> bool:
        """Whether nothing fixes the model's seed, so that it is another in each process."""
        return self._seed_is_drawn

    @property
    def built(self) -> bool:
        """Whether inputs and outputs are known."""
        return bool(self.outputs)

    def _require_built(self) -> None:
        if not self.built:
            raise NotBuiltError(
                f"Model {self.name!r} is not built: the shape of its input is not known yet. Give the first "
                "layer input_shape=..., start with fastnn.Input(shape=...), or call fit."
            )

    @property
    def layers(self) -> list[Layer]:
        """The layers, in an order of execution."""
        return list(self._layers)

    @property
    def calls(self) -> list[Symbol]:
        """What each call of a layer returned, in an order of execution; the inputs are not among them."""
        return list(self._calls)

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by name or by position.

        Raises
        ------
        UnknownNameError, ArgumentError
            If there is no such layer; the nearest name is suggested.
        """
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ArgumentError(
                    f"Model {self.name!r} has {len(self.layers)} layers. Received: index {index}."
                )
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
            graph.scope = symbol.layer.name
            values[id(symbol)] = symbol.layer.apply(trace, arguments)
        graph.scope = ""
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
        """Names of the inputs: those of their layers, or the keys of the dict they were given in."""
        return list(self._input_keys or wiring.names_of(self.inputs))

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs: those of their layers, or the keys of the dict they were given in."""
        return list(self._output_keys or wiring.names_of(self.outputs))

    @property
    def output_shapes(self) -> list[tuple[int | None, ...]]:
        """Shapes of the outputs, None for the rows."""
        return [symbol.shape for symbol in self.outputs]

    @property
    def index_limits(self) -> list[int | None]:
        """For each input, one more than the largest index its embeddings take (None: no embedding)."""
        return wiring.index_limits(self.inputs, self._calls)

    def output_activation(self, number: int) -> str | None:
        """Return the name of the activation an output ends with, where that is known."""
        symbol = self.outputs[number]
        while isinstance(symbol.layer, (Flatten, Reshape)):
            symbol = symbol.inputs[0]
        layer = symbol.layer
        if isinstance(layer, (Dense, Activation)):
            return activations.op_of(layer.activation)
        return layer.op if isinstance(layer, ActivationLayer) else None

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
    def trainable_weights(self) -> list[Variable]:
        """The variables training changes."""
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The variables training leaves alone."""
        return [variable for layer in self._layers for variable in layer.non_trainable_weights]

    @property
    def trainable(self) -> bool:
        """Whether training changes any layer; setting it sets every layer's."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self.layers:
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
        """Set all variables' values, in the order of :meth:`get_weights`.

        Raises
        ------
        ArgumentError, ShapeError, DtypeError
            If they do not fit; nothing has changed then.
        """
        self._require_built()
        set_values(self.variables, weights, f"Model {self.name!r}")


def check_seed(seed: Any, where: str) -> int:
    """Return a seed if it is an integer from 0 to 2**63 - 1, else raise ArgumentError."""
    number = check_integer("seed", seed, where, 0)
    if number >= 2**63:
        raise ArgumentError(f"`seed` of {where} must be below 2**63. Received: seed={seed!r}.")
    return number
