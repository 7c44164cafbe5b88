"""Curves over epochs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, unknown_name
from fastnn.viz.style import COLOURS, axes, tidy

#: Up to so many epochs each is marked with a dot.
DOTTED_EPOCHS = 40


def loss_curve(history: Any, ax: Any = None, key: str = "loss") -> Any:
    """Draw the loss of each epoch, of the training rows and, where there is one, of the validation rows.

    Parameters
    ----------
    history : History or mapping
        What ``fit`` returned, or its ``history``.
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure by default.
    key : str, default 'loss'
        Another of the history's keys: a metric.

    Returns
    -------
    matplotlib Axes
        The best epoch of the validation loss is marked.

    Raises
    ------
    UnknownNameError
        If the history has no such key.
    ArgumentError
        If the history holds no epoch.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.viz import loss_curve
    >>> loss_curve({"loss": [0.9, 0.5], "val_loss": [1.0, 0.8]}).get_xlabel()
    'epoch'
    """
    values = getattr(history, "history", history)
    if not isinstance(values, Mapping):
        raise ArgumentError(f"loss_curve draws what fit() returned. Received: {type(history).__name__}.")
    if key not in values:
        raise unknown_name("key", key, values, "the history")
    if not len(values[key]):
        raise ArgumentError("loss_curve needs at least one epoch. Received: an empty history.")
    ax = axes(ax)
    found: list[float] = []
    for name, label, colour, style in (
        (key, "training", COLOURS[0], "-"),
        (f"val_{key}", "validation", COLOURS[1], "--"),
    ):
        if name in values:
            _curve(ax, values[name], label, colour, style)
            found += [value for value in values[name] if np.isfinite(value)]
    if f"val_{key}" in values:
        if key == "loss":
            _mark_best(ax, values["val_loss"])
        ax.legend(frameon=False)
    if found and min(found) > 0 and max(found) > 20 * min(found):
        ax.set_yscale("log")
    ax.set_xlabel("epoch")
    ax.set_ylabel(key.replace("_", " "))
    ax.xaxis.get_major_locator().set_params(integer=True)
    tidy(ax)
    return ax


def _curve(ax: Any, values: Any, label: str, colour: str, style: str) -> None:
    marker = "." if len(values) <= DOTTED_EPOCHS else None
    epochs = np.arange(1, len(values) + 1)
    ax.plot(epochs, values, linestyle=style, marker=marker, color=colour, label=label)


def _mark_best(ax: Any, values: Any) -> None:
    numbers = np.asarray(values, float)
    if len(numbers) < 2 or np.isnan(numbers).all():
        return
    best = int(np.nanargmin(numbers))
    if best + 1 == len(numbers):
        return
    ax.axvline(best + 1, color="0.6", linewidth=1, linestyle=":", zorder=0, label=f"best: epoch {best + 1}")
