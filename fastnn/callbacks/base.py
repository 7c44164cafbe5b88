"""The hooks a callback may override, and what asking for them costs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastnn.errors import ArgumentError

_EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")
_BATCH_HOOKS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
_TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
_PREDICT_BATCH_HOOKS = ("on_predict_batch_begin", "on_predict_batch_end")


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

    model: Any = None

    def __init__(self) -> None:
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
        """Training has ended, by an exception too; `logs` hold the last epoch's values."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Epoch number `epoch`, counted from 0, begins."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Epoch number `epoch` has ended with the values in `logs`; what is added to them enters History."""

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A training batch, counted from 0 in each epoch, begins."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A training batch has ended; `logs` hold the epoch's means so far."""

    def on_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Old name of :meth:`on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Old name of :meth:`on_train_batch_end`."""

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """An evaluation begins, on its own or within training."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """An evaluation has ended with the values in `logs`."""

    def on_test_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A batch of an evaluation begins."""

    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A batch of an evaluation has ended; `logs` hold the means so far."""

    def on_predict_begin(self, logs: dict[str, Any] | None = None) -> None:
        """A prediction begins."""

    def on_predict_end(self, logs: dict[str, Any] | None = None) -> None:
        """A prediction has ended."""

    def on_predict_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A batch of a prediction begins."""

    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """A batch of a prediction has ended; ``logs['outputs']`` are its outputs."""


class CallbackList:
    """Several callbacks called in order.

    Parameters
    ----------
    callbacks : None, Callback, or a list or CallbackList of them
        Anything with Keras' methods ``set_model`` and ``set_params`` will do.
    model : Model
        Handed to each.
    params : dict
        Handed to each.

    Raises
    ------
    ArgumentError
        If one of them is a class, or no callback.

    Examples
    --------
    >>> from fastnn.callbacks import Callback, CallbackList
    >>> CallbackList([Callback()], None, {}).wants_epochs
    False
    """

    def __init__(self, callbacks: Any, model: Any, params: dict[str, Any]):
        if callbacks is None:
            callbacks = []
        elif isinstance(callbacks, CallbackList):
            callbacks = callbacks.callbacks
        self.callbacks: list[Any] = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
        for callback in self.callbacks:
            if isinstance(callback, type) or not hasattr(callback, "set_model"):
                hint = ", a class: add parentheses." if isinstance(callback, type) else "."
                raise ArgumentError(
                    f"`callbacks` must be fastnn.callbacks.Callback objects. Received: {callback!r}{hint}"
                )
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(dict(params))

    def call(self, hook: str, *arguments: Any, **named: Any) -> None:
        """Call a hook of every callback that has it."""
        for callback in self.callbacks:
            method = getattr(callback, hook, None)
            if method is not None:
                method(*arguments, **named)

    @property
    def wants_epochs(self) -> bool:
        """Whether any callback must be called every epoch."""
        return self._overridden(_EPOCH_HOOKS) or self.wants_batches

    @property
    def wants_batches(self) -> bool:
        """Whether any callback must be called every training batch."""
        return self._overridden(_BATCH_HOOKS)

    @property
    def wants_test_batches(self) -> bool:
        """Whether any callback must be called every batch of an evaluation."""
        return self._overridden(_TEST_BATCH_HOOKS)

    @property
    def wants_predict_batches(self) -> bool:
        """Whether any callback must be called every batch of a prediction."""
        return self._overridden(_PREDICT_BATCH_HOOKS)

    def _overridden(self, hooks: Iterable[str]) -> bool:
        return any(_overrides(callback, hooks) for callback in self.callbacks)


def _overrides(callback: Any, hooks: Iterable[str]) -> bool:
    for hook in hooks:
        method = getattr(type(callback), hook, None)
        if hook in vars(callback) or (method is not None and method is not getattr(Callback, hook)):
            return True
    return False
