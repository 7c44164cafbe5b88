"""How weights and biases move while a network trains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, DtypeError, unknown_name
from fastnn.viz.style import COLOURS, SEQUENTIAL, axes, load_pyplot, tidy

#: A variable of at most so many numbers is drawn as lines, one for each: a histogram would say less.
FEW = 12
BINS = 40
LINES = ("-", "--", "-.", ":")


def weight_histograms(record: Any, variable: str | Sequence[str] | None = None, ax: Any = None) -> Any:
    """Draw the histogram of weights or biases at each recorded epoch.

    A column of the picture is one epoch's histogram: the lighter, the larger the share of the weights
    there. The line is their median. Variables of at most 12 numbers are drawn as one line for each.

    Parameters
    ----------
    record : WeightHistory
        The callback, after a training.
    variable : str or sequence of str, optional
        Paths such as ``'hidden/kernel'``; all that were recorded by default.
    ax : matplotlib Axes or sequence of them, optional
        Where to draw, one for each variable; a new pyplot figure by default.

    Returns
    -------
    matplotlib Axes, or ndarray of them
        One Axes where `variable` is a str, else an array of shape (variables,).

    Raises
    ------
    DtypeError
        If `record` holds no weights.
    ArgumentError
        If nothing was recorded, or there is not one Axes for each variable.
    UnknownNameError
        If a variable was not recorded.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.callbacks import WeightHistory
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> from fastnn.viz import weight_histograms
    >>> from fastnn.viz.style import figure
    >>> model = Sequential([Dense(1, input_shape=(2,), name="output")], seed=0)
    >>> model.compile("sgd", "mse")
    >>> record = WeightHistory()
    >>> _ = model.fit([[0.0, 1.0], [1.0, 1.0]], [1.0, 2.0], epochs=3, callbacks=[record], verbose=0)
    >>> weight_histograms(record, "output/kernel", ax=figure(4, 3).subplots()).get_title()
    'output/kernel'
    """
    recorded = getattr(record, "weights", None)
    if not isinstance(recorded, dict) or not hasattr(record, "epochs"):
        raise DtypeError(
            "weight_histograms draws what a fastnn.callbacks.WeightHistory has recorded: pass it to "
            f"fit(callbacks=[...]) first. Received: {type(record).__name__}."
        )
    if not record.epochs:
        raise ArgumentError("weight_histograms needs at least one epoch. Received: an empty record.")
    paths = [variable] if isinstance(variable, str) else list(recorded if variable is None else variable)
    for path in paths:
        if path not in recorded:
            raise unknown_name("variable", path, recorded, "the record")
    found = _axes(ax, len(paths), isinstance(variable, str))
    for path, each in zip(paths, found, strict=True):
        _draw(each, path, np.asarray(record.epochs), np.stack(recorded[path]))
    return found[0] if isinstance(variable, str) else found


def _axes(ax: Any, count: int, single: bool) -> Any:
    if ax is None and not single:
        columns = min(2, count)
        rows = math.ceil(count / columns)
        drawing = load_pyplot().figure(figsize=(5.2 * columns, 3.0 * rows), layout="constrained")
        found = drawing.subplots(rows, columns, squeeze=False).reshape(-1)
        for spare in found[count:]:
            spare.remove()
        return found[:count]
    given = [axes(ax)] if single or hasattr(ax, "plot") else [axes(each) for each in np.ravel(ax)]
    if len(given) != count:
        raise ArgumentError(
            f"weight_histograms: expected one Axes for each of {count} variables. Received: {len(given)}."
        )
    return np.array(given, object)


def _draw(ax: Any, path: str, epochs: np.ndarray, values: np.ndarray) -> None:
    values = values.reshape(len(epochs), -1).astype(np.float64)
    if values.shape[1] <= FEW or len(epochs) < 2:
        _lines(ax, epochs, values)
    else:
        _histograms(ax, epochs, values)
    ax.set_title(path)
    ax.set_xlabel("epoch")
    ax.set_ylabel("bias" if path.endswith("bias") else "weight")
    ax.xaxis.get_major_locator().set_params(integer=True)


def _lines(ax: Any, epochs: np.ndarray, values: np.ndarray) -> None:
    marker = "." if len(epochs) < 2 else None
    for number, column in enumerate(values.T):
        look = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": LINES[number // len(COLOURS) % len(LINES)],
        }
        ax.plot(epochs, column, linewidth=1.2, marker=marker, **look)
    tidy(ax)


def _histograms(ax: Any, epochs: np.ndarray, values: np.ndarray) -> None:
    low, high = values.min(), values.max()
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    shares = np.stack([np.histogram(row, edges)[0] for row in values]) / values.shape[1]
    middles = (epochs[1:] + epochs[:-1]) / 2  # a column reaches half way to the next record
    sides = np.concatenate([[2 * epochs[0] - middles[0]], middles, [2 * epochs[-1] - middles[-1]]])
    most = 100 * shares[1:].max()  # biases all start from 0, which would leave the other columns dark
    extend = "max" if 100 * shares[0].max() > most else "neither"
    mesh = ax.pcolormesh(sides, edges, 100 * shares.T, cmap=SEQUENTIAL, vmin=0, vmax=most, rasterized=True)
    ax.plot(epochs, np.median(values, axis=1), color="white", linewidth=1.5, label="median")
    bar = ax.figure.colorbar(mesh, ax=ax, extend=extend)
    bar.set_label("% of the weights in a bin")
    ax.legend(loc="upper left", facecolor="0.25", labelcolor="white", framealpha=0.9)
