"""Circles, synthetic panels of known strength, and prices that packages carry."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fastnn.datasets import (
    circles,
    linear_auc,
    load_sp500,
    load_stocks,
    monthly_returns,
    returns_windows,
    synthetic_panel,
)
from fastnn.errors import ArgumentError, MissingExtraError
from fastnn.metrics import AUC

pandas = pytest.importorskip("pandas")
pytest.importorskip("sklearn")


# --------------------------------------------------------------------------- circles
def test_circles_are_two_rings():
    X, labels, Y = circles(2000, factor=0.5, noise=None, seed=3)
    radius = np.hypot(*X.T)
    np.testing.assert_allclose(radius, np.where(labels == 1, 0.5, 1.0), rtol=1e-5)
    assert X.dtype == Y.dtype == np.float32 and labels.sum() == 1000
    np.testing.assert_array_equal(Y.argmax(axis=1), labels)
    np.testing.assert_array_equal(Y.sum(axis=1), 1)
    same, other = circles(2000, seed=3).X, circles(2000, seed=4).X
    np.testing.assert_array_equal(same, circles(2000, seed=3).X)
    assert (same != other).any()


@pytest.mark.parametrize(
    "wrong",
    [{"n": 1}, {"n": 10.0}, {"factor": 1.0}, {"factor": -0.1}, {"noise": -1}, {"seed": -1}, {"seed": None}],
)
def test_circles_refuse(wrong):
    with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}`"):
        circles(**{"n": 10, **wrong})


# --------------------------------------------------------------------------- synthetic
def test_the_stated_auc_is_that_of_the_newest_lag():
    for signal in (0.05, 0.5):
        panel = synthetic_panel(4000, 40, signal=signal, seed=7)
        windows = returns_windows(panel, 2)
        measured = AUC()(windows.y, 1 / (1 + np.exp(-20 * windows.X.column(0))))
        error = 1 / np.sqrt(3 * len(windows))  # of an AUC near 1/2 of balanced classes
        assert abs(measured - panel.attrs["auc"]) < 4 * error
        assert abs(windows.y.mean() - 0.5) < 4 / np.sqrt(len(windows))


def test_linear_auc_against_drawn_pairs():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 200_000))
    for signal in (0.0, 0.3, 0.9):
        outcome = signal * x + np.sqrt(1 - signal**2) * noise > 0
        assert AUC()(outcome, 1 / (1 + np.exp(-x))) == pytest.approx(linear_auc(signal), abs=5e-3)


def test_a_panel_is_a_function_of_its_seed_and_stationary():
    one, same, other = (synthetic_panel(50, 30, signal=0.9, seed=seed) for seed in (1, 1, 2))
    pandas.testing.assert_frame_equal(one, same)
    assert (one != other).to_numpy().any()
    wide = np.log1p(synthetic_panel(20_000, 12, signal=0.9, volatility=0.1, dtype="float64"))
    np.testing.assert_allclose(wide.std(axis=1), 0.1, rtol=0.03)
    assert (one > -1).to_numpy().all() and one.dtypes.unique() == [np.float32]


@pytest.mark.parametrize(
    "wrong",
    [{"stocks": 0}, {"months": 1.5}, {"signal": 1.0}, {"signal": -0.1}, {"volatility": 0}, {"dtype": "int8"}],
)
def test_panels_refuse(wrong):
    with pytest.raises(ArgumentError, match=f"`{next(iter(wrong))}`"):
        synthetic_panel(**{"stocks": 3, "months": 3, **wrong})


# --------------------------------------------------------------------------- packaged prices
def test_packaged_prices():
    pytest.importorskip("skfolio")
    pytest.importorskip("great_tables")
    stocks, index = load_stocks(), load_sp500()
    assert stocks.shape == (8313, 20) and str(stocks.index[-1])[:10] == "2022-12-28"
    assert list(index.columns) == ["SP500"] and str(index.index[0])[:10] == "1950-01-03"
    assert index.index.is_monotonic_increasing and index.index.is_unique
    assert index.attrs["report"] == {"days from great_tables": 10_054, "days from skfolio": 8_313}
    returns = monthly_returns(index)
    assert returns.shape == (875, 1) and not returns.isna().to_numpy().any()


def test_packaged_prices_do_not_import_the_packages():
    pytest.importorskip("skfolio")
    code = (
        "import sys\nfrom fastnn.datasets import load_stocks, load_sp500\nload_stocks(), load_sp500()\n"
        "assert not {'skfolio', 'great_tables', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr("fastnn.datasets.sources.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"fastnn\[data\]"):
        load_stocks()
    with pytest.raises(MissingExtraError, match=r"fastnn\[data\]"):
        load_sp500()
