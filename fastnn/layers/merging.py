"""Layers that join several values: sums, products, averages, concatenation; and each as a function."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

from fastnn.errors import ArgumentError, ShapeError
from fastnn.graph.trace import Value
from fastnn.layers.axes import check_axis, check_last_axis
from fastnn.layers.base import Layer, Symbol, Trace
from fastnn.ops.registry import Spec


class Merge(Layer):
    """Base class of the layers that join values of equal shapes, two at a time.

    A subclass sets `op`, the op of two values. Values are not broadcast: a row of shape ``(1,)`` does not
    go with one of shape ``(3,)``.
    """

    #: The op of two values that is applied from left to right.
    op: ClassVar[str] = ""
    #: How many inputs there must be at least.
    least: ClassVar[int] = 2
    arity: ClassVar[int | None] = None

    def __call__(self, inputs: Symbol | Sequence[Symbol]) -> Symbol:
        """Apply the layer to a list of symbols.

        Raises
        ------
        ArgumentError
            If there are too few or too many of them, or one is not a symbol.
        ShapeError
            If their shapes do not fit; the message names the two layers they come from.
        """
        given: Sequence[Any] = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        symbols = [symbol for symbol in given if isinstance(symbol, Symbol)]
        if len(symbols) == len(given):
            sources = [f"the output of layer {symbol.layer.name!r}" for symbol in symbols]
            try:
                self.check_inputs([symbol.spec for symbol in symbols], sources)
            except ShapeError as error:
                raise ShapeError(f"Layer {self.name!r}: {error}") from None
        return super().__call__(inputs)

    def check_inputs(self, specs: Sequence[Spec], sources: Sequence[str]) -> None:
        """Check number, kind and shapes of the inputs; `sources` says where each comes from."""
        if len(specs) < self.least or (self.arity is not None and len(specs) != self.arity):
            expected = f"{self.arity}" if self.arity is not None else f"at least {self.least}"
            raise ArgumentError(
                f"{type(self).__name__} layer {self.name!r} must be called on a list of {expected} inputs. "
                f"Received: {len(specs)}."
            )
        for spec, source in zip(specs, sources, strict=True):
            self.check_pair(specs[0], spec, sources[0], source)

    def check_pair(self, first: Spec, spec: Spec, first_source: str, source: str) -> None:
        """Check that an input fits the first one."""
        if spec.shape != first.shape:
            raise ShapeError(
                f"all inputs must have equal shapes: {first_source} has rows of shape {first.shape}. "
                f"Received: rows of shape {spec.shape} from {source}."
            )
        if spec.kind != "float":
            raise ArgumentError(
                f"{type(self).__name__} layer {self.name!r} takes floating-point values. "
                f"Received: integers from {source}."
            )

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the op for the first two inputs, then for the result and the next one, and so on."""
        self.check_inputs([value.spec for value in inputs], [f"input {i}" for i in range(len(inputs))])
        return reduce(lambda x, other: trace.emit(self.op, [x, other]), inputs)


class Add(Merge):
    """The sum of two or more inputs: ``y = x0 + x1 + ...``.

    Parameters
    ----------
    **common
        ``name`` and the like: see :class:`Layer`.

    Raises
    ------
    ShapeError
        When called on inputs of different shapes.
    ArgumentError
        When called on fewer than two inputs.

    Notes
    -----
    Inputs with rows of equal shape; the output has that shape. There are no variables.

    Examples
    --------
    A skip connection:

    >>> from fastnn.layers import Add, Dense, Input
    >>> x = Input(shape=(8,))
    >>> Add()([x, Dense(8, activation="relu")(x)]).shape
    (None, 8)
    """

    op = "add"


class Subtract(Merge):
    """The difference of exactly two inputs: ``y = x0 - x1``.

    Parameters
    ----------
    **common
        ``name`` and the like: see :class:`Layer`.

    Raises
    ------
    ShapeError
        When called on inputs of different shapes.
    ArgumentError
        When not called on two inputs.

    Notes
    -----
    Two inputs with rows of equal shape; the output has that shape. There are no variables.

    Examples
    --------
    >>> from fastnn.layers import Input, Subtract
    >>> Subtract()([Input(shape=(3,)), Input(shape=(3,))]).shape
    (None, 3)
    """

    op = "subtract"
    arity = 2


class Multiply(Merge):
    """The product of two or more inputs, element by element: ``y = x0 * x1 * ...``.

    Parameters
    ----------
    **common
        ``name`` and the like: see :class:`Layer`.

    Raises
    ------
    ShapeError
        When called on inputs of different shapes.
    ArgumentError
        When called on fewer than two inputs.

    Notes
    -----
    Inputs with rows of equal shape; the output has that shape. There are no variables.

    Examples
    --------
    A gate:

    >>> from fastnn.layers import Dense, Input, Multiply
    >>> x = Input(shape=(8,))
    >>> Multiply()([x, Dense(8, activation="sigmoid")(x)]).shape
    (None, 8)
    """

    op = "multiply"


