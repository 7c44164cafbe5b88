"""From CUDA sources to functions that can be launched: the only place that imports CuPy and compiles.

A kernel is a file of ``cuda/``, a function in it and macros. Its parameters are read from the source, so
that a scalar is always passed in the size the kernel expects: CuPy itself would pass a Python float as
8 bytes to a 4-byte parameter, and nobody would notice.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.gpu import driver, registers
from fastnn.errors import DeviceError

FOLDER = Path(__file__).parent / "cuda"
OPTIONS = ("--std=c++17",)
#: What stands before every source: types, registers, reductions, random numbers.
PRELUDE = "prelude"
_SIGNATURE = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\(([^)]*)\)\s+)?(\w+)\s*\(([^)]*)\)', re.S
)
#: A source may name others that are to stand before it: ``// uses: scalars``.
_USES = re.compile(r"^// uses: (\w+)$", re.M)
_TYPES: dict[str, Any] = {
    "float": np.float32, "double": np.float64, "int": np.int32, "unsigned": np.uint32, "long long": np.int64,
    "unsigned char": np.uint8, "signed char": np.int8, "short": np.int16, "unsigned short": np.uint16,
    "unsigned long long": np.uint64, "real": None,
}  # fmt: skip

Defines = tuple[tuple[str, "str | int"], ...]


class Variant(NamedTuple):
    """A source with its macros: what is compiled at once.

    Attributes
    ----------
    source : str
        A file of ``cuda/``, without its suffix.
    dtype : {'float32', 'float64'}
        What ``real`` means in it.
    defines : tuple of (name, value)
    """

    source: str
    dtype: str = "float32"
    defines: Defines = ()

    def code(self) -> str:
        """Return the text to compile."""
        parts = [PRELUDE, *_USES.findall(text(self.source)), self.source]
        return "\n".join(f'#line 1 "{part}.cu"\n{text(part)}' for part in parts)

    def options(self) -> tuple[str, ...]:
        """Return the compiler's options."""
        real = "float" if self.dtype == "float32" else "double"
        macros: dict[str, Any] = {"REAL": real, "REAL_IS_FLOAT": int(real == "float")}
        macros.update(registers.defines())
        macros.update(self.defines)
        return (*OPTIONS, *(f"-D{name}={value}" for name, value in macros.items()))


@functools.cache
def text(source: str) -> str:
    """Return a file of ``cuda/``."""
    return (FOLDER / f"{source}.cu").read_text(encoding="utf-8")


@functools.cache
def signatures(source: str) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return for each kernel of a source its launch bound, and its parameters' types without qualifiers."""
    found = {}
    for bound, name, parameters in _SIGNATURE.findall(text(source)):
        types = []
        for parameter in filter(None, (p.strip() for p in parameters.split(","))):
            words = re.sub(r"\bconst\b|__restrict__", "", parameter).split()
            kind = " ".join(words[:-1]) + ("*" if words[-1].startswith("*") else "")
            types.append(kind.replace(" *", "*"))
        found[name] = (int(bound.split(",")[0]) if bound.strip() else 1024, tuple(types))
    return found


def cupy() -> Any:
    """Return the module CuPy, on a machine with a CUDA device.

    Raises
    ------
    DeviceError
        If CuPy is missing or cannot be imported, or there is no device or driver.
    """
    try:
        import cupy as module
    except Exception as error:  # a missing NVRTC is a RuntimeError, a broken install almost anything
        raise DeviceError(
            "The GPU needs CuPy: pip install 'fastnn[gpu13]' (CUDA 13) or 'fastnn[gpu12]' (CUDA 12). "
            f"Received while importing it: {type(error).__name__}: {error}"
        ) from None
    if not module.cuda.is_available():
        raise DeviceError(
            "device='gpu' needs a CUDA device and its driver. CuPy is installed and finds none: "
            f"{driver.why_none(module)}."
        )
    return module


class Function:
    """A kernel ready to be launched.

    Parameters
    ----------
    variant : Variant
    name : str
    """

    def __init__(self, variant: Variant, name: str):
        self.variant, self.name = variant, name
        self.bound, self.types = signatures(variant.source)[name]
        self._raw = _kernel(variant, name)

    def wrap(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Return the arguments with every scalar in the size the kernel reads."""
        if len(arguments) != len(self.types):
            raise TypeError(
                f"{self.name} takes {len(self.types)} arguments ({self.types}): {len(arguments)} given"
            )
        real = np.float32 if self.variant.dtype == "float32" else np.float64
        return tuple(
            value if kind.endswith("*") else (real if kind == "real" else _TYPES[kind])(value)
            for value, kind in zip(arguments, self.types, strict=True)
        )

    def launch(self, grid: tuple[int, ...], block: int, arguments: tuple[Any, ...]) -> None:
        """Launch on the current stream with arguments from `wrap`."""
        self._raw(grid, (block,), arguments)


@functools.cache
def _module(variant: Variant) -> Any:
    return cupy().RawModule(code=variant.code(), options=variant.options())


def _kernel(variant: Variant, name: str) -> Any:
    """Compile; CuPy does it when the first kernel of a module is asked for."""
    cp = cupy()
    try:
        return _module(variant).get_function(name)
    except MemoryError:
        raise
    except Exception as error:  # a missing NVRTC is a RuntimeError, a missing header a CompileException
        raise DeviceError(
            f"The kernels of {variant.source}.cu could not be compiled by CuPy {cp.__version__}. A missing "
            "NVRTC or missing headers come with: pip install 'fastnn[gpu13]' (CUDA 13) or 'fastnn[gpu12]' "
            f"(CUDA 12). Received: {type(error).__name__}: {error}"
        ) from error


#: What makes kernels that are in no file: by source, a class with Function's methods.
MAKERS: dict[str, Callable[[Variant, str], Any]] = {}


@functools.cache
def function(variant: Variant, name: str) -> Any:
    """Compile (once) and return a kernel: a Function."""
    return MAKERS.get(variant.source, Function)(variant, name)


def forget() -> None:
    """Forget what has been compiled, so that another CuPy can be used."""
    function.cache_clear()
    _module.cache_clear()
