"""Event files of a training that was cut short and resumed hold every row once."""

from __future__ import annotations

from collections import Counter

import pytest

from fastnn.callbacks import BackupAndRestore

pytest.importorskip("tensorboard", reason="TensorBoard reads the event files")
pytest.importorskip("fastnn.callbacks.tensorboard", reason="the callback TensorBoard writes the event files")


def rows(folder):
    """Return what the files hold: (folder, step, tag) with the value's bytes, times apart."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = Counter()
    for path in sorted(folder.rglob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            if event.HasField("graph_def"):
                found[path.parent.name, event.step, "graph"] += 1
            for value in event.summary.value:
                if not value.tag.startswith("_hparams_"):  # they hold times
                    found[path.parent.name, event.step, value.tag, value.tensor.SerializeToString()] += 1
    return found


@pytest.mark.parametrize("save_freq", ["epoch", 2])
@pytest.mark.parametrize("update_freq", ["epoch", 3])
@pytest.mark.parametrize("at", [3, 8, 13])
def test_every_row_once(at, update_freq, save_freq, tmp_path):
    import numpy as np

    from fastnn.callbacks import Callback, TensorBoard
    from fastnn.layers import Dense, Input
    from fastnn.models import Sequential

    x = np.random.default_rng(0).standard_normal((20, 3))

    class Cut(Callback):
        part_of_training = False
        left = at

        def on_train_batch_end(self, batch, logs=None):
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt

    def train(folder, *callbacks):
        stack = [Input(shape=(3,), name="x"), Dense(4, "relu", name="a"), Dense(1, name="b")]
        model = Sequential(stack, name="net", seed=1)
        model.compile("adam", "mse")
        board = TensorBoard(folder / "logs", histogram_freq=1, update_freq=update_freq)
        model.fit(x, x[:, :1], 4, 3, verbose=0, validation_data=(x, x[:, :1]), callbacks=[board, *callbacks])

    train(tmp_path / "whole")
    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", BackupAndRestore(backup, save_freq), Cut())
    train(tmp_path / "cut", BackupAndRestore(backup, save_freq))
    expected = rows(tmp_path / "whole" / "logs")
    assert rows(tmp_path / "cut" / "logs") == expected
    assert max(expected.values()) == 1
