"""Figures: what they show, read back from the Axes."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fastnn.errors import ArgumentError, DataError, MissingExtraError, ShapeError, UnknownNameError
from fastnn.viz import decision_boundary, loss_curve, metric_curve
from fastnn.viz.style import COLOURS, MARKERS, figure

matplotlib = pytest.importorskip("matplotlib")

LOSSES = {"loss": [0.9, 0.5, 0.4], "val_loss": [1.0, 0.7, 0.8], "accuracy": [0.5, 0.6, 0.7]}
RNG = np.random.default_rng(3)
POINTS = RNG.uniform(-1, 1, size=(200, 2))
LABELS = (POINTS[:, 0] > 0.25).astype(int)


class Halves:
    """Says class 1 to the right of x1 = 0.25; one output or one for each class."""

    def __init__(self, outputs=1):
        self.outputs = outputs

    def predict(self, X):
        right = 1 / (1 + np.exp(-20 * (X[:, :1] - 0.25)))
        return right if self.outputs == 1 else np.hstack([1 - right, right])


@pytest.fixture
def ax():
    return figure(4, 3).subplots()


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# --------------------------------------------------------------------------- curves
@pytest.mark.parametrize("history", [LOSSES, SimpleNamespace(history=LOSSES)], ids=["mapping", "History"])
def test_loss_curve_draws_both_losses_over_epochs_counted_from_1(ax, history):
    assert loss_curve(history, ax=ax) is ax
    training, validation = ax.get_lines()[:2]
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), LOSSES["loss"])
    np.testing.assert_array_equal(validation.get_ydata(), LOSSES["val_loss"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    assert legend(ax) == ["training", "validation", "best: epoch 2"]


def test_lines_differ_in_more_than_colour(ax):
    training, validation = loss_curve(LOSSES, ax=ax).get_lines()[:2]
    assert training.get_linestyle() != validation.get_linestyle()
    assert len(set(MARKERS)) == len(set(COLOURS)) == 7


def test_a_metric_and_a_history_without_validation(ax):
    loss_curve(LOSSES, ax=ax, key="accuracy")
    assert ax.get_ylabel() == "accuracy" and ax.get_legend() is None and len(ax.get_lines()) == 1


def test_no_mark_where_the_last_epoch_is_the_best(ax):
    loss_curve({"loss": [3.0, 2.0], "val_loss": [3.0, 2.5]}, ax=ax)
    assert legend(ax) == ["training", "validation"]


@pytest.mark.parametrize(
    ("last", "scale"), [(0.001, "log"), (0.5, "linear"), (-1.0, "linear"), (np.nan, "linear")]
)
def test_a_loss_that_falls_far_is_drawn_on_a_log_scale(ax, last, scale):
    assert loss_curve({"loss": [1.0, last]}, ax=ax).get_yscale() == scale


@pytest.mark.parametrize(("key", "marked"), [("accuracy", 2), ("loss", 3), ("mine", None)])
def test_the_best_epoch_follows_the_metrics_direction(ax, key, marked):
    values = {key: [1.0, 2.0, 3.0, 4.0], f"val_{key}": [2.0, 3.0, 1.0, 2.0]}
    draw = metric_curve(values, key, ax)
    assert legend(draw)[2:] == ([] if marked is None else [f"best: epoch {marked}"])
    assert legend(metric_curve(values, key, figure(4, 3).subplots(), mode="max"))[2] == "best: epoch 2"


@pytest.mark.parametrize(("freq", "epochs"), [(2, [2, 4]), ([1, 4], [1, 4])])
def test_validation_values_stand_at_the_epochs_they_belong_to(ax, freq, epochs):
    values = {"loss": [4.0, 3.0, 2.0, 1.0], "val_loss": [3.0, 2.0]}
    loss_curve(values, ax=ax, validation_freq=freq)
    np.testing.assert_array_equal(ax.get_lines()[1].get_xdata(), epochs)
    with pytest.raises(ArgumentError, match=r"4 epochs have 4 validation values\. Received: 2"):
        loss_curve(values, ax=ax)


def test_a_continued_training_keeps_its_epochs_numbers(ax):
    later = SimpleNamespace(history=LOSSES, epoch=[10, 11, 12])
    loss_curve(later, ax=ax)
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), [11, 12, 13])
    assert legend(ax)[2] == "best: epoch 12"


def test_metric_curve_draws_the_first_metric_and_needs_one(ax):
    assert metric_curve(LOSSES, ax=ax).get_ylabel() == "accuracy"
    with pytest.raises(ArgumentError, match=r"compile the model with metrics=\[...\]"):
        metric_curve({"loss": [1.0], "val_loss": [1.0]}, ax=ax)
    with pytest.raises(UnknownNameError, match="without validation_data= or validation_split= in fit"):
        loss_curve({"loss": [1.0]}, ax=ax, key="val_loss")
    with pytest.raises(ArgumentError, match="`mode` of loss_curve"):
        loss_curve(LOSSES, ax=ax, mode="best")


def test_what_is_not_a_history_is_refused(ax):
    with pytest.raises(UnknownNameError, match=r"'val_acuracy'.*Did you mean 'accuracy'"):
        loss_curve(LOSSES, ax=ax, key="val_acuracy")
    with pytest.raises(ArgumentError, match="at least one epoch"):
        loss_curve({"loss": []}, ax=ax)
    with pytest.raises(ArgumentError, match="Received: list"):
        loss_curve([1.0, 2.0], ax=ax)


# --------------------------------------------------------------------------- boundary
def boundaries(ax):
    black = [
        c
        for c in ax.collections
        if len(c.get_edgecolor()) and np.allclose(c.get_edgecolor()[0], (0, 0, 0, 1))
    ]
    return [path.vertices for line in black for path in line.get_paths()]


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize(
    "labels", [LABELS, LABELS[:, None], np.eye(2)[LABELS]], ids=["flat", "column", "one-hot"]
)
def test_the_boundary_runs_where_the_model_changes_its_mind(ax, outputs, labels):
    assert decision_boundary(Halves(outputs), POINTS, labels, ax=ax) is ax
    (vertices,) = boundaries(ax)
    np.testing.assert_allclose(vertices[:, 0], 0.25, atol=5e-3)
    assert np.ptp(vertices[:, 1]) > 2
    assert legend(ax) == ["class 0", "class 1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x1", "x2")


def drawn(ax):
    return [c.get_offsets() for c in ax.collections if str(c.get_label()).startswith("class")]


def test_every_point_is_drawn_with_its_class(ax):
    decision_boundary(Halves(), POINTS, LABELS, ax=ax, labels=("width", "height"))
    for label, offsets in enumerate(drawn(ax)):
        np.testing.assert_allclose(np.asarray(offsets), POINTS[np.equal(LABELS, label)])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width", "height")


def test_of_many_points_a_part_is_drawn(ax):
    points = RNG.uniform(-1, 1, size=(10_000, 2))
    decision_boundary(Halves(), points, np.zeros(10_000, int), ax=ax)
    assert sum(len(offsets) for offsets in drawn(ax)) == 3000


def test_three_classes_and_a_model_that_never_changes_its_mind(ax):
    class Thirds:
        def predict(self, X):
            return np.hstack([-X[:, :1] - 0.3, 0 * X[:, :1], X[:, :1] - 0.3])

    decision_boundary(Thirds(), POINTS, np.digitize(POINTS[:, 0], [-0.3, 0.3]), ax=ax)
    assert legend(ax) == ["class 0", "class 1", "class 2"]
    same = SimpleNamespace(predict=lambda X: np.full((len(X), 1), 0.1))
    decision_boundary(same, POINTS, LABELS, ax=figure(4, 3).subplots())


def test_points_that_are_not_in_the_plane_are_refused(ax):
    with pytest.raises(ShapeError, match=r"\(n, 2\). Received: \(5, 3\)"):
        decision_boundary(Halves(), np.zeros((5, 3)), np.zeros(5), ax=ax)
    with pytest.raises(ShapeError, match=r"each of 5 points. Received: 4"):
        decision_boundary(Halves(), np.zeros((5, 2)), np.zeros(4), ax=ax)
    with pytest.raises(ShapeError, match=r"\(0, 2\)"):
        decision_boundary(Halves(), np.zeros((0, 2)), np.zeros(0), ax=ax)


def test_an_estimator_with_names_of_classes_and_a_frame_with_names_of_columns(ax):
    pandas, tree = pytest.importorskip("pandas"), pytest.importorskip("sklearn.tree")
    names = np.array(["left", "right"])[LABELS]
    frame = pandas.DataFrame(POINTS, columns=["width", "height"])
    decision_boundary(tree.DecisionTreeClassifier(max_depth=1).fit(POINTS, names), frame, names, ax=ax)
    assert legend(ax) == ["left", "right"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width", "height")


def test_logits_are_cut_at_zero(ax):
    logits = SimpleNamespace(predict=lambda X: X[:, :1] + 0.4)
    decision_boundary(logits, POINTS, LABELS, ax=ax, cutoff=0.0)
    (vertices,) = boundaries(ax)
    np.testing.assert_allclose(vertices[:, 0], -0.4, atol=1e-5)


@pytest.mark.parametrize("wrong", [np.linspace(0, 1, 200), -LABELS, np.array(["a"] * 200)])
def test_values_that_are_no_classes_are_refused(ax, wrong):
    with pytest.raises(DataError, match="must be class indices from 0, or one-hot rows"):
        decision_boundary(Halves(), POINTS, wrong, ax=ax)


# --------------------------------------------------------------------------- matplotlib
def test_a_figure_is_written_without_display_and_without_pyplot(tmp_path):
    code = f"""
import sys
from fastnn import viz
assert "matplotlib" not in sys.modules
from fastnn.viz.style import figure
drawing = figure(4, 3)
viz.loss_curve({{"loss": [1.0, 0.5]}}, ax=drawing.subplots())
drawing.savefig({str(tmp_path / "f.png")!r})
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_without_axes_pyplot_makes_them():
    matplotlib.use("Agg")
    from matplotlib import pyplot

    try:
        assert loss_curve(LOSSES).figure.number in pyplot.get_fignums()
    finally:
        pyplot.close("all")


@pytest.mark.parametrize("draw", [lambda: loss_curve(LOSSES), lambda: figure(1, 1)], ids=["axes", "figure"])
def test_without_matplotlib_the_extra_is_named(monkeypatch, draw):
    for name in [module for module in sys.modules if module.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"fastnn\[viz\]"):
        draw()
