"""How a network lies in a block's shared memory, and the macros of ``cuda/net.cu`` that say so."""

from __future__ import annotations

from collections.abc import Iterable

from fastnn.backends.gpu.chain_parts import Drop, Layer, Loss, Source, Sum
from fastnn.backends.gpu.net import Net, Step, Value


def padded(width: int) -> int:
    """Return the numbers from a row of a tile to the next (padded of tiles.cu)."""
    return width | 1


def tile_bytes(net: Net, tile: int, item: int, stage: int) -> int:
    """Return the shared memory of a tile: the struct Tile of net.cu.

    Parameters
    ----------
    net : Net
    tile : int
        Rows.
    item : int
        Bytes of a number.
    stage : int
        Rows of a weight matrix that are staged at once.
    """
    homes = [value for number, value in enumerate(net.values) if value.home == number]
    numbers = sum(padded(value.width) * (1 + value.sloped) for value in homes)
    widest = kept = indices = 0
    for step in net.steps:
        width, layer = net.values[step.writes].width, step.layer
        if step.kind == "dense":
            last = step is net.steps[-1] and (layer.form != "linear" or net.softmax)
            numbers += padded(width) * (last or layer.saves == "input")
            if net.values[step.reads[0]].sloped:
                widest = max(widest, padded(width))
        kept += width * (layer.drop is not None)
        indices += net.indices(step) * (step.kind == "embedding")
    numbers += padded(net.values[net.values[net.steps[-1].writes].home].width) * (net.loss.name != "labels")
    reals = (numbers * tile + stage * widest + tile) * item
    sums = 8 * len(net.sums) * (tile + 1)
    return reals + sums + tile * (8 + 4) + 4 * (max(kept * tile, 1) + max(indices * tile, 1)) + 16  # padding


def macros(net: Net) -> dict[str, str | int]:
    """Return the macros of net.cu besides those of every tile."""

    def several(values: Iterable[object]) -> str:
        return ",".join(map(str, values))

    steps, values = net.steps, net.values
    tables = [step.layer if step.kind == "embedding" else None for step in steps]
    return {
        "STEPS": len(steps), "STEP_KINDS": several(f"STEP_{step.kind}" for step in steps),
        "READS": several(step.reads[0] for step in steps),
        "READS_TOO": several(step.reads[-1] for step in steps),
        "WRITES": several(step.writes for step in steps), "VALUES": len(values),
        "WIDTHS": several(value.width for value in values), "HOMES": several(value.home for value in values),
        "COLUMNS": several(value.column for value in values),
        "SLOPED": several(int(value.sloped) for value in values),
        "TABLES": several(table.inputs if table else 0 for table in tables),
        "DIMENSIONS": several(table.units if table else 1 for table in tables),
    }  # fmt: skip


def example(dtype: str = "float32", width: int = 16, *, dropout: bool = False) -> Net:
    """Return a classifier of 8 numbers and a category with a skip connection: a committed shape."""
    layers = [Layer(10, 4, 0, -1), Layer(12, width, 48, 48 + 12 * width, "relu")]
    at = layers[-1].bias + width
    layers.append(Layer(width, width, at, at + width * width, "relu"))
    at = layers[-1].bias + width
    layers.append(Layer(width, 1, at, at + width, "sigmoid"))
    steps = [
        Step("embedding", (0,), 0, layers[0]), Step("numbers", (1,), 1, Layer(8, 8, -1, -1)),
        Step("dense", (2,), 3, layers[1]), Step("dense", (3,), 4, layers[2]),
        Step("add", (3, 4), 5, Layer(width, width, -1, -1)), Step("dense", (5,), 6, layers[3]),
    ]  # fmt: skip
    values = [Value(4, 2, 8, True), Value(8, 2, 0, False), Value(12, 2, 0, True)]
    values += [Value(width, number, 0, True) for number in (3, 4, 5)] + [Value(1, 6, 0, True)]
    if dropout:
        drop = Layer(width, width, -1, -1, drop=Drop(1, 1, 0, 0, 1 << 15, 2.0, 0.0, 0.0))
        steps[-1:] = [Step("drop", (5,), 7, drop), steps[-1]._replace(reads=(7,))]
        values.append(Value(width, 7, 0, True))
    loss = Loss("binary_crossentropy_logits", True, 0, 1, (1.0, 1.0, 1.0, 0.0, 0.0))
    sums = (Sum("loss", 0, False), Sum("binary_accuracy", 1, False))
    inputs, target = (Source(1, "int32"), Source(0, dtype)), Source(2, dtype)
    return Net(
        dtype, tuple(steps), tuple(values), False, loss, sums, inputs, target, None, at + width + 16
    )  # fmt: skip
