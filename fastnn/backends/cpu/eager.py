"""One op on NumPy arrays, through the kernels that programs run."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.cpu import kernels
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Scratch, Target, Workspace
from fastnn.backends.cpu.registers import BATCH, COUNT, FIRST, HIGH, ONE, ROWS, STEP
from fastnn.ops.registry import Spec


class ArrayRef(NamedTuple):
    """An operand at a fixed address; stands where a program has a Ref."""

    address: int
    spec: Spec
    index: int = 0  # type: ignore[assignment]


class Call(NamedTuple):
    """An instruction on arrays."""

    op: str
    inputs: tuple[ArrayRef, ...]
    outputs: tuple[ArrayRef, ...]
    attrs: dict[str, Any]
    accumulate: bool = False


class Lowered:
    """One op for arrays of certain shapes and dtypes: all that is left to do is to fill in their addresses.

    Parameters
    ----------
    op : str
    specs, out_specs : sequence of Spec
    attrs : dict
    rows : int
    dtype : dtype
        Of the arrays that hold floats.
    """

    def __init__(
        self,
        op: str,
        specs: Sequence[Spec],
        out_specs: Sequence[Spec],
        attrs: dict[str, Any],
        rows: int,
        dtype: np.dtype,
    ):
        refs = [ArrayRef(number, spec) for number, spec in enumerate((*specs, *out_specs))]
        call = Call(op, tuple(refs[: len(specs)]), tuple(refs[len(specs) :]), attrs)
        self._outputs = [
            (
                (rows, *spec.shape) if spec.rows else spec.shape,
                dtype if spec.kind == "float" else np.dtype(np.int32),
            )
            for spec in out_specs
        ]
        registers = self._registers = np.zeros(COUNT, np.int64)
        registers[[ONE, FIRST]] = 1
        registers[[ROWS, BATCH]] = rows
        registers[HIGH] = np.iinfo(np.int64).max
        self._registers_at = registers.ctypes.data
        self._calls = []
        for row in kernels.lower(call, Target(np.float32 if dtype == np.float32 else np.float64)):
            words, arrays, memory = _template(row.operands, rows)
            kernel = compile_kernel(row.key, row.make, row.exact).call
            self._calls.append((kernel, ctypes.c_int64 * len(words), words, arrays, memory))

    def __call__(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Compute the op; the arrays are contiguous."""
        outputs = [np.empty(shape, dtype) for shape, dtype in self._outputs]
        addresses = [array.ctypes.data for array in (*arrays, *outputs)]
        for kernel, vector, template, places, memory in self._calls:
            words = template.copy()
            for place, number in places:
                words[place] = addresses[number]
            keep = [np.empty(size, np.uint8) for _, size in memory]
            for (place, _), array in zip(memory, keep, strict=True):
                words[place] = array.ctypes.data
            kernel(vector(*words), self._registers_at)
        return outputs


def lowered(
    op: str,
    arrays: Sequence[np.ndarray],
    specs: Sequence[Spec],
    out_specs: Sequence[Spec],
    attrs: dict[str, Any],
    rows: int,
) -> Lowered:
    """Return an op for arrays like these, which are of one float dtype."""
    dtype = next((array.dtype for array in arrays if array.dtype.kind == "f"), np.dtype(np.float64))
    return Lowered(op, specs, out_specs, attrs, rows, dtype)


def run(
    op: str,
    arrays: Sequence[np.ndarray],
    specs: Sequence[Spec],
    out_specs: Sequence[Spec],
    attrs: dict[str, Any],
    rows: int,
) -> list[np.ndarray]:
    """Compute one op; `arrays` are contiguous and of one float dtype."""
    return lowered(op, arrays, specs, out_specs, attrs, rows)(arrays)


def run_update(
    op: str,
    param: np.ndarray,
    grad: np.ndarray,
    slots: Sequence[np.ndarray],
    hyper: Sequence[float],
    attrs: dict[str, Any],
    step: int,
) -> None:
    """Take one optimizer step in place; the arrays are contiguous, of one float dtype and size."""
    numbers = np.zeros(max(len(hyper), 8))
    numbers[: len(hyper)] = hyper
    spec = Spec((param.size,), rows=False)
    gradient, parameter, *state = [ArrayRef(a.ctypes.data, spec) for a in (grad, param, *slots)]
    call = Call(
        op,
        (gradient, ArrayRef(numbers.ctypes.data, spec)),
        (parameter, *state),
        {"start": 0, "steps": 1, **attrs},
    )
    registers = np.zeros(COUNT, np.int64)
    registers[ONE] = 1
    registers[STEP] = step - 1
    registers[HIGH] = np.iinfo(np.int64).max
    target = Target(np.float32 if param.dtype == np.float32 else np.float64)
    for row in kernels.lower(call, target):
        words, keep = _words(row.operands, 1)
        compile_kernel(row.key, row.make, row.exact).call(words.ctypes.data, registers.ctypes.data)
        del keep


def _words(operands: Sequence[Any], rows: int) -> tuple[np.ndarray, Any]:
    words: list[int] = [0]
    keep: list[np.ndarray] = []
    for operand in operands:
        if isinstance(operand, ArrayRef):
            words += [operand.address, 0]
        elif isinstance(operand, Scratch):
            keep.append(np.empty(2 * max(rows, 1)))
            words += [keep[-1].ctypes.data, 0]
        elif isinstance(operand, Workspace):
            keep.append(np.empty(operand.bytes, np.uint8))
            words += [keep[-1].ctypes.data, 0]
        elif isinstance(operand, float):
            words.append(int(np.float64(operand).view(np.int64)))
        else:
            words.append(int(operand))
    return np.array(words, np.int64), keep


_Places = list[tuple[int, int]]


def _template(operands: Sequence[Any], rows: int) -> tuple[list[int], _Places, _Places]:
    """Return a kernel's words without addresses, and where they go: (place, which array), (place, bytes)."""
    words: list[int] = [0]
    arrays: _Places = []
    memory: _Places = []
    for operand in operands:
        if isinstance(operand, ArrayRef):
            arrays.append((len(words), operand.address))
            words += [0, 0]
        elif isinstance(operand, (Scratch, Workspace)):
            size = operand.bytes if isinstance(operand, Workspace) else 2 * 8 * max(rows, 1)
            memory.append((len(words), size))
            words += [0, 0]
        elif isinstance(operand, float):
            words.append(int(np.float64(operand).view(np.int64)))
        else:
            words.append(int(operand))
    return words, arrays, memory
