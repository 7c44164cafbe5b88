"""Structures as plain data: JSON can hold them, and the same structure can be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn.errors import ArgumentError
from fastnn.layers import deserialize, serialize
from fastnn.layers.base import Layer, Symbol
from fastnn.layers.core import InputLayer

CustomLayers = Mapping[str, type[Layer]]


def graph_config(
    inputs: Sequence[Symbol], calls: Sequence[Symbol], outputs: Sequence[Symbol], layers: Sequence[Layer]
) -> dict[str, Any]:
    """Return layers, and who calls which on what, as plain data."""
    symbols = {id(symbol): number for number, symbol in enumerate((*inputs, *calls))}
    numbers = {id(layer): number for number, layer in enumerate(layers)}
    return {
        "layers": [serialize(layer) for layer in layers],
        "calls": [
            {"layer": numbers[id(symbol.layer)], "inputs": [symbols[id(source)] for source in symbol.inputs]}
            for symbol in (*inputs, *calls)
        ],
        "inputs": [symbols[id(symbol)] for symbol in inputs],
        "outputs": [symbols[id(symbol)] for symbol in outputs],
    }


def graph_from_config(
    config: Mapping[str, Any], custom_objects: CustomLayers | None = None
) -> tuple[list[Symbol], list[Symbol]]:
    """Make new layers and call them as :func:`graph_config` recorded; returns inputs and outputs."""
    layers = layers_from_config(config, custom_objects)
    symbols: list[Symbol] = []
    try:
        for call in config["calls"]:
            layer = layers[call["layer"]]
            sources = [symbols[number] for number in call["inputs"]]
            if isinstance(layer, InputLayer):
                symbols.append(layer.output)
            else:
                symbols.append(layer(sources if len(sources) > 1 else sources[0]))
        found = [[symbols[number] for number in config[key]] for key in ("inputs", "outputs")]
    except (KeyError, IndexError, TypeError) as error:
        raise ArgumentError(
            f"Expected the config of a Model, as get_config returns it. Received one in which "
            f"{type(error).__name__} {error} occurs."
        ) from None
    return found[0], found[1]


def layers_from_config(config: Mapping[str, Any], custom_objects: CustomLayers | None = None) -> list[Layer]:
    """Make the layers of a config."""
    if not isinstance(config, Mapping) or not isinstance(config.get("layers"), (list, tuple)):
        raise ArgumentError(
            f"Expected the config of a model, a dict with 'layers', as get_config returns it. "
            f"Received: {config!r}."
        )
    return [deserialize(item, custom_objects) for item in config["layers"]]


def common_from_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments that all models have."""
    return {key: config[key] for key in ("name", "seed", "dtype") if key in config}
