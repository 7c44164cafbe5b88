"""Every figure, drawn of trained networks: labels, no overlap, the Axes asked for, no figure left behind."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from fastnn import viz
from fastnn.callbacks import WeightHistory
from fastnn.layers import Activation, Dense, Dropout
from fastnn.models import Sequential
from fastnn.viz.style import COLOURS, SEQUENTIAL, figure

matplotlib = pytest.importorskip("matplotlib")
from drawn_figures import SIMULATED, assert_legible, lab  # noqa: E402

RNG = np.random.default_rng(5)
POINTS = RNG.uniform(-1, 1, (300, 2))
LABELS = (np.hypot(*POINTS.T) < 0.6).astype(int)
SPACE = ("hidden_space", "output_plane", "output_surface")


@pytest.fixture(scope="module")
def trained():
    stack = [
        Dense(3, input_shape=(2,), name="hidden"),
        Activation("sigmoid", name="logistic"),
        Dense(2, name="output"),
        Activation("softmax", name="softmax"),
    ]
    model = Sequential(stack, seed=0)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    record = WeightHistory()
    history = model.fit(
        POINTS, np.eye(2)[LABELS], epochs=6, validation_split=0.2, verbose=0, callbacks=[record]
    )
    return model, history, record


@pytest.fixture(scope="module")
def wide():
    stack = [
        Dense(64, "relu", input_shape=(45,), name="hidden_1"),
        Dropout(0.5),
        Dense(64, "relu", name="hidden_2"),
        Dropout(0.5),
        Dense(1, "sigmoid", name="up"),
    ]
    return Sequential(stack, seed=0)


SEARCH = {
    "param_units": [8, 8, 16, 16],
    "param_rate": [0.01, 0.1, 0.01, 0.1],
    "mean_test_score": [0.5, 0.6, np.nan, 0.8],
}


def drawings(trained, wide):
    model, history, record = trained
    probability = model.predict(POINTS)[:, 1]
    many = RNG.standard_normal((4000, 2))
    return {
        "loss_curve": lambda ax: viz.loss_curve(history, ax=ax),
        "metric_curve": lambda ax: viz.metric_curve(history, ax=ax),
        "decision_boundary": lambda ax: viz.decision_boundary(model, POINTS, LABELS, ax=ax),
        "hidden_space": lambda ax: viz.hidden_space(model, POINTS, LABELS, ax=ax),
        "output_plane": lambda ax: viz.output_plane(model, POINTS, LABELS, ax=ax),
        "output_surface": lambda ax: viz.output_plane(model, POINTS, LABELS, ax=ax, over="inputs"),
        "network_diagram": lambda ax: viz.network_diagram(model, ax=ax),
        "wide_diagram": lambda ax: viz.network_diagram(wide, ax=ax),
        "weight_lines": lambda ax: viz.weight_histograms(record, "hidden/bias", ax=ax),
        "weight_histograms": lambda ax: viz.weight_histograms(_record_of(wide), "hidden_1/bias", ax=ax),
        "reliability_curve": lambda ax: viz.reliability_curve(LABELS, probability, ax=ax),
        "predictions_vs_actual": lambda ax: viz.predictions_vs_actual(*POINTS.T, ax=ax, unit="%"),
        "predictions_hexagons": lambda ax: viz.predictions_vs_actual(*many.T, ax=ax),
        "search_heatmap": lambda ax: viz.search_heatmap(SEARCH, ax=ax),
    }


NAMES = tuple(drawings((Sequential([Dense(2, input_shape=(2,))]), None, None), None))


class _record_of:
    """A record of a network that does not change."""

    def __init__(self, model):
        self.epochs = [0, 1, 2]
        self.weights = {v.path: [v.numpy() + RNG.normal(size=v.shape)] * 3 for v in model.variables}


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_legible_and_drawn_where_asked(name, trained, wide, monkeypatch):
    """Also: pyplot learns of no figure, and no setting of matplotlib changes."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    before, settings = pyplot.get_fignums(), dict(matplotlib.rcParams)
    monkeypatch.setattr(pyplot, "figure", lambda *a, **k: pytest.fail("a new figure"))
    drawing = figure(6, 5.5)
    ax = drawing.add_subplot(projection="3d" if name in SPACE else None)
    assert drawings(trained, wide)[name](ax) is ax
    assert_legible(drawing, boxes_apart=name not in SPACE)  # boxes of slanted labels are larger than they
    assert pyplot.get_fignums() == before and dict(matplotlib.rcParams) == settings
    if "diagram" not in name:
        assert ax.get_xlabel() and ax.get_ylabel() and (name not in SPACE or ax.get_zlabel())


