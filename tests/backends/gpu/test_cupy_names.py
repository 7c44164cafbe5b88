"""The real CuPy on a machine without a GPU: optional, and with every name that is used."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

TOOLS = Path(__file__).parents[2] / "cuda_on_cpu"
PACKAGE = Path(fastnn.__file__).parent
needs_cupy = pytest.mark.skipif(
    importlib.util.find_spec("cupy") is None, reason="CuPy is not installed: pip install 'fastnn[gpu13]'"
)


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_and_training_never_import_cupy():
    code = """
import sys
import numpy as np
import fastnn
from fastnn import layers, models, ops, optimizers
model = models.Sequential([layers.Dense(1)], seed=0)
model.compile("sgd", "mse")
model.fit(np.ones((4, 2), np.float32), np.ones(4, np.float32), epochs=1, verbose=0)
import fastnn.backends.gpu.executor, fastnn.backends.gpu.variants
assert not [name for name in sys.modules if name.split(".")[0].startswith("cupy")]
"""
    run(code)


def test_without_cupy_the_error_names_the_extra():
    code = """
import sys
sys.modules["cupy"] = None
from fastnn.backends.gpu import compile as compiling
from fastnn.errors import DeviceError
try:
    compiling.cupy()
except DeviceError as error:
    assert "fastnn[gpu13]" in str(error) and "fastnn[gpu12]" in str(error), error
else:
    raise AssertionError("no error")
"""
    run(code)


def test_a_broken_cupy_is_named():
    """A missing NVRTC is a RuntimeError while CuPy is imported, not an ImportError."""
    code = """
import sys

class Broken:
    def find_spec(self, name, path=None, target=None):
        if name == "cupy":
            raise RuntimeError("CuPy failed to load libnvrtc.so.13")

sys.meta_path.insert(0, Broken())
from fastnn.backends.gpu import compile as compiling
from fastnn.errors import DeviceError
try:
    compiling.cupy()
except DeviceError as error:
    assert "libnvrtc.so.13" in str(error) and "RuntimeError" in str(error), error
else:
    raise AssertionError("no error")
"""
    run(code)


@needs_cupy
def test_without_a_driver_the_error_says_so():
    code = """
import sys
import cupy
from fastnn.backends.gpu import compile as compiling
from fastnn.errors import DeviceError
if not cupy.cuda.is_available():
    try:
        compiling.cupy()
    except DeviceError as error:
        assert "driver" in str(error) and "nvidia-smi" in str(error), error
    else:
        raise AssertionError("no error")
"""
    run(code)


@needs_cupy
def test_every_name_of_the_fake_is_cupys():
    code = f"""
import sys
import cupy
sys.path.insert(0, {str(TOOLS)!r})
import fakecupy

own = {{"install", "uninstall", "stats", "order", "cuda", "from_numpy", "current"}}
modules = {{"annotations", "sys", "types", "np"}}
names = [name for name in vars(fakecupy) if not name.startswith("_")]
missing = [name for name in names if name not in own | modules and not (
    hasattr(cupy, name) or hasattr(cupy.cuda, name) or hasattr(cupy.cuda.runtime, name)
    or hasattr(cupy.cuda.driver, name))]
for fake, real in [
    (fakecupy.ndarray, cupy.ndarray), (fakecupy.Stream, cupy.cuda.Stream), (fakecupy.Event, cupy.cuda.Event),
    (fakecupy.Graph, cupy.cuda.Graph), (fakecupy.Device, cupy.cuda.Device),
    (fakecupy.RawModule, cupy.RawModule), (fakecupy.cuda, cupy.cuda),
    (fakecupy.cuda.runtime, cupy.cuda.runtime), (fakecupy.cuda.driver, cupy.cuda.driver),
    (type(fakecupy.get_default_memory_pool()), cupy.cuda.MemoryPool),
]:
    machinery = {{"everything", "step", "drain", "submit", "reach"}}
    missing += [f"{{fake}}.{{name}}" for name in vars(fake)
                if not name.startswith("_") and name not in machinery and not hasattr(real, name)]
print(missing)
assert not missing, missing
"""
    run(code)


@needs_cupy
def test_every_name_the_backend_uses_is_cupys():
    """What follows ``cp.`` in the sources, as far as it is not an array's."""
    used = set()
    for path in (PACKAGE / "backends" / "gpu").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                words = ast.unparse(node).replace("self._cp", "cp").replace("cupy()", "cp").split(".")
                if words[0] == "cp" and all(word.isidentifier() for word in words):
                    used.add(".".join(words))
    assert {"cp.asarray", "cp.cuda.Stream"} <= used
    code = f"""
import cupy as cp
missing = []
for name in {sorted(used)!r}:
    try:
        eval(name)
    except AttributeError:
        missing.append(name)
assert not missing, missing
"""
    run(code)
