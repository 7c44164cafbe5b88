"""Keras' files: those Keras wrote give its outputs, ours are read back to the bit, and others are refused."""

import copy
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import keras_exchange as exchange
import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, metrics, optimizers, schedules
from fastnn.errors import ArgumentError, FileFormatError, MissingExtraError, NotBuiltError
from fastnn.io import keras_archive, keras_config, keras_graph
from fastnn.models import Sequential, load_model

GOLDEN = Path(__file__).with_name("keras_golden")
OUTPUTS = np.load(GOLDEN / "outputs.npz")
#: Of float32; relative to the largest output above 1.
TOLERANCE = 1e-6
each_case = pytest.mark.parametrize("name", exchange.CASES)
WEIGHTS_ONLY = ("normalization", "graph")


def made(name):
    """Return a case made by fastnn, its weights drawn, and inputs for it."""
    model, shapes = {**exchange.CASES, "ours": exchange.ours}[name](fastnn)
    exchange.randomise(model)
    return model, exchange.data(shapes)


def inputs_of(name):
    return exchange.data(exchange.CASES[name](fastnn)[1])


def errors(model, name):
    found = exchange.predict(model, inputs_of(name))
    assert len(found) == sum(key.startswith(f"{name}/") for key in OUTPUTS)
    return [exchange.error(output, OUTPUTS[f"{name}/{k}"]) for k, output in enumerate(found)]


# --------------------------------------------------------------------------- what Keras wrote
@each_case
def test_models_of_keras_give_its_outputs(name):
    model = load_model(GOLDEN / f"{name}.keras")
    assert max(errors(model, name)) <= TOLERANCE
    assert model.dtype == ("float64" if name == "double" else "float32")


@each_case
def test_models_of_keras_are_the_models_described(name):
    theirs, ours = load_model(GOLDEN / f"{name}.keras"), exchange.CASES[name](fastnn)[0]
    classes = [[type(layer).__name__ for layer in model.layers] for model in (theirs, ours)]
    if not isinstance(ours, Sequential):  # Keras has another order
        classes = [sorted(names) for names in classes]
    assert classes[0] == classes[1]


def test_arguments_of_layers_are_those_of_keras():
    theirs, ours = load_model(GOLDEN / "dense.keras"), exchange.dense(fastnn)[0]
    for one, two in zip(theirs.layers, ours.layers, strict=True):
        assert {**one.get_config(), "name": ""} == {**two.get_config(), "name": ""}
    assert [layer.trainable for layer in theirs.layers] == [True, False, True, True]


@pytest.mark.parametrize("name", WEIGHTS_ONLY)
def test_weights_of_keras_give_its_outputs(name):
    model = made(name)[0]
    before = errors(model, name)
    model.load_weights(GOLDEN / f"{name}.weights.h5")
    if name != "normalization":
        assert max(before) > TOLERANCE
    assert max(errors(model, name)) <= TOLERANCE


@each_case
def test_what_keras_compiled_is_compiled(name):
    theirs, ours = load_model(GOLDEN / f"{name}.keras"), exchange.CASES[name](fastnn)[0]
    assert bool(theirs._compile_arguments) == bool(ours._compile_arguments)
    if not ours._compile_arguments:
        return
    assert_same_settings(theirs, ours)
    x = inputs_of(name)
    if len(x) == 1:
        y = (
            np.eye(3, dtype="f4")[[0, 1, 2] * 3]
            if name == "dense"
            else np.ones((9, theirs.output_shape[-1]), "f4")
        )
        assert np.isfinite(theirs.fit(x[0], y, epochs=2, verbose=0).history["loss"]).all()


def assert_same_settings(one, two):
    a, b = one.optimizer.get_config(), two.optimizer.get_config()
    if isinstance(a["learning_rate"], float):  # Keras keeps it in float32
        assert a.pop("learning_rate") == pytest.approx(b.pop("learning_rate"), rel=1e-7)
    a.pop("name"), b.pop("name")
    assert type(one.optimizer) is type(two.optimizer) and a == b
    assert _losses(one) == _losses(two)
    assert one.compiled.loss_weights == two.compiled.loss_weights
    assert one.metrics_names == two.metrics_names
    for kind in ("metrics", "weighted_metrics"):
        assert _metrics(one, kind) == _metrics(two, kind)


