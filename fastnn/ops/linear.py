"""Dense products: ``y = x @ w + b`` and its three gradients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnn.errors import ShapeError
from fastnn.ops.registry import Op, Sample, Spec, register


def _dense_shape(specs, attrs):
    x, w = specs[0], specs[1]
    if len(w.shape) != 2 or not x.shape or x.shape[-1] != w.shape[0]:
        raise ShapeError(
            f"dense needs x of shape (..., inputs) and w of shape (inputs, units). "
            f"Received: x {x.shape} a row, w {w.shape}."
        )
    if len(specs) == 3 and specs[2].shape != (w.shape[1],):
        raise ShapeError(f"dense needs b of shape {(w.shape[1],)}. Received: {specs[2].shape}.")
    return [Spec((*x.shape[:-1], w.shape[1]), x.rows)]


def _dense(x, w, b=None):
    return x @ w if b is None else x @ w + b


def _dense_gradient(emitter, inputs, outputs, d_outputs, attrs):
    x, w = inputs[0], inputs[1]
    (dy,) = d_outputs
    gradients = [emitter.emit("dense_dx", [dy, w]), emitter.emit("dense_dw", [x, dy])]
    if len(inputs) == 3:
        gradients.append(emitter.emit("dense_db", [dy]))
    return gradients


def _samples(rng) -> list[Sample]:
    samples = []
    for name, rows, k, u in (("one", 1, 1, 1), ("odd", 7, 5, 3), ("narrow", 33, 2, 3), ("column", 40, 17, 1),
                             ("wide", 65, 40, 33), ("no rows", 0, 3, 2)):  # fmt: skip
        x, w, b = rng.standard_normal((rows, k)), rng.standard_normal((k, u)), rng.standard_normal(u)
        samples.append(Sample(name, (x, w, b)))
        samples.append(Sample(f"{name}, no bias", (x, w)))
    return samples


def _flat(values: np.ndarray) -> np.ndarray:
    """Fold all axes but the last into one (also when there are no rows)."""
    return values.reshape(int(np.prod(values.shape[:-1])), values.shape[-1])


def _pair_samples(rng, first: Sequence[int], second: Sequence[int], rows: int) -> Sample:
    return Sample(
        f"{first} {second}", (rng.standard_normal((rows, *first)), rng.standard_normal((rows, *second)))
    )


register(
    Op(
        "dense",
        ("x", "w", "b"),
        _dense_shape,
        _dense,
        _dense_gradient,
        samples=_samples,
        summary="y = x @ w + b over the last axis",
        optional=1,
    )
)
register(
    Op(
        "dense_dx",
        ("dy", "w"),
        lambda specs, attrs: [Spec((*specs[0].shape[:-1], specs[1].shape[0]))],
        lambda dy, w: dy @ w.T,
        samples=lambda rng: [
            Sample(f"{rows}x{k}x{u}", (rng.standard_normal((rows, u)), rng.standard_normal((k, u))))
            for rows, k, u in ((0, 3, 2), (1, 1, 1), (7, 5, 3), (33, 16, 1), (65, 40, 33))
        ],
        summary="dx = dy @ w.T",
    )
)
register(
    Op(
        "dense_dw",
        ("x", "dy"),
        lambda specs, attrs: [Spec((specs[0].shape[-1], specs[1].shape[-1]), rows=False)],
        lambda x, dy: _flat(x).T @ _flat(dy),
        samples=lambda rng: [
            _pair_samples(rng, (k,), (u,), rows)
            for rows, k, u in ((0, 3, 2), (1, 1, 1), (7, 5, 3), (33, 16, 1), (65, 40, 33))
        ],
        summary="dw = x.T @ dy, summed over rows",
    )
)
register(
    Op(
        "dense_db",
        ("dy",),
        lambda specs, attrs: [Spec((specs[0].shape[-1],), rows=False)],
        lambda dy: _flat(dy).sum(axis=0),
        samples=lambda rng: [
            Sample(f"{rows}x{u}", (rng.standard_normal((rows, u)),))
            for rows, u in ((0, 2), (1, 1), (7, 3), (65, 33))
        ],
        summary="db = sum of dy over rows",
    )
)
