"""Winsorizer and Standardizer: scikit-learn's checks, the arithmetic, tables in parts."""

from __future__ import annotations

import builtins
import pickle
import sys
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastnn
from fastnn.data import Gathered, Part, Standardizer, Winsorizer
from fastnn.errors import ArgumentError, DataError, MissingExtraError, ShapeError

each = pytest.mark.parametrize("transformer", [Winsorizer, Standardizer])
each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@parametrize_with_checks([Winsorizer(), Standardizer(), Winsorizer(0.1, 0.8), Standardizer(with_mean=False)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def parts(dtype="float32", rows=500, names=True):
    rng = np.random.default_rng(0)
    line = rng.standard_t(3, 700).astype(dtype)
    view = np.lib.stride_tricks.sliding_window_view(line, 5)[:, ::-1]
    lags = [f"lag_{k}" for k in range(1, 6)] if names else None
    months = np.eye(3, dtype=dtype)
    return Gathered(
        [
            Part(view, rng.integers(0, len(view), rows), lags),
            Part(months, rng.integers(0, 3, rows), ["jan", "feb", "mar"] if names else None),
        ]
    )


@each_dtype
def test_quantiles(dtype):
    x = np.asarray(parts(dtype))
    clip = Winsorizer(0.05, 0.9).fit(x)
    low, high = np.quantile(x.astype(np.float64), (0.05, 0.9), axis=0)
    assert np.array_equal(clip.low_, low) and np.array_equal(clip.high_, high)
    found = clip.transform(x)
    assert found.dtype == dtype and np.array_equal(found, np.clip(x, low.astype(dtype), high.astype(dtype)))
    inside = (x > low) & (x < high)
    assert np.array_equal(found[inside], x[inside])


@each_dtype
def test_means_and_deviations(dtype):
    x = np.asarray(parts(dtype)) * 3 + 1
    ours, theirs = Standardizer().fit(x), StandardScaler().fit(x.astype(np.float64))
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(ours.scale_, theirs.scale_, rtol=1e-12)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    np.testing.assert_allclose(ours.transform(x), theirs.transform(x), rtol=0, atol=tolerance)
    assert ours.transform(x).dtype == dtype


def test_halves_of_the_standardizer():
    x = np.asarray(parts("float64"))
    assert np.array_equal(Standardizer(with_std=False).fit_transform(x), x - Standardizer().fit(x).mean_)
    assert np.array_equal(
        Standardizer(with_mean=False).fit_transform(x), x * (1 / Standardizer().fit(x).scale_)
    )


@pytest.mark.parametrize("value", [0.1, 1e-30, 1e30, 0.0])
def test_a_constant_is_only_centred(value):
    """Its deviation is not the rounding of its mean."""
    x = np.full((1_001, 1), value)
    scaler = Standardizer().fit(x)
    assert scaler.scale_ == 1 and np.array_equal(scaler.transform(x), np.zeros_like(x))


@each
@each_dtype
def test_a_table_in_parts_stays_one(transformer, dtype):
    x = parts(dtype)
    lazy, dense = transformer().fit(x[:300]), transformer().fit(np.asarray(x[:300]))
    for name in ("low_", "high_", "mean_", "scale_"):
        assert np.array_equal(getattr(lazy, name, 0), getattr(dense, name, 0))
    assert lazy.n_features_in_ == 8 and lazy.feature_names_in_.tolist() == x.columns
    assert lazy.get_feature_names_out().tolist() == x.columns
    found = lazy.transform(x)
    assert isinstance(found, Gathered) and found.columns == x.columns and found.dtype == dtype
    assert all(new.array is old.array for new, old in zip(found.parts, x.parts, strict=True))
    assert np.array_equal(np.asarray(found), dense.transform(np.asarray(x)))


@each_dtype
def test_clipped_then_standardised_has_the_bits_of_the_array(dtype):
    x = parts(dtype, names=False)
    steps = make_pipeline(Winsorizer(), Standardizer())
    found = clone(steps).fit(x[:300]).transform(x)
    assert isinstance(found, Gathered)
    dense = np.asarray(x)
    assert np.array_equal(np.asarray(found), clone(steps).fit(dense[:300]).transform(dense))


def test_what_comes_after_changes_nothing_that_was_learned():
    x = np.asarray(parts("float64"))
    later = x.copy()
    later[300:] += 100
    for transformer in (Winsorizer(), Standardizer()):
        one, other = (pickle.dumps(clone(transformer).fit(table[:300]).__dict__) for table in (x, later))
        assert one == other


def test_memory_of_a_fit_is_that_of_columns():
    line = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    view = np.lib.stride_tricks.sliding_window_view(line, 60)
    x = Gathered([Part(view, np.arange(len(view), dtype=np.int32))])
    tracemalloc.start()
    try:
        Standardizer().fit(Winsorizer().fit(x[:100_000]).transform(x)).transform(x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes / 4


@each
def test_data_frames(transformer):
    frame = pd.DataFrame(np.random.default_rng(0).standard_normal((20, 2)), columns=["a", "b"]).astype(
        "float32"
    )
    found = transformer().set_output(transform="pandas").fit_transform(frame)
    assert list(found.columns) == ["a", "b"] and (found.dtypes == "float32").all()
    assert found.index.equals(frame.index)


@each
def test_input_is_not_changed(transformer):
    x = np.asarray(parts("float64"))
    before = x.copy()
    transformer().fit_transform(x)
    assert np.array_equal(x, before)


@each
def test_what_is_refused(transformer):
    x = parts("float64")
    with pytest.raises(NotFittedError):
        transformer().transform(x)
    fitted = transformer().fit(x)
    with pytest.raises(ShapeError, match=r"expected 8 columns, as fitted on\. Received: 5"):
        fitted.transform(Gathered(x.parts[:1]))
    other = Gathered([x.parts[0], Part(np.eye(3), x.parts[1].index, ["jan", "feb", "april"])])
    with pytest.raises(ArgumentError, match=r"expected the columns fitted on.*april"):
        fitted.transform(other)
    with pytest.raises(DataError, match="expected at least one row"):
        transformer().fit(x[:0])
    bad = Part(np.array([[1.0], [np.nan]]), [0, 1, 1], ["price"])
    with pytest.raises(DataError, match=r"nan in column 'price', first in row 1 \(2 such values\)"):
        transformer().fit(Gathered([bad]))


@pytest.mark.parametrize("bounds", [(-0.1, 0.9), (0.1, 1.1), (0.9, 0.1), ("a", 1)])
def test_quantiles_that_cannot_be(bounds):
    with pytest.raises(ArgumentError, match="lower"):
        Winsorizer(*bounds).fit(np.zeros((3, 1)))


def test_options_that_cannot_be():
    with pytest.raises(ArgumentError, match="with_mean"):
        Standardizer(with_mean="yes").fit(np.zeros((3, 1)))


def test_without_scikit_learn(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "fastnn.data.transformers")
    original = builtins.__import__

    def without(name, *arguments, **named):
        if name.split(".")[0] == "sklearn":
            raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
        return original(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"fastnn.data.Winsorizer needs.*'fastnn\[table\]'"):
        _ = fastnn.data.Winsorizer
    with pytest.raises(AttributeError, match="no attribute 'Winsoriser'"):
        _ = fastnn.data.Winsoriser
    assert fastnn.data.WalkForward is not None
