"""Compiling every kernel ahead of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fastnn.backends.cpu import kernels
from fastnn.backends.cpu.eager import ArrayRef, Call
from fastnn.backends.cpu.interpreter import interpreter
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Row, Target
from fastnn.errors import FastnnError
from fastnn.ops import registry
from fastnn.ops.activations import ELEMENTWISE
from fastnn.ops.dispatch import input_names
from fastnn.ops.registry import INTEGER_NAMES, PARAMETER_NAMES, Op, Spec
from fastnn.ops.schedules import RATES
from fastnn.program import PartSource


def warmup(
    progress: Callable[[int, int], None] | None = None, dtypes: Sequence[str] = ("float32", "float64")
) -> int:
    """Compile (or load) every kernel the op table can ask for, in these dtypes."""
    numbers = [np.float32 if name == "float32" else np.float64 for name in dtypes]
    rows = {row.key: row for row in _all_rows(numbers)}
    for number, row in enumerate(rows.values()):
        if progress is not None:
            progress(number, len(rows))
        compile_kernel(row.key, row.make, row.exact)
    interpreter()
    if progress is not None:
        progress(len(rows), len(rows))
    return len(rows) + 1


def _all_rows(dtypes: Sequence[type]) -> Iterator[Row]:
    for dtype in dtypes:
        for units_major in (False, True):
            target = Target(dtype, units_major)
            for name in registry.names():
                yield from _rows_of(registry.get(name), target)
            yield from _fused(target)
            yield from _data(target)
        yield from _updates(dtype)
    for name in RATES:
        numbers = Spec((2,), rows=False)
        yield from kernels.lower(_call(name, [numbers], [numbers], {}), Target(np.float64))


def _rows_of(op: Op, target: Target) -> Iterator[Row]:
    """Lower an op for the shapes and attributes of its samples."""
    rng = np.random.default_rng(0)
    for sample in op.samples(rng) if op.samples else ():
        arrays = [np.asarray(array) for array in sample.arrays]
        specs = [
            Spec(
                array.shape if name in PARAMETER_NAMES else array.shape[1:],
                name not in PARAMETER_NAMES,
                "int" if name in INTEGER_NAMES else "float",
            )
            for name, array in zip(input_names(op, len(arrays)), arrays, strict=True)
        ]
        attrs = op.complete(sample.attrs)
        try:
            outputs = op.shape(specs, attrs)
            yield from kernels.lower(_call(op.name, specs, outputs, attrs), target)
        except FastnnError:
            continue  # a layout the op does not have


def _call(name: str, specs, outputs, attrs) -> Call:
    return Call(
        name,
        tuple(ArrayRef(0, spec) for spec in specs),
        tuple(ArrayRef(0, spec) for spec in outputs),
        dict(attrs),
    )


def _fused(target: Target) -> Iterator[Row]:
    """Dense layers with each activation the planner may fuse, for several units and for one."""
    for activation in (*[a for a, saves in ELEMENTWISE.items() if saves == "output"], "relu"):
        attrs = {"activation": activation, "activation_attrs": registry.get(activation).complete({})}
        for units in (1, 3):
            specs = [Spec((4,)), Spec((4, units), rows=False), Spec((units,), rows=False)]
            yield from kernels.lower(_call("dense", specs, [Spec((units,))], attrs), target)
        if not target.units_major:
            yield from _passes(attrs, target)
    large = [Spec((64,)), Spec((64, 64), rows=False)]  # compiles the product of large matrices too
    yield from kernels.lower(_call("dense", large, [Spec((64,))], attrs), target)


def _passes(attrs: dict, target: Target) -> Iterator[Row]:
    """What the planner makes of dropout, a derivative and a bias' gradient; dropout after a dense relu."""
    row, bias, column = Spec((3,)), Spec((3,), rows=False), [Spec((1,)), Spec((3, 1), rows=False)]
    keeping: list[tuple[list[Spec], dict]] = [([], {}), ([row], {})]
    if attrs["activation"] == "relu":
        keeping.append(([], {"factor": 2.0}))
        dropped = {**attrs, "dropout": registry.get("dropout").complete({})}
        for biases in ([], [bias]):
            specs = [row, Spec((3, 3), rows=False), *biases]
            yield from kernels.lower(_call("dense", specs, [row], dropped), target)
    for mask, factor in keeping:
        for op, before in (("activation_backward", [row]), ("dense_dx", column)):
            yield from kernels.lower(
                _call(op, [*before, row, *mask], [row, bias], {**attrs, **factor}), target
            )


