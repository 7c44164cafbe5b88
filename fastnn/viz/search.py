"""The scores of a search over two parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, DtypeError, unknown_name
from fastnn.serialization import check_choice
from fastnn.viz.style import SEQUENTIAL, axes

#: Cells have their value written in them up to so many along each side.
WRITTEN = 12


def search_heatmap(
    results: Any,
    x: str | None = None,
    y: str | None = None,
    value: str = "mean_test_score",
    ax: Any = None,
    *,
    mode: str = "max",
) -> Any:
    """Draw the scores of a search as a table of colours over two of its parameters.

    Parameters
    ----------
    results : mapping of str to array, or DataFrame
        scikit-learn's ``cv_results_``, or any table with a row for each setting tried.
    x, y : str, optional
        The two parameters, with or without ``param_`` in front; needed where more than two vary.
    value : str, default 'mean_test_score'
        The column of scores.
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure by default.
    mode : {'max', 'min'}
        Which way is better. Where several settings share a cell, as other parameters vary too, the cell
        shows the best of them.

    Returns
    -------
    matplotlib Axes
        The best cell has a frame; cells without a score (not tried, or failed) are hatched.

    Raises
    ------
    DtypeError
        If `results` is no table.
    UnknownNameError
        If it has no such column.
    ArgumentError
        If not two parameters vary and none are chosen, or no setting has a score.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.viz import search_heatmap
    >>> from fastnn.viz.style import figure
    >>> tried = {"units": [8, 8, 16, 16], "rate": [0.1, 0.2, 0.1, 0.2], "auc": [0.6, 0.7, 0.8, 0.7]}
    >>> ax = search_heatmap(tried, "units", "rate", "auc", ax=figure(4, 3).subplots())
    >>> ax.get_xlabel(), [text.get_text() for text in ax.get_xticklabels()]
    ('units', ['8', '16'])
    """
    check_choice("mode", mode, "search_heatmap", ("max", "min"))
    columns = _columns(results)
    if value not in columns:
        raise unknown_name("column", value, columns, "the results")
    x, y = _parameters(columns, x, y)
    scores = np.asarray(columns[value], np.float64)
    if not np.isfinite(scores).any():
        raise ArgumentError(f"search_heatmap: no setting has a score in {value!r}. Received: {scores[:3]}...")
    across, down = _levels(columns[x]), _levels(columns[y])
    table = np.full((len(down), len(across)), np.nan)
    pick = np.fmax if mode == "max" else np.fmin
    for column, row, score in zip(columns[x], columns[y], scores, strict=True):
        at = down.index(_plain(row)), across.index(_plain(column))
        table[at] = pick(table[at], score)
    ax = axes(ax, (1.6 + 0.9 * min(len(across), 14), 1.4 + 0.5 * min(len(down), 16)))
    _draw(ax, table, across, down, mode)
    ax.set_xlabel(_short(x))
    ax.set_ylabel(_short(y))
    ax.images[0].colorbar.set_label(value.replace("_", " "))
    return ax


def _columns(results: Any) -> dict[str, list[Any]]:
    if not isinstance(results, Mapping) and not hasattr(results, "columns"):
        raise DtypeError(
            f"search_heatmap draws a search's cv_results_ or a DataFrame. Received: {type(results).__name__}."
        )
    names = results if isinstance(results, Mapping) else results.columns
    return {str(name): list(results[name]) for name in names}


def _parameters(columns: dict[str, list[Any]], x: str | None, y: str | None) -> tuple[str, str]:
    chosen = []
    for name in (x, y):
        if name is not None:
            full = name if name in columns else f"param_{name}"
            if full not in columns:
                raise unknown_name("parameter", name, map(_short, columns), "the results")
            chosen.append(full)
    varied = [name for name in columns if name.startswith("param_") and len(_levels(columns[name])) > 1]
    rest = [name for name in varied if name not in chosen]
    if len(chosen) < 2 and len(chosen) + len(rest) != 2:
        raise ArgumentError(
            "search_heatmap draws two parameters: name them as x= and y=. "
            f"Received: {len(varied)} that vary ({', '.join(map(_short, varied)) or 'none named param_...'})."
        )
    if len(chosen) == 1:
        return (chosen[0], rest[0]) if x is not None else (rest[0], chosen[0])
    first, second = chosen or rest
    return first, second


def _short(name: str) -> str:
    return name.removeprefix("param_")


def _plain(value: Any) -> Any:
    """Return a value that can be compared: arrays and lists as text."""
    value = value.item() if isinstance(value, np.generic) else value
    return value if isinstance(value, (int, float, str, bool)) else str(value)


def _levels(values: list[Any]) -> list[Any]:
    """Return the different values: numbers by size, else in order of appearance."""
    levels = list(dict.fromkeys(map(_plain, values)))
    return sorted(levels) if all(isinstance(level, (int, float)) for level in levels) else levels


def _draw(ax: Any, table: np.ndarray, across: list[Any], down: list[Any], mode: str) -> None:
    from matplotlib.patches import Rectangle

    image = ax.imshow(table, cmap=SEQUENTIAL if mode == "max" else f"{SEQUENTIAL}_r", aspect="auto")
    ax.figure.colorbar(image, ax=ax)
    for axis, levels in ((ax.xaxis, across), (ax.yaxis, down)):
        texts = [f"{level:g}" if isinstance(level, float) else str(level) for level in levels]
        axis.set_ticks(range(len(texts)), texts)
    longest = max(len(text.get_text()) for text in ax.get_xticklabels())
    if len(across) * longest > 60:
        ax.tick_params(axis="x", labelrotation=90)
    for row, column in np.argwhere(np.isnan(table)):
        ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="///", ec="0.6", lw=0))
    best = np.nanargmax(table) if mode == "max" else np.nanargmin(table)
    row, column = np.unravel_index(best, table.shape)
    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec="#D55E00", lw=3, zorder=3))
    if max(table.shape) <= WRITTEN:
        for (row, column), score in np.ndenumerate(table):
            if np.isfinite(score):
                dark = image.cmap(image.norm(score))[1] < 0.55
                ax.text(column, row, f"{score:#.3g}", ha="center", va="center", color="w" if dark else "k")
