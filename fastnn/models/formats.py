"""Which file format a path means: one place that maps suffixes to the functions that read and write."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from fastnn.errors import ArgumentError


class Format(NamedTuple):
    """Functions of a file format; None for what it does not do.

    Attributes
    ----------
    save : callable ``(model, path, include_optimizer)``
    load : callable ``(path, custom_objects, compile) -> Model``
    save_weights : callable ``(model, path)``
    load_weights : callable ``(model, path, skip_mismatch)``
    """

    save: Callable[[Any, str, bool], None] | None = None
    load: Callable[[str, Any, bool], Any] | None = None
    save_weights: Callable[[Any, str], None] | None = None
    load_weights: Callable[[Any, str, bool], None] | None = None


#: By suffix. ``fastnn.models`` fills it, so that a model can save itself without importing those who load.
FORMATS: dict[str, Format] = {}


def function_for(action: str, path: str | os.PathLike[str]) -> Any:
    """Return the function that does `action` for a path's suffix; of several that fit, the longest counts.

    Raises
    ------
    ArgumentError
        If no format that can do it has the suffix.
    """
    name = os.path.basename(_text(path)).lower()
    able = {suffix: getattr(f, action) for suffix, f in FORMATS.items() if getattr(f, action) is not None}
    fitting = [suffix for suffix in FORMATS if name.endswith(suffix)]
    suffix = max(fitting, key=len, default="")
    if suffix not in able:
        raise ArgumentError(
            f"The suffix tells the format: {action} knows {', '.join(sorted(able))}. Received: {str(path)!r}."
        )
    return able[suffix]


def _text(path: Any) -> str:
    """Return a path as text, or raise ArgumentError."""
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str):
        raise ArgumentError(f"A path is text or a pathlib.Path. Received: {path!r}.")
    return text


def writable(path: str | os.PathLike[str], overwrite: bool) -> str:
    """Return the path as text.

    Raises
    ------
    FileExistsError
        If there is something already, and it must not be overwritten.
    """
    text = _text(path)
    if not overwrite and os.path.lexists(text):
        raise FileExistsError(errno.EEXIST, "File exists, and overwrite=False", text)
    return text


def readable(path: str | os.PathLike[str]) -> str:
    """Return the path as text."""
    return _text(path)
