"""Ops on values of equal shape, and those that join, cut and reshape them."""

from __future__ import annotations

import math

import numpy as np

from fastnn.errors import ShapeError
from fastnn.ops.registry import Op, Sample, Spec, equal_shapes, register, same_shape


def features(value) -> tuple[int, ...]:
    """Return the shape of a row of a gradient rule's input: a value of a graph, or an array."""
    spec = getattr(value, "spec", None)
    return spec.shape if spec is not None else tuple(value.shape[1:])


def _with_rows(rule):
    """Refuse values without rows: these kernels run over the rows of a block."""

    def checked(specs, attrs):
        for position, spec in enumerate(specs):
            if not spec.rows:
                raise ShapeError(
                    f"Every input must have one row per example. Received: a parameter as input {position}."
                )
        return rule(specs, attrs)

    return checked


# --------------------------------------------------------------------------- equal shapes
def _pairs(rng) -> list[Sample]:
    shapes = {
        "one": (1, 1),
        "odd": (17, 5),
        "no rows": (0, 3),
        "large": (301, 67),
        "inner axes": (3, 4, 5),
        "row": (6,),
    }
    samples = [Sample(n, (rng.standard_normal(s), rng.standard_normal(s))) for n, s in shapes.items()]
    extremes = np.array([[math.nan, 1.0, math.inf, -math.inf, 0.0, 2.0]])
    other = np.array([[1.0, math.nan, 1.0, -math.inf, -0.0, 2.0]])
    return [*samples, Sample("extremes", (extremes, other), differentiable=False)]


def _triples(rng) -> list[Sample]:
    samples = [Sample(s.name, (rng.standard_normal(s.arrays[0].shape), *s.arrays)) for s in _pairs(rng)]
    ties = np.array([[1.0, 2.0, 3.0]])
    return [*samples, Sample("ties", (np.ones((1, 3)), ties, np.array([[1.0, 1.0, 4.0]])))]


def _binary(name, reference, gradient, summary):
    with np.errstate(all="ignore"):
        register(
            Op(
                name, ("x", "other"), _with_rows(equal_shapes), _quiet(reference), gradient, samples=_pairs,
                summary=summary,
            )
        )  # fmt: skip


def _quiet(function):
    def wrapped(*args, **attrs):
        with np.errstate(all="ignore"):
            return function(*args, **attrs)

    return wrapped


def _chosen_gradient(op: str):
    """Give each input the gradient where it was chosen: the op `op` with the input first."""

    def gradient(emitter, inputs, outputs, d_outputs, attrs):
        x, other = inputs
        return [emitter.emit(op, [d_outputs[0], x, other]), emitter.emit(op, [d_outputs[0], other, x])]

    return gradient


_binary(
    "add",
    lambda x, other: x + other,
    lambda emitter, inputs, outputs, d_outputs, attrs: [d_outputs[0], d_outputs[0]],
    "y = x + other",
)
_binary(
    "subtract",
    lambda x, other: x - other,
    lambda emitter, inputs, outputs, d_outputs, attrs: [
        d_outputs[0],
        emitter.emit("scale", [d_outputs[0]], factor=-1.0),
    ],
    "y = x - other",
)
_binary(
    "multiply",
    lambda x, other: x * other,
    lambda emitter, inputs, outputs, d_outputs, attrs: [
        emitter.emit("multiply", [d_outputs[0], inputs[1]]),
        emitter.emit("multiply", [d_outputs[0], inputs[0]]),
    ],
    "y = x * other",
)
_binary("maximum", np.maximum, _chosen_gradient("maximum_grad"), "y = x if x >= other else other; NaN wins")
_binary("minimum", np.minimum, _chosen_gradient("minimum_grad"), "y = x if x <= other else other; NaN wins")

# A tie gives each input half, as in PyTorch and JAX: the rule does not depend on the order of the inputs.
register(
    Op(
        "maximum_grad",
        ("dy", "x", "other"),
        _with_rows(equal_shapes),
        lambda dy, x, other: dy * ((x > other) + 0.5 * (x == other)),
        samples=_triples,
        summary="dx = dy where x > other, dy / 2 where they are equal, else 0",
    )
)
register(
    Op(
        "minimum_grad",
        ("dy", "x", "other"),
        _with_rows(equal_shapes),
        lambda dy, x, other: dy * ((x < other) + 0.5 * (x == other)),
        samples=_triples,
        summary="dx = dy where x < other, dy / 2 where they are equal, else 0",
    )
)
register(
    Op(
        "scale",
        ("x",),
        _with_rows(same_shape),
        lambda x, factor: factor * x,
        lambda emitter, inputs, outputs, d_outputs, attrs: [emitter.emit("scale", [d_outputs[0]], **attrs)],
        {"factor": 1.0},
        lambda rng: [Sample(s.name, s.arrays[:1], {"factor": -2.5}, s.differentiable) for s in _pairs(rng)],
        summary="y = factor * x",
    )
)


# --------------------------------------------------------------------------- along the last axis
def _concatenate_shape(specs, attrs):
    first = specs[0]
    for position, spec in enumerate(specs):
        if not spec.shape or spec.shape[:-1] != first.shape[:-1] or spec.kind != first.kind:
            raise ShapeError(
                f"The inputs of concatenate must agree in all axes but the last: expected "
                f"{(*first.shape[:-1], '...')} as in input 0. Received: {spec.shape} for input {position}."
            )
    return [Spec((*first.shape[:-1], sum(spec.shape[-1] for spec in specs)), kind=first.kind)]


def _concatenate_gradient(emitter, inputs, outputs, d_outputs, attrs):
    gradients, start = [], 0
    for value in inputs:
        stop = start + features(value)[-1]
        gradients.append(emitter.emit("slice", [d_outputs[0]], start=start, stop=stop))
        start = stop
    return gradients


