"""The command line: ``fastnn COMMAND``, one file a command.

A command is a module with ``add_arguments(parser)`` and ``run(args) -> int``. Only the module of the command
that was asked for is imported, so ``fastnn --help`` is quick.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence

import fastnn
from fastnn.cli.terminal import error_text
from fastnn.errors import FastnnError

#: Command and its line in the help. The module is ``fastnn.cli.`` and the command.
COMMANDS = {
    "fit": "train on a CSV or Parquet table and compare with a linear model",
    "predict": "apply a saved network to a CSV or Parquet table",
    "show": "describe a saved network: layers, columns, training",
    "circles": "train a tiny network on two rings of points and draw what it learned",
    "returns": "train on monthly stock returns, tested on random rows, the last year and by walking forward",
    "sp500": "train on the S&P 500 and its moving average and compare with a linear regression",
    "bench": "time fastnn, and other libraries that are installed, on this machine",
    "warmup": "compile every kernel now, so that no training has to wait",
    "gpucheck": "compare every GPU kernel with the CPU, and with what the device can do at most",
    "doctor": "show versions, processor, caches, and what is slow and why",
}
FAILED, INTERRUPTED = 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of the process by default.

    Returns
    -------
    int
        0, or 2 after an error that was reported on standard error, or 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        From argparse, for ``--help``, ``--version`` and arguments that it refuses (status 2).
    """
    given = list(sys.argv[1:] if argv is None else argv)
    parser = _parser(next((word for word in given if word in COMMANDS), None))
    args = parser.parse_args(given)
    if args.command is None:
        parser.print_help()
        return FAILED
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name the terminal cannot show must not end a training
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader (head, less) went away: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("fastnn: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (FastnnError, OSError) as error:
        if args.traceback:
            traceback.print_exc()
        print(f"fastnn: error: {error_text(error)}", file=sys.stderr)
        return FAILED


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of the `chosen` command only."""
    parser = argparse.ArgumentParser(
        prog="fastnn", description="Train small and medium feedforward networks at hardware speed."
    )
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line, description=f"{line[0].upper()}{line[1:]}.")
        command.add_argument("--traceback", action="store_true", help="show where an error came from")
        if name == chosen:
            module = importlib.import_module(f"fastnn.cli.{name}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser
