"""Tables: reading files, turning columns into arrays, splitting rows. pandas is imported when used."""

import importlib
from typing import Any

from fastnn.data.columns import Column
from fastnn.data.files import FileSource
from fastnn.data.read import read_table
from fastnn.data.sources import ArraySource
from fastnn.data.split import holdout_split
from fastnn.data.table import InputField, TableSchema
from fastnn.data.target import TargetSchema
from fastnn.data.timesplit import WalkForward, time_split
from fastnn.errors import missing_extra
from fastnn.rows import BatchSource, Gathered, Part, PyDataset, Source

_TRANSFORMERS = ("Standardizer", "Winsorizer")

__all__ = [
    "ArraySource",
    "BatchSource",
    "Column",
    "FileSource",
    "Gathered",
    "InputField",
    "Part",
    "PyDataset",
    "Source",
    "Standardizer",
    "TableSchema",
    "TargetSchema",
    "WalkForward",
    "Winsorizer",
    "holdout_split",
    "read_table",
    "time_split",
]


def __getattr__(name: str) -> Any:
    if name not in _TRANSFORMERS:
        raise AttributeError(f"module 'fastnn.data' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module("fastnn.data.transformers"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "sklearn":
            raise
        raise missing_extra("scikit-learn", "table", f"fastnn.data.{name}") from None


def __dir__() -> list[str]:
    return sorted(__all__)
