"""Elementwise ops of the user's own: a function and its derivative, compiled like the built-in ones."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError
from fastnn.ops import registry
from fastnn.ops.activations import ELEMENTWISE, elementwise

#: Backends that are told of a new op, by module; each is imported when it is first used anyway.
_CPU, _GPU = "fastnn.backends.cpu.custom", "fastnn.backends.gpu.custom"
_registered: set[str] = set()


def register_elementwise(
    name: str,
    function: Callable[[Any], Any],
    derivative: Callable[[Any], Any],
    saves: str = "input",
    *,
    cuda: str | None = None,
    cuda_derivative: str | None = None,
) -> registry.Op:
    """Add an activation of your own to the op table; afterwards its name works wherever a built-in one does.

    Parameters
    ----------
    name : str
        A new name: letters, digits and underscores.
    function : callable
        ``function(x)`` on one number: arithmetic, comparisons, and ``np.exp`` and the like, which Numba
        compiles. It must work on arrays as well, or on single floats.
    derivative : callable
        ``derivative(s)``, where `s` is the op's input or output.
    saves : {'input', 'output'}
        What the derivative takes.
    cuda : str, optional
        The function as a C expression of `x`, for GPUs: ``'x * x * x'``, ``'x / (1 + fabs(x))'``. It is
        computed in the model's dtype, but for literals such as ``1.0``, which are float64; ``(T)1`` is not.
    cuda_derivative : str, optional
        The derivative as a C expression of `s`. Needed with `cuda`.

    Returns
    -------
    Op
        The record; ``fastnn.ops.NAME`` is the function on arrays.

    Raises
    ------
    ArgumentError
        If the name is taken or not a name, a function is none, `saves` is something else, or one of the C
        expressions is missing or empty.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import ops
    >>> op = ops.register_elementwise("cube", lambda x: x * x * x, lambda x: 3 * x * x)
    >>> ops.cube(np.array([[2.0]])).tolist()
    [[8.0]]
    >>> ops.unregister_elementwise("cube")
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name or ""):
        raise ArgumentError(
            f"An op's name is lower-case letters, digits and underscores. Received: {name!r}."
        )
    if saves not in ("input", "output"):
        raise ArgumentError(f"`saves` must be 'input' or 'output'. Received: {saves!r}.")
    for argument, value in (("function", function), ("derivative", derivative)):
        if not isinstance(value, FunctionType):
            raise ArgumentError(
                f"`{argument}` must be a Python function, to be compiled. Received: {type(value).__name__}."
            )
    expressions = (cuda, cuda_derivative)
    if expressions != (None, None) and not all(isinstance(e, str) and e.strip() for e in expressions):
        raise ArgumentError(
            "`cuda` and `cuda_derivative` must be C expressions, or both None. "
            f"Received: cuda={cuda!r}, cuda_derivative={cuda_derivative!r}."
        )
    if name in registry.names() or f"{name}_grad" in registry.names():
        raise ArgumentError(f"An op named {name!r} is registered already.")
    op = elementwise(
        name, np.vectorize(function, otypes=[float]), np.vectorize(derivative, otypes=[float]), saves
    )
    importlib.import_module(_CPU).add(name, function, derivative)
    importlib.import_module(_GPU).add(name, cuda, cuda_derivative)
    _registered.add(name)
    return op


def unregister_elementwise(name: str) -> None:
    """Take an op of your own out of the table; one of fastnn's raises ArgumentError."""
    if name not in _registered:
        own = ", ".join(sorted(_registered)) or "there is none"
        raise ArgumentError(f"Expected the name of an op of your own ({own}). Received: {name!r}.")
    _registered.remove(name)
    for entry in (name, f"{name}_grad"):
        registry.unregister(entry)
    ELEMENTWISE.pop(name, None)
    importlib.import_module(_CPU).remove(name)
    importlib.import_module(_GPU).remove(name)
