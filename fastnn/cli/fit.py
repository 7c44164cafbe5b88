"""``fastnn fit``: train on a user's table, and say what a linear model makes of the same rows."""

from __future__ import annotations

import argparse
from typing import Any

from fastnn import optimizers
from fastnn.cli.baseline import constant, linear
from fastnn.cli.model_file import SUFFIX, check_path, save
from fastnn.cli.scores import HEADS, scores
from fastnn.cli.tabular import Rows, build, prepare, train
from fastnn.cli.terminal import Share, Whole, add_common, names, plural, seconds, table, unit, widths
from fastnn.data import read_table
from fastnn.data.target import TASKS
from fastnn.errors import ArgumentError, missing_extra, unknown_name

#: The real tables that scikit-learn ships, used where none is given: loader, target, what it is.
SHIPPED = {
    "binary": ("load_breast_cancer", "diagnosis", "breast cancer cells, Wisconsin 1995"),
    "multiclass": ("load_wine", "cultivar", "chemical analyses of wines, Italy 1991"),
    "regression": ("load_diabetes", "progression", "progression of diabetes, 2004"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "table", nargs="?", metavar="TABLE",
        help="file named .csv, .tsv (or either .gz) or .parquet; by default a real set of scikit-learn",
    )  # fmt: skip
    parser.add_argument("--target", metavar="COLUMN", help="the column to predict")
    parser.add_argument("--task", choices=TASKS, default="auto", help="what to learn (found from the target)")
    add_common(parser, epochs=30, batch_size=128)
    network = parser.add_argument_group("network")
    network.add_argument(
        "--hidden", type=widths, default=(64, 64), help="widths of the hidden layers (64,64)"
    )
    network.add_argument(
        "--dropout", type=Share(0, 1, with_low=True), default=0.0, help="share (%(default)s)"
    )
    network.add_argument("--optimizer", default="adam", help="by name (%(default)s)")
    network.add_argument(
        "--learning-rate", type=Share(0, float("inf")), help="the optimizer's own by default"
    )
    network.add_argument("--threads", type=Whole(1), help="at most; results do not depend on it")
    rows = parser.add_argument_group("rows and columns")
    rows.add_argument(
        "--test-size", type=Share(0, 1), default=0.2, help="share of rows held out (%(default)s)"
    )
    rows.add_argument("--numeric", type=names, default=(), metavar="A,B", help="columns that are numbers")
    rows.add_argument(
        "--categorical", type=names, default=(), metavar="A,B", help="columns that are categories"
    )
    rows.add_argument("--drop", type=names, default=(), metavar="A,B", help="columns to leave out")
    rows.add_argument(
        "--missing", action="append", default=[], metavar="TEXT", help="text that means: no value"
    )
    rows.add_argument("--decimal", choices=(".", ","), metavar="MARK", help="of numbers in text: . or ,")
    rows.add_argument("--separator", help="between values of a CSV file (the most frequent of , ; | tab)")
    rows.add_argument(
        "--unit", type=unit, action="append", default=[], metavar="COLUMN=UNIT",
        help="what a column counts; kept with a saved model and shown with its predictions",
    )  # fmt: skip
    parser.add_argument(
        "--save", metavar="FILE", help=f"write the network, named *{SUFFIX}, for fastnn predict and show"
    )


def run(args: argparse.Namespace) -> int:
    """Read, split, train, compare."""
    optimizer = _optimizer(args)
    if args.save is not None:
        check_path(args.save)
    frame, target, source = load(args)
    rows = prepare(frame, target, args)
    print(f"{source}: {plural(len(frame), 'row')}, {plural(frame.shape[1], 'column')}")
    print(describe(rows, args))
    model = build(rows, args)
    model.compile(optimizer=optimizer, loss=rows.loss)
    shape = "-".join(map(str, (rows.width, *args.hidden, model.output_shapes[0][-1])))
    print(
        f"network  {shape}, relu, {plural(model.count_params(), 'parameter')}; {optimizer.name} "
        f"{optimizer.learning_rate:g}; batches of {args.batch_size}"
    )
    history, preparation, predictions = train(model, rows, args)
    print(_comparison(rows, history, predictions))
    print(_timing(history, preparation, args))
    if args.save is not None:
        save(model, rows, args)
        print(f"saved    {args.save}")
    return 0


def load(args: argparse.Namespace) -> tuple[Any, str, str]:
    """Return the table, the name of its target, and where it comes from."""
    if args.table is None:
        return _shipped(args)
    frame = read_table(args.table, separator=args.separator, missing=args.missing)
    columns = list(frame.columns)
    if args.target is None:
        raise ArgumentError(f"Say which column to predict: --target with one of {', '.join(columns)}.")
    if args.target not in columns:
        raise unknown_name("column", args.target, columns, args.table)
    return frame, args.target, args.table


def _shipped(args: argparse.Namespace) -> tuple[Any, str, str]:
    try:
        from sklearn import datasets
    except ImportError:
        raise missing_extra("scikit-learn", "table", "fastnn fit without a table") from None
    loader, target, what = SHIPPED["binary" if args.task == "auto" else args.task]
    try:
        bunch = getattr(datasets, loader)(as_frame=True)
    except ImportError:
        raise missing_extra("pandas", "table", "fastnn fit") from None
    frame = bunch.frame.rename(columns={"target": target})
    if "target_names" in bunch:
        frame[target] = [str(bunch.target_names[label]) for label in frame[target]]
    if args.target not in (None, target):
        if args.target not in frame.columns:
            raise unknown_name("column", args.target, list(frame.columns), f"the table of {loader}")
        target = args.target
    return frame, target, f"scikit-learn's {loader} ({what})"


def _optimizer(args: argparse.Namespace) -> Any:
    optimizer = optimizers.get(args.optimizer)
    if args.learning_rate is not None:
        optimizer.learning_rate = args.learning_rate
    return optimizer


def describe(rows: Rows, args: argparse.Namespace) -> str:
    """Say what was found in the table, and what became of each unusual column."""
    target, schema = rows.target, rows.schema
    lines = [f"target   {target.name!r}: {target.task} ({target.reason})"]
    if target.task == "binary":
        share = float(rows.y_train.mean())
        lines.append(
            f"         probability of {target.classes[1]!r} ({share:.1%}) against {target.classes[0]!r}"
        )
    elif target.task == "multiclass":
        shown = ", ".join(target.classes[:6]) + (", ..." if len(target.classes) > 6 else "")
        lines.append(f"         {len(target.classes)} classes: {shown}")
    if rows.without_target:
        lines.append(f"         {plural(rows.without_target, 'row')} without a target left out")
    how = "in every class" if target.task != "regression" else "at random"
    lines.append(
        f"rows     {rows.train:,} to train on, {rows.test:,} held out "
        f"({args.test_size:g} {how}, seed {args.seed})"
    )
    lines.append(
        f"columns  {plural(len(schema.numbers), 'number')}, {len(schema.categories)} categorical, "
        f"{len(schema.left_out)} left out"
    )
    return "\n".join(lines + _remarks(rows))


def _remarks(rows: Rows) -> list[str]:
    schema = rows.schema
    remarks = []
    for column in schema.columns:
        if column.note:
            remarks.append((column.name, f"{'left out: ' if column in schema.left_out else ''}{column.note}"))
        if column.missing and column in schema.numbers:
            text = (
                f"missing in {plural(column.missing, 'training row')}: median {column.median:.6g}, and a flag"
            )
            remarks.append((column.name, text))
        elif column.missing and column in schema.categories:
            remarks.append(
                (column.name, f"missing in {plural(column.missing, 'training row')}: a level of its own")
            )
    for name, count in rows.unknown.items():
        remarks.append((name, f"levels not seen in training in {plural(count, 'held-out row')}"))
    width = max((len(name) for name, _ in remarks), default=0)
    return [f"         {name:<{width}}  {text}" for name, text in remarks]


def _comparison(rows: Rows, history: Any, predictions: Any) -> str:
    other = linear(rows)
    lines = [
        ["network", *scores(rows, predictions), seconds(history.seconds)],
        [other.name, *scores(rows, other.predictions), seconds(other.seconds)],
        ["constant prediction", *scores(rows, constant(rows)), ""],
    ]
    head = [f"{plural(rows.test, 'held-out row')}", *HEADS[rows.target.task], "training time"]
    return f"\n{table(head, lines)}\n" + (f"\n{other.remark}" if other.remark else "")


def _timing(history: Any, preparation: float, args: argparse.Namespace) -> str:
    included = "" if args.quiet else ", validation of each included"
    return (
        f"network: {plural(len(history.epoch), 'epoch')}{included}; {seconds(preparation)} before them, "
        "to load the kernels or compile them"
    )
