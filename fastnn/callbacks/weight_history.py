"""The record of weights over a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.callbacks.base import Callback
from fastnn.errors import ArgumentError, unknown_name
from fastnn.serialization import check_integer


class WeightHistory(Callback):
    """Keeps copies of a model's weights, for :func:`fastnn.viz.weight_histograms`.

    Parameters
    ----------
    every : int, default 1
        Keep the weights of every so many epochs; those before the first and after the last always.
    variables : sequence of str, optional
        Paths of the variables to keep, such as ``'hidden/kernel'``; all by default.

    Attributes
    ----------
    epochs : list of int
        After how many epochs each copy was made; 0 is before training.
    weights : dict of str to list of ndarray
        For each variable's path a copy for each of `epochs`. They take the memory of so many models,
        and backups of the training (BackupAndRestore) hold them too.

    Raises
    ------
    ArgumentError
        If `every` is not a positive integer.
    UnknownNameError
        When training begins, if the model has no such variable.

    Examples
    --------
    >>> from fastnn.callbacks import WeightHistory
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(2,), name="output")], seed=0)
    >>> model.compile("sgd", "mse")
    >>> record = WeightHistory(every=2)
    >>> _ = model.fit([[0.0, 1.0], [1.0, 1.0]], [1.0, 2.0], epochs=5, callbacks=[record], verbose=0)
    >>> record.epochs
    [0, 2, 4, 5]
    >>> record.weights["output/kernel"][0].shape
    (2, 1)
    """

    def __init__(self, every: int = 1, variables: Sequence[str] | None = None):
        super().__init__()
        self.every = check_integer("every", every, "WeightHistory", 1)
        self.variables = None if variables is None else list(variables)
        self.epochs: list[int] = []
        self.weights: dict[str, list[np.ndarray]] = {}
        self._ended: int | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the copies made so far."""
        return {"epochs": self.epochs, "weights": list(self.weights.values()), "ended": self._ended}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the record of an earlier training, after ``on_train_begin``.

        Raises
        ------
        ArgumentError
            If it is of another number of variables.
        """
        self._check_state(state, ("epochs", "weights", "ended"))
        if len(state["weights"]) != len(self.weights):
            raise ArgumentError(
                f"The state of WeightHistory is of {len(state['weights'])} variables: expected "
                f"{len(self.weights)}, {list(self.weights)}."
            )
        self.epochs, self._ended = list(state["epochs"]), state["ended"]
        # In order: layers that were given no names may be called otherwise in another process.
        self.weights = dict(zip(self.weights, map(list, state["weights"]), strict=True))

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start with nothing."""
        known = {variable.path: variable for variable in self.model.variables}
        for path in self.variables or ():
            if path not in known:
                raise unknown_name("variable", path, known, f"model {self.model.name!r}")
        self._kept = {path: known[path] for path in self.variables or known}
        self._ended = None
        self.epochs = []
        self.weights = {path: [] for path in self._kept}

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep the weights from before the first epoch."""
        if self._ended is None:
            self._keep(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep an epoch's weights, if it is their turn."""
        self._ended = epoch + 1
        if self._ended % self.every == 0:
            self._keep(self._ended)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Keep the last epoch's weights."""
        if self._ended is not None and self.epochs[-1] != self._ended:
            self._keep(self._ended)

    def _keep(self, epoch: int) -> None:
        self.epochs.append(epoch)
        for path, variable in self._kept.items():
            self.weights[path].append(variable.numpy())
