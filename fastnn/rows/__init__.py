"""Rows put together from smaller tables when a batch is gathered: they take no memory of their own."""

from fastnn.rows.gathered import Gathered, chunks
from fastnn.rows.part import Part, check_index
from fastnn.rows.transform import transform_numbers, transformed
from fastnn.rows.windows import overlapping

__all__ = ["Gathered", "Part", "check_index", "chunks", "overlapping", "transform_numbers", "transformed"]
