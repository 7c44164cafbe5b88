"""Set the learning rate between epochs: by a function, or when a value no longer improves."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from fastnn.callbacks.base import Callback
from fastnn.callbacks.monitor import MonitorCallback
from fastnn.errors import ArgumentError
from fastnn.serialization import check_integer, check_number


class ReduceLROnPlateau(MonitorCallback):
    """Multiply the learning rate by a factor when a monitored value has stopped improving.

    Keras' decisions, but for NaN, which is never the best. Adds ``'learning_rate'``, the rate the epoch was
    trained with, to the logs.

    Parameters
    ----------
    monitor : str, default 'val_loss'
        A key of the logs; where it is missing, a warning says so and the rate stays.
    factor : float, default 0.1
        ``new = max(old * factor, min_lr)``; in [0, 1).
    patience : int, default 10
        Reduce after so many epochs without an improvement.
    verbose : {0, 1}
        1 prints what is done.
    mode : {'auto', 'min', 'max'}
        ``'auto'`` asks the metric.
    min_delta : float, default 1e-4
        A change of no more than this is no improvement.
    cooldown : int, default 0
        After a reduction, epochs to wait before counting again.
    min_lr : float, default 0

    Attributes
    ----------
    best : float or None
    wait, cooldown_counter : int
        Epochs since the last improvement, and still to wait.

    Raises
    ------
    ArgumentError
        If an argument is out of its range; when training begins, if the direction is not known or the
        learning rate is a schedule.

    Examples
    --------
    >>> from fastnn.callbacks import ReduceLROnPlateau
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    >>> model.compile("sgd", "mse")
    >>> reduce = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0)
    >>> history = model.fit([0.0, 1.0], [0.0, 1.0], epochs=3, verbose=0, callbacks=[reduce])
    >>> history.history["learning_rate"]
    [0.01, 0.01, 0.005]
    """

    state_attributes = ("best", "wait", "cooldown_counter")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        where = "ReduceLROnPlateau"
        self.factor = check_number("factor", factor, where, 0.0, 1.0, high_open=True)
        self.patience = check_integer("patience", patience, where, 0)
        self.verbose = verbose
        self.cooldown = check_integer("cooldown", cooldown, where, 0)
        self.min_lr = check_number("min_lr", min_lr, where, 0.0)
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start counting."""
        super().on_train_begin(logs)
        _rate(self)
        self.best = None
        self.wait = self.cooldown_counter = 0

    def in_cooldown(self) -> bool:
        """Whether epochs are not counted at the moment."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the epoch's value with the best."""
        logs = {} if logs is None else logs
        rate = logs["learning_rate"] = _rate(self)
        current = self.value(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                self._reduce(epoch, rate)

    def _reduce(self, epoch: int, rate: float) -> None:
        new = self.model.optimizer.learning_rate = max(rate * self.factor, self.min_lr)
        self.cooldown_counter = self.cooldown
        self.wait = 0
        if self.verbose:
            print(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")

    def state_dict(self) -> dict[str, Any]:
        """Return the counters and the learning rate."""
        return {**super().state_dict(), "learning_rate": _rate(self)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue counting, with the learning rate of the time."""
        self._check_state(state, (*self.state_attributes, "learning_rate"))
        super().load_state_dict({name: state[name] for name in self.state_attributes})
        self.model.optimizer.learning_rate = state["learning_rate"]


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch.

    Adds ``'learning_rate'`` to the logs.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate) -> float`` or ``schedule(epoch) -> float``; the epoch counts from 0,
        the learning rate is the one so far.
    verbose : {0, 1}
        1 prints the rate.

    Raises
    ------
    ArgumentError
        If `schedule` is not callable or returns something else than a finite number >= 0; when training
        begins, if the optimizer's learning rate is a schedule itself.

    Examples
    --------
    >>> from fastnn.callbacks import LearningRateScheduler
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    >>> model.compile("sgd", "mse")
    >>> halve = LearningRateScheduler(lambda epoch, lr: lr if epoch < 2 else lr / 2)
    >>> history = model.fit([0.0, 1.0], [0.0, 1.0], epochs=4, verbose=0, callbacks=[halve])
    >>> history.history["learning_rate"]
    [0.01, 0.01, 0.005, 0.0025]
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule) or isinstance(schedule, type):
            raise ArgumentError(
                "`schedule` of LearningRateScheduler must be a function of the epoch, or of the epoch and "
                f"the learning rate. Received: {schedule!r}."
            )
        self.schedule = schedule
        self.verbose = verbose
        self._takes_rate = _accepts(schedule, 2)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check that the learning rate can be set."""
        _rate(self)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the epoch's learning rate."""
        old = _rate(self)
        new = self.schedule(epoch, old) if self._takes_rate else self.schedule(epoch)
        where = f"LearningRateScheduler, as its schedule returned it for epoch {epoch},"
        new = self.model.optimizer.learning_rate = check_number("learning_rate", new, where, 0.0)
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {new}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the learning rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = _rate(self)

    def state_dict(self) -> dict[str, Any]:
        """Return the learning rate, which the next may depend on."""
        return {"learning_rate": _rate(self)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a learning rate."""
        self._check_state(state, ("learning_rate",))
        self.model.optimizer.learning_rate = state["learning_rate"]


def _rate(callback: Callback) -> float:
    """Return the learning rate, if it is a number that a callback may set."""
    rate = callback.model.optimizer.learning_rate
    if not isinstance(rate, float):
        raise ArgumentError(
            f"{type(callback).__name__} sets the learning rate between epochs: expected an optimizer whose "
            f"learning_rate is a number. Received: the schedule {rate!r}."
        )
    return rate


def _accepts(function: Callable, arguments: int) -> bool:
    """Whether a function can be called with so many positional arguments."""
    try:
        inspect.signature(function).bind(*range(arguments))
    except TypeError:
        return False
    except ValueError:  # a function of C that does not tell
        return True
    return True
