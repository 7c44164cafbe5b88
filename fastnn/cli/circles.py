"""``fastnn circles``: the 2-3-2 network on two rings of points, with a figure of what it learned."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from fastnn import viz
from fastnn.cli.figures import check_output
from fastnn.cli.terminal import Whole, add_common, plural, seconds, table
from fastnn.cli.training import Lines, fit_until_interrupt
from fastnn.datasets import circles
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import Adam
from fastnn.viz.style import figure

#: The share of points, taken at random, that the network is not trained on.
HELD_OUT = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_common(parser, epochs=25, batch_size=128)
    parser.add_argument("--points", type=Whole(10), default=50_000, help="points of both rings (%(default)s)")
    parser.add_argument("--out", default="circles.png", help="file of the figure (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Train, print the result, write the figure."""
    check_output(args.out)
    X, labels, Y = circles(args.points, seed=args.seed)
    held = int(args.points * HELD_OUT)  # the points come in random order
    model = Sequential(
        [
            Dense(3, activation="sigmoid", input_shape=(2,), name="hidden"),
            Dense(2, activation="softmax", name="output"),
        ],
        name="circles",
        seed=args.seed,
    )
    model.compile(optimizer=Adam(0.01), loss="categorical_crossentropy", metrics=["accuracy"])
    print(
        f"Two rings of {plural(args.points, 'point')}, {held:,} of them held out. Network 2-3-2: sigmoid, "
        f"softmax, {plural(model.count_params(), 'parameter')}; categorical cross-entropy; Adam 0.01; "
        f"batches of {args.batch_size}."
    )
    history, preparation = fit_until_interrupt(
        model,
        X[held:],
        Y[held:],
        epochs=args.epochs,
        batch_size=args.batch_size,
        validation_data=(X[:held], Y[:held]),
        callbacks=[] if args.quiet else [Lines()],
    )
    print(_result(history, preparation))
    _draw(model, history, X[:held], labels[:held], args.out)
    print(f"figure: {args.out}")
    return 0


def _result(history: Any, preparation: float) -> str:
    values = history.history
    epochs = len(history.epoch)
    rows = [
        ["training", f"{values['loss'][-1]:.5f}", f"{values['accuracy'][-1]:.2%}"],
        ["held out", f"{values['val_loss'][-1]:.5f}", f"{values['val_accuracy'][-1]:.2%}"],
    ]
    took = (
        f"{plural(epochs, 'epoch')} in {seconds(history.seconds)} with validation; "
        f"{seconds(preparation)} before, to load the kernels or compile them"
    )
    return f"\n{table(['points', 'loss', 'accuracy'], rows)}\n\n{took}"


def _draw(model: Sequential, history: Any, X: np.ndarray, labels: np.ndarray, path: str) -> None:
    drawing = figure(11, 5)
    left, right = drawing.subplots(1, 2)
    viz.decision_boundary(model, X, labels, ax=left)
    left.set_aspect("equal")
    left.set_title("held-out points and decision boundary")
    viz.loss_curve(history, ax=right)
    right.set_ylabel("loss: categorical cross-entropy (nats)")
    right.set_title("loss by epoch")
    drawing.savefig(path, dpi=150)
