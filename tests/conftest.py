"""What all tests may use: a fake CuPy, for tests of the GPU backend on machines without a GPU."""

import importlib
import os
import shutil
import sys
from pathlib import Path

import pytest

from fastnn import cli

#: A stand-in for a GPU is not checked at its first use; nor by the processes that tests start.
os.environ["FASTNN_GPU_SELFCHECK"] = "0"
TOOLS = Path(__file__).parent / "cuda_on_cpu"


@pytest.fixture
def fake_cupy(monkeypatch):
    """CuPy's stand-in for one test, its counters at zero; kernels run with the memory checker on."""
    if shutil.which("g++") is None:
        pytest.skip("kernels are compiled by g++, which is missing")
    if str(TOOLS) not in sys.path:
        sys.path.insert(0, str(TOOLS))
    fake = importlib.import_module("fakecupy")
    compiling = importlib.import_module("fastnn.backends.gpu.compile")
    monkeypatch.setenv("FAKECUPY_MODE", "check")
    compiling.forget()
    fake.install()
    fake.stats.clear()
    fake.order[:] = [0, 1]
    yield fake
    monkeypatch.undo()
    fake.uninstall()
    compiling.forget()


@pytest.fixture
def run(capsys):
    """Run a command; gives status, standard output and standard error."""

    def call(*argv):
        try:
            status = cli.main([str(word) for word in argv])
        except SystemExit as exit:
            status = exit.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call
