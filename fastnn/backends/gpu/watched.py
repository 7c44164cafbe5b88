"""Trainings that are watched: which regime each ran in, and whether they may use CUDA graphs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Watch:
    """What trainings may do, and what they did.

    Attributes
    ----------
    capture : bool
        False: no CUDA graphs, every kernel is launched.
    regimes : list of str
        Those of the trainings so far (see regimes.py).
    """

    capture: bool = True
    regimes: list[str] = field(default_factory=list)


_current: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextlib.contextmanager
def watched(capture: bool = True) -> Iterator[Watch]:
    """Watch the trainings that begin inside."""
    watch = Watch(capture)
    token = _current.set(watch)
    try:
        yield watch
    finally:
        _current.reset(token)


def current() -> Watch | None:
    """Return who watches here, if anybody does."""
    return _current.get()
