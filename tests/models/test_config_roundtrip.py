"""Models as plain data, and copies."""

from __future__ import annotations

import json

import numpy as np
import pytest
from model_helpers import chapter, points

from fastnn import layers
from fastnn.errors import ArgumentError, DtypeError, UnknownNameError
from fastnn.layers import Add, Dense, Embedding, Flatten, Input
from fastnn.models import Model, Sequential, clone_model, deserialize, serialize


def branched():
    """Return a graph with a shared layer, two inputs and named outputs."""
    x, city = Input(shape=(3,), name="x"), Input(shape=(1,), name="city")
    shared = Dense(3, "relu", kernel_regularizer="l2", name="shared")
    hidden = Add()([shared(shared(x)), Flatten()(Embedding(4, 3)(city))])
    return Model([x, city], {"y": Dense(1)(hidden), "hidden": hidden}, name="branched", seed=3)


def waiting():
    """Return a model that waits for its data."""
    return Sequential([Dense(3), Dense(1)], name="waiting")


@pytest.mark.parametrize("make", [chapter, branched, waiting])
def test_a_structure_survives_json(make):
    model = make()
    config = serialize(model)
    copy = deserialize(json.loads(json.dumps(config)))
    assert serialize(copy) == config
    assert type(copy) is type(model)
    assert copy.built == model.built
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]


def test_a_copy_computes_the_same_with_the_same_weights():
    model = branched()
    copy = Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    data = [np.random.default_rng(0).standard_normal((9, 3)), np.arange(9) % 4]
    for name, values in model.predict(data).items():
        np.testing.assert_array_equal(copy.predict(data)[name], values)
    copy.set_weights([w + 1 for w in copy.get_weights()])
    assert not np.array_equal(copy.predict(data)["y"], model.predict(data)["y"])


def test_clones_are_drawn_anew_unless_a_seed_was_given():
    model = chapter()
    assert not np.array_equal(clone_model(model).get_weights()[0], model.get_weights()[0])
    model = chapter(seed=4)
    first = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(*points(), verbose=0)
    copy = clone_model(model)
    assert isinstance(copy, Sequential)
    for a, b in zip(copy.get_weights(), first, strict=True):
        np.testing.assert_array_equal(a, b)


def test_layers_of_ones_own():
    class Twice(layers.Layer):
        def call(self, trace, inputs):
            return trace.emit("add", [inputs[0], inputs[0]])

    model = Sequential([Input(shape=(2,)), Twice()])
    np.testing.assert_array_equal(clone_model(model).predict([[1.0, 2.0]]), [[2.0, 4.0]])
    with pytest.raises(UnknownNameError, match="Twice"):
        Sequential.from_config(model.get_config())
    Sequential.from_config(model.get_config(), {"Twice": Twice})


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: deserialize({"class_name": "Sequentiel", "config": {}}), UnknownNameError, "'Sequential'"),
        (lambda: deserialize([]), DtypeError, "class_name"),
        (lambda: serialize(Dense(1)), DtypeError, "Dense"),
        (lambda: Sequential.from_config({}), ArgumentError, "layers"),
        (lambda: Model.from_config({"layers": []}), ArgumentError, "calls"),
        (lambda: Model.from_config(chapter().get_config()), ArgumentError, "config of a Model"),
    ],
)
def test_configs_that_describe_no_model(call, error, words):
    with pytest.raises(error, match=words):
        call()
