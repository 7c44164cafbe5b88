"""RawModule and ElementwiseKernel of the fake CuPy. What CuPy would pass as garbage is refused."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import numpy as np
import shim
from fake_arrays import empty, host, ndarray
from fake_streams import current, stats

#: FAKECUPY_MODE=check turns on the memory checker for modules built from then on.
MODE = "FAKECUPY_MODE"


class CUDADriverError(RuntimeError):
    """What the CUDA driver refuses."""


def _code(dtype: np.dtype) -> str:
    return "?1" if dtype.kind == "b" else f"{dtype.kind}{dtype.itemsize}"


def _passed(value: Any) -> np.dtype:
    """Return as what CuPy passes a scalar."""
    for kind, dtype in ((bool, bool), (int, np.int64), (float, np.float64)):
        if isinstance(value, kind):
            return np.dtype(dtype)
    return value.dtype


class Function:
    """A kernel of a module.

    Attributes
    ----------
    max_dynamic_shared_size_bytes : int
        As CuPy's.
    """

    max_dynamic_shared_size_bytes = 49152

    def __init__(self, kernel: shim.Kernel, cooperative: bool, check: bool):
        self._kernel, self._cooperative, self._check = kernel, cooperative, check
        self.name = kernel.name

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        kernel, signature = self._kernel, self._kernel.signature
        if len(args) != len(signature):
            raise TypeError(f"{self.name} takes {len(signature)} arguments ({signature}), got {len(args)}")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDADriverError(
                f"CUDA_ERROR_INVALID_VALUE: {shared_mem} bytes of shared memory; "
                "set max_dynamic_shared_size_bytes first"
            )
        values = [
            self._value(a, code, number) for number, (a, code) in enumerate(zip(args, signature, strict=True))
        ]
        regions = self._regions(args)
        # As CuPy: a grid of 0 becomes 1.
        grid, block = ([max(1, int(size)) for size in sizes] for sizes in (grid, block))
        pointers = [value.ctypes.data for value in values]
        stats["launches"] += 1

        def work(keep=(values, args)):
            # Looked up at every launch: a test may put another list there.
            order = sys.modules["fakecupy"].order
            kernel.launch(
                grid, block, pointers, shared_memory=shared_mem, cooperative=self._cooperative,
                regions=regions if self._check else (), order=order[0], seed=order[1],
            )  # fmt: skip

        (stream or current()).submit(work)

    def _value(self, argument: Any, code: str, number: int) -> np.ndarray:
        """Return a parameter's value in the memory that the kernel reads it from."""
        where, pointer = f"{self.name} argument {number}", code[0] in "pP"
        if isinstance(argument, ndarray):
            if not pointer:
                raise TypeError(f"{where}: an array for a scalar of type {code}")
            if code[1:] not in (_code(argument.dtype), "v"):
                raise TypeError(f"{where}: {argument.dtype} array for a pointer to {code[1:]}")
            if not argument.flags.c_contiguous:
                raise ValueError(f"{where}: not contiguous (RawKernel ignores strides)")
            return np.array([argument.data.ptr], np.uint64)
        if argument is None and pointer:
            return np.zeros(1, np.uint64)
        if isinstance(argument, np.ndarray) and argument.size != 1:
            raise TypeError(
                f"You are trying to pass a numpy.ndarray of shape {argument.shape} as a kernel parameter."
            )
        dtype = _passed(argument)
        if _code(dtype) != code:
            raise TypeError(
                f"{where}: CuPy passes {type(argument).__name__} as {_code(dtype)}, the kernel reads {code} "
                "(silent garbage on a GPU): wrap it in a NumPy scalar of that type"
            )
        return np.array([argument], dtype)

    def _regions(self, args: Any) -> list[shim.Access]:
        """Return what the kernel may touch; memory that is written may not overlap another argument."""
        regions: list[shim.Access] = []
        for number, (argument, code) in enumerate(zip(args, self._kernel.signature, strict=True)):
            if isinstance(argument, ndarray):
                name = f"argument {number}"
                here = shim.Access(
                    argument.data.ptr, argument.nbytes, argument.itemsize, code[0] == "P", name
                )
                for other in regions:
                    apart = (
                        here.address + here.bytes <= other.address
                        or other.address + other.bytes <= here.address
                    )
                    if not apart and (here.writable or other.writable):
                        raise ValueError(
                            f"{self.name}: {name} overlaps {other.name}, and one of them is written"
                        )
                regions.append(here)
        return regions


class RawModule:
    """CUDA source, compiled by g++."""

    def __init__(
        self,
        *,
        code=None,
        path=None,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        enable_cooperative_groups=False,
        name_expressions=None,
        jitify=None,
    ):
        mode = os.environ.get(MODE, "")
        self._library = shim.Library(code, options, mode)
        self._cooperative, self._check = enable_cooperative_groups, mode == "check"

    def compile(self, log_stream=None):
        pass

    def get_function(self, name):
        return Function(shim.Kernel(self._library, name), self._cooperative, self._check)


