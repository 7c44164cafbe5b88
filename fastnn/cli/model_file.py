"""A network of ``fastnn fit`` and what it knows of its table, in one file."""

from __future__ import annotations

import argparse
import dataclasses
import errno
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.cli.tabular import Rows
from fastnn.data import TableSchema, TargetSchema
from fastnn.errors import ArgumentError, FileFormatError
from fastnn.models import Model, load_model

SUFFIX = ".fastnn"
#: Version of the plain data that files keep beside the network.
FORMAT = 1


@dataclasses.dataclass
class SavedNetwork:
    """A network that was read, with its table's columns.

    Attributes
    ----------
    model : Model
    schema : TableSchema
    target : TargetSchema
    missing : list of str
        Texts that meant: no value.
    source : str
        The table it was trained on.
    rows : int
        Rows trained on.
    """

    model: Model
    schema: TableSchema
    target: TargetSchema
    missing: list[str]
    source: str
    rows: int

    def predict(self, frame: Any, threads: int | None = None) -> NDArray[Any]:
        """Return probabilities of the classes, shape (rows, classes), or numbers in the target's unit."""
        values = self.model.predict(self.schema.transform(frame), threads=threads)
        return in_own_terms(values, self.target)


def in_own_terms(values: NDArray[Any], target: TargetSchema) -> NDArray[Any]:
    """Turn a network's output into a probability for each class, or numbers in the target's own unit.

    Parameters
    ----------
    values : ndarray of shape (rows, units)
    target : TargetSchema

    Returns
    -------
    ndarray of shape (rows, classes) or (rows,)
    """
    if target.task == "regression":
        return values.reshape(-1).astype(np.float64) * target.scale + target.center
    return np.hstack([1.0 - values, values]) if target.task == "binary" else values


def check_path(path: str) -> None:
    """Raise now, before a training, if a file of this name cannot be written.

    Raises
    ------
    ArgumentError
        If the suffix is another.
    OSError
        If there is no such folder, or the name is a folder's.
    """
    if not path.lower().endswith(SUFFIX):
        raise ArgumentError(f"The file for the network must be named *{SUFFIX}. Received: {path!r}.")
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "No such folder", folder)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), folder)


def save(model: Model, rows: Rows, args: argparse.Namespace) -> None:
    """Write the network and its table's columns."""
    model.schema = {
        "format": FORMAT,
        "columns": rows.schema.to_dict(),
        "target": rows.target.to_dict(),
        "missing": list(args.missing),
        "source": str(args.table or "a table of scikit-learn"),
        "rows": rows.train,
    }
    model.save(args.save)


def read(path: str) -> SavedNetwork:
    """Read what :func:`save` wrote.

    Raises
    ------
    FileFormatError
        If the file is damaged, or what it says of columns cannot be used.
    ArgumentError
        If it holds a network that was not saved by ``fastnn fit``.
    """
    model = load_model(path)
    data = model.schema
    if data is None:
        raise ArgumentError(
            f"File {path!r} holds a network without a table's columns, which 'fastnn fit --save' writes: "
            "use fastnn.load_model and predict in Python."
        )
    try:
        if data["format"] != FORMAT:
            raise FileFormatError(f"expected format {FORMAT}, received {data['format']!r}")
        found = SavedNetwork(
            model, TableSchema.from_dict(data["columns"]), TargetSchema.from_dict(data["target"]),
            [str(text) for text in data["missing"]], str(data["source"]), int(data["rows"]),
        )  # fmt: skip
        widths = [field.width for field in found.schema.inputs]
        if widths != [symbol.spec.size for symbol in model.inputs]:
            raise FileFormatError(f"the columns make {widths} inputs, which are not the network's")
        return found
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"File {path!r}: the columns of its table cannot be used: {error}.") from error
