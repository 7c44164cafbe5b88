"""How good predictions are: probabilities against frequencies, numbers against numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import DataError, ShapeError
from fastnn.serialization import check_choice, check_integer
from fastnn.viz.checks import MOST_POINTS, numbers
from fastnn.viz.style import COLOURS, SEQUENTIAL, axes, tidy

Column = NDArray[np.float64]
#: Half the width of a 95 % interval in standard deviations.
Z = 1.959964


def reliability_curve(
    y_true: ArrayLike, y_prob: ArrayLike, ax: Any = None, *, bins: int = 10, strategy: str = "uniform"
) -> Any:
    """Draw how often class 1 came true against how probable it was said to be, with the number of rows.

    A calibrated model lies on the diagonal. The bars are Wilson's 95 % intervals of each frequency; the
    panel above counts the rows of each bin. The legend has the expected calibration error, the mean over
    rows of ``|frequency - mean probability|`` of their bin (Naeini et al. 2015).

    Parameters
    ----------
    y_true : array_like, shape (n,) or (n, 1)
        0 or 1.
    y_prob : array_like, shape (n,) or (n, 1)
        Probability of class 1.
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure by default. The panel of counts takes room above it.
    bins : int, default 10
        How many; those without rows are left out of the curve.
    strategy : {'uniform', 'quantile'}
        Bins of equal width, or of about equally many rows.

    Returns
    -------
    matplotlib Axes
        Of the curve; its ``child_axes[0]`` has the counts.

    Raises
    ------
    ShapeError, DataError, ArgumentError
        If rows do not match, labels are not 0 or 1, or probabilities lie outside [0, 1].
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.viz import reliability_curve
    >>> from fastnn.viz.style import figure
    >>> ax = reliability_curve([0, 0, 1, 1], [0.1, 0.2, 0.7, 0.9], ax=figure(4, 4).subplots())
    >>> ax.get_xlabel()
    'mean predicted probability of class 1'
    """
    where = "reliability_curve"
    truth, said = _pair(y_true, "y_true", y_prob, "y_prob", where)
    check_integer("bins", bins, where, 1)
    check_choice("strategy", strategy, where, ("uniform", "quantile"))
    for values, name, wrong, expected in (
        (truth, "y_true", ~np.isin(truth, (0, 1)), "0 or 1"),
        (said, "y_prob", (said < 0) | (said > 1), "probabilities from 0 to 1"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(f"{where}: `{name}` must be {expected}. Received: {values[row]:g} in row {row}.")
    edges = np.linspace(0, 1, bins + 1)
    if strategy == "quantile":
        edges = np.unique(np.quantile(said, edges))
    which = np.searchsorted(edges[1:-1], said)  # on an edge: the bin below, as scikit-learn has it
    counts = np.bincount(which, minlength=max(len(edges) - 1, 1))
    used = counts > 0
    mean = np.bincount(which, said, len(counts))[used] / counts[used]
    frequency = np.bincount(which, truth, len(counts))[used] / counts[used]
    error = float(np.abs(frequency - mean) @ counts[used] / len(truth))
    ax = axes(ax, (5, 5.5))
    _curve(ax, mean, frequency, counts[used], error)
    _counts(ax, edges, counts)
    return ax


def predictions_vs_actual(
    y_true: ArrayLike, y_pred: ArrayLike, ax: Any = None, *, unit: str | None = None
) -> Any:
    """Draw predictions of numbers against what came true, with the line on which they agree.

    Parameters
    ----------
    y_true, y_pred : array_like, shape (n,) or (n, 1)
    ax : matplotlib Axes, optional
        Where to draw; a new pyplot figure by default.
    unit : str, optional
        Unit of the values, for the axes' labels.

    Returns
    -------
    matplotlib Axes
        Up to 3,000 rows are points; of more, hexagons show how many lie in each. The legend has the root
        mean squared error and R².

    Raises
    ------
    ShapeError, DataError
        If rows do not match, or a value is not finite.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> from fastnn.viz import predictions_vs_actual
    >>> from fastnn.viz.style import figure
    >>> ax = predictions_vs_actual([1, 2, 3], [1.1, 1.9, 3.2], ax=figure(4, 4).subplots(), unit="kg")
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('actual (kg)', 'predicted (kg)')
    """
    truth, said = _pair(y_true, "y_true", y_pred, "y_pred", "predictions_vs_actual")
    spread = ((truth - truth.mean()) ** 2).sum()
    squares = ((said - truth) ** 2).sum()
    scores = f"RMSE {np.sqrt(squares / len(truth)):#.3g}{f' {unit}' if unit else ''}"
    scores += f", R² {1 - squares / spread:.3f}" if spread > 0 else ""
    ax = axes(ax, (5.5, 5))
    low, high = min(truth.min(), said.min()), max(truth.max(), said.max())
    margin = 0.04 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    if len(truth) <= MOST_POINTS:
        ax.scatter(
            truth, said, s=12, color=COLOURS[0], alpha=0.6, linewidths=0, label=scores, rasterized=True
        )
    else:
        drawn = ax.hexbin(truth, said, gridsize=50, bins="log", mincnt=1, cmap=SEQUENTIAL, extent=ends * 2)
        ax.figure.colorbar(drawn, cax=ax.inset_axes([1.03, 0, 0.045, 1])).set_label("rows in a hexagon")
        ax.plot([], [], marker="h", linestyle="", color="#7C7B78", label=scores)
    ax.plot(ends, ends, color="black", linestyle="--", linewidth=1, label="predicted = actual")
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    suffix = f" ({unit})" if unit else ""
    ax.set_xlabel(f"actual{suffix}")
    ax.set_ylabel(f"predicted{suffix}")
    ax.legend(loc="upper left", framealpha=0.9)
    tidy(ax)
    return ax


def _pair(first: ArrayLike, name: str, second: ArrayLike, other: str, where: str) -> tuple[Column, Column]:
    one, two = numbers(first, name, where), numbers(second, other, where)
    if len(one) != len(two):
        raise ShapeError(
            f"{where}: expected as many rows in `{name}` and `{other}`. Received: {len(one)} and {len(two)}."
        )
    return one, two


def _curve(ax: Any, mean: Column, frequency: Column, counts: NDArray[np.int64], error: float) -> None:
    scale = 1 + Z**2 / counts
    centre = (frequency + Z**2 / (2 * counts)) / scale
    half = Z / scale * np.sqrt(frequency * (1 - frequency) / counts + Z**2 / (4 * counts**2))
    around = np.maximum([frequency - (centre - half), (centre + half) - frequency], 0)
    ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1, label="calibrated")
    ax.errorbar(
        mean, frequency, around, color=COLOURS[0], marker="o", markersize=5, linewidth=1.5,
        elinewidth=1, capsize=2, label=f"model: calibration error {error:.3f}",
    )  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_xlabel("mean predicted probability of class 1")
    ax.set_ylabel("frequency of class 1")
    ax.legend(loc="upper left", framealpha=0.9)
    tidy(ax)


def _counts(ax: Any, edges: Column, counts: NDArray[np.int64]) -> None:
    panel = ax.inset_axes([0, 1.04, 1, 0.2], sharex=ax)
    left = edges[:-1] if len(edges) > 1 else edges - 0.005
    width = np.diff(edges) if len(edges) > 1 else 0.01
    panel.bar(left, counts, width, align="edge", color="0.75", edgecolor="0.35", linewidth=0.8)
    panel.tick_params(labelbottom=False)
    panel.set_ylabel("rows")
    panel.locator_params(axis="y", nbins=3)
    tidy(panel)
