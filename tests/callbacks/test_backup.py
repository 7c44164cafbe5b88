"""Backups as files: written whole or not at all, deleted at the end, and the one before the latest."""

from __future__ import annotations

import contextlib
import errno
import os

import numpy as np
import pytest

from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.callbacks.backup import LATEST, PREVIOUS, read_backup
from fastnn.errors import ArgumentError, FileFormatError
from fastnn.layers import Dense
from fastnn.models import Sequential

X = np.random.default_rng(0).standard_normal((20, 3))
Y = X[:, :1] - X[:, 1:2]
EPOCHS = 4


class Stop(Exception):
    """An interruption."""


class StopAfter(Callback):
    part_of_training = False

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epochs:
            raise Stop


def net():
    model = Sequential([Dense(4, "relu", input_shape=(3,)), Dense(1)], seed=2)
    model.compile("adam", "mse")
    return model


def train(*callbacks, model=None, epochs=EPOCHS):
    return (model or net()).fit(X, Y, 8, epochs, verbose=0, callbacks=[*callbacks])


@pytest.fixture(scope="module")
def expected():
    return train()


def cut(folder, epochs=2, **arguments):
    """Leave the backup of so many epochs."""
    with pytest.raises(Stop):
        train(BackupAndRestore(folder, **arguments), StopAfter(epochs))


def epoch_of(path):
    return read_backup(path).metadata["content"]["epoch"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backup_dir": ""}, "`backup_dir`"),
        ({"backup_dir": 3}, "`backup_dir`"),
        ({"backup_dir": "a", "save_freq": "batch"}, "must be 'epoch' or a number of batches"),
        ({"backup_dir": "a", "save_freq": 0}, "`save_freq`"),
        ({"backup_dir": "a", "save_freq": 1.5}, "`save_freq`"),
        ({"backup_dir": "a", "double_checkpoint": 1}, "`double_checkpoint`"),
        ({"backup_dir": "a", "delete_checkpoint": None}, "`delete_checkpoint`"),
    ],
)
def test_arguments_are_checked(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        BackupAndRestore(**arguments)


def test_keras_arguments_in_order():
    backup = BackupAndRestore("folder", 3, True, False)
    assert (backup.save_freq, backup.double_checkpoint, backup.delete_checkpoint) == (3, True, False)


class TestLife:
    """When backups are written and deleted."""

    def test_nothing_is_left_of_a_training_that_has_ended(self, tmp_path, expected):
        assert train(BackupAndRestore(tmp_path / "a" / "b")).history == expected.history
        assert os.listdir(tmp_path / "a") == []

    def test_other_files_in_the_folder_stay(self, tmp_path):
        (tmp_path / "notes").write_text("keep")
        train(BackupAndRestore(tmp_path, double_checkpoint=True))
        assert os.listdir(tmp_path) == ["notes"]

    def test_kept_if_asked_for_and_then_there_is_nothing_to_do(self, tmp_path, expected):
        train(BackupAndRestore(tmp_path, delete_checkpoint=False))
        assert epoch_of(tmp_path) == EPOCHS
        model = net()
        history = train(BackupAndRestore(tmp_path, delete_checkpoint=False), model=model)
        assert history.history == expected.history
        assert model._state.epoch == EPOCHS
        assert history.certificate() == expected.certificate()

    def test_one_file_an_epoch(self, tmp_path):
        cut(tmp_path)
        assert os.listdir(tmp_path) == [LATEST]
        assert epoch_of(tmp_path / LATEST) == 2

    def test_the_first_is_written_before_the_first_step(self, tmp_path, expected):
        model = net()
        with pytest.raises(Stop):
            train(BackupAndRestore(tmp_path, 1000), StopAfter(2), model=model)
        assert epoch_of(tmp_path) == 0
        assert train(BackupAndRestore(tmp_path), model=model).certificate() == expected.certificate()

    def test_a_backup_due_with_the_last_batch_waits_for_the_epochs_end(self, tmp_path):
        cut(tmp_path, save_freq=3)
        content = read_backup(tmp_path).metadata["content"]
        assert (content["epoch"], content["position"], content["step"]) == (2, 0, 6)

    def test_a_folder_that_cannot_be_made_costs_no_epoch(self, tmp_path):
        (tmp_path / "file").write_text("")
        model = net()
        with pytest.raises(OSError):
            train(BackupAndRestore(tmp_path / "file"), model=model)
        assert model._state.step == 0


class TestDouble:
    """``double_checkpoint`` keeps the backup before the latest."""

    def test_both_are_there(self, tmp_path):
        cut(tmp_path, 3, double_checkpoint=True)
        assert epoch_of(tmp_path / LATEST) == 3
        assert epoch_of(tmp_path / PREVIOUS) == 2

    @pytest.mark.parametrize("damage", ["cut short", "changed", "empty", "text"])
    def test_a_damaged_latest_falls_back_with_a_warning(self, damage, tmp_path, expected):
        cut(tmp_path, 3, double_checkpoint=True)
        _damage(tmp_path / LATEST, damage)
        with pytest.warns(RuntimeWarning, match=r"The backup before it, previous\.fastnn, is restored"):
            history = train(BackupAndRestore(tmp_path, double_checkpoint=True))
        assert history.history == expected.history
        assert history.certificate() == expected.certificate()
        assert os.listdir(tmp_path.parent).count(tmp_path.name) == 0

    def test_a_damaged_one_never_takes_the_place_of_a_sound_one(self, tmp_path):
        cut(tmp_path, 3, double_checkpoint=True)
        _damage(tmp_path / LATEST, "empty")
        with pytest.warns(RuntimeWarning), pytest.raises(Stop):
            train(BackupAndRestore(tmp_path, double_checkpoint=True), StopAfter(3))
        assert epoch_of(tmp_path / LATEST) == 3
        assert epoch_of(tmp_path / PREVIOUS) == 2

    def test_killed_between_rename_and_write(self, tmp_path, expected):
        cut(tmp_path, 3, double_checkpoint=True)
        (tmp_path / LATEST).unlink()
        assert train(BackupAndRestore(tmp_path)).history == expected.history

    @pytest.mark.parametrize("double", [False, True])
    def test_without_a_sound_one_it_is_an_error(self, double, tmp_path):
        cut(tmp_path, 3, double_checkpoint=double)
        for name in os.listdir(tmp_path):
            _damage(tmp_path / name, "cut short")
        model = net()
        weights = model.get_weights()
        told = pytest.warns(RuntimeWarning) if double else contextlib.nullcontext()
        with told, pytest.raises(FileFormatError):
            train(BackupAndRestore(tmp_path), model=model)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))


