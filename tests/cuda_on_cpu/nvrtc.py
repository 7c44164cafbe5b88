"""NVRTC by ctypes: the compiler that CuPy uses on the user's machine, without CuPy, a driver or a GPU."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.metadata
import os
import re
import site
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

#: What the project promises to run on: Turing to Blackwell.
ARCHITECTURES = ("75", "80", "86", "89", "90", "100", "120")
#: What CuPy always adds.
CUPY_OPTIONS = ("-ftz=true",)
_RESOURCES = re.compile(r"Function (\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)")
_PTXAS = re.compile(
    r"Compiling entry function '(\w+)' for '\w+'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, "
    r"(\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)",
    re.S,
)


class Resources(NamedTuple):
    """What a kernel needs: registers a thread, static shared memory a block, bytes of stack and of spills."""

    registers: int
    shared: int
    stack: int
    spills: int


def _wheel_files(pattern: str) -> list[Path]:
    return [path for folder in site.getsitepackages() for path in Path(folder).glob(f"nvidia/{pattern}")]


def available() -> str:
    """Return why there is no NVRTC, or an empty string."""
    if _wheel_files("cu1*/lib/libnvrtc.so.1?") or _wheel_files("cuda_nvrtc/lib/libnvrtc.so.1?"):
        return ""
    return "NVRTC's wheel is missing: pip install nvidia-cuda-nvrtc"


@functools.cache
def library() -> ctypes.CDLL:
    """Load NVRTC."""
    paths = _wheel_files("cu1*/lib/libnvrtc.so.1?") or _wheel_files("cuda_nvrtc/lib/libnvrtc.so.1?")
    if not paths:
        raise ImportError(available())
    return ctypes.CDLL(str(paths[0]))


def version() -> str:
    """Return the version of NVRTC's wheel, which is that of its ptxas too."""
    for name in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return "unknown"


def supported() -> list[int]:
    """Return the architectures that this NVRTC compiles for."""
    count = ctypes.c_int()
    library().nvrtcGetNumSupportedArchs(ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    library().nvrtcGetSupportedArchs(found)
    return list(found)


def compile_cubin(source: str, architecture: str, options: Sequence[str] = ()) -> tuple[bytes, str]:
    """Compile as CuPy would; return the machine code and the log.

    Raises
    ------
    RuntimeError
        With the compiler's log.
    """
    nvrtc, program, size = library(), ctypes.c_void_p(), ctypes.c_size_t()
    flags = [f"-arch=sm_{architecture}", "--ptxas-options=-v", *CUPY_OPTIONS, *options]
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"k.cu", 0, None, None) == 0
    status = nvrtc.nvrtcCompileProgram(
        program, len(flags), (ctypes.c_char_p * len(flags))(*[flag.encode() for flag in flags])
    )
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if status:
        raise RuntimeError(log.value.decode())
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetCUBIN(program, cubin)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw, log.value.decode()


def resources(log: str) -> dict[str, Resources]:
    """Read ptxas' report: what each kernel needs."""
    found = {}
    for name, stack, stores, loads, registers, rest in _PTXAS.findall(log):
        shared = re.search(r"(\d+) bytes smem", rest)
        spills = int(stores) + int(loads)
        found[name] = Resources(int(registers), int(shared[1]) if shared else 0, int(stack), spills)
    return found


def cuobjdump() -> Path | None:
    """Return the disassembler of the wheel nvidia-cuda-cuobjdump."""
    found = _wheel_files("cu1*/bin/cuobjdump")
    return found[0] if found and os.access(found[0], os.X_OK) else None


def resource_table(cubin: bytes) -> dict[str, tuple[int, int, int, int]]:
    """Return registers, stack, shared and local bytes of each kernel, from the machine code itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "k.cubin"
        path.write_bytes(cubin)
        text = subprocess.run(
            [cuobjdump(), "--dump-resource-usage", path], capture_output=True, text=True, check=True
        ).stdout
    return {name: tuple(map(int, numbers)) for name, *numbers in _RESOURCES.findall(text)}  # type: ignore[misc]
