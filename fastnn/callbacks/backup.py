"""Backups of a training, from which the same call of ``fit`` goes on after a crash."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastnn.callbacks.base import Callback
from fastnn.errors import ArgumentError, FileFormatError
from fastnn.io import container
from fastnn.serialization import check_bool, check_integer

#: What a backup's description says it is.
KIND = "backup of a training"
LATEST, PREVIOUS = "latest.fastnn", "previous.fastnn"


class Backup(NamedTuple):
    """A backup that was read.

    Attributes
    ----------
    path : str
    tensors : dict of str to ndarray
    metadata : dict
    """

    path: str
    tensors: dict[str, np.ndarray]
    metadata: dict[str, Any]


class BackupAndRestore(Callback):
    """Writes all of a training to a file now and then; when ``fit`` is called again, it goes on from there.

    The resumed training has the same bits as one that was never interrupted: weights, optimizer state,
    order of rows, dropout, History, and the states of the other callbacks. A backup is one file, written to
    the side and renamed, so a crash, kill or power cut at any moment leaves a whole one. The first is written
    before the first step.

    At the start of ``fit`` a backup in `backup_dir` is restored, whatever weights the model has. It must
    belong to the same training: the same model, optimizer, loss, metrics, data, batch size, seed, callbacks
    and initial epoch; only `epochs` may be another. When ``fit`` has ended, the backup is deleted. It stays
    after an exception or Ctrl-C, and where ``stop_training`` ended the training in the middle of an epoch
    (as TimeBudget does). A model that was given no seed takes on that of the backup.

    Parameters
    ----------
    backup_dir : str or PathLike
        A folder of this training's own; made if it is missing.
    save_freq : 'epoch' or int, default 'epoch'
        Write at the end of each epoch, or after every so many batches, counted from epoch 0. A backup that
        is due with an epoch's last batch is written when the epoch has ended.
    double_checkpoint : bool, default False
        Keep the backup before the latest too. If the latest is damaged, by a disk for example, the previous
        one is restored, with a warning.
    delete_checkpoint : bool, default True
        Delete the backup when ``fit`` has ended.

    Raises
    ------
    ArgumentError
        From ``fit``, before anything has changed, if the backup belongs to another training.
    FileFormatError
        From ``fit``, if it is damaged and there is no other.
    OSError
        From ``fit``, if a backup cannot be written: training ends, the backup before it is intact.

    Notes
    -----
    Metrics that are computed from all predictions, such as AUC, put the predictions of the epoch so far into
    a backup in the middle of an epoch. The data are hashed once, before the first step, at some 0.55 s a
    gigabyte.

    Examples
    --------
    >>> import tempfile
    >>> from fastnn.callbacks import BackupAndRestore, LambdaCallback
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> def power_cut(epoch, logs):
    ...     if epoch == 2:
    ...         raise OSError("power cut")
    >>> def train(folder, callbacks=()):
    ...     model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    ...     model.compile("sgd", "mse")
    ...     callbacks = [BackupAndRestore(folder), *callbacks]
    ...     return model.fit([[0.0, 1.0], [1.0, 1.0]], [1.0, 2.0], epochs=4, verbose=0, callbacks=callbacks)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     whole = train(f"{folder}/whole")
    ...     try:
    ...         train(f"{folder}/cut", [LambdaCallback(on_epoch_end=power_cut)])
    ...     except OSError as error:
    ...         print(error)
    ...     resumed = train(f"{folder}/cut", [LambdaCallback()])
    power cut
    >>> resumed.history == whole.history, resumed.certificate() == whole.certificate()
    (True, True)
    """

    part_of_training: ClassVar[bool] = False

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: Any = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ):
        super().__init__()
        if not isinstance(backup_dir, (str, os.PathLike)) or not os.fspath(backup_dir):
            raise ArgumentError(
                f"`backup_dir` of BackupAndRestore must be a folder's path. Received: {backup_dir!r}."
            )
        where = "BackupAndRestore"
        if isinstance(save_freq, str) and save_freq != "epoch":
            raise ArgumentError(
                f"`save_freq` of {where} must be 'epoch' or a number of batches. Received: {save_freq!r}."
            )
        self.backup_dir = Path(backup_dir)
        self.save_freq = save_freq
        if save_freq != "epoch":
            self.save_freq = check_integer("save_freq", save_freq, where, 1)
        self.double_checkpoint = check_bool("double_checkpoint", double_checkpoint, where)
        self.delete_checkpoint = check_bool("delete_checkpoint", delete_checkpoint, where)
        self.batch_interval = 0 if self.save_freq == "epoch" else self.save_freq
        self.due = False
        self._epoch = 0
        self._sound = False

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Ask for a backup, where one is wanted for each epoch."""
        if self.save_freq == "epoch":
            self.due = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ask for a backup, where one is wanted after so many batches."""
        done = self._epoch * self.params["steps"] + batch + 1
        self.due = done % self.save_freq == 0  # the hook is called at each epoch's last batch too

    # ------------------------------------------------------------------ what `fit` calls
    def find(self) -> Backup | None:
        """Return the newest backup in the folder that can be read, or None if there is none.

        Raises
        ------
        FileFormatError
            If there is one, and none can be read.
        """
        self.backup_dir.mkdir(parents=True, exist_ok=True)  # now: should it fail, no epoch is lost
        found = newest(self.backup_dir)
        self._sound = found is not None and found.path.endswith(LATEST)
        return found

    def write(self, tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
        """Write a backup; at every moment the folder holds this one or the one before it, whole."""
        latest = self.backup_dir / LATEST
        if self.double_checkpoint and self._sound:  # a damaged one must not take the place of a sound one
            os.replace(latest, self.backup_dir / PREVIOUS)
            self._sound = False
        container.write(latest, tensors, {"kind": KIND, **metadata})
        self._sound, self.due = True, False

    def finished(self) -> None:
        """Delete the backups of a training that has ended, and the folder if that leaves it empty."""
        if not self.delete_checkpoint:
            return
        for name in (PREVIOUS, LATEST):  # in this order: killed in between, the newest is left
            (self.backup_dir / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the folder holds other files, or was never made
            self.backup_dir.rmdir()


def newest(folder: Path) -> Backup | None:
    """Return the newest backup in a folder that can be read, or None; a damaged one is told by a warning."""
    names = [folder / name for name in (LATEST, PREVIOUS)]
    paths = [path for path in names if path.exists()]
    for path in paths:
        try:
            return read_backup(path)
        except FileFormatError as error:
            if path == paths[-1]:
                raise
            warnings.warn(
                f"{error} The backup before it, {paths[paths.index(path) + 1].name}, is restored.",
                RuntimeWarning,
                stacklevel=2,
            )
    return None


def read_backup(path: str | os.PathLike[str]) -> Backup:
    """Read a backup.

    Parameters
    ----------
    path : str or PathLike
        Its file, or the folder that BackupAndRestore wrote it to.

    Raises
    ------
    FileNotFoundError
        If there is none.
    FileFormatError
        If it is damaged, or no backup.
    """
    if os.path.isdir(path):
        found = newest(Path(path))
        if found is None:
            raise FileNotFoundError(f"There is no backup of a training in the folder {os.fspath(path)!r}.")
        return found
    tensors, metadata = container.read(path)
    if metadata.get("kind") != KIND:
        raise FileFormatError(
            f"{os.fspath(path)!r} is no backup of a training, as BackupAndRestore writes it. To go on with a "
            "saved model, load it and pass `initial_epoch` to fit."
        )
    missing = {"version", "identity", "content"} - metadata.keys()
    if missing:
        raise FileFormatError(f"The backup {os.fspath(path)!r} lacks {sorted(missing)}.")
    return Backup(os.fspath(path), tensors, metadata)
