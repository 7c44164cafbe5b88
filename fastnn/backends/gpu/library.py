"""Regime C: products of wide layers by cuBLAS, with what follows them in one kernel.

CuPy refuses cuBLAS while a graph is captured, so a step is launched kernel by kernel. Products are in the
precision of their operands unless CuPy's own switch, the environment variable ``CUPY_TF32=1``, asks for
TensorFloat-32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.backends.gpu import kernels
from fastnn.backends.gpu.lowering import REGISTERS, Launch, Product, Scratch, Target, blocks
from fastnn.ops.activation_forms import form

#: Smaller weight matrices stay with the kernels of linear.cu: a call of cuBLAS costs the host more.
LEAST_WEIGHTS = 64 * 64


def takes(instruction: Any) -> bool:
    """Whether an instruction's product goes to cuBLAS."""
    if instruction.op not in ("dense", "dense_dx", "dense_dw"):
        return False
    matrix = instruction.outputs[0] if instruction.op == "dense_dw" else instruction.inputs[1]
    return matrix.spec.size >= LEAST_WEIGHTS


def lower_library(instruction: Any, target: Target) -> Sequence[Launch | Product]:
    """Lower an instruction, large products to cuBLAS."""
    if not takes(instruction):
        return kernels.lower(instruction, target)
    item = 4 if target.dtype == "float32" else 8
    if instruction.op == "dense":
        x, w = instruction.inputs[:2]
        (y,) = instruction.outputs
        inputs, units = w.spec.shape
        groups = y.spec.size // units
        attrs = instruction.attrs
        name, constants = form(attrs.get("activation", "linear"), attrs.get("activation_attrs", {}))
        bias = instruction.inputs[2] if len(instruction.inputs) > 2 else None
        if bias is None and name == "linear":
            return [Product("forward", x, w, y, inputs, units, groups)]
        product = Scratch(target.rows * y.spec.size * item, target.dtype)
        variant = target.variant("activations", FORM=f"FORM_{name}")
        arguments = (REGISTERS, product, bias, y, units, groups, *constants)
        return [
            Product("forward", x, w, product, inputs, units, groups),
            Launch(variant, "bias_activation", blocks(target.rows * y.spec.size), arguments),
        ]
    if instruction.op == "dense_dx":
        dy, w = instruction.inputs
        inputs, units = w.spec.shape
        return [Product("dx", dy, w, instruction.outputs[0], inputs, units, dy.spec.size // units)]
    x, dy = instruction.inputs
    (dw,) = instruction.outputs
    inputs, units = dw.spec.shape
    size = inputs * units
    part = Scratch(size * item, target.dtype)
    add = (REGISTERS, part, dw, size, 1, int(instruction.accumulate))
    return [
        Product("dw", x, dy, part, inputs, units, dy.spec.size // units),
        Launch(target.variant("linear"), "sum_parts", blocks(size), add),
    ]


class BoundProduct:
    """A product on a session's arrays; has the `launch` of a compiled function.

    Parameters
    ----------
    product : Product
    left, right, out : flat arrays
    cp : module
        CuPy.
    rows : callable
        Returns the rows of the chunk.
    """

    def __init__(self, product: Product, left: Any, right: Any, out: Any, cp: Any, rows: Any):
        self._product, self._arrays, self._cp, self._rows = product, (left, right, out), cp, rows
        self._views: dict[int, tuple[Any, Any, Any]] = {}

    def launch(self, grid: tuple[int, ...], block: int, arguments: tuple[Any, ...]) -> None:
        """Call cuBLAS on the current stream."""
        rows = self._rows() * self._product.groups
        if rows:
            if rows not in self._views:
                self._views[rows] = self._views_of(rows)
            left, right, out = self._views[rows]
            self._cp.matmul(left, right, out=out)
        elif self._product.kind == "dw":
            self._arrays[2].fill(0)

    def _views_of(self, rows: int) -> tuple[Any, Any, Any]:
        left, right, out = self._arrays
        kind, _, _, _, inputs, units, _ = self._product
        if kind == "forward":
            shapes = ((left, rows, inputs), (right, inputs, units), (out, rows, units))
        elif kind == "dx":
            shapes = ((left, rows, units), (right, inputs, units), (out, rows, inputs))
        else:
            shapes = ((left, rows, inputs), (right, rows, units), (out, inputs, units))
        left, right, out = (array[: m * n].reshape(m, n) for array, m, n in shapes)
        return (left.T if kind == "dw" else left), (right.T if kind == "dx" else right), out
