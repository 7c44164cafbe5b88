"""Data larger than memory: what ``fit``, ``evaluate`` and ``predict`` can read piece by piece.

===================================  =================================  =====================================
What                                 How it is given                    Order with ``shuffle=True``
===================================  =================================  =====================================
``numpy.memmap``                     as any array                       every row anywhere, as for an array
arrays and memmaps                   ``ArraySource(x, y)``              runs of 4,096 rows, then blocks
Parquet, Arrow, Feather: files,      ``FileSource(path, y="column")``   row groups or record batches of all
folders of them                                                         files, then blocks
PyDataset, Keras' or ours            as it is                           batches
generators, iterators                as they are                        their own
other iterables, DataLoaders         as they are                        their own
lists of batches                     ``BatchSource(batches)``           their own
===================================  =================================  =====================================

Rows go into blocks of 65,536 (or what takes 32 MiB, or the source's `window`), rounded to whole batches. A
thread reads ahead by one block: three are in memory, one filled, one waiting, one trained on. The budget
is a peak of three blocks and 64 MiB, whatever the size of the data; batches of a PyDataset or generator that
are larger than a block make blocks of one batch. Metrics that need all predictions, such as AUC, keep an
epoch's predictions, targets and weights on top of it, and those of a validation.

Without shuffling, results have the same bits as with C-ordered arrays of the same dtypes (but for a full
batch, which arrays may be laid out for). Orders are a function of the model's seed and the epoch, and
depend neither on threads nor on how far is read ahead. A training is resumed from backups at the end of an
epoch; what a generator yields then is for the caller to see to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fastnn.arrays import to_array
from fastnn.errors import DataError, ShapeError
from fastnn.rows import Piece, Source
from fastnn.training.fingerprint import content_hash

#: Rows that stay together, in their order, until a block is shuffled.
UNIT_ROWS = 4096


class ArraySource(Source):
    """Arrays read in runs of rows: a ``numpy.memmap`` on a disk, where single rows at random are slow.

    Parameters
    ----------
    x, y : array, or a list or dict of them
        As ``fit`` takes them.
    sample_weight : array, optional
    window : int, optional
        Rows that are shuffled with each other; see :class:`fastnn.data.Source`.

    Raises
    ------
    ShapeError
        If they differ in their rows.
    DataError
        If there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import ArraySource
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> x = np.linspace(-1, 1, 1000)
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=1)
    >>> model.compile("adam", "mse")
    >>> model.fit(ArraySource(x, 2 * x), epochs=2, verbose=0).epoch
    [0, 1]
    """

    def __init__(self, x: Any, y: Any = None, sample_weight: Any = None, *, window: int | None = None):
        super().__init__(window)
        self._data = (_arrays(x, "x"), _arrays(y, "y"), _arrays(sample_weight, "sample_weight"))
        counts = {len(array) for item in self._data for array in _leaves(item)}
        if len(counts) > 1:
            raise ShapeError(
                f"ArraySource: all arrays must have equally many rows. Received: {sorted(counts)}."
            )
        self._rows = counts.pop() if counts else 0
        if not self._rows:
            raise DataError("ArraySource: expected at least one row. Received: none.")

    def __repr__(self) -> str:
        return f"ArraySource({self._rows} rows)"

    def units(self) -> list[int]:
        """Return the rows of each run."""
        return [min(UNIT_ROWS, self._rows - start) for start in range(0, self._rows, UNIT_ROWS)]

    def read(self, unit: int) -> Iterator[Piece]:
        """Return a run of rows; no copies."""
        start = unit * UNIT_ROWS
        rows = slice(start, min(start + UNIT_ROWS, self._rows))
        x, y, sample_weight = (_cut(item, rows) for item in self._data)
        yield Piece(x, y, sample_weight, f"rows {rows.start} to {rows.stop - 1}")

    def fingerprint(self) -> str:
        """Return the arrays' hash."""
        return content_hash([(str(n), a) for n, item in enumerate(self._data) for a in _leaves(item)])


def _arrays(data: Any, where: str) -> Any:
    """Return arrays, in the dict or list they were given in."""
    if data is None:
        return None
    if isinstance(data, Mapping):
        return {name: to_array(item, f"{where}[{name!r}]")[0] for name, item in data.items()}
    if isinstance(data, (list, tuple)) and any(getattr(item, "ndim", 0) for item in data):
        return [to_array(item, where)[0] for item in data]
    return to_array(data, where)[0]


def _leaves(item: Any) -> list[np.ndarray]:
    if item is None:
        return []
    if isinstance(item, dict):
        return list(item.values())
    return item if isinstance(item, list) else [item]


def _cut(item: Any, rows: slice) -> Any:
    if isinstance(item, dict):
        return {name: array[rows] for name, array in item.items()}
    if isinstance(item, list):
        return [array[rows] for array in item]
    return None if item is None else item[rows]


__all__ = ["ArraySource"]
