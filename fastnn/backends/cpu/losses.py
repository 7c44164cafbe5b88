"""How loss kernels are built, and the losses that are sums or means over columns.

A loss kernel gives the value of each row and, where asked, the gradient with respect to the prediction; the
forward op is the same code compiled without the gradient. Losses are written for one of two shapes of loop:

* a *block* function handles ``(units, rows)``: rows fill the vector lanes;
* a *row* function handles one row whose columns fill the lanes.

Blocks of rows with few columns are turned on their side in stack memory, up to 64 rows at a time, for the
block function: [measured] softmax cross-entropy of 1,024 rows and 3 classes: 28 us by rows, 7 us turned.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types

from fastnn.backends.cpu import loss_terms
from fastnn.backends.cpu.jit import bits_to_float, inline, inline_math, intrinsic, read_constants, vector
from fastnn.backends.cpu.lowering import SCRATCH, Row, Target, lowers
from fastnn.backends.cpu.registers import BATCH, ROWS, at
from fastnn.ops.loss_reference import SUMS

#: Numbers and rows turned at a time, and up to how many columns.
ROOM, CHUNK, TURNED = 1024, 64, 24
#: Up to how many columns the elementwise losses run over several rows in one flat loop.
FLAT = 64


class Form(NamedTuple):
    """Which variant of a loss kernel is compiled, and where its operands are.

    Operands, in order: target (unless `targets` is False), prediction, (weight), (gradient), rows, scratch,
    columns of the prediction, of the target, scale, whether to divide by the batch, then the loss's settings.

    Attributes
    ----------
    layout : {'units', 'column', 'turned', 'rows'}
        ``(units, rows)``; one column, which is the same; ``(rows, units)`` with few columns; with many.
    gradient, weighted : bool
        Whether the gradient is wanted, and times a weight a row.
    sparse : bool
        Whether targets are class indices.
    targets : bool
        Whether there is a target.
    """

    layout: str
    gradient: bool
    weighted: bool
    sparse: bool = False
    targets: bool = True

    @property
    def p(self) -> int:
        """Word of the prediction; the target, if any, is at word 1."""
        return 3 if self.targets else 1

    @property
    def w(self) -> int:
        """Word of the weights; of something readable, without weights."""
        return self.p + 2 if self.weighted else 1

    @property
    def d(self) -> int:
        """Word of the gradient; of something readable, without one."""
        return self.p + (4 if self.weighted else 2) if self.gradient else 1

    @property
    def rows(self) -> int:
        """Word of the rows' values; the other operands follow."""
        return self.p + 2 + 2 * self.weighted + 2 * self.gradient

    @property
    def name(self) -> str:
        """The part of a kernel's key."""
        flags = ("gradient", "weighted")
        return ",".join([self.layout, *(flag for flag in flags if getattr(self, flag))])


@functools.cache
def stack_memory(size: int) -> Callable:
    """Make a function that returns the address of `size` bytes of its caller's stack frame."""

    @intrinsic
    def address(typingctx):
        def codegen(context, builder, signature, args):
            with builder.goto_entry_block():
                memory = builder.alloca(ir.IntType(8), ir.Constant(ir.IntType(32), size))
                memory.align = 64
            return builder.ptrtoint(memory, ir.IntType(64))

        return types.int64(), codegen

    return address


@inline_math
def gradient_factor(q, r, scale):
    """Read the scale at word `scale`, divided by the rows of the batch if the next word says so."""
    return bits_to_float(q[scale]) / np.float64(r[BATCH] if q[scale + 1] else 1)


@inline
def turn(x0, y0, rows, columns, dtype, back):
    """Copy ``(rows, columns)`` at address `x0` to ``(columns, rows)`` at `y0`, or `back`."""
    x, y = vector(x0, rows * columns, dtype), vector(y0, rows * columns, dtype)
    for j in range(columns):
        for i in range(rows):
            if back:
                x[i * columns + j] = y[j * rows + i]
            else:
                y[j * rows + i] = x[i * columns + j]


# --------------------------------------------------------------------------- the three ways through a block
def run_block(dtype, form: Form, block: Callable):
    """Call ``block(t, p, d, rows, w, work, n, k, kt, factor, q, s)`` on a ``(units, rows)`` block.

    The first six are addresses, `n` rows, `k` and `kt` columns of prediction and target, `s` the word of the
    first setting.
    """
    w_p, w_w, w_d, w_rows = form.p, form.w, form.d, form.rows

    def kernel(q, r):
        factor = dtype(gradient_factor(q, r, w_rows + 6))
        block(
            at(q, r, 1), at(q, r, w_p), at(q, r, w_d), at(q, r, w_rows), at(q, r, w_w), q[w_rows + 2],
            r[ROWS], q[w_rows + 4], q[w_rows + 5], factor, q, w_rows + 8,
        )  # fmt: skip

    return kernel


