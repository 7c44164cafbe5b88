"""Models as plain data, and copies made from it."""

from __future__ import annotations

from typing import Any

from fastnn.errors import ArgumentError
from fastnn.layers import deserialize, serialize
from fastnn.layers.base import Symbol
from fastnn.layers.core import InputLayer
from fastnn.models.functional import Model
from fastnn.models.sequential import Sequential


def get_config(model: Model) -> dict[str, Any]:
    """Return a model's structure as plain data: JSON can hold it."""
    common = {"name": model.name, "seed": model.seed, "dtype": model.dtype}
    if isinstance(model, Sequential):
        source = [serialize(model._input.layer)] if model._input is not None else []
        return {"class_name": "Sequential", **common, "layers": source + [serialize(layer) for layer in model.layers]}
    numbers = {id(symbol): number for number, symbol in enumerate([*model.inputs, *model._calls])}
    layers = {id(layer): number for number, layer in enumerate(model.layers)}
    return {
        "class_name": "Model",
        **common,
        "layers": [serialize(layer) for layer in model.layers],
        "calls": [
            {"layer": layers[id(s.layer)], "inputs": [numbers[id(source)] for source in s.inputs]}
            for s in (*model.inputs, *model._calls)
        ],
        "inputs": [numbers[id(s)] for s in model.inputs],
        "outputs": [numbers[id(s)] for s in model.outputs],
    }


def from_config(config: dict[str, Any]) -> Model:
    """Make a model from what :func:`get_config` returned, with fresh weights."""
    common = {key: config[key] for key in ("name", "seed", "dtype") if key in config}
    layers = [deserialize(item) for item in config["layers"]]
    if config.get("class_name") == "Sequential":
        return Sequential(layers, **common)
    if config.get("class_name") != "Model":
        raise ArgumentError(f"Expected the config of a Sequential or a Model. Received: {config.get('class_name')!r}.")
    symbols: list[Symbol] = []
    for call in config["calls"]:
        layer = layers[call["layer"]]
        inputs = [symbols[number] for number in call["inputs"]]
        symbols.append(layer.output if isinstance(layer, InputLayer) else layer(inputs if len(inputs) > 1 else inputs[0]))
    return Model(
        [symbols[number] for number in config["inputs"]], [symbols[number] for number in config["outputs"]], **common
    )


def clone_model(model: Model) -> Model:
    """Return a new model of the same structure, with fresh initial weights (as Keras)."""
    return from_config(get_config(model))
