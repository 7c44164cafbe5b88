"""Regime B: the training step of a stack or network of dense layers in two kernels, its update apart.

A block takes tiles of rows through gather, forward, loss and backward without leaving shared memory, and
keeps gradients of its own; the second kernel sums the blocks' gradients in order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu import data, net_layout
from fastnn.backends.gpu.chain import Chain
from fastnn.backends.gpu.chain_parts import Drop, Layer, Loss, Source, Sum
from fastnn.backends.gpu.compile import Variant
from fastnn.backends.gpu.lowering import REGISTERS, Launch, Scratch, Stride, Table, Target, blocks
from fastnn.backends.gpu.net import MOST_INPUTS, Net
from fastnn.ops.registry import Spec
from fastnn.program import Program, Ref

#: Static shared memory of a block on every device.
SHARED_BYTES = 48 << 10
#: Blocks that share a batch. A constant, not the device's: results do not depend on the device.
MOST_BLOCKS = 128
#: Rows of a weight matrix that are staged in shared memory at once (STAGE of chain.cu).
STAGE = 32
TILES = (32, 16, 8)

#: What these kernels train.
Stack = Chain | Net


def itemsize(chain: Stack) -> int:
    """Return the bytes of a number."""
    return 4 if chain.dtype == "float32" else 8


def tile_bytes(chain: Stack, tile: int) -> int:
    """Return the shared memory of a tile: the struct Tile of chain.cu or net.cu."""
    if isinstance(chain, Net):
        return net_layout.tile_bytes(chain, tile, itemsize(chain), STAGE)
    strides = [net_layout.padded(size) for size in chain.sizes]
    numbers, kept, last = sum(strides) + strides[-1], 0, len(chain.layers) - 1
    for number, layer in enumerate(chain.layers):
        kept += strides[number] * (layer.drop is not None)
        if number == last:
            apart = layer.form != "linear" or chain.softmax
        else:
            drop = chain.layers[number + 1].drop
            again = drop is not None and layer.form != "linear" and (layer.form != "relu" or drop.kind != 1)
            apart = layer.saves == "input" or again
        numbers += strides[number + 1] * apart
    numbers += strides[-1] * (chain.loss.name != "labels")
    reals = numbers * tile + STAGE * max(strides[2:], default=0)
    sums = 8 * len(chain.sums) * (tile + 1)
    total = reals * itemsize(chain) + sums + tile * (8 + itemsize(chain) + 4) + 4 * max(kept * tile, 1)
    return total + 16  # padding


def tile_rows(chain: Stack, batch: int, room: int = SHARED_BYTES) -> int:
    """Return the rows of a tile, 0 if none fits: large tiles reuse weights, small ones occupy more blocks."""
    for tile in TILES:
        enough = tile == TILES[-1] or batch >= tile * MOST_BLOCKS
        if enough and tile_bytes(chain, tile) <= room:
            return tile
    return 0


def macros(chain: Stack, tile: int) -> dict[str, str | int]:
    """Return the macros of tiles.cu, and of chain.cu or net.cu."""
    layers = chain.layers

    def several(values: Any) -> str:
        return ",".join(map(str, values))

    found: dict[str, str | int] = {
        "TILE": tile, "FORMS": several(f"FORM_{layer.form}" for layer in layers),
        "SAVES": several(int(layer.saves == "input") for layer in layers),
        "DROPS": several(layer.drop.kind if layer.drop else 0 for layer in layers),
        "W_AT": several(layer.weights for layer in layers), "B_AT": several(layer.bias for layer in layers),
        "CLASSES": {"shares": 1, "labels": 2}.get(chain.loss.name, 0),
        "ON_LOGITS": int(chain.loss.on_logits), "SOFTMAX": int(chain.softmax), "SUMS": len(chain.sums),
        "KINDS": several(f"SUM_{s.kind}" for s in chain.sums),
        "WEIGHTED": several(int(s.weighted) for s in chain.sums),
        "T_TYPE": data.SOURCES[chain.target.dtype], **data.MACROS,
    }  # fmt: skip
    for name, source in zip(("X_TYPE", "X1_TYPE", "X2_TYPE", "X3_TYPE"), chain.inputs, strict=False):
        found[name] = data.SOURCES[source.dtype]
    if isinstance(chain, Net):
        found |= net_layout.macros(chain)
    else:
        found |= {"LAYERS": len(layers), "SIZES": several(chain.sizes)}
    if not found["CLASSES"]:
        found["LOSS"] = f"LOSS_{chain.loss.name}"
    if chain.loss.balanced:
        found["BALANCED"] = 1
    if chain.weight is not None:
        found["W_TYPE"] = data.SOURCES[chain.weight.dtype]
    return found


def variant(chain: Stack, tile: int) -> Variant:
    """Return what is compiled for a chain."""
    return Target(chain.dtype).variant("fused", **macros(chain, tile))


def source_arguments(chain: Stack) -> tuple[Any, ...]:
    """Return the caller's arrays and their strides, as the kernels take them."""

    def array(source: Source | None) -> Ref | None:
        return None if source is None else Ref("input", 0, Spec((1,)), source.number)

    def strides(source: Source | None) -> tuple[Any, Any]:
        return (0, 0) if source is None else (Stride(source.number, 0), Stride(source.number, 1))

    first, *others = chain.inputs + (None,) * (MOST_INPUTS - len(chain.inputs))
    return (
        array(first), array(chain.target), array(chain.weight), *strides(first), *strides(chain.target),
        strides(chain.weight)[0], *map(array, others), *itertools.chain(*map(strides, others)),
    )  # fmt: skip


