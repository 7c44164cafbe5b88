"""Callbacks that write files: ModelCheckpoint and CSVLogger."""

from __future__ import annotations

import csv
import pickle

import numpy as np
import pytest

from fastnn.callbacks import Callback, CSVLogger, EarlyStopping, ModelCheckpoint, SwapEMAWeights
from fastnn.errors import ArgumentError, UnknownNameError
from fastnn.layers import Dense
from fastnn.models import Sequential, load_model
from fastnn.optimizers import SGD, Adam

RNG = np.random.default_rng(8)
X = RNG.standard_normal((40, 3))
Y = X.sum(axis=1)


class Saving(Sequential):
    """Keeps weights where a file would be written."""

    def __init__(self, *arguments, fails=(), **named):
        super().__init__(*arguments, **named)
        self.files, self.fails = {}, fails

    def save(self, path):
        if len(self.files) in self.fails:
            raise OSError(28, "No space left on device", path)
        self.files[path] = self.get_weights()

    def save_weights(self, path):
        self.save(f"weights: {path}")


def net(optimizer="sgd", **named):
    model = Saving([Dense(1, input_shape=(3,))], seed=4, **named)
    model.compile(optimizer, "mse")
    return model


def fit(model, *callbacks, epochs=4, **named):
    return model.fit(X, Y, epochs=epochs, batch_size=10, verbose=0, callbacks=list(callbacks), **named)


