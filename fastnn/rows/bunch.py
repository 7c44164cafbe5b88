"""Batches of one form put together, to be checked at once: alone, each would cost more than a small step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.rows.stream import Piece


class Bunch:
    """Batches of equally many rows, and of the same dtypes and shapes, copied one after the other.

    Parameters
    ----------
    rows : int
        So many may be held.

    Attributes
    ----------
    size : int
        Rows of each batch.
    filled : int
        Rows in all.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.rows import Piece
    >>> from fastnn.rows.bunch import Bunch
    >>> bunch = Bunch(4)
    >>> [bunch.add(Piece(np.full((2, 1), number), where=f"batch {number}")) for number in range(3)]
    [True, True, False]
    >>> bunch.together().x.ravel().tolist(), [piece.where for piece in bunch.apart()]
    ([0, 0, 1, 1], ['batch 0', 'batch 1'])
    """

    def __init__(self, rows: int):
        self._rows = rows
        self._form: Any = None
        self._room: list[np.ndarray | None] = []
        self._where: list[str] = []
        self.size = self.filled = 0

    @property
    def full(self) -> bool:
        """Whether there is no room for one more batch."""
        return self.filled + self.size > self._rows

    def add(self, piece: Piece) -> bool:
        """Copy a batch; False if it is not of arrays, of another form than those held, or too large."""
        given = piece[:3]
        form = tuple((a.dtype, a.shape) if type(a) is np.ndarray else None for a in given)
        if form != self._form or not self.filled:
            size = self._size(given)
            if self.filled or not size or size > self._rows:
                return False
            if form != self._form:
                self._room = [
                    None if a is None else np.empty((self._rows, *a.shape[1:]), a.dtype) for a in given
                ]
            self._form, self.size = form, size
        elif self.full:
            return False
        for room, array in zip(self._room, given, strict=True):
            if room is not None:
                room[self.filled : self.filled + self.size] = array
        self._where.append(piece.where)
        self.filled += self.size
        return True

    @staticmethod
    def _size(given: tuple[Any, ...]) -> int:
        """Return the rows of a batch; 0 if it cannot be put with others."""
        if any(
            a is not None and (type(a) is not np.ndarray or not a.ndim or a.dtype.hasobject) for a in given
        ):
            return 0
        rows = {len(a) for a in given if a is not None}
        return rows.pop() if len(rows) == 1 else 0

    def _piece(self, rows: slice, where: str) -> Piece:
        x, y, weight = (None if room is None else room[rows] for room in self._room)
        return Piece(x, y, weight, where)

    def together(self) -> Piece:
        """Return all rows; no copy."""
        return self._piece(slice(self.filled), self._where[0])

    def apart(self) -> Iterator[Piece]:
        """Return the batches one by one; no copies."""
        for number, where in enumerate(self._where):
            yield self._piece(slice(number * self.size, (number + 1) * self.size), where)

    def clear(self) -> None:
        """Let the batches go."""
        self._where, self.filled = [], 0
