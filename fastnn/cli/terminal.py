"""What the commands share: tables of text, types of arguments, errors in one line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


def error_text(error: BaseException) -> str:
    """Return an error in one line, in the words of its message."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename is not None else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def table(head: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Lay out a table: the first column to the left, the others to the right.

    Examples
    --------
    >>> print(table(["", "AUC"], [["network", "0.98"], ["linear", "0.9"]]))
                 AUC
      network   0.98
      linear     0.9
    """
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        (
            indent
            + "   ".join(
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        ).rstrip()
        for line in lines
    )


def seconds(value: float) -> str:
    """Return a duration for people.

    Examples
    --------
    >>> seconds(0.0123), seconds(4.2), seconds(125)
    ('12.3 ms', '4.20 s', '2 min 5 s')
    """
    if value < 1:
        return f"{value * 1e3:.3g} ms"
    return f"{value:.2f} s" if value < 60 else f"{int(value) // 60} min {int(value) % 60} s"


def plural(count: int, noun: str) -> str:
    """Return ``'1 row'``, ``'2,000 rows'``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def widths(text: str) -> tuple[int, ...]:
    """Parse ``--hidden``: ``'64,64'``; ``'0'`` or nothing for no hidden layer."""
    try:
        sizes = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        sizes = (-1,)
    if sizes == (0,):
        return ()
    if any(size < 1 for size in sizes):
        raise argparse.ArgumentTypeError(
            f"expected the widths of the hidden layers, such as 64,64, or 0 for none; received {text!r}"
        )
    return sizes


def names(text: str) -> tuple[str, ...]:
    """Parse a list of column names: ``'age,town'``."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def unit(text: str) -> tuple[str, str]:
    """Parse ``--unit``: ``'price=EUR'``."""
    name, equals, value = text.rpartition("=")
    if not (name.strip() and equals and value.strip()):
        raise argparse.ArgumentTypeError(f"expected COLUMN=UNIT, such as price=EUR; received {text!r}")
    return name.strip(), value.strip()


class Whole:
    """Parses a whole number of at least `least`."""

    def __init__(self, least: int):
        self.least = least

    def __call__(self, text: str) -> int:
        """Return the number."""
        try:
            value = int(text.replace("_", ""))
        except ValueError:
            value = self.least - 1
        if value < self.least:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {self.least}; received {text!r}")
        return value


class Share:
    """Parses a number between two bounds, the lower one included or not."""

    def __init__(self, low: float, high: float, with_low: bool = False):
        self.low, self.high, self.with_low = low, high, with_low

    def __call__(self, text: str) -> float:
        """Return the number."""
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not (self.low < value < self.high or (self.with_low and value == self.low)):
            raise argparse.ArgumentTypeError(
                f"expected a number between {self.low:g} and {self.high:g}; received {text!r}"
            )
        return value


def add_common(parser: argparse.ArgumentParser, **defaults: Any) -> None:
    """Add the arguments that every training command has."""
    parser.add_argument(
        "--epochs", type=Whole(1), default=defaults["epochs"], help="passes over the rows (%(default)s)"
    )
    parser.add_argument(
        "--batch-size", type=Whole(1), default=defaults["batch_size"], help="rows a step (%(default)s)"
    )
    parser.add_argument(
        "--seed", type=Whole(0), default=0, help="split, initial weights and shuffles (%(default)s)"
    )
    parser.add_argument("--quiet", action="store_true", help="no line for each epoch")
