"""Saving and loading: the same structure, predictions, and training afterwards, to the bit."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from model_helpers import chapter, points, regressor

from fastnn import constraints, initializers, layers, losses, metrics, optimizers, regularizers
from fastnn.callbacks import Callback
from fastnn.errors import ArgumentError, FastnnError, FileFormatError, NotBuiltError, UnknownNameError
from fastnn.io import container
from fastnn.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input, Normalization
from fastnn.models import Model, Sequential, formats, load_model
from fastnn.ops import register_elementwise, unregister_elementwise
from fastnn.random import set_random_seed


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "model.fastnn")


def data(rows=60, columns=3, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns)).astype(np.float32)
    return x, x[:, :1] * 2 + np.sin(x[:, 1:2])


def reload(model, path, **arguments):
    model.save(path)
    return load_model(path, **arguments)


def assert_same_weights(model, other):
    assert [v.path for v in model.variables] == [v.path for v in other.variables]
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        assert one.dtype == two.dtype and one.tobytes() == two.tobytes()


def mixed(dtype="float32", seed=None):
    """A graph with everything that has state of its own: statistics, embeddings, a shared layer, masks."""
    x, city = Input(shape=(3,), name="x"), Input(shape=(1,), dtype="int32", name="city")
    normalization = Normalization(name="normalize")
    normalization.adapt(data()[0])
    shared = Dense(4, "relu", kernel_regularizer=regularizers.L2(0.01), name="shared")
    hidden = Dropout(0.3)(BatchNormalization()(shared(normalization(x))))
    both = layers.Concatenate()([hidden, Flatten()(Embedding(5, 4)(city))])
    outputs = {"y": Dense(1, bias_constraint=constraints.NonNeg())(both), "again": shared(normalization(x))}
    return Model([x, city], outputs, name="mixed", seed=seed, dtype=dtype)


def mixed_data():
    x, y = data()
    rows = [x, (np.arange(len(x)) % 5).astype(np.int32)]
    return rows, {"y": y, "again": np.repeat(y, 4, axis=1)}


# --------------------------------------------------------------------------- the same bits
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_goes_on_as_if_nothing_had_been_saved(path, dtype):
    model, (x, y) = mixed(dtype), mixed_data()
    model.compile(
        optimizers.Nadam(0.01, use_ema=True, gradient_accumulation_steps=3, clipnorm=1.0),
        {"y": losses.Huber(0.5), "again": "mae"}, loss_weights={"y": 2.0, "again": 0.5},
        metrics={"y": ["mae", metrics.MeanSquaredError(name="square")]}, weighted_metrics={"y": "mse"},
    )  # fmt: skip
    model.fit(x, y, epochs=2, batch_size=7, verbose=0)
    copy = reload(model, path)
    assert type(copy) is Model and copy.name == "mixed" and copy.seed == model.seed and copy.dtype == dtype
    assert_same_weights(model, copy)
    for key, values in model.predict(x).items():
        assert values.tobytes() == copy.predict(x)[key].tobytes()
    assert model.evaluate(x, y, return_dict=True) == copy.evaluate(x, y, return_dict=True)
    first, second = (
        m.fit(x, y, epochs=5, initial_epoch=2, batch_size=7, verbose=0).history for m in (model, copy)
    )
    assert first == second
    assert_same_weights(model, copy)


@pytest.mark.parametrize("name", sorted(cls.__name__ for cls in optimizers.OPTIMIZERS))
def test_every_optimizers_state_is_kept(path, name):
    x, y = data()
    model = Sequential([Dense(5, "tanh", input_shape=(3,)), Dense(1)], seed=4)
    model.compile(name.lower(), "mse")
    model.fit(x, y, epochs=2, verbose=0)
    copy = reload(model, path)
    for m in (model, copy):
        m.train_on_batch(x[:9], y[:9])  # another batch size, and a state that is used in between
        m.fit(x, y, epochs=4, initial_epoch=2, verbose=0)
    assert_same_weights(model, copy)
    assert (model._state.step, model._state.epoch) == (copy._state.step, copy._state.epoch)


def test_without_the_optimizer_a_model_must_be_compiled(path):
    x, y = data()
    model = scheduled(3)  # by a function, which no file can hold
    model.fit(x, y, epochs=2, verbose=0)
    model.save(path, include_optimizer=False)
    whole = regressor(3)
    whole.fit(x, y, verbose=0)
    whole.save(path + "2.fastnn")
    for copy, saved in ((load_model(path), model), (load_model(path + "2.fastnn", compile=False), whole)):
        assert_same_weights(copy, saved)
        assert copy._state is None
        with pytest.raises(NotBuiltError, match="compile"):
            copy.fit(x, y)


def test_a_seed_that_was_drawn_is_kept_and_stays_drawn(path):
    model = chapter()
    copy = reload(model, path)
    assert copy.seed == model.seed and copy.get_config()["seed"] is None
    given = reload(chapter(seed=5), path)
    assert given.seed == given.get_config()["seed"] == 5


def test_loading_draws_nothing_and_names_nothing(path):
    model = mixed()
    model.save(path)
    weights = []
    for load in (False, True):
        set_random_seed(11)
        if load:
            load_model(path)
        weights.append(chapter().get_weights()[0])
    np.testing.assert_array_equal(*weights)
    names = [Dense(1).name]
    load_model(path)
    names.append(Dense(1).name)
    numbers = [int(name.removeprefix("dense_")) for name in names]
    assert numbers[1] == numbers[0] + 1


def test_a_model_that_waits_for_its_data(path):
    waiting = Sequential([Normalization(), Dense(3), Dense(1)], seed=1)
    waiting.compile("adam", "mse")
    waiting.layers[0].adapt(data()[0] + 5)
    copy = reload(waiting, path)
    x, y = data()
    histories = [model.fit(x, y, epochs=2, verbose=0).history for model in (waiting, copy)]
    assert histories[0] == histories[1] and not np.isnan(histories[0]["loss"]).any()
    assert_same_weights(waiting, copy)
    assert_same_weights(waiting, reload(waiting, path))


def test_a_model_that_shares_weights_saves_its_own(path):
    x, y = data()
    base = Sequential([Dense(4, "relu", input_shape=(3,), name="base"), Dense(1, name="head")], seed=2)
    base.compile("adam", "mse")
    base.fit(x, y, verbose=0)
    Model(base.input, Dense(2, name="other")(base.layers[0].output))  # moves base's weights elsewhere
    copy = reload(base, path)
    assert len(copy.storage.variables) == 4
    assert_same_weights(base, copy)
    for model in (base, copy):
        model.fit(x, y, epochs=2, initial_epoch=1, verbose=0)
    assert_same_weights(base, copy)


def test_the_learning_rate_and_the_history_are_those_of_the_end(path):
    x, y = data()

    class Halve(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.optimizer.learning_rate *= 0.5
            logs["note"] = "text"

    model = regressor(3)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[Halve()], validation_split=0.2, validation_freq=2)
    copy = reload(model, path)
    assert copy.optimizer.learning_rate == 0.001 / 8
    numbers = {key: values for key, values in model.history.history.items() if key != "note"}
    assert copy.history.history == numbers and copy.history.epoch == [0, 1, 2]
    assert copy.history.seconds == model.history.seconds
    assert reload(copy, path).history.history == numbers


def test_trainable_flags(path):
    model = Sequential([Dense(3, input_shape=(2,), trainable=False), Dense(1)])
    copy = reload(model, path)
    assert [layer.trainable for layer in copy.layers] == [False, True]


# --------------------------------------------------------------------------- what users add
class Twice(layers.Layer):
    """A layer of one's own, with a weight."""

    def __init__(self, units=2, **common):
        super().__init__(**common)
        self.units = units

    config_names = ("units",)

    def build(self, specs):
        self.matrix = self.add_weight("matrix", (specs[0].shape[-1], self.units))

    def call(self, trace, inputs):
        product = trace.emit("dense", [inputs[0], trace.parameter(self.matrix)])
        return trace.emit("add", [product, product])


