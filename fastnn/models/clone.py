"""Models as plain data with their class, and copies made from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.errors import DtypeError, unknown_name
from fastnn.models.config import CustomLayers
from fastnn.models.functional import Model
from fastnn.models.sequential import Sequential

#: Model classes by the name that `serialize` writes.
MODELS: dict[str, type[Model]] = {"Model": Model, "Sequential": Sequential}


def serialize(model: Model) -> dict[str, Any]:
    """Return a model's class and structure as plain data, without weights: JSON can hold it.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, deserialize, serialize
    >>> config = serialize(Sequential([Dense(3, input_shape=(2,))], name="small"))
    >>> config["class_name"], deserialize(config)
    ('Sequential', <Sequential 'small', 9 parameters>)
    """
    if not isinstance(model, Model):
        raise DtypeError(f"Expected a model. Received: {model!r} of type {type(model).__name__}.")
    return {"class_name": type(model).__name__, "config": model.get_config()}


def deserialize(config: Mapping[str, Any], custom_objects: CustomLayers | None = None) -> Model:
    """Make the model that :func:`serialize` described, with initial weights.

    Parameters
    ----------
    config : dict
        ``{'class_name': ..., 'config': ...}``.
    custom_objects : dict, optional
        Layer classes of one's own, by name.

    Raises
    ------
    UnknownNameError, ArgumentError, DtypeError
        If the config does not describe a model.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("class_name"), str):
        raise DtypeError(
            f"A model is described by a dict with 'class_name' and 'config'. Received: {config!r}."
        )
    if config["class_name"] not in MODELS:
        raise unknown_name("model class", config["class_name"], MODELS)
    return MODELS[config["class_name"]].from_config(config.get("config", {}), custom_objects)


def clone_model(model: Model) -> Model:
    """Return a new model of the same structure, not compiled, with initial weights (as in Keras).

    The weights are drawn anew, unless the model was given a seed: then they are those it began with.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, clone_model
    >>> model = Sequential([Dense(3, input_shape=(2,))])
    >>> copy = clone_model(model)
    >>> copy.set_weights(model.get_weights())
    """
    return deserialize(serialize(model), {type(layer).__name__: type(layer) for layer in model.layers})
