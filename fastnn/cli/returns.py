"""``fastnn returns``: a network on monthly stock returns, trained and tested in three ways."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import data
from fastnn.cli.figures import check_output
from fastnn.cli.terminal import Share, Whole, add_common, plural, seconds, table, widths
from fastnn.data import WalkForward, holdout_split
from fastnn.datasets import Windows, load_prices, load_stocks, monthly_returns, returns_windows
from fastnn.errors import DataError, missing_extra
from fastnn.layers import Dense, Dropout
from fastnn.metrics import AUC
from fastnn.models import Sequential
from fastnn.viz.style import COLOURS, figure, tidy

Rows = NDArray[Any]
#: The share of rows that the random split holds out.
RANDOM_SHARE = 0.2
HEAD = ["AUC, rows not trained on", "rows", "network", "logistic", "network by month", "logistic by month"]


class Scores(NamedTuple):
    """AUCs of one model on one set of rows: of all together, and the mean of those of each month."""

    pooled: float
    monthly: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_common(parser, epochs=10, batch_size=32)
    parser.add_argument("--prices", metavar="FILE", help="closes, wide or long; by default twenty stocks")
    parser.add_argument("--key", help="the table within an HDF5 file")
    parser.add_argument("--balanced", action="store_true", help="only stocks with a return in every month")
    parser.add_argument("--start", help="first target month, such as 2010 or 2010-02")
    parser.add_argument("--end", help="last target month")
    parser.add_argument("--lags", type=Whole(1), default=24, help="months of features (%(default)s)")
    parser.add_argument("--hidden", type=widths, default=(64, 64), help="widths of the layers (64,64)")
    parser.add_argument("--dropout", type=Share(0, 1, with_low=True), default=0.5, help="share (%(default)s)")
    parser.add_argument("--folds", type=Whole(2), default=5, help="folds of walking forward (%(default)s)")
    parser.add_argument("--out", default="returns.png", help="file of the figure (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Train in three ways, print the scores, write the figure."""
    check_output(args.out)
    prices = load_prices(args.prices, key=args.key) if args.prices else load_stocks()
    returns = monthly_returns(prices, balanced=args.balanced)
    windows = returns_windows(
        returns, args.lags, year="onehot", month="onehot", start=args.start, end=args.end
    )
    print(
        f"{plural(returns.shape[1], 'stock')}, {plural(len(windows), 'window')} x {windows.X.shape[1]}, "
        f"targets {windows.dates.min():%Y-%m} to {windows.dates.max():%Y-%m}, {windows.y.mean():.1%} up"
    )
    for reason, count in windows.report.items():
        print(f"  {reason}: {count:,}" if isinstance(count, int) else f"  {reason}: {count}")
    started = time.perf_counter()
    results: dict[str, tuple[Scores, Scores]] = {}
    lines = []
    for name, train, test in _ways(windows, args):
        results[name] = network, linear = _compare(windows, train, test, args)
        lines.append([name, f"{len(test):,}", *_cells(network, linear)])
        if not args.quiet:
            print(f"  {name}: trained on {len(train):,} rows, AUC {network.pooled:.4f}", flush=True)
    print(f"\n{table(HEAD, [*lines, _mean(results)])}")
    print(
        "\nRandom rows share their months, and the market's direction with them, with rows trained on; the "
        "others are\nout of sample. By month: the mean of the months' AUCs, without the market's direction. "
        f"{seconds(time.perf_counter() - started)}"
    )
    _draw(results, args.out)
    print(f"figure: {args.out}")
    return 0


def _ways(windows: Windows, args: argparse.Namespace) -> Iterator[tuple[str, Rows, Rows]]:
    """Give the name, training rows and test rows of each training."""
    dates = windows.dates
    months = dates.nunique()
    if months < 2 * args.folds or dates.year.nunique() < 2:
        raise DataError(
            f"Expected target months of two years, and at least {2 * args.folds} for {args.folds} folds. "
            f"Received: {months}."
        )
    yield "random", *holdout_split(len(windows), RANDOM_SHARE, args.seed, windows.y)
    last = dates.year == dates.year.max()
    yield "last year", np.flatnonzero(~last), np.flatnonzero(last)
    walk = WalkForward(n_splits=args.folds, test_size=max(1, months // (2 * args.folds)))
    for number, (train, test) in enumerate(walk.split(windows.X, groups=dates), 1):
        yield f"walk-forward {number}", train, test


def _compare(windows: Windows, train: Rows, test: Rows, args: argparse.Namespace) -> tuple[Scores, Scores]:
    """Train both models on the same rows, clipped and scaled by these alone."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise missing_extra("scikit-learn", "table", "fastnn returns") from None
    clip = data.Winsorizer().fit(windows.X[train])
    scale = data.Standardizer().fit(clip.transform(windows.X[train]))
    x_train, x_test = (scale.transform(clip.transform(windows.X[rows])) for rows in (train, test))
    layers: list[Any] = []
    for width in args.hidden:
        layers += [Dense(width, activation="relu"), Dropout(args.dropout)]
    model = Sequential([*layers, Dense(1, activation="sigmoid")], seed=args.seed)
    model.compile("adam", "binary_crossentropy")
    model.fit(x_train, windows.y[train], epochs=args.epochs, batch_size=args.batch_size, verbose=0)
    linear = LogisticRegression(C=0.01, max_iter=1000).fit(np.asarray(x_train), windows.y[train])
    return (
        _scores(windows, test, model.predict(x_test, verbose=0)[:, 0]),
        _scores(windows, test, linear.predict_proba(np.asarray(x_test))[:, 1]),
    )


def _scores(windows: Windows, test: Rows, probabilities: Rows) -> Scores:
    y, dates = windows.y[test], windows.dates[test]
    monthly = []
    for month in dates.unique():
        rows = dates == month
        if 0 < y[rows].mean() < 1:  # a month in which all stocks rise, or all fall, has no AUC
            monthly.append(float(AUC()(y[rows], probabilities[rows])))
    return Scores(float(AUC()(y, probabilities)), float(np.mean(monthly)) if monthly else float("nan"))


def _cells(network: Scores, linear: Scores) -> list[str]:
    return [f"{value:.4f}" for value in (network.pooled, linear.pooled, network.monthly, linear.monthly)]


def _mean(results: dict[str, tuple[Scores, Scores]]) -> list[str]:
    walks = np.array([pair for name, pair in results.items() if name.startswith("walk")])
    network, linear = walks.mean(axis=0)
    return ["walk-forward, mean", "", *_cells(Scores(*network), Scores(*linear))]


def _draw(results: dict[str, tuple[Scores, Scores]], path: str) -> None:
    names = list(results)
    place = np.arange(len(names))[::-1]
    drawing = figure(10, 0.4 * len(names) + 1.6)
    axes = drawing.subplots(1, 2, sharex=True, sharey=True)
    for ax, kind, title in zip(
        axes, Scores._fields, ("all rows together", "each month by itself, mean"), strict=True
    ):
        for number, label in enumerate(("network", "logistic regression")):
            values = np.array([getattr(results[name][number], kind) for name in names])
            ax.barh(
                place + 0.2 - 0.4 * number, values - 0.5, 0.36, left=0.5, color=COLOURS[number], label=label
            )
        ax.axvline(0.5, color="0.3", linewidth=1)
        ax.set(title=title, xlabel="AUC on rows not trained on", yticks=place, yticklabels=names)
        tidy(ax)
    drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    drawing.savefig(path, dpi=150)
