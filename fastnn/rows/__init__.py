"""Rows put together from smaller tables when a batch is gathered, or read piece by piece."""

from fastnn.rows.batches import BatchSource, PyDataset, as_source
from fastnn.rows.gathered import Gathered, chunks
from fastnn.rows.part import Part, check_index
from fastnn.rows.stream import Piece, Source
from fastnn.rows.transform import transform_numbers, transformed
from fastnn.rows.windows import overlapping

__all__ = [
    "BatchSource",
    "Gathered",
    "Part",
    "Piece",
    "PyDataset",
    "Source",
    "as_source",
    "check_index",
    "chunks",
    "overlapping",
    "transform_numbers",
    "transformed",
]
