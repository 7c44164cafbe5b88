"""The live plot: in a file, in a notebook, in a window; how often; and what it refuses."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

from fastnn.callbacks import Callback, LivePlot
from fastnn.errors import ArgumentError, MissingExtraError, UnknownNameError
from fastnn.layers import Dense
from fastnn.models import Sequential

matplotlib = pytest.importorskip("matplotlib")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 2))
Y = X.sum(axis=1)


def train(*callbacks, epochs=4, **options):
    model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(
        X, Y, epochs=epochs, validation_split=0.25, verbose=0, callbacks=list(callbacks), **options
    )
    return history


def test_a_file_holds_the_whole_training(tmp_path):
    plot = LivePlot(path=tmp_path / "training.png", interval=0)
    history = train(plot, validation_freq=2)
    assert [path.name for path in tmp_path.iterdir()] == ["training.png"]
    assert (tmp_path / "training.png").read_bytes().startswith(b"\x89PNG")
    loss, mae = plot._figure.axes
    assert (loss.get_ylabel(), mae.get_ylabel()) == ("loss", "mae")
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), history.history["loss"])
    np.testing.assert_array_equal(loss.lines[1].get_xdata(), [2, 4])  # epochs that were validated
    np.testing.assert_array_equal(mae.lines[1].get_ydata(), history.history["val_mae"])


def test_drawing_is_throttled_and_the_end_is_always_drawn(tmp_path):
    plot = LivePlot(keys=["loss"], path=tmp_path / "t.svg", interval=3600)
    train(plot, epochs=50)
    assert plot.drawings == 2  # the first epoch and the last
    (ax,) = plot._figure.axes
    assert len(ax.lines[0].get_ydata()) == 50
    train(plot, epochs=1)
    assert plot.drawings == 1  # begins anew


def test_drawing_keeps_to_its_share_of_the_time(tmp_path, monkeypatch):
    """A drawing of one second allows the next after twenty; the first, slower than others, does not count."""
    plot = LivePlot(path=tmp_path / "t.png", interval=0)
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    plot.on_train_begin()
    monkeypatch.setattr(plot, "_show", lambda: clock.__setitem__(0, clock[0] + 1.0))
    for epoch in range(100):
        plot.on_epoch_end(epoch, {"loss": 1.0})
        clock[0] += 1.0
    assert plot.drawings == 6


def test_a_training_that_fails_is_drawn_to_its_end(tmp_path):
    class Failing(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("stop here")

    plot = LivePlot(path=tmp_path / "t.png", interval=3600)
    with pytest.raises(RuntimeError, match="stop here"):
        train(plot, Failing())
    assert len(plot._figure.axes[0].lines[0].get_ydata()) == 3


def test_in_a_notebook_one_display_is_updated():
    """IPython's own shell; a kernel is what tells a notebook from a terminal."""
    pytest.importorskip("IPython")
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    shell = InteractiveShell.instance()
    shell.kernel = object()
    try:
        plot = LivePlot(interval=0)
        with capture_output() as captured:
            train(plot, epochs=3)
    finally:
        InteractiveShell.clear_instance()
    published = captured.outputs
    assert len(published) == plot.drawings >= 2
    assert all("image/png" in output.data for output in published)
    assert [output.update for output in published] == [False] + [True] * (plot.drawings - 1)
    assert len({output.transient["display_id"] for output in published}) == 1


def test_without_notebook_window_and_path_training_does_not_begin():
    matplotlib.use("Agg")
    with pytest.raises(ArgumentError, match=r"expected a notebook, .* or LivePlot\(path='training.png'\)"):
        train(LivePlot())


def test_a_path_that_cannot_be_written_is_refused_before_training(tmp_path):
    with pytest.raises(UnknownNameError, match="suffix of a figure"):
        train(LivePlot(path=tmp_path / "t.xyz"))
    with pytest.raises(ArgumentError, match="a folder that exists"):
        train(LivePlot(path=tmp_path / "none" / "t.png"))
    with pytest.raises(ArgumentError, match="`interval`"):
        LivePlot(interval=-1)
    with pytest.raises(UnknownNameError, match="Did you mean 'loss'"):
        train(LivePlot(["los"], path=tmp_path / "t.png"))
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    plot = LivePlot(path=tmp_path / "t.png", interval=0)
    train(plot)
    before = (tmp_path / "t.png").read_bytes()

    def refuse(*paths):
        raise OSError("no space")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(OSError, match="no space"):
        train(LivePlot(path=tmp_path / "t.png", interval=0), epochs=9)
    assert (tmp_path / "t.png").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t.png"]


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    for name in [module for module in sys.modules if module.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"fastnn\[viz\]"):
        train(LivePlot(path=tmp_path / "t.png"))
