"""Stop when a value no longer improves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.callbacks.monitor import MonitorCallback
from fastnn.errors import ArgumentError
from fastnn.serialization import check_bool, check_integer, check_number


class EarlyStopping(MonitorCallback):
    """Stop training when a monitored value has stopped improving.

    Keras' decisions, but for NaN: it is never the best, and by default it ends the training.

    Parameters
    ----------
    monitor : str, default 'val_loss'
        A key of the logs; where it is missing, a warning says so and training goes on.
    min_delta : float, default 0
        A change of no more than this is no improvement.
    patience : int, default 0
        Stop after so many epochs without an improvement.
    verbose : {0, 1}
        1 prints what is done.
    mode : {'auto', 'min', 'max'}
        ``'auto'`` asks the metric.
    baseline : float, optional
        Epochs that do not improve on it count as without improvement.
    restore_best_weights : bool, default False
        Put the weights of the best epoch back when training ends, whatever ended it.
    start_from_epoch : int, default 0
        Ignore the epochs before this one, counted from 0.
    check_finite : bool, default True
        Stop at once when the value is NaN or infinite (as Lightning does). If False, NaN counts as an epoch
        without improvement.

    Attributes
    ----------
    best : float or None
        The best value, of epoch `best_epoch`.
    wait : int
        Epochs since the last improvement.
    stopped_epoch : int
        The epoch after which training was stopped; 0 if it was not.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or (when training begins) the direction is not known.

    Examples
    --------
    >>> from fastnn.callbacks import EarlyStopping
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    >>> model.compile("sgd", "mse")
    >>> stopping = EarlyStopping("loss", min_delta=0.01, patience=2)
    >>> history = model.fit([0.0, 1.0], [0.0, 1.0], epochs=500, verbose=0, callbacks=[stopping])
    >>> len(history.epoch) == stopping.stopped_epoch + 1 < 500
    True
    """

    state_attributes = ("best", "best_epoch", "wait", "stopped_epoch")

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
        check_finite: bool = True,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta)
        where = "EarlyStopping"
        self.patience = check_integer("patience", patience, where, 0)
        self.verbose = verbose
        self.baseline = None if baseline is None else check_number("baseline", baseline, where)
        self.restore_best_weights = check_bool("restore_best_weights", restore_best_weights, where)
        self.start_from_epoch = check_integer("start_from_epoch", start_from_epoch, where, 0)
        self.check_finite = check_bool("check_finite", check_finite, where)
        self._reset()

    def _reset(self) -> None:
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start counting."""
        super().on_train_begin(logs)
        self._reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compare the epoch's value with the best."""
        current = self.value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self.check_finite and not math.isfinite(current):
            if self.verbose:
                print(f"Epoch {epoch + 1}: {self.monitor} is {current}, which is not finite")
            self._stop(epoch)
        elif self.improves(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self._stop(epoch)

    def _stop(self, epoch: int) -> None:
        self.stopped_epoch = epoch
        self.model.stop_training = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Put the best weights back."""
        if self.stopped_epoch and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the counters and the best weights, as one flat array."""
        flat = None
        if self.best_weights is not None:
            flat = np.concatenate([np.zeros(0, np.float32), *(w.ravel() for w in self.best_weights)])
        return {**super().state_dict(), "best_weights": flat}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue counting."""
        self._check_state(state, (*self.state_attributes, "best_weights"))
        flat, best_weights = state["best_weights"], None
        if flat is not None:
            like = self.model.get_weights()
            sizes = [weights.size for weights in like]
            if sum(sizes) != len(flat):
                raise ArgumentError(
                    f"The state of EarlyStopping holds weights of another model: expected {sum(sizes)} "
                    f"numbers. Received: {len(flat)}."
                )
            parts = np.split(np.asarray(flat), np.cumsum(sizes)[:-1]) if like else []
            best_weights = [p.reshape(w.shape).astype(w.dtype) for p, w in zip(parts, like, strict=True)]
        super().load_state_dict({name: state[name] for name in self.state_attributes})
        self.best_weights = best_weights
