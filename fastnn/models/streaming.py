"""Fit, evaluate and predict on data that are read piece by piece: which arguments go with them."""

from __future__ import annotations

from typing import Any

from fastnn.errors import ArgumentError
from fastnn.models.settings import FitSettings
from fastnn.rows import Source, as_source
from fastnn.training.feed import Feed


def source_of(x: Any, method: str, batch_size: Any = None, **without: Any) -> Source | None:
    """Return data as a source if they are to be read piece by piece, or None if they are arrays.

    Parameters
    ----------
    x : object
        As ``fit`` takes it.
    method : str
        For messages.
    batch_size : int, optional
        As the user gave it.
    **without
        Arguments that a source leaves no room for; all must be None or 0.

    Raises
    ------
    ArgumentError
        If one of the arguments does not go with a source.
    """
    source = as_source(x)
    if source is None:
        return None
    for name, value in without.items():
        if value is not None and not (isinstance(value, (int, float)) and value == 0):
            raise ArgumentError(
                f"`{name}` of {method} is for arrays; {source!r} brings its own. Received: a "
                f"{type(value).__name__}."
            )
    if source.batched and batch_size is not None:
        raise ArgumentError(
            f"`batch_size` of {method} is for arrays and tables; {source!r} makes batches itself. Received: "
            f"{batch_size!r}."
        )
    return source


def check_epochs(source: Source | None, settings: FitSettings) -> None:
    """Raise ArgumentError where the end of one epoch would be the end of a generator."""
    _check_epochs(source, settings, settings.steps_per_epoch, "steps_per_epoch")


def _check_epochs(source: Source | None, settings: FitSettings, steps: int | None, name: str) -> None:
    epochs = settings.epochs - settings.initial_epoch
    if source is not None and source.once and steps is None and epochs > 1:
        raise ArgumentError(
            f"{source!r} can be gone through once only: expected `{name}`, or something that can be iterated "
            f"anew. Received: {epochs} epochs."
        )


def validation_feed(model: Any, source: Source, settings: FitSettings) -> Feed:
    """Return what is to be validated on, epoch after epoch."""
    steps = settings.validation_steps
    _check_epochs(source, settings, steps, "validation_steps")
    size = settings.validation_batch_size
    return Feed(model, source, source.sample(), size, steps=steps, where="validation ")
