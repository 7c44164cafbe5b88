"""The documentation runs, and importing metrics stays cheap."""

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

from fastnn import metrics

MODULES = [f"fastnn.metrics.{module.name}" for module in pkgutil.iter_modules(metrics.__path__)]
PUBLIC = [getattr(metrics, name) for name in metrics.__all__]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda thing: thing.__name__)
def test_public_things_are_documented(thing):
    text = inspect.getdoc(thing)
    sections = ["Examples"] if thing is not metrics.names else []
    if inspect.isclass(thing):
        sections += ["Parameters"]
    for section in sections:
        assert f"{section}\n{'-' * len(section)}" in text
    if inspect.isclass(thing):
        accepted = set(inspect.signature(thing).parameters) - {"options"}
        assert all(parameter in text for parameter in accepted)


def test_import_pulls_in_numpy_only():
    code = (
        "import sys, importlib.util, types\n"
        "package = types.ModuleType('fastnn')\n"
        f"package.__path__ = {[str(p) for p in importlib.import_module('fastnn').__path__]!r}\n"
        "sys.modules['fastnn'] = package\n"  # not through fastnn/__init__.py, which may need more
        "import fastnn.metrics\n"
        "print([m for m in ('scipy', 'sklearn', 'numba', 'pandas') if m in sys.modules])\n"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "[]"