def run_turned(dtype, form: Form, block: Callable):
    """Call a block function on ``(rows, units)``, turning up to 64 rows at a time."""
    size = np.dtype(dtype).itemsize
    room = ROOM * size
    memory = stack_memory(3 * room)
    sparse, gradient = form.sparse, form.gradient
    w_p, w_w, w_d, w_rows = form.p, form.w, form.d, form.rows

    def kernel(q, r):
        n, k, kt = r[ROWS], q[w_rows + 4], q[w_rows + 5]
        factor = dtype(gradient_factor(q, r, w_rows + 6))
        t0, p0, d0, w0, rows0 = at(q, r, 1), at(q, r, w_p), at(q, r, w_d), at(q, r, w_w), at(q, r, w_rows)
        t = memory()
        p, d = t + room, t + 2 * room
        chunk = min(CHUNK, ROOM // max(k, kt) // 16 * 16)
        for first in range(0, n, chunk):
            m = min(chunk, n - first)
            turn(p0 + first * k * size, p, m, k, dtype, False)
            if not sparse:
                turn(t0 + first * kt * size, t, m, kt, dtype, False)
            own = t0 + first * 4 if sparse else t
            block(
                own, p, d, rows0 + first * size, w0 + first * size, q[w_rows + 2],
                m, k, kt, factor, q, w_rows + 8,
            )  # fmt: skip
            if gradient:
                turn(d0 + first * k * size, d, m, k, dtype, True)

    return kernel


def run_rows(dtype, form: Form, row: Callable):
    """Call ``row(t, p, d, k, kt, factor, q, s) -> value`` on each row of ``(rows, units)``."""
    size = np.dtype(dtype).itemsize
    sparse, weighted = form.sparse, form.weighted
    w_p, w_w, w_d, w_rows = form.p, form.w, form.d, form.rows

    def kernel(q, r):
        n, k, kt = r[ROWS], q[w_rows + 4], q[w_rows + 5]
        factor = dtype(gradient_factor(q, r, w_rows + 6))
        t, p, d = at(q, r, 1), at(q, r, w_p), at(q, r, w_d)
        rows, w = vector(at(q, r, w_rows), n, dtype), vector(at(q, r, w_w), n, dtype)
        step = 4 if sparse else kt * size
        for i in range(n):
            f = factor * w[i] if weighted else factor
            rows[i] = row(t + i * step, p + i * k * size, d + i * k * size, k, kt, f, q, w_rows + 8)

    return kernel


class Functions(NamedTuple):
    """The makers of a loss's block and row functions: ``make(dtype, form)``."""

    block: Callable
    row: Callable


def form_of(instruction: Any, target: Target, inputs: int = 2) -> Form:
    """Return the variant that computes an instruction."""
    gradient = instruction.op.endswith("_grad")
    first, prediction = instruction.inputs[0].spec, instruction.inputs[inputs - 1].spec
    columns = max(prediction.size, first.size)
    by_row = "turned" if columns <= TURNED else "rows"
    layout = "column" if columns == 1 else "units" if target.units_major else by_row
    weighted = len(instruction.inputs) > inputs
    return Form(layout, gradient, weighted, first.kind == "int", inputs == 2)


def loss_row(
    instruction: Any, target: Target, form: Form, name: str, build: Callable, *settings: float
) -> Row:
    """Return the table row of a loss kernel; ``build(dtype, form)`` makes it."""
    columns = instruction.inputs[1 if form.targets else 0].spec.size
    scale = float(instruction.attrs["scale"]) if form.gradient else 1.0
    mean = int(form.gradient and instruction.attrs["mean"])
    sizes = (columns, instruction.inputs[0].spec.size)
    return Row(
        f"loss({name},{form.name},{target.name})",
        lambda: build(target.dtype, form),
        (*instruction.inputs, *instruction.outputs, SCRATCH, *sizes, scale, mean, *map(float, settings)),
    )


def lower_functions(
    instruction: Any, target: Target, name: str, functions: Functions, *settings: float
) -> list[Row]:
    """Lower a loss given by its block and row functions."""
    form = form_of(instruction, target)

    def build(dtype, form):
        if form.layout == "rows":
            return run_rows(dtype, form, functions.row(dtype, form))
        run = run_turned if form.layout == "turned" else run_block
        return run(dtype, form, functions.block(dtype, form))

    return [loss_row(instruction, target, form, name, build, *settings)]


# --------------------------------------------------------------------------- sums over columns
def columns_block(dtype, form: Form, term: Callable, sums: bool):
    """Make the block function of an elementwise loss."""
    size = np.dtype(dtype).itemsize
    zero = dtype(0)
    gradient, weighted, single = form.gradient, form.weighted, form.layout == "column"

    @inline
    def block(t0, p0, d0, rows0, w0, work, n, k, kt, factor, q, s):
        a, b, c = read_constants(q, s, dtype)
        each = dtype(1) if sums or single else dtype(np.float64(1) / np.float64(k))
        rows, w = vector(rows0, n, dtype), vector(w0, n, dtype)
        factor = factor * each
        if not single:
            for i in range(n):
                rows[i] = zero
        for j in range(1 if single else k):
            t, p = vector(t0 + j * n * size, n, dtype), vector(p0 + j * n * size, n, dtype)
            d = vector(d0 + j * n * size, n, dtype)
            for i in range(n):
                value, slope = term(t[i], p[i], a, b, c)
                rows[i] = value if single else rows[i] + value * each
                if gradient:
                    d[i] = slope * (factor * w[i] if weighted else factor)

    return block


def columns_row(dtype, form: Form, term: Callable, sums: bool):
    """Make the row function of an elementwise loss."""
    zero = dtype(0)
    gradient = form.gradient

    @inline
    def row(t0, p0, d0, k, kt, factor, q, s):
        a, b, c = read_constants(q, s, dtype)
        each = dtype(1) if sums else dtype(np.float64(1) / np.float64(k))
        t, p, d = vector(t0, k, dtype), vector(p0, k, dtype), vector(d0, k, dtype)
        total, factor = zero, factor * each
        for j in range(k):
            value, slope = term(t[j], p[j], a, b, c)
            total += value
            if gradient:
                d[j] = slope * factor
        return total * each

    return row


def run_flat(dtype, form: Form, term: Callable, sums: bool):
    """An elementwise loss of ``(rows, units)`` with few columns: many rows in one flat loop."""
    size = np.dtype(dtype).itemsize
    memory, zero = stack_memory(ROOM * size), dtype(0)
    gradient, weighted = form.gradient, form.weighted
    w_p, w_w, w_d, w_rows = form.p, form.w, form.d, form.rows

    def kernel(q, r):
        n, k, s = r[ROWS], q[w_rows + 4], w_rows + 8
        t0, p0, d0 = at(q, r, 1), at(q, r, w_p), at(q, r, w_d)
        rows, w = vector(at(q, r, w_rows), n, dtype), vector(at(q, r, w_w), n, dtype)
        a, b, c = read_constants(q, s, dtype)
        each = dtype(1) if sums else dtype(np.float64(1) / np.float64(k))
        factor = dtype(gradient_factor(q, r, w_rows + 6)) * each
        values, chunk = vector(memory(), ROOM, dtype), ROOM // k
        for first in range(0, n, chunk):
            m = min(chunk, n - first)
            start = first * k * size
            t, p, d = (
                vector(t0 + start, m * k, dtype),
                vector(p0 + start, m * k, dtype),
                vector(d0 + start, m * k, dtype),
            )
            for i in range(m * k):
                value, slope = term(t[i], p[i], a, b, c)
                values[i] = value
                if gradient:
                    d[i] = slope * factor
            for i in range(m):
                total = zero
                for j in range(k):
                    total += values[i * k + j]
                    if weighted:
                        d[i * k + j] *= w[first + i]
                rows[first + i] = total * each

    return kernel


ELEMENTWISE = (
    "mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error", "poisson", "binary_crossentropy", "binary_focal_crossentropy", "hinge",
    "squared_hinge", "kl_divergence", "activity_penalty",
)  # fmt: skip


def lower_columns(instruction, target: Target):
    """Lower a loss that is a sum or mean over columns, or its gradient op."""
    op = instruction.op.removesuffix("_grad")
    name, make, settings = loss_terms.resolve(op, instruction.attrs)
    form = form_of(instruction, target, inputs=1 if op == "activity_penalty" else 2)
    if form.layout in ("turned", "rows"):
        columns = instruction.inputs[0].spec.size
        form = form._replace(layout="flat" if columns < FLAT else "rows")

    def build(dtype, form):
        term, sums = make(dtype), op in SUMS
        if form.layout == "flat":
            return run_flat(dtype, form, term, sums)
        if form.layout == "rows":
            return run_rows(dtype, form, columns_row(dtype, form, term, sums))
        return run_block(dtype, form, columns_block(dtype, form, term, sums))

    return [loss_row(instruction, target, form, name, build, *settings)]


for _name in ELEMENTWISE:
    lowers(_name, f"{_name}_grad")(lower_columns)
