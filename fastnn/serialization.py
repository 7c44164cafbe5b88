"""What the description classes share: configuration, argument checks and look-up by name."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import re
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

from fastnn.errors import ArgumentError, DtypeError, unknown_name


class Configurable:
    """A class described by its constructor's arguments, each kept as an attribute of that name."""

    @classmethod
    @functools.cache  # reading signatures was half the time of loading a model
    def argument_names(cls) -> tuple[str, ...]:
        """Return the names of the constructor's arguments, in order."""
        if cls.__init__ is object.__init__:
            return ()
        return tuple(inspect.signature(cls).parameters)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as a dict that JSON can hold."""
        values = {name: getattr(self, name) for name in self.argument_names()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return a new object from what `get_config` returned.

        Raises
        ------
        UnknownNameError
            If `config` names an argument the class does not have.
        """
        for name in config:
            if name not in cls.argument_names():
                raise unknown_name("argument", name, cls.argument_names(), where=cls.__name__)
        return cls(**config)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.argument_names())
        return f"{type(self).__name__}({values})"


T = TypeVar("T", bound=Configurable)


def snake_case(name: str) -> str:
    """Return a class name in snake case: ``'GlorotUniform'`` -> ``'glorot_uniform'``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Registry(Generic[T]):
    """Classes of one kind by name, and the way from a name, dict, class or object to an object.

    Parameters
    ----------
    kind : str
        What the classes are, for messages: ``'optimizer'``.
    base : type
        The class all of them derive from.
    """

    def __init__(self, kind: str, base: type[T]) -> None:
        self.kind = kind
        self.base = base
        self._classes: dict[str, type[T]] = {}
        self._shown: list[str] = []

    def add(self, cls: type[T], *aliases: str, name: str = "") -> type[T]:
        """Register `cls` under its class name, `name` (by default that in snake case) and `aliases`."""
        shown = (name or snake_case(cls.__name__), *aliases)
        for known in (*shown, cls.__name__):
            self._classes[known.lower()] = cls
        self._shown += shown
        return cls

    def __iter__(self) -> Iterator[type[T]]:
        """Iterate over the registered classes, each once, in order of registration."""
        return iter(dict.fromkeys(self._classes.values()))

    def serialize(self, obj: T) -> dict[str, Any]:
        """Return ``{'class_name': ..., 'config': ...}``, which `get` turns into an equal object."""
        return {"class_name": type(obj).__name__, "config": obj.get_config()}

    def get(self, identifier: object, where: str = "") -> T:
        """Return the object that `identifier` means.

        Parameters
        ----------
        identifier : str, dict, type or object
            A registered name in any case, a dict from `serialize`, a class, or an object, which
            is returned as it is.
        where : str
            Where the identifier was given, for the message.

        Raises
        ------
        UnknownNameError
            If a name is not registered; the nearest one is suggested.
        DtypeError
            If `identifier` is of another type.
        """
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, type) and issubclass(identifier, self.base):
            return identifier()
        if isinstance(identifier, str):
            return self._named(identifier, where)()
        if isinstance(identifier, dict) and isinstance(identifier.get("class_name"), str):
            return self._named(identifier["class_name"], where).from_config(identifier.get("config", {}))
        place = f" in {where}" if where else ""
        raise DtypeError(
            f"Expected the name of a known {self.kind}, a {self.base.__name__} object, or a dict with "
            f"'class_name' and 'config'{place}. Received: {identifier!r} of type {type(identifier).__name__}."
        )

    def _named(self, name: str, where: str) -> type[T]:
        try:
            return self._classes[name.lower()]
        except KeyError:
            raise unknown_name(self.kind, name, self._shown, where) from None


def check_number(
    name: str,
    value: object,
    where: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    low_open: bool = False,
    high_open: bool = False,
) -> float:
    """Return `value` as a float if it is a finite real number of the interval, else raise.

    Raises
    ------
    ArgumentError
        If `value` is not a number, not finite, or outside the interval.
    """
    number = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        number = float(value)
    below = number <= low if low_open else number < low
    above = number >= high if high_open else number > high
    if not math.isfinite(number) or below or above:
        left = "(" if low_open or low == -math.inf else "["
        right = ")" if high_open or high == math.inf else "]"
        raise ArgumentError(
            f"`{name}` of {where} must be a finite number in {left}{low:g}, {high:g}{right}. "
            f"Received: {name}={value!r}."
        )
    return number


def check_optional(
    name: str, value: object, where: str, low: float, *, low_open: bool = False
) -> float | None:
    """Return None for None, else `check_number` with a lower bound."""
    return None if value is None else check_number(name, value, where, low, low_open=low_open)


def check_bool(name: str, value: object, where: str) -> bool:
    """Return `value` if it is True or False, else raise `ArgumentError`."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise ArgumentError(f"`{name}` of {where} must be True or False. Received: {name}={value!r}.")
    return bool(value)


def check_integer(name: str, value: object, where: str, low: int) -> int:
    """Return `value` as an int if it is a whole number of at least `low`, else raise `ArgumentError`."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < low:
        raise ArgumentError(f"`{name}` of {where} must be an integer >= {low}. Received: {name}={value!r}.")
    return int(value)


def check_choice(name: str, value: object, where: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`, else raise `ArgumentError`."""
    if not isinstance(value, str) or value not in choices:
        expected = ", ".join(map(repr, choices))
        raise ArgumentError(f"`{name}` of {where} must be one of {expected}. Received: {name}={value!r}.")
    return value
