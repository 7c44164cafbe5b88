"""Keeping BLAS to one thread while programs run.

Threads of BLAS would compete with the team's, and split products differently for different thread counts.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import threadpoolctl

_lock = threading.Lock()
_users = 0
_limiter: Any = None
_controller: Any = None


def _forget_after_fork() -> None:
    # The other threads of the parent, with their trainings and perhaps this lock, do not exist in the child.
    # The limiter stays: it knows the limit to go back to.
    global _users, _lock
    _users, _lock = 0, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread; the previous limit comes back when the last concurrent user leaves."""
    global _users, _limiter, _controller
    with _lock:
        if _users == 0:
            if _controller is None:
                import scipy.linalg.cython_blas  # noqa: F401  the library to be limited must be loaded

                _controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
            if _limiter is None:
                _limiter = _controller.limit(limits=1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users = max(0, _users - 1)
            if _users == 0 and _limiter is not None:
                _limiter.restore_original_limits()
                _limiter = None


def record() -> list[dict[str, Any]]:
    """Return what threadpoolctl knows of the BLAS libraries that are loaded."""
    import scipy.linalg.cython_blas  # noqa: F401

    return threadpoolctl.ThreadpoolController().select(user_api="blas").info()
