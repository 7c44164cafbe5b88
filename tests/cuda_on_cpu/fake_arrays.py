"""Arrays of the fake CuPy: NumPy arrays behind a wall; host and device do not mix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from fake_streams import current, ready, refuse_in_capture, stats

IMPLICIT = (
    "Implicit conversion to a NumPy array is not allowed. "
    "Please use `.get()` to construct a NumPy array explicitly."
)


def host(x: Any) -> Any:
    """Return the NumPy array behind a device array; a NumPy array is refused, as CuPy does."""
    if isinstance(x, np.ndarray) and x.ndim:
        raise TypeError(f"Unsupported type {type(x)}")
    return x._a if isinstance(x, ndarray) else x


def wrap(result: Any) -> Any:
    """Return NumPy's result as CuPy would give it."""
    if isinstance(result, (np.ndarray, np.generic)):
        return ndarray(_a=np.asarray(result))
    return tuple(map(wrap, result)) if isinstance(result, tuple) else result


def allocate(shape: Any, dtype: Any, fill: Any = None) -> np.ndarray:
    """Return memory; without `fill` every byte is 0xFF (NaN, -1), for uninitialised memory is not zero.

    Blocks start on 512 bytes, as those of CuPy's pool.
    """
    if current().captured is not None:
        raise RuntimeError("allocation during stream capture: the graph would keep a pointer into the pool")
    stats["allocs"] += 1
    dtype = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64))
    raw = np.empty(size * dtype.itemsize + 512, np.uint8)
    start = -raw.ctypes.data % 512
    block = raw[start : start + size * dtype.itemsize]
    block.fill(0xFF)
    array = block.view(dtype).reshape(shape)
    if fill is not None:
        array.fill(fill)
    return array


def launch(work: Callable[[], Any]) -> None:
    """Count and queue work that allocates nothing."""
    stats["launches"] += 1
    current().submit(work)


