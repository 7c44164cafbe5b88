"""The hooks a callback may override, and what asking for them costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from fastnn.callbacks.batches import BatchCalls
from fastnn.errors import ArgumentError
from fastnn.serialization import check_integer

_EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")
_BATCH_BEGIN_HOOKS = ("on_batch_begin", "on_train_batch_begin")
_BATCH_END_HOOKS = ("on_train_batch_end", "on_batch_end")
_BATCH_HOOKS = (*_BATCH_BEGIN_HOOKS, *_BATCH_END_HOOKS)
_TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
_PREDICT_BATCH_HOOKS = ("on_predict_batch_begin", "on_predict_batch_end")
#: Every hook that Keras knows.
HOOKS = (
    "on_train_begin", "on_train_end", *_EPOCH_HOOKS, *_BATCH_HOOKS,
    "on_test_begin", "on_test_end", *_TEST_BATCH_HOOKS,
    "on_predict_begin", "on_predict_end", *_PREDICT_BATCH_HOOKS,
)  # fmt: skip


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
    batch_interval : int, default 1
        Call ``on_train_batch_end`` after every so many steps, counted from epoch 0, and at each epoch's
        last; ``on_train_batch_begin`` before the step that follows one of these. In between, steps run
        without Python (Keras calls alike under ``steps_per_execution``). 0 means never. Set it on the class
        or the object, before the first epoch.
    deadline : float or None
        The reading of ``time.perf_counter()`` at which training is to stop, after the step under way.
    state_attributes : tuple of str
        The attributes that :meth:`state_dict` carries.

    Examples
    --------
    >>> from fastnn.callbacks import Callback
    >>> class StopAtOne(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.model.stop_training = logs["loss"] < 1
    >>> class Watch(Callback):
    ...     batch_interval = 100
    ...     def on_train_batch_end(self, batch, logs=None):
    ...         print(batch, logs["loss"])
    """

    model: Any = None
    batch_interval: int = 1
    deadline: float | None = None
    state_attributes: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Receive the model before training."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Receive the parameters of the training."""
        self.params = params

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs of this callback: values JSON can hold, and NumPy arrays."""
        return {name: getattr(self, name) for name in self.state_attributes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that :meth:`state_dict` returned.

        A training that is resumed calls this *after* ``on_train_begin``, so resetting everything there, as
        Keras' callbacks do, is right.

        Raises
        ------
        ArgumentError
            If the state has other keys than this callback's.
        """
        self._check_state(state, self.state_attributes)
        for name, value in state.items():
            setattr(self, name, value)

    def _check_state(self, state: Mapping[str, Any], names: Iterable[str]) -> None:
        if set(state) != set(names):
            raise ArgumentError(
                f"The state of {type(self).__name__} must have the keys {sorted(names)}. "
                f"Received: {sorted(state)}."
            )

    def on_nonfinite(self, error: ArithmeticError) -> bool:
        """Training has met a loss that is NaN or infinite; return True to end it without the `error`."""
        return False

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
        self._stateful = len(self.callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(dict(params))

    def add(self, callback: Any) -> None:
        """Call one more, whose state is not the training's: a progress bar."""
        self.callbacks.append(callback)

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
        """Whether any callback must be called at training batches."""
        return any(_overrides(callback, _BATCH_HOOKS) and _interval(callback) for callback in self.callbacks)

    @property
    def wants_test_batches(self) -> bool:
        """Whether any callback must be called every batch of an evaluation."""
        return self._overridden(_TEST_BATCH_HOOKS)

    @property
    def wants_predict_batches(self) -> bool:
        """Whether any callback must be called every batch of a prediction."""
        return self._overridden(_PREDICT_BATCH_HOOKS)

    @property
    def deadline(self) -> float:
        """The earliest moment at which a callback wants training to stop; infinity if none does."""
        moments = [getattr(callback, "deadline", None) for callback in self.callbacks]
        return min((moment for moment in moments if moment is not None), default=math.inf)

    def batches(self, steps_per_epoch: int) -> BatchCalls:
        """Return who is to be called at which batch."""
        served = []
        for callback in self.callbacks:
            begin = [getattr(callback, hook) for hook in _BATCH_BEGIN_HOOKS if _overrides(callback, (hook,))]
            end = [getattr(callback, hook) for hook in _BATCH_END_HOOKS if _overrides(callback, (hook,))]
            interval = _interval(callback)
            if interval and (begin or end):
                served.append((interval, begin, end))
        return BatchCalls(served, steps_per_epoch)

    def ends_quietly(self, error: ArithmeticError) -> bool:
        """Ask every callback whether a loss that is not finite is to end training without an error."""
        asked = [getattr(callback, "on_nonfinite", None) for callback in self.callbacks]
        answers = [ask(error) for ask in asked if ask is not None]
        return any(answers)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the states of the callbacks, ``{'class_name': ..., 'state': ...}`` each."""
        states = []
        for callback in self.callbacks[: self._stateful]:
            state = callback.state_dict() if hasattr(callback, "state_dict") else {}
            states.append({"class_name": type(callback).__name__, "state": state})
        return states

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Hand each callback its state, after ``on_train_begin``.

        Raises
        ------
        ArgumentError
            If these are not the states of callbacks of the same classes in the same order; nothing has
            been handed out then.
        """
        callbacks = self.callbacks[: self._stateful]
        expected = [type(callback).__name__ for callback in callbacks]
        received = [state["class_name"] for state in states]
        if expected != received:
            raise ArgumentError(
                f"The states are of other callbacks: expected those of {expected}. Received: {received}."
            )
        for callback, state in zip(callbacks, states, strict=True):
            if hasattr(callback, "load_state_dict"):
                callback.load_state_dict(state["state"])

    def _overridden(self, hooks: Iterable[str]) -> bool:
        return any(_overrides(callback, hooks) for callback in self.callbacks)


def _interval(callback: Any) -> int:
    return check_integer("batch_interval", getattr(callback, "batch_interval", 1), type(callback).__name__, 0)


def _overrides(callback: Any, hooks: Iterable[str]) -> bool:
    for hook in hooks:
        method = getattr(type(callback), hook, None)
        if hook in vars(callback) or (method is not None and method is not getattr(Callback, hook)):
            return True
    return False
