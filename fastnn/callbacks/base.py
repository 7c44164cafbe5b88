"""The hooks a callback may override, and what asking for them costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end", "on_test_begin", "on_test_end")
_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


class Callback:
    """Base class of callbacks, with Keras' hooks.

    A hook that is not overridden costs nothing: without epoch hooks many epochs run in one compiled call,
    without batch hooks whole epochs do. Set ``self.model.stop_training = True`` to stop.

    Attributes
    ----------
    model : Model
        The model in training.
    params : dict
        ``'epochs'``, ``'steps'``, ``'verbose'``.

    Examples
    --------
    >>> from fastnn.callbacks import Callback
    >>> class StopAtOne(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["loss"] < 1
    """

    def __init__(self) -> None:
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Receive the model before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive the parameters of the training."""
        self.params = params

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Training begins."""

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Training has ended."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Epoch number `epoch` begins."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Epoch number `epoch` has ended with the values in `logs`."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A training batch begins."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A training batch has ended; `logs` hold the epoch's means so far."""

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Old name of :meth:`on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Old name of :meth:`on_train_batch_end`."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """An evaluation begins."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """An evaluation has ended."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """A prediction begins."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """A prediction has ended."""


class CallbackList:
    """Several callbacks called in order."""

    def __init__(self, callbacks: Iterable[Any], model: Any, params: dict[str, Any]):
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    def call(self, hook: str, *arguments: Any, **named: Any) -> None:
        """Call a hook of every callback that has it."""
        for callback in self.callbacks:
            method = getattr(callback, hook, None)
            if method is not None:
                method(*arguments, **named)

    @property
    def wants_epochs(self) -> bool:
        """Whether any callback must be called every epoch."""
        return any(_overrides(callback, _EPOCH_HOOKS) for callback in self.callbacks) or self.wants_batches

    @property
    def wants_batches(self) -> bool:
        """Whether any callback must be called every batch."""
        return any(_overrides(callback, _BATCH_HOOKS) for callback in self.callbacks)


def _overrides(callback: Any, hooks: Iterable[str]) -> bool:
    for hook in hooks:
        method = getattr(type(callback), hook, None)
        if hook in vars(callback) or (method is not None and method is not getattr(Callback, hook)):
            return True
    return False