class Script(Callback):
    """Says what the validation gave."""

    def __init__(self, *values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.values[epoch]


# --------------------------------------------------------------------------- checkpoints
def test_names_are_filled_in_and_folders_made(tmp_path):
    model = net()
    path = tmp_path / "deep" / "er" / "{epoch:02d}-{val_loss:.2f}.fastnn"
    history = fit(model, ModelCheckpoint(path), epochs=2, validation_split=0.25)
    first, second = history.history["val_loss"]
    assert list(model.files) == [
        str(tmp_path / "deep" / "er" / f"{number:02d}-{loss:.2f}.fastnn")
        for number, loss in ((1, first), (2, second))
    ]
    assert (tmp_path / "deep" / "er").is_dir()
    np.testing.assert_equal(model.files[list(model.files)[1]], model.get_weights())


def test_only_the_best_is_saved_and_nan_never(tmp_path, capsys):
    model = net()
    checkpoint = ModelCheckpoint("{epoch}.fastnn", save_best_only=True, save_weights_only=True, verbose=1)
    fit(model, Script(np.nan, 0.5, 0.6, 0.4), checkpoint)
    assert list(model.files) == ["weights: 2.fastnn", "weights: 4.fastnn"]
    assert checkpoint.best == 0.4
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Epoch 1: val_loss did not improve from None"
    assert lines[1:3] == [
        "Epoch 2: val_loss improved from None to 0.50000",
        "Epoch 2: saved weights to 2.fastnn",
    ]


def test_the_best_is_kept_between_trainings():
    model, checkpoint = net(), ModelCheckpoint("{epoch}.fastnn", save_best_only=True)
    fit(model, Script(0.3, 0.2), checkpoint, epochs=2)
    fit(model, Script(0.9, 0.8, 0.25, 0.1), checkpoint)
    assert list(model.files) == ["1.fastnn", "2.fastnn", "4.fastnn"]


def test_a_number_of_batches(tmp_path):
    model = net()
    fit(model, ModelCheckpoint("{epoch}-{batch}-{loss:.0f}.fastnn", save_freq=3))
    assert [name.rsplit("-", 1)[0] for name in model.files] == ["1-3", "2-2", "3-1", "3-4", "4-3"]
    alone = net()
    fit(alone, epochs=4)
    np.testing.assert_equal(alone.get_weights(), model.get_weights())


def test_a_checkpoint_goes_on_within_an_epoch():
    """A training that is resumed in an epoch's middle does not begin that epoch again."""
    model, first = net(), ModelCheckpoint("{epoch}-{batch}", save_freq=3)
    fit(model, first, epochs=3)
    assert first.state_dict() == {"best": None, "epoch": 2}
    second = ModelCheckpoint("{epoch}-{batch}", save_freq=3)
    second.set_model(model)
    second.set_params({"steps": 4})
    second.on_train_begin()
    second.load_state_dict(first.state_dict())
    model.files.clear()
    second.on_train_batch_end(3)  # the twelfth step
    assert list(model.files) == ["3-4"]


def test_a_missing_value_is_warned_of_and_the_model_saved():
    model = net()
    with pytest.warns(UserWarning, match="ModelCheckpoint monitors 'val_loss'") as warned:
        fit(model, ModelCheckpoint("{epoch}.fastnn", save_best_only=True))
    assert len(warned) == 1
    assert len(model.files) == 4


@pytest.mark.parametrize("freq", ["epoch", 4])
def test_a_failed_save_raises_and_training_can_go_on(freq):
    model = net(fails=(2,))
    with pytest.raises(OSError, match="No space left"):
        fit(model, ModelCheckpoint("{epoch}.fastnn", save_freq=freq))
    assert list(model.files) == ["1.fastnn", "2.fastnn"]
    assert model.history.epoch == [0, 1, 2]
    model.fails = ()
    fit(model, epochs=7, initial_epoch=3)
    alone = net()
    fit(alone, epochs=7)
    np.testing.assert_equal(alone.get_weights(), model.get_weights())


def test_an_unknown_field_is_named():
    with pytest.raises(UnknownNameError, match=r"expected some of epoch, loss. Received: 'val_los'"):
        fit(net(), ModelCheckpoint("{epoch}-{val_los}.fastnn"))


@pytest.mark.parametrize(
    "arguments",
    [
        {"filepath": ""},
        {"filepath": b"x"},
        {"save_freq": "batch"},
        {"save_freq": 0},
        {"save_freq": True},
        {"save_best_only": "yes"},
        {"save_weights_only": 1},
        {"initial_value_threshold": np.nan},
        {"mode": "best"},
    ],
    ids=str,
)
def test_wrong_arguments_of_checkpoints(arguments):
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        ModelCheckpoint(**{"filepath": "m.fastnn", **arguments})


@pytest.mark.parametrize(
    ("path", "weights_only", "message"),
    [
        ("best.pt", False, r"save knows .*\.fastnn.*Received: '.*best.pt'"),
        ("{epoch:02d}-{loss:.2f}.onnx", False, r"save knows"),
        ("best", False, r"save knows"),
        ("best.safetensors", False, r"save knows"),
        ("best.keras", True, r"save_weights knows .*\.weights\.h5"),
    ],
)
def test_a_suffix_that_is_not_known_is_refused_before_training(tmp_path, path, weights_only, message):
    model = net()
    before = model.get_weights()
    with pytest.raises(ArgumentError, match=message):
        fit(model, ModelCheckpoint(tmp_path / path, save_weights_only=weights_only))
    np.testing.assert_equal(model.get_weights(), before)
    assert model.iterations == 0 and not model.files


def test_a_suffix_from_the_logs_is_known_when_it_is_there():
    model = net()
    fit(model, ModelCheckpoint("m.{epoch}"))
    assert list(model.files) == ["m.1", "m.2", "m.3", "m.4"]


@pytest.mark.parametrize("callbacks", [(), (SwapEMAWeights(swap_on_epoch=True),)], ids=["plain", "swapping"])
@pytest.mark.parametrize("how", ["file", "pickle"])
def test_a_model_saved_with_the_average_in_place_goes_on_with_its_weights(tmp_path, callbacks, how):
    """It predicts with the average, and trains on as if it had never been saved."""

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                self.average = self.model.get_weights()
                self.model.save(tmp_path / "m.fastnn")
                self.pickled = pickle.dumps(self.model)

    def made():
        model = Sequential([Dense(4, "tanh", input_shape=(3,)), Dense(1)], seed=4)
        model.compile(Adam(0.05, use_ema=True, ema_momentum=0.7), "mse")
        return model

    whole, keep = made(), Keep()
    history = fit(whole, SwapEMAWeights(swap_on_epoch=True), keep, epochs=5)
    again = load_model(tmp_path / "m.fastnn") if how == "file" else pickle.loads(keep.pickled)
    np.testing.assert_equal(again.get_weights(), keep.average)
    found = fit(again, *callbacks, initial_epoch=2, epochs=5)
    assert found.history["loss"] == history.history["loss"][2:]
    np.testing.assert_equal(again.get_weights(), whole.get_weights())
    again = load_model(tmp_path / "m.fastnn")
    again.train_on_batch(X[:10], Y[:10])
    assert not again._state.swapped


def test_the_moving_average_is_saved_behind_a_swap():
    model = net(SGD(0.1, use_ema=True, ema_momentum=0.5))
    fit(model, SwapEMAWeights(swap_on_epoch=True), ModelCheckpoint("{epoch}.fastnn"))
    plain = net(SGD(0.1, use_ema=True, ema_momentum=0.5))
    fit(plain)
    np.testing.assert_equal(model.files["4.fastnn"], plain.get_weights())


# --------------------------------------------------------------------------- CSV
def rows(path, separator=","):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file, delimiter=separator))


