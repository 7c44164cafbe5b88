"""TensorBoard: a training's curves, distributions, graph and hyperparameters in the browser."""

from __future__ import annotations

import numbers
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastnn.callbacks.base import Callback
from fastnn.callbacks.event_file import (
    EventFile,
    cut_back,
    histogram,
    image,
    require_tensorboard,
    scalar,
    text,
    trial_begins,
    trial_ends,
    weight_pixels,
)
from fastnn.callbacks.model_text import description, graph_def, hyperparameters
from fastnn.errors import ArgumentError
from fastnn.serialization import check_bool, check_choice, check_integer

#: Sub-folders of the log folder, and so runs in TensorBoard; hyperparameters are in the folder itself.
TRAIN, VALIDATION, TRIAL = "train", "validation", ""
WEIGHT_COLOURS = "Blue is negative, white is zero, orange-red is positive; full colour is the largest."


class TensorBoard(Callback):
    """Writes event files that TensorBoard reads: ``tensorboard --logdir logs``.

    Give every training a folder of its own, ``logs/first``, ``logs/second``, and TensorBoard started on
    ``logs`` compares them.

    Parameters
    ----------
    log_dir : str or Path, default 'logs'
        Made if it is not there. Curves of training are in its sub-folder ``train``, those of validation in
        ``validation``.
    histogram_freq : int, default 0
        Every so many epochs (0: never), beginning with the first, the distributions of every variable
        (``<layer>/<variable>/histogram``) and of every gradient (``<layer>/<variable>/gradient/histogram``;
        of the epoch's last step, as the optimizer used it, so after clipping).
    write_graph : bool, default True
        The ops of the model, in a scope for each layer.
    write_images : bool, default False
        Every variable as an image, at the epochs of `histogram_freq`, or every epoch where that is 0.
    write_steps_per_second : bool, default False
        ``epoch_steps_per_second``, and with `update_freq` also ``batch_steps_per_second``.
    update_freq : 'epoch', 'batch' or int, default 'epoch'
        With ``'batch'`` (the same as 1) or a number, also ``batch_loss`` and so on after every so many
        batches and each epoch's last: the epoch's means so far. Each costs a call of Python.
    profile_batch : {0}
        There is no profile to write.
    embeddings_freq : {0}
        The embedding projector is not served.
    embeddings_metadata : {None}
    hparams : dict of str to number, bool or str, optional
        Hyperparameters to be listed beside those of model and optimizer.

    Raises
    ------
    ArgumentError
        If an argument is not of these.
    MissingExtraError
        If tensorboard is not installed: ``pip install 'fastnn[tensorboard]'``.

    Notes
    -----
    Scalars are ``epoch_loss``, ``epoch_<metric>`` and ``epoch_learning_rate``, against the epoch counted from
    0, as Keras writes them; its ``evaluation_..._vs_iterations``, the same values as in ``validation``, are
    not written. Everything is in TensorBoard's present format (tensors), which its readers offer as
    ``Tensors``. Files are flushed after every epoch.

    A training that is resumed goes on where its backup was taken: the rows written since are cut off its
    files. Every file begins with TensorBoard's mark of a restarted run (``purge_step``), so that of a fit
    that begins at an earlier epoch than the last one ended (``initial_epoch``), or anew in the same folder,
    TensorBoard shows the later rows only.

    The files are written by TensorBoard's own record writer and messages, not by tensorboardX: who looks at
    logs has TensorBoard installed. Importing what is needed takes 0.1 s, where tensorboardX takes 1 s.

    Examples
    --------
    >>> import tempfile
    >>> from fastnn.callbacks import TensorBoard
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     board = TensorBoard(folder, histogram_freq=1)
    ...     history = model.fit([[0.0, 1.0], [1.0, 1.0]], [1.0, 2.0], verbose=0, callbacks=[board])
    ...     sorted(path.name for path in Path(folder).iterdir() if path.is_dir())
    ['train']
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
        *,
        hparams: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        where = type(self).__name__
        self.log_dir = _check_folder(log_dir)
        self.histogram_freq = check_integer("histogram_freq", histogram_freq, where, 0)
        self.write_graph = check_bool("write_graph", write_graph, where)
        self.write_images = check_bool("write_images", write_images, where)
        self.write_steps_per_second = check_bool("write_steps_per_second", write_steps_per_second, where)
        self.update_freq = _check_update_freq(update_freq)
        for name, value in (
            ("profile_batch", profile_batch),
            ("embeddings_freq", embeddings_freq),
            ("embeddings_metadata", embeddings_metadata),
        ):
            if value:
                raise ArgumentError(
                    f"`{name}` of {where} is not implemented, expected its default. Received: {value!r}."
                )
        self.hparams = _check_hparams(hparams)
        require_tensorboard()
        self._files: dict[str, EventFile] = {}
        self._forget()
        if self.update_freq != "epoch":  # only then is there a hook: having one costs a call each time
            self.batch_interval = self.update_freq
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]

    def _forget(self) -> None:
        self._run = f"{time.time_ns():x}"  # in the names of this training's files
        self._sizes: dict[str, dict[str, int]] = {}  # bytes of its files, by folder and name
        self._purge_step = 0
        self._described = False
        self._epoch = 0  # epochs that have ended: the number of the one under way
        self._batches = 0  # the step of the last row of batches
        self._time = self._batch_time = time.perf_counter()
        self._iterations = 0  # steps before the epoch

    # ------------------------------------------------------------------ hooks
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Begin a new run, unless :meth:`load_state_dict` follows."""
        self._close()
        self._forget()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Before the first epoch, write what does not change: graph, summary, hyperparameters."""
        self._epoch = epoch
        if not self._described:
            self._purge_step = self._first_row(epoch) if epoch else 0
            self._describe()
        self._time = self._batch_time = time.perf_counter()
        self._iterations = self.model.iterations

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write an epoch's scalars, and distributions and images where they are due."""
        values = dict(logs or {})
        optimizer = self.model.optimizer
        values.setdefault("learning_rate", optimizer.learning_rate_at(self.model.iterations))
        if self.write_steps_per_second:
            steps = self.model.iterations - self._iterations
            values["steps_per_second"] = steps / max(time.perf_counter() - self._time, 1e-9)
        train = [scalar(f"epoch_{k}", v) for k, v in values.items() if not k.startswith("val_")]
        validation = [scalar(f"epoch_{k[4:]}", v) for k, v in values.items() if k.startswith("val_")]
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            train += self._distributions()
        if self.write_images and epoch % (self.histogram_freq or 1) == 0:
            train += self._images()
        self._file(TRAIN).write(epoch, train)
        if validation:
            self._file(VALIDATION).write(epoch, validation)
        self._flush()
        self._epoch = epoch + 1

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the files; a training that was not cut short is marked as finished."""
        if self._described and (self._epoch == self.params["epochs"] or self.model.stop_training):
            self._file(TRIAL).write(0, [trial_ends()])
        self._close()

    def _after_batch(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        steps = self.params["steps"]
        values = dict(logs or {})
        step = self._epoch * steps + batch + 1
        if self.write_steps_per_second:
            now = time.perf_counter()
            since = max(self._batches, self._epoch * steps)
            values["steps_per_second"] = (step - since) / max(now - self._batch_time, 1e-9)
            self._batch_time = now
        self._file(TRAIN).write(step, [scalar(f"batch_{key}", value) for key, value in values.items()])
        self._batches = step

    # ------------------------------------------------------------------ what is written
    def _describe(self) -> None:
        """Write graph, text and hyperparameters, unless an earlier part of the run has done so."""
        self._described = True
        if self._epoch and any(Path(self.log_dir, TRAIN).glob("*tfevents*")):
            return
        chosen = {**hyperparameters(self.model, self.params), **self.hparams}
        train = self._file(TRAIN)
        if self.write_graph:
            train.add(graph_def=graph_def(self.model).SerializeToString())
        train.write(0, [text("model", description(self.model, chosen))])
        self._file(TRIAL).write(0, [trial_begins(chosen)])
        self._flush()

    def _distributions(self) -> list[Any]:
        weights = [histogram(f"{v.path}/histogram", v.view()) for v in self.model.variables]
        gradients = self.model.gradients()
        return weights + [histogram(f"{path}/gradient/histogram", g) for path, g in gradients.items()]

    def _images(self) -> list[Any]:
        return [
            image(f"{variable.path}/image", weight_pixels(variable.view()), WEIGHT_COLOURS)
            for variable in self.model.variables
        ]

    # ------------------------------------------------------------------ files
    def _file(self, folder: str) -> EventFile:
        if folder not in self._files:
            self._files[folder] = EventFile(Path(self.log_dir, folder), self._run, self._purge_step)
        return self._files[folder]

    def _first_row(self, epoch: int) -> int:
        """Return the first step to be written from `epoch` on; batches count faster than epochs."""
        return epoch if self.update_freq == "epoch" else max(self._batches, epoch * self.params["steps"]) + 1

    def _flush(self) -> None:
        for folder, file in self._files.items():
            self._sizes.setdefault(folder, {})[file.path.name] = file.flush()

    def _close(self) -> None:
        files, self._files = self._files, {}
        for file in files.values():
            file.close()

    # ------------------------------------------------------------------ resuming
    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs to go on in the same run: the sizes of its files."""
        self._flush()
        return {
            "run": self._run,
            "sizes": {folder: dict(sizes) for folder, sizes in self._sizes.items()},
            "described": self._described,
            "batches": self._batches,
            "epoch": self._epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cut the run's files back to what they held when `state` was taken, and go on with it.

        Raises
        ------
        ArgumentError
            If it is not what :meth:`state_dict` returned; nothing is changed then.
        """
        where = f"state of {type(self).__name__}"
        self._check_state(state, self.state_dict())
        if not re.fullmatch("[0-9a-f]{1,20}", str(state["run"])):
            raise ArgumentError(
                f"`run` of the {where} must be a hexadecimal number. Received: {state['run']!r}."
            )
        sizes = {
            folder: {name: check_integer(name, size, where, 0) for name, size in files.items()}
            for folder, files in state["sizes"].items()
        }
        counts = [check_integer(key, state[key], where, 0) for key in ("epoch", "batches")]
        self._close()
        self._run, self._sizes, self._described = str(state["run"]), sizes, bool(state["described"])
        self._epoch, self._batches = counts
        self._purge_step = max(self._first_row(self._epoch), 1)  # what describes the model is at step 0
        for folder in (TRIAL, TRAIN, VALIDATION):
            cut_back(Path(self.log_dir, folder), self._run, sizes.get(folder, {}))


def _check_folder(log_dir: Any) -> str:
    if not isinstance(log_dir, (str, os.PathLike)) or not os.fspath(log_dir):
        raise ArgumentError(f"`log_dir` of TensorBoard must be the path of a folder. Received: {log_dir!r}.")
    path = Path(log_dir)
    if path.exists() and not path.is_dir():
        raise ArgumentError(f"`log_dir` of TensorBoard must be a folder. Received: {str(path)!r}, a file.")
    return str(path)


def _check_update_freq(value: Any) -> Any:
    """Return 'epoch', or every how many batches."""
    if isinstance(value, str):
        check_choice("update_freq", value, "TensorBoard", ("epoch", "batch"))
        return 1 if value == "batch" else value
    return check_integer("update_freq", value, "TensorBoard", 1)


def _check_hparams(given: Any) -> dict[str, float | bool | str]:
    found: dict[str, float | bool | str] = {}
    for name, value in ({} if given is None else dict(given)).items():
        if isinstance(value, numbers.Real) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(name, str) or not isinstance(value, (bool, float, str)):
            raise ArgumentError(
                "`hparams` of TensorBoard must map names to numbers, booleans or strings. "
                f"Received: {name!r}: {value!r}."
            )
        found[name] = value
    return found
