"""``fastnn sp500``: networks and a linear regression on the S&P 500 and its moving average."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import viz
from fastnn.cli.figures import check_output
from fastnn.cli.terminal import Whole, add_common, plural, seconds, table
from fastnn.cli.training import Lines, fit_until_interrupt
from fastnn.datasets import IndexMonths, sp500_sma
from fastnn.layers import Dense
from fastnn.metrics import R2Score, RootMeanSquaredError
from fastnn.models import Sequential
from fastnn.viz.style import figure

UNITS = "standard deviations of the window"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_common(parser, epochs=20, batch_size=10)
    parser.add_argument("--prices", metavar="FILE", help="daily or monthly closes; by default the S&P 500's")
    parser.add_argument("--price", metavar="COLUMN", help="the column of closes, where there are several")
    parser.add_argument("--key", help="the table within an HDF5 file")
    parser.add_argument("--start", default="1970", help="first target month (%(default)s)")
    parser.add_argument("--end", default="2020", help="last target month (%(default)s)")
    parser.add_argument("--validate", default="1991", help="first month to validate on (%(default)s)")
    parser.add_argument("--test", default="2001", help="first month to test on (%(default)s)")
    parser.add_argument("--window", type=Whole(3), default=10, help="months of the average (%(default)s)")
    parser.add_argument("--units", type=Whole(1), default=10, help="units of the network (%(default)s)")
    parser.add_argument("--out", default="sp500.png", help="file of the figure (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Train, print the result, write the figure."""
    check_output(args.out)
    months = sp500_sma(
        args.window, args.prices, key=args.key, price=args.price, start=args.start, end=args.end
    )
    train, validation, test = months.split(args.validate, args.test)
    model = Sequential([Dense(args.units, activation="relu", input_shape=(2,)), Dense(1)], seed=args.seed)
    model.compile("adam", "mse", metrics=["root_mean_squared_error"])
    print(
        f"Close and {args.window}-month average of {plural(len(months), 'month')}, each in {UNITS}; target: "
        f"the next month's close.\n{len(train)} months to train on, {len(validation)} to validate (from "
        f"{validation.dates[0]:%Y-%m}), {len(test)} to test (from {test.dates[0]:%Y-%m})."
    )
    history, preparation = fit_until_interrupt(
        model,
        train.X,
        train.y,
        epochs=args.epochs,
        batch_size=args.batch_size,
        validation_data=(validation.X, validation.y),
        callbacks=[] if args.quiet else [Lines()],
    )
    predictions = {
        f"network, {plural(args.units, 'unit')}": model.predict(test.X, verbose=0)[:, 0],
        "least squares": _least_squares(train, train.y, test),
        "the close as it is": test.X[:, 0],
    }
    rows = [[name, *_scores(values, test.y)] for name, values in predictions.items()]
    returns = _least_squares(train, train.returns, test)
    honest = _scores(returns, test.returns)[1]
    print(f"\n{table([plural(len(test), 'test month'), 'RMSE', 'R2'], rows)}")
    print(
        f"\nR2 of the same regression for the next month's return: {honest}. The target's window shares "
        f"{args.window - 1} of its {args.window} months with the features': that is what is predicted."
    )
    print(
        f"{plural(len(history.epoch), 'epoch')} in {seconds(history.seconds)}; {seconds(preparation)} before"
    )
    _draw(history, test, next(iter(predictions.values())), args.out)
    print(f"figure: {args.out}")
    return 0


def _least_squares(train: IndexMonths, target: NDArray[Any], test: IndexMonths) -> NDArray[Any]:
    """Return a linear regression's predictions for the test months."""
    known, asked = (np.column_stack([np.ones(len(part)), part.X]) for part in (train, test))
    found: NDArray[Any] = asked @ np.linalg.lstsq(known, target, rcond=None)[0]
    return found


def _scores(predicted: NDArray[Any], actual: NDArray[Any]) -> list[str]:
    return [f"{RootMeanSquaredError()(actual, predicted):.4f}", f"{R2Score()(actual, predicted):.3f}"]


def _draw(history: Any, test: IndexMonths, predicted: NDArray[Any], path: str) -> None:
    drawing = figure(11, 4.5)
    left, right = drawing.subplots(1, 2)
    viz.metric_curve(history, "root_mean_squared_error", ax=left)
    left.set(title="RMSE by epoch", ylabel=f"RMSE ({UNITS})")
    viz.predictions_vs_actual(test.y, predicted, ax=right)
    right.set_title("the network on the test months")
    drawing.savefig(path, dpi=150)
