"""The TensorBoard callback, read back with TensorBoard's own readers."""

import copy
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn import Input
from fastnn.callbacks import Callback, CallbackList, LearningRateScheduler, TensorBoard
from fastnn.callbacks.event_file import bars, png, scalar, weight_pixels
from fastnn.callbacks.model_text import graph_def, hyperparameters
from fastnn.errors import ArgumentError, MissingExtraError, NotBuiltError
from fastnn.layers import Add, BatchNormalization, Dense, Dropout, Embedding, Flatten
from fastnn.models import Model, Sequential
from fastnn.optimizers import SGD

tensorboard = pytest.importorskip("tensorboard", reason="tensorboard is not installed")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader  # noqa: E402
from tensorboard.backend.event_processing.plugin_event_accumulator import (  # noqa: E402
    EventAccumulator as ServersAccumulator,
)
from tensorboard.compat.proto import event_pb2  # noqa: E402
from tensorboard.plugins.hparams import metadata as trials  # noqa: E402
from tensorboard.util.tensor_util import make_ndarray  # noqa: E402

ROWS, STEPS = 80, 10
rng = np.random.default_rng(0)
X = rng.standard_normal((ROWS, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)


def network(rate=0.05, **arguments):
    stack = [Dense(6, "relu", input_shape=(4,), name="hidden"), Dropout(0.2, name="drop")]
    model = Sequential([*stack, Dense(1, "sigmoid", name="output")], seed=1, **arguments)
    model.compile(SGD(rate), "binary_crossentropy", metrics=["accuracy"])
    return model


def fit(board, model=None, epochs=3, more=(), **arguments):
    arguments = {"batch_size": 8, "verbose": 0, **arguments}
    return (model or network()).fit(X, Y, epochs=epochs, callbacks=[board, *more], **arguments)


def read(folder):
    """Everything in the event files of a folder, nothing sampled."""
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    return accumulator.Reload()


def rows(folder, tag):
    """Return steps and values of a tag."""
    events = read(folder).Tensors(tag)
    return [event.step for event in events], [make_ndarray(event.tensor_proto) for event in events]


def events(folder):
    """Every event as it stands in the files, in the order TensorBoard reads them."""
    return [e for path in sorted(folder.glob("*tfevents*")) for e in LegacyEventFileLoader(str(path)).Load()]


def shown(folder):
    """Return the epochs that TensorBoard's server shows of a folder."""
    found = ServersAccumulator(str(folder)).Reload()
    return [event.step for event in found.Tensors("epoch_loss")]


def restarts(folder):
    return [e.step for e in events(folder) if e.session_log.status == event_pb2.SessionLog.START]


# ---------------------------------------------------------------------------- scalars
def test_scalars_are_those_of_the_history(tmp_path):
    history = fit(TensorBoard(tmp_path), validation_data=(X, Y)).history
    for folder, prefix in (("train", ""), ("validation", "val_")):
        for key in ("loss", "accuracy"):
            steps, values = rows(tmp_path / folder, f"epoch_{key}")
            assert steps == [0, 1, 2]
            np.testing.assert_array_equal(values, np.float32(history[prefix + key]))
    tags = read(tmp_path / "train").Tags()["tensors"]
    assert sorted(tags) == ["epoch_accuracy", "epoch_learning_rate", "epoch_loss", "model"]
    assert sorted(read(tmp_path / "validation").Tags()["tensors"]) == ["epoch_accuracy", "epoch_loss"]
    metadata = read(tmp_path / "train").SummaryMetadata("epoch_loss")
    assert metadata.plugin_data.plugin_name == "scalars"


def test_without_validation_there_is_no_such_folder(tmp_path):
    fit(TensorBoard(str(tmp_path)))
    assert not (tmp_path / "validation").exists()


def test_learning_rate_is_the_epochs(tmp_path):
    fit(TensorBoard(tmp_path / "callback"), more=[LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))])
    np.testing.assert_allclose(
        rows(tmp_path / "callback/train", "epoch_learning_rate")[1], [0.1, 0.05, 0.1 / 3]
    )
    fit(TensorBoard(tmp_path / "schedule"), network(lambda step: 0.1 / (1 + step)), epochs=2)
    rates = rows(tmp_path / "schedule/train", "epoch_learning_rate")[1]
    np.testing.assert_allclose(rates, [0.1 / (1 + STEPS), 0.1 / (1 + 2 * STEPS)], rtol=1e-6)


