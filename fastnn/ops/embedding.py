"""Embedding: rows of a table, chosen by integers."""

from __future__ import annotations

import numpy as np

from fastnn.errors import DataError, ShapeError
from fastnn.ops.registry import Op, Sample, Spec, register


def _shape(specs, attrs):
    index, table = specs
    if len(table.shape) != 2 or index.kind != "int":
        raise ShapeError(
            f"embedding needs integers and a table of shape (size, width). "
            f"Received: {index.kind} numbers, table {table.shape}."
        )
    return [Spec((*index.shape, table.shape[1]))]


def _check(index: np.ndarray, size: int, name: str) -> None:
    if index.size and not 0 <= index.min() <= index.max() < size:
        raise DataError(
            f"The indices of op {name!r} must lie in [0, {size}). Received: {index.min()} to {index.max()}."
        )


def _gradient(emitter, inputs, outputs, d_outputs, attrs):
    index, table = inputs
    size = getattr(table, "spec", table).shape[0]
    return [None, emitter.emit("embedding_grad", [index, d_outputs[0]], size=size)]


def _embedding_grad(index, dy, size):
    dtable = np.zeros((size, dy.shape[-1]))
    np.add.at(dtable, index, dy)
    return dtable


def _cases(rng):
    for name, shape, size, width in (
        ("one", (1,), 1, 1), ("column", (17,), 5, 3), ("several", (9, 4), 7, 16), ("no rows", (0, 2), 3, 2),
        ("large", (301, 3), 50, 33),
    ):  # fmt: skip
        yield name, rng.integers(0, size, shape).astype(np.int32), size, width


register(
    Op(
        "embedding",
        ("index", "table"),
        _shape,
        lambda index, table: table[index],
        _gradient,
        samples=lambda rng: [
            Sample(name, (index, rng.standard_normal((size, width))))
            for name, index, size, width in _cases(rng)
        ],
        summary="y = table[index]",
        check=lambda arrays, attrs: _check(arrays[0], len(arrays[1]), "embedding"),
    )
)
register(
    Op(
        "embedding_grad",
        ("index", "dy"),
        lambda specs, attrs: [Spec((attrs["size"], specs[1].shape[-1]), rows=False)],
        _embedding_grad,
        attrs={"size": 1},
        samples=lambda rng: [
            Sample(name, (index, rng.standard_normal((*index.shape, width))), {"size": size})
            for name, index, size, width in _cases(rng)
        ],
        summary="dtable[k] = sum of dy where index == k",
        check=lambda arrays, attrs: _check(arrays[0], attrs["size"], "embedding_grad"),
    )
)