@pytest.mark.parametrize("name", NAMES)
def test_without_axes_a_legible_figure_is_made(name, trained, wide):
    matplotlib.use("Agg")
    from matplotlib import pyplot

    try:
        ax = drawings(trained, wide)[name](None)
        assert pyplot.get_fignums() == [ax.figure.number]
        assert_legible(ax.figure, boxes_apart=name not in SPACE)
    finally:
        pyplot.close("all")


@pytest.mark.parametrize("name", NAMES)
def test_a_refusal_leaves_no_figure(name, trained, wide, monkeypatch):
    """What does not fit is found before pyplot makes a figure."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    from fastnn.errors import FastnnError

    bad = {
        "loss_curve": lambda: viz.loss_curve({"loss": []}),
        "metric_curve": lambda: viz.metric_curve({"loss": [1.0]}),
        "decision_boundary": lambda: viz.decision_boundary(trained[0], POINTS, LABELS[1:]),
        "hidden_space": lambda: viz.hidden_space(wide, np.zeros((2, 45))),
        "output_plane": lambda: viz.output_plane(wide, np.zeros((2, 45))),
        "output_surface": lambda: viz.output_plane(wide, np.zeros((2, 45)), over="inputs"),
        "network_diagram": lambda: viz.network_diagram(Sequential([Dense(3)])),
        "wide_diagram": lambda: viz.network_diagram(wide, max_units=2),
        "weight_lines": lambda: viz.weight_histograms(trained[2], "hidden/bia"),
        "weight_histograms": lambda: viz.weight_histograms(WeightHistory()),
        "reliability_curve": lambda: viz.reliability_curve([0, 2], [0.1, 0.2]),
        "predictions_vs_actual": lambda: viz.predictions_vs_actual([1, 2], [1]),
        "predictions_hexagons": lambda: viz.predictions_vs_actual([1, np.nan], [1, 2]),
        "search_heatmap": lambda: viz.search_heatmap(SEARCH, "unit"),
    }
    with pytest.raises(FastnnError):
        bad[name]()
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("kind", [None, *SIMULATED])
def test_colours_are_told_apart_with_any_colour_vision(kind):
    """A difference of 2.3 is just noticeable; class colours come with markers of different shapes, too."""
    seen = lab([matplotlib.colors.to_rgb(colour) for colour in COLOURS], kind)
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 10
    assert np.linalg.norm(seen[0] - seen[1]) > 40  # the two that stand together in most figures
    ramp = lab(matplotlib.colormaps[SEQUENTIAL](np.linspace(0, 1, 32))[:, :3], kind)[:, 0]
    assert (np.diff(ramp) > 0).all()


@pytest.mark.parametrize("name", ["hidden_space", "loss_curve"])
def test_axes_of_another_kind_are_refused(name, trained, wide):
    from fastnn.errors import ArgumentError

    wrong = figure(3, 3).add_subplot(projection=None if name in SPACE else "3d")
    with pytest.raises(ArgumentError, match=r"`ax` must be .*Received: Axes of projection"):
        drawings(trained, wide)[name](wrong)
    with pytest.raises(ArgumentError, match=r"`ax` must be .*Received: 'here'"):
        drawings(trained, wide)[name]("here")


@pytest.mark.parametrize("name", NAMES)
def test_without_matplotlib_the_extra_is_named(name, trained, wide, monkeypatch):
    from fastnn.errors import MissingExtraError

    for module in [module for module in sys.modules if module.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"fastnn\[viz\]"):
        drawings(trained, wide)[name](None)


def test_the_check_itself_finds_overlaps_and_what_is_cut_off():
    drawing = figure(3, 2)
    ax = drawing.subplots()
    ax.text(0.5, 0.5, "one thing")
    ax.text(0.52, 0.5, "another")
    with pytest.raises(AssertionError, match="'one thing' lies on 'another'"):
        assert_legible(drawing)
    ax.texts[1].set_position((1.4, 0.8))
    ax.texts[1].set_in_layout(False)
    with pytest.raises(AssertionError, match="'another' is cut off"):
        assert_legible(drawing)
