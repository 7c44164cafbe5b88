"""Activations by name, for ``Dense(activation=...)`` and ``Activation(...)``."""

from __future__ import annotations

from typing import Any

from fastnn.errors import DtypeError, unknown_name
from fastnn.ops import activations as table
from fastnn.ops import registry

#: Names users know, and the op with its attributes each one means.
ALIASES: dict[str, tuple[str, dict[str, Any]]] = {
    "swish": ("silu", {}),
    "relu6": ("relu", {"max_value": 6.0}),
    "gelu_tanh": ("gelu", {"approximate": True}),
    "logistic": ("sigmoid", {}),
    "identity": ("linear", {}),
    "exp": ("exponential", {}),
}
LAST_AXIS = ("softmax", "log_softmax")


def names() -> list[str]:
    """Return every name that ``activation=`` takes."""
    return sorted([*table.ELEMENTWISE, *LAST_AXIS, *ALIASES])


def check(activation: Any, where: str = "") -> str:
    """Return the name of an activation given by name (or None, which means linear).

    Raises
    ------
    UnknownNameError
        If there is no activation of that name; the nearest is suggested.
    DtypeError
        If it is not a name.
    """
    if activation is None:
        return "linear"
    if isinstance(activation, str):
        if activation not in table.ELEMENTWISE and activation not in LAST_AXIS and activation not in ALIASES:
            raise unknown_name("activation", activation, names(), where)
        return activation
    name = None if isinstance(activation, type) else getattr(activation, "__name__", None)
    if isinstance(name, str) and (name in table.ELEMENTWISE or name in LAST_AXIS):
        return name  # fastnn.ops.relu and the like
    raise DtypeError(
        f"An activation is given by name; a layer such as LeakyReLU(0.1) follows as a layer of its own "
        f"(register new ones with fastnn.ops.register_elementwise). "
        f"Received: {activation!r} in {where or 'activation'}."
    )


def op_of(name: str) -> str:
    """Return the op an activation's name stands for: ``'swish'`` is ``'silu'``."""
    return ALIASES[name][0] if name in ALIASES else name


def emit(trace: Any, value: Any, name: str, **attrs: Any) -> Any:
    """Apply an activation to a traced value."""
    if name in ALIASES:
        name, fixed = ALIASES[name]
        attrs = {**fixed, **attrs}
    if name == "linear":
        return value
    return trace.emit(name, [value], **{k: v for k, v in attrs.items() if k in registry.get(name).attrs})
