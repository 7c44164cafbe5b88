"""Colours, and the Axes to draw on."""

from __future__ import annotations

from typing import Any

from fastnn.errors import missing_extra

#: Okabe and Ito's colours (2008), told apart with any kind of colour vision, the pale yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")


def axes(ax: Any) -> Any:
    """Return `ax`, or the Axes of a new pyplot figure where it is None.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise missing_extra("matplotlib", "viz", "Drawing a figure") from None
    return pyplot.subplots(layout="constrained")[1]


def figure(width: float, height: float) -> Any:
    """Return a figure that pyplot does not know: it needs no display and leaves nothing behind.

    Parameters
    ----------
    width, height : float
        Inches.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "viz", "Drawing a figure") from None
    return Figure(figsize=(width, height), layout="constrained")


def tidy(ax: Any) -> None:
    """Take away the frame lines that carry nothing."""
    ax.spines[["top", "right"]].set_visible(False)