def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a library function whose result is a new device array."""
    refuse_in_capture("an allocating CuPy function")
    values = [host(a) for a in args]
    named = {key: host(value) for key, value in options.items()}
    if not current().is_null:
        ready()
    stats["launches"] += 1
    stats["allocs"] += 1
    return wrap(function(*values, **named))


class Memory:
    """What ``array.data`` is."""

    def __init__(self, array: np.ndarray):
        self.ptr = array.ctypes.data


class ndarray:
    """A device array.

    Parameters
    ----------
    shape, dtype, memptr, order
        As CuPy's.
    _a : numpy.ndarray
        The memory, where it exists already.
    """

    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, shape=None, dtype=float, memptr=None, order="C", _a=None):
        self._a = allocate(shape, dtype) if _a is None else _a

    def __array__(self, *args, **options):
        raise TypeError(IMPLICIT)

    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    size = property(lambda self: self._a.size)
    ndim = property(lambda self: self._a.ndim)
    nbytes = property(lambda self: self._a.nbytes)
    itemsize = property(lambda self: self._a.itemsize)
    strides = property(lambda self: self._a.strides)
    flags = property(lambda self: self._a.flags)
    T = property(lambda self: ndarray(_a=self._a.T))
    data = property(lambda self: Memory(self._a))

    def get(self, stream=None, order="C", out=None, blocking=True):
        stats["d2h"] += 1
        ready()
        if out is None:
            return self._a.copy()
        np.copyto(out, self._a)
        return out

    def set(self, arr, stream=None):
        if type(arr) is not np.ndarray or arr.dtype != self.dtype or arr.shape != self.shape:
            raise TypeError("set() takes a numpy array of the same dtype and shape")
        stats["h2d"] += 1
        values = arr.copy()
        (stream or current()).submit(lambda: np.copyto(self._a, values))

    def item(self):
        stats["d2h"] += 1
        ready()
        return self._a.item()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __len__(self):
        return len(self._a)

    def __repr__(self):
        return f"fake.cupy.{self._a!r}"

    def __getitem__(self, key):
        parts = key if isinstance(key, tuple) else (key,)
        if any(isinstance(part, (ndarray, list)) for part in parts):
            index = tuple(map(host, parts)) if isinstance(key, tuple) else host(key)
            return call(lambda a: a[index], self)
        return ndarray(_a=np.asarray(self._a[tuple(map(host, parts))]))

    def __setitem__(self, key, value):
        value, key = host(value), host(key)
        launch(lambda: self._a.__setitem__(key, value))

    def fill(self, value):
        launch(lambda: self._a.fill(value))

    def astype(self, dtype, copy=True):
        return self if not copy and self.dtype == dtype else call(lambda a: a.astype(dtype), self)

    def copy(self, order="C"):
        return call(lambda a: a.copy(), self)

    def reshape(self, *shape):
        return ndarray(_a=self._a.reshape(*shape))

    def ravel(self):
        return ndarray(_a=self._a.ravel())

    def view(self, *args):
        return ndarray(_a=self._a.view(*args))

    def transpose(self, *axes):
        return ndarray(_a=self._a.transpose(*axes))


def _operator(name: str) -> Callable[..., Any]:
    return lambda self, *others: call(lambda a, *b: getattr(a, name)(*b), self, *others)


def _in_place(name: str) -> Callable[..., Any]:
    def method(self, other):
        other = host(other)
        launch(lambda: getattr(self._a, name)(other))
        return self

    return method


for _name in "add sub mul truediv floordiv mod pow matmul and or xor".split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(ndarray, f"__r{_name}__", _operator(f"__r{_name}__"))
for _name in "lt le gt ge eq ne neg abs invert".split():
    setattr(ndarray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in "add sub mul truediv".split():
    setattr(ndarray, f"__i{_name}__", _in_place(f"__i{_name}__"))
for _name in "sum mean max min argmax argmin any all dot var std prod".split():

    def _reduction(self, *args, _name=_name, **options):
        return call(lambda x, *a, **o: getattr(x, _name)(*a, **o), self, *args, **options)

    setattr(ndarray, _name, _reduction)


# --------------------------------------------------------------------------- functions
def array(obj, dtype=None, copy=True, order="K"):
    if isinstance(obj, ndarray):
        return obj.astype(dtype or obj.dtype)
    refuse_in_capture("an H2D transfer")
    stats["h2d"] += 1
    values = np.asarray(obj, dtype=dtype)
    memory = allocate(values.shape, values.dtype)
    np.copyto(memory, values)
    return ndarray(_a=memory)


def asarray(a, dtype=None, order=None):
    return a if isinstance(a, ndarray) and dtype in (None, a.dtype) else array(a, dtype)


def ascontiguousarray(a, dtype=None):
    return array(a, dtype) if isinstance(a, ndarray) and not a.flags.c_contiguous else asarray(a, dtype)


def asnumpy(a, stream=None, order="C", out=None):
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def empty(shape, dtype=float, order="C"):
    return ndarray(shape, dtype)


def zeros(shape, dtype=float, order="C"):
    return ndarray(_a=allocate(shape, dtype, 0))


def ones(shape, dtype=float, order="C"):
    return ndarray(_a=allocate(shape, dtype, 1))


def full(shape, fill_value, dtype=None, order="C"):
    return ndarray(_a=allocate(shape, dtype or np.asarray(fill_value).dtype, fill_value))


def empty_like(a, dtype=None):
    return empty(a.shape, dtype or a.dtype)


def zeros_like(a, dtype=None):
    return zeros(a.shape, dtype or a.dtype)


def arange(*args, **options):
    return call(np.arange, *args, **options)


def copyto(dst, src):
    source = host(src)
    launch(lambda: np.copyto(dst._a, source))


def take(a, indices, axis=None, out=None):
    if out is None:
        return call(np.take, a, indices, axis)
    launch(lambda: np.take(a._a, indices._a, axis, out=out._a))
    return out


def matmul(a, b, out=None):
    refuse_in_capture("cuBLAS API")
    if out is None:
        return call(np.matmul, a, b)
    left, right = host(a), host(b)
    launch(lambda: np.matmul(left, right, out=out._a))
    return out


def dot(a, b, out=None):
    return matmul(a, b, out)


def from_numpy(name: str) -> Any:
    """Return a function or constant of NumPy as CuPy would offer it."""
    function = getattr(np, name)
    if not callable(function) or isinstance(function, type):
        return function

    def wrapped(*args, out=None, **options):
        if out is None:
            return call(function, *args, **options)
        values = [host(a) for a in args]
        launch(lambda: function(*values, out=out._a, **options))
        return out

    return wrapped
