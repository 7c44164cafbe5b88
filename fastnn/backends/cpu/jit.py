"""How kernels are compiled and cached: the only place where Numba options are written.

A *kernel* is a C callback with one uniform signature, ``void(int64* q, int64* r)``: `q` holds the
instruction's operands (addresses, sizes, float64 bits), `r` the run-time registers (rows in this
block, step number, ...; see ``registers.py``). Kernels are compiled the first time a program needs
them and cached on disk under a hash of every kernel source, so an edit anywhere recompiles.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core.ccallback import CFunc
from numba.extending import intrinsic, overload
from numba.np.arrayobj import make_array, populate_array

from fastnn.backends.cpu.cache import (
    cache_folder,
    cache_root,
    load_object,
    object_path,
    save_object,
    sources_hash,
    symbol_name,
)
from fastnn.errors import NotBuiltError

__all__ = [
    "bits_to_float",
    "cache_folder",
    "cache_root",
    "compile_kernel",
    "inline",
    "inline_math",
    "intrinsic",
    "matrix",
    "overload",
    "read_constants",
    "sources_hash",
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


@inline_math
def read_constants(q, i, dtype):
    """Read the three operands from ``q[i]`` on as numbers of `dtype`."""
    return dtype(bits_to_float(q[i])), dtype(bits_to_float(q[i + 1])), dtype(bits_to_float(q[i + 2]))


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
def pause(typingctx):
    """Tell the processor that this is a loop that waits: another thread of the same core gets its units."""

    def codegen(context, builder, signature, args):
        if platform.machine().lower() in ("x86_64", "amd64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(builder.module.declare_intrinsic("llvm.x86.sse2.pause", (), kind), [])
        return context.get_dummy_value()

    return types.void(), codegen


def _prefetching(locality: int):
    """Return LLVM's prefetch: into all caches (3), or all but the first (2)."""

    def codegen(context, builder, signature, args):
        number, place = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [place, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [place], kind)
        read, keep, data = number(0), number(locality), number(1)
        builder.call(function, [builder.inttoptr(args[0], place), read, keep, data])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def prefetch(typingctx, address):
    """Ask for the cache line at `address`, which will be read at once."""
    return _prefetching(3)


@intrinsic
def prefetch_later(typingctx, address):
    """Ask for the cache line at `address`, to be read after some microseconds, into the second cache.

    A request for the first cache holds one of its few (24) places until the line has come from memory: of 128
    requests in a row most wait, and nothing is gained by asking early.
    """
    return _prefetching(2)


@intrinsic
def call_int(typingctx, address):
    """Call the C function ``int f(void)`` at `address` (the scheduler's yield)."""

    def codegen(context, builder, signature, args):
        function = ir.FunctionType(ir.IntType(32), []).as_pointer()
        return builder.call(builder.inttoptr(args[0], function), [])

    return types.int32(types.int64), codegen


# --------------------------------------------------------------------------- kernels
class Kernel:
    """A compiled kernel: its address for programs, and a Python call that releases the GIL.

    Attributes
    ----------
    key : str
    address : int
    cached : bool
        Whether it was loaded from disk.
    call : callable
        ``call(address of q, address of r)``.
    """

    def __init__(self, key: str, make: Callable[[], Callable], exact: bool = False):
        self.key = key
        self._callback: Any = None
        path = object_path(cache_folder(), key, exact)
        address = load_object(path)
        self.cached = address is not None
        self.address: int = self._compile(make(), exact, path) if address is None else address
        self.call = _FUNCTION_TYPE(self.address)

    def _compile(self, function: Callable, exact: bool, path: Path | None) -> int:
        # Numba names symbols by qualified name and a count within the process: two kernels compiled in
        # different processes could share one, and the second to be loaded would be the first.
        function.__name__ = function.__qualname__ = symbol_name(self.key, exact)
        signature = (KERNEL_SIGNATURE.args, KERNEL_SIGNATURE.return_type)
        callback: Any = CFunc(function, signature, {}, dict(_EXACT_OPTIONS if exact else _KERNEL_OPTIONS))
        callback.compile()
        self._callback = callback
        if path is not None:
            save_object(path, callback.native_name, callback._library._get_compiled_object())
        return callback.address

    def assembly(self) -> str:
        """Return the kernel's machine code as text; only a kernel compiled in this process has it."""
        if self._callback is None:
            raise NotBuiltError(f"Kernel {self.key!r} was loaded from the cache, which holds no assembly.")
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
                kernel = _kernels[key] = Kernel(key, make, exact)
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