class Average(Merge):
    """The mean of two or more inputs, element by element: ``y = (x0 + x1 + ...) / n``.

    Parameters
    ----------
    **common
        ``name`` and the like: see :class:`Layer`.

    Raises
    ------
    ShapeError
        When called on inputs of different shapes.
    ArgumentError
        When called on fewer than two inputs.

    Notes
    -----
    Inputs with rows of equal shape; the output has that shape. There are no variables.

    Examples
    --------
    >>> from fastnn.layers import Average, Dense, Input
    >>> x = Input(shape=(4,))
    >>> Average()([Dense(2)(x), Dense(2)(x), Dense(2)(x)]).shape
    (None, 2)
    """

    op = "add"

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the sum, scaled by one over the number of inputs."""
        return trace.emit("scale", [super().call(trace, inputs)], factor=1.0 / len(inputs))


class Maximum(Merge):
    """The largest of two or more inputs, element by element: ``y = max(x0, x1, ...)``.

    Parameters
    ----------
    **common
        ``name`` and the like: see :class:`Layer`.

    Raises
    ------
    ShapeError
        When called on inputs of different shapes.
    ArgumentError
        When called on fewer than two inputs.

    Notes
    -----
    Inputs with rows of equal shape; the output has that shape. There are no variables. A tie between two
    values gives each half of the gradient; NaN wins.

    Examples
    --------
    >>> from fastnn.layers import Dense, Input, Maximum
    >>> x = Input(shape=(4,))
    >>> Maximum()([Dense(2)(x), Dense(2)(x)]).shape
    (None, 2)
    """

    op = "maximum"


class Concatenate(Merge):
    """The inputs side by side along the last axis.

    Parameters
    ----------
    axis : int, default -1
        Only the last axis: -1, or its number when the rows are counted as axis 0.
    **common
        ``name`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If `axis` is another axis.
    ShapeError
        When called on inputs that differ in an axis before the last.

    Notes
    -----
    Rows of shapes ``(..., a)``, ``(..., b)``, ... give rows of shape ``(..., a + b + ...)``. There are no
    variables.

    Examples
    --------
    >>> from fastnn.layers import Concatenate, Input
    >>> Concatenate()([Input(shape=(2,)), Input(shape=(3,))]).shape
    (None, 5)
    """

    config_names: ClassVar[tuple[str, ...]] = ("axis",)
    least = 1

    def __init__(self, axis: int = -1, **common: Any):
        super().__init__(**common)
        self.axis = check_axis(axis, self)

    def check_pair(self, first: Spec, spec: Spec, first_source: str, source: str) -> None:
        """Check that an input fits the first one in all axes but the last."""
        check_last_axis(self.axis, spec, self)
        if len(spec.shape) != len(first.shape) or spec.shape[:-1] != first.shape[:-1]:
            raise ShapeError(
                f"all inputs must agree in every axis but the last: {first_source} has rows of shape "
                f"{first.shape}. Received: rows of shape {spec.shape} from {source}."
            )
        if spec.kind != first.kind:
            raise ArgumentError(
                f"Concatenate layer {self.name!r} cannot join integers with floating-point values. "
                f"Received: {first.kind} values from {first_source}, {spec.kind} values from {source}."
            )

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit one concatenation of all inputs."""
        self.check_inputs([value.spec for value in inputs], [f"input {i}" for i in range(len(inputs))])
        return trace.emit("concatenate", list(inputs))


# --------------------------------------------------------------------------- as functions
def add(inputs: Sequence[Symbol], **common: Any) -> Symbol:
    """Return the sum of symbols: ``Add(**common)(inputs)``."""
    return Add(**common)(inputs)


def subtract(inputs: Sequence[Symbol], **common: Any) -> Symbol:
    """Return the difference of two symbols: ``Subtract(**common)(inputs)``."""
    return Subtract(**common)(inputs)


def multiply(inputs: Sequence[Symbol], **common: Any) -> Symbol:
    """Return the product of symbols: ``Multiply(**common)(inputs)``."""
    return Multiply(**common)(inputs)


def average(inputs: Sequence[Symbol], **common: Any) -> Symbol:
    """Return the mean of symbols: ``Average(**common)(inputs)``."""
    return Average(**common)(inputs)


def maximum(inputs: Sequence[Symbol], **common: Any) -> Symbol:
    """Return the largest of symbols, element by element: ``Maximum(**common)(inputs)``."""
    return Maximum(**common)(inputs)


def concatenate(inputs: Sequence[Symbol], axis: int = -1, **common: Any) -> Symbol:
    """Return symbols side by side: ``Concatenate(axis, **common)(inputs)``."""
    return Concatenate(axis, **common)(inputs)