def test_batches_are_written_at_their_interval(tmp_path):
    history = fit(TensorBoard(tmp_path, update_freq=4, write_steps_per_second=True), epochs=2)
    steps, values = rows(tmp_path / "train", "batch_loss")
    assert steps == [4, 8, 10, 12, 16, 20]
    np.testing.assert_array_equal([values[2], values[5]], np.float32(history.history["loss"]))
    tags = read(tmp_path / "train").Tags()["tensors"]
    assert {"batch_accuracy", "batch_steps_per_second", "epoch_steps_per_second"} <= set(tags)
    for tag in ("batch_steps_per_second", "epoch_steps_per_second"):
        assert min(rows(tmp_path / "train", tag)[1]) > 0
    fit(TensorBoard(tmp_path / "each", update_freq="batch"), epochs=2)
    assert rows(tmp_path / "each/train", "batch_loss")[0] == list(range(1, 21))


def test_epochs_alone_cost_nothing_a_batch(tmp_path):
    assert not CallbackList([TensorBoard(tmp_path)], None, {}).wants_batches
    assert CallbackList([TensorBoard(tmp_path, update_freq=50)], None, {}).wants_batches


def test_training_is_the_same_with_and_without(tmp_path):
    watched, alone = network(), network()
    fit(TensorBoard(tmp_path, histogram_freq=1, write_images=True, update_freq=3), watched)
    alone.fit(X, Y, epochs=3, batch_size=8, verbose=0)
    for one, other in zip(watched.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_can_be_read_after_each_epoch(tmp_path):
    seen = []

    class Look(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(rows(tmp_path / "train", "epoch_loss")[0])

    fit(TensorBoard(tmp_path), more=[Look()])
    assert seen == [[0], [0, 1], [0, 1, 2]]


def test_numbers_that_float32_cannot_hold():
    assert np.isnan(make_ndarray(scalar("x", float("nan")).tensor))
    assert np.isinf(make_ndarray(scalar("x", 1e300).tensor))


# ---------------------------------------------------------------------------- distributions
def test_histograms_of_weights_and_gradients(tmp_path):
    model = network()
    seen = {}

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen[epoch] = ({v.path: v.numpy() for v in model.variables}, self.model.gradients())

    fit(TensorBoard(tmp_path, histogram_freq=2), model, epochs=4, more=[Keep()])
    for variable in model.variables:
        for number, tag in enumerate(("histogram", "gradient/histogram")):
            steps, tables = rows(tmp_path / "train", f"{variable.path}/{tag}")
            assert steps == [0, 2]
            for epoch, table in zip(steps, tables, strict=True):
                np.testing.assert_array_equal(table, bars(seen[epoch][number][variable.path]))
                assert table[:, 2].sum() == variable.size


def test_gradients_are_those_of_the_step(tmp_path):
    model = network(rate=0.5)
    model.compile(SGD(0.5, clipvalue=0.01), "binary_crossentropy")
    before = model.get_weights()
    found = []

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs=None):
            found.append(self.model.gradients())

    fit(Keep(), model, epochs=1, batch_size=ROWS)
    assert [v.path for v in model.variables] == list(found[0])
    for old, new, gradient in zip(before, model.get_weights(), found[0].values(), strict=True):
        np.testing.assert_allclose(old - 0.5 * gradient, new, rtol=1e-6, atol=1e-7)
        assert np.abs(gradient).max() <= np.float32(0.01) and np.abs(gradient).max() > 0
    with pytest.raises(NotBuiltError, match="while fit"):
        model.gradients()


def test_frozen_variables_have_no_gradient(tmp_path):
    model = Sequential([Dense(3, input_shape=(4,), name="fixed"), BatchNormalization(name="norm"), Dense(1)])
    model.get_layer("fixed").trainable = False
    model.compile("sgd", "mse")
    fit(TensorBoard(tmp_path, histogram_freq=1), model, epochs=1)
    tags = read(tmp_path / "train").Tags()["tensors"]
    assert "fixed/kernel/histogram" in tags and "norm/moving_mean/histogram" in tags
    with_gradient = {tag.split("/gradient")[0] for tag in tags if "gradient" in tag}
    assert with_gradient == {v.path for v in model.trainable_variables}


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200))
def test_bars_count_every_value(values):
    array = np.array([-1e-3, 1e-3, *values])
    table = bars(array)
    assert table[:, 2].sum() == array.size
    assert table[0, 0] == array.min() and table[-1, 1] == array.max()
    np.testing.assert_array_equal(table[1:, 0], table[:-1, 1])
    for left, right, count in table[:-1]:
        assert count == ((array >= left) & (array < right)).sum()


