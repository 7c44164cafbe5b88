"""The layers of every network: inputs, dense layers, activations, reshaping, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from fastnn import activations, constraints, initializers, regularizers
from fastnn.errors import ArgumentError, ShapeError
from fastnn.graph.trace import Value
from fastnn.layers.base import Layer, Symbol, Trace, check_shape, check_units
from fastnn.ops.registry import Spec


class InputLayer(Layer):
    """Where data enters a model.

    Parameters
    ----------
    shape : tuple of int
        Shape of a row.
    dtype : str, optional
        An integer dtype such as ``'int32'`` for indices; by default numbers of the model's dtype, unless an
        :class:`Embedding` is called on the input. Data of any dtype may be fed to either.
    **common
        ``name`` and the like: see :class:`Layer`.

    Raises
    ------
    ShapeError
        If `shape` is not a tuple of positive integers.
    ArgumentError
        If `dtype` is not one of numbers.

    Examples
    --------
    >>> from fastnn.layers import InputLayer
    >>> InputLayer((2,), name="point").output.shape
    (None, 2)
    """

    config_names: ClassVar[tuple[str, ...]] = ("shape", "dtype")
    arity = 0

    def __init__(self, shape: Sequence[int], dtype: Any = None, **common: Any):
        super().__init__(**common)
        self.shape = check_shape(shape, f"Input {self.name!r}")
        self.dtype = None if dtype is None else _number_dtype(dtype, f"Input {self.name!r}")
        self.kind = "int" if self.dtype is not None and "int" in self.dtype else "float"
        self.input_specs = []
        self.output_spec = Spec(self.shape, kind=self.kind)
        self._output = Symbol(self.output_spec, self, ())

    def hold_indices(self) -> None:
        """Take the data for indices from now on."""
        self.kind = "int"
        self.output_spec = self.output.spec = Spec(self.shape, kind="int")

    def reset(self) -> None:
        """An input knows its shape from the start: there is nothing to forget."""


def _number_dtype(dtype: Any, where: str) -> str:
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if not name.startswith(("float", "bfloat16", "int", "uint", "bool")):
        raise ArgumentError(
            f"{where}: `dtype` must be None, or a dtype of numbers such as 'int32'. Received: {dtype!r}."
        )
    return name


def Input(shape: Sequence[int], dtype: Any = None, name: str | None = None, **common: Any) -> Symbol:
    """Return the symbol of a model's input.

    Parameters
    ----------
    shape : tuple of int
        Shape of a row, without the rows.
    dtype : str, optional
        ``'int32'`` for indices; see :class:`InputLayer`.
    name : str, optional

    Raises
    ------
    ShapeError, ArgumentError
        As :class:`InputLayer`.

    Examples
    --------
    >>> from fastnn import Input
    >>> Input(shape=(2,)).shape
    (None, 2)
    """
    return InputLayer(shape, dtype=dtype, name=name, **common).output


class Dense(Layer):
    """A fully connected layer: ``y = activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int
        Width of the output.
    activation : str, optional
        Name of an activation; linear by default.
    use_bias : bool, default True
    kernel_initializer, bias_initializer : str, dict or Initializer
        ``'glorot_uniform'`` and ``'zeros'`` by default.
    kernel_regularizer, bias_regularizer, activity_regularizer : optional
        Penalties on the weights, the bias, the output.
    kernel_constraint, bias_constraint : optional
        Projections after each update.
    **common
        ``name``, ``trainable``, ``input_shape``, ``input_dim``: see :class:`Layer`.

    Notes
    -----
    Input rows of shape ``(..., inputs)`` give rows of shape ``(..., units)``. Variables: ``kernel`` of shape
    ``(inputs, units)``, ``bias`` of shape ``(units,)``.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> Sequential([Dense(3, input_shape=(2,))]).count_params()
    9
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "units",
        "activation",
        "use_bias",
        "kernel_initializer",
        "bias_initializer",
        "kernel_regularizer",
        "bias_regularizer",
        "kernel_constraint",
        "bias_constraint",
    )

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **common: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **common)
        self.units = check_units(units, f"Dense layer {self.name!r}")
        self.activation = activations.check(activation, f"layer {self.name!r}")
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)

    def build(self, specs: Sequence[Spec]) -> None:
        """Make the kernel and, if asked for, the bias."""
        (spec,) = specs
        if not spec.shape:
            raise ShapeError("Dense needs rows of at least one axis. Received: scalars.")
        self.kernel = self.add_weight(
            "kernel",
            (spec.shape[-1], self.units),
            self.kernel_initializer,
            self.kernel_regularizer,
            self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", (self.units,), self.bias_initializer, self.bias_regularizer, self.bias_constraint
            )

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit product, bias and activation."""
        (x,) = inputs
        if x.spec.shape[-1:] != self.kernel.shape[:1]:
            raise ShapeError(
                f"was built for rows of {self.kernel.shape[0]} numbers. "
                f"Received: rows of shape {x.spec.shape}."
            )
        operands = [x, trace.parameter(self.kernel)]
        if self.bias is not None:
            operands.append(trace.parameter(self.bias))
        return activations.emit(trace, trace.emit("dense", operands), self.activation)


class Activation(Layer):
    """Applies an activation by name.

    Parameters
    ----------
    activation : str
        One of :func:`fastnn.activations.names`.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    UnknownNameError
        If there is no activation of that name; the nearest is suggested.

    Notes
    -----
    Rows of any shape; the output has the same. There are no variables.

    Examples
    --------
    >>> from fastnn.layers import Activation, Input
    >>> Activation("softmax")(Input(shape=(3,))).shape
    (None, 3)
    """

    config_names: ClassVar[tuple[str, ...]] = ("activation",)

    def __init__(self, activation: Any, **common: Any):
        super().__init__(**common)
        self.activation = activations.check(activation, f"layer {self.name!r}")

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the activation."""
        return activations.emit(trace, inputs[0], self.activation)


