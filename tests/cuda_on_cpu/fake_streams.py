"""Streams, events and graphs of the fake CuPy: lazy queues, so that a missing synchronisation shows.

As in CuPy the current stream is a thread's own. Work of all threads is done one piece at a time: a library
has one set of fibers and one checker.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any, ClassVar

#: What a test may count: launches, graph_launches, allocs, h2d, d2h, syncs.
stats: collections.Counter[str] = collections.Counter()
_working = threading.RLock()


class CUDARuntimeError(RuntimeError):
    """What the CUDA runtime refuses."""


class Graph:
    """Work that was captured."""

    def __init__(self, work: list[Callable[[], Any]]):
        self.work = work

    def launch(self, stream: Stream | None = None) -> None:
        stats["graph_launches"] += 1
        (stream or current()).queue.extend(self.work)

    def upload(self, stream: Stream | None = None) -> None:
        pass


class Event:
    """A point in a stream."""

    def __init__(self, *args: Any, **options: Any):
        self.stream: Stream | None = None
        self.mark = 0

    def record(self, stream: Stream | None = None) -> None:
        self.stream = stream or current()
        self.mark = len(self.stream.queue) + self.stream.done

    def synchronize(self) -> None:
        stats["syncs"] += 1
        self.reach()

    def reach(self) -> None:
        """Run the stream up to this point."""
        with _working:
            while self.stream is not None and self.stream.done < self.mark:
                self.stream.step()


class Stream:
    """A queue of work that runs when somebody waits for it; the null stream runs at once."""

    everything: ClassVar[list[Stream]] = []
    null: ClassVar[Stream]

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int | None = None
    ):
        self.is_null, self.non_blocking = null, non_blocking
        self.queue: collections.deque[Callable[[], Any]] = collections.deque()
        self.done = 0
        self.captured: list[Callable[[], Any]] | None = None
        self.ptr = 0 if null else id(self)
        Stream.everything.append(self)

    def __enter__(self) -> Stream:
        _entered.streams.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        _entered.streams.pop()

    def use(self) -> Stream:
        _entered.streams[-1] = self
        return self

    def step(self) -> None:
        """Run the next piece of work."""
        self.queue.popleft()()
        self.done += 1

    def drain(self) -> None:
        """Run all work."""
        with _working:
            while self.queue:
                self.step()

    def submit(self, work: Callable[[], Any]) -> None:
        """Capture, queue or (on the null stream, which waits for every blocking stream) run work."""
        if self.captured is not None:
            self.captured.append(work)
        elif self.is_null:
            with _working:
                drain_blocking()
                work()
        else:
            self.queue.append(work)

    def synchronize(self) -> None:
        if self.captured is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported")
        stats["syncs"] += 1
        self.drain()

    def wait_event(self, event: Event) -> None:
        self.submit(event.reach)

    def record(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def begin_capture(self, mode: int | None = None) -> None:
        if self.is_null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.captured = []

    def end_capture(self) -> Graph:
        work, self.captured = self.captured, None
        return Graph(work or [])

    def is_capturing(self) -> bool:
        return self.captured is not None


Stream.null = Stream(null=True)


class _Entered(threading.local):
    def __init__(self):
        self.streams = [Stream.null]


_entered = _Entered()


def current() -> Stream:
    """Return the current stream."""
    return _entered.streams[-1]


def drain_blocking() -> None:
    """Run all work of the streams that the null stream waits for."""
    for stream in Stream.everything:
        if not stream.non_blocking:
            stream.drain()


def refuse_in_capture(what: str) -> None:
    """CuPy 14 raises NotImplementedError for what would break a capture."""
    if current().captured is not None:
        raise NotImplementedError(f"calling {what} during stream capture is currently unsupported")


def ready() -> None:
    """The host is about to look at device memory through the current stream."""
    refuse_in_capture("a synchronous transfer")
    if current().is_null:
        drain_blocking()
    else:
        current().drain()
