"""Exact resume: everything a training is, written by backups, put back, and certified at the end."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np

import fastnn
from fastnn.callbacks.backup import Backup, BackupAndRestore, read_backup
from fastnn.callbacks.base import CallbackList
from fastnn.callbacks.history import History
from fastnn.errors import ArgumentError, FileFormatError
from fastnn.training.fingerprint import (
    Evidence,
    WeightsFingerprint,
    canonical,
    description,
    differences,
    fingerprint_of,
)
from fastnn.training.packing import pack, unpack
from fastnn.training.table import Table
from fastnn.training.trainer import Training

#: Of the layout of a backup's contents.
VERSION = 1
CONTENT = {
    "epoch", "step", "epochs_done", "position", "seed", "model_seed", "swapped", "stopped", "learning_rate",
    "history", "callbacks",
}  # fmt: skip


class Checkpointing:
    """What one call of ``fit`` continues from, is backed up as, and is certified by.

    Parameters
    ----------
    training : Training
    called : CallbackList
        Those of the class BackupAndRestore are handed the backups; the others' states are in them.
    history : History
    arguments : dict
        Further arguments of ``fit`` that make a training this one, as plain data.
    validation : Table or None
    """

    def __init__(
        self,
        training: Training,
        called: CallbackList,
        history: History,
        arguments: dict[str, Any],
        validation: Table | None = None,
    ):
        self._training, self._called, self._history = training, called, history
        self._backups = [callback for callback in called.callbacks if isinstance(callback, BackupAndRestore)]
        self._started = {"step": training.state.step, "epoch": training.state.epoch}
        if training.streamed and any(backup.save_freq != "epoch" for backup in self._backups):
            raise ArgumentError(
                "BackupAndRestore of a training whose rows are read piece by piece backs up epochs: expected "
                "save_freq='epoch'. Received: a number of batches."
            )
        self._data = fingerprint_of(training.table)
        self._validation = None if validation is None else fingerprint_of(validation)
        self._settings = {
            "fastnn": fastnn.__version__,
            **description(training),
            **arguments,
            "batch_size": training.batch_size,
            "rows": training.rows,
            "shuffle": training.shuffle,
            "seed": training.seed,
            "started": self._started,
        }
        self._identity: dict[str, Any] | None = None
        self._waiting: tuple[dict[str, np.ndarray], dict[str, Any]] | None = None
        self._earlier, self._first_epoch = 0.0, 0

    def identity(self) -> dict[str, Any]:
        """Return what makes a training this one, as plain data: settings, and hashes of the data."""
        if self._identity is None:
            hashes = {
                "data": self._data.value(),
                "validation_data": None if self._validation is None else self._validation.value(),
            }
            self._identity = {**self._settings, **hashes}
        return self._identity

    # ------------------------------------------------------------------ going on
    def restore(self, resume: Any, first_epoch: int) -> int:
        """Put back the state of a backup, if there is one; returns the epoch to go on with.

        Parameters
        ----------
        resume : str or PathLike or None
            A backup's file or folder, for where no callback has one.
        first_epoch : int
            Where to begin without a backup.

        Raises
        ------
        ArgumentError
            If the backup is one of another training; nothing has changed then.
        FileFormatError, OSError
            If it cannot be read.
        """
        self._first_epoch = first_epoch
        backups = [callback.find() for callback in self._backups]
        for callback, backup in zip(self._backups, backups, strict=True):
            callback.due = backup is None  # one is written before the first step
        found = next((backup for backup in backups if backup is not None), None)
        if found is None and resume is not None:
            found = read_backup(resume)
        if found is None:
            return first_epoch
        content = self._check(found)
        training, model = self._training, self._training.model
        training.go_to(content["step"], content["epochs_done"], content["position"], content["seed"])
        self._waiting = (found.tensors, content)
        self._put_back()
        model.stop_training = content["stopped"]
        if model.seed_is_drawn:
            model.seed = content["model_seed"]
        self._history.load_state_dict(unpack(content["history"], found.tensors))
        self._earlier = self._history.seconds
        self._identity = found.metadata["identity"]
        self._first_epoch = content["epoch"]
        return self._first_epoch

    def _check(self, found: Backup) -> dict[str, Any]:
        """Return a backup's contents if it is of this training and this file's version."""
        metadata = found.metadata
        if metadata.get("version") != VERSION:
            raise FileFormatError(
                f"The backup {found.path!r} has contents of version {metadata.get('version')}, and this "
                f"fastnn reads version {VERSION}."
            )
        self._check_identity(found, json.loads(canonical(self.identity())))
        content: dict[str, Any] = metadata["content"]
        missing = CONTENT - content.keys()
        if missing:
            raise FileFormatError(f"The backup {found.path!r} lacks {sorted(missing)}.")
        training, position = self._training, content["position"]
        if position and training.streamed:
            raise ArgumentError(
                f"The backup {found.path!r} was made in the middle of an epoch. Rows that are read piece by "
                "piece are gone on with at an epoch's beginning only."
            )
        if not 0 <= position < training.rows or position % training.batch_size:
            raise FileFormatError(
                f"The backup {found.path!r} stands at row {position}, where no step begins."
            )
        for name, array in self._arrays().items():
            given = found.tensors.get(name)
            if given is None and name.startswith("prediction/") and not position:
                continue
            if given is None or given.shape != array.shape or given.dtype != array.dtype:
                raise FileFormatError(
                    f"The backup {found.path!r} does not fit: expected {name!r} of shape {array.shape}, "
                    f"{array.dtype}. Received: {None if given is None else (given.shape, given.dtype)}."
                )
        return content

    def _check_identity(self, found: Backup, here: dict[str, Any]) -> None:
        there = dict(found.metadata["identity"])
        training = self._training
        if training.seed_is_drawn:  # the model was given none: this run takes on the backup's
            here["seed"] = there["seed"]
        if there["started"]["step"] < self._started["step"]:  # the fit that was interrupted, in this process
            here["started"] = there["started"]
            here["optimizer"]["config"]["learning_rate"] = there["optimizer"]["config"]["learning_rate"]
        there["callbacks"] = [state["class_name"] for state in found.metadata["content"]["callbacks"]]
        here["callbacks"] = [type(callback).__name__ for callback in self._called.stateful]
        versions = there.pop("fastnn"), here.pop("fastnn")
        differing = list(differences(there, here))
        if differing:
            more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
            raise ArgumentError(
                f"The backup {found.path!r} belongs to another training. {'; '.join(differing[:3])}{more} "
                "('there' is the backup, 'here' this call of fit). Give each training a backup_dir of its "
                "own, or remove the old backup to begin afresh."
            )
        if versions[0] != versions[1]:
            warnings.warn(
                f"The backup {found.path!r} was written by fastnn {versions[0]}. With {versions[1]} the "
                "training goes on, but perhaps not to the same bits.",
                UserWarning,
                stacklevel=2,
            )

    def begin(self) -> None:
        """Hand callbacks their states, after ``on_train_begin``; write the backups there are none of yet."""
        if self._waiting is not None:
            self._load()
        self.settled(self._first_epoch)

    def _load(self) -> None:
        assert self._waiting is not None
        content = self._waiting[1]
        self._load_states()
        if content["position"]:  # the epoch had begun; what its beginning counts has been counted
            self._called.call("on_epoch_begin", content["epoch"], {})
            self._load_states()
        self._put_back()  # what a hook may have changed when training began
        self._waiting = None

    def _load_states(self) -> None:
        assert self._waiting is not None
        tensors, content = self._waiting
        self._called.load_state_dict(unpack(content["callbacks"], tensors))  # anew: they may change them

    def _put_back(self) -> None:
        """Put weights, optimizer state, sums and learning rate back."""
        assert self._waiting is not None
        tensors, content = self._waiting
        for name, array in self._arrays().items():
            if name in tensors:  # predictions are not, at an epoch's end
                array[...] = tensors[name]
        self._training.state.swapped = content["swapped"]
        if content["learning_rate"] is not None:
            self._training.compiled.optimizer.learning_rate = content["learning_rate"]

    # ------------------------------------------------------------------ backing up
    def settled(self, epoch: int | None = None) -> None:
        """Write the backups that are due: all hooks of a step or an epoch have been called."""
        due = [backup for backup in self._backups if backup.due]
        if due:
            tensors, metadata = self._state(self._training.epoch if epoch is None else epoch)
            for backup in due:
                backup.write(tensors, metadata)

    def _arrays(self) -> dict[str, np.ndarray]:
        training = self._training
        state, session = training.state, training.session
        arrays = {"parameters": training.model.storage.array, "hyper": state.hyper, "sums": session.sums}
        arrays |= {f"slot/{name}": slot for name, slot in zip(state.names, state.slots, strict=True)}
        return arrays | {f"prediction/{n}": array for n, array in enumerate(training.predictions)}

    def _state(self, epoch: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return the training as it is between two steps."""
        training = self._training
        session, rate = training.session, training.compiled.optimizer.learning_rate
        arrays = self._arrays()
        if not session.position:  # what metrics are computed from is wanted in the middle of an epoch only
            arrays = {name: array for name, array in arrays.items() if not name.startswith("prediction/")}
        content = {
            "epoch": epoch,
            "step": session.step,
            "epochs_done": session.epoch,
            "position": session.position,
            "seed": training.seed,
            "model_seed": training.model.seed,
            "swapped": training.state.swapped,
            # A stop in the middle of an epoch interrupts the training; one at an epoch's end is part of it.
            "stopped": bool(training.model.stop_training) and not session.position,
            "learning_rate": rate if isinstance(rate, float) else None,
            "history": self._history.state_dict(),
            "callbacks": self._called.state_dict(),
        }
        packed = pack(content, arrays, "The state of a callback, or History,")
        return arrays, {"version": VERSION, "identity": self.identity(), "content": packed}

    # ------------------------------------------------------------------ the end
    def ended(self, seconds: float) -> None:
        """Complete the history, also of a training that was cut short."""
        training = self._training
        self._history.seconds = self._earlier + seconds
        hashes: dict[str, Any] = {}
        if self._identity is None:
            hashes = {"data": self._data, "validation_data": self._validation}
            for item in (self._data, self._validation):
                if item is not None:
                    item.settle()
        settings = dict(self._settings if self._identity is None else self._identity)
        settings["epochs"] = training.state.epoch - settings["started"]["epoch"]
        settings["steps"] = training.state.step - settings["started"]["step"]
        hashes["weights"] = WeightsFingerprint(training.model)
        self._history.settle(Evidence(settings, hashes))

    def finished(self) -> None:
        """Let backups go, unless training was stopped in the middle of an epoch."""
        if not self._training.session.position:
            for backup in self._backups:
                backup.finished()
