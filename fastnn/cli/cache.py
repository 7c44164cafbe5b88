"""What lies in the cache of compiled kernels."""

from __future__ import annotations

import warnings
from pathlib import Path

from fastnn.backends.cpu import cache
from fastnn.cli.terminal import plural


def describe_cache() -> tuple[str, Path | None]:
    """Return a line about the cache of this version's kernels, and its folder (None if not writable)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it is not writable is told below
        folder = cache.cache_folder()
    if folder is None:
        return f"{cache.cache_root() / cache.sources_hash()}: not writable", None
    kernels = sum(1 for _ in folder.glob("*.o"))
    return f"{folder}: {plural(kernels, 'kernel')}, {size_text(folder_size(folder))}, writable", folder


def other_versions() -> tuple[int, int]:
    """Return how many folders other versions of fastnn left in the cache, and their bytes."""
    root = cache.cache_root()
    if not root.is_dir():
        return 0, 0
    others = [path for path in root.iterdir() if path.is_dir() and path.name != cache.sources_hash()]
    return len(others), sum(folder_size(path) for path in others)


def folder_size(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    total = 0
    for path in folder.iterdir():
        try:
            total += path.stat().st_size
        except OSError:  # another process replaced it meanwhile
            continue
    return total


def size_text(size: int) -> str:
    """Return bytes for people.

    Examples
    --------
    >>> size_text(3 << 20)
    '3.0 MiB'
    """
    return f"{size / 2**20:.1f} MiB"
