"""How kernels are compiled and cached: the only place where Numba options are written.

A *kernel* is a C callback with one uniform signature, ``void(int64* q, int64* r)``: `q` holds the
instruction's operands (addresses, sizes, float64 bits), `r` the run-time registers (rows in this
block, step number, ...; see ``registers.py``). Kernels are compiled the first time a program needs
them and cached on disk under a hash of every kernel source, so an edit anywhere recompiles.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core.caching import Cache, CompileResultCacheImpl
from numba.core.ccallback import CFunc
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array, populate_array

__all__ = [
    "bits_to_float",
    "compile_kernel",
    "inline",
    "inline_math",
    "intrinsic",
    "matrix",
    "overload",
    "vector",
]

# Never nnan or ninf: they would delete NaN tests and make non-finite data look finite.
FASTMATH = {"reassoc", "contract", "arcp", "nsz", "afn"}
# With Python's error model a float division raises, and no loop with one is vectorised (870 -> 13,000
# iterations/s on the circles network).
_KERNEL_OPTIONS: dict[str, Any] = {"nopython": True, "error_model": "numpy", "fastmath": FASTMATH}
_EXACT_OPTIONS: dict[str, Any] = {"nopython": True, "error_model": "numpy"}

#: Helper of a kernel, inlined, with the kernels' fast-math flags.
inline = njit(error_model="numpy", fastmath=FASTMATH, forceinline=True)
#: Helper whose operations must be evaluated exactly as written (range reductions, NaN tests). An unset
#: `fastmath` would be inherited from whichever caller compiles first, and so would the bits.
inline_math = njit(error_model="numpy", fastmath=False, forceinline=True)

KERNEL_SIGNATURE = types.void(types.CPointer(types.int64), types.CPointer(types.int64))
_FUNCTION_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


# --------------------------------------------------------------------------- views of raw memory
@intrinsic
def vector(typingctx, address, n, dtype):
    """View `n` contiguous elements of `dtype` at `address` as a 1-D array (no reference count)."""
    array_type = types.Array(dtype.dtype, 1, "C")
    signature = array_type(types.int64, types.int64, dtype)

    def codegen(context, builder, signature, args):
        return _view(context, builder, array_type, args[0], [args[1]])

    return signature, codegen


@intrinsic
def matrix(typingctx, address, rows, columns, dtype):
    """View ``rows x columns`` contiguous elements of `dtype` at `address` as a 2-D array."""
    array_type = types.Array(dtype.dtype, 2, "C")
    signature = array_type(types.int64, types.int64, types.int64, dtype)

    def codegen(context, builder, signature, args):
        return _view(context, builder, array_type, args[0], [args[1], args[2]])

    return signature, codegen


def _view(context, builder, array_type, address, shape):
    view = make_array(array_type)(context, builder)
    item = context.get_constant(types.intp, array_type.dtype.bitwidth // 8)
    pointer = builder.inttoptr(address, context.get_data_type(array_type.dtype).as_pointer())
    strides = [item]
    for extent in shape[:0:-1]:
        strides.insert(0, builder.mul(strides[0], extent))
    populate_array(view, data=pointer, shape=shape, strides=strides, itemsize=item, meminfo=None)
    return view._getvalue()


@intrinsic
def bits_to_float(typingctx, bits):
    """Read an int64 operand as the float64 whose bits it holds."""

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@intrinsic
def call_kernel(typingctx, address, q, r):
    """Call the kernel at `address` with operands `q` and registers `r`."""
    signature = types.void(types.int64, types.CPointer(types.int64), types.CPointer(types.int64))

    def codegen(context, builder, signature, args):
        pointer = ir.IntType(64).as_pointer()
        function = ir.FunctionType(ir.VoidType(), [pointer, pointer]).as_pointer()
        builder.call(builder.inttoptr(args[0], function), [args[1], args[2]])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def pointer(typingctx, address):
    """Turn an integer address into a pointer to int64."""

    def codegen(context, builder, signature, args):
        return builder.inttoptr(args[0], ir.IntType(64).as_pointer())

    return types.CPointer(types.int64)(types.int64), codegen


@intrinsic
def atomic_add(typingctx, address, value):
    """Add `value` to the int64 at `address`, sequentially consistent; returns the old value."""

    def codegen(context, builder, signature, args):
        target = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", target, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def atomic_load(typingctx, address):
    """Read the int64 at `address`, sequentially consistent."""

    def codegen(context, builder, signature, args):
        return builder.load_atomic(builder.inttoptr(args[0], ir.IntType(64).as_pointer()), "seq_cst", 8)

    return types.int64(types.int64), codegen


@intrinsic
def call_int(typingctx, address):
    """Call the C function ``int f(void)`` at `address` (the scheduler's yield)."""

    def codegen(context, builder, signature, args):
        function = ir.FunctionType(ir.IntType(32), []).as_pointer()
        return builder.call(builder.inttoptr(args[0], function), [])

    return types.int32(types.int64), codegen


# --------------------------------------------------------------------------- the cache on disk
@functools.cache
def sources_hash() -> str:
    """Hash every kernel source, fastnn's version and Numba's: the key of the cache."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update(f"{numba.__version__} {np.__version__} {sys.version_info[:2]}".encode())
    return digest.hexdigest()[:16]


def cache_root() -> Path:
    """Return the folder of all kernel caches: ``$FASTNN_CACHE_DIR`` or the user's cache folder."""
    override = os.environ.get("FASTNN_CACHE_DIR")
    if override:
        return Path(override)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "fastnn"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "fastnn"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fastnn"


@functools.cache
def cache_folder() -> Path | None:
    """Return the writable cache folder of these sources, or None (with one warning) if there is none."""
    folder = cache_root() / sources_hash()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{os.getpid()}-{threading.get_ident()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        warnings.warn(
            f"fastnn cannot write its kernel cache to {folder} ({error}); kernels are compiled anew in "
            "every process. Set FASTNN_CACHE_DIR to a writable folder.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return folder


class _KernelCacheImpl(CompileResultCacheImpl):
    """Numba's cache files, named by our own key instead of a source file's path."""

    def __init__(self, key: str):
        name = hashlib.sha256(key.encode()).hexdigest()[:12]
        self._filename_base = f"{key.split('(')[0]}-{name}"
        self._locator = self

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def ensure_cache_path(self) -> None:
        Path(self.get_cache_path()).mkdir(parents=True, exist_ok=True)

    def get_source_stamp(self) -> str:
        return sources_hash()

    def check_cachable(self, cres) -> bool:
        return True


class _KernelCache(Cache):
    """A kernel's entry in the cache, keyed by signature, CPU and the kernel's name."""

    def __init__(self, function: Callable, key: str):
        self._key = key
        self._impl_class = lambda _function: _KernelCacheImpl(key)
        super().__init__(function)

    def _index_key(self, sig, codegen):
        return (sig, codegen.magic_tuple(), self._key)

    def load_overload(self, sig, target_context):
        # A truncated or foreign file must cost a recompilation, never the user's training.
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            return None

    def save_overload(self, sig, data):
        # A full disk or a folder that turned read-only: the kernel is compiled and usable all the same.
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warnings.warn(f"fastnn could not cache kernel {self._key}: {error}", RuntimeWarning, stacklevel=2)


class Kernel:
    """A compiled kernel: its address for programs, and a Python call that releases the GIL."""

    def __init__(self, key: str, function: Callable, exact: bool = False):
        self._callback = CFunc(
            function, (KERNEL_SIGNATURE.args, KERNEL_SIGNATURE.return_type), {},
            dict(_EXACT_OPTIONS if exact else _KERNEL_OPTIONS),
        )  # fmt: skip
        if cache_folder() is not None:
            self._callback._cache = _KernelCache(function, key)
        self._callback.compile()
        self.key = key
        self.cached = self._callback.cache_hits > 0
        self.address: int = self._callback.address
        self.call = _FUNCTION_TYPE(self.address)

    def assembly(self) -> str:
        """Return the kernel's machine code as text (the vectorisation tests read it)."""
        return self._callback._library.get_asm_str()


_kernels: dict[str, Kernel] = {}
_lock = threading.RLock()


def compile_kernel(key: str, make: Callable[[], Callable], exact: bool = False) -> Kernel:
    """Return the kernel named `key`, compiling ``make()`` (or loading it from disk) the first time.

    Parameters
    ----------
    key : str
        Unique name, also the cache key: builder, dtype and options, e.g. ``"unary(relu,float32)"``.
    make : callable
        Called without arguments on a miss; returns the Python function ``(q, r) -> None``.
    exact : bool, default False
        Compile without fast-math flags.
    """
    kernel = _kernels.get(key)
    if kernel is None:
        with _lock:
            kernel = _kernels.get(key)
            if kernel is None:
                kernel = _kernels[key] = Kernel(key, make(), exact)
    return kernel


def compiled_kernels() -> list[Kernel]:
    """Return the kernels this process has compiled or loaded so far."""
    return list(_kernels.values())


def _renew_lock_after_fork() -> None:
    # A fork while another thread compiles would leave the child with a lock nobody releases.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock_after_fork)