class Sloped(regularizers.L2):
    """A regularizer of one's own."""


class Mine(losses.MeanSquaredError):
    """A loss of one's own."""


class Network(Sequential):
    """A model class of one's own."""


def largest_error(y_true, y_pred):
    return float(np.abs(y_true - y_pred).max())


def custom(path):
    model = Network([Twice(input_shape=(3,)), Dense(1, kernel_regularizer=Sloped(0.1))], seed=3)
    model.compile("sgd", Mine(), metrics=[largest_error, "mae"])
    model.fit(*data(), verbose=0)
    model.save(path)
    return model


OWN = {thing.__name__: thing for thing in (Twice, Sloped, Mine, Network, largest_error)}


def test_own_classes_come_from_the_caller(path):
    model = custom(path)
    copy = load_model(path, OWN)
    assert type(copy) is Network and type(copy.layers[0]) is Twice and type(copy.loss) is Mine
    assert type(copy.layers[1].kernel_regularizer) is Sloped
    assert_same_weights(model, copy)
    x, y = data()
    assert copy.evaluate(x, y, return_dict=True) == model.evaluate(x, y, return_dict=True)
    for m in (model, copy):
        m.fit(x, y, epochs=2, verbose=0)
    assert_same_weights(model, copy)


@pytest.mark.parametrize("name", OWN)
def test_own_classes_that_are_not_given_are_named(path, name):
    custom(path)
    with pytest.raises(UnknownNameError, match=f"custom_objects with '{name}'"):
        load_model(path, {key: value for key, value in OWN.items() if key != name})