def _metrics(model, kind):
    return [
        [(m if m == "accuracy" else type(metrics.get(m)), getattr(m, "name", m)) for m in some]
        for some in getattr(model.compiled, kind)
    ]


def _losses(model):
    """Return the losses without their names, which are not the same in both packages."""
    return [(type(loss), {**loss.get_config(), "name": None}) for loss in model.compiled.losses]


def test_layers_are_in_keras_order():
    """The order names the weights of a file, so a slip would exchange those of equal layers."""
    config = keras_archive.read(GOLDEN / "graph.keras")[0]["config"]
    theirs = [layer["config"]["name"] for layer in config["layers"]]
    shuffled = copy.deepcopy(config)
    random.Random(3).shuffle(shuffled["layers"])
    described = [keras_config.our_layer(layer)[0] for layer in shuffled["layers"]]
    ours = keras_graph.our_functional(shuffled, described, "test")
    assert [described[number]["config"]["name"] for number in keras_graph.keras_order(ours)] == theirs
    assert [described[number]["config"]["name"] for number in range(len(described))] != theirs


# --------------------------------------------------------------------------- what we write
@pytest.mark.parametrize("name", [*exchange.CASES, "ours"])
def test_models_come_back_to_the_bit(name, tmp_path):
    model, x = made(name)
    model.save(tmp_path / "one.keras")
    again = load_model(tmp_path / "one.keras")
    for a, b in zip(exchange.predict(model, x), exchange.predict(again, x), strict=True):
        np.testing.assert_array_equal(a, b)
    if model._compile_arguments:
        assert_same_settings(again, model)
    again.save(tmp_path / "two.keras")
    if isinstance(model, Sequential):  # the same model, the same file; layers of a graph may change places
        assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]
        assert (tmp_path / "one.keras").read_bytes() == (tmp_path / "two.keras").read_bytes()
    model.save_weights(tmp_path / "one.weights.h5")
    other = made(name)[0]
    for variable in other.variables:
        variable.assign(0.0)
    other.load_weights(tmp_path / "one.weights.h5")
    for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
        if name != "graph":  # a Normalization of given statistics has no weights in a file
            np.testing.assert_array_equal(a, b)


def test_shared_and_nested_calls_come_back(tmp_path):
    x = fastnn.Input((3,))
    shared = layers.Dense(3, "tanh")
    y = x
    for _ in range(4):
        y = shared(y)
    z = layers.Add()([y, y, x])
    model = fastnn.Model(x, {"a": z, "b": y}, seed=1)
    model.save(tmp_path / "m.keras")
    again = load_model(tmp_path / "m.keras")
    data = np.ones((2, 3), "f4")
    one, two = model.predict(data), again.predict(data)
    assert again.output_names == ["a", "b"]
    for key in one:
        np.testing.assert_array_equal(one[key], two[key])


def test_a_given_normalization_whose_weights_were_set_is_written_as_it_is(tmp_path):
    model = Sequential(
        [layers.Normalization(mean=1.0, variance=4.0, input_shape=(2,)), layers.Dense(1)], seed=1
    )
    model.layers[0].set_weights([np.array([5.0, 6.0]), np.array([9.0, 4.0])])
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        load_model(tmp_path / "m.keras").predict(np.ones((1, 2))), model.predict(np.ones((1, 2)))
    )


def dense(**options):
    return Sequential([layers.Dense(2, name="d", input_shape=(3,), **options)], name="m")


def compiled(optimizer="sgd", loss="mse", **options):
    model = dense()
    model.compile(optimizer, loss, **options)
    return model


REFUSED_IN_WRITING = {
    "activation": (lambda: dense(activation="gelu_tanh"), r"'d' \(Dense\).*gelu_tanh"),
    "argument": (
        lambda: Sequential([layers.CELU(2.0, name="c", input_shape=(3,))]),
        r"'c' \(CELU\).*alpha=1.0 only.*2.0",
    ),
    "initializer": (
        lambda: dense(kernel_initializer=lambda shape, dtype, rng: np.ones(shape)),
        "cannot hold the initializer",
    ),
    "optimizer": (lambda: compiled("radam"), "optimizer.*no RAdam"),
    "schedule": (lambda: compiled(optimizers.SGD(schedules.OneCycle(0.1, 10))), "optimizer.*no OneCycle"),
    "function": (lambda: compiled(optimizers.SGD(lambda step: 0.1)), "learning_rate"),
    "loss": (lambda: compiled(loss=losses.Quantile([0.1, 0.9])), "loss.*no Quantile"),
    "metric": (lambda: compiled(metrics=["spearman_correlation"]), "metric.*no SpearmanCorrelation"),
}


