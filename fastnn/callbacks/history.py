"""The record of a training: one value an epoch for each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.callbacks.base import Callback


class History(Callback):
    """What ``Model.fit`` returns.

    Attributes
    ----------
    history : dict of str to list of float
        ``'loss'``, the metrics' names, and the same with ``'val_'`` in front; one value an epoch (with
        ``validation_freq``, one an epoch with validation).
    epoch : list of int
        Numbers of the epochs.
    params : dict
        ``'epochs'``, ``'steps'``, ``'verbose'``.
    seconds : float
        Time spent in training.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    >>> model.compile("sgd", "mse", metrics=["mae"])
    >>> model.fit([[0.0, 1.0], [1.0, 1.0]], [1.0, 2.0], epochs=3, verbose=0)
    <History of 3 epochs: loss, mae>
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start with nothing."""
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append an epoch's values."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)

    def extend(self, first_epoch: int, columns: Mapping[str, list[float]]) -> None:
        """Append many epochs at once."""
        count = len(next(iter(columns.values()), []))
        if not count:
            return
        self.epoch.extend(range(first_epoch, first_epoch + count))
        for key, values in columns.items():
            self.history.setdefault(key, []).extend(values)

    def last(self) -> dict[str, float]:
        """Return the latest value of each key."""
        return {key: values[-1] for key, values in self.history.items()}

    def __repr__(self) -> str:
        count = len(self.epoch)
        return f"<History of {count} epoch{'' if count == 1 else 's'}: {', '.join(self.history)}>"
