"""The plan on paper: how long a training step should take on a device that nobody has run yet.

Published figures are in floors.py (limits of devices) and here (what launches cost); the others are
assumptions, named as such. ``fastnn gpucheck`` and the benchmarks say what is true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from fastnn.backends.gpu import fused, resident
from fastnn.backends.gpu.chain import MOST_WIDTH
from fastnn.backends.gpu.floors import RATES, Work
from fastnn.backends.gpu.regimes import FLOPS_A_LAUNCH, RESIDENT_WORK

ARCHITECTURE = "sm_90"
#: Published: a replayed CUDA graph, and each of its kernels; an eager launch through CuPy.
GRAPH_SECONDS, NODE_SECONDS, LAUNCH_SECONDS = 15e-6, 0.6e-6, 6e-6
#: Kernels of a step: fused, sum_blocks, update, tick; in the other regimes by the number of layers.
FUSED_NODES, NODES, NODES_A_LAYER = 4, 6, 7
#: Of those, the second kernel of a sum over rows: two a layer, which are no ops of the program.
SUMS_A_LAYER = 2
#: Assumed: multiply-adds a second of one block out of shared memory.
BLOCK_RATE = 27e9
#: Assumed: a barrier with what waits at it, and barriers a layer of a step (forward, backward, gradient).
BARRIER_SECONDS, BARRIERS_A_LAYER, BARRIERS = 0.1e-6, 3, 4
#: Assumed: shares of the peak rate that our product and cuBLAS reach without tensor cores.
OUR_SHARE, LIBRARY_SHARE = 0.3, 0.7


class Step(NamedTuple):
    """A training step: sizes of the layers, inputs first; rows of a batch; the optimizer's state vectors."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    slots: int = 2
    target_columns: int = 1

    @property
    def weights(self) -> int:
        """Of the matrices: multiply-adds of a row's forward pass."""
        return sum(a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def layers(self) -> int:
        """Dense layers."""
        return len(self.sizes) - 1

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + sum(self.sizes[1:])

    def work(self) -> Work:
        """Return the arithmetic of its products, and the bytes of its data, parameters and state.

        Examples
        --------
        >>> Step("one layer", (4, 2), batch=10).work()
        Work(flops=320.0, bytes=560.0)
        """
        first = self.sizes[0] * self.sizes[1]
        # Read: parameters forward and in the update, gradient, state; written: parameters, gradient, state.
        numbers = self.batch * (self.sizes[0] + self.target_columns)
        numbers += self.parameters * (5 + 2 * self.slots)
        return Work(2.0 * self.batch * (3 * self.weights - first), 4.0 * numbers)


class Plan(NamedTuple):
    """What is expected of a step, in seconds.

    Attributes
    ----------
    regime : str
    arithmetic, memory : float
        The two floors.
    expected : float
    reason : str
        The arithmetic, in words.
    """

    regime: str
    arithmetic: float
    memory: float
    expected: float
    reason: str


STEPS = (
    Step("circles, full batch", (2, 3, 2), 50_000, slots=1),
    Step("circles, batch 128", (2, 3, 2), 128, slots=1),
    Step("45-64-64-1, batch 32", (45, 64, 64, 1), 32),
    Step("45-64-64-1, batch 512", (45, 64, 64, 1), 512),
    Step("45-64-64-1, batch 8192", (45, 64, 64, 1), 8192),
    Step("512-1024-1024-10, batch 256", (512, 1024, 1024, 10), 256),
)


def plan(step: Step) -> Plan:
    """Return the regime that the executor chooses for a step, and what it should take on an H100."""
    rates, work = RATES[ARCHITECTURE], step.work()
    arithmetic, memory = work.flops / rates.flops, work.bytes / rates.bytes
    regime, expected, reason = _expected(step, work, max(arithmetic, memory))
    return Plan(regime, arithmetic, memory, expected, reason)


def _expected(step: Step, work: Work, floor: float) -> tuple[str, float, str]:
    narrow = max(step.sizes) <= MOST_WIDTH
    fits = narrow and step.parameters <= resident.MOST_PARAMETERS
    if fits and step.weights * step.batch <= RESIDENT_WORK:
        return "resident", *_resident(step)
    if narrow:
        return "fused", *_fused(step)
    launches = NODES + NODES_A_LAYER * step.layers
    ops = launches - SUMS_A_LAYER * step.layers
    if work.flops >= FLOPS_A_LAUNCH * ops:
        seconds = max(LAUNCH_SECONDS * launches, floor / LIBRARY_SHARE)
        return "library", seconds, f"{launches} launches x 6 us, or the floor at {LIBRARY_SHARE:.0%} of peak"
    products = floor / OUR_SHARE
    seconds = GRAPH_SECONDS + NODE_SECONDS * launches + products
    why = f"graph 15 us + {launches} x 0.6 us + the floor at {OUR_SHARE:.0%} of peak ({_us(products)})"
    return "generic", seconds, why


def _resident(step: Step) -> tuple[float, str]:
    """One block does every multiply-add of the step, and nothing is launched."""
    adds = 3 * step.weights * step.batch
    barriers = BARRIERS_A_LAYER * step.layers + BARRIERS
    seconds = adds / BLOCK_RATE + barriers * BARRIER_SECONDS
    return seconds, f"{adds:,} multiply-adds / 27e9 + {barriers} barriers x 0.1 us"


def _fused(step: Step) -> tuple[float, str]:
    """A graph's replay, and the tiles that one after the other go through a place on a multiprocessor."""
    tile = fused.tile_rows(fused.example(step.sizes), step.batch)
    tiles = math.ceil(step.batch / tile)
    turns = math.ceil(tiles / fused.MOST_BLOCKS)  # a multiprocessor each: an H100 has 132
    one = 3 * step.weights * tile / BLOCK_RATE
    seconds = GRAPH_SECONDS + FUSED_NODES * NODE_SECONDS + turns * one
    each = f"{turns} turn{'s' * (turns > 1)} of a tile of {tile} rows, {_us(one)} each"
    return seconds, f"graph 15 us + {FUSED_NODES} x 0.6 us + {each}"


def _us(seconds: float) -> str:
    """Return microseconds to two figures."""
    return f"{1e6 * seconds:.2g} us" if seconds < 1e-4 else f"{1e6 * seconds:.0f} us"


def table(steps: Sequence[Step] = STEPS) -> str:
    """Return the plan as a table in Markdown: docs/gpu.md shows it."""
    lines = ["| step | regime | arithmetic | memory | expected | how |", "|---|---|--:|--:|--:|---|"]
    for step in steps:
        found = plan(step)
        cells = (
            step.name, found.regime, _us(found.arithmetic), _us(found.memory), _us(found.expected),
            found.reason,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
