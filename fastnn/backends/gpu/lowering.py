"""From an instruction of the program to kernel launches.

Each file registers, for the ops it makes fast, a function ``(instruction, target) -> [Launch]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from fastnn.backends.gpu.compile import Variant
from fastnn.backends.lowerings import Lowerings

BLOCK = 256


@dataclass(frozen=True)
class Target:
    """What kernels are compiled for.

    Attributes
    ----------
    dtype : {'float32', 'float64'}
    rows : int
        Most rows of a chunk: grids are laid out for so many, and kernels guard by the register ROWS.
    """

    dtype: str = "float32"
    rows: int = 1

    def variant(self, source: str, **defines: str | int) -> Variant:
        """Return a source of this dtype with macros."""
        return Variant(source, self.dtype, tuple(sorted(defines.items())))


class Registers(NamedTuple):
    """Argument: the session's registers."""


REGISTERS = Registers()


class Scratch(NamedTuple):
    """Argument: so many bytes of device memory, shared by the launches of one instruction.

    Attributes
    ----------
    bytes : int
    dtype : str
        What they hold.
    zeros : bool
        It starts as zeros, and no other instruction shares it.
    """

    bytes: int
    dtype: str = "float32"
    zeros: bool = False


class Table(NamedTuple):
    """Argument: constants in device memory.

    Attributes
    ----------
    values : tuple
    dtype : str
    """

    values: tuple[Any, ...]
    dtype: str


class Held(NamedTuple):
    """Argument: what the session holds under a name.

    Attributes
    ----------
    name : {'epoch_sums', 'log', 'modes', 'steps', 'log_stride'}
    """

    name: str


class Stride(NamedTuple):
    """Argument: the stride of the caller's array `number` along `axis`, in items.

    Axis 0 are the rows, 1 the columns; 2 is where the first row begins.
    """

    number: int
    axis: int


class IsLoss(NamedTuple):
    """Argument: 1 if the accumulator of this number is a loss, which must stay finite."""

    accumulator: int


class Launch(NamedTuple):
    """One launch of one kernel.

    Attributes
    ----------
    variant : Variant
    name : str
        The kernel.
    grid : tuple of int
        Blocks.
    arguments : tuple
        Refs (arrays), REGISTERS, Scratch, Stride, IsLoss, None, ints and floats, in the kernel's order.
    block : int
        Threads a block.
    """

    variant: Variant
    name: str
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    block: int = BLOCK


class Product(NamedTuple):
    """One matrix product by cuBLAS over the rows of the chunk; cannot be captured.

    Attributes
    ----------
    kind : {'forward', 'dx', 'dw'}
        ``left @ right``, ``left @ right.T`` or ``left.T @ right``.
    left, right : Ref
    out : Ref or Scratch
    inputs, units, groups : int
        Of the dense layer; groups are vectors a row.
    """

    kind: str
    left: Any
    right: Any
    out: Any
    inputs: int
    units: int
    groups: int


def blocks(elements: int, block: int = BLOCK, most: int = 1 << 16) -> tuple[int]:
    """Return a grid of one thread an element, in a grid-stride loop above `most` blocks."""
    return (max(1, min(-(-elements // block), most)),)


def blocks_of_rows(columns: int, rows: int) -> tuple[int]:
    """Return a grid of as many lanes a row as ``cuda/rows.cu`` has for rows of so many columns."""
    return blocks(rows * min(1 << (columns - 1).bit_length(), 32))


_table: Lowerings[Launch] = Lowerings("GPU")
lowers, unregister = _table.lowers, _table.unregister
has_lowering, lower = _table.has_lowering, _table.lower
