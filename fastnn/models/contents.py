"""What a model consists of: arrays by name, and plain data. Files and pickles hold exactly these.

Arrays are called ``weights/<variable>``, ``layers/<layer>/<name>`` (what a layer keeps beside its variables),
``optimizer/<slot>/<variable>``, ``optimizer/hyper`` and ``history/<key>``.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from fastnn.callbacks.history import History
from fastnn.errors import ArgumentError, FileFormatError
from fastnn.layers.base import Layer
from fastnn.layers.variables import initial_values
from fastnn.models.network import check_seed
from fastnn.models.settings_config import resolved
from fastnn.serialization import check_bool, check_integer
from fastnn.training.state import OptimizerState

Arrays = dict[str, np.ndarray]
WEIGHTS, LAYERS, OPTIMIZER, HISTORY = "weights/", "layers/", "optimizer/", "history/"


# --------------------------------------------------------------------------- taking apart
def weights_of(model: Any) -> Arrays:
    """Return copies of a model's variables by their path.

    Raises
    ------
    ArgumentError
        If two variables have the same path.
    """
    found: Arrays = {}
    for variable in model.variables:
        if variable.path in found:
            raise ArgumentError(
                f"Variables must have names of their own to be saved. Received: {variable.path!r} twice in "
                f"model {model.name!r}. Give the weights of a layer different names in add_weight."
            )
        found[variable.path] = variable.numpy()
    return found


def take_apart(model: Any, with_training: bool = True) -> tuple[Arrays, dict[str, Any]]:
    """Return a model's arrays and the plain data that :func:`build` and :func:`resume` need.

    Parameters
    ----------
    model : Model
    with_training : bool, default True
        Whether the optimizer's state is among them.
    """
    arrays = {WEIGHTS + path: array for path, array in weights_of(model).items()}
    classes = {type(layer) for layer in model.layers}
    if len({cls.__name__ for cls in classes}) < len(classes):
        names = sorted(f"{cls.__module__}.{cls.__qualname__}" for cls in classes)
        raise ArgumentError(f"Layer classes of a saved model must differ in name. Received: {names}.")
    for layer in model.layers:
        for name, array in layer.get_extra_state().items():
            arrays[f"{LAYERS}{layer.name}/{name}"] = array
    data: dict[str, Any] = {
        "config": model.get_config(),
        "seed": model.seed,
        "schema": model.schema,
        "history": _take_history(model.history, arrays),
        "training": _take_state(model, arrays) if with_training else None,
    }
    return arrays, data


def _take_history(history: History | None, arrays: Arrays) -> dict[str, Any] | None:
    """Put the columns that hold numbers among the arrays; a callback's logs may hold anything."""
    if history is None:
        return None
    arrays[f"{HISTORY}epoch"] = np.array(history.epoch, np.int64)
    columns: list[str] = []
    for key, values in history.history.items():
        if all(isinstance(value, numbers.Real) for value in values):
            arrays[f"{HISTORY}{len(columns)}"] = np.array(values, np.float64)
            columns.append(key)
    return {"columns": columns, "seconds": float(history.seconds)}


def _take_state(model: Any, arrays: Arrays) -> dict[str, Any] | None:
    """Put the optimizer's vectors, cut into variables, among the arrays."""
    state = model._state
    if state is None:
        return None
    current = all(slot.size == model.storage.array.size for slot in state.slots)
    names = list(state.names) if current else []  # else the next fit would begin them anew
    for name, slot in zip(names, state.slots, strict=False):
        for variable in model.variables:
            part = slot[variable.offset : variable.offset + variable.size]
            arrays[f"{OPTIMIZER}{name}/{variable.path}"] = part.reshape(variable.shape).copy()
    if current:
        arrays[f"{OPTIMIZER}hyper"] = state.hyper.copy()
    return {
        "slots": names,
        "current": current,
        "step": int(state.step),
        "epoch": int(state.epoch),
        "swapped": state.swapped and current,  # the average is among the weights, and they in its slot
    }


