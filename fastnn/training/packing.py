"""Python's plain values as what a file holds, a JSON document and named arrays, and back without a change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, FileFormatError

#: The key that marks what JSON has no word for.
TAG = "$"
_FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def pack(value: Any, arrays: dict[str, np.ndarray], where: str) -> Any:
    """Return a value as JSON can hold it; its arrays, NumPy numbers and long lists of floats go to `arrays`.

    Parameters
    ----------
    value : None, bool, int, float, str, ndarray, NumPy number, or a list, tuple or dict of these
    arrays : dict of str to ndarray
        Receives arrays under new names.
    where : str
        Whose the value is, for the message.

    Raises
    ------
    ArgumentError
        If it is, or contains, anything else.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.training.packing import pack, unpack
    >>> arrays = {}
    >>> packed = pack({"wait": 2, "best": np.ones(3), "bound": (0, float("inf"))}, arrays, "the state")
    >>> packed
    {'wait': 2, 'best': {'$': 'array', 'name': 'packed/0'}, 'bound': {'$': 'tuple', 'items': [0, \
{'$': 'float', 'value': 'inf'}]}}
    >>> unpack(packed, arrays)
    {'wait': 2, 'best': array([1., 1., 1.]), 'bound': (0, inf)}
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {TAG: "float", "value": str(value)}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return _stored(kind, np.asarray(value), arrays)
    if type(value) is list and value and all(type(item) is float for item in value):
        return _stored("floats", np.array(value), arrays)
    if isinstance(value, (list, tuple)):
        items = [pack(item, arrays, where) for item in value]
        return items if isinstance(value, list) else {TAG: "tuple", "items": items}
    if isinstance(value, Mapping):
        if TAG not in value and all(isinstance(key, str) for key in value):
            return {key: pack(item, arrays, where) for key, item in value.items()}
        pairs = [[pack(key, arrays, where), pack(item, arrays, where)] for key, item in value.items()]
        return {TAG: "dict", "items": pairs}
    raise ArgumentError(
        f"{where} cannot be written to a file: expected numbers, text, None, NumPy arrays of numbers, and "
        f"lists, tuples and dicts of them. Received: {value!r} of type {type(value).__name__}."
    )


def _stored(kind: str, array: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, str]:
    name = f"packed/{sum(key.startswith('packed/') for key in arrays)}"
    arrays[name] = array
    return {TAG: kind, "name": name}


def unpack(packed: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return the value that :func:`pack` was given.

    Raises
    ------
    FileFormatError
        If `packed` is not what :func:`pack` returns, or an array is missing.
    """
    if isinstance(packed, list):
        return [unpack(item, arrays) for item in packed]
    if not isinstance(packed, dict):
        return packed
    if TAG not in packed:
        return {key: unpack(item, arrays) for key, item in packed.items()}
    try:
        kind = packed[TAG]
        if kind == "float":
            return _FLOATS[packed["value"]]
        if kind == "tuple":
            return tuple(unpack(item, arrays) for item in packed["items"])
        if kind == "dict":
            return {unpack(key, arrays): unpack(item, arrays) for key, item in packed["items"]}
        array = arrays[packed["name"]]
        return {"array": lambda: array.copy(), "number": lambda: array[()], "floats": array.tolist}[kind]()
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"A packed value cannot be read: {type(error).__name__} {error}.") from None