@pytest.mark.parametrize(
    ("values", "filled"),
    {
        "one value": ([3.0, 3.0, 3.0], 1),
        "neighbours": ([1.0, np.nextafter(1.0, 2.0)], 1),
        "subnormal": ([5e-324, 1e-323], 1),
        "enormous": ([-1.7e308, 1.7e308], 2),
        "not finite": ([1.0, 2.0, np.nan, np.inf, -np.inf], 2),
        "nothing": ([], 0),
        "nothing finite": ([np.nan], 0),
    }.values(),
)
def test_bars_of_odd_values(values, filled):
    table = bars(np.array(values))
    finite = np.array(values)[np.isfinite(values)] if values else np.array([])
    assert table.shape == (30, 3) and np.isfinite(table).all()
    assert table[:, 2].sum() == finite.size and (table[:, 2] > 0).sum() == filled
    if filled == 1:
        assert (table[:, :2] == finite.max()).all()
    elif filled == 2:
        assert table[0, 0] == finite.min() and table[-1, 1] == finite.max()


# ---------------------------------------------------------------------------- pictures
def test_weight_images_are_pngs_of_the_weights(tmp_path):
    from PIL import Image

    model = network()
    fit(TensorBoard(tmp_path, write_images=True), model, epochs=2)
    for variable in model.variables:
        steps, values = rows(tmp_path / "train", f"{variable.path}/image")
        assert steps == [0, 1]
        width, height, data = values[-1]
        picture = np.asarray(Image.open(io.BytesIO(data)))
        assert picture.shape == (int(height), int(width), 3)
        np.testing.assert_array_equal(picture, weight_pixels(variable.view()))


def test_images_come_with_the_histograms(tmp_path):
    fit(TensorBoard(tmp_path, write_images=True, histogram_freq=2))
    assert rows(tmp_path / "train", "hidden/kernel/image")[0] == [0, 2]


def test_colours_of_weights():
    pixels = weight_pixels(np.array([[1.0, 0.0, -1.0], [-0.5, 0.5, 0.0]]))
    assert pixels.shape == (2, 3, 3)
    assert pixels[0].tolist() == [[213, 94, 0], [255, 255, 255], [0, 114, 178]]
    assert (weight_pixels(np.zeros((5, 2))) == 255).all() and weight_pixels(np.zeros((5, 2))).shape == (
        2,
        5,
        3,
    )
    assert weight_pixels(np.zeros(7)).shape == (1, 7, 3) and weight_pixels(np.zeros((2, 3, 4))).shape == (
        4,
        6,
        3,
    )
    assert png(pixels).startswith(b"\x89PNG")