@pytest.mark.parametrize("case", REFUSED_IN_WRITING)
def test_what_keras_lacks_is_refused(case, tmp_path):
    make, message = REFUSED_IN_WRITING[case]
    with pytest.raises(ArgumentError, match=f"(?s){message}"):
        make().save(tmp_path / "m.keras")
    assert not list(tmp_path.iterdir())


def test_suffixes_and_arguments(tmp_path, monkeypatch):
    model = dense()
    model.save(tmp_path / "m.keras")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "m.keras", overwrite=False)
    with pytest.raises(ArgumentError, match=r"custom_objects.*'Mine'"):
        load_model(tmp_path / "m.keras", custom_objects={"Mine": layers.Dense})
    with pytest.raises(ArgumentError, match=r"suffix.*weights\.h5"):
        model.save_weights(tmp_path / "m.h5")
    with pytest.raises(NotBuiltError):
        Sequential([layers.Dense(2)]).save(tmp_path / "n.keras")
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "none.keras")
    monkeypatch.setitem(sys.modules, "h5py", None)
    for act in (model.save, load_model):
        with pytest.raises(MissingExtraError, match=r"fastnn\[keras\]"):
            act(tmp_path / "m.keras")


# --------------------------------------------------------------------------- contents we lack
def rewritten(tmp_path, name, change):
    """Write a golden file with its configuration changed; returns the path."""
    config, weights = keras_archive.read(GOLDEN / f"{name}.keras")
    change(config)
    keras_archive.write(tmp_path / "m.keras", config, weights)
    return tmp_path / "m.keras"


def layer_config(position, **arguments):
    return lambda config: config["config"]["layers"][position]["config"].update(arguments)


def layer(position, **entries):
    return lambda config: config["config"]["layers"][position].update(entries)


def settings(**entries):
    return lambda config: config["compile_config"].update(entries)


def optimizer(**arguments):
    return lambda config: config["compile_config"]["optimizer"]["config"].update(arguments)


def _class(name, /, **config):
    return {"module": "keras.x", "class_name": name, "config": config, "registered_name": None}


REFUSED = {
    "lambda": ("dense", layer(1, class_name="Lambda"), "'dense.*Lambda.*keras"),
    "own class": ("dense", layer(1, module="my.layers"), "'my.layers'"),
    "registered": ("dense", layer(1, registered_name="mine>Dense"), "cannot be read"),
    "nested model": ("dense", layer(1, class_name="Sequential"), "'Sequential'"),
    "unknown argument": ("dense", layer_config(1, lora_rank=4), r"\(Dense\): `lora_rank`.*4"),
    "quantization": ("dense", layer_config(1, quantization_config={"a": 1}), "`quantization_config`.*None"),
    "activation object": ("dense", layer_config(1, activation=_class("Mine")), "`activation`"),
    "activation name": ("dense", layer_config(1, activation="squareplus"), "squareplus"),
    "initializer": (
        "dense",
        layer_config(1, kernel_initializer=_class("STFT")),
        "`kernel_initializer`.*STFT",
    ),
    "regularizer": ("dense", layer_config(1, bias_regularizer=_class("Orthogonal")), "`bias_regularizer`"),
    "mixed precision": (
        "dense",
        layer_config(1, dtype=_class("DTypePolicy", name="mixed_float16")),
        "float16",
    ),
    "two dtypes": ("dense", layer_config(1, dtype="float64"), "one dtype"),
    "fixed rows": ("dense", layer_config(0, batch_shape=[32, 5]), "`batch_shape`.*32"),
    "free axis": ("dense", layer_config(0, batch_shape=[None, None]), "`batch_shape`"),
    "sparse": ("dense", layer_config(0, sparse=True), "`sparse`"),
    "renorm": ("normalization", layer_config(3, renorm=True), r"\(BatchNormalization\): `renorm`.*False"),
    "invert": ("normalization", layer_config(1, invert=True), "`invert`"),
    "mask_zero": (
        "graph",
        lambda c: [
            a["config"].update(mask_zero=True)
            for a in c["config"]["layers"]
            if a["class_name"] == "Embedding"
        ],
        "`mask_zero`",
    ),
    "huge": ("dense", layer_config(1, units=2**31 - 1), "elements: expected at most"),
    "large": ("dense", layer_config(1, units=2**28), "has weights of shapes"),
    "huge input": ("dense", layer_config(0, batch_shape=[None, 10**12]), "has weights of shapes|elements"),
    "model class": ("dense", lambda c: c.update(class_name="Model2"), "'Model2'"),
    "call with arguments": (
        "graph",
        lambda c: c["config"]["layers"][-1]["inbound_nodes"][0].update(kwargs={"training": True}),
        "more than tensors",
    ),
    "loop": (
        "graph",
        lambda c: [
            a["inbound_nodes"].clear() for a in c["config"]["layers"] if a["class_name"] == "Embedding"
        ],
        "inputs that nothing makes",
    ),
}
REFUSED_SETTINGS = {
    "optimizer": ("dense", settings(optimizer=_class("Muon")), "optimizer.*Muon"),
    "optimizer argument": ("normalization", optimizer(loss_scale_factor=2.0), "loss_scale_factor"),
    "schedule": ("dense", optimizer(learning_rate=_class("Mine")), "`learning_rate`.*Mine"),
    "loss": ("dense", settings(loss=_class("Dice")), "loss.*Dice"),
    "loss name": ("dense", settings(loss="dice"), "dice"),
    "no loss": ("dense", settings(loss=None), "needs a loss"),
    "metric": ("dense", settings(metrics=[_class("MeanIoU")]), "metric.*MeanIoU"),
    "metric argument": ("dense", settings(metrics=[_class("AUC", num_thresholds=5)]), "num_thresholds.*200"),
}  # fmt: skip


