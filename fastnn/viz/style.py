"""Colours, and the Axes to draw on."""

from __future__ import annotations

from typing import Any

from fastnn.errors import ArgumentError, missing_extra

#: Okabe and Ito's colours (2008), told apart with any kind of colour vision, the pale yellow left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
#: A map of colours for numbers that grows lighter all the way, with any kind of colour vision and in grey.
SEQUENTIAL = "cividis"


def axes(ax: Any, size: tuple[float, float] | None = None, *, space: bool = False) -> Any:
    """Return `ax`, or the Axes of a new pyplot figure where it is None.

    Parameters
    ----------
    ax : matplotlib Axes or None
    size : tuple of float, optional
        Inches of a new figure, (width, height); matplotlib's own by default.
    space : bool, default False
        Whether they must be three-dimensional.

    Raises
    ------
    ArgumentError
        If `ax` is no Axes, or has another number of dimensions than are drawn.
    MissingExtraError
        If matplotlib is not installed.
    """
    if ax is not None:
        kind = getattr(ax, "name", None)
        if not hasattr(ax, "plot") or (kind == "3d") != space:
            wanted = "three-dimensional Axes, as figure.add_subplot(projection='3d')" if space else "Axes"
            received = f"Axes of projection {kind!r}" if hasattr(ax, "plot") else repr(ax)
            raise ArgumentError(f"`ax` must be {wanted}. Received: {received}.")
        return ax
    pyplot = load_pyplot()
    drawing = pyplot.figure(layout="constrained", figsize=size)
    return drawing.add_subplot(projection="3d" if space else None)


def load_pyplot() -> Any:
    """Return the module ``matplotlib.pyplot``.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise missing_extra("matplotlib", "viz", "Drawing a figure") from None
    return pyplot


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