# ---------------------------------------------------------------------------- graph, text, trials
def test_the_graph_has_a_scope_for_each_layer(tmp_path):
    fit(TensorBoard(tmp_path), epochs=1)
    graph = read(tmp_path / "train").Graph()
    nodes = {node.name: node for node in graph.node}
    scopes = {name.split("/")[0] for name in nodes if "/" in name}
    assert scopes == {"hidden", "drop", "output"}
    assert nodes["hidden/kernel"].op == "VariableV2"
    (source,) = [node for node in graph.node if node.op == "Placeholder"]
    assert list(nodes["hidden/dense"].input) == [source.name, "hidden/kernel", "hidden/bias"]
    (shape,) = nodes["hidden/kernel"].attr["_output_shapes"].list.shape
    assert [extent.size for extent in shape.dim] == [4, 6]
    (shape,) = nodes["hidden/relu"].attr["_output_shapes"].list.shape
    assert [extent.size for extent in shape.dim] == [-1, 6]
    assert nodes["drop/dropout"].attr["rate"].f == np.float32(0.2)


def test_the_graph_of_a_model_with_branches():
    x, index = Input(shape=(4,), name="x"), Input(shape=(1,), dtype="int32", name="index")
    shared = Dense(4, "tanh", name="shared")
    looked_up = Flatten(name="flat")(Embedding(5, 4, name="table")(index))
    model = Model([x, index], Dense(1, name="end")(Add(name="sum")([shared(x), shared(looked_up), x])))
    graph = graph_def(model)
    nodes = {node.name: node for node in graph.node}
    assert len(nodes) == len(graph.node)
    seen = set()
    for node in graph.node:  # every input is there, and before its reader
        assert {name.split(":")[0] for name in node.input} <= seen, node.name
        seen.add(node.name)
    assert {"shared/dense", "shared/dense_1", "shared/tanh", "shared/tanh_1"} <= set(nodes)
    assert list(nodes["shared/dense_1"].input)[1:] == ["shared/kernel", "shared/bias"]
    assert "x" in {name for node in graph.node if node.name.startswith("sum/") for name in node.input}


def test_no_graph_where_none_is_asked_for(tmp_path):
    fit(TensorBoard(tmp_path, write_graph=False), epochs=1)
    assert not read(tmp_path / "train").Tags()["graph"]


def test_the_text_holds_summary_and_settings(tmp_path):
    fit(TensorBoard(tmp_path), epochs=1)
    (steps, (value,)) = rows(tmp_path / "train", "model")
    found = value.item().decode()
    assert (
        steps == [0] and read(tmp_path / "train").SummaryMetadata("model").plugin_data.plugin_name == "text"
    )
    assert "hidden (Dense)" in found and "Total params: 37" in found and "| learning_rate | 0.05 |" in found


def trial(folder):
    """Return the hyperparameters, and the status the training ended with (None: it has not ended)."""
    found = read(folder)
    content = found.SummaryMetadata(trials.SESSION_START_INFO_TAG).plugin_data.content
    start = trials.parse_session_start_info_plugin_data(content)
    numbers = {k: getattr(v, v.WhichOneof("kind")) for k, v in start.hparams.items()}
    if trials.SESSION_END_INFO_TAG not in found.Tags()["tensors"]:
        return numbers, None
    content = found.SummaryMetadata(trials.SESSION_END_INFO_TAG).plugin_data.content
    return numbers, trials.parse_session_end_info_plugin_data(content).status


def test_hyperparameters(tmp_path):
    fit(TensorBoard(tmp_path, hparams={"fold": 3, "shifted": True, "note": "a|b"}), epochs=2)
    numbers, status = trial(tmp_path)
    assert status == 1  # success
    assert numbers == {
        "optimizer": "SGD", "learning_rate": 0.05, "loss": "binary_crossentropy", "batch_size": 8.0,
        "epochs": 2.0, "parameters": 37.0, "dtype": "float32", "seed": "1", "layer 1 Dense units": 6.0,
        "layer 1 Dense activation": "relu", "layer 2 Dropout rate": 0.2, "layer 3 Dense units": 1.0,
        "layer 3 Dense activation": "sigmoid", "fold": 3.0, "shifted": True, "note": "a|b",
    }  # fmt: skip


