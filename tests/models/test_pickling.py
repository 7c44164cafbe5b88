"""Pickle, copy, joblib and cloudpickle of models and what they are made of."""

from __future__ import annotations

import copy
import io
import pickle
import pickletools

import cloudpickle
import joblib
import numpy as np
import pytest
from model_helpers import regressor
from test_saving import OWN, assert_same_weights, custom, data, mixed, mixed_data

from fastnn import constraints, initializers, layers, losses, metrics, optimizers, regularizers
from fastnn.layers import BatchNormalization, Dense, Normalization
from fastnn.models import Sequential


def by_joblib(thing):
    buffer = io.BytesIO()
    joblib.dump(thing, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


WAYS = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "oldest pickle": lambda thing: pickle.loads(pickle.dumps(thing, protocol=2)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "joblib": by_joblib,
    "cloudpickle": lambda thing: pickle.loads(cloudpickle.dumps(thing)),
}
every_way = pytest.mark.parametrize("way", WAYS)


@every_way
def test_models_go_on_training_to_the_same_bits(way):
    model, (x, y) = mixed(), mixed_data()
    model.compile(optimizers.Adagrad(0.1, use_ema=True), "mse", metrics={"y": ["mae"]})
    model.fit(x, y, epochs=2, verbose=0)
    other = WAYS[way](model)
    assert other.get_config() == model.get_config() and other.seed == model.seed
    assert other.history.history == model.history.history
    results = [m.fit(x, y, epochs=4, initial_epoch=2, verbose=0).history for m in (model, other)]
    assert results[0] == results[1]
    assert_same_weights(model, other)


def test_copies_share_nothing():
    model = regressor(3)
    before = model.get_weights()
    other = copy.deepcopy(model)
    other.optimizer.learning_rate = 0.5
    other.fit(*data(), verbose=0)
    assert model.optimizer.learning_rate == 0.001 and model._state is None
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


@every_way
def test_models_that_wait_for_data_and_are_not_compiled(way):
    model = Sequential([Normalization(), Dense(2)], seed=1)
    model.layers[0].adapt(data()[0])
    other = WAYS[way](model)
    assert not other.built
    for m in (model, other):
        m.compile("sgd", "mse")
        m.fit(data()[0], data()[0][:, :2], verbose=0)
    assert_same_weights(model, other)


@every_way
def test_models_with_classes_of_ones_own(way, tmp_path):
    model = custom(str(tmp_path / "model.fastnn"))
    other = WAYS[way](model)
    assert type(other) is OWN["Network"] and type(other.layers[0]) is OWN["Twice"]
    assert other.evaluate(*data(), return_dict=True) == model.evaluate(*data(), return_dict=True)


def test_classes_and_functions_without_a_module():
    class Local(layers.Layer):
        def call(self, trace, inputs):
            return trace.emit("add", [inputs[0], inputs[0]])

    model = Sequential([Local(input_shape=(3,)), Dense(1)])
    model.compile(optimizers.SGD(lambda step: 0.01), "mse", metrics=[lambda y_true, y_pred: 1.0])
    for other in (copy.deepcopy(model), pickle.loads(cloudpickle.dumps(model))):
        assert_same_weights(model, other)
        other.fit(*data(), verbose=0)
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(model)


def test_only_arrays_and_configuration_are_inside():
    model = regressor(3)
    model.fit(*data(), epochs=2, verbose=0)
    text = pickle.dumps(model, protocol=4)
    assert len(text) < 10_000
    strings = [argument for code, argument, _ in pickletools.genops(text) if isinstance(argument, str)]
    modules = {word for word in strings if word.startswith(("fastnn.", "numpy"))}
    kept = {"fastnn.models.saving", "fastnn.models.sequential", "fastnn.optimizers.adam"}
    assert {name for name in modules if name.startswith("fastnn.")} == kept
    assert not {"ctypes", "numba", "llvmlite"} & set(strings)


@every_way
def test_layers(way):
    built = BatchNormalization(name="norm")
    Sequential([Dense(4, input_shape=(3,)), built, Dense(1)])
    built.set_weights([np.arange(4.0) + k for k in range(4)])
    other = WAYS[way](built)
    assert other.get_config() == built.get_config() and other.built
    assert all((a == b).all() for a, b in zip(built.get_weights(), other.get_weights(), strict=True))
    assert len(other.variables[0].storage.variables) == 4  # not the whole network's
    assert Sequential([Dense(4, input_shape=(3,)), other]).built
    fresh = WAYS[way](Dense(3, "relu", kernel_regularizer="l2"))
    assert not fresh.built and fresh.kernel_regularizer.get_config() == {"l2": 0.01}
    adapted = Normalization()
    adapted.adapt([[1.0, 5.0], [3.0, 5.0]])
    assert WAYS[way](adapted).mean.tolist() == [2.0, 5.0]


DESCRIPTIONS = {
    "optimizer": optimizers.AdamW(0.1, clipnorm=2.0),
    "loss": losses.Quantile(0.3),
    "metric": metrics.F1Score(),
    "regularizer": regularizers.L1L2(0.1, 0.2),
    "constraint": constraints.MaxNorm(3.0),
    "initializer": initializers.HeNormal(seed=3),
}


@every_way
@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_descriptions(way, kind):
    thing = DESCRIPTIONS[kind]
    other = WAYS[way](thing)
    assert type(other) is type(thing) and other.get_config() == thing.get_config()


def test_metrics_keep_what_they_have_seen():
    metric = metrics.MeanAbsoluteError()
    metric.update_state([1.0, 2.0], [1.5, 2.0])
    assert pickle.loads(pickle.dumps(metric)).result() == metric.result() == 0.25
