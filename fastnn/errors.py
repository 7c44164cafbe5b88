"""The exceptions fastnn raises.

Every message says what is wrong, what was expected, what was received and where.
Each class also derives from the built-in exception a reader would expect, so
``except ValueError`` keeps working.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FastnnError(Exception):
    """Base class of every exception raised by fastnn."""


class ArgumentError(FastnnError, ValueError):
    """An argument has a value that is not allowed."""


class ShapeError(FastnnError, ValueError):
    """An array or a layer has a shape that does not fit."""


class DtypeError(FastnnError, TypeError):
    """An array has a dtype that is not supported, or an object is of the wrong type."""


class DataError(FastnnError, ValueError):
    """The values of the data are unusable: NaN, infinity, labels out of range."""


class UnknownNameError(FastnnError, ValueError, KeyError):
    """A name (of an activation, loss, optimizer, ...) is not known."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class NotBuiltError(FastnnError, RuntimeError):
    """The model or layer has not been built, compiled or fitted yet."""


class DeviceError(FastnnError, RuntimeError):
    """A device or backend is missing or cannot do what was asked."""


class NonFiniteLossError(FastnnError, ArithmeticError):
    """The loss turned NaN or infinite during training; the last finite weights are kept."""


class FileFormatError(FastnnError, ValueError):
    """A file is damaged, cut short, or is not what was expected."""


class MissingExtraError(FastnnError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


def unknown_name(kind: str, name: object, known: Iterable[str], where: str = "") -> UnknownNameError:
    """Make the error for an unknown `name`, suggesting the nearest known one."""
    names = sorted(known)
    place = f" in {where}" if where else ""
    return UnknownNameError(
        f"Unknown {kind}{place}: expected one of {', '.join(names)}. "
        f"Received: {name!r}.{nearest(name, names)}"
    )


def nearest(name: object, known: Iterable[str]) -> str:
    """Return ``" Did you mean ...?"`` with the known name nearest to `name`, in any case; or nothing."""
    spelled = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(str(name).lower(), spelled, n=1, cutoff=0.4)
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""


def missing_extra(package: str, extra: str, needed_for: str) -> MissingExtraError:
    """Make the error for an optional `package` that is not installed."""
    return MissingExtraError(
        f"{needed_for} needs the package {package!r}, which is not installed. "
        f"Install it with: pip install 'fastnn[{extra}]'"
    )