def _concatenate_samples(rng) -> list[Sample]:
    lists: dict[str, list[tuple[int, ...]]] = {
        "single": [(4, 3)], "two": [(17, 5), (17, 2)], "three": [(9, 1), (9, 4), (9, 2)],
        "one row": [(1, 2), (1, 3)], "no rows": [(0, 2), (0, 1)], "inner axes": [(3, 2, 4), (3, 2, 1)],
        "wide": [(65, 33), (65, 40)],
        "many": [(2, 1)] * 30,
    }  # fmt: skip
    return [Sample(name, tuple(rng.standard_normal(s) for s in shapes)) for name, shapes in lists.items()]


register(
    Op(
        "concatenate",
        ("x*",),
        _with_rows(_concatenate_shape),
        lambda *arrays: np.concatenate(arrays, axis=-1),
        _concatenate_gradient,
        samples=_concatenate_samples,
        summary="y = the inputs side by side along the last axis",
    )
)


def _slice_shape(specs, attrs):
    shape, start, stop = specs[0].shape, attrs["start"], attrs["stop"]
    if not shape or not 0 <= start < stop <= shape[-1]:
        raise ShapeError(
            f"slice needs 0 <= start < stop <= the last axis of {shape}. "
            f"Received: start={start}, stop={stop}."
        )
    return [Spec((*shape[:-1], stop - start), kind=specs[0].kind)]


def _slice_gradient(emitter, inputs, outputs, d_outputs, attrs):
    return [emitter.emit("slice_grad", [d_outputs[0]], start=attrs["start"], width=features(inputs[0])[-1])]


def _slice_grad_shape(specs, attrs):
    shape, start, width = specs[0].shape, attrs["start"], attrs["width"]
    if not shape or not 0 <= start <= width - shape[-1]:
        raise ShapeError(
            f"slice_grad needs 0 <= start <= width - {shape[-1:]}. Received: start={start}, width={width}."
        )
    return [Spec((*shape[:-1], width))]


def _slice_grad(dy, start, width):
    dx = np.zeros((*dy.shape[:-1], width))
    dx[..., start : start + dy.shape[-1]] = dy
    return dx


register(
    Op(
        "slice",
        ("x",),
        _with_rows(_slice_shape),
        lambda x, start, stop: x[..., start:stop],
        _slice_gradient,
        {"start": 0, "stop": 1},
        lambda rng: [
            Sample("column", (rng.standard_normal((17, 5)),), {"start": 3, "stop": 4}),
            Sample("all", (rng.standard_normal((4, 3)),), {"start": 0, "stop": 3}),
            Sample("one row", (rng.standard_normal((1, 3)),), {"start": 1, "stop": 2}),
            Sample("no rows", (rng.standard_normal((0, 3)),), {"start": 1, "stop": 3}),
            Sample("inner axes", (rng.standard_normal((3, 2, 7)),), {"start": 1, "stop": 6}),
            Sample("wide", (rng.standard_normal((65, 40)),), {"start": 7, "stop": 40}),
        ],
        summary="y = x[..., start:stop]",
    )
)
register(
    Op(
        "slice_grad",
        ("dy",),
        _with_rows(_slice_grad_shape),
        _slice_grad,
        attrs={"start": 0, "width": 1},
        samples=lambda rng: [
            Sample("column", (rng.standard_normal((17, 1)),), {"start": 3, "width": 5}),
            Sample("all", (rng.standard_normal((4, 3)),), {"start": 0, "width": 3}),
            Sample("one row", (rng.standard_normal((1, 1)),), {"start": 1, "width": 2}),
            Sample("no rows", (rng.standard_normal((0, 2)),), {"start": 1, "width": 3}),
            Sample("inner axes", (rng.standard_normal((3, 2, 5)),), {"start": 1, "width": 7}),
        ],
        summary="dx = zeros of the given width, with dx[..., start:start + n] = dy",
    )
)


# --------------------------------------------------------------------------- reshape
def _reshape_shape(specs, attrs):
    size, wanted = specs[0].size, tuple(attrs["shape"])
    known = math.prod(extent for extent in wanted if extent != -1)
    shape = tuple(size // max(known, 1) if extent == -1 else extent for extent in wanted)
    if wanted.count(-1) > 1 or min(shape, default=1) < 0 or math.prod(shape) != size:
        raise ShapeError(
            f"Cannot reshape rows of shape {specs[0].shape} ({size} elements). Received: shape={wanted}."
        )
    return [Spec(shape, kind=specs[0].kind)]


def _reshape(x, shape):
    (spec,) = _reshape_shape([Spec(x.shape[1:])], {"shape": shape})
    return x.reshape(x.shape[0], *spec.shape)


register(
    Op(
        "reshape",
        ("x",),
        _with_rows(_reshape_shape),
        _reshape,
        lambda emitter, inputs, outputs, d_outputs, attrs: [
            emitter.emit("reshape", [d_outputs[0]], shape=features(inputs[0]))
        ],
        {"shape": (-1,)},
        lambda rng: [
            Sample("one row", (rng.standard_normal((1, 6)),), {"shape": (3, 2)}),
            Sample("flatten", (rng.standard_normal((7, 3, 2)),), {"shape": (-1,)}),
            Sample("split", (rng.standard_normal((5, 12)),), {"shape": (3, -1)}),
            Sample("scalar", (rng.standard_normal((5, 1)),), {"shape": ()}),
            Sample("no rows", (rng.standard_normal((0, 4)),), {"shape": (2, 2)}),
        ],
        summary="y = each row of x with another shape; one extent may be -1",
    )
)
