"""Tables: reading files, turning columns into arrays, splitting rows. pandas is imported when used."""

from fastnn.data.columns import Column
from fastnn.data.read import read_table
from fastnn.data.split import holdout_split
from fastnn.data.table import InputField, TableSchema
from fastnn.data.target import TargetSchema
from fastnn.rows import Gathered, Part

__all__ = [
    "Column",
    "Gathered",
    "InputField",
    "Part",
    "TableSchema",
    "TargetSchema",
    "holdout_split",
    "read_table",
]
