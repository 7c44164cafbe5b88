"""Reliability curve, predictions against actual values, heat map of a search, weights over epochs."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import viz
from fastnn.errors import ArgumentError, DataError, DtypeError, ShapeError, UnknownNameError
from fastnn.viz.style import figure

pytest.importorskip("matplotlib")
from drawn_figures import legend

RNG = np.random.default_rng(2)


@pytest.fixture
def ax():
    return figure(5, 5).subplots()


# --------------------------------------------------------------------------- reliability
@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_reliability_is_scikit_learns_with_counts(ax, strategy):
    calibration = pytest.importorskip("sklearn.calibration")
    p = RNG.uniform(size=400)
    p[:50] = np.linspace(0, 1, 11)[RNG.integers(0, 11, 50)]  # on the edges of bins
    y = (RNG.uniform(size=400) < p**2).astype(int)
    viz.reliability_curve(y, p[:, None], ax=ax, strategy=strategy)
    curve = ax.containers[0].lines[0]
    expected = calibration.calibration_curve(y, p, n_bins=10, strategy=strategy)
    np.testing.assert_allclose(curve.get_ydata(), expected[0])
    np.testing.assert_allclose(curve.get_xdata(), expected[1])
    heights = [bar.get_height() for bar in ax.child_axes[0].patches]
    assert sum(heights) == 400 and len(heights) == 10
    error = np.abs(expected[0] - expected[1]) @ heights / 400
    assert legend(ax) == ["calibrated", f"model: calibration error {error:.3f}"]


def test_intervals_are_wilsons(ax):
    """10 of 10: the interval reaches from 0.722 to 1 (Brown, Cai and DasGupta 2001)."""
    viz.reliability_curve(np.ones(10), np.full(10, 0.9), ax=ax)
    (bars,) = ax.containers[0].lines[2]
    ((_, low), (_, high)) = bars.get_segments()[0]
    assert low == pytest.approx(0.7225, abs=1e-4) and high == pytest.approx(1.0)


def test_bins_without_rows_and_one_probability_for_all(ax):
    viz.reliability_curve([0, 1, 1], [0.05, 0.95, 1.0], ax=ax)
    np.testing.assert_allclose(ax.containers[0].lines[0].get_xdata(), [0.05, 0.975])
    viz.reliability_curve([0, 1], [0.5, 0.5], ax=figure(5, 5).subplots(), strategy="quantile")


def test_reliability_refuses_what_is_no_probability(ax):
    for y, p, expected in (
        ([0, 2], [0.1, 0.2], "`y_true` must be 0 or 1. Received: 2 in row 1"),
        ([0, 1], [0.1, 1.2], "`y_prob` must be probabilities from 0 to 1. Received: 1.2 in row 1"),
        ([0, 1], [np.nan, 0.2], "`y_prob` must be finite. Received: nan in row 0"),
    ):
        with pytest.raises(DataError, match=expected):
            viz.reliability_curve(y, p, ax=ax)
    with pytest.raises(ShapeError, match=r"of shape \(n,\) or \(n, 1\), n > 0. Received: \(2, 2\)"):
        viz.reliability_curve([0, 1], np.ones((2, 2)) / 2, ax=ax)
    with pytest.raises(ShapeError, match="Received: 2 and 1"):
        viz.reliability_curve([0, 1], [0.5], ax=ax)
    with pytest.raises(ArgumentError, match="`bins`"):
        viz.reliability_curve([0, 1], [0.5, 0.5], ax=ax, bins=0)
    with pytest.raises(DtypeError, match="`y_true` must be numbers"):
        viz.reliability_curve(["up", "down"], [0.5, 0.5], ax=ax)


# --------------------------------------------------------------------------- predictions
def test_predictions_lie_where_they_belong(ax):
    y, p = np.array([1.0, 2.0, 3.0, 6.0]), np.array([[1.5], [2.0], [2.5], [6.0]])
    viz.predictions_vs_actual(y, p, ax=ax, unit="kg")
    np.testing.assert_array_equal(np.asarray(ax.collections[0].get_offsets()), np.column_stack([y, p]))
    assert ax.get_xlim() == ax.get_ylim()
    assert legend(ax) == ["RMSE 0.354 kg, R² 0.964", "predicted = actual"]
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), ax.lines[0].get_ydata())


def test_many_predictions_are_counted(ax):
    y = RNG.normal(size=5000)
    viz.predictions_vs_actual(y, y + 0.1, ax=ax)
    assert ax.collections[0].get_array().sum() == 5000


def test_constant_values_have_no_r2(ax):
    viz.predictions_vs_actual([2.0, 2.0], [2.0, 2.0], ax=ax)
    assert legend(ax)[0] == "RMSE 0.00"


# --------------------------------------------------------------------------- search
GRID = {
    "param_units": [8, 8, 16, 16, 16],
    "param_rate": [0.1, 0.01, 0.1, 0.01, 0.01],
    "param_seed": [0, 0, 0, 0, 1],
    "mean_test_score": [0.5, 0.6, np.nan, 0.7, 0.9],
}


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize(("mode", "shared"), [("max", 0.9), ("min", 0.7)])
def test_cells_hold_the_best_score_of_their_settings(ax, as_frame, mode, shared):
    results = pytest.importorskip("pandas").DataFrame(GRID) if as_frame else GRID
    viz.search_heatmap(results, "units", "param_rate", ax=ax, mode=mode)
    np.testing.assert_array_equal(ax.images[0].get_array().filled(np.nan), [[0.6, shared], [0.5, np.nan]])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["8", "16"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0.01", "0.1"]
    hatched, frame = ax.patches
    assert hatched.get_hatch() and hatched.get_xy() == (0.5, 0.5)
    assert frame.get_xy() == ((0.5, -0.5) if mode == "max" else (-0.5, 0.5))
    assert sorted(t.get_text() for t in ax.texts) == sorted(["0.600", f"{shared:.3f}", "0.500"])


def test_a_real_search_is_drawn(ax):
    selection = pytest.importorskip("sklearn.model_selection")
    from sklearn.tree import DecisionTreeClassifier

    X = RNG.normal(size=(60, 2))
    tried = {"max_depth": [1, 2, None], "criterion": ["gini", "entropy"], "splitter": ["best"]}
    search = selection.GridSearchCV(DecisionTreeClassifier(random_state=0), tried, cv=2).fit(X, X[:, 0] > 0)
    viz.search_heatmap(search.cv_results_, ax=ax)  # two vary: they need no names
    found = {ax.get_xlabel(), ax.get_ylabel()}
    assert found == {"max_depth", "criterion"}
    assert ax.images[0].get_array().max() == search.best_score_


def test_the_searchs_parameters_must_be_known(ax):
    with pytest.raises(
        ArgumentError, match=r"name them as x= and y=. Received: 3 that vary \(units, rate, seed\)"
    ):
        viz.search_heatmap(GRID, ax=ax)
    with pytest.raises(UnknownNameError, match="Did you mean 'units'"):
        viz.search_heatmap(GRID, "unit", "rate", ax=ax)
    with pytest.raises(UnknownNameError, match="Unknown column in the results"):
        viz.search_heatmap(GRID, "units", "rate", "mean_test_auc", ax=ax)
    with pytest.raises(ArgumentError, match="no setting has a score"):
        viz.search_heatmap({**GRID, "mean_test_score": [np.nan] * 5}, "units", "rate", ax=ax)
    with pytest.raises(DtypeError, match="Received: list"):
        viz.search_heatmap([1], ax=ax)


# --------------------------------------------------------------------------- weights
class Record:
    epochs = (0, 2, 4)
    weights = {  # noqa: RUF012
        "hidden/kernel": [RNG.normal(k, 1, size=(10, 5)) for k in range(3)],
        "hidden/bias": [np.array([k, -k]) for k in range(3)],
    }


def test_a_column_is_an_epochs_histogram(ax):
    viz.weight_histograms(Record(), "hidden/kernel", ax=ax)
    mesh = ax.collections[0]
    shares = np.asarray(mesh.get_array()).reshape(40, 3)
    np.testing.assert_allclose(shares.sum(axis=0), 100)
    edges = mesh.get_coordinates()[:, 0, 1]
    for column, values in zip(shares.T, Record.weights["hidden/kernel"], strict=True):
        np.testing.assert_allclose(column, 2 * np.histogram(values, edges)[0])
    np.testing.assert_allclose(mesh.get_coordinates()[0, :, 0], [-1, 1, 3, 5])
    medians = [np.median(values) for values in Record.weights["hidden/kernel"]]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), medians)


def test_few_numbers_are_lines_and_every_variable_gets_its_axes():
    drawing = figure(8, 4)
    first, second = viz.weight_histograms(Record(), ax=drawing.subplots(1, 2))
    assert (first.get_title(), second.get_title()) == ("hidden/kernel", "hidden/bias")
    assert (first.get_ylabel(), second.get_ylabel()) == ("weight", "bias")
    np.testing.assert_array_equal([line.get_ydata() for line in second.lines], [[0, 1, 2], [0, -1, -2]])


def test_records_and_axes_must_fit(ax):
    with pytest.raises(ArgumentError, match=r"one Axes for each of 2 variables\. Received: 1"):
        viz.weight_histograms(Record(), ax=ax)
    with pytest.raises(UnknownNameError, match="Did you mean 'hidden/bias'"):
        viz.weight_histograms(Record(), "hidden/bais", ax=ax)
    with pytest.raises(DtypeError, match=r"WeightHistory has recorded.*Received: dict"):
        viz.weight_histograms({}, ax=ax)
