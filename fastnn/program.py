"""Programs: what an executor runs. Flat lists of instructions over a planned memory, no Python classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastnn.ops.registry import Spec


class Ref(NamedTuple):
    """Where an operand lives.

    Attributes
    ----------
    region : str
        'arena' (temporaries with rows: `offset` is bytes *a row*, times the rows of a block), 'fixed'
        (temporaries without rows), 'parameter', 'gradient', 'slot' (flat buffers), 'input', 'output'
        (the caller's arrays, number `index`), 'accumulator', 'hyper', 'schedule' (a switch and the numbers of
        the learning rate's schedule).
    offset : int
        Bytes from the region's start.
    spec : Spec
    index : int
        Which input, output or slot.
    stride : int
        Bytes a row where the array is read or written in place; else 0.
    """

    region: str
    offset: int
    spec: Spec
    index: int = 0  # type: ignore[assignment]
    stride: int = 0


class PartSource(NamedTuple):
    """A part of an input whose rows are put together (see ``fastnn.rows``): what its kernel depends on.

    It takes three of the caller's arrays: the table (n, columns), the index (rows,) that says which of its
    rows, int32, and the transform (4, columns) in the table's dtype: low, high, mean, 1 / scale.

    Attributes
    ----------
    dtype : str
        Of the table and the transform.
    columns : int
    step : int
        From a column to the next, in items: 1, -1, or 0 for any other.
    """

    dtype: str
    columns: int
    step: int


#: An input's source: an array's dtype, with ``:strided`` where a row's numbers are not adjacent; or parts.
Source = str | tuple[PartSource, ...]
ARRAYS_OF_A_PART = 3


@dataclass
class Instruction:
    """One step of a program: an op, where its operands lie, its attributes."""

    op: str
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    accumulate: bool = False


@dataclass
class Program:
    """What an executor runs.

    Attributes
    ----------
    block : list of Instruction
        Run for each block of rows, in order.
    update : list of Instruction
        Run once a step, after all blocks.
    arena_row_bytes : int
        Bytes of temporaries a row of a block needs.
    parts_row_bytes : int
        Bytes of these that hold rows put together from parts, though other inputs are read in place.
    fixed_bytes : int
        Bytes of temporaries without rows.
    inputs : tuple of Spec or None
        Inputs, targets and sample weights, in the order the executor is given arrays; None for each of the
        arrays of an input in parts.
    outputs : tuple of Spec
        Arrays the program writes, a row for each row of data.
    accumulators : tuple of str
        Names of the sums kept over an epoch.
    parameters : int
        Elements of the flat parameter buffer.
    gradients : int
        Elements of the flat gradient buffer (0: nothing is trained).
    slots : int
        Flat state vectors of the optimizer.
    units_major : bool
        Blocks are stored ``(units, rows)``.
    in_place : bool
        Inputs are read where they are (rows in order, same dtype); else each batch is gathered first.
    whole_batch : bool
        An op mixes the rows of a batch, so a batch must not be split into blocks.
    flops_per_row : int
        Arithmetic of the dense products, the unit of the cost model.
    linked : object
        What an executor keeps of the program once its kernels are compiled.
    """

    block: list[Instruction]
    update: list[Instruction]
    dtype: str
    arena_row_bytes: int = 0
    parts_row_bytes: int = 0
    fixed_bytes: int = 0
    inputs: tuple[Spec | None, ...] = ()
    outputs: tuple[Spec, ...] = ()
    accumulators: tuple[str, ...] = ()
    parameters: int = 0
    gradients: int = 0
    slots: int = 0
    units_major: bool = False
    in_place: bool = False
    whole_batch: bool = False
    flops_per_row: int = 0
    linked: Any = field(default=None, repr=False, compare=False)


def product_flops(node: Any) -> int:
    """Return the arithmetic of a dense product for one row, 0 for any other op.

    Parameters
    ----------
    node : Instruction, or anything with `op`, and `inputs` and `outputs` that have a `spec`
    """
    if node.op in ("dense", "dense_dx"):
        k, u = node.inputs[1].spec.shape
        return int(2 * k * u * (node.outputs[0].spec.size // (u if node.op == "dense" else k)))
    if node.op == "dense_dw":
        k, u = node.outputs[0].spec.shape
        return int(2 * k * u * (node.inputs[1].spec.size // u))
    return 0
