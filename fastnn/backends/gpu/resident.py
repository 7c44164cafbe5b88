"""Regime A: many training steps of a small stack or network of dense layers in one launch.

One block trains one model, which never leaves its shared memory and registers. Models of a population lie
one after the other; a session launches one block.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fastnn.backends.gpu import fused, net_layout
from fastnn.backends.gpu.compile import Variant
from fastnn.backends.gpu.lowering import REGISTERS, Held, Launch, Target
from fastnn.ops.schedules import RATES
from fastnn.ops.updates import UPDATES, rule_name
from fastnn.program import Program

#: Parameters and gradients in shared memory, up to three numbers of state each in 8 registers a thread.
MOST_PARAMETERS = 2048
#: HYPER of resident.cu.
MOST_HYPER = 8
#: Shared memory besides the tile, parameters and gradients: the clock and the optimizer's numbers.
OTHER_BYTES = 1024


class Update(NamedTuple):
    """An update section that a block can run by itself.

    Attributes
    ----------
    rule : str
    start, size : int
        The range of the flat vectors that is trained.
    slots : int
    hyper : int
        Hyperparameters with the optimizer's state.
    decay : bool
    schedule : str
        The op that computes the learning rate; ``''`` if none.
    schedule_numbers : int
    """

    rule: str
    start: int
    size: int
    slots: int
    hyper: int
    decay: bool
    schedule: str = ""
    schedule_numbers: int = 0


def update_of(program: Program) -> Update | None:
    """Return the update section if it is a schedule, the check and one optimizer's step; else None."""
    found = [i for i in program.update if i.op != "reduce_gradients"]
    schedule = found.pop(0) if found and found[0].op in RATES else None
    if [i.op in UPDATES for i in found] != [False, True] or found[0].op != "check_finite":
        return None
    step = found[1]
    gradient, hyper = step.inputs
    parameter, *slots = step.outputs
    checked = found[0].inputs[0]
    if step.attrs["steps"] != 1 or hyper.spec.size > MOST_HYPER or len(slots) > 3:
        return None
    if (checked.offset, checked.spec.size) != (gradient.offset, gradient.spec.size):
        return None
    item = 4 if program.dtype == "float32" else 8
    numbers = schedule.inputs[0].spec.size - 1 if schedule else 0
    return Update(
        rule_name(step.op, step.attrs, len(slots)), parameter.offset // item, parameter.spec.size, len(slots),
        hyper.spec.size, bool(step.attrs["decay"]), schedule.op if schedule else "", numbers,
    )  # fmt: skip


def tile_rows(chain: fused.Stack, batch: int) -> int:
    """Return the rows of a tile, 0 if the model does not fit a block."""
    room = fused.SHARED_BYTES - 2 * chain.parameters * fused.itemsize(chain) - OTHER_BYTES
    if chain.parameters > MOST_PARAMETERS:
        return 0
    for tile in fused.TILES:
        if (tile == fused.TILES[-1] or batch > tile // 2) and fused.tile_bytes(chain, tile) <= room:
            return tile
    return 0


def variant(chain: fused.Stack, update: Update, tile: int) -> Variant:
    """Return what is compiled for a chain and its optimizer."""
    macros = {
        **fused.macros(chain, tile), "PARAMETERS": chain.parameters, "UPDATE": f"UPDATE_{update.rule}",
    }  # fmt: skip
    if update.schedule:
        macros["SCHEDULE"] = f"SCHEDULE_{update.schedule}"
    return Target(chain.dtype).variant("resident", **macros)


def lower_resident(program: Program, chain: fused.Stack, update: Update, batch: int) -> Launch:
    """Return the launch of many steps; how many is what the session holds as 'steps'."""
    kernel = variant(chain, update, tile_rows(chain, batch))
    size = chain.parameters
    slots: list[Any] = [fused.flat("slot", size, number) for number in range(update.slots)]
    schedule = fused.flat("schedule", update.schedule_numbers + 1) if update.schedule else None
    arguments = (
        REGISTERS, *fused.source_arguments(chain), fused.flat("parameter", size),
        *(*slots, None, None, None)[:3], fused.flat("gradient", size), fused.flat("hyper", update.hyper),
        schedule, Held("epoch_sums"), Held("log"), Held("modes"), fused.accumulators(chain),
        *fused.settings(chain), Held("steps"), Held("log_stride"), update.hyper, update.schedule_numbers,
        len(program.accumulators), update.start, update.size, int(update.decay),
    )  # fmt: skip
    return Launch(kernel, "resident", (1,), arguments)


def resident_variants() -> list[Variant]:
    """Return the committed shapes: what continuous integration compiles for every architecture."""
    rules = (("sgd", 0), ("adam", 2), ("nadam", 2), ("rmsprop_centered_momentum", 3))
    found = []
    for dtype in ("float32", "float64"):
        chains: list[tuple[fused.Stack, int]] = [
            (fused.example((2, 3, 1), dtype=dtype), 4),
            (fused.example((30, 32, 1), dtype=dtype, dropout=True), 4),
            (net_layout.example(dtype), 2),
        ]
        for chain, many in chains:
            for name, slots in rules[-many:]:
                update = Update(name, 0, chain.parameters, slots, 7, False)
                found.append(variant(chain, update, tile_rows(chain, 32)))
    return found
