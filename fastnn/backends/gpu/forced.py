"""Trainings that must run in a stated way: ``fastnn gpucheck`` compares regimes, graphs and launches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class Forced:
    """What trainings must do, and what they did.

    Attributes
    ----------
    regime : str or None
        See regimes.py; None leaves the choice.
    capture : bool
        False: no CUDA graphs.
    regimes : list of str
        Those of the trainings so far.
    """

    regime: str | None = None
    capture: bool = True
    regimes: list[str] = field(default_factory=list)


_current: ContextVar[Forced | None] = ContextVar("forced", default=None)


@contextlib.contextmanager
def forced(regime: str | None = None, capture: bool = True) -> Iterator[Forced]:
    """Make the trainings that begin inside run in this regime, with or without CUDA graphs."""
    how = Forced(regime, capture)
    token = _current.set(how)
    try:
        yield how
    finally:
        _current.reset(token)


def current() -> Forced | None:
    """Return what is forced here, if anything is."""
    return _current.get()
