"""What layers share: variables, symbolic calls, configuration."""

from __future__ import annotations

import inspect
import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastnn import constraints, initializers, regularizers
from fastnn.arrays import to_array
from fastnn.errors import ArgumentError, NotBuiltError, ShapeError, nearest
from fastnn.graph.trace import Graph, Value
from fastnn.layers import revision
from fastnn.layers.pickling import restored
from fastnn.layers.variables import Variable
from fastnn.ops.registry import Spec
from fastnn.serialization import snake_case

_counters: dict[str, itertools.count] = {}
_counter_lock = threading.Lock()


def unique_name(prefix: str) -> str:
    """Return ``prefix``, ``prefix_1``, ... in order of asking."""
    with _counter_lock:
        number = next(_counters.setdefault(prefix, itertools.count()))
    return prefix if number == 0 else f"{prefix}_{number}"


class Symbol:
    """The output of a layer called on other symbols: what the functional API passes around.

    Attributes
    ----------
    spec : Spec
        Shape of a row, kind of number.
    layer : Layer
        The layer that makes it.
    inputs : tuple of Symbol
    """

    __slots__ = ("inputs", "layer", "spec")

    def __init__(self, spec: Spec, layer: Layer, inputs: tuple[Symbol, ...]):
        self.spec = spec
        self.layer = layer
        self.inputs = inputs

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Shape with None for the rows."""
        return (None, *self.spec.shape)

    def __repr__(self) -> str:
        return f"<Symbol shape={self.shape} from layer {self.layer.name!r}>"


class Trace:
    """Where layers emit their ops: a graph, a mode, and the variables met so far."""

    def __init__(self, graph: Graph, training: bool, with_penalties: bool = False):
        self.graph = graph
        self.training = training
        self.with_penalties = with_penalties
        self.penalties: list[tuple[Value, float, float]] = []
        self._parameters: dict[int, tuple[Variable, Value]] = {}

    def emit(self, op: str, inputs: Sequence[Value], **attrs: Any) -> Any:
        """Apply an op of the table."""
        return self.graph.emit(op, inputs, **attrs)

    def parameter(self, variable: Variable) -> Value:
        """Return the graph's value for a variable."""
        found = self._parameters.get(id(variable))
        if found is None:
            value = self.graph.parameter(variable.shape, variable.path, variable.offset)
            found = self._parameters[id(variable)] = (variable, value)
        return found[1]

    def parameters(self) -> list[tuple[Variable, Value]]:
        """Return the variables met, with their values."""
        return list(self._parameters.values())

    def stream(self) -> int:
        """Return the number of a new random stream."""
        return self.graph.next_stream()


