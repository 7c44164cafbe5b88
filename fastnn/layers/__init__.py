"""Layers: what models are made of. Keras' names, arguments and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.errors import ArgumentError, DtypeError, unknown_name
from fastnn.layers.activation_layers import CELU, ELU, GELU, LeakyReLU, LogSoftmax, PReLU, ReLU, Softmax
from fastnn.layers.base import Layer
from fastnn.layers.core import Activation, Dense, Embedding, Flatten, Input, InputLayer, Reshape
from fastnn.layers.merging import (
    Add,
    Average,
    Concatenate,
    Maximum,
    Multiply,
    Subtract,
    add,
    average,
    concatenate,
    maximum,
    multiply,
    subtract,
)
from fastnn.layers.normalization import BatchNormalization, LayerNormalization
from fastnn.layers.preprocessing import Normalization
from fastnn.layers.regularization import ActivityRegularization, AlphaDropout, Dropout, GaussianNoise
from fastnn.layers.simple_activations import (
    SELU,
    Exponential,
    HardSigmoid,
    HardTanh,
    Linear,
    LogSigmoid,
    Mish,
    Sigmoid,
    SiLU,
    Softplus,
    Softsign,
    Swish,
    Tanh,
)

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "LAYERS",
    "SELU",
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Dropout",
    "Embedding",
    "Exponential",
    "Flatten",
    "GaussianNoise",
    "HardSigmoid",
    "HardTanh",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "Maximum",
    "Mish",
    "Multiply",
    "Normalization",
    "PReLU",
    "ReLU",
    "Reshape",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Softsign",
    "Subtract",
    "Swish",
    "Tanh",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "maximum",
    "multiply",
    "serialize",
    "subtract",
]

#: Every layer class by the name that `serialize` writes.
LAYERS: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        InputLayer, Dense, Activation, Flatten, Reshape, Embedding,
        ReLU, LeakyReLU, PReLU, ELU, CELU, GELU, Softmax, LogSoftmax,
        Linear, SELU, SiLU, Mish, Softplus, Softsign, Tanh, Sigmoid, HardSigmoid, HardTanh, LogSigmoid,
        Exponential,
        Dropout, AlphaDropout, GaussianNoise, ActivityRegularization,
        BatchNormalization, LayerNormalization, Normalization,
        Add, Subtract, Multiply, Average, Maximum, Concatenate,
    )
}  # fmt: skip
LAYERS["Swish"] = SiLU


def serialize(layer: Layer) -> dict[str, Any]:
    """Return a layer's class and arguments as plain data; its weights are not part of it.

    Parameters
    ----------
    layer : Layer

    Returns
    -------
    dict
        ``{'class_name': ..., 'config': ...}``, which :func:`deserialize` turns into an equal layer.

    Raises
    ------
    DtypeError
        If `layer` is no layer.

    Examples
    --------
    >>> from fastnn.layers import Softmax, serialize
    >>> serialize(Softmax(name="output"))
    {'class_name': 'Softmax', 'config': {'name': 'output', 'trainable': True, 'axis': -1}}
    """
    if not isinstance(layer, Layer):
        raise DtypeError(f"Expected a layer object. Received: {layer!r} of type {type(layer).__name__}.")
    return {"class_name": type(layer).__name__, "config": layer.get_config()}


def deserialize(config: Mapping[str, Any], custom_objects: Mapping[str, type[Layer]] | None = None) -> Layer:
    """Return the layer that `serialize` described: equal arguments, no weights.

    Parameters
    ----------
    config : dict
        ``{'class_name': ..., 'config': ...}``.
    custom_objects : dict, optional
        Layer classes of one's own, by name.

    Raises
    ------
    UnknownNameError
        If there is no layer class of that name; the nearest is suggested.
    ArgumentError
        If the class does not take these arguments.
    DtypeError
        If `config` is not such a dict.

    Examples
    --------
    >>> from fastnn.layers import deserialize
    >>> deserialize({"class_name": "Dense", "config": {"units": 3, "name": "hidden"}})
    <Dense 'hidden'>
    """
    name = config.get("class_name") if isinstance(config, Mapping) else None
    arguments = config.get("config", {}) if isinstance(config, Mapping) else None
    if not isinstance(name, str) or not isinstance(arguments, Mapping):
        raise DtypeError(
            f"A layer is described by a dict with 'class_name' and 'config'. "
            f"Received: {config!r} of type {type(config).__name__}."
        )
    known: dict[str, type[Layer]] = {**LAYERS, **(custom_objects or {})}
    if name not in known:
        raise unknown_name("layer class", name, known)
    try:
        return known[name].from_config(dict(arguments))
    except TypeError as error:  # a missing or unexpected argument; errors of fastnn say so themselves
        if isinstance(error, DtypeError):
            raise
        raise ArgumentError(
            f"The configuration does not fit layer class {name!r}: {error}. Received: {dict(arguments)!r}."
        ) from None
