"""Normalization.adapt: statistics of any table, before and after the layer is part of a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from layer_tracing import ROW, compute

from fastnn import layers
from fastnn.errors import DataError, DtypeError, ShapeError
from fastnn.layers.variables import place
from fastnn.ops.registry import Spec

X = 5.0 * np.random.default_rng(1).standard_normal((200, 3)) + [0.0, 100.0, -1e6]


@pytest.mark.parametrize("when", ["before", "built", "placed"])
def test_adapt_before_and_after_the_layer_is_in_a_model(when):
    layer = layers.Normalization()
    if when == "before":
        layer.adapt(X)
    layer.infer([ROW])
    if when == "built":
        layer.adapt(X)
    place(layer.variables, "float64", seed=0)
    if when == "placed":
        assert (layer.mean == 0.0).all() and (layer.variance == 1.0).all()
        layer.adapt(X)
    np.testing.assert_allclose(layer.mean, X.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.variance, X.var(0), rtol=1e-12)
    assert [v.name for v in layer.variables] == ["mean", "variance"] and layer.trainable_variables == []
    np.testing.assert_allclose(compute(layer, X), (X - X.mean(0)) / X.std(0), rtol=1e-9, atol=1e-9)
    layer.adapt(2.0 * X)  # again: the first is forgotten
    np.testing.assert_allclose(layer.get_weights(), [2.0 * X.mean(0), 4.0 * X.var(0)], rtol=1e-12, atol=1e-12)
    assert "mean" not in layer.get_config()


@pytest.mark.parametrize(
    "data",
    [
        X.tolist(), pd.DataFrame(X), pd.DataFrame(X).convert_dtypes(), np.asfortranarray(X), X[::-1],
        X.reshape(50, 4, 3), X.astype(">f8"),
    ],
    ids=["list", "frame", "nullable", "fortran", "reversed", "axes", "big endian"],
)  # fmt: skip
def test_adapt_takes_any_table(data):
    layer = layers.Normalization()
    layer.adapt(data)
    np.testing.assert_allclose(layer.mean, X.mean(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(layer.variance, X.var(0), rtol=1e-12)


def test_adapt_is_exact_where_it_matters():
    layer = layers.Normalization()
    rows = 300_000  # several slices
    table = np.column_stack([np.full(rows, 1e9 + 0.1), np.arange(rows, dtype=float), np.arange(rows) % 2])
    layer.adapt(table)
    assert layer.variance[0] == 0.0 and layer.mean[0] == 1e9 + 0.1
    np.testing.assert_allclose(layer.variance[1:], [(rows**2 - 1) / 12.0, 0.25], rtol=1e-12)
    assert (compute(layer, table[:5])[:, 0] == 0.0).all()
    column = layers.Normalization()
    column.adapt([1, 2, 3])
    assert column.mean.tolist() == [2.0]
    half = layers.Normalization()
    half.adapt(np.full((4000, 1), 60000.0, np.float16))
    assert half.mean.tolist() == [60000.0]
    read_only = X.copy()
    read_only.flags.writeable = False
    layers.Normalization().adapt(read_only)
    np.testing.assert_array_equal(read_only, X)


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        ([[1.0, np.nan]], DataError, "column 1"),
        (pd.DataFrame({"a": [1.0], "price": [np.inf]}), DataError, "column 'price'"),
        (pd.DataFrame({"a": [1.0], "city": ["Bonn"]}), DtypeError, "column 'city'"),
        ([["1", "2"]], DtypeError, "dtype <U1"),
        ([[1j]], DtypeError, "complex"),
        ([[None]], DataError, "column 0"),
        ([[object()]], DtypeError, "object"),
        ([[1.0], [1.0, 2.0]], ShapeError, "same length"),
        (np.zeros((0, 3)), DataError, r"\(0, 3\)"),
        (3.0, DataError, "at least one row"),
        ([[1e200, 1.0], [-1e200, 2.0]], DataError, "column 0"),
    ],
)
def test_adapt_refuses(data, error, words):
    layer = layers.Normalization(name="scaler")
    with pytest.raises(error, match=f"'scaler'.*{words}"):
        layer.adapt(data)
    layer.adapt(X)  # still usable


def test_adapted_widths_must_fit():
    layer = layers.Normalization(name="scaler")
    layer.adapt(X)
    with pytest.raises(
        ShapeError, match=r"'scaler' has a mean for each of 3 columns. Received: rows of shape \(2,\)"
    ):
        layer.infer([Spec((2,))])
    layer.infer([ROW])
    with pytest.raises(
        ShapeError, match=r"'scaler' was built for rows of 3 columns. Received: data with 2 columns"
    ):
        layer.adapt(X[:, :2])
    given = layers.Normalization(mean=[1.0, 2.0, 3.0], variance=4.0)
    assert compute(given, X) == pytest.approx((X - [1.0, 2.0, 3.0]) / 2.0)
