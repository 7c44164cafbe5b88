"""A thread that works ahead of its consumer, by a bounded number of items."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator
from typing import Any


class Prefetched:
    """What a generator yields, made in a thread of its own.

    Parameters
    ----------
    items : generator
        Runs in the thread, and is closed there.
    depth : int, default 1
        So many items may wait, beside the one being made.

    Notes
    -----
    An exception of the generator is raised by :meth:`take`, with the traceback of the thread. Nothing is
    started at import, and a thread ends with :meth:`close`: a process may be forked before and after.

    Examples
    --------
    >>> from fastnn.rows.prefetch import Prefetched
    >>> items = Prefetched(number * number for number in range(3))
    >>> items.take(), items.take(), items.take(), items.take()
    (0, 1, 4, None)
    >>> items.close()
    """

    def __init__(self, items: Generator[Any, None, None], depth: int = 1):
        self._items, self._depth = items, depth
        self._ready: deque[Any] = deque()
        self._changed = threading.Condition()
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="fastnn prefetch", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            for item in self._items:
                if not self._hand_over(item):
                    break
        except BaseException as error:
            self._error = error
        finally:
            self._items.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _hand_over(self, item: Any) -> bool:
        """Wait for room, and put an item there; False if nobody wants it any more."""
        with self._changed:
            while len(self._ready) >= self._depth and not self._closed:
                self._changed.wait()
            self._ready.append(item)
            self._changed.notify_all()
            return not self._closed

    @property
    def empty(self) -> bool:
        """Whether no item is ready."""
        return not self._ready

    def take(self) -> Any:
        """Return the next item, or None at the end; raise what the generator raised."""
        with self._changed:
            while not self._ready and not self._ended:
                self._changed.wait()
            if self._ready:
                item = self._ready.popleft()
                self._changed.notify_all()
                return item
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return None

    def close(self) -> None:
        """End the thread, once the item it is at is made; what waits is let go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()
        self._ready.clear()
