"""``fastnn predict``: apply a saved network to a table, in the target's own terms."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from fastnn.cli.model_file import SavedNetwork, read
from fastnn.cli.terminal import Whole, plural, table
from fastnn.data import read_table
from fastnn.data.read import CSV_SUFFIXES, PARQUET_SUFFIXES, load_pandas
from fastnn.errors import ArgumentError, DataError, missing_extra
from fastnn.io import atomic

PREVIEW = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL", help="file written by fastnn fit --save")
    parser.add_argument("table", metavar="TABLE", help="CSV or Parquet file with the columns of the training")
    parser.add_argument("--out", metavar="FILE", help="write the predictions there, as .csv or .parquet")
    parser.add_argument(
        "--missing", action="append", default=[], metavar="TEXT",
        help="text that means: no value, besides those of the training",
    )  # fmt: skip
    parser.add_argument("--separator", help="between values of a CSV file (the most frequent of , ; | tab)")
    parser.add_argument("--threads", type=Whole(1), help="at most; results do not depend on it")


def run(args: argparse.Namespace) -> int:
    """Read, check, predict, write or show."""
    if args.out is not None:
        _check_suffix(args.out)
    network = read(args.model)
    frame = read_table(args.table, separator=args.separator, missing=[*network.missing, *args.missing])
    for line in check(network, frame):
        print(f"fastnn: {line}", file=sys.stderr)
    found = in_columns(network, network.predict(frame, args.threads), frame.index)
    if args.out is None:
        print(preview(network, found))
    else:
        write(found, args.out)
        print(f"{plural(len(found), 'prediction')} of {network.target.name!r} written to {args.out}")
    return 0


def check(network: SavedNetwork, frame: Any) -> list[str]:
    """Compare a table with the columns of the training; returns what a user should know.

    Raises
    ------
    DataError
        If columns that the network reads are missing; all are named.
    """
    read_columns = [column.name for column in (*network.schema.numbers, *network.schema.categories)]
    missing = [name for name in read_columns if name not in frame.columns]
    if missing:
        raise DataError(
            f"The table lacks {plural(len(missing), 'column')} that the network reads: {', '.join(missing)}. "
            f"Received: {', '.join(map(str, frame.columns))}."
        )
    known = {network.target.name, *(column.name for column in network.schema.columns)}
    extra = [name for name in frame.columns if name not in known]
    remarks = []
    if extra:
        remarks.append(f"columns that the training had not are left out: {', '.join(extra)}")
    for name, count in network.schema.unknown_levels(frame).items():
        remarks.append(f"column {name!r} has levels not seen in training in {plural(count, 'row')}")
    return remarks


def in_columns(network: SavedNetwork, values: Any, index: Any) -> Any:
    """Return predictions as a table: ``prediction``, and ``probability_...`` of each class."""
    pandas = load_pandas("fastnn predict")
    target = network.target
    if target.task == "regression":
        return pandas.DataFrame({"prediction": values}, index=index)
    best = [target.classes[number] for number in values.argmax(axis=1)]
    columns = {f"probability_{name}": values[:, k] for k, name in enumerate(target.classes)}
    return pandas.DataFrame({"prediction": best, **columns}, index=index)


def preview(network: SavedNetwork, found: Any) -> str:
    """Return the first rows as text, and a line about all of them."""
    target = network.target
    lines = [
        [str(row), *(value if isinstance(value, str) else f"{value:.6g}" for value in values)]
        for row, *values in found.head(PREVIEW).itertuples()
    ]
    text = table(["row", *found.columns], lines)
    if len(found) > PREVIEW:
        text += f"\n  ... {plural(len(found) - PREVIEW, 'more row')}; --out FILE writes all"
    if target.task == "regression":
        mean = f"mean {found['prediction'].mean():.6g}, from {found['prediction'].min():.6g} to "
        summary = f"{mean}{found['prediction'].max():.6g}{' ' + target.unit if target.unit else ''}"
    else:
        counts = found["prediction"].value_counts()
        summary = ", ".join(f"{counts.get(name, 0):,} {name}" for name in target.classes)
    return f"{text}\n{target.name}: {summary}"


def _check_suffix(path: str) -> None:
    name = path.lower()
    if not name.endswith((*CSV_SUFFIXES, *PARQUET_SUFFIXES)):
        raise ArgumentError(
            f"--out: expected a file named {', '.join(CSV_SUFFIXES + PARQUET_SUFFIXES)}. Received: {path!r}."
        )


def write(found: Any, path: str) -> None:
    """Write predictions to a file, in one step."""
    buffer, name = io.BytesIO(), path.lower()
    if name.endswith(PARQUET_SUFFIXES):
        try:
            found.to_parquet(buffer, index=False)
        except ImportError:
            raise missing_extra("pyarrow", "table", f"Writing {Path(path).name}") from None
    else:
        compression = "gzip" if name.endswith(".gz") else None
        separator = "\t" if ".tsv" in name else ","
        found.to_csv(buffer, index=False, sep=separator, compression=compression)
    atomic.write(path, buffer.getvalue())