def test_hyperparameters_that_are_objects():
    model = Sequential([Dense(2, kernel_regularizer="l2", kernel_initializer="he_normal", input_shape=(3,))])
    model.compile(
        SGD(lambda step: 0.1, momentum=0.9), {"dense": "mse"} if model.layers[0].name == "dense" else "mse"
    )
    found = hyperparameters(model, {})
    assert found["momentum"] == 0.9 and found["learning_rate"] == "function"
    assert found["layer 1 Dense kernel_initializer"].startswith("HeNormal(")
    assert found["layer 1 Dense kernel_regularizer"].startswith("L2(")
    assert "layer 1 Dense bias_initializer" not in found and "mse" in found["loss"]


class Stop(Callback):
    def __init__(self, epoch, error=None):
        super().__init__()
        self.epoch, self.error = epoch, error

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch and self.error:
            raise self.error
        self.model.stop_training = epoch == self.epoch


def test_a_training_that_is_cut_short_is_not_marked_as_finished(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(TensorBoard(tmp_path / "cut"), more=[Stop(1, KeyboardInterrupt())])
    assert trial(tmp_path / "cut")[1] is None
    assert rows(tmp_path / "cut/train", "epoch_loss")[0] == [0, 1]
    fit(TensorBoard(tmp_path / "early"), more=[Stop(1)])
    assert trial(tmp_path / "early")[1] == 1


# ---------------------------------------------------------------------------- going on
class Keeper(Callback):
    """Keeps the board's state, as a backup would, in JSON."""

    def __init__(self, board, epoch, batch=None):
        super().__init__()
        self.board, self.epoch, self.batch = board, epoch, batch
        if batch is not None:
            self.on_train_batch_end = self.keep_batch
        self.now = 0

    def keep_batch(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            self.state = json.dumps(self.board.state_dict())

    def on_epoch_end(self, epoch, logs=None):
        self.now = epoch + 1
        if epoch == self.epoch and self.batch is None:
            self.state = json.dumps(self.board.state_dict())


class Resumed(TensorBoard):
    """Loads a state when a resumed training would."""

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self.load_state_dict(json.loads(self.state))


def interrupted(folder, epoch, batch=None, **arguments):
    """Train until epoch 3 has ended, then go on from a backup taken earlier, at the end of `epoch`."""
    model, board = network(), TensorBoard(folder, **arguments)
    keeper = Keeper(board, epoch, batch)
    with pytest.raises(KeyboardInterrupt):
        fit(board, model, 6, [keeper, Stop(3, KeyboardInterrupt())], validation_data=(X, Y))
    resumed = Resumed(folder, **arguments)
    resumed.state = keeper.state
    return resumed, model


def test_a_resumed_training_leaves_no_duplicates(tmp_path):
    board, model = interrupted(tmp_path, 1, histogram_freq=1, update_freq=5)
    fit(board, model, 6, initial_epoch=2, validation_data=(X, Y))
    for path in (tmp_path / "train", tmp_path / "validation"):
        found = [(value.tag, e.step) for e in events(path) for value in e.summary.value]
        assert len(set(found)) == len(found)
        assert [step for tag, step in found if tag == "epoch_loss"] == list(range(6))
    found = [(value.tag, e.step) for e in events(tmp_path / "train") for value in e.summary.value]
    assert [step for tag, step in found if tag == "hidden/kernel/histogram"] == list(range(6))
    assert [step for tag, step in found if tag == "batch_loss"] == list(range(5, 61, 5))
    assert sum(bool(e.graph_def) for e in events(tmp_path / "train")) == 1
    assert restarts(tmp_path / "train") == [0, 21] and trial(tmp_path)[1] == 1


def test_a_training_anew_takes_the_place_of_the_last(tmp_path):
    fit(TensorBoard(tmp_path), epochs=4)
    fit(TensorBoard(tmp_path), epochs=3)
    assert shown(tmp_path / "train") == [0, 1, 2]


def test_what_a_reader_shows_of_a_resumed_training(tmp_path):
    board, model = interrupted(tmp_path, 2)
    fit(board, model, 6, initial_epoch=3)
    assert restarts(tmp_path / "train") == [0, 3]
    assert rows(tmp_path / "train", "epoch_loss")[0] == shown(tmp_path / "train") == list(range(6))
    assert rows(tmp_path / "train", "model")[0] == [0]


def test_files_younger_than_the_backup_go(tmp_path):
    board, model = interrupted(tmp_path, 0, batch=4, update_freq=5)
    (other,) = (tmp_path / "validation").glob("*tfevents*")
    stranger = other.with_name("events.out.tfevents.1.host.1.abc.v2")
    stranger.write_bytes(b"")
    fit(board, model, 1)  # its first epoch again, from the middle
    assert not other.exists() and stranger.exists()
    assert rows(tmp_path / "train", "epoch_loss")[0] == [0]
    batches = [e.step for e in events(tmp_path / "train") for v in e.summary.value if v.tag == "batch_loss"]
    assert batches[0] == 5 and restarts(tmp_path / "train") == [0, 6]


def test_files_that_have_gone_do_not_keep_a_training_from_going_on(tmp_path):
    board, model = interrupted(tmp_path / "before", 1)
    board.log_dir = str(tmp_path / "after")
    fit(board, model, 6, initial_epoch=2)
    assert rows(tmp_path / "after/train", "epoch_loss")[0] == [2, 3, 4, 5]


def test_a_later_first_epoch_sets_the_mark(tmp_path):
    model = network()
    fit(TensorBoard(tmp_path), model, 4)
    fit(TensorBoard(tmp_path), model, 5, initial_epoch=2)
    assert restarts(tmp_path / "train") == [0, 2]
    assert shown(tmp_path / "train") == [0, 1, 2, 3, 4]
    assert sum(bool(e.graph_def) for e in events(tmp_path / "train")) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"run": "../x"}, {"run": "*"}, {"sizes": {"train": {"a": -1}}}, {"epoch": "1"}, {"other": 1}],
    ids=str,
)
def test_a_state_that_is_none_changes_nothing(tmp_path, wrong):
    board = TensorBoard(tmp_path)
    fit(board, epochs=1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*tfevents*")}
    with pytest.raises(ArgumentError):
        board.load_state_dict({**board.state_dict(), **wrong})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*tfevents*")} == before


def test_a_callback_serves_again_and_copies(tmp_path):
    board = copy.deepcopy(TensorBoard(tmp_path, update_freq=5))
    board.log_dir = str(tmp_path / "one")
    fit(board, epochs=1)
    board.log_dir = str(tmp_path / "two")
    fit(board, epochs=1)
    for name in ("one", "two"):
        assert rows(tmp_path / name / "train", "batch_loss")[0] == [5, 10]
        assert sum(bool(e.graph_def) for e in events(tmp_path / name / "train")) == 1


# ---------------------------------------------------------------------------- arguments
@pytest.mark.parametrize(
    "arguments",
    [
        {"log_dir": ""}, {"log_dir": 3}, {"histogram_freq": -1}, {"histogram_freq": 0.5}, {"write_graph": 1},
        {"update_freq": 0}, {"update_freq": "step"}, {"profile_batch": 2}, {"profile_batch": (2, 4)},
        {"embeddings_freq": 1}, {"embeddings_metadata": "labels.tsv"}, {"hparams": {"a": [1]}},
        {"hparams": {1: 1}}, {"write_images": None}, {"write_steps_per_second": "yes"},
    ],
    ids=str,
)  # fmt: skip
def test_arguments_are_checked(arguments):
    with pytest.raises(ArgumentError, match="Received"):
        TensorBoard(**arguments)


def test_the_log_folder_must_be_one(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ArgumentError, match="a file"):
        TensorBoard(file)


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"fastnn\[tensorboard\]"):
        TensorBoard()


def test_tensorboard_is_imported_when_it_is_needed():
    code = "import sys, fastnn.callbacks as c; c.TensorBoard; sys.exit('tensorboard' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_is_written_before_training(tmp_path):
    TensorBoard(tmp_path / "logs")
    assert not Path(tmp_path / "logs").exists()
