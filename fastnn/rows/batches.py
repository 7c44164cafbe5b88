"""Batches made by the user's own code: Keras' PyDataset, generators, and anything that can be iterated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastnn.errors import ArgumentError, DataError
from fastnn.rows.stream import Piece, Source
from fastnn.serialization import check_integer

#: What tells that something is an array, or would become one.
_ARRAY_LIKE = ("__array__", "__array_interface__", "__dlpack__", "iloc", "shape", "toarray", "to_numpy")


class PyDataset:
    """Batches by number, as in Keras: derive from it, and define ``__len__`` and ``__getitem__``.

    Parameters
    ----------
    workers : int, default 1
        Only 1 is implemented: batches are made one after the other, in a thread beside the training.
    use_multiprocessing : bool, default False
        Only False is implemented.
    max_queue_size : int, default 10
        Taken for Keras' sake: batches are collected to blocks of a bounded size, three of which are held.

    Notes
    -----
    ``dataset[i]`` is ``(x, y)`` or ``(x, y, sample_weight)`` of batch number `i`, for ``predict`` also
    ``(x,)`` or `x`. With ``shuffle=True`` batches come in a new order each epoch. ``on_epoch_end`` is called
    when training has ended an epoch and before the next one's first batch is made.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import PyDataset
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> class Lines(PyDataset):
    ...     def __len__(self):
    ...         return 4
    ...     def __getitem__(self, index):
    ...         x = np.linspace(index, index + 1, 8)
    ...         return x, 2 * x
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=1)
    >>> model.compile("adam", "mse")
    >>> model.fit(Lines(), epochs=2, verbose=0).epoch
    [0, 1]
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10):
        where = type(self).__name__
        if check_integer("workers", workers, where, 0) > 1 or use_multiprocessing:
            raise ArgumentError(
                f"{where}: expected workers=1 and use_multiprocessing=False; batches are made in one thread. "
                f"Received: workers={workers!r}, use_multiprocessing={use_multiprocessing!r}."
            )
        self.workers, self.use_multiprocessing = workers, False
        self.max_queue_size = check_integer("max_queue_size", max_queue_size, where, 0)

    @property
    def num_batches(self) -> int | None:
        """Number of batches; None if there is no end."""
        return len(self)

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__")

    def on_epoch_begin(self) -> None:
        """Hear that an epoch begins."""

    def on_epoch_end(self) -> None:
        """Hear that an epoch has ended."""


class DatasetSource(Source):
    """The batches of a PyDataset, Keras' or ours."""

    batched, reads_ahead = True, False

    def __init__(self, dataset: Any):
        super().__init__()
        self._dataset = dataset

    def __repr__(self) -> str:
        return type(self._dataset).__name__

    def units(self) -> list[int] | None:
        """Return a 1 for each batch: how many rows it has is not known."""
        number = getattr(self._dataset, "num_batches", None) or len(self._dataset)
        if number == math.inf:
            raise ArgumentError(f"{self!r}: an endless dataset is not implemented; give it a length.")
        return [1] * int(number)

    def read(self, unit: int) -> Iterator[Piece]:
        """Return one batch."""
        yield piece_of(self._dataset[unit], f"batch {unit}")

    def pieces(self, seed: int, epoch: int, shuffle: bool) -> Any:
        """Go through an epoch."""
        begin = getattr(self._dataset, "on_epoch_begin", None)
        if begin is not None:
            begin()
        yield from super().pieces(seed, epoch, shuffle)

    def sample(self) -> Piece:
        """Return the first batch."""
        if not self.units():
            raise DataError(f"{self!r}: expected at least one batch. Received: none.")
        return next(self.read(0))

    def epoch_ended(self) -> None:
        """Tell the dataset."""
        end = getattr(self._dataset, "on_epoch_end", None)
        if end is not None:
            end()


class BatchSource(Source):
    """The batches of something that can be iterated: a generator, a list of batches, a DataLoader.

    ``fit``, ``evaluate`` and ``predict`` make one of whatever is iterable and no array; only a list of
    batches has to be wrapped, as lists are arrays to them.

    Parameters
    ----------
    batches : iterable
        Of ``(x, y)`` or ``(x, y, sample_weight)``, for ``predict`` also of ``(x,)`` or `x`. What is iterated
        anew each epoch if it can be; a generator goes on, epoch after epoch.

    Examples
    --------
    >>> from fastnn.data import BatchSource
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> batches = BatchSource([([[0.0]], [1.0]), ([[1.0]], [3.0])])
    >>> model.evaluate(batches)
    5.0
    """

    batched, reads_ahead = True, False

    def __init__(self, batches: Any):
        super().__init__()
        if not hasattr(batches, "__iter__"):
            raise ArgumentError(
                f"BatchSource needs something to iterate over. Received: {type(batches).__name__}."
            )
        self._batches = batches
        self.once = isinstance(batches, Iterator)
        self._again: list[Any] = []
        self._drawn = 0

    def __repr__(self) -> str:
        return f"the {type(self._batches).__name__}"

    def units(self) -> list[int] | None:
        """Return a 1 for each batch, if their number is known."""
        try:
            return [1] * len(self._batches)
        except TypeError:
            return None

    def sample(self) -> Piece:
        """Return the first batch; a generator's is kept."""
        if not self.once:
            return super().sample()
        if not self._again:
            try:
                self._again.append(next(self._batches))
            except StopIteration:
                raise DataError(f"{self!r}: expected at least one batch. Received: none.") from None
        return piece_of(self._again[0], f"batch {self._drawn}")

    def pieces(self, seed: int, epoch: int, shuffle: bool) -> Any:
        """Go through an epoch, in the order of the iterable."""
        if not self.once:
            for number, batch in enumerate(self._batches):
                yield piece_of(batch, f"batch {number}")
            return
        while True:
            if self._again:
                batch = self._again.pop()
            else:
                try:
                    batch = next(self._batches)
                except StopIteration:
                    return
            number, self._drawn = self._drawn, self._drawn + 1
            yield piece_of(batch, f"batch {number}")


def piece_of(batch: Any, where: str) -> Piece:
    """Return a batch as a piece; as in Keras a list is a tuple, and what is neither is `x`."""
    if not isinstance(batch, (tuple, list)):
        return Piece(batch, where=where)
    if not 1 <= len(batch) <= 3:
        raise ArgumentError(
            f"{where}: expected (x, y) or (x, y, sample_weight). Received: {len(batch)} items."
        )
    x, y, sample_weight = [*batch, None, None][:3]
    return Piece(x, y, sample_weight, where)


def as_source(x: Any) -> Source | None:
    """Return data as a source if they are to be read piece by piece, or None if they are arrays.

    Examples
    --------
    >>> from fastnn.rows.batches import as_source
    >>> as_source([[1.0], [2.0]]) is None
    True
    >>> as_source(([row] for row in [1.0, 2.0]))
    the generator
    """
    if isinstance(x, Source):
        return x
    if isinstance(x, PyDataset) or all(hasattr(x, name) for name in ("on_epoch_end", "__getitem__")):
        return DatasetSource(x)
    if isinstance(x, Iterator):
        return BatchSource(x)
    if isinstance(x, (Sequence, Mapping)) or any(hasattr(x, name) for name in _ARRAY_LIKE):
        return None
    return BatchSource(x) if hasattr(x, "__iter__") else None
