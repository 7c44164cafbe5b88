"""Views of overlapping windows, and the numbers that they share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided


class Line(NamedTuple):
    """The numbers that a view of overlapping windows consists of.

    Attributes
    ----------
    numbers : ndarray, one axis
        A view.
    first, step : int
        Window r takes the numbers from ``first + r * step`` on.
    """

    numbers: np.ndarray
    first: int
    step: int

    def copied(self) -> Line:
        """Return the line in memory of its own."""
        return self._replace(numbers=self.numbers.copy())


def overlapping(array: np.ndarray) -> Line | None:
    """Return the numbers under a view of windows, shape (n, width); None if its rows do not overlap."""
    (n, width), (row, column) = array.shape, array.strides
    if n < 2 or width < 2 or not column or row % column or not 0 < abs(row) < width * abs(column):
        return None
    lowest = array[n - 1 if row < 0 else 0 :, width - 1 if column < 0 else 0 :]
    step = row // abs(column)
    count = (n - 1) * abs(step) + width
    line = as_strided(lowest, (count,), (abs(column),), writeable=False)
    return Line(line, (n - 1) * abs(step) if step < 0 else 0, step)


def windows(line: Line, shape: tuple[int, int], backwards: bool) -> np.ndarray:
    """Return the view that :func:`overlapping` took apart; `backwards`: windows are read from their end."""
    stride = line.numbers.strides[0]
    start = line.numbers[line.first + (shape[1] - 1 if backwards else 0) :]
    return as_strided(start, shape, (line.step * stride, -stride if backwards else stride), writeable=False)
