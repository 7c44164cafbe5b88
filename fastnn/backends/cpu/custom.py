"""User-registered elementwise ops: scalar functions compiled into the same loops as the built-in ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from fastnn.backends.cpu import activations
from fastnn.backends.cpu.jit import inline
from fastnn.backends.cpu.lowering import lowers, unregister


def add(name: str, function: Callable, derivative: Callable) -> None:
    """Make a user's function and derivative known to the kernels."""
    f, d = inline(function), inline(derivative)

    @inline
    def forward(x, a, b, c):
        return f(x)

    @inline
    def backward(dy, s, a, b, c):
        return dy * d(s)

    kernel_name = f"{name}-{_fingerprint(function, derivative)}"
    activations.SCALARS[kernel_name] = activations.Scalar(forward, backward)
    activations.CUSTOM[name] = kernel_name
    lowers(name, f"{name}_grad")(activations.lower_elementwise)


def remove(name: str) -> None:
    """Forget a user's op."""
    activations.SCALARS.pop(activations.CUSTOM.pop(name), None)
    unregister(name, f"{name}_grad")


def _fingerprint(*functions: Callable) -> str:
    """Hash what the functions do, so that the kernel cache notices another function of the same name."""
    return hashlib.sha256(repr([_description(function) for function in functions]).encode()).hexdigest()[:12]


def _description(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """Describe a function by its code and by the values of the names it uses, which are compiled in."""
    function = getattr(value, "py_func", value)  # a helper that Numba has wrapped
    code = getattr(function, "__code__", None)
    if code is None or id(function) in seen:
        return getattr(value, "__name__", None) or repr(value)
    used = [function.__globals__[name] for name in code.co_names if name in function.__globals__]
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    described = [_description(one, (*seen, id(function))) for one in (*used, *cells)]
    return code.co_code, code.co_consts, code.co_names, function.__defaults__, described
