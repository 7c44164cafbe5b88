"""How layers are connected: the order of execution, and the same layers on other symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.errors import ArgumentError, ShapeError
from fastnn.layers.base import Layer, Symbol
from fastnn.layers.core import Embedding, InputLayer


def in_order(inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> list[Symbol]:
    """Return the symbols between inputs and outputs, each after those it needs (no recursion).

    Raises
    ------
    ArgumentError
        If an output depends on an input that is not given.
    """
    known = {id(symbol) for symbol in inputs}
    done: set[int] = set()
    order: list[Symbol] = []
    stack = list(reversed(outputs))
    while stack:
        symbol = stack[-1]
        if id(symbol) in done or id(symbol) in known:
            stack.pop()
            continue
        if isinstance(symbol.layer, InputLayer):
            raise ArgumentError(
                f"The graph is disconnected: an output depends on input {symbol.layer.name!r}, which is not "
                f"among the model's inputs. Received: inputs={[s.layer.name for s in inputs]}."
            )
        waiting = [source for source in symbol.inputs if id(source) not in done and id(source) not in known]
        if waiting:
            stack.extend(reversed(waiting))
            continue
        stack.pop()
        done.add(id(symbol))
        order.append(symbol)
    return order


def replay(
    inputs: Sequence[Symbol], calls: Sequence[Symbol], outputs: Sequence[Symbol], given: Sequence[Symbol]
) -> list[Symbol]:
    """Call the same layers, sharing their weights, on other symbols than `inputs`; returns the outputs."""
    if len(given) != len(inputs):
        raise ArgumentError(f"The model takes {len(inputs)} input(s). Received: {len(given)}.")
    for symbol, new in zip(inputs, given, strict=True):
        if new.spec.shape != symbol.spec.shape:
            raise ShapeError(
                f"Input {symbol.layer.name!r} of the model takes rows of shape {symbol.spec.shape}. "
                f"Received: rows of shape {new.spec.shape} from layer {new.layer.name!r}."
            )
    found = {id(symbol): new for symbol, new in zip(inputs, given, strict=True)}
    for symbol in calls:
        sources = [found[id(source)] for source in symbol.inputs]
        found[id(symbol)] = symbol.layer(sources if len(sources) > 1 else sources[0])
    return [found[id(symbol)] for symbol in outputs]


def layers_of(inputs: Sequence[Symbol], calls: Sequence[Symbol]) -> list[Layer]:
    """Return the layers, each once, in an order of execution.

    Raises
    ------
    ArgumentError
        If two have the same name, or one cannot take what another gives.
    """
    for symbol in calls:
        symbol.layer.check_kinds([source.spec for source in symbol.inputs])
    layers = list({id(symbol.layer): symbol.layer for symbol in (*inputs, *calls)}.values())
    names: dict[str, Layer] = {}
    for layer in layers:
        if names.setdefault(layer.name, layer) is not layer:
            raise ArgumentError(f"Layer names must be unique in a model. Received: {layer.name!r} twice.")
    return layers


def symbols_of(given: Any, what: str) -> list[Symbol]:
    """Return the symbols in what a user gave as a model's inputs or outputs."""
    items = list(given.values()) if isinstance(given, dict) else given
    items = list(items) if isinstance(items, (list, tuple)) else [items]
    for item in items:
        if not isinstance(item, Symbol):
            raise ArgumentError(
                f"`{what}` of a Model are symbols, as fastnn.Input(...) and layers return. "
                f"Received: {item!r} of type {type(item).__name__}."
            )
    if not items:
        raise ArgumentError(f"`{what}` of a Model must not be empty. Received: {given!r}.")
    if what == "inputs" and len({id(item) for item in items}) < len(items):
        raise ArgumentError(f"`inputs` of a Model must differ. Received: {items!r}.")
    return items


def from_inputs(inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> tuple[list[Symbol], list[Symbol]]:
    """Return inputs and outputs where every input is an InputLayer's: new ones feed inner layers."""
    if all(isinstance(symbol.layer, InputLayer) for symbol in inputs):
        return list(inputs), list(outputs)
    given = [
        symbol
        if isinstance(symbol.layer, InputLayer)
        else InputLayer(symbol.spec.shape, name=f"{symbol.layer.name}_input").output
        for symbol in inputs
    ]
    return given, replay(inputs, in_order(inputs, outputs), outputs, given)


def names_of(symbols: Sequence[Symbol]) -> list[str]:
    """Return the names of the symbols' layers, a number behind where a layer occurs again."""
    names: list[str] = []
    for symbol in symbols:
        name, number = symbol.layer.name, 1
        while name in names:
            name, number = f"{symbol.layer.name}_{number}", number + 1
        names.append(name)
    return names


def index_limits(inputs: Sequence[Symbol], calls: Sequence[Symbol]) -> list[int | None]:
    """For each input, return one more than the largest index its embeddings take (None: no embedding)."""
    limits: list[int | None] = []
    for source in inputs:
        sizes = [
            symbol.layer.input_dim
            for symbol in calls
            if isinstance(symbol.layer, Embedding) and symbol.inputs[0] is source
        ]
        limits.append(min(sizes) if sizes else None)
    return limits
