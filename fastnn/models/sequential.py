"""Models that are one layer after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.errors import ArgumentError
from fastnn.layers import serialize
from fastnn.layers.base import Layer, Symbol, check_shape
from fastnn.layers.core import InputLayer
from fastnn.models import config as plain
from fastnn.models.functional import Model
from fastnn.models.network import Network
from fastnn.models.saving import Saving


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

    Raises
    ------
    ArgumentError
        If something is no layer, two layers have the same name, or an Input does not come first.
    ShapeError
        If a layer does not fit the one before it.

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
        Saving.__init__(self, name=name, seed=seed, dtype=dtype)
        self._stack: list[Layer] = []
        self._source: Symbol | None = None
        self._late: list[Layer] = []
        if layers is not None and not isinstance(layers, (list, tuple)):
            layers = [layers]
        for layer in layers or []:
            self._append(layer)
        self._build_if_known()

    def add(self, layer: Any) -> None:
        """Add a layer at the end; if it does not fit, the model stays as it was."""
        stack, source = list(self._stack), self._source
        try:
            self._append(layer)
            self._build_if_known()
        except Exception:
            self._stack, self._source = stack, source
            raise

    def pop(self) -> Layer:
        """Remove the last layer and return it.

        Raises
        ------
        ArgumentError
            If there is none.
        """
        if not self._stack:
            raise ArgumentError(f"Model {self.name!r} has no layers to pop.")
        layer = self._stack.pop()
        symbols = {id(symbol.layer): symbol for symbol in self._calls}
        self._forget()
        if self._stack and self._source is not None:
            self._connect([self._source], [symbols[id(self._stack[-1])]])
        return layer

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input."""
        return list(self._stack)

    def build(self, input_shape: Any = None) -> None:
        """Build for rows of this shape, if that is still to be done.

        Parameters
        ----------
        input_shape : tuple of int
            A leading None, for the rows, may be given.

        Raises
        ------
        ShapeError
            If it is no shape, or does not fit the layers; the model is as before then.
        """
        if self.built or input_shape is None:
            return
        if not self._stack:
            raise ArgumentError(f"Model {self.name!r} has no layers to build.")
        shape = tuple(input_shape) if isinstance(input_shape, (list, tuple)) else (input_shape,)
        shape = check_shape(shape[1:] if shape[:1] == (None,) else shape, f"model {self.name!r}")
        late = [layer for layer in self._stack if not layer.built]
        try:
            self._source = InputLayer(shape).output
            self._build_if_known()
        except Exception:
            self._late = late
            self._unbuild()
            raise
        self._late = late

    def _unbuild(self) -> None:
        """Undo :meth:`build`."""
        for layer in self._late:
            layer.reset()
        self._late, self._source = [], None
        self._forget()

    def _append(self, layer: Any) -> None:
        if isinstance(layer, Symbol) and isinstance(layer.layer, InputLayer):
            layer = layer.layer
        if isinstance(layer, InputLayer):
            if self._stack or self._source is not None:
                raise ArgumentError(
                    f"Model {self.name!r}: an Input can only come first. Received: {layer!r} after "
                    f"{self._stack[-1] if self._stack else 'another Input'!r}."
                )
            self._source = layer.output
            return
        if not isinstance(layer, Layer):
            hint = "."
            if isinstance(layer, type):
                hint = ", a class: add parentheses."
            elif isinstance(layer, Network):
                hint = ". Add its layers one by one, or call it in a functional Model: Model(x, model(x))."
            raise ArgumentError(
                f"Sequential takes layers. Received: {layer!r} of type {type(layer).__name__}{hint}"
            )
        names = [known.name for known in self._stack]
        names += [self._source.layer.name] if self._source is not None else []
        if layer.name in names:
            raise ArgumentError(f"Layer names must be unique in a model. Received: {layer.name!r} twice.")
        self._stack.append(layer)

    def _build_if_known(self) -> None:
        """Call the layers that have not been called yet, once the shape of the input is known."""
        if not self._stack:
            return
        if self._source is None:
            hint = self._stack[0].input_shape_hint
            if hint is None:
                return
            self._source = InputLayer(hint).output
        symbol = self.outputs[0] if self.outputs else self._source
        for layer in self._stack[len(self._calls) :]:
            symbol = layer(symbol)
        self._connect([self._source], [symbol])

    def get_config(self) -> dict[str, Any]:
        """Return the structure as plain data, without weights: JSON can hold it."""
        source = [serialize(self._source.layer)] if self._source is not None else []
        return {**self._common_config(), "layers": source + [serialize(layer) for layer in self._stack]}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: plain.CustomLayers | None = None
    ) -> Sequential:
        """Make a model from what :meth:`get_config` returned, with initial weights."""
        return cls(plain.layers_from_config(config, custom_objects), **plain.common_from_config(config))
