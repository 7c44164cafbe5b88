"""One op on CuPy arrays, through the kernels that programs run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import kernels, registers
from fastnn.backends.gpu.lowering import Registers, Scratch, Table, Target
from fastnn.backends.gpu.registers import INDEX
from fastnn.ops.registry import Spec


class ArrayRef(NamedTuple):
    """An operand that is an array; stands where a program has a Ref."""

    array: Any
    spec: Spec
    index: int = 0  # type: ignore[assignment]
    region: str = "array"
    offset: int = 0


class Call(NamedTuple):
    """An instruction on arrays."""

    op: str
    inputs: tuple[ArrayRef, ...]
    outputs: tuple[ArrayRef, ...]
    attrs: dict[str, Any]
    accumulate: bool = False


#: A launch with everything it needs: function, grid, block, arguments.
Bound = tuple[Any, tuple[int, ...], int, tuple[Any, ...]]


def run(
    op: str,
    arrays: Sequence[Any],
    specs: Sequence[Spec],
    out_specs: Sequence[Spec],
    attrs: dict[str, Any],
    rows: int,
) -> list[Any]:
    """Compute one op; `arrays` are contiguous CuPy arrays of one float dtype."""
    cp = compiling.cupy()
    dtype = next((array.dtype for array in arrays if array.dtype.kind == "f"), np.dtype(np.float64))
    outputs = [
        cp.empty(
            (rows, *spec.shape) if spec.rows else spec.shape, dtype if spec.kind == "float" else np.int32
        )
        for spec in out_specs
    ]
    call = Call(
        op,
        tuple(ArrayRef(a.reshape(-1), s) for a, s in zip(arrays, specs, strict=True)),
        tuple(ArrayRef(a.reshape(-1), s) for a, s in zip(outputs, out_specs, strict=True)),
        attrs,
    )
    go(bind(call, dtype.name, rows))
    return outputs


def bind(call: Call, dtype: str, rows: int, step: int = 0) -> list[Bound]:
    """Lower a call and give each launch its arguments.

    Parameters
    ----------
    call : Call
    dtype : {'float32', 'float64'}
    rows : int
    step : int
        Training steps done, which updates and dropout ask for.
    """
    cp = compiling.cupy()
    clock = np.zeros(registers.COUNT, np.int64)
    clock[[INDEX["ROWS"], INDEX["BATCH"], INDEX["CHUNK"]]] = rows
    clock[INDEX["FIRST"]] = 1
    clock[INDEX["STEP"]] = step
    device_clock = cp.asarray(clock)
    scratches: dict[Scratch, Any] = {}
    bound = []
    for launch in kernels.lower(call, Target(dtype, max(rows, 1))):
        function = compiling.function(launch.variant, launch.name)
        for wanted in launch.arguments:
            if isinstance(wanted, Scratch) and wanted not in scratches:
                scratches[wanted] = cp.empty(max(wanted.bytes, 1), np.uint8).view(wanted.dtype)
        arguments = [_argument(a, device_clock, scratches) for a in launch.arguments]
        bound.append((function, launch.grid, launch.block, function.wrap(arguments)))
    return bound


def go(bound: Sequence[Bound]) -> None:
    """Launch on the current stream."""
    for function, grid, block, arguments in bound:
        function.launch(grid, block, arguments)


def run_update(
    op: str,
    param: Any,
    grad: Any,
    slots: Sequence[Any],
    hyper: Sequence[float],
    attrs: dict[str, Any],
    step: int,
) -> None:
    """Take one optimizer step in place; the arrays are contiguous, of one float dtype and size."""
    go(bind(update_call(op, param, grad, slots, hyper, attrs), param.dtype.name, 1, step - 1))


def update_call(
    op: str, param: Any, grad: Any, slots: Sequence[Any], hyper: Sequence[float], attrs: dict[str, Any]
) -> Call:
    """Return an optimizer's update of whole arrays as a call."""
    numbers = np.zeros(max(len(hyper), 8))
    numbers[: len(hyper)] = hyper
    spec = Spec((param.size,), rows=False)
    gradient, parameter, *state = [ArrayRef(a.reshape(-1), spec) for a in (grad, param, *slots)]
    device_hyper = ArrayRef(compiling.cupy().asarray(numbers), Spec((numbers.size,), rows=False))
    return Call(op, (gradient, device_hyper), (parameter, *state), {"start": 0, "steps": 1, **attrs})


def _argument(argument: Any, clock: Any, scratches: dict[Scratch, Any]) -> Any:
    if isinstance(argument, ArrayRef):
        return argument.array
    if isinstance(argument, Registers):
        return clock
    if isinstance(argument, Scratch):
        return scratches[argument]
    if isinstance(argument, Table):
        return compiling.cupy().asarray(np.array(argument.values, argument.dtype))
    return argument
