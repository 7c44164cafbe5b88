"""JSON without surprises: bounded depth, no name twice, no NaN, infinity or number beyond float64."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, FileFormatError

MAX_DEPTH = 64


def dumps(value: Any, where: str) -> str:
    """Return plain data as JSON text.

    Raises
    ------
    ArgumentError
        If JSON cannot hold it: other objects, NaN or infinity, keys that are no text, or deeper nesting than
        `MAX_DEPTH`. `where` begins the message.

    Examples
    --------
    >>> dumps({"units": [3, 1]}, "The config")
    '{"units":[3,1]}'
    """
    try:
        _check_keys(value, 1)
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"{where} must be plain data that JSON can hold. {error}") from error


def _check_keys(value: Any, depth: int) -> None:
    """Raise what `dumps` reports where json would turn a key into text, or `loads` would refuse the depth."""
    if not isinstance(value, (dict, list, tuple)):
        return
    if depth > MAX_DEPTH:
        raise ValueError(f"Expected at most {MAX_DEPTH} levels of lists and dicts.")
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"Expected text as keys. Received: {key!r}.")
        value = value.values()
    for item in value:
        _check_keys(item, depth + 1)


def loads(text: str, where: str) -> Any:
    """Return the data in JSON text, within bounds.

    Raises
    ------
    FileFormatError
        If it is no JSON, nests deeper than `MAX_DEPTH`, gives a name twice, or holds a number that is not
        finite. `where` begins the message.

    Examples
    --------
    >>> loads('{"units": [3, 1]}', "The header")
    {'units': [3, 1]}
    """
    depth = nesting(text)
    if depth > MAX_DEPTH:
        raise FileFormatError(f"{where} nests deeper than {MAX_DEPTH} levels. Received: {depth}.")
    try:
        return json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_constant, parse_float=_finite
        )
    except FileFormatError as error:
        raise FileFormatError(f"{where} {error}") from None
    except ValueError as error:  # JSONDecodeError, and integers of thousands of digits
        raise FileFormatError(f"{where} is not JSON: {error}.") from None


def nesting(text: str) -> int:
    """Return how deep lists and objects of JSON text nest, before anything recurses into it."""
    outside = "".join(text.replace("\\\\", "").replace('\\"', "").split('"')[::2])
    codes = np.frombuffer(outside.encode("utf-8", "replace"), np.uint8)
    opened = (codes == ord("[")) | (codes == ord("{"))
    closed = (codes == ord("]")) | (codes == ord("}"))
    return int(np.cumsum(opened.astype(np.int64) - closed).max(initial=0))


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise FileFormatError(f"gives a name twice: {next(n for n in found if names.count(n) > 1)!r}.")
    return found


def _constant(text: str) -> Any:
    raise FileFormatError(f"must hold finite numbers. Received: {text}.")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _constant(text)
