"""``fastnn warmup``: compile every kernel into the cache, so that no training has to wait."""

from __future__ import annotations

import argparse
import time

from tqdm import tqdm

from fastnn import backends
from fastnn.cli.cache import describe_cache
from fastnn.cli.terminal import seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Compile, and say where the kernels went."""
    started = time.perf_counter()
    with tqdm(unit="kernel", disable=args.quiet) as bar:

        def progress(done: int, total: int, name: str = "") -> None:
            bar.total = total
            bar.set_postfix_str(name, refresh=False)
            bar.update(done - bar.n)

        backends.warmup(progress=progress)
    took = seconds(time.perf_counter() - started)
    text, folder = describe_cache()
    print(f"ready in {took}: {text}")
    if folder is None:
        print("nothing was kept: without a writable cache folder every process compiles anew")
        return 1
    return 0