def RawKernel(code, name, options=(), backend="nvrtc", **others):
    return RawModule(code=code, options=options, **others).get_function(name)


# --------------------------------------------------------------------------- elementwise kernels
_C = {
    "bool": "bool", "int8": "signed char", "uint8": "unsigned char", "int16": "short", "int32": "int",
    "uint32": "unsigned", "int64": "long long", "uint64": "unsigned long long", "float32": "float",
    "float64": "double",
}  # fmt: skip


def _parameters(text: str) -> list[tuple[str, str]]:
    """Return names and types of ``'T x, float32 y'``."""
    words = [entry.split() for entry in text.split(",") if entry.strip()]
    if any(len(entry) != 2 for entry in words):
        raise NotImplementedError(f"the fake takes parameters without 'raw': {text!r}")
    return [(name, kind) for kind, name in words]


class ElementwiseKernel:
    """A loop over equally shaped or broadcast arrays."""

    def __init__(self, in_params, out_params, operation, name="kernel", preamble="", options=(), **others):
        self.inputs, self.outputs = _parameters(in_params), _parameters(out_params)
        self.operation, self.name, self.preamble = operation, name, preamble
        self._compiled: dict[tuple[np.dtype, ...], Any] = {}
        if others:
            raise NotImplementedError(f"the fake knows no {sorted(others)}")
        if any(parameter == "i" for parameter, _ in self.inputs + self.outputs):
            raise ValueError("Can not use 'i' as a parameter name")

    def __call__(self, *args, size=-1, stream=None, block_size=128):
        parameters = self.inputs + self.outputs
        if len(args) not in (len(self.inputs), len(parameters)):
            raise TypeError(f"Wrong number of arguments for {self.name!r}")
        given = [*args, *[None] * (len(parameters) - len(args))]
        dtypes = self._dtypes(parameters, given)
        shape = np.broadcast_shapes(*[a.shape for a in given if isinstance(a, ndarray)])
        for number in range(len(self.inputs), len(parameters)):
            if given[number] is None:
                given[number] = empty(shape, dtypes[number])
            elif given[number].shape != shape:
                raise ValueError("Out shape is mismatched")
        loop, count = self._loop(parameters, dtypes), int(np.prod(shape))
        stats["launches"] += 1

        def work():
            held = []
            for number, (a, dtype) in enumerate(zip(given, dtypes, strict=True)):
                values = np.asarray(host(a), dtype)
                if number < len(self.inputs):
                    values = np.ascontiguousarray(np.broadcast_to(values, shape))
                held.append(values)
            loop(*[ctypes.c_void_p(values.ctypes.data) for values in held], ctypes.c_longlong(count))

        (stream or current()).submit(work)
        outputs = given[len(self.inputs) :]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _dtypes(self, parameters, given) -> list[np.dtype]:
        types: dict[str, np.dtype] = {}
        for (name, kind), a in zip(parameters, given, strict=True):
            host(a)
            if len(kind) == 1 and a is not None:
                types.setdefault(kind, np.asarray(a).dtype if not isinstance(a, ndarray) else a.dtype)
            elif isinstance(a, ndarray) and a.dtype != np.dtype(kind):
                raise TypeError(f"{name}: {a.dtype} array for {kind}")
        return [types[kind] if len(kind) == 1 else np.dtype(kind) for _, kind in parameters]

    def _loop(self, parameters, dtypes):
        key = tuple(dtypes)
        if key not in self._compiled:
            names = [_C[dtype.name] for dtype in dtypes]
            types = {kind: c for (_, kind), c in zip(parameters, names, strict=True) if len(kind) == 1}
            signature = ", ".join(f"{c}* {n}_" for c, (n, _) in zip(names, parameters, strict=True))
            items = "".join(
                f"{'const ' if number < len(self.inputs) else ''}{c} &{name} = {name}_[i];\n"
                for number, (c, (name, _)) in enumerate(zip(names, parameters, strict=True))
            )
            source = '#include "cuda_shim.h"\n' + "".join(f"typedef {c} {t};\n" for t, c in types.items())
            source += f'{self.preamble}\nextern "C" void loop({signature}, long long size_) {{\n'
            source += f"for (long long i = 0; i < size_; ++i) {{ {items} {self.operation}; }} }}\n"
            self._compiled[key] = _plain(source)
        return self._compiled[key]


def _plain(source: str) -> Any:
    def make(out):
        cpp = out.with_suffix(".cpp")
        cpp.write_text(source)
        shim.compile_cpp("-std=c++20", "-O1", "-w", "-fPIC", "-shared", f"-I{shim.HERE}", cpp, "-o", out)
        cpp.unlink()

    function = ctypes.CDLL(str(shim.cached((source,), ".so", make))).loop
    function.restype = None
    return function
