"""Models made of layers called on symbols, and what every model can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.errors import ArgumentError
from fastnn.layers.base import Symbol
from fastnn.models.fitting import Fitting


class Model(Fitting):
    """A network from inputs to outputs.

    Parameters
    ----------
    inputs, outputs : Symbol, or list of Symbol
        What ``fastnn.Input`` and layers return.
    name : str, optional
    seed : int, optional
        Fixes initial weights, shuffles and masks: the same seed gives the same bits. Random by default.
    dtype : {'float32', 'float64'}, default 'float32'

    Examples
    --------
    >>> from fastnn import Input, layers
    >>> from fastnn.models import Model
    >>> x = Input(shape=(4,))
    >>> hidden = layers.Dense(8, activation="relu")(x)
    >>> y = layers.Dense(1)(layers.Concatenate()([x, hidden]))
    >>> Model(x, y).count_params()
    53
    """

    def __init__(
        self,
        inputs: Symbol | Sequence[Symbol],
        outputs: Symbol | Sequence[Symbol],
        name: str | None = None,
        seed: int | None = None,
        dtype: str = "float32",
    ):
        super().__init__(name=name, seed=seed, dtype=dtype)
        self._connect(_symbols(inputs, "inputs"), _symbols(outputs, "outputs"))

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


def _symbols(given: Any, what: str) -> list[Symbol]:
    items = list(given.values()) if isinstance(given, dict) else given
    items = list(items) if isinstance(items, (list, tuple)) else [items]
    for item in items:
        if not isinstance(item, Symbol):
            raise ArgumentError(
                f"`{what}` of a Model are symbols, as fastnn.Input(...) and layers return. Received: {item!r}."
            )
    if not items:
        raise ArgumentError(f"`{what}` of a Model must not be empty.")
    return items