class Flatten(Layer):
    """Folds the axes of a row into one.

    Rows of shape ``(a, b, ...)`` give rows of shape ``(a * b * ...,)``.

    Examples
    --------
    >>> from fastnn.layers import Flatten, Input
    >>> Flatten()(Input(shape=(3, 4))).shape
    (None, 12)
    """

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the reshaping, where there is any to do."""
        (x,) = inputs
        return x if len(x.spec.shape) == 1 else trace.emit("reshape", [x], shape=(x.spec.size,))


class Reshape(Layer):
    """Gives rows another shape with as many elements.

    Parameters
    ----------
    target_shape : tuple of int
        One extent may be -1: whatever is left.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ShapeError
        If `target_shape` is not a tuple of positive integers and at most one -1, or when called on rows
        with another number of elements.

    Examples
    --------
    >>> from fastnn.layers import Input, Reshape
    >>> Reshape((2, -1))(Input(shape=(6,))).shape
    (None, 2, 3)
    """

    config_names: ClassVar[tuple[str, ...]] = ("target_shape",)

    def __init__(self, target_shape: Sequence[int], **common: Any):
        super().__init__(**common)
        where = f"`target_shape` of Reshape layer {self.name!r}"
        given = tuple(target_shape) if isinstance(target_shape, (list, tuple)) else target_shape
        free = isinstance(given, tuple) and given.count(-1) == 1
        check_shape(tuple(e for e in given if e != -1) if free else given, where)
        self.target_shape = tuple(given) if isinstance(given, tuple) else (given,)

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the reshaping."""
        return trace.emit("reshape", [inputs[0]], shape=self.target_shape)


class Embedding(Layer):
    """A table of vectors, looked up by index.

    Parameters
    ----------
    input_dim : int
        Number of vectors: indices run from 0 to ``input_dim - 1``.
    output_dim : int
        Length of a vector.
    embeddings_initializer, embeddings_regularizer, embeddings_constraint : optional
        ``'uniform'`` (-0.05 to 0.05) by default, as in Keras.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If a size is not a positive integer, or when called on anything but an input.

    Notes
    -----
    Index rows of shape ``(k,)`` give rows of shape ``(k, output_dim)``. Follow with :class:`Flatten`.
    An :func:`Input` on which the layer is called holds indices from then on.

    Examples
    --------
    >>> from fastnn.layers import Embedding, Flatten, Input
    >>> city = Input(shape=(1,), name="city")
    >>> Flatten()(Embedding(1000, 8)(city)).shape
    (None, 8)
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "input_dim",
        "output_dim",
        "embeddings_initializer",
        "embeddings_regularizer",
        "embeddings_constraint",
    )

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        **common: Any,
    ):
        super().__init__(**common)
        where = f"Embedding layer {self.name!r}"
        self.input_dim = check_units(input_dim, where, "input_dim")
        self.output_dim = check_units(output_dim, where, "output_dim")
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)

    takes_integers = True

    def __call__(self, inputs: Symbol | Sequence[Symbol]) -> Symbol:
        """Apply the layer to the symbol of an input, which holds indices from now on."""
        for symbol in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
            if isinstance(symbol, Symbol) and isinstance(symbol.layer, InputLayer):
                symbol.layer.hold_indices()
        return super().__call__(inputs)

    def build(self, specs: Sequence[Spec]) -> None:
        """Make the table."""
        self.embeddings = self.add_weight(
            "embeddings",
            (self.input_dim, self.output_dim),
            self.embeddings_initializer,
            self.embeddings_regularizer,
            self.embeddings_constraint,
        )

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the look-up."""
        (index,) = inputs
        if index.spec.kind != "int":
            raise ArgumentError(
                f"Embedding layer {self.name!r} looks up integers: call it on fastnn.Input itself. "
                "Received: floating-point values, computed by another layer."
            )
        return trace.emit("embedding", [index, trace.parameter(self.embeddings)])
