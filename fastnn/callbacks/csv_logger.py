"""A row an epoch in a file of comma-separated values."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Mapping
from typing import Any, TextIO

import numpy as np

from fastnn.callbacks.base import Callback
from fastnn.errors import ArgumentError
from fastnn.serialization import check_bool


class CSVLogger(Callback):
    """Write each epoch's values to a CSV file.

    The columns are ``epoch`` (from 0) and the first epoch's keys, sorted; without validation in the first
    epoch there are columns of ``'val_'`` keys too, filled with ``NA``, as Keras writes them. Every row is
    handed to the system when its epoch ends. A resumed training continues the file: rows of epochs that are
    run again are cut off.

    Parameters
    ----------
    filename : str or path
    separator : str, default ','
        One character.
    append : bool, default False
        Keep the rows of an existing file; the header is written only if it is empty.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    OSError
        If the file cannot be written, before training begins.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from fastnn.callbacks import CSVLogger
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "log.csv")
    ...     _ = model.fit([0.0], [1.0], epochs=1, verbose=0, callbacks=[CSVLogger(file)])
    ...     print(file.read_text())
    epoch,loss,val_loss
    0,1.0,NA
    <BLANKLINE>
    """

    def __init__(self, filename: str | os.PathLike, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        if not (isinstance(separator, str) and len(separator) == 1):
            raise ArgumentError(f"`separator` of CSVLogger must be one character. Received: {separator!r}.")
        self.sep = separator
        self.append = check_bool("append", append, "CSVLogger")
        self.keys: list[str] | None = None
        self._position = 0  # bytes of the file that are to stay
        self._file: TextIO | None = None
        self._writer: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Make sure that the file can be written; what it holds stays until the first row."""
        self._close()
        with open(self.filename, "ab") as file:
            self._position = file.tell() if self.append else 0
        self.keys = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a row."""
        logs = logs or {}
        if self.keys is None:
            keys = sorted(logs)
            has_validation = any(key.startswith("val_") for key in keys)
            self.keys = keys if has_validation else keys + [f"val_{key}" for key in keys]
        if self._file is None:
            self._open(self.keys)
        assert self._file is not None
        self._writer.writerow([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])
        self._file.flush()
        self._position = self._file.tell()

    def _open(self, keys: list[str]) -> None:
        file = self._file = open(self.filename, "r+", newline="", encoding="utf-8")  # noqa: SIM115
        file.truncate(self._position)
        file.seek(self._position)
        self._writer = csv.writer(file, delimiter=self.sep)
        if not self._position:
            self._writer.writerow(["epoch", *keys])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the file."""
        if self._file is None and os.path.exists(self.filename):  # no epoch has ended
            os.truncate(self.filename, self._position)
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._writer = None

    def state_dict(self) -> dict[str, Any]:
        """Return the columns, and how much of the file has been written."""
        return {"keys": self.keys, "position": self._position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the file behind the rows there were; the next row takes the place of later ones."""
        self._check_state(state, ("keys", "position"))
        size = os.path.getsize(self.filename)
        if size < state["position"]:
            warnings.warn(
                f"CSVLogger: {self.filename!r} has lost rows of the training that is resumed: expected "
                f"{state['position']} bytes. Received: {size}. Further rows are appended.",
                UserWarning,
                stacklevel=2,
            )
        self._close()
        self.keys, self._position = state["keys"], min(size, state["position"])


def _cell(value: Any) -> Any:
    """Write an array or a list in one cell, as Keras does."""
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim):
        return f'"[{", ".join(map(str, value))}]"'
    return value
