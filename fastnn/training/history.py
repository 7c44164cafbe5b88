"""The record of a training: one value an epoch for each key."""

from __future__ import annotations

from typing import Any

from fastnn.callbacks.base import Callback


class History(Callback):
    """What :meth:`fit` returns.

    Attributes
    ----------
    history : dict of str to list of float
        ``'loss'``, the metrics' names, and the same with ``'val_'`` in front; one value an epoch.
    epoch : list of int
        Numbers of the epochs.
    params : dict
        ``'epochs'``, ``'steps'``, ``'verbose'``.
    seconds : float
        Time spent in :meth:`fit`.
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

    def extend(self, first_epoch: int, columns: dict[str, list[float]]) -> None:
        """Append many epochs at once."""
        count = len(next(iter(columns.values()), []))
        self.epoch.extend(range(first_epoch, first_epoch + count))
        for key, values in columns.items():
            self.history.setdefault(key, []).extend(values)

    def __repr__(self) -> str:
        return f"<History of {len(self.epoch)} epochs: {', '.join(self.history)}>"
