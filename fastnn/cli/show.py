"""``fastnn show``: what is in a saved network."""

from __future__ import annotations

import argparse
import math
from typing import Any

from fastnn.cli.model_file import SavedNetwork, read
from fastnn.cli.terminal import plural, seconds, table
from fastnn.data.columns import LEFT_OUT
from fastnn.models import Model, load_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="file written by fastnn fit --save, or by model.save")


def run(args: argparse.Namespace) -> int:
    """Print layers, columns and training."""
    model = load_model(args.model)
    model.summary()
    if model.schema is not None:
        print(f"\n{columns(read(args.model))}")
    print(f"\n{training(model)}")
    return 0


def columns(network: SavedNetwork) -> str:
    """Describe the table's columns and the target."""
    target = network.target
    unit = f", in {target.unit}" if target.unit else ""
    lines = [
        f"Trained on {plural(network.rows, 'row')} of {network.source}",
        f"Target: {target.name!r}, {target.task}{unit}"
        + (f" ({', '.join(target.classes)})" if target.classes else ""),
        "",
    ]
    rows = []
    for column in network.schema.columns:
        what = column.note if column.kind == LEFT_OUT else _levels(column.levels) or column.note
        rows.append([column.name, column.kind, column.dtype, column.unit, what])
    return "\n".join(lines) + table(["column", "kind", "dtype", "unit", ""], rows)


def _levels(levels: tuple[str, ...]) -> str:
    shown = ", ".join(levels[:5])
    return f"{shown}, ... ({len(levels)} levels)" if len(levels) > 5 else shown


def training(model: Model) -> str:
    """Describe optimizer, loss, and the latest training in brief."""
    if not model._compile_arguments:
        return "Not compiled."
    state = model._state
    rate = model.optimizer.learning_rate
    steps = f"; {plural(state.step, 'step')} in {plural(state.epoch, 'epoch')}" if state is not None else ""
    shown = f" {rate:g}" if isinstance(rate, float) else ""
    text = f"Optimizer: {model.optimizer.name}{shown}{steps}"
    history: Any = model.history
    if history is None or not history.epoch:
        return text
    lines = [_column(key, values) for key, values in history.history.items() if values]
    title = f"Latest training: {plural(len(history.epoch), 'epoch')}, {seconds(history.seconds)}"
    return f"{text}\n{title}\n" + table(["", "first", "smallest", "largest", "last"], lines)


def _column(key: str, values: list[float]) -> list[str]:
    finite = [value for value in values if math.isfinite(value)] or [math.nan]
    return [key, *(f"{value:.5g}" for value in (values[0], min(finite), max(finite), values[-1]))]
