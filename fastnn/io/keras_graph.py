"""Functional models: Keras' layers with their inbound nodes, and our list of calls, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastnn.errors import FileFormatError

Config = dict[str, Any]


# --------------------------------------------------------------------------- ours to Keras'
def keras_order(config: Mapping[str, Any]) -> list[int]:
    """Return the numbers of a model's layers in the order Keras has them in, which names their weights.

    By distance from the outputs, the farthest first; those of one distance as a search from the outputs
    meets them (``ops/function.py``, `map_graph`).

    Parameters
    ----------
    config : dict
        As ``Model.get_config`` returns it.
    """
    calls = config["calls"]
    met: dict[int, int] = {}  # layer -> when it was met first
    done: list[int] = []  # symbols, each after those it needs
    finished: set[int] = set()
    for output in config["outputs"]:
        stack = [(output, iter(calls[output]["inputs"]))] if output not in finished else []
        met.setdefault(calls[output]["layer"], len(met))
        while stack:
            symbol, sources = stack[-1]
            source = next((s for s in sources if s not in finished), None)
            if source is None:
                stack.pop()
                if symbol not in finished:
                    finished.add(symbol)
                    done.append(symbol)
            else:
                met.setdefault(calls[source]["layer"], len(met))
                stack.append((source, iter(calls[source]["inputs"])))
    depths: dict[int, int] = {}  # of symbols
    layer_depths: dict[int, int] = {}
    for symbol in reversed(done):
        layer = calls[symbol]["layer"]
        depth = depths[symbol] = max(depths.get(symbol, 0), layer_depths.get(layer, 0))
        layer_depths[layer] = depth
        for source in calls[symbol]["inputs"]:
            depths[source] = max(depth + 1, depths.get(source, 0))
    for symbol in config["inputs"]:  # inputs that nothing uses come last, before what else is at the end
        if calls[symbol]["layer"] not in layer_depths:
            layer_depths[calls[symbol]["layer"]], met[calls[symbol]["layer"]] = 0, -1
    return sorted(layer_depths, key=lambda layer: (-layer_depths[layer], met[layer]))


def keras_functional(
    config: Mapping[str, Any],
    layers: list[Config],
    shapes: list[list[Any]],
    dtypes: list[str],
    merges: set[int],
) -> Config:
    """Return the 'config' of a functional model of Keras'.

    Parameters
    ----------
    config : dict
        As ``Model.get_config`` returns it.
    layers : list of dict
        Keras' descriptions of the layers, in the same order.
    shapes : list
        For each call the shape of its output, ``[None, ...]``.
    dtypes : list of str
        For each call the dtype of its output.
    merges : set of int
        Layers that take a list.
    """
    calls, places = config["calls"], _places(config, layers)

    def tensor(symbol: int) -> Config:
        inner = {"shape": shapes[symbol], "dtype": dtypes[symbol], "keras_history": places[symbol]}
        return {"class_name": "__keras_tensor__", "config": inner}

    described = [{**layer, "name": layer["config"]["name"], "inbound_nodes": []} for layer in layers]
    for call in calls:
        sources: Any = [tensor(source) for source in call["inputs"]]
        if not sources:
            continue
        arguments = [sources] if call["layer"] in merges else sources
        described[call["layer"]]["inbound_nodes"].append({"args": arguments, "kwargs": {}})
    return {
        "name": config["name"],
        "trainable": True,
        "layers": [described[number] for number in keras_order(config)],
        "input_layers": _structure([places[s] for s in config["inputs"]], config.get("input_names")),
        "output_layers": _structure([places[s] for s in config["outputs"]], config.get("output_names")),
    }


def _places(config: Mapping[str, Any], layers: list[Config]) -> list[list[Any]]:
    """Return each symbol as Keras names it: the layer, which of its calls, 0."""
    counts: dict[int, int] = {}
    places = []
    for call in config["calls"]:
        layer = call["layer"]
        places.append([layers[layer]["config"]["name"], counts.get(layer, 0), 0])
        counts[layer] = counts.get(layer, 0) + 1
    return places


def _structure(places: list[Any], names: list[str] | None) -> Any:
    if names:
        return dict(zip(names, places, strict=True))
    return places[0] if len(places) == 1 else places


# --------------------------------------------------------------------------- Keras' to ours
def our_functional(given: Mapping[str, Any], layers: list[Config], where: str) -> Config:
    """Return our config of a functional model from Keras', its layers given in our terms.

    Raises
    ------
    FileFormatError
        If the nodes cannot be resolved, or hold more than layers called on tensors.
    """
    numbers = {layer["config"]["name"]: number for number, layer in enumerate(layers)}
    if len(numbers) < len(layers):
        raise FileFormatError(f"{where}: layers must have names of their own.")
    waiting = {
        (name, index): _sources(node, f"{where}: layer {name!r}")
        for name, number in numbers.items()
        for index, node in enumerate(given["layers"][number].get("inbound_nodes", []))
    }
    calls: list[Config] = []
    symbols: dict[tuple[str, int], int] = {}
    for name, number in numbers.items():
        if layers[number]["class_name"] == "InputLayer":
            symbols[name, 0] = len(calls)
            calls.append({"layer": number, "inputs": []})
    readers: dict[tuple[str, int], list[tuple[str, int]]] = {}
    missing = {}
    for node, sources in waiting.items():
        missing[node] = len(set(sources))
        for source in set(sources):
            readers.setdefault(source, []).append(node)
    ready = list(symbols)
    while ready:
        for reader in readers.get(ready.pop(0), ()):
            missing[reader] -= 1
            if not missing[reader] and reader not in symbols:
                symbols[reader] = len(calls)
                inputs = [symbols[source] for source in waiting[reader]]
                calls.append({"layer": numbers[reader[0]], "inputs": inputs})
                ready.append(reader)
    unresolved = [node for node in waiting if node not in symbols]
    if unresolved:
        raise FileFormatError(f"{where}: calls of layer {unresolved[0][0]!r} have inputs that nothing makes.")
    inputs, input_names = _ends(given.get("input_layers"), symbols, f"{where}: 'input_layers'")
    outputs, output_names = _ends(given.get("output_layers"), symbols, f"{where}: 'output_layers'")
    return {
        "layers": layers, "calls": calls, "inputs": inputs, "outputs": outputs,
        "input_names": input_names, "output_names": output_names,
    }  # fmt: skip


def _sources(node: Any, where: str) -> list[tuple[str, int]]:
    """Return the tensors that a call takes: positional arguments, one list of them, and nothing else."""
    args = node.get("args") if isinstance(node, dict) else None
    kwargs: Any = node.get("kwargs") if isinstance(node, dict) else None
    neutral = isinstance(kwargs, dict) and set(kwargs) <= {"mask", "training"}
    if not isinstance(args, list) or not neutral or any(_any(value) for value in kwargs.values()):
        raise FileFormatError(f"{where} is called with more than tensors. Received: {str(kwargs)[:120]}.")
    tensors = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    found = []
    for tensor in tensors:
        history = tensor.get("config", {}).get("keras_history") if isinstance(tensor, dict) else None
        found.append(_place(history, where))
    if not found:
        raise FileFormatError(f"{where} is called without a tensor.")
    return found


def _any(value: Any) -> bool:
    """Whether there is anything but None in it."""
    return any(_any(item) for item in value) if isinstance(value, list) else value is not None


def _place(place: Any, where: str) -> tuple[str, int]:
    if (
        not isinstance(place, list) or len(place) != 3 or not isinstance(place[0], str)
        or type(place[1]) is not int or place[2] != 0
    ):  # fmt: skip
        raise FileFormatError(f"{where}: expected [layer, call, 0]. Received: {str(place)[:120]}.")
    return place[0], place[1]


def _ends(
    given: Any, symbols: Mapping[tuple[str, int], int], where: str
) -> tuple[list[int], list[str] | None]:
    """Return the symbols of a model's inputs or outputs, and their names if they are a dict."""
    names = None
    if isinstance(given, dict):
        names, given = list(given), list(given.values())
    elif isinstance(given, list) and given and isinstance(given[0], str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise FileFormatError(f"{where}: expected a list or dict. Received: {str(given)[:120]}.")
    places = [_place(place, where) for place in given]
    for place in places:
        if place not in symbols:
            raise FileFormatError(f"{where}: no call of a layer makes {place}.")
    return [symbols[place] for place in places], names