def test_a_row_an_epoch(tmp_path):
    path = tmp_path / "log.csv"
    history = fit(net(), CSVLogger(path, separator=";"), validation_split=0.25)
    found = rows(path, ";")
    assert found[0] == ["epoch", "loss", "val_loss"]
    assert [[int(row[0]), *map(float, row[1:])] for row in found[1:]] == [
        [epoch, *values]
        for epoch, *values in zip(range(4), history.history["loss"], history.history["val_loss"], strict=True)
    ]


def test_a_row_is_there_when_its_epoch_has_ended(tmp_path):
    path, lengths = tmp_path / "log.csv", []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            lengths.append(len(rows(path)))

    fit(net(), CSVLogger(path), Look(), epochs=3)
    assert lengths == [2, 3, 4]


def test_columns_are_kerass(tmp_path):
    path = tmp_path / "log.csv"
    with pytest.warns(UserWarning, match="val_loss"):
        fit(net(), EarlyStopping(), CSVLogger(path), epochs=2, validation_data=(X, Y), validation_freq=2)
    assert rows(path)[0] == ["epoch", "loss", "val_loss"]
    assert rows(path)[1][2] == "NA"
    assert float(rows(path)[2][2]) > 0


def test_append_and_overwrite(tmp_path):
    path = tmp_path / "log.csv"
    fit(net(), CSVLogger(path), epochs=2)
    fit(net(), CSVLogger(path, append=True), epochs=3)
    assert [row[0] for row in rows(path)] == ["epoch", "0", "1", "0", "1", "2"]
    fit(net(), CSVLogger(path), epochs=1)
    assert [row[0] for row in rows(path)] == ["epoch", "0"]
    fit(net(), CSVLogger(path), epochs=0)
    assert path.read_text() == ""
    fit(net(), CSVLogger(path, append=True), epochs=1)
    assert [row[0] for row in rows(path)] == ["epoch", "0"]