@pytest.mark.parametrize("case", [*REFUSED, *REFUSED_SETTINGS])
def test_contents_we_lack_are_refused(case, tmp_path):
    name, change, message = {**REFUSED, **REFUSED_SETTINGS}[case]
    path = rewritten(tmp_path, name, change)
    with pytest.raises(FileFormatError, match=f"(?s){message}") as raised:
        load_model(path)
    assert str(path) in str(raised.value)
    if case in REFUSED_SETTINGS:
        assert "compile=False" in str(raised.value)
        assert max(errors(load_model(path, compile=False), name)) <= TOLERANCE


# --------------------------------------------------------------------------- the real Keras
KERAS = os.environ.get("FASTNN_KERAS_PYTHON")


@pytest.mark.slow
@pytest.mark.skipif(not KERAS, reason="FASTNN_KERAS_PYTHON names no Python with Keras")
def test_live_exchange(tmp_path):
    """Keras opens what we write, and we open what it writes, now."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    recorded, optimizers_of = {}, {}
    for folder in (ours, theirs):
        folder.mkdir()
    for name in (*exchange.CASES, "ours"):
        model, x = made(name)
        model.save(ours / f"{name}.keras")
        model.save_weights(ours / f"{name}.weights.h5")
        optimizers_of[name] = model.optimizer if model._compile_arguments else None
        recorded |= {f"{name}/{k}": output for k, output in enumerate(exchange.predict(model, x))}
    np.savez(ours / "outputs.npz", **recorded)
    script = [KERAS, exchange.__file__]
    checked = subprocess.run([*script, "check", str(ours)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    for name, found in json.loads(checked.stdout.splitlines()[-1]).items():
        assert max(found["errors"]) <= TOLERANCE, (name, found)
        if optimizers_of[name] is None:
            assert found["optimizer"] is None
        else:
            for key, value in optimizers_of[name].get_config().items():
                if key not in ("learning_rate", "name"):
                    assert found["optimizer"][key] == value, (name, key)
        if name == "dense":
            assert found["trainable"] == [True, False, True, True]
    written = subprocess.run([*script, "write", str(theirs)], capture_output=True, text=True, check=False)
    assert written.returncode == 0, written.stderr
    outputs = np.load(theirs / "outputs.npz")
    for name in exchange.CASES:
        for k, output in enumerate(exchange.predict(load_model(theirs / f"{name}.keras"), inputs_of(name))):
            assert exchange.error(output, outputs[f"{name}/{k}"]) <= TOLERANCE, name