def settings(chain: Stack) -> tuple[Table, Table]:
    """Return the numbers of the layers and of the loss (Settings of chain.cu)."""
    reals: list[float] = []
    ints: list[int] = []
    for layer in chain.layers:
        drop = layer.drop
        reals += [*layer.constants, *((drop.on, drop.on_shift, drop.off_shift) if drop else (0.0, 0.0, 0.0))]
        ints += [drop.stream, _signed(drop.seed), _signed(drop.step), drop.threshold] if drop else [0] * 4
    reals += chain.loss.numbers
    ints.append(chain.loss.mean)
    return Table(tuple(map(float, reals)), "float64"), Table(tuple(ints), "int64")


def _signed(word: int) -> int:
    """Return the int64 with these 64 bits."""
    return word - (1 << 64) if word >= 1 << 63 else word


def accumulators(chain: Stack) -> Table:
    """Return where each sum is kept."""
    return Table(tuple(s.accumulator for s in chain.sums), "int32")


def flat(region: str, size: int, index: int = 0) -> Ref:
    """Return a whole flat vector."""
    return Ref(region, 0, Spec((size,), rows=False), index)


def lower_fused(program: Program, chain: Stack, batch: int) -> tuple[Sequence[Launch], Sequence[Any]]:
    """Return the launches of a step's rows, and the update instructions that are left to lower."""
    tile = tile_rows(chain, batch)
    count, size = min(math.ceil(batch / tile), MOST_BLOCKS), chain.parameters
    parts = Scratch(count * size * itemsize(chain), chain.dtype, zeros=True)
    part_sums = Scratch(count * len(chain.sums) * 8, "float64", zeros=True)
    update = [i for i in program.update if i.op != "reduce_gradients"]
    penalised = any(i.op == "l1_l2" for i in update)
    if not penalised:
        update = [i for i in update if i.op != "check_finite"]
    kernel = variant(chain, tile)
    sums = flat("accumulator", len(program.accumulators))
    return [
        Launch(
            kernel, "fused", (count,),
            (
                REGISTERS, *source_arguments(chain), flat("parameter", program.parameters), *settings(chain),
                parts, part_sums, size,
            ),
        ),
        Launch(
            kernel, "sum_blocks", blocks(size),
            (
                REGISTERS, parts, flat("gradient", size), part_sums, sums, accumulators(chain), size, count,
                int(not penalised),
            ),
        ),
    ], update  # fmt: skip


def example(
    sizes: Sequence[int], hidden: str = "relu", *, dtype: str = "float32", dropout: bool = False
) -> Chain:
    """Return a binary classifier of these widths as the planner would lay it out: a committed shape."""
    layers, at = [], 0
    drop = Drop(1, 1, 0, 0, 1 << 15, 2.0, 0.0, 0.0)
    for number, (inputs, units) in enumerate(itertools.pairwise(sizes)):
        bias = at + -(-inputs * units // 16) * 16
        last = number == len(sizes) - 2
        layers.append(
            Layer(
                inputs, units, at, bias, "sigmoid" if last else hidden,
                drop=drop if dropout and number else None,
            )
        )  # fmt: skip
        at = bias + -(-units // 16) * 16
    loss = Loss("binary_crossentropy_logits", True, 0, 1, (1.0, 1.0, 1.0, 0.0, 0.0))
    sums = (Sum("loss", 0, False), Sum("binary_accuracy", 1, False))
    x, target = Source(0, dtype), Source(1, dtype)
    return Chain(dtype, tuple(layers), False, loss, sums, x, target, None, at)


def fused_variants() -> list[Variant]:
    """Return the committed shapes: what continuous integration compiles for every architecture."""
    found = []
    for dtype in ("float32", "float64"):
        for sizes in ((45, 64, 64, 1), (2, 3, 1), (30, 32, 1)):
            for dropout in (False, True):
                chain = example(sizes, dtype=dtype, dropout=dropout)
                found.append(variant(chain, tile_rows(chain, 32)))
        for dropout in (False, True):
            net = net_layout.example(dtype, 32, dropout=dropout)
            found.append(variant(net, tile_rows(net, 32)))
    for sizes in ((45, 64, 64, 1), (128, 128, 128, 1)):
        chain = example(sizes)
        found.append(variant(chain, tile_rows(chain, 1 << 14)))
    return found
