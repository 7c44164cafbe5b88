"""User-registered elementwise ops: C expressions of one number, compiled by CuPy's ElementwiseKernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu.compile import Variant
from fastnn.backends.gpu.lowering import REGISTERS, Launch, Target, blocks, lowers, unregister
from fastnn.errors import DeviceError
from fastnn.program import Program

#: What stands for a source file in variants of these kernels.
SOURCE = "custom"


class Expressions(NamedTuple):
    """The C expressions of an op; None where the user gave none.

    Attributes
    ----------
    function : str or None
        Of `x`.
    derivative : str or None
        Of `s`, the op's input or output.
    """

    function: str | None
    derivative: str | None


OPS: dict[str, Expressions] = {}


def add(name: str, function: str | None, derivative: str | None) -> None:
    """Make a user's op known to the GPU."""
    OPS[name] = Expressions(function, derivative)
    lowers(name, f"{name}_grad")(lower_custom)


def remove(name: str) -> None:
    """Forget a user's op."""
    OPS.pop(name, None)
    unregister(name, f"{name}_grad")


def used_by(program: Program) -> bool:
    """Whether a program has such an op, alone or in a dense layer: no other kernel can take it in."""
    return any(
        instruction.op.removesuffix("_grad") in OPS or instruction.attrs.get("activation") in OPS
        for instruction in (*program.block, *program.update)
    )


def lower_custom(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower a user's op or its gradient op."""
    units = instruction.outputs[0].spec.size
    backward = instruction.op.endswith("_grad")
    name = instruction.op.removesuffix("_grad")
    return [launch(target, name, backward, (*instruction.inputs, *instruction.outputs), units)]


def launch(target: Target, name: str, backward: bool, operands: Sequence[Any], units: int) -> Launch:
    """Return the launch of a user's op on ``(x, y)``, or of its gradient op on ``(dy, s, dx)``."""
    found = OPS[name].derivative if backward else OPS[name].function
    if found is None:
        raise DeviceError(
            f"Op {name!r} is your own and has no C expression for the GPU: expected "
            f"register_elementwise({name!r}, ..., cuda='...', cuda_derivative='...'). Received: none."
        )
    variant = target.variant(SOURCE, BACKWARD=int(backward), EXPRESSION=found)
    return Launch(variant, name, blocks(target.rows * units), (REGISTERS, *operands, units))


class Elementwise:
    """An expression ready to be launched: as ``compile.Function``.

    Parameters
    ----------
    variant : Variant
    name : str
    """

    def __init__(self, variant: Variant, name: str):
        defines = dict(variant.defines)
        self._name, self._expression, self._compiled = name, defines["EXPRESSION"], False
        into = f"(T)({self._expression})"
        inputs, output = "T x", "y"
        if defines["BACKWARD"]:
            inputs, output, into = "T dy, T s", "dx", f"dy * {into}"
        self._kernel = compiling.cupy().ElementwiseKernel(
            inputs,
            f"T {output}",
            f"{output} = {into}",
            f"fastnn_{name}" + "_grad" * bool(defines["BACKWARD"]),
        )

    def wrap(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Return the arrays, the output last; rows that a short chunk leaves unused are computed as well."""
        _, *arrays, _ = arguments
        return tuple(arrays)

    def launch(self, grid: tuple[int, ...], block: int, arguments: tuple[Any, ...]) -> None:
        """Launch on the current stream; the first time, compile."""
        if self._compiled:
            self._kernel(*arguments)
            return
        try:
            self._kernel(*arguments)
        except Exception as error:
            raise DeviceError(
                f"The C expression of op {self._name!r} could not be compiled: {self._expression!r}. "
                f"Received: {type(error).__name__}: {error}"
            ) from error
        self._compiled = True


compiling.MAKERS[SOURCE] = Elementwise