# --------------------------------------------------------------------------- putting together
def build(cls: Any, arrays: Mapping[str, np.ndarray], data: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """Return the model, not compiled yet: its weights are these arrays, none is drawn.

    Parameters
    ----------
    cls : type
        The model's class.
    arrays, data : dict
        From :func:`take_apart`.
    own : dict
        Classes that are the user's, by name.

    Raises
    ------
    FileFormatError
        If the arrays are not those of the model that is described.
    """
    weights = under(WEIGHTS, arrays)
    seed = check_seed(data["seed"], "a saved model")
    with initial_values(weights):
        layers = {k: v for k, v in own.items() if isinstance(v, type) and issubclass(v, Layer)}
        config = resolved(data["config"], own)
        model = cls.from_config({**config, "seed": seed}, layers)
    model._given_seed = data["config"].get("seed")
    if weights.keys() != {variable.path for variable in model.variables}:
        raise FileFormatError(f"The weights {sorted(weights)} are not those of model {model.name!r}.")
    for layer in model.layers:
        state = under(f"{LAYERS}{layer.name}/", arrays)
        if state:
            layer.set_extra_state(state)
    model.schema = data["schema"]
    model.history = _history(arrays, data["history"])
    return model


def resume(model: Any, arrays: Mapping[str, np.ndarray], data: Mapping[str, Any]) -> None:
    """Give a compiled model the optimizer's state it had.

    Raises
    ------
    FileFormatError
        If the arrays are not those of its weights.
    """
    training = data["training"]
    if training is None:
        return
    slots = []
    for name in training["slots"]:
        parts, optimizer = under(f"{OPTIMIZER}{name}/", arrays), model.optimizer
        if parts.keys() != {variable.path for variable in model.variables}:
            raise FileFormatError(f"The optimizer's {name!r} is not one of these weights.")
        fill = optimizer.slot_init(name) if name in optimizer.slots() else 0.0
        slots.append(np.full_like(model.storage.array, fill))
        for variable in model.variables:
            part = parts[variable.path]
            if (part.shape, part.dtype) != (variable.shape, slots[-1].dtype):
                raise FileFormatError(f"The optimizer's {name!r} of {variable.path} has another shape.")
            slots[-1][variable.offset : variable.offset + variable.size] = part.ravel()
    hyper = arrays[f"{OPTIMIZER}hyper"] if training["current"] else np.zeros(0)
    if hyper.dtype != np.float64 or hyper.ndim != 1:
        raise FileFormatError("The optimizer's numbers must be a vector of float64.")
    counts = [check_integer(key, training[key], "a saved training", 0) for key in ("step", "epoch")]
    model._state = OptimizerState.of(tuple(training["slots"]), slots, hyper.copy(), *counts)
    model._state.swapped = check_bool("swapped", training.get("swapped", False), "a saved training")


def set_weights(model: Any, weights: Mapping[str, np.ndarray], where: str) -> None:
    """Set a model's variables: by their paths, or in order where layers have other names.

    Raises
    ------
    FileFormatError
        If they do not fit; the model is as it was then.
    """
    paths = [variable.path for variable in model.variables]
    if weights.keys() == set(paths):
        weights = {path: weights[path] for path in paths}
    have = [(variable.name, variable.shape) for variable in model.variables]
    given = [(path.rsplit("/", 1)[-1], array.shape) for path, array in weights.items()]
    if have != given:
        raise FileFormatError(
            f"{where} holds other weights than model {model.name!r} has: expected "
            f"{_listed(have)}. Received: {_listed(given)}."
        )
    model.set_weights(list(weights.values()))


def set_what_fits(model: Any, weights: Mapping[str, np.ndarray], where: str) -> None:
    """Set the variables of those layers whose names and shapes of weights are a file's; warn of the others.

    Layers are matched by name; if none has its name in the file, in order.
    """
    given, own = _by_layer(weights.items()), _by_layer((v.path, v) for v in model.variables)
    sources = {layer: layer for layer in own if layer in given}
    if not sources:
        sources = dict(zip(own, given, strict=False))
    fitting: Arrays = {}
    skipped = []
    for layer, variables in own.items():
        arrays = given.get(sources.get(layer, ""), {})
        have, theirs = ({name: item.shape for name, item in items.items()} for items in (variables, arrays))
        if have == theirs:
            fitting.update((variables[name].path, array) for name, array in arrays.items())
        else:
            pairs = (_listed([*shapes.items()]) for shapes in (have, theirs))
            skipped.append(f"{layer!r} (expected {next(pairs)}; received {next(pairs)})")
    warn_of_skipped(skipped, where)
    model.set_weights([fitting.get(variable.path, variable.numpy()) for variable in model.variables])


def _by_layer(items: Iterable[tuple[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what belongs to each layer, by the last part of its path."""
    found: dict[str, dict[str, Any]] = {}
    for path, item in items:
        layer, _, name = path.rpartition("/")
        found.setdefault(layer, {})[name] = item
    return found


def warn_of_skipped(layers: list[str], where: str) -> None:
    """Tell which layers keep their weights, if any do."""
    if layers:
        warnings.warn(
            f"{where}: with skip_mismatch=True these layers keep the weights they have: {'; '.join(layers)}.",
            UserWarning,
            stacklevel=5,
        )


def _listed(pairs: list[tuple[str, tuple[int, ...]]]) -> str:
    shown = ", ".join(f"{name} {shape}" for name, shape in pairs[:12])
    return f"{len(pairs)} arrays ({shown}{', ...' if len(pairs) > 12 else ''})"


def under(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the arrays whose names begin with `prefix`, by the rest of their names."""
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def _history(arrays: Mapping[str, np.ndarray], data: Mapping[str, Any] | None) -> History | None:
    if data is None:
        return None
    history = History()
    history.epoch = [int(epoch) for epoch in arrays[f"{HISTORY}epoch"]]
    history.seconds = float(data["seconds"])
    for number, key in enumerate(data["columns"]):
        history.history[str(key)] = [float(value) for value in arrays[f"{HISTORY}{number}"]]
    return history
