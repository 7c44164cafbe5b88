"""Which way a program runs: the one place that chooses, with its constants and their reasons.

=========== === ==================================================================================
resident     A  many steps in one launch of one block: a model that fits it, and little work a step
fused        B  a step in a few kernels of a captured graph: narrow stacks and networks
library      C  cuBLAS, kernel by kernel: so much arithmetic that launches no longer count
generic      -  a kernel for each op in a captured graph: everything else
=========== === ==================================================================================
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import NamedTuple

from fastnn.backends.gpu import custom, fused, library, resident
from fastnn.backends.gpu.chain import Chain, Unlike
from fastnn.backends.gpu.net import Net, recognise
from fastnn.errors import ArgumentError
from fastnn.program import Program

REGIMES = ("resident", "fused", "library", "generic")
_WORDS = {
    "resident": "many steps in one launch", "fused": "a step in a few kernels",
    "library": "products by cuBLAS", "generic": "a kernel for each op",
}  # fmt: skip
#: One block does about 27e9 multiply-adds a second out of shared memory, three for each weight and row of a
#: batch; a replayed graph of four kernels costs about 15 us. Up to so many weights x rows a block is faster.
RESIDENT_WORK = 1 << 17
#: An eager launch costs the host about 8 us, in which a device of 20e12 flop/s does so many flops.
FLOPS_A_LAUNCH = 160_000_000

_preferred: contextvars.ContextVar[str | None] = contextvars.ContextVar("preferred", default=None)


class Choice(NamedTuple):
    """How a program runs.

    Attributes
    ----------
    regime : str
    chain : Chain, Net or None
        The stack of dense layers or the network, where the regime needs one.
    update : resident.Update or None
    why : str
        Of the generic one: what keeps the program from fewer kernels.
    """

    regime: str
    chain: Chain | Net | None = None
    update: resident.Update | None = None
    why: str = ""

    def __str__(self) -> str:
        reason = f", because {self.why}" if self.why else ""
        return f"regime {self.regime!r}, {_WORDS[self.regime]}{reason}"


def _check(regime: str) -> None:
    if regime not in REGIMES:
        raise ArgumentError(f"regime must be one of {', '.join(REGIMES)}. Received: regime={regime!r}.")


@contextlib.contextmanager
def preferred(regime: str) -> Iterator[None]:
    """Have sessions that are opened meanwhile run in a regime wherever they can, whatever it costs.

    Parameters
    ----------
    regime : str
        One of REGIMES.

    Raises
    ------
    ArgumentError
        If there is no such regime.
    """
    _check(regime)
    token = _preferred.set(regime)
    try:
        yield
    finally:
        _preferred.reset(token)


def choose(program: Program, batch: int, wanted: str | None = None) -> Choice:
    """Choose the regime of a program.

    Parameters
    ----------
    program : Program
    batch : int
        Rows of a batch.
    wanted : str, optional
        One of REGIMES, to have it whatever it costs.

    Returns
    -------
    Choice

    Raises
    ------
    ArgumentError
        If the program cannot run in the regime that is wanted.
    """
    if wanted is not None:
        _check(wanted)
    possible = _possible(program, batch)
    if wanted is None and _preferred.get() in possible:
        wanted = _preferred.get()
    if wanted is not None:
        if wanted not in possible:
            raise ArgumentError(
                f"This program cannot run in the regime {wanted!r}, but in: {', '.join(possible)}."
            )
        return possible[wanted]
    if "resident" in possible and possible["resident"].chain.work * batch <= RESIDENT_WORK:  # type: ignore[union-attr]
        return possible["resident"]
    if "fused" in possible:
        return possible["fused"]
    launches = len(program.block) + len(program.update)
    if "library" in possible and program.flops_per_row * batch >= FLOPS_A_LAUNCH * launches:
        return possible["library"]
    return possible["generic"]


def _possible(program: Program, batch: int) -> dict[str, Choice]:
    """Return every way the program can run."""
    found = {}
    chain, why = None, ""
    try:
        if custom.used_by(program):
            raise Unlike("it has an op of its own")
        chain = recognise(program)
    except Unlike as unlike:
        why = str(unlike)
    if chain is not None:
        update = resident.update_of(program)
        if update is not None and resident.tile_rows(chain, batch):
            found["resident"] = Choice("resident", chain, update)
        if fused.tile_rows(chain, batch):
            found["fused"] = Choice("fused", chain)
        else:
            why = "its rows do not fit a block's shared memory"
    if any(map(library.takes, program.block)) and not custom.used_by(program):
        found["library"] = Choice("library")
    found["generic"] = Choice("generic", why=why)
    return found
