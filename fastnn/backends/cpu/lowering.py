"""From an instruction of the program to rows of the CPU's table: which kernel, with which operands.

Each kernel file registers, for the ops it makes fast, a function ``(instruction, target) -> [Row]``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.lowerings import Lowerings


@dataclass(frozen=True)
class Target:
    """What kernels are compiled for.

    Attributes
    ----------
    dtype : type
        ``np.float32`` or ``np.float64``.
    units_major : bool
        True where a block is stored ``(units, rows)``, so that rows fill the vector lanes.
    """

    dtype: Any = np.float32
    units_major: bool = False

    @property
    def name(self) -> str:
        """The dtype's name, as kernel keys use it."""
        return np.dtype(self.dtype).name

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return np.dtype(self.dtype).itemsize


class Row(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    key : str
        The kernel's name and cache key.
    make : callable
        Returns the Python function to compile.
    operands : tuple
        Program values (two words each), ints and floats (one word each), in the kernel's order.
    sliced : bool
        Whether threads share the work: in the update section by slices of the flat vector, in a shared block
        by columns of the result.
    exact : bool
        Compile without fast-math flags.
    checked : bool
        After this (sliced) row the team meets, and stops if the flag is set.
    """

    key: str
    make: Callable[[], Callable]
    operands: tuple[Any, ...]
    sliced: bool = False
    exact: bool = False
    checked: bool = False


class Scratch(NamedTuple):
    """Operand: the thread's scratch memory, room for two numbers a row of the block."""


SCRATCH = Scratch()


class Workspace(NamedTuple):
    """Operand: so many bytes of the thread's memory, not kept from one kernel to the next."""

    bytes: int


class InputStride(NamedTuple):
    """Operand: the stride of the caller's array `index` along `axis` (0 rows, 1 columns), in items."""

    index: int  # type: ignore[assignment]
    axis: int


class LaneStride(NamedTuple):
    """Operand: bytes from one lane's gradients to the next lane's."""


LANE_STRIDE = LaneStride()


class Flag(NamedTuple):
    """Operand: address of the team's shared int64 that a kernel sets when it finds non-finite numbers."""


FLAG = Flag()

_table: Lowerings[Row] = Lowerings("CPU")
lowers, unregister = _table.lowers, _table.unregister
has_lowering, lower = _table.has_lowering, _table.lower
