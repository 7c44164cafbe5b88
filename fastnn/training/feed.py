"""Blocks of rows: what a source is read into, in a thread beside the training."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from fastnn.errors import DataError, DtypeError, FastnnError
from fastnn.rows.bunch import Bunch
from fastnn.rows.prefetch import Prefetched
from fastnn.rows.stream import UNITS, Piece, Source, order_of
from fastnn.training.table import Table, read_inputs, read_table

#: A block has at most so many rows and bytes, but at least one batch.
BLOCK_ROWS, BLOCK_BYTES = 1 << 16, 32 << 20
#: Batches are checked together up to so many rows and bytes.
BUNCH_ROWS, BUNCH_BYTES = 4096, 4 << 20
#: One is filled, one waits, one is trained on.
BLOCKS = 3
#: Rows of an epoch whose end is not known yet.
MOST_ROWS = 1 << 40


class Block(NamedTuple):
    """Rows to be trained on, as the executor reads them.

    Attributes
    ----------
    arrays : list of ndarray
        Inputs, targets, weights; only the first `rows` rows are meant.
    rows : int
    batch_size : int
        Rows of a step; the block's last may have fewer.
    last : bool
        Whether the epoch ends here.
    """

    arrays: list[np.ndarray]
    rows: int
    batch_size: int
    last: bool


class StreamTable(Table):
    """The memory of a block, in the place of the rows that are not in memory."""

    def __init__(self, like: Table, capacity: int, source: Source):
        def room(tables: Iterable[Any]) -> list[Any]:
            return [None if t is None else np.empty((capacity, t.shape[1]), t.dtype) for t in tables]

        super().__init__(room(like.inputs), room(like.targets), room(like.weights), like.target_shapes)
        self.rows, self.source = MOST_ROWS, source

    def filled_with(self, arrays: list[np.ndarray]) -> Table:
        """Return a table of this form with other arrays, in the order of :meth:`arrays`."""
        given = iter(arrays)

        def take(tables: Iterable[Any]) -> list[Any]:
            return [None if table is None else next(given) for table in tables]

        return Table(take(self.inputs), take(self.targets), take(self.weights), self.target_shapes)


class Feed:
    """Reads a source in a thread, and hands its rows over in blocks.

    Rows of a source that is not batched are cut into batches as those of an array are: only an epoch's last
    may be shorter, wherever blocks and files end. The blocks' memory is allocated once.

    Parameters
    ----------
    model : Model
        Built, and compiled unless targets are not asked for.
    source : Source
    sample : Piece
        From the source: all others must have its dtypes.
    batch_size : int
        Of no meaning to a source of batches: there, of the first batch.
    shuffle : bool
    steps : int, optional
        An epoch ends after so many batches.
    class_weight : dict, optional
    where : str
        Put before the names in messages: ``'validation '``.
    targets : bool
        Whether targets are wanted.

    Attributes
    ----------
    table : StreamTable
        In the form of the blocks.
    batch_size : int
    rows, steps : int or None
        Of an epoch, where they are known.
    """

    def __init__(
        self,
        model: Any,
        source: Source,
        sample: Piece,
        batch_size: int,
        shuffle: bool = False,
        steps: int | None = None,
        class_weight: Any = None,
        where: str = "",
        targets: bool = True,
    ):
        self._model, self.source, self.shuffle = model, source, shuffle
        self._class_weight, self._where, self._targets = class_weight, where, targets
        like = self._read(sample)
        all_rows = source.rows
        known = source.batches
        if source.batched:
            self.batch_size = like.rows
        else:
            assert all_rows is not None
            self.batch_size = min(batch_size, all_rows)
            known = -(-all_rows // self.batch_size)
        self.steps = known if steps is None else min(steps, known or steps)
        self.rows = None
        if all_rows is not None and self.steps is not None:
            self.rows = min(all_rows, self.steps * self.batch_size)
        self._all_rows = all_rows
        tables = [StreamTable(like, self._capacity(like), source) for _ in range(BLOCKS)]
        self.table = tables[0]
        self._ring, self._next = [table.arrays() for table in tables], 0
        self._running: Prefetched | None = None
        self._of: tuple[int, int] | None = None
        self._epochs_left = 0

    def _capacity(self, like: Table) -> int:
        """Return the rows of a block: whole batches."""
        row_bytes = sum(table.shape[1] * table.dtype.itemsize for table in like.tables())
        rows = self.source.window or min(BLOCK_ROWS, BLOCK_BYTES // max(row_bytes, 1))
        batch = self.batch_size
        least = -(-rows // batch) if self.source.window else rows // batch
        if self._all_rows is not None:
            least = min(least, -(-self._all_rows // batch))
        return batch * max(1, least)

    def _read(self, piece: Piece) -> Table:
        """Check some rows."""
        where = f"{self._where}{piece.where}, " if piece.where else self._where
        if not self._targets:
            inputs = read_inputs(self._model, piece.x, f"{where}x")
            none: list[Any] = [None] * len(self._model.outputs)
            return Table(inputs, none, none, none)
        return read_table(self._model, piece.x, piece.y, piece.sample_weight, self._class_weight, where)

    # ------------------------------------------------------------------ the consumer's side
    def begin(self, seed: int = 0, epoch: int = 0, epochs: int = 1, early: bool = False) -> None:
        """Begin to read an epoch, unless that has been begun already.

        Parameters
        ----------
        seed, epoch : int
            What the order depends on.
        epochs : int, default 1
            So many are read, one after the other; each has to be begun.
        early : bool, default False
            Whether rows whose places are known are handed over before their block is full, if no other is
            ready.
        """
        if self._of != (seed, epoch):
            self.close()
            self._of, self._epochs_left = (seed, epoch), epochs
            self._running = Prefetched(self._blocks(seed, epoch, epochs, early), BLOCKS - 2)

    def take(self) -> Block:
        """Return the next block; the one before it is overwritten."""
        assert self._running is not None and self._of is not None
        block: Block | None = self._running.take()
        if block is None:
            raise DataError(f"{self._where}{self.source!r}: expected at least one batch. Received: none.")
        if block.last:
            self._epochs_left -= 1
            self._of = self._of[0], self._of[1] + 1
            if not self._epochs_left:
                self.close()
        return block

    def close(self) -> None:
        """End the thread."""
        running, self._running, self._of = self._running, None, None
        if running is not None:
            running.close()

    # ------------------------------------------------------------------ the thread's side
    def _blocks(self, seed: int, epoch: int, epochs: int, early: bool) -> Generator[Block, None, None]:
        for number in range(epoch, epoch + epochs):
            pieces, block = self.source.pieces(seed, number, self.shuffle), None
            for block in (
                self._of_batches(pieces)
                if self.source.batched
                else self._of_rows(pieces, seed, number, early)
            ):
                yield block
            if block is None:
                return

    def _of_rows(
        self, pieces: Iterator[Piece], seed: int, epoch: int, early: bool
    ) -> Generator[Block, None, None]:
        """Fill blocks to the last row; shuffled, a row is written where the block's order puts it."""
        assert self.rows is not None and self._all_rows is not None
        all_rows, batch = self._all_rows if self.shuffle else self.rows, self.batch_size
        start = filled = handed = size = 0
        order = None
        for piece in pieces:
            arrays = self._arrays(piece)
            at = 0
            while at < len(arrays[0]) and start < all_rows:
                if not filled:
                    block = self._memory()
                    size = min(len(block[0]), all_rows - start)
                    number = start // len(block[0])
                    order = order_of(size, seed, epoch, UNITS + 1 + number) if self.shuffle else None
                count = min(size - filled, len(arrays[0]) - at)
                rows = slice(filled, filled + count) if order is None else order[filled : filled + count]
                for room, array in zip(block, arrays, strict=True):
                    _put(room, rows, array[at : at + count])
                filled, at = filled + count, at + count
                if filled == size:
                    rows_wanted, last = min(size, self.rows - start), start + size >= self.rows
                    yield Block([room[handed:] for room in block], rows_wanted - handed, batch, last)
                    if last:
                        return
                    start, filled, handed = start + size, 0, 0
            ready = filled - filled % batch
            if early and order is None and ready > handed and self._nothing_ready():
                yield Block([room[handed:] for room in block], ready - handed, batch, False)
                handed = ready
        raise DataError(
            f"{self._where}{self.source!r} has changed: expected {self._all_rows} rows. Received: "
            f"{start + filled}."
        )

    def _of_batches(self, pieces: Iterator[Piece]) -> Generator[Block, None, None]:
        """Fill blocks with batches of equal size, as long as another block is ready."""
        block: list[np.ndarray] = []
        filled = size = 0
        try:
            for arrays, each, last in self._checked(pieces):
                count = len(arrays[0])
                if filled and (each != size or filled + count > len(block[0])):
                    yield Block(block, filled, size, False)
                    filled = 0
                if not filled:
                    block, size = self._memory(), each
                for room, array in zip(block, arrays, strict=True):
                    room[filled : filled + count] = array
                filled += count
                if last or self._nothing_ready():
                    yield Block(block, filled, size, last)
                    filled = 0
        except Exception:
            if filled:  # training gets as far as the batches were good
                yield Block(block, filled, size, False)
            raise

    def _checked(self, pieces: Iterator[Piece]) -> Iterator[tuple[list[np.ndarray], int, bool]]:
        """Check batches, as many of one form at once as are drawn before another block is needed.

        Yields their arrays, the rows of each, and whether they are the epoch's last.
        """
        row_bytes = sum(room[0].nbytes for room in self._ring[0])
        rows = min(BUNCH_ROWS, BUNCH_BYTES // max(row_bytes, 1), len(self._ring[0][0]))
        bunch = Bunch(max(rows, self.batch_size))
        try:
            for piece, last in self._with_last(pieces):
                added = bunch.add(piece)
                if not added and bunch.filled:
                    yield from self._bunch(bunch, False)
                    added = bunch.add(piece)
                if not added or bunch.size > self.batch_size:
                    bunch.clear()
                    arrays = self._arrays(piece)
                    yield arrays, len(arrays[0]), last
                elif last or bunch.full or self._nothing_ready():
                    yield from self._bunch(bunch, last)
        except Exception:
            if bunch.filled:
                yield from self._bunch(bunch, False)
            raise

    def _bunch(self, bunch: Bunch, last: bool) -> Iterator[tuple[list[np.ndarray], int, bool]]:
        """Check a bunch; if something is wrong, batch by batch, to name the one it is in."""
        size, left = bunch.size, bunch.filled
        try:
            whole = self._arrays(bunch.together(), size)
        except FastnnError:
            for piece in bunch.apart():
                left -= size
                yield self._arrays(piece), size, last and not left
        else:
            yield whole, size, last
        finally:
            bunch.clear()

    def _nothing_ready(self) -> bool:
        """Whether the consumer will find no block."""
        return self._running is None or self._running.empty

    def _with_last(self, pieces: Iterator[Piece]) -> Iterator[tuple[Piece, bool]]:
        """Tell which batch is the last; none is drawn from a generator that is not trained on."""
        if self.steps is None:
            piece = next(pieces, None)
            while piece is not None:
                piece = copy.deepcopy(piece)  # a generator may fill the same array again
                following = next(pieces, None)
                yield piece, following is None
                piece = following
            return
        number = 0
        for number, piece in enumerate(pieces, 1):
            yield piece, number == self.steps
            if number == self.steps:
                return
        raise DataError(
            f"{self._where}{self.source!r} ran out of batches: expected {self.steps} an epoch. Received: "
            f"{number} in this one. The weights are those after the last of them."
        )

    def _memory(self) -> list[np.ndarray]:
        """Return the memory of the block before last but one."""
        self._next = (self._next + 1) % BLOCKS
        return self._ring[self._next]

    def _arrays(self, piece: Piece, batch: int | None = None) -> list[np.ndarray]:
        """Return the checked arrays of some rows, which fit a block's; of batches of so many rows."""
        table = self._read(piece)
        if self.source.batched and (batch or table.rows) > self.batch_size:
            raise DataError(
                f"{self._where}{piece.where}: expected at most as many rows as the first batch, "
                f"{self.batch_size}. Received: {table.rows}."
            )
        if table.weighted != self.table.weighted:
            raise DataError(
                f"{self._where}{piece.where}: expected sample weights in all batches or in none. Received: "
                f"{'some' if any(table.weighted) else 'none'} here, unlike in the first."
            )
        found = [np.asarray(array) for array in table.tables()]
        for array, room in zip(found, self._ring[0], strict=True):
            if not np.can_cast(array.dtype, room.dtype, "safe"):
                raise DtypeError(
                    f"{self._where}{piece.where}: expected the dtypes of the first batch, {room.dtype}. "
                    f"Received: {array.dtype}."
                )
        return found


def _put(room: np.ndarray, rows: Any, array: np.ndarray) -> None:
    """Write rows where they belong; a row is moved as one item where it can be, in half the time."""
    if not isinstance(rows, slice) and array.dtype == room.dtype and array.flags.c_contiguous:
        row = np.dtype((np.void, room.shape[1] * room.itemsize))
        room, array = room.view(row), array.view(row)
    room[rows] = array
