"""Coalescing and bank conflicts of kernels that ran on the CPU, line by line.

The k-th time that the lanes of a warp execute one access counts as one warp-wide request. A request to device
memory moves sectors of 32 bytes; the fewest it could do with are the bytes its lanes asked for, over 32.
"""

from __future__ import annotations

import contextlib
import ctypes
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import shim


class Access(NamedTuple):
    """One line's loads or stores.

    Attributes
    ----------
    kernel, line : str
    shared, write : bool
    requests : int
    moved, fewest : int
        Sectors of device memory; for shared memory the ways of bank conflicts and the fewest there could be.
    """

    kernel: str
    line: str
    shared: bool
    write: bool
    requests: int
    moved: int
    fewest: int

    @property
    def efficiency(self) -> float:
        """The fewest sectors (or ways) against those it took; above 1 where lanes share an address."""
        return self.fewest / max(self.moved, 1)


@contextlib.contextmanager
def recording() -> Iterator[list[Access]]:
    """Profile every launch of libraries in check mode; the list fills as kernels run."""
    found: list[Access] = []
    plain = shim.Kernel.launch

    def launch(kernel, *args, **options):
        kernel.library.c.cushim_profile(1)
        plain(kernel, *args, **options)
        found.extend(_read(kernel))
        kernel.library.c.cushim_profile(0)

    shim.Kernel.launch = launch  # type: ignore[method-assign]
    try:
        yield found
    finally:
        shim.Kernel.launch = plain  # type: ignore[method-assign]


def _read(kernel: shim.Kernel) -> list[Access]:
    values, rows = (ctypes.c_uint64 * 8)(), []
    while kernel.library.c.cushim_profile_get(len(rows), values):
        rows.append(list(values))
    if not rows:
        return []
    addresses = [hex(row[0] - 1) for row in rows]
    lines = subprocess.run(
        ["addr2line", "-e", kernel.library.path, *addresses], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = []
    for line, (_, requests, sectors, ideal, ways, _, shared, write) in zip(lines, rows, strict=True):
        name = line.rsplit("/", 1)[-1].split(" (")[0]
        moved = ways if shared else sectors
        found.append(Access(kernel.name, name, bool(shared), bool(write), requests, moved, ideal))
    return found
