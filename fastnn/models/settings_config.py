"""What ``compile`` was given as plain data, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastnn import losses, metrics, optimizers
from fastnn.errors import ArgumentError, UnknownNameError
from fastnn.layers.base import Layer
from fastnn.metrics import FunctionMetric, Metric
from fastnn.serialization import Configurable

Plain = Any


def compile_config(arguments: Mapping[str, Any]) -> dict[str, Plain]:
    """Return the arguments of ``compile`` as plain data, which ``compile`` takes as well.

    Raises
    ------
    ArgumentError
        If the learning rate is a function: only schedules of fastnn.schedules can be written down.
    """
    return {
        "optimizer": optimizers.serialize(arguments["optimizer"]),
        "loss": _plain(arguments["loss"], lambda loss: losses.serialize(losses.get(loss))),
        "loss_weights": _plain(arguments["loss_weights"], float),
        "metrics": _plain(arguments["metrics"], _metric),
        "weighted_metrics": _plain(arguments["weighted_metrics"], _metric),
    }


def _plain(given: Any, leaf: Callable[[Any], Plain]) -> Plain:
    """Apply `leaf` to the objects in nested lists and dicts; names and plain descriptions stay."""
    if given is None or isinstance(given, str) or (isinstance(given, Mapping) and "class_name" in given):
        return given
    if isinstance(given, Mapping):
        return {name: _plain(item, leaf) for name, item in given.items()}
    if isinstance(given, (list, tuple)):
        return [_plain(item, leaf) for item in given]
    return leaf(given)


def _metric(given: Any) -> Plain:
    metric = metrics.get(given)
    config = metric.get_config()
    if isinstance(metric, FunctionMetric):
        config = {**config, "fn": _name(metric.fn)}
    return {"class_name": type(metric).__name__, "config": config}


def _name(thing: Any) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__))


# --------------------------------------------------------------------------- what is the user's own
def own_things(things: Any) -> dict[str, Any]:
    """Return the classes and functions among nested `things` that are not fastnn's, by name.

    Raises
    ------
    ArgumentError
        If two have the same name.
    """
    found: dict[str, Any] = {}
    for thing in _own(things):
        if found.setdefault(_name(thing), thing) is not thing:
            raise ArgumentError(
                f"What is saved must differ in name. Received: {thing!r} and {found[_name(thing)]!r}."
            )
    return found


def _own(given: Any) -> Any:
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, (list, tuple)):
        for item in given:
            yield from _own(item)
        return
    if isinstance(given, FunctionMetric):
        yield given.fn
    elif isinstance(given, (Configurable, Metric, Layer)):
        if not type(given).__module__.startswith("fastnn."):
            yield type(given)
        yield from _own([value for value in vars(given).values() if isinstance(value, Configurable)])
    elif callable(given) and not (getattr(given, "__module__", None) or "").startswith("fastnn."):
        yield given


def check_own(names: list[str], custom_objects: Mapping[str, Any], where: str, hint: str = "") -> None:
    """Raise UnknownNameError if some of the `names` that a file needs are not among `custom_objects`."""
    missing = [name for name in names if name not in custom_objects]
    if missing:
        raise UnknownNameError(
            f"{where} needs classes or functions of its writer's: expected custom_objects with "
            f"{', '.join(map(repr, missing))}{hint}. Received: {sorted(custom_objects)}."
        )


def resolved(config: Plain, own: Mapping[str, Any]) -> Plain:
    """Replace descriptions of a user's own things by objects, in nested plain data; layers stay.

    Parameters
    ----------
    config : list or dict
    own : dict
        Classes and functions by name; a name means the user's, though fastnn may have one like it.
    """
    if isinstance(config, list):
        return [resolved(item, own) for item in config]
    if not isinstance(config, dict):
        return config
    found = {key: resolved(value, own) for key, value in config.items()}
    arguments = found.get("config")
    if not isinstance(found.get("class_name"), str) or not isinstance(arguments, dict):
        return found
    if found["class_name"] == "FunctionMetric" and arguments.get("fn") in own:
        return FunctionMetric(**{**arguments, "fn": own[arguments["fn"]]})
    cls = own.get(found["class_name"])
    if isinstance(cls, type) and issubclass(cls, (Configurable, Metric)):
        return cls.from_config(arguments)
    return found
