"""What training knows of data that are read piece by piece: sources, their pieces, their order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fastnn.errors import DataError
from fastnn.random import generator, permutation
from fastnn.serialization import check_integer

#: Tag of the seeds of a stream's orders.
ORDER_STREAM = 0x5F5F0003
#: Number of the order of the units; that of block number n is n + 1.
UNITS = 0
#: A source hands its rows over in pieces of at most so many.
PIECE_ROWS = 1 << 16


class Piece(NamedTuple):
    """Some rows, in the forms that ``fit`` takes.

    Attributes
    ----------
    x, y, sample_weight
        Of these rows; None where there are none.
    where : str
        Where they come from, for messages: ``'batch 3'``.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    where: str = ""


def order_of(count: int, seed: int, epoch: int, number: int) -> np.ndarray:
    """Return one of an epoch's orders of `count` things, a function of (seed, epoch, number).

    Examples
    --------
    >>> from fastnn.rows.stream import order_of
    >>> sorted(order_of(4, seed=1, epoch=0, number=2).tolist())
    [0, 1, 2, 3]
    """
    own = int(generator(seed, ORDER_STREAM, number).integers(2**63))
    return permutation(count, own, epoch)


class Source:
    """Rows that are read piece by piece: what ``fit``, ``evaluate`` and ``predict`` take for an array.

    A source is a number of units (a file's row groups, say), which can be read in any order. A class that
    derives from this one defines :meth:`units` and :meth:`read`.

    Parameters
    ----------
    window : int, optional
        With ``shuffle=True`` rows are mixed with so many others: units come in a random order, and each
        block of `window` rows is shuffled. It is also what is held in memory at a time: three blocks. By
        default 65,536 rows, or what takes 32 MiB.

    Attributes
    ----------
    batched : bool
        Whether each unit is a batch, whose rows are one step.
    once : bool
        Whether it can be gone through once only, as a generator.
    reads_ahead : bool
        Whether an epoch may be begun to be read before training has ended the one before.
    """

    batched = False
    once = False
    reads_ahead = True

    def __init__(self, window: int | None = None):
        where = type(self).__name__
        self.window = None if window is None else check_integer("window", window, where, 1)

    # ------------------------------------------------------------------ to be defined
    def units(self) -> list[int] | None:
        """Return the rows of each unit; None if even their number is not known."""
        raise NotImplementedError(f"{type(self).__name__} must define units()")

    def read(self, unit: int) -> Iterator[Piece]:
        """Go through the rows of a unit, in pieces of at most 65,536 rows; of a batch, in one piece."""
        raise NotImplementedError(f"{type(self).__name__} must define read()")

    def fingerprint(self) -> Any:
        """Return what the data are known by in a training's certificate, as plain data.

        It is called in a thread of its own, while another reads.
        """
        return f"not hashed: a {type(self).__name__}"

    # ------------------------------------------------------------------ what training calls
    @property
    def rows(self) -> int | None:
        """Rows in all, if they are known before they are read."""
        units = None if self.batched else self.units()
        return None if units is None else sum(units)

    @property
    def batches(self) -> int | None:
        """Batches in all, if each unit is one and their number is known."""
        units = self.units() if self.batched else None
        return None if units is None else len(units)

    def sample(self) -> Piece:
        """Return some rows, which will come again."""
        pieces = self.pieces(0, 0, False)
        found = next(pieces, None)
        pieces.close()
        if found is None:
            raise DataError(f"{self!r}: expected at least one row. Received: none.")
        return found

    def pieces(self, seed: int, epoch: int, shuffle: bool) -> Any:
        """Go through an epoch: a generator of pieces, in an order that (seed, epoch) fix."""
        for unit in self._order(seed, epoch, shuffle):
            yield from self.read(unit)

    def _order(self, seed: int, epoch: int, shuffle: bool) -> Iterator[int]:
        """Return the order of the units in an epoch."""
        units = self.units()
        assert units is not None
        count = len(units)
        return map(int, order_of(count, seed, epoch, UNITS)) if shuffle else iter(range(count))

    def epoch_ended(self) -> None:
        """Hear that training has ended an epoch."""