class Layer:
    """Base class of layers: a description that emits ops when a model is traced.

    A subclass sets ``self.arguments`` through its constructor (every argument kept as an attribute of its
    name), makes its variables in :meth:`build` and emits its ops in :meth:`call`.

    Parameters
    ----------
    name : str, optional
        Unique in a model; made from the class name by default.
    trainable : bool, default True
        Whether training changes the layer's variables.
    activity_regularizer : str, dict or Regularizer, optional
        Penalty on the layer's output, averaged over the batch.
    input_shape : tuple of int, optional
        Shape of an input row; makes the first layer of a ``Sequential`` known at once.
    input_dim : int, optional
        The same for rows of one axis.
    """

    #: Names of the constructor's arguments beyond the common ones, in order, for ``get_config``.
    config_names: ClassVar[tuple[str, ...]] = ()
    #: How many inputs ``call`` takes; None for one or more.
    arity: ClassVar[int | None] = 1
    #: Whether inputs may be integers.
    takes_integers: ClassVar[bool] = False

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        activity_regularizer: Any = None,
        input_shape: Sequence[int] | None = None,
        input_dim: int | None = None,
        **unknown: Any,
    ):
        if unknown:
            raise _unknown_argument(type(self), name, next(iter(unknown)))
        if name is not None and not (isinstance(name, str) and name):
            raise ArgumentError(f"`name` of a layer must be a non-empty string or None. Received: {name!r}.")
        self.name = name or unique_name(snake_case(type(self).__name__))
        self.trainable = bool(trainable)
        self.activity_regularizer = regularizers.get(activity_regularizer)
        if input_dim is not None:
            input_shape = (input_dim,)
        self.input_shape_hint = None if input_shape is None else check_shape(input_shape, self.name)
        self.variables: list[Variable] = []
        self.input_specs: list[Spec] | None = None
        self.output_spec: Spec | None = None
        self._output: Symbol | None = None
        self._inputs: tuple[Symbol, ...] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        revision.changed()

    # ------------------------------------------------------------------ to be overridden
    def build(self, specs: Sequence[Spec]) -> None:
        """Make the variables for inputs of these shapes. Called once."""

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the layer's ops; returns the output value."""
        raise NotImplementedError

    # ------------------------------------------------------------------ use
    def __call__(self, inputs: Symbol | Sequence[Symbol]) -> Symbol:
        """Apply the layer to symbols (the functional API)."""
        symbols = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
        for symbol in symbols:
            if not isinstance(symbol, Symbol):
                raise ArgumentError(
                    f"Layer {self.name!r} must be called on the output of another layer or fastnn.Input. "
                    f"Received: {type(symbol).__name__}. "
                    "To compute on arrays use model.predict or fastnn.ops."
                )
        spec = self.infer([symbol.spec for symbol in symbols])
        output = Symbol(spec, self, symbols)
        if self._output is None:
            self._inputs, self._output = symbols, output
        return output

    def infer(self, specs: Sequence[Spec]) -> Spec:
        """Build the layer if that is still to be done, and return the shape of its output."""
        if self.arity is not None and len(specs) != self.arity:
            raise ArgumentError(f"Layer {self.name!r} takes {self.arity} input(s). Received: {len(specs)}.")
        self.check_kinds(specs)
        fresh = not self.built
        graph = Graph()
        values = [graph.value(spec, "input") for spec in specs]
        try:
            if fresh:
                self.build(specs)
                self.input_specs = list(specs)
            self.output_spec = self.call(Trace(graph, training=False), values).spec
        except Exception as error:
            if fresh:
                self.reset()
            if isinstance(error, ShapeError):
                raise ShapeError(f"Layer {self.name!r}: {error}") from None
            raise
        return self.output_spec

    def check_kinds(self, specs: Sequence[Spec]) -> None:
        """Raise ArgumentError if an input holds integers and the layer cannot use them."""
        if not self.takes_integers and any(spec.kind == "int" for spec in specs):
            raise ArgumentError(
                f"{type(self).__name__} layer {self.name!r} computes with floating-point values. Received: "
                "integers, which only an Embedding can look up. For whole numbers that are quantities use an "
                "Input without dtype: it takes data of any dtype."
            )

    def reset(self) -> None:
        """Forget variables and shapes, as before the first call."""
        self.variables = []
        self.input_specs = self.output_spec = self._output = None
        self._inputs = ()

    def apply(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the ops, and the activity penalty where one is asked for."""
        output = self.call(trace, inputs)
        regularizer = self.activity_regularizer
        if regularizer is not None and trace.with_penalties:
            trace.penalties.append((output, regularizer.l1, regularizer.l2))
        return output

    def add_weight(
        self,
        name: str,
        shape: Sequence[int],
        initializer: Any = "glorot_uniform",
        regularizer: Any = None,
        constraint: Any = None,
        trainable: bool = True,
    ) -> Variable:
        """Make a variable of this layer."""
        variable = Variable(
            f"{self.name}/{name}",
            tuple(shape),
            initializers.get(initializer),
            regularizers.get(regularizer),
            constraints.get(constraint),
            trainable,
        )
        self.variables.append(variable)
        return variable

    # ------------------------------------------------------------------ what users ask for
    @property
    def built(self) -> bool:
        """Whether the variables exist."""
        return self.input_specs is not None

    @property
    def input(self) -> Any:
        """The symbol the layer was first called on (a list, where several)."""
        if self._output is None:
            raise NotBuiltError(f"Layer {self.name!r} has not been called yet, so it has no input.")
        return self._inputs[0] if len(self._inputs) == 1 else list(self._inputs)

    @property
    def output(self) -> Symbol:
        """The symbol the layer returned when it was first called."""
        if self._output is None:
            raise NotBuiltError(f"Layer {self.name!r} has not been called yet, so it has no output.")
        return self._output

    @property
    def weights(self) -> list[Variable]:
        """All variables."""
        return list(self.variables)

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables training changes."""
        return self.trainable_variables

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The variables training leaves alone."""
        return [v for v in self.variables if not (self.trainable and v.trainable)]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The variables training changes."""
        return [v for v in self.variables if self.trainable and v.trainable]

    def count_params(self) -> int:
        """Return the number of numbers in the variables."""
        if not self.built:
            raise NotBuiltError(f"Layer {self.name!r} is not built yet: its input shape is unknown.")
        return sum(variable.size for variable in self.variables)

    def get_weights(self) -> list[np.ndarray]:
        """Return copies of the variables' values."""
        return [variable.numpy() for variable in self.variables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Set the variables' values, in the order of :meth:`get_weights`."""
        set_values(self.variables, weights, f"layer {self.name!r}")

    def get_extra_state(self) -> dict[str, np.ndarray]:
        """Return arrays a file must hold besides the variables; none for most layers."""
        return {}

    def set_extra_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Take what :meth:`get_extra_state` returned.

        Raises
        ------
        ArgumentError
            If the layer has no such state.
        """
        if state:
            raise ArgumentError(
                f"Layer {self.name!r} keeps no state beside its variables. Received: {sorted(state)}."
            )

    def __reduce__(self) -> Any:
        """Pickle and copy as configuration and arrays; the layers it is connected to are left out."""
        placed = all(variable.storage is not None for variable in self.variables)
        values = {variable.path: variable.numpy() for variable in self.variables} if placed else None
        return restored, (type(self), self.get_config(), self.get_extra_state(), self.input_specs, values)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        config: dict[str, Any] = {"name": self.name, "trainable": self.trainable}
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if self.input_shape_hint is not None:
            config["input_shape"] = list(self.input_shape_hint)
        for name in self.config_names:
            config[name] = plain(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Make a layer from what :meth:`get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def _unknown_argument(cls: type[Layer], name: str | None, given: str) -> ArgumentError:
    """Make the error for an argument that a layer class does not have."""
    known: list[str] = []
    for ancestor in cls.__mro__:
        parameters = inspect.signature(vars(ancestor).get("__init__", object.__init__)).parameters.values()
        kept = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        known += [argument for argument in kept if argument not in known and argument != "self"]
        if ancestor is Layer:
            break
    title = f"{cls.__name__} layer {name!r}" if name else f"Layer {cls.__name__}"
    return ArgumentError(
        f"{title} has no argument {given!r}: expected some of {', '.join(known)}.{nearest(given, known)}"
    )


def set_values(variables: Sequence[Variable], weights: Sequence[Any], where: str) -> None:
    """Assign arrays to variables; all are checked before any is changed."""
    if len(weights) != len(variables):
        raise ArgumentError(f"{where} has {len(variables)} weight arrays. Received: {len(weights)}.")
    arrays = [to_array(weight, v.path)[0] for weight, v in zip(weights, variables, strict=True)]
    for variable, array in zip(variables, arrays, strict=True):
        if array.shape != variable.shape:
            raise ShapeError(f"{variable.path} has shape {variable.shape}. Received: {array.shape}.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def plain(value: Any) -> Any:
    """Turn a constructor's argument into plain data."""
    if isinstance(value, regularizers.Regularizer):
        return regularizers.serialize(value)
    if isinstance(value, constraints.Constraint):
        return constraints.serialize(value)
    if isinstance(value, initializers.Initializer):
        return initializers.serialize(value)
    return list(value) if isinstance(value, tuple) else value


def check_shape(shape: Any, where: str) -> tuple[int, ...]:
    """Check the shape of a row given by a user."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    try:
        found = tuple(shape)
    except TypeError:
        raise ShapeError(f"{where}: a shape is a tuple of positive integers. Received: {shape!r}.") from None
    for extent in found:
        if isinstance(extent, bool) or not isinstance(extent, (int, np.integer)) or extent < 1:
            raise ShapeError(
                f"{where}: a shape is a tuple of positive integers, without the rows. Received: {shape!r}."
            )
    return tuple(int(extent) for extent in found)


def check_units(units: Any, where: str, argument: str = "units") -> int:
    """Check a number of units."""
    if isinstance(units, bool) or not isinstance(units, (int, np.integer)) or units < 1:
        raise ArgumentError(f"{where}: `{argument}` must be a positive integer. Received: {units!r}.")
    if units > 2**31 - 1:
        raise ArgumentError(f"{where}: `{argument}` must be below 2**31. Received: {units!r}.")
    return int(units)
