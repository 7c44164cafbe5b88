"""Curves over epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import metrics
from fastnn.errors import ArgumentError, UnknownNameError, unknown_name
from fastnn.serialization import check_choice
from fastnn.viz.style import COLOURS, axes, tidy

#: Up to so many epochs each is marked with a dot.
DOTTED_EPOCHS = 40


def loss_curve(
    history: Any, ax: Any = None, key: str = "loss", *, mode: str = "auto", validation_freq: Any = 1
) -> Any:
    """Draw the loss of each epoch, of the training rows and, where there is one, of the validation rows.

    Parameters
    ----------
    history : History or mapping
        What ``fit`` returned, or its ``history``.
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure by default.
    key : str, default 'loss'
        Another of the history's keys: a metric (see :func:`metric_curve`).
    mode : {'auto', 'min', 'max'}
        Which way is better; ``'auto'`` asks the metric of that name, and marks no epoch where that does
        not know.
    validation_freq : int or list of int, default 1
        As given to ``fit``: the epochs, counted from 1, in which validation rows were evaluated.

    Returns
    -------
    matplotlib Axes
        The best epoch of the validation rows is marked, unless it is the last.

    Raises
    ------
    UnknownNameError
        If the history has no such key.
    ArgumentError
        If the history holds no epoch, or validation values that do not fit `validation_freq`.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.viz import loss_curve
    >>> from fastnn.viz.style import figure
    >>> loss_curve({"loss": [0.9, 0.5], "val_loss": [1.0, 0.8]}, ax=figure(4, 3).subplots()).get_xlabel()
    'epoch'
    """
    values, epochs = _values(history, "loss_curve")
    check_choice("mode", mode, "loss_curve", ("auto", "min", "max"))
    if key not in values:
        hint = "the history"
        if key.startswith("val_"):
            hint += " (without validation_data= or validation_split= in fit there are no validation values)"
        raise unknown_name("key", key, values, hint)
    if not len(values[key]):
        raise ArgumentError("loss_curve needs at least one epoch. Received: an empty history.")
    curves = {"training": (epochs[: len(values[key])], values[key])}
    if f"val_{key}" in values:
        later = values[f"val_{key}"]
        curves["validation"] = (_validated(epochs, later, validation_freq), later)
    return draw_curves(axes(ax), key, curves, better(key) if mode == "auto" else mode)


def metric_curve(
    history: Any,
    key: str | None = None,
    ax: Any = None,
    *,
    mode: str = "auto",
    validation_freq: Any = 1,
) -> Any:
    """Draw a metric of each epoch, of the training rows and, where there is one, of the validation rows.

    Parameters
    ----------
    history : History or mapping
        What ``fit`` returned, or its ``history``.
    key : str, optional
        A key of the history without ``val_``; by default its first that is not ``'loss'``.
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure by default.
    mode, validation_freq
        As in :func:`loss_curve`.

    Returns
    -------
    matplotlib Axes
        The best epoch of the validation rows is marked, unless it is the last.

    Raises
    ------
    UnknownNameError, ArgumentError, MissingExtraError
        As :func:`loss_curve`; also if the model was compiled without metrics.

    Examples
    --------
    >>> from fastnn.viz import metric_curve
    >>> from fastnn.viz.style import figure
    >>> history = {"loss": [0.9, 0.5], "accuracy": [0.6, 0.8]}
    >>> metric_curve(history, ax=figure(4, 3).subplots()).get_ylabel()
    'accuracy'
    """
    if key is None:
        names = [name for name in _values(history, "metric_curve")[0] if not name.endswith("loss")]
        if not names:
            raise ArgumentError(
                "metric_curve draws a metric: compile the model with metrics=[...]. "
                "Received: a history of the loss alone."
            )
        key = names[0]
    return loss_curve(history, ax, key, mode=mode, validation_freq=validation_freq)


def better(key: str) -> str | None:
    """Return which way a key of a history is better, ``'min'`` or ``'max'``, or None where that is unknown.

    Examples
    --------
    >>> from fastnn.viz.curves import better
    >>> better("loss"), better("val_accuracy"), better("mine")
    ('min', 'max', None)
    """
    name = key.removeprefix("val_")
    if name.endswith("loss"):
        return "min"
    try:
        return metrics.get(name).direction
    except UnknownNameError:
        return None


def draw_curves(
    ax: Any, key: str, curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], mode: str | None
) -> Any:
    """Draw the curves of one key.

    Parameters
    ----------
    ax : matplotlib Axes
    key : str
    curves : mapping of str to (epochs, values)
        ``'training'`` and perhaps ``'validation'``.
    mode : {'min', 'max', None}
        Which way is better; None marks no epoch.
    """
    found: list[float] = []
    looks = {"training": (COLOURS[0], "-"), "validation": (COLOURS[1], "--")}
    for name, (epochs, values) in curves.items():
        colour, style = looks[name]
        marker = "." if len(values) <= DOTTED_EPOCHS else None
        ax.plot(epochs, values, linestyle=style, marker=marker, color=colour, label=name)
        found += [value for value in values if np.isfinite(value)]
    if "validation" in curves:
        _mark_best(ax, *curves["validation"], mode)
        ax.legend(frameon=False)
    if found and min(found) > 0 and max(found) > 20 * min(found):
        ax.set_yscale("log")
    ax.set_xlabel("epoch")
    ax.set_ylabel(key.replace("_", " "))
    ax.xaxis.get_major_locator().set_params(integer=True)
    tidy(ax)
    return ax


def _values(history: Any, where: str) -> tuple[Mapping[str, Any], list[int]]:
    """Return a history's values by key, and the numbers of its epochs, counted from 1."""
    values = getattr(history, "history", history)
    if not isinstance(values, Mapping):
        raise ArgumentError(f"{where} draws what fit() returned. Received: {type(history).__name__}.")
    count = max((len(column) for column in values.values()), default=0)
    recorded = [epoch + 1 for epoch in getattr(history, "epoch", [])]
    return values, recorded if len(recorded) == count else list(range(1, count + 1))


def _validated(epochs: list[int], values: Sequence[float], validation_freq: Any) -> list[int]:
    """Return the epochs to which validation values belong."""
    if isinstance(validation_freq, int):
        due = [epoch for epoch in epochs if epoch % validation_freq == 0]
    else:
        due = [epoch for epoch in epochs if epoch in validation_freq]
    if len(due) != len(values):
        raise ArgumentError(
            f"loss_curve: with validation_freq={validation_freq!r} {len(epochs)} epochs have {len(due)} "
            f"validation values. Received: {len(values)}. Pass the validation_freq that fit was given."
        )
    return due


def _mark_best(ax: Any, epochs: Sequence[float], values: Sequence[float], mode: str | None) -> None:
    found = np.asarray(values, float)
    if mode is None or len(found) < 2 or np.isnan(found).all():
        return
    best = int(np.nanargmin(found) if mode == "min" else np.nanargmax(found))
    if best + 1 == len(found):
        return
    epoch = epochs[best]
    ax.axvline(epoch, color="0.6", linewidth=1, linestyle=":", zorder=0, label=f"best: epoch {epoch}")
