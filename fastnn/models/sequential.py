"""Models that are one layer after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.errors import ArgumentError
from fastnn.layers.base import Layer, Symbol
from fastnn.layers.core import Embedding, InputLayer
from fastnn.models.functional import Model
from fastnn.models.fitting import Fitting


class Sequential(Model):
    """One layer after another.

    Parameters
    ----------
    layers : sequence of Layer, optional
        The first may be ``fastnn.Input(shape)`` or have ``input_shape=``; else the model is built when it
        first sees data.
    name : str, optional
    seed : int, optional
        Fixes initial weights, shuffles and masks. Random by default.
    dtype : {'float32', 'float64'}, default 'float32'

    Examples
    --------
    >>> from fastnn.layers import Activation, Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(3, input_shape=(2,)), Activation("sigmoid"), Dense(2)])
    >>> model.count_params()
    17
    """

    def __init__(
        self,
        layers: Sequence[Any] | None = None,
        name: str | None = None,
        seed: int | None = None,
        dtype: str = "float32",
    ):
        Fitting.__init__(self, name=name, seed=seed, dtype=dtype)
        self._stack: list[Layer] = []
        self._input: Symbol | None = None
        for layer in layers or []:
            self._append(layer)
        self._build_if_known()

    def add(self, layer: Any) -> None:
        """Add a layer at the end."""
        self._append(layer)
        self._build_if_known()

    def pop(self) -> Layer:
        """Remove the last layer and return it."""
        if not self._stack:
            raise ArgumentError(f"Model {self.name!r} has no layers to pop.")
        layer = self._stack.pop()
        self.inputs, self.outputs, self._calls, self._layers = [], [], [], []
        self._build_if_known()
        return layer

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input."""
        return list(self._stack)

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Build for rows of this shape (a leading None, for the rows, may be given)."""
        if self.built or input_shape is None:
            return
        shape = tuple(input_shape)
        shape = shape[1:] if shape and shape[0] is None else shape
        kind = "int32" if self._stack and isinstance(self._stack[0], Embedding) else None
        self._input = InputLayer(shape or (1,), dtype=kind).output  # type: ignore[arg-type]
        self._build_if_known()

    def _append(self, layer: Any) -> None:
        if isinstance(layer, Symbol) and isinstance(layer.layer, InputLayer):
            layer = layer.layer
        if isinstance(layer, InputLayer):
            if self._stack or self._input is not None:
                raise ArgumentError(f"Model {self.name!r}: an Input can only come first.")
            self._input = layer.output
            return
        if not isinstance(layer, Layer):
            raise ArgumentError(
                f"Sequential takes layers. Received: {layer!r} of type {type(layer).__name__}"
                + (", a class: add parentheses." if isinstance(layer, type) else ".")
            )
        if any(known.name == layer.name for known in self._stack):
            raise ArgumentError(f"Layer names must be unique in a model. Received: {layer.name!r} twice.")
        self._stack.append(layer)

    def _build_if_known(self) -> None:
        if self._input is None and self._stack and self._stack[0].input_shape_hint is not None:
            kind = "int32" if isinstance(self._stack[0], Embedding) else None
            self._input = InputLayer(self._stack[0].input_shape_hint, dtype=kind).output
        if self._input is None or not self._stack:
            return
        symbol = self._input
        for layer in self._stack:
            symbol = layer(symbol)
        self._connect([self._input], [symbol])
