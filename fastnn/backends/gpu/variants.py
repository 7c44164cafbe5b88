"""Every variant of every kernel file that Python can ask for: what has to compile on all devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastnn.backends.gpu import fused, kernels, resident
from fastnn.backends.gpu.compile import Variant
from fastnn.backends.gpu.eager import ArrayRef, Call
from fastnn.backends.gpu.lowering import Launch, Target
from fastnn.ops import registry
from fastnn.ops.activations import ELEMENTWISE
from fastnn.ops.bookkeeping import METRICS
from fastnn.ops.dispatch import input_names
from fastnn.ops.registry import INTEGER_NAMES, PARAMETER_NAMES, Spec
from fastnn.ops.schedules import RATES
from fastnn.program import PartSource

#: Rows that launches are laid out for; variants do not depend on it.
ROWS = 100
#: Each optimizer's rules: its flags and how many state vectors they take.
RULES: tuple[tuple[str, dict[str, bool], int], ...] = (
    ("sgd", {}, 0),
    ("sgd", {}, 1),
    ("sgd", {"nesterov": True}, 1),
    ("rmsprop", {}, 1),
    ("rmsprop", {}, 2),
    ("rmsprop", {"centered": True}, 2),
    ("rmsprop", {"centered": True}, 3),
    ("adagrad", {}, 1),
    ("adadelta", {}, 2),
    ("adam", {}, 2),
    ("adam", {"amsgrad": True}, 3),
    ("adamax", {}, 2),
    ("nadam", {}, 2),
    ("radam", {}, 2),
    ("lion", {}, 1),
)
_ROW, _LABEL, _FLAT = Spec((3,)), Spec((1,), kind="int"), Spec((12,), rows=False)


def variants(dtypes: Sequence[str] = ("float32", "float64")) -> list[Variant]:
    """Return every variant that a program of these dtypes, or an op on arrays, can ask for.

    Of the kernels that are compiled for a network's sizes (fused, resident) the committed shapes.

    Parameters
    ----------
    dtypes : sequence of {'float32', 'float64'}

    Returns
    -------
    list of Variant
        Each once, in an order that does not change.
    """
    found = {launch.variant for launch in launches(dtypes)}
    committed = (*fused.fused_variants(), *resident.resident_variants())
    return sorted(found | {variant for variant in committed if variant.dtype in dtypes})


def launches(dtypes: Sequence[str] = ("float32", "float64")) -> Iterator[Launch]:
    """Yield launches that between them show every variant, and in each source every kernel of a program."""
    for dtype in dtypes:
        target = Target(dtype, ROWS)
        for call in _calls():
            yield from kernels.lower(call, target)


def _call(op: str, inputs: Sequence[Spec], outputs: Sequence[Spec], attrs: dict[str, Any]) -> Call:
    read, written = ([ArrayRef(None, spec) for spec in specs] for specs in (inputs, outputs))
    return Call(op, tuple(read), tuple(written), attrs)


def _calls() -> Iterator[Call]:
    for name in registry.names():
        yield from _samples(name)
    yield from _dense()
    yield from _data()
    yield from _updates()


def _samples(name: str) -> Iterator[Call]:
    """Yield an op for the shapes and attributes of its samples."""
    op = registry.get(name)
    for sample in op.samples(np.random.default_rng(0)) if op.samples and op.outputs else ():
        arrays = [np.asarray(array) for array in sample.arrays]
        specs = [
            Spec(
                array.shape if label in PARAMETER_NAMES else array.shape[1:],
                label not in PARAMETER_NAMES,
                "int" if label in INTEGER_NAMES else "float",
            )
            for label, array in zip(input_names(op, len(arrays)), arrays, strict=True)
        ]
        attrs = op.complete(sample.attrs)
        yield _call(name, specs, op.shape(specs, attrs), attrs)


def _dense() -> Iterator[Call]:
    """Yield a dense layer with each form of each activation that a planner may fuse."""
    specs = [_ROW, Spec((3, 4), rows=False), Spec((4,), rows=False)]
    for activation in ELEMENTWISE:
        record = registry.get(activation)
        for sample in record.samples(np.random.default_rng(0)) if record.samples else ():
            attrs = {"activation": activation, "activation_attrs": record.complete(sample.attrs)}
            yield _call("dense", specs, [Spec((4,))], attrs)


def _data() -> Iterator[Call]:
    """Yield what moves rows, sums over epochs, and what works on integers too."""
    order = Spec((1,), kind="index")
    yield _call("order", [], [order], {})
    for source in kernels.data.SOURCES:
        for row in (_ROW, _LABEL):
            yield _call("gather", [order, row], [row], {"source": source})
    index, numbers = Spec((1,), kind="int"), Spec((4, 3), rows=False)
    for dtype in ("float32", "float64"):
        part = {"part": PartSource(dtype, 3, 1), "column": 0}
        yield _call("gather_part", [order, _ROW, index, numbers], [_ROW], part)
    yield _call("store", [_ROW], [_ROW], {})
    yield _call("store", [_ROW, order], [_ROW], {})
    yield _call("accumulate", [Spec((1,))], [Spec((), rows=False)], {})
    integers = Spec((2,), kind="int")
    yield _call("reshape", [integers], [integers], {})
    yield _call("slice", [integers], [_LABEL], {"start": 0})
    yield _call("concatenate", [_LABEL, _LABEL], [integers], {})
    for name in METRICS:
        target = _LABEL if "sparse" in name else _ROW
        yield _call(name, [target, _ROW], [Spec((), rows=False)], {})
    statistics = [Spec((3,), rows=False)] * 4
    yield _call("batch_norm_update", statistics, [], {"momentum": 0.99})


def _updates() -> Iterator[Call]:
    """Yield the rules of all optimizers, what surrounds them, and the schedules."""
    hyper, norm = Spec((8,), rows=False), {"axis": 0, "params": (1.0, 2.0, 0.5)}
    for name, flags, slots in RULES:
        attrs = {**flags, "steps": 1, "decay": False}
        yield _call(name, [_FLAT, hyper], [_FLAT] * (1 + slots), attrs)
    around: tuple[tuple[str, int, int, dict[str, Any]], ...] = (
        ("check_finite", 1, 0, {}),
        ("l1_l2", 1, 1, {"l1": 0.1, "l2": 0.1}),
        ("l1_l2_penalty", 1, 1, {"l1": 0.1, "l2": 0.1}),
        ("accumulate_gradients", 0, 2, {"steps": 2, "last": True}),
        ("clip_value", 0, 1, {"limit": 1.0}),
        ("clip_factor", 1, 1, {"limit": 1.0, "first": True, "last": True}),
        ("scale_gradient", 1, 1, {}),
        ("average_weights", 0, 2, {"steps": 1, "overwrite": 0, "momentum": 0.9}),
        ("non_neg", 0, 1, {}),
        ("max_norm", 0, 1, norm),
        ("unit_norm", 0, 1, norm),
        ("min_max_norm", 0, 1, norm),
    )
    for name, inputs, outputs, attrs in around:
        yield _call(name, [_FLAT] * inputs, [_FLAT] * outputs, attrs)
    for name in RATES:
        yield _call(name, [hyper], [Spec((1,), rows=False)], {})
