"""Sums, means and extremes over the last axis, and the sum over rows."""

from __future__ import annotations

import numpy as np

from fastnn.errors import ShapeError
from fastnn.ops.elementwise import features
from fastnn.ops.registry import Op, Sample, Spec, register


def _reduced(specs, attrs):
    shape = specs[0].shape
    if not shape or not specs[0].rows or shape[-1] == 0:
        raise ShapeError(f"Expected rows with a last axis that is not empty. Received: {shape} a row.")
    return [Spec(shape[:-1])]


def _widened(specs, attrs):
    return [Spec((*specs[0].shape, attrs["width"]))]


def _samples(rng) -> list[Sample]:
    shapes = {"one": (1, 1), "odd": (17, 5), "no rows": (0, 3), "large": (301, 67), "inner axes": (3, 4, 5)}
    samples = [Sample(name, (rng.standard_normal(shape),)) for name, shape in shapes.items()]
    extremes = np.array([[np.nan, 1.0, 2.0], [1.0, np.nan, -1.0], [np.inf, 0.0, -3.0]])
    return [*samples, Sample("extremes", (extremes,), differentiable=False)]


def _widening_samples(rng) -> list[Sample]:
    return [
        Sample(s.name, (rng.standard_normal(s.arrays[0].shape[:-1]),), {"width": s.arrays[0].shape[-1]})
        for s in _samples(rng)
        if s.differentiable
    ]


def _extreme_samples(reduction):
    def samples(rng):
        found = [s.arrays[0] for s in _samples(rng) if s.differentiable]
        found.append(np.array([[1.0, 1.0, 0.0], [-1.0, -1.0, 0.0], [2.0, 2.0, 2.0]]))  # ties
        return [
            Sample(
                f"{reduction.__name__} {x.shape}",
                (rng.standard_normal(x.shape[:-1]), x, reduction(x, axis=-1)),
            )
            for x in found
        ]

    return samples


def _additive_gradient(op: str):
    def gradient(emitter, inputs, outputs, d_outputs, attrs):
        return [emitter.emit(op, [d_outputs[0]], width=features(inputs[0])[-1])]

    return gradient


def _extreme_gradient(emitter, inputs, outputs, d_outputs, attrs):
    return [emitter.emit("reduce_extreme_grad", [d_outputs[0], inputs[0], outputs[0]])]


def _extreme_grad(dy, x, y):
    chosen = x == y[..., None]
    return np.where(chosen, dy[..., None] / np.maximum(chosen.sum(axis=-1, keepdims=True), 1), 0.0)


for _name, _function, _gradient, _summary in (
    ("reduce_sum", np.sum, _additive_gradient("reduce_sum_grad"), "y = sum of x over the last axis"),
    ("reduce_mean", np.mean, _additive_gradient("reduce_mean_grad"), "y = mean of x over the last axis"),
    ("reduce_max", np.max, _extreme_gradient, "y = largest x over the last axis; NaN wins"),
    ("reduce_min", np.min, _extreme_gradient, "y = smallest x over the last axis; NaN wins"),
):
    register(
        Op(
            _name,
            ("x",),
            _reduced,
            lambda x, function=_function: function(x, axis=-1),
            _gradient,
            samples=_samples,
            summary=_summary,
        )
    )

register(
    Op(
        "reduce_sum_grad",
        ("dy",),
        _widened,
        lambda dy, width: np.repeat(dy[..., None], width, axis=-1),
        attrs={"width": 1},
        samples=_widening_samples,
        summary="dx = dy, repeated along a new last axis",
    )
)
register(
    Op(
        "reduce_mean_grad",
        ("dy",),
        _widened,
        lambda dy, width: np.repeat(dy[..., None], width, axis=-1) / width,
        attrs={"width": 1},
        samples=_widening_samples,
        summary="dx = dy / width, repeated along a new last axis",
    )
)
# Equal extremes share the gradient equally, as in TensorFlow and PyTorch.
register(
    Op(
        "reduce_extreme_grad",
        ("dy", "x", "y"),
        lambda specs, attrs: [specs[1]],
        _extreme_grad,
        samples=lambda rng: [*_extreme_samples(np.max)(rng), *_extreme_samples(np.min)(rng)],
        summary="dx = dy / count of x == y where x == y, else 0",
    )
)
register(
    Op(
        "sum_rows",
        ("x",),
        lambda specs, attrs: [Spec(specs[0].shape, rows=False)],
        lambda x: x.sum(axis=0),
        samples=lambda rng: [s for s in _samples(rng) if s.name != "extremes"],
        summary="y = sum of x over rows",
    )
)
