"""The examples in the documentation run, and what is public is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil

import pytest

import fastnn

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fastnn.__path__, "fastnn.")
    if not module.name.endswith("__main__")
)
DOCUMENTED = ("fastnn.models", "fastnn.callbacks", "fastnn.layers")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, capsys):
    with capsys.disabled():  # doctest captures for itself
        result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def public(module):
    """Go through the public classes and functions of a package, and their public methods."""
    for name in module.__all__:
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isfunction(thing)):
            continue
        yield f"{name}", thing
        for attribute in dir(thing) if inspect.isclass(thing) else ():
            member = inspect.getattr_static(thing, attribute)
            if not attribute.startswith("_") and (
                callable(member) or isinstance(member, (property, classmethod))
            ):
                yield f"{name}.{attribute}", getattr(thing, attribute) if callable(member) else member


@pytest.mark.parametrize("name", DOCUMENTED)
def test_what_is_public_has_a_docstring(name):
    missing = [where for where, thing in public(importlib.import_module(name)) if not inspect.getdoc(thing)]
    assert missing == []


@pytest.mark.parametrize(
    "method",
    ["compile", "fit", "evaluate", "predict", "train_on_batch", "summary", "from_config", "explain_speed"],
)
def test_arguments_are_documented(method):
    function = getattr(fastnn.Model, method)
    text = inspect.getdoc(function)
    for parameter in set(inspect.signature(function).parameters) - {"self"}:
        assert parameter in text, parameter
    assert "Examples\n--------" in text
