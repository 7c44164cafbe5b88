"""Models made of layers called on symbols, and what every model can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError
from fastnn.layers.base import Symbol
from fastnn.models import config as plain
from fastnn.models import wiring
from fastnn.models.saving import Saving
from fastnn.models.summary import summary_html, summary_text

Symbols = Symbol | Sequence[Symbol] | Mapping[str, Symbol]


class Model(Saving):
    """A network from inputs to outputs.

    Parameters
    ----------
    inputs, outputs : Symbol, or list or dict of Symbol
        What ``fastnn.Input`` and layers return. With a dict its keys name them in data, losses and
        predictions; else the names of their layers do.
    name : str, optional
    seed : int, optional
        Fixes initial weights, shuffles and masks: the same seed gives the same bits. Random by default.
    dtype : {'float32', 'float64'}, default 'float32'
        Layers that belong to another model already keep the dtype of that.

    Raises
    ------
    ArgumentError
        If the graph is disconnected, two layers have the same name, or an argument is not allowed.

    Examples
    --------
    >>> from fastnn import Input, layers
    >>> from fastnn.models import Model
    >>> x = Input(shape=(4,))
    >>> hidden = layers.Dense(8, activation="relu")(x)
    >>> y = layers.Dense(1)(layers.Concatenate()([x, hidden]))
    >>> Model(x, y).count_params()
    53

    A hidden layer's output, with the weights shared:

    >>> Model(x, hidden).predict([[0.0, 0.0, 0.0, 0.0]]).shape
    (1, 8)
    """

    def __init__(
        self,
        inputs: Symbols,
        outputs: Symbols,
        name: str | None = None,
        seed: int | None = None,
        dtype: str = "float32",
    ):
        super().__init__(name=name, seed=seed, dtype=dtype)
        given, wanted = wiring.symbols_of(inputs, "inputs"), wiring.symbols_of(outputs, "outputs")
        self._input_keys = list(inputs) if isinstance(inputs, dict) else None
        self._output_keys = list(outputs) if isinstance(outputs, dict) else None
        self._connect(*wiring.from_inputs(given, wanted))

    @property
    def input(self) -> Any:
        """The input symbol (a list, where several)."""
        self._require_built()
        return self.inputs[0] if len(self.inputs) == 1 else list(self.inputs)

    @property
    def output(self) -> Any:
        """The output symbol (a list, where several)."""
        self._require_built()
        return self.outputs[0] if len(self.outputs) == 1 else list(self.outputs)

    @property
    def input_shape(self) -> Any:
        """Shape of the input with None for the rows (a list, where several)."""
        self._require_built()
        shapes = [symbol.shape for symbol in self.inputs]
        return shapes[0] if len(shapes) == 1 else shapes

    @property
    def output_shape(self) -> Any:
        """Shape of the output with None for the rows (a list, where several)."""
        self._require_built()
        return self.output_shapes[0] if len(self.outputs) == 1 else self.output_shapes

    # ------------------------------------------------------------------ as plain data
    def get_config(self) -> dict[str, Any]:
        """Return the structure as plain data, without weights: JSON can hold it."""
        return {
            **self._common_config(),
            **plain.graph_config(self.inputs, self._calls, self.outputs, self.layers),
            "input_names": self._input_keys,
            "output_names": self._output_keys,
        }

    def _common_config(self) -> dict[str, Any]:
        return {"name": self.name, "seed": self._given_seed, "dtype": self.dtype}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: plain.CustomLayers | None = None
    ) -> Model:
        """Make a model from what :meth:`get_config` returned, with initial weights.

        Parameters
        ----------
        config : dict
        custom_objects : dict, optional
            Layer classes of one's own, by name.

        Raises
        ------
        ArgumentError, UnknownNameError
            If the config does not describe a model.

        Examples
        --------
        >>> from fastnn import Input, layers
        >>> from fastnn.models import Model
        >>> x = Input(shape=(4,))
        >>> model = Model(x, layers.Dense(1)(x))
        >>> Model.from_config(model.get_config()).count_params()
        5
        """
        inputs, outputs = plain.graph_from_config(config, custom_objects)
        return cls(
            named(inputs, config.get("input_names")),
            named(outputs, config.get("output_names")),
            **plain.common_from_config(config),
        )

    # ------------------------------------------------------------------ looking at a model
    def layer_output(self, x: Any, layer: str | int) -> np.ndarray:
        """Compute what one layer gives for each row of `x`, as in prediction: nothing is dropped out.

        The same as ``Model(model.inputs, model.get_layer(layer).output).predict(x)``.

        Parameters
        ----------
        x : array, list, DataFrame, or a list or dict of them
            As in :meth:`predict`.
        layer : str or int
            Name or position in ``layers``.

        Returns
        -------
        ndarray of shape (rows, units)

        Raises
        ------
        NotBuiltError
            If the model has seen no data and no input shape yet.
        UnknownNameError, ArgumentError
            If there is no such layer, or it is an input, or is called more than once.
        ShapeError, DtypeError, DataError
            If the data cannot be used.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> hidden = Dense(3, "sigmoid", kernel_initializer="zeros", input_shape=(2,), name="hidden")
        >>> Sequential([hidden, Dense(1)]).layer_output([[1.0, 2.0]], "hidden")
        array([[0.5, 0.5, 0.5]], dtype=float32)
        """
        self._require_built()
        found = self.get_layer(index=layer) if isinstance(layer, int) else self.get_layer(layer)
        symbols = [symbol for symbol in self._calls if symbol.layer is found]
        if len(symbols) != 1:
            what = "an input" if not symbols else f"called {len(symbols)} times"
            raise ArgumentError(
                f"layer_output of model {self.name!r} takes a layer that is called once. "
                f"Received: layer {found.name!r}, which is {what}."
            )
        return Model(named(self.inputs, self._input_keys), symbols[0], dtype=self.dtype).predict(x)

    def summary(self, line_length: int | None = None, print_fn: Any = None) -> None:
        """Print a table of layers, output shapes and numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            Width of the table, if it does not need more.
        print_fn : callable, default print
            Called once with the whole text.

        Examples
        --------
        >>> from fastnn.layers import Activation, Dense
        >>> from fastnn.models import Sequential
        >>> stack = [Dense(3, input_shape=(2,), name="hidden"), Activation("sigmoid", name="logistic")]
        >>> Sequential([*stack, Dense(2, name="output")], name="small").summary()
        Model: "small"
        ──────────────────────────────────────────────
        Layer (type)           Output Shape  Param #
        ──────────────────────────────────────────────
        hidden (Dense)         (None, 3)           9
        logistic (Activation)  (None, 3)           0
        output (Dense)         (None, 2)           8
        ──────────────────────────────────────────────
        Total params: 17 (68 B)
        Trainable params: 17 (68 B)
        Non-trainable params: 0 (0 B)
        """
        (print_fn or print)(summary_text(self, line_length))

    def _repr_html_(self) -> str:
        """Return the summary as a table, for notebooks."""
        return summary_html(self)

    def __repr__(self) -> str:
        state = f"{self.count_params():,} parameters" if self.built else "not built"
        return f"<{type(self).__name__} {self.name!r}, {state}>"


def named(symbols: list[Symbol], names: Sequence[str] | None) -> Any:
    """Return symbols as a dict, if they have names."""
    return symbols if names is None else dict(zip(names, symbols, strict=True))
