"""Files: writing that is whole or not at all, and named arrays with a description in one checked file."""

from fastnn.io import atomic, container

__all__ = ["atomic", "container"]
