"""What a hidden layer gives: in Keras' way, a model up to it, and in one call."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import Input
from fastnn.errors import ArgumentError, NotBuiltError, UnknownNameError
from fastnn.layers import Activation, Add, Dense, Dropout, Embedding, Flatten
from fastnn.models import Model, Sequential

X = np.random.default_rng(0).standard_normal((7, 2)).astype(np.float32)


def chapter(**first):
    stack = [
        Dense(3, name="hidden", **first),
        Activation("sigmoid", name="logistic"),
        Dropout(0.5, name="dropped"),
        Dense(2, name="output"),
        Activation("softmax", name="softmax"),
    ]
    return Sequential(stack, seed=0)


@pytest.mark.parametrize("given", ["input_shape", "fit"])
def test_keras_way_to_a_hidden_layer_of_a_sequential(given):
    """``Model(model.inputs, model.get_layer(name).output)`` shares the weights, as they are at each call."""
    model = chapter(**({"input_shape": (2,)} if given == "input_shape" else {}))
    model.compile("adam", "categorical_crossentropy")
    model.fit(X, np.eye(2)[np.arange(7) % 2], epochs=1, verbose=0)
    kernel, bias = model.get_layer("hidden").get_weights()
    expected = X @ kernel + bias
    for inputs in (model.inputs, model.input):
        np.testing.assert_allclose(
            Model(inputs, model.get_layer("hidden").output).predict(X), expected, rtol=1e-5, atol=1e-6
        )
    logistic = Model(model.inputs, model.get_layer(index=1).output)
    np.testing.assert_allclose(logistic.predict(X), 1 / (1 + np.exp(-expected)), rtol=1e-5)
    model.fit(X, np.eye(2)[np.arange(7) % 2], epochs=1, verbose=0)
    after = model.get_layer("hidden").get_weights()
    assert not np.array_equal(after[0], kernel)
    np.testing.assert_allclose(logistic.predict(X), 1 / (1 + np.exp(-(X @ after[0] + after[1]))), rtol=1e-5)


def test_the_short_way_gives_the_same_bits_and_drops_nothing_out():
    model = chapter(input_shape=(2,))
    for name in ("hidden", "logistic", "dropped", "output", "softmax"):
        expected = Model(model.inputs, model.get_layer(name).output).predict(X)
        np.testing.assert_array_equal(model.layer_output(X, name), expected)
    np.testing.assert_array_equal(model.layer_output(X, "dropped"), model.layer_output(X, 1))
    np.testing.assert_array_equal(model.layer_output(X, -1), model.predict(X))


def test_several_inputs_of_which_the_layer_reads_one():
    a, c = Input((2,), name="a"), Input((1,), dtype="int32", name="c")
    hidden = Dense(4, "relu", name="hidden")(a)
    vector = Flatten()(Embedding(5, 4, name="vector")(c))
    model = Model({"a": a, "c": c}, Dense(1)(Add(name="sum")([hidden, vector])))
    data = {"a": X, "c": np.arange(7) % 5}
    kernel, bias = model.get_layer("hidden").get_weights()
    first = np.maximum(X @ kernel + bias, 0)
    table = model.get_layer("vector").get_weights()[0]
    np.testing.assert_allclose(model.layer_output(data, "hidden"), first, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        model.layer_output(data, "sum"), first + table[data["c"]], rtol=1e-5, atol=1e-6
    )


def test_a_layer_that_another_model_called_first():
    """`layer.output` is the symbol of the first call; layer_output asks for this model's."""
    shared = Dense(3, name="shared")
    Model((first := Input((2,))), shared(first))
    x = Input((2,))
    model = Model(x, shared(Dense(2, name="before")(x)))
    np.testing.assert_array_equal(model.layer_output(X, "shared"), model.predict(X))


def test_layers_without_one_output_are_refused():
    model = chapter(input_shape=(2,))
    with pytest.raises(UnknownNameError, match="Did you mean 'hidden'"):
        model.layer_output(X, "hiden")
    with pytest.raises(ArgumentError, match=r"has 5 layers\. Received: index 9"):
        model.layer_output(X, 9)
    with pytest.raises(NotBuiltError, match="is not built"):
        chapter().layer_output(X, "hidden")
    x, twice = Input((2,), name="x"), Dense(2, name="twice")
    functional = Model(x, twice(twice(x)))
    with pytest.raises(ArgumentError, match="'twice', which is called 2 times"):
        functional.layer_output(X, "twice")
    with pytest.raises(ArgumentError, match="'x', which is an input"):
        functional.layer_output(X, "x")


def test_calls_lists_every_call_in_order():
    x, twice = Input((2,), name="x"), Dense(2, name="twice")
    model = Model(x, Activation("relu", name="last")(twice(twice(x))))
    assert [symbol.layer.name for symbol in model.calls] == ["twice", "twice", "last"]
    assert chapter().calls == []