def test_what_was_compiled_is_not_needed_without_compiling(path):
    custom(path)
    load_model(path, {name: OWN[name] for name in ("Twice", "Sloped", "Network")}, compile=False)
    with pytest.raises(UnknownNameError, match="or compile=False"):
        load_model(path, {name: OWN[name] for name in ("Twice", "Sloped", "Network")})


def test_a_class_of_fastnns_name_is_still_ones_own(path):
    class Dense(layers.Dense):
        pass

    model = Sequential([Dense(2, input_shape=(3,))])
    model.save(path)
    with pytest.raises(UnknownNameError, match="'Dense'"):
        load_model(path)
    assert type(load_model(path, {"Dense": Dense}).layers[0]) is Dense
    mixed_up = Sequential([Dense(2, input_shape=(3,)), layers.Dense(1)])
    with pytest.raises(ArgumentError, match="differ in name"):
        mixed_up.save(path)


def test_the_wrong_things_for_own_classes(path):
    custom(path)
    for wrong in ({"Twice": 3}, {"Twice": Dropout}, {"Network": Dense}):
        with pytest.raises(FileFormatError, match="can be made"):
            load_model(path, {**OWN, **wrong})


def test_own_ops_are_registered_beforehand(path):
    register_elementwise("cubed_for_saving", lambda x: x**3, lambda x: 3 * x**2)
    model = Sequential([Dense(2, "cubed_for_saving", input_shape=(3,))])
    copy = reload(model, path)
    assert copy.predict(data()[0]).tobytes() == model.predict(data()[0]).tobytes()
    unregister_elementwise("cubed_for_saving")


# --------------------------------------------------------------------------- what cannot be saved
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sequential([Dense(1, kernel_initializer=np.ones((2, 1)), input_shape=(2,))]), "initializer"),
        (lambda: scheduled(), "learning_rate"),
    ],
)
def test_functions_cannot_be_written_down(path, make, words):
    regressor().save(path)
    before = Path(path).read_bytes()
    with pytest.raises(ArgumentError, match=words):
        make().save(path)
    assert Path(path).read_bytes() == before


def scheduled(inputs=2):
    model = Sequential([Dense(1, input_shape=(inputs,))])
    model.compile(optimizers.SGD(lambda step: 0.1), "mse")
    return model


def test_suffixes_and_overwriting(path, tmp_path):
    model = chapter()
    for call in (model.save, model.save_weights, model.load_weights, load_model):
        for wrong in ("model.pickle", "model", "fastnn"):
            with pytest.raises(ArgumentError, match="suffix"):
                call(tmp_path / wrong)
        with pytest.raises(ArgumentError, match="path"):
            call(3)
    assert not list(tmp_path.iterdir())
    model.save(path, overwrite=False)
    model.save(path)
    for call in (model.save, model.save_weights):
        with pytest.raises(FileExistsError) as caught:
            call(path, overwrite=False)
        assert caught.value.filename == path
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing.fastnn")
    with pytest.raises(ArgumentError, match="include_optimizer"):
        model.save(path, include_optimizer="no")


