"""``fastnn warmup``: compile every kernel into the cache, so that no training has to wait."""

from __future__ import annotations

import argparse
import time

from tqdm import tqdm

from fastnn import backends
from fastnn.cli.cache import describe_cache
from fastnn.cli.terminal import plural, seconds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Compile, and say where the kernels went."""
    started = time.perf_counter()
    with tqdm(unit="kernel", disable=args.quiet) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        count = backends.warmup(progress=progress)
    text, folder = describe_cache()
    print(f"{plural(count, 'kernel')} ready in {seconds(time.perf_counter() - started)}\n{text}")
    if folder is None:
        print("nothing was kept: without a writable cache folder every process compiles anew")
        return 1
    return 0
