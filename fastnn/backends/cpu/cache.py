"""The cache of compiled kernels on disk: one object file a kernel, under a hash of every kernel source.

Numba's own cache loads through its type machinery, which takes 0.3 s to start; an object file needs only
LLVM's loader. Cache files are machine code: whoever can write to the folder can run code, as with ``.pyc``.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import sys
import threading
import uuid
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numpy as np

#: Files outside this folder that kernels depend on: constants that are compiled in, and fastnn's version.
OUTER_SOURCES = (
    "__init__.py", "random.py", "backends/lowerings.py", "ops/activation_forms.py", "ops/activations.py",
    "ops/dropout.py", "ops/loss_reference.py", "ops/normalization.py", "ops/schedules.py", "ops/updates.py",
)  # fmt: skip


@functools.cache
def sources_hash() -> str:
    """Hash every kernel source, fastnn's version and the compiler's: the key of the cache."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[2]
    for path in (*sorted(Path(__file__).parent.glob("*.py")), *(package / name for name in OUTER_SOURCES)):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    digest.update(
        f"{version('numba')} {version('llvmlite')} {np.__version__} {sys.version_info[:2]}".encode()
    )
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


def symbol_name(key: str, exact: bool = False) -> str:
    """Return a function name that no other kernel has."""
    return f"fastnn_{hashlib.sha256(f'{key} {exact}'.encode()).hexdigest()[:20]}"


def object_path(folder: Path | None, key: str, exact: bool = False) -> Path | None:
    """Return the file of a kernel in the cache's folder, or None without one."""
    return None if folder is None else folder / f"{symbol_name(key, exact)}-{_machine()}.o"


@functools.cache
def _machine() -> str:
    """Hash what machine code depends on: processor, its features, Numba's overrides of them."""
    parts = (
        llvm.get_default_triple(),
        os.environ.get("NUMBA_CPU_NAME") or llvm.get_host_cpu_name(),
        os.environ.get("NUMBA_CPU_FEATURES") or llvm.get_host_cpu_features().flatten(),
    )
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]


def save_object(path: Path, symbol: str, code: bytes) -> None:
    """Write a kernel's object file; a full disk costs a warning, not the training."""
    header = json.dumps({"symbol": symbol, "sha256": hashlib.sha256(code).hexdigest()}).encode()
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(header + b"\n" + code)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        warnings.warn(f"fastnn could not cache a kernel in {path}: {error}", RuntimeWarning, stacklevel=2)


def load_object(path: Path | None) -> int | None:
    """Load a kernel's object file and return the kernel's address; None if there is no sound file."""
    if path is None:
        return None
    try:
        header, _, code = path.read_bytes().partition(b"\n")
        fields = json.loads(header)
        if fields["sha256"] != hashlib.sha256(code).hexdigest():
            return None
        symbol = str(fields["symbol"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    engine = _loader()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return engine.get_function_address(symbol) or None


@functools.cache
def _loader() -> Any:
    """Return LLVM's loader of object files."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    # The error paths of a kernel name functions of Numba's runtime. A kernel never raises, so until Numba
    # brings the real ones they may be anything that stops the process.
    abort = ctypes.cast(ctypes.pythonapi.Py_FatalError, ctypes.c_void_p).value
    for name in _RUNTIME:
        if llvm.address_of_symbol(name) is None:
            llvm.add_symbol(name, abort)
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


_RUNTIME = (
    "NRT_Free",
    "numba_do_raise",
    "numba_gil_ensure",
    "numba_gil_release",
    "numba_runtime_build_excinfo_struct",
    "numba_unpickle",
)