@pytest.mark.parametrize("append", [False, True])
@pytest.mark.parametrize("kept", [0, 2])
def test_a_resumed_training_leaves_no_row_twice(tmp_path, append, kept):
    """Interrupted after four epochs, resumed from a state taken after `kept`."""
    path, whole = tmp_path / "log.csv", tmp_path / "whole.csv"
    states = []
    for file in (path, whole):
        if append:
            file.write_text("epoch,loss,val_loss\r\n7,1.5,NA\r\n", newline="")

    class Snapshot(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == kept:
                states.append(logger.state_dict())

    logger = CSVLogger(path, append=append)
    fit(net(), logger, Snapshot())

    class Resume(Callback):
        def on_train_begin(self, logs=None):
            resumed.load_state_dict(states[0])

    resumed = CSVLogger(path, append=append)
    model = net()
    if kept:
        fit(model, epochs=kept)
    fit(model, resumed, Resume(), epochs=6, initial_epoch=kept)
    fit(net(), CSVLogger(whole, append=append), epochs=6)
    assert path.read_bytes() == whole.read_bytes()


def test_a_resumed_training_whose_file_is_gone_says_so(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    fit(net(), logger, epochs=2)
    state = logger.state_dict()
    path.unlink()
    logger.on_train_begin()
    with pytest.warns(UserWarning, match="lost rows"):
        logger.load_state_dict(state)
    logger.on_epoch_end(2, {"loss": 0.5})
    logger.on_train_end()
    assert rows(path) == [["epoch", "loss", "val_loss"], ["2", "0.5", "NA"]]


def test_arrays_are_one_cell(tmp_path):
    class Add(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs.update(f1=np.array([0.5, 0.25]), note="fine", zero=np.float32(0))

    path = tmp_path / "log.csv"
    fit(net(), Add(), CSVLogger(path), epochs=1)
    found = dict(zip(*rows(path), strict=True))
    assert (found["f1"], found["note"], found["zero"]) == ('"[0.5, 0.25]"', "fine", "0.0")


def test_a_file_that_cannot_be_written_is_refused_before_training(tmp_path):
    model = net()
    before = model.get_weights()
    with pytest.raises(FileNotFoundError):
        fit(model, CSVLogger(tmp_path / "no" / "log.csv"))
    with pytest.raises(IsADirectoryError):
        fit(model, CSVLogger(tmp_path))
    np.testing.assert_equal(model.get_weights(), before)


@pytest.mark.parametrize("arguments", [{"separator": ""}, {"separator": ", "}, {"append": "a"}], ids=str)
def test_wrong_arguments_of_csv(arguments):
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        CSVLogger("log.csv", **arguments)


# --------------------------------------------------------------------------- real files
def real(optimizer="adam"):
    model = Sequential([Dense(4, "tanh", input_shape=(3,)), Dense(1)], seed=4)
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize("freq", ["epoch", 3])
def test_a_checkpoint_is_the_model_of_its_moment(tmp_path, freq):
    kept = []

    class Keep(Callback):
        batch_interval = 0 if freq == "epoch" else freq

        def on_epoch_end(self, epoch, logs=None):
            self.take(freq == "epoch")

        def on_train_batch_end(self, batch, logs=None):
            self.take(len(list(tmp_path.iterdir())) > len(kept))

        def take(self, due):
            if due:
                kept.append(self.model.predict(X))

    path = str(tmp_path / "{epoch}.fastnn") if freq == "epoch" else str(tmp_path / "{epoch}-{batch}.fastnn")
    fit(real(), ModelCheckpoint(path, save_freq=freq), Keep(), epochs=3)
    assert len(kept) == len(list(tmp_path.iterdir())) == (3 if freq == "epoch" else 4)
    for file, predicted in zip(sorted(tmp_path.iterdir()), kept, strict=True):
        np.testing.assert_array_equal(load_model(file).predict(X), predicted)


def test_training_goes_on_from_a_checkpoint(tmp_path):
    path = tmp_path / "last.fastnn"
    fit(real(), ModelCheckpoint(path), epochs=3)
    resumed, whole = load_model(path), real()
    fit(resumed, epochs=5, initial_epoch=3)
    fit(whole, epochs=5)
    np.testing.assert_equal(resumed.get_weights(), whole.get_weights())


def test_weights_alone(tmp_path):
    path, model, other = tmp_path / "best.fastnn", real(), real()
    checkpoint = ModelCheckpoint(path, monitor="loss", save_best_only=True, save_weights_only=True)
    fit(model, checkpoint, epochs=3)
    other.load_weights(path)
    np.testing.assert_equal(other.get_weights(), model.get_weights())


def test_a_file_that_cannot_be_replaced_keeps_the_training(tmp_path):
    path, model, whole = tmp_path / "model.fastnn", real(), real()
    path.mkdir()
    with pytest.raises(OSError, match=r"model\.fastnn"):
        fit(model, ModelCheckpoint(path), epochs=3)
    path.rmdir()
    fit(model, ModelCheckpoint(path), epochs=3, initial_epoch=1)
    fit(whole, epochs=3)
    np.testing.assert_equal(load_model(path).get_weights(), whole.get_weights())
