"""Finding SciPy's BLAS, and keeping it to one thread while programs run.

Threads of BLAS would compete with the team's, and split products differently for different thread counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import threadpoolctl

_lock, _loading = threading.Lock(), threading.Lock()
_users = 0
_limiter: Any = None
_controller: Any = None


def _pointers() -> Any:
    """Return SciPy's module of BLAS pointers, one thread after the other: a half-made module has none."""
    with _loading:
        return _load_pointers()


@functools.cache
def _load_pointers() -> Any:
    """Load it without the rest of ``scipy.linalg`` (0.1 s of imports)."""
    name = "scipy.linalg.cython_blas"
    if name in sys.modules:
        return importlib.import_module(name)  # waits for a thread that is importing it
    folder = Path(importlib.import_module("scipy").__file__ or "").parent / "linalg"
    for suffix in importlib.machinery.EXTENSION_SUFFIXES:
        path = folder / f"cython_blas{suffix}"
        if path.exists():
            spec = importlib.util.spec_from_file_location(name, path)
            if spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return module
    return importlib.import_module(name)


@functools.cache
def gemm_address(dtype_name: str) -> int:
    """Return the address of SciPy's ``sgemm`` or ``dgemm`` (Fortran interface)."""
    capsule = _pointers().__pyx_capi__[f"{'s' if dtype_name == 'float32' else 'd'}gemm"]
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.argtypes, get_name.restype = [ctypes.py_object], ctypes.c_char_p
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.argtypes, get_pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    return get_pointer(capsule, get_name(capsule))


def _forget_after_fork() -> None:
    # The other threads of the parent, with their trainings and perhaps this lock, do not exist in the child.
    # The limiter stays: it knows the limit to go back to.
    global _users, _lock, _loading
    _users, _lock, _loading = 0, threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_after_fork)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Limit BLAS to one thread; the previous limit comes back when the last concurrent user leaves."""
    global _users, _limiter, _controller
    with _lock:
        if _users == 0:
            if _controller is None:
                _pointers()  # the library to be limited must be loaded
                _controller = threadpoolctl.ThreadpoolController().select(user_api="blas")
            if _limiter is None:
                _take_control()
                _limiter = _controller.limit(limits=1)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users = max(0, _users - 1)
            if _users == 0 and _limiter is not None:
                _take_control()
                _limiter.restore_original_limits()
                _limiter = None
                _take_control()


#: OpenBLAS takes a second thread for no product of up to so many multiplications (GEMM_MULTITHREAD_THRESHOLD
#: times 65,536; by a vector, times 2,304).
_SERIAL_PRODUCT, _SERIAL_VECTOR = 1 << 18, 9216


def products_stay_serial(products: Sequence[tuple[int, int]], rows: int) -> bool:
    """Whether BLAS computes these products with one thread without being told (10 to 40 us are saved).

    Parameters
    ----------
    products : sequence of (int, int)
        Of each, the rows for each row of data, and the elements of the matrix.
    rows : int
        Of the data.
    """
    for groups, elements in products:
        limit = _SERIAL_VECTOR if rows * groups == 1 else _SERIAL_PRODUCT
        if rows * groups * elements >= limit or not _is_openblas():
            return False
    return True


@functools.cache
def _is_openblas() -> bool:
    """Whether all BLAS libraries that are loaded are OpenBLAS."""
    return all(library["internal_api"] == "openblas" for library in record())


def one_thread_here() -> None:
    """Limit the calling thread, a helper that ends soon, where a library's limit is one of each thread.

    That is so of OpenBLAS built with OpenMP only; then `one_thread` limits nobody but its caller.
    """
    with _lock:
        libraries = [] if _controller is None else _controller.lib_controllers
    for library in libraries:
        if getattr(library, "threading_layer", None) == "openmp":
            library.set_num_threads(1)


def _take_control() -> None:
    """Let the calling thread set limits: since threadpoolctl 3.8 only the first thread that did may.

    Without this a fit outside the main thread would leave BLAS with all its threads, silently.
    """
    for library in _controller.lib_controllers:
        clear = getattr(library, "clear_controlling_thread", None)
        if clear is not None:
            clear(force=True)


def record() -> list[dict[str, Any]]:
    """Return what threadpoolctl knows of the BLAS libraries that are loaded."""
    _pointers()
    return threadpoolctl.ThreadpoolController().select(user_api="blas").info()