def test_a_failed_write_leaves_the_old_file_and_a_model_that_trains(path, monkeypatch):
    model, (x, y) = regressor(3), data()
    model.fit(x, y, verbose=0)
    model.save(path)
    old = load_model(path)
    model.fit(x, y, verbose=0)
    twin = load_model(path)
    twin.fit(x, y, verbose=0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space left") as caught:
            model.save(path)
    assert caught.value.filename == path
    assert_same_weights(load_model(path), old)
    for m in (model, twin):
        m.fit(x, y, verbose=0)
    assert_same_weights(model, twin)


# --------------------------------------------------------------------------- weights alone
def test_weights_by_name_and_in_order(path, tmp_path):
    model, other = chapter(), chapter()
    model.save_weights(path)
    other.load_weights(path)
    assert_same_weights(model, other)
    third = Sequential([Dense(3, input_shape=(2,)), Dense(2)])  # the layers' names differ
    third.load_weights(path)
    assert all((a == b).all() for a, b in zip(model.get_weights(), third.get_weights(), strict=True))
    model.compile("adam", "mse")
    model.fit(*points(), verbose=0)
    model.save(tmp_path / "whole.fastnn")
    other.load_weights(tmp_path / "whole.fastnn")
    assert_same_weights(model, other)
    with pytest.raises(FileFormatError, match="weights alone"):
        load_model(path)


def test_weights_that_do_not_fit(path):
    chapter().save_weights(path)
    for wrong in (
        Sequential([Dense(3, input_shape=(2,))]),
        Sequential([Dense(3, input_shape=(2,)), Dense(4)]),
        Sequential([layers.LayerNormalization(input_shape=(2,)), Dense(3), Dense(2, use_bias=False)]),
    ):
        before = wrong.get_weights()
        with pytest.raises(FileFormatError, match="other weights"):
            wrong.load_weights(path)
        assert all((a == b).all() for a, b in zip(before, wrong.get_weights(), strict=True))
    waiting = Sequential([Dense(1)])
    for call in (waiting.save_weights, waiting.load_weights):
        with pytest.raises(NotBuiltError):
            call(path)


def test_of_several_suffixes_the_longest_counts(tmp_path, monkeypatch):
    written = []
    whole = formats.Format(save=lambda model, path, with_optimizer: written.append(("h5", path)))
    weights = formats.Format(save_weights=lambda model, path: written.append(("weights", path)))
    monkeypatch.setattr(formats, "FORMATS", {**formats.FORMATS, ".h5": whole, ".weights.h5": weights})
    model = chapter()
    model.save(tmp_path / "a.H5")
    model.save_weights(tmp_path / "a.weights.h5")
    assert [kind for kind, _ in written] == ["h5", "weights"]
    for call, suffix in ((model.save, ".weights.h5"), (model.save_weights, ".h5"), (load_model, ".h5")):
        with pytest.raises(ArgumentError, match=f"Received: .*a{suffix}"):
            call(tmp_path / f"a{suffix}")


def test_two_weights_of_one_name(path):
    class Pair(layers.Layer):
        def build(self, specs):
            self.both = [self.add_weight("w", (2, 2), initializers.get("ones")) for _ in range(2)]

        def call(self, trace, inputs):
            return trace.emit("dense", [inputs[0], trace.parameter(self.both[0])])

    with pytest.raises(ArgumentError, match="twice"):
        Sequential([Pair(input_shape=(2,))]).save(path)


# --------------------------------------------------------------------------- contents that lie
def rewrite(path, change):
    arrays, content = container.read(path)
    change(arrays, content)
    container.write(path, arrays, content)


def layer_config(content, number):
    return content["config"]["layers"][number]["config"]


LIES = {
    "no kind of model": lambda a, c: c.clear(),
    "class by path": lambda a, c: c.update(class_name="os.system"),
    "layer by path": lambda a, c: c["config"]["layers"][0].update(class_name="os.system"),
    "own is no dict": lambda a, c: c.update(own=["model"]),
    "own holds numbers": lambda a, c: c.update(own={"model": [1], "compile": []}),
    "huge layer": lambda a, c: layer_config(c, 1).update(units=2**31 - 1),
    "huge input": lambda a, c: layer_config(c, 0).update(shape=[2**31 - 1]),
    "other shape": lambda a, c: a.update({"weights/a/kernel": np.zeros((2, 3), np.float32)}),
    "other dtype": lambda a, c: a.update({"weights/a/kernel": np.zeros((3, 2), np.float64)}),
    "weights missing": lambda a, c: a.pop("weights/a/kernel"),
    "weights too many": lambda a, c: a.update({"weights/b/kernel": np.zeros(1, np.float32)}),
    "optimizer by path": lambda a, c: c["compile"]["optimizer"].update(class_name="subprocess.Popen"),
    "loss is a number": lambda a, c: c["compile"].update(loss=3),
    "unknown argument": lambda a, c: c["compile"].update(run_eagerly=True),
    "slots missing": lambda a, c: a.pop("optimizer/momentum/a/bias"),
    "slots of another shape": lambda a, c: a.update({"optimizer/momentum/a/bias": np.zeros(9, np.float32)}),
    "hyper missing": lambda a, c: a.pop("optimizer/hyper"),
    "hyper of another shape": lambda a, c: a.update({"optimizer/hyper": np.zeros((2, 2))}),
    "negative step": lambda a, c: c["training"].update(step=-1),
    "step of text": lambda a, c: c["training"].update(step="1"),
    "seed": lambda a, c: c.update(seed=-1),
    "huge seed": lambda a, c: c.update(seed=2**70),
    "history": lambda a, c: a.pop("history/0"),
    "function metric": lambda a, c: c["compile"].update(
        metrics=[{"class_name": "FunctionMetric", "config": {"fn": "eval"}}]
    ),
    "layer state": lambda a, c: a.update({"layers/a/mean": np.zeros(1)}),
}


@pytest.mark.parametrize("case", LIES)
def test_contents_that_describe_no_model(path, case):
    model = Sequential([Dense(2, input_shape=(3,), name="a")])
    model.compile("adam", "mse")
    model.fit(data()[0], data()[0][:, :2], verbose=0)
    model.save(path)
    rewrite(path, LIES[case])
    with pytest.raises(FastnnError) as caught:
        load_model(path)
    assert type(caught.value) is FileFormatError and path in str(caught.value)
