"""Evaluate with the moving average of the weights."""

from __future__ import annotations

from typing import Any

from fastnn.callbacks.base import Callback
from fastnn.errors import ArgumentError
from fastnn.serialization import check_bool


class SwapEMAWeights(Callback):
    """Put the moving average in the weights' place for evaluation, and take it out again for training.

    The optimizer keeps the average (``use_ema=True``), and makes it the weights when training ends.

    Parameters
    ----------
    swap_on_epoch : bool, default False
        The average stays in place from an epoch's end until the next begins, so that callbacks further down
        the list see it in ``on_epoch_end``: put ModelCheckpoint behind this one to save it.

    Raises
    ------
    ArgumentError
        When training, evaluation or prediction begins, if the optimizer keeps no average.

    Examples
    --------
    >>> from fastnn.callbacks import SwapEMAWeights
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.optimizers import SGD
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    >>> model.compile(SGD(use_ema=True), "mse")
    >>> x = [0.0, 1.0]
    >>> history = model.fit(
    ...     x, x, epochs=3, verbose=0, validation_data=(x, x), callbacks=[SwapEMAWeights()]
    ... )
    >>> history.history["val_loss"][-1] == model.evaluate(x, x)
    True
    """

    def __init__(self, swap_on_epoch: bool = False) -> None:
        super().__init__()
        self.swap_on_epoch = check_bool("swap_on_epoch", swap_on_epoch, "SwapEMAWeights")

    def _require_average(self) -> None:
        if not self.model.optimizer.use_ema:
            raise ArgumentError(
                "SwapEMAWeights needs an optimizer that keeps an average of the weights: expected "
                f"use_ema=True. Received: {self.model.optimizer!r}."
            )

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check the optimizer."""
        self._require_average()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take the average out."""
        if self.swap_on_epoch:
            self.model.swap_average(False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the average in."""
        if self.swap_on_epoch:
            self.model.swap_average(True)

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the average in."""
        self._require_average()
        self.model.swap_average(True)

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Take the average out."""
        self.model.swap_average(False)

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Put the average in."""
        self.on_test_begin(logs)

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """Take the average out."""
        self.model.swap_average(False)
