"""Keeping BLAS to one thread while programs run.

Threads of BLAS would compete with the team's, and split products differently for different thread counts.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import threadpoolctl

_lock = threading.Lock()
_users = 0
_limiter: Any = None
_controller: Any = None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread; the previous limit comes back when the last concurrent user leaves."""
    global _users, _limiter, _controller
    with _lock:
        if _users == 0:
            if _controller is None:
                import scipy.linalg.cython_blas  # noqa: F401  the library to be limited must be loaded

                _controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
            _limiter = _controller.limit(limits=1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _limiter.restore_original_limits()
                _limiter = None


def record() -> list[dict[str, Any]]:
    """Return what threadpoolctl knows of the BLAS libraries that are loaded."""
    import scipy.linalg.cython_blas  # noqa: F401

    return threadpoolctl.ThreadpoolController().select(user_api="blas").info()
