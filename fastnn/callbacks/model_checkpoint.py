"""Save the model as it trains."""

from __future__ import annotations

import os
from typing import Any

from fastnn.callbacks.monitor import MonitorCallback
from fastnn.errors import ArgumentError, UnknownNameError
from fastnn.serialization import check_bool, check_integer, check_number


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, every epoch or every so many batches.

    Files are written whole or not at all: an old file survives a failure, which is raised.

    Parameters
    ----------
    filepath : str or path
        As ``model.save`` takes it, ``'best.fastnn'``; may have fields that are filled in, the epoch (counted
        from 1), with an integer `save_freq` the batch (from 1), and keys of the logs:
        ``'{epoch:02d}-{val_loss:.2f}.fastnn'``. Missing folders are made.
    monitor : str, default 'val_loss'
        What is compared for `save_best_only`. Where it is missing from the logs, a warning says so and the
        model is saved.
    verbose : {0, 1}
        1 prints what is done.
    save_best_only : bool, default False
        Save only where the monitored value is better than all before; NaN never is.
    save_weights_only : bool, default False
        Call ``model.save_weights`` instead of ``model.save``.
    mode : {'auto', 'min', 'max'}
        ``'auto'`` asks the metric.
    save_freq : 'epoch' or int
        Save every so many batches, counted from epoch 0. In between training runs undisturbed.
    initial_value_threshold : float, optional
        What the first value has to be better than.

    Raises
    ------
    ArgumentError
        If an argument is not allowed, or (when training begins) the suffix or the direction is not known.
    UnknownNameError
        If `filepath` has a field that is not in the logs.

    Examples
    --------
    >>> from fastnn.callbacks import ModelCheckpoint
    >>> ModelCheckpoint("net-{epoch:02d}.fastnn").path_of(0, {})
    'net-01.fastnn'
    """

    state_attributes = ("best", "epoch")

    def __init__(
        self,
        filepath: str | os.PathLike,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        where = "ModelCheckpoint"
        if initial_value_threshold is not None:
            check_number("initial_value_threshold", initial_value_threshold, where)
        super().__init__(monitor, mode, best=initial_value_threshold)
        self.filepath = os.fspath(filepath)
        if not (isinstance(self.filepath, str) and self.filepath):
            raise ArgumentError(f"`filepath` of {where} must be a path. Received: {filepath!r}.")
        self.verbose = verbose
        self.save_best_only = check_bool("save_best_only", save_best_only, where)
        self.save_weights_only = check_bool("save_weights_only", save_weights_only, where)
        if save_freq != "epoch" and (isinstance(save_freq, (str, bool)) or not isinstance(save_freq, int)):
            raise ArgumentError(
                f"`save_freq` of {where} must be 'epoch' or a number of batches. Received: {save_freq!r}."
            )
        self.save_freq = save_freq
        self.batch_interval = 0
        if save_freq != "epoch":
            self.batch_interval = check_integer("save_freq", save_freq, where, 1)
        self.epoch = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check the suffix, and find out which way is better."""
        tail = self.filepath.rpartition("}")[2]
        if "}" not in self.filepath or "." in tail:  # else a field makes the suffix
            self.model.check_suffix(self.filepath, self.save_weights_only)
        if self.save_best_only:
            super().on_train_begin(logs)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, if it is time."""
        # Called at each epoch's last batch too.
        if self.batch_interval and (self.epoch * self.params["steps"] + batch + 1) % self.batch_interval == 0:
            self._save(self.epoch, {"batch": batch + 1, **(logs or {})})

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save, if it is better."""
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def _save(self, epoch: int, logs: dict[str, Any]) -> None:
        path = self.path_of(epoch, logs)
        if self.save_best_only and not self._is_better(epoch, logs):
            return
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path)
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {'weights' if self.save_weights_only else 'model'} to {path}")

    def _is_better(self, epoch: int, logs: dict[str, Any]) -> bool:
        current = self.value(logs)
        if current is None:
            return True
        better = self.improves(current, self.best)
        if self.verbose:
            best = "None" if self.best is None else f"{self.best:.5f}"
            did = f"improved from {best} to {current:.5f}" if better else f"did not improve from {best}"
            print(f"Epoch {epoch + 1}: {self.monitor} {did}")
        if better:
            self.best = current
        return better

    def path_of(self, epoch: int, logs: dict[str, Any]) -> str:
        """Return `filepath` with its fields filled in; `epoch` is counted from 0."""
        fields = {**logs, "epoch": epoch + 1}
        try:
            return self.filepath.format(**fields)
        except (KeyError, IndexError) as error:
            raise UnknownNameError(
                f"`filepath` of ModelCheckpoint, {self.filepath!r}, has a field that is not known: expected "
                f"some of {', '.join(sorted(fields))}. Received: {error}."
            ) from None
