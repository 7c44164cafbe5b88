"""One op on NumPy arrays, through the kernels that programs run."""

from __future__ import annotations

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


def run(
    op: str,
    arrays: Sequence[np.ndarray],
    specs: Sequence[Spec],
    out_specs: Sequence[Spec],
    attrs: dict[str, Any],
    rows: int,
) -> list[np.ndarray]:
    """Compute one op; `arrays` are contiguous and of one float dtype."""
    dtype = next((array.dtype for array in arrays if array.dtype.kind == "f"), np.dtype(np.float64))
    outputs = [
        np.empty(
            (rows, *spec.shape) if spec.rows else spec.shape, dtype if spec.kind == "float" else np.int32
        )
        for spec in out_specs
    ]
    call = Call(
        op,
        tuple(ArrayRef(a.ctypes.data, s) for a, s in zip(arrays, specs, strict=True)),
        tuple(ArrayRef(a.ctypes.data, s) for a, s in zip(outputs, out_specs, strict=True)),
        attrs,
    )
    registers = np.zeros(COUNT, np.int64)
    registers[[ONE, FIRST]] = 1
    registers[[ROWS, BATCH]] = rows
    registers[HIGH] = np.iinfo(np.int64).max
    target = Target(np.float32 if dtype == np.float32 else np.float64)
    for row in kernels.lower(call, target):
        words, keep = _words(row.operands, rows)
        compile_kernel(row.key, row.make, row.exact).call(words.ctypes.data, registers.ctypes.data)
        del keep
    return outputs


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
