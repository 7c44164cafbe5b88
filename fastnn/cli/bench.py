"""``fastnn bench``: time fastnn, and other libraries if they are installed, on this machine.

The benchmarks are a program of their own, the repository's folder ``benchmarks``; a wheel carries a copy.
Each library runs in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from fastnn.cli.figures import check_output
from fastnn.errors import ArgumentError, FastnnError

PACKAGE = Path(__file__).parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--quick", action="store_true", help="a few workloads, one thread, 3 short repeats")
    parser.add_argument(
        "--rivals",
        nargs="+",
        metavar="NAME",
        help="such as fastnn torch jax:scan sklearn (default: those whose packages are installed)",
    )
    parser.add_argument("--workloads", nargs="+", metavar="NAME", help="such as returns_b32 (default: all)")
    parser.add_argument("--threads", nargs="+", type=int, metavar="N", help="default: 1 2")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--budget", type=float, metavar="MINUTES", help="begin no workload later than this")
    parser.add_argument("--out", metavar="JSON", help="write all repeats and the machine's record")
    parser.add_argument("--figure", metavar="PNG", default="fastnn-bench.png", help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    """Run the benchmarks; their table and figure are their own."""
    if not hasattr(os, "sched_setaffinity"):
        raise FastnnError(
            "The benchmarks pin processes to cores, which this system cannot do: they need Linux."
        )
    if args.threads and min(args.threads) < 1:
        raise ArgumentError(f"--threads must be at least 1. Received: {min(args.threads)}.")
    check_output(args.figure)
    home = find_benchmarks(PACKAGE)
    command = [sys.executable, "-m", "benchmarks.run", "--device", args.device, "--figure", args.figure]
    for name in ("rivals", "workloads", "threads"):
        given = getattr(args, name)
        command += [f"--{name}", *map(str, given)] if given else []
    for name in ("out", "budget"):
        given = getattr(args, name)
        command += [f"--{name}", str(given)] if given is not None else []
    command += ["--quick"] if args.quick else []
    path = filter(None, [str(home), str(PACKAGE.parent), os.environ.get("PYTHONPATH")])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path)}
    return subprocess.run(command, env=environment).returncode


def find_benchmarks(package: Path) -> Path:
    """Return the folder that has ``benchmarks``: inside an installed package, beside it in a checkout.

    Parameters
    ----------
    package : Path
        The folder of the package fastnn.

    Raises
    ------
    FastnnError
        If there is neither.
    """
    inside, beside = package / "_benchmarks", package.parent
    if (inside / "benchmarks" / "run.py").is_file():
        return inside
    # Another package's folder `benchmarks` may lie in site-packages.
    if (beside / "pyproject.toml").is_file() and (beside / "benchmarks" / "run.py").is_file():
        return beside
    raise FastnnError(
        f"The benchmarks are neither in {inside} nor beside {package}. Install fastnn from its wheel, or run "
        "the command in a checkout."
    )
