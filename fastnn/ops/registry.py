"""The op table: one record says all that an op promises.

A record holds the op's name, its inputs and outputs, attributes with defaults, the shape rule, the
gradient rule (written as other ops), a NumPy float64 reference and sample inputs. The array API, the
graph, every backend and the shared tests all read this table; a backend adds only how the op is fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from fastnn.errors import ArgumentError, ShapeError, unknown_name


class Spec(NamedTuple):
    """What is known of a value before any data: its shape, whether it has rows, its kind of number.

    Attributes
    ----------
    shape : tuple of int
        Without the row axis where `rows` is True.
    rows : bool
        Whether a leading axis counts the rows of the batch.
    kind : {'float', 'int', 'index'}
        32-bit integers, and the planner's own 64-bit row numbers.
    """

    shape: tuple[int, ...]
    rows: bool = True
    kind: str = "float"

    @property
    def size(self) -> int:
        """Number of elements in a row (or in all, without rows)."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size


class Emitter(Protocol):
    """What a gradient rule writes to: the graph builder, or the eager executor."""

    def emit(self, op: str, inputs: Sequence[Any], **attrs: Any) -> Any:
        """Apply an op to values; returns its output (a tuple where it has several)."""


#: Inputs with these names have no row axis.
PARAMETER_NAMES = frozenset("w b alpha gamma beta table mean variance dtable".split())
#: Inputs with these names hold integers.
INTEGER_NAMES = frozenset(["index", "labels", "order"])

ShapeRule = Callable[..., "Sequence[Spec]"]
GradientRule = Callable[
    [Emitter, Sequence[Any], Sequence[Any], Sequence[Any], Mapping[str, Any]], Sequence[Any]
]


@dataclass(frozen=True)
class Sample:
    """Inputs on which the shared tests run an op."""

    name: str
    arrays: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    differentiable: bool = True


@dataclass(frozen=True)
class Op:
    """One record of the table.

    Attributes
    ----------
    name : str
    inputs : tuple of str
        Names of the inputs; a trailing ``*`` marks "one or more".
    optional : int
        How many of the last inputs may be left out.
    shape : callable
        ``shape(specs, attrs) -> specs of the outputs``; raises ShapeError.
    reference : callable
        ``reference(*arrays, **attrs) -> array or tuple`` in NumPy float64, written to be graded by eye.
    gradient : callable or None
        ``gradient(emitter, inputs, outputs, d_outputs, attrs) -> d_inputs`` (None where there is none).
    attrs : dict
        Attribute names and defaults.
    samples : callable
        ``samples(rng) -> list of Sample``.
    outputs : tuple of str
        Empty where the op writes to memory that only a program has.
    summary : str
        One line: the equation.
    check : callable or None
        ``check(arrays, attrs)`` raises where a kernel would leave its arrays (an index out of range).
    """

    name: str
    inputs: tuple[str, ...]
    shape: ShapeRule
    reference: Callable[..., Any]
    gradient: GradientRule | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    samples: Callable[..., list[Sample]] | None = None
    outputs: tuple[str, ...] = ("output",)
    summary: str = ""
    optional: int = 0
    check: Callable[[Sequence[Any], Mapping[str, Any]], None] | None = None

    @property
    def variadic(self) -> bool:
        """Whether the last input may be given any number of times."""
        return bool(self.inputs) and self.inputs[-1].endswith("*")

    def complete(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """Fill in default attributes; an unknown one raises ArgumentError."""
        for name in attrs:
            if name not in self.attrs:
                raise ArgumentError(
                    f"Op {self.name!r} has no attribute {name!r}: expected one of "
                    f"{sorted(self.attrs) or 'none'}."
                )
        return {**self.attrs, **attrs}


_table: dict[str, Op] = {}


def register(op: Op) -> Op:
    """Add a record to the table."""
    if op.name in _table:
        raise ArgumentError(f"An op named {op.name!r} is registered already.")
    _table[op.name] = op
    return op


def unregister(name: str) -> None:
    """Take a user's op out of the table."""
    _table.pop(name, None)


def get(name: str) -> Op:
    """Look an op up by name; an unknown one raises UnknownNameError with the nearest known."""
    try:
        return _table[name]
    except KeyError:
        raise unknown_name("op", name, _table) from None


def names() -> list[str]:
    """Return the names of all ops, sorted."""
    return sorted(_table)


# --------------------------------------------------------------------------- shape rules in common
def same_shape(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> list[Spec]:
    """Give one output shaped like the first input."""
    return [specs[0]]


def equal_shapes(specs: Sequence[Spec], attrs: Mapping[str, Any]) -> list[Spec]:
    """Require equal shapes; give one output of that shape."""
    first = specs[0]
    for position, spec in enumerate(specs[1:], start=1):
        if spec.shape != first.shape:
            raise ShapeError(
                f"The inputs must have equal shapes: expected {first.shape} as in input 0. "
                f"Received: {spec.shape} for input {position}."
            )
    return [first]