def _damage(path, how):
    data = bytearray(path.read_bytes())
    if how == "changed":
        data[len(data) // 2] ^= 4
    path.write_bytes({"cut short": data[:-7], "changed": data, "empty": b"", "text": b"0"}[how])


# --------------------------------------------------------------------------- failing calls
class Failing:
    """Lets the n-th of the calls that write backups fail."""

    def __init__(self, monkeypatch, number):
        self.left, self.failed = number, None
        for name in ("write", "fsync", "replace"):
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name, call):
        def wrapper(*arguments, **named):
            self.left -= 1
            if self.left == 0:
                self.failed = name
                paths = arguments[:1] if name == "replace" else ()
                raise OSError(errno.ENOSPC, "No space left on device", *paths)
            return call(*arguments, **named)

        return wrapper


@pytest.mark.parametrize("double", [False, True])
def test_the_nth_call_fails(double, tmp_path, expected):
    """Whatever fails: an exception, the training's state kept, a whole backup, the same bits afterwards."""
    kinds, number = set(), 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        model = net()
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, number)
            try:
                train(BackupAndRestore(folder, double_checkpoint=double), model=model)
            except OSError as error:
                assert error.errno == errno.ENOSPC
                assert str(folder) in str(error.filename)
        if failing.failed is None:
            break
        kinds.add(failing.failed)
        done = model._state.epoch
        assert done == len(model.history.epoch)
        assert model.history.history.get("loss", []) == expected.history["loss"][:done]
        names = [name for name in os.listdir(folder) if name in (LATEST, PREVIOUS)]
        assert len(names) == len(os.listdir(folder)), "no litter"
        assert names or done == 0  # the very first has failed
        if names:
            assert epoch_of(folder) in (done - 1, done)
        history = train(BackupAndRestore(folder, double_checkpoint=double))
        assert history.certificate() == expected.certificate()
        assert history.history == expected.history
        assert not folder.exists()
    assert kinds == {"write", "fsync", "replace"}
    assert number > 3 * EPOCHS