def _data(target: Target) -> Iterator[Row]:
    """Orders, gathers, stores, sums."""
    order, row = Spec((1,), kind="int"), Spec((3,))
    yield from kernels.lower(_call("order", [], [order], {}), target)
    for source in ("float32", "float64"):
        for contiguous in (True, False):
            attrs = {"source": source, "contiguous": contiguous}
            yield from kernels.lower(_call("gather", [order, row], [row], attrs), target)
        for step in (1, -1, 0):
            part = {"part": PartSource(source, 3, step), "column": 0}
            yield from kernels.lower(_call("gather_part", [order, row, row, row], [row], part), target)
    yield from kernels.lower(
        _call("gather", [order, order], [order], {"source": "int32", "contiguous": True}), target
    )
    yield from kernels.lower(_call("store", [row], [row], {}), target)
    yield from kernels.lower(_call("check_input", [row], [row], {}), target)
    yield from kernels.lower(_call("store", [row, order], [row], {}), target)
    total = Spec((), rows=False)
    for weights in ([], [Spec((1,))]):
        yield from kernels.lower(
            _call("accumulate", [Spec((1,)), *weights], [total], {"accumulator": 0}), target
        )


#: Each optimizer's variants: its flags and how many state vectors they take.
_VARIANTS: tuple[tuple[str, dict[str, bool], int], ...] = (
    ("sgd", {"nesterov": False}, 0),
    ("sgd", {"nesterov": False}, 1),
    ("sgd", {"nesterov": True}, 1),
    ("rmsprop", {"centered": False}, 1),
    ("rmsprop", {"centered": False}, 2),
    ("rmsprop", {"centered": True}, 2),
    ("rmsprop", {"centered": True}, 3),
    ("adagrad", {}, 1),
    ("adadelta", {}, 2),
    ("adam", {"amsgrad": False}, 2),
    ("adam", {"amsgrad": True}, 3),
    ("adamax", {}, 2),
    ("nadam", {}, 2),
    ("radam", {}, 2),
    ("lion", {}, 1),
)
_AROUND = (
    ("reduce_gradients", 0, 1),
    ("check_finite", 1, 0),
    ("l1_l2", 1, 1),
    ("l1_l2_penalty", 1, 1),
    ("accumulate_gradients", 0, 2),
    ("clip_value", 0, 1),
    ("clip_factor", 1, 1),
    ("scale_gradient", 1, 1),
    ("average_weights", 0, 2),
    ("non_neg", 0, 1),
)


def _updates(dtype: type) -> Iterator[Row]:
    vector = Spec((16,), rows=False)
    around = {
        "start": 0, "steps": 1, "last": True, "first": True, "limit": 1.0, "l1": 0.1, "l2": 0.1,
        "momentum": 0.9, "overwrite": 0,
    }  # fmt: skip
    target = Target(dtype)
    for op, flags, slots in _VARIANTS:
        for decay in (False, True):
            attrs = {"start": 0, "steps": 1, "decay": decay, **flags}
            yield from kernels.lower(_call(op, [vector, vector], [vector] * (1 + slots), attrs), target)
    for op, inputs, outputs in _AROUND:
        yield from kernels.lower(_call(op, [vector] * inputs, [vector] * outputs, around), target)
