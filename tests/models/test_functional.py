"""Functional models: graphs, shared layers, several inputs and outputs, their names."""

from __future__ import annotations

import numpy as np
import pytest
from model_helpers import ROWS, chapter, points

from fastnn.errors import ArgumentError, ShapeError
from fastnn.layers import Add, Concatenate, Dense, Embedding, Flatten, Input, Reshape, Softmax
from fastnn.models import Model, Sequential


def two_by_two(**arguments):
    """Return a model of two inputs and two outputs."""
    a, b = Input(shape=(2,), name="a"), Input(shape=(3,), name="b")
    joined = Concatenate()([Dense(4, "tanh", name="left")(a), Dense(4, "tanh", name="right")(b)])
    outputs = [Dense(1, name="price")(joined), Dense(3, "softmax", name="kind")(joined)]
    return Model([a, b], outputs, **arguments)


def data():
    """Return inputs and targets of that model."""
    rng = np.random.default_rng(1)
    x = [rng.standard_normal((ROWS, 2)), rng.standard_normal((ROWS, 3))]
    return x, [x[0].sum(axis=1), x[1].argmax(axis=1)]


LOSSES = {"price": "mse", "kind": "sparse_categorical_crossentropy"}


class TestSeveral:
    @pytest.mark.parametrize("form", ["list", "dict"])
    def test_lists_and_dicts_mean_the_same(self, form):
        x, y = data()
        names = [["a", "b"], ["price", "kind"]]
        losses, metrics = LOSSES, {"price": ["mae"], "kind": ["accuracy"]}
        given_x, given_y = x, y
        if form == "list":
            losses, metrics = list(losses.values()), list(metrics.values())
        else:
            given_x = dict(zip(names[0], x, strict=True))
            given_y = dict(zip(reversed(names[1]), reversed(y), strict=True))
        model = two_by_two(seed=1)
        model.compile("adam", losses, metrics=metrics, loss_weights=[1.0, 0.5])
        history = model.fit(given_x, given_y, epochs=3, batch_size=8, validation_split=0.25, verbose=0)
        keys = ["loss", "price_loss", "kind_loss", "price_mae", "kind_accuracy"]
        assert list(history.history) == [*keys, *(f"val_{key}" for key in keys)]
        assert model.metrics_names == keys
        values = model.evaluate(given_x, given_y, return_dict=True)
        assert list(values) == keys
        assert values["loss"] == pytest.approx(values["price_loss"] + 0.5 * values["kind_loss"], rel=1e-6)
        reference = two_by_two(seed=1)
        reference.compile("adam", LOSSES, loss_weights={"kind": 0.5})
        reference.fit(x, y, epochs=3, batch_size=8, validation_split=0.25, verbose=0)
        for a, b in zip(model.get_weights(), reference.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_predict_returns_what_the_outputs_were_given_as(self):
        x, _ = data()
        listed = two_by_two(seed=1)
        assert [p.shape for p in listed.predict(x)] == [(ROWS, 1), (ROWS, 3)]
        named = Model(
            {"first": listed.inputs[0], "second": listed.inputs[1]},
            {"p": listed.outputs[0], "k": listed.outputs[1]},
        )
        assert (named.input_names, named.output_names) == (["first", "second"], ["p", "k"])
        found = named.predict({"first": x[0], "second": x[1]})
        np.testing.assert_array_equal(found["k"], listed.predict(x)[1])

    def test_an_output_without_a_loss_needs_no_target(self):
        x, y = data()
        model = two_by_two()
        model.compile("sgd", {"price": "mse"}, metrics={"price": "mae"})
        history = model.fit(x, {"price": y[0]}, verbose=0).history
        assert list(history) == ["loss", "price_loss", "price_mae"]
        assert model.metrics_names == list(history)

    def test_weights_for_each_output(self):
        x, y = data()
        model = two_by_two(seed=2)
        model.compile("sgd", LOSSES)
        both = model.evaluate(x, y, sample_weight=[np.full(ROWS, 2.0), None], return_dict=True)
        plain = model.evaluate(x, y, return_dict=True)
        assert both["price_loss"] == pytest.approx(2 * plain["price_loss"], rel=1e-6)
        assert both["kind_loss"] == plain["kind_loss"]
        named = model.evaluate(x, y, sample_weight={"price": np.full(ROWS, 2.0)}, return_dict=True)
        assert named == both
        with pytest.raises(ArgumentError, match="one output"):
            model.fit(x, y, class_weight={0: 1.0}, verbose=0)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"loss": ["mse"]}, "one item for each output"),
            ({"loss": {"prise": "mse"}}, "prise"),
            ({"loss": {"price": None}}, "at least one output"),
            ({"loss": {"price": "mse"}, "metrics": {"kind": "accuracy"}}, "'kind', which has no loss"),
            ({"loss": LOSSES, "loss_weights": {"price": "much"}}, "loss_weights"),
        ],
    )
    def test_losses_that_do_not_fit_the_outputs(self, arguments, words):
        with pytest.raises(ArgumentError, match=words):
            two_by_two().compile("sgd", **arguments)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda x, y: (x[0], y), r"list of 2 arrays.*\['a', 'b'\].*one ndarray"),
            (lambda x, y: ([*x, x[0]], y), "Received: 3"),
            (lambda x, y: ({"a": x[0]}, y), r"missing: \['b'\]"),
            (lambda x, y: ([x[0], x[1][:-1]], y), "equally many rows"),
            (lambda x, y: (x, y[0]), r"y: .*\['price', 'kind'\]"),
            (lambda x, y: (x[::-1], y), r"x\['a'\]: expected shape \(rows, 2\)"),
            (lambda x, y: (x, [y[0], y[1] + 1]), r"y\['kind'\]: .*0 to 2.*1 to 3"),
        ],
    )
    def test_data_that_do_not_fit(self, change, words):
        model = two_by_two()
        model.compile("sgd", LOSSES)
        x, y = data()
        with pytest.raises(ValueError, match=words):
            model.fit(*change(x, y), verbose=0)
        model.fit(x, y, verbose=0)


class TestGraphs:
    def test_a_layer_called_twice_has_one_set_of_weights(self):
        a, b = Input(shape=(2,)), Input(shape=(2,))
        shared = Dense(2, name="shared")
        model = Model([a, b], [shared(a), shared(b)])
        assert model.count_params() == 6
        assert model.output_names == ["shared", "shared_1"]
        x = points()[0]
        first, second = model.predict([x, 2 * x])
        bias = model.get_weights()[1]
        np.testing.assert_allclose(second - bias, 2 * (first - bias), rtol=1e-5, atol=1e-6)
        model.compile("sgd", "mse")
        model.fit([x, x], [x, x], epochs=2, verbose=0)

    def test_gradients_of_shared_layers_add_up(self):
        x, y = points()
        a = Input(shape=(2,))
        shared = Dense(2, use_bias=False)
        doubled = Model(a, Add()([shared(a), shared(a)]), dtype="float64")
        doubled.compile("sgd", "mse")
        kernel = doubled.get_weights()[0]
        doubled.fit(x, y, batch_size=ROWS, verbose=0)
        gradient = 2 * x.T.astype(float) @ (2 * x @ kernel - y) * 2 / y.size
        np.testing.assert_allclose(doubled.get_weights()[0], kernel - 0.01 * gradient, rtol=1e-6)

    def test_skip_connections(self):
        x = Input(shape=(2,))
        hidden = Dense(2, "relu")(x)
        model = Model(x, Dense(1)(Add()([x, hidden])))
        model.compile("adam", "mse")
        loss = model.fit(points()[0], points()[1][:, 0], epochs=5, verbose=0).history["loss"]
        assert loss[-1] < loss[0]

    def test_an_input_learns_that_it_holds_indices(self):
        city, size = Input(shape=(1,), name="city"), Input(shape=(2,), name="size")
        model = Model([city, size], Dense(1)(Concatenate()([Flatten()(Embedding(5, 3)(city)), size])))
        model.compile("adam", "mse")
        x = [np.arange(10) % 5, np.ones((10, 2))]
        model.fit(x, np.arange(10.0), verbose=0)
        np.testing.assert_array_equal(model.predict(x), model.predict([x[0].astype(float), x[1]]))
        for bad in (np.full(10, 5), np.full(10, -1), np.full(10, 0.5)):
            with pytest.raises(ValueError, match=r"x\['city'\]: expected whole numbers"):
                model.predict([bad, x[1]])

    def test_an_input_cannot_be_indices_and_numbers(self):
        x = Input(shape=(1,))
        numbers = Dense(2)(x)
        indices = Flatten()(Embedding(5, 2)(x))
        with pytest.raises(ArgumentError, match=r"Dense layer.*integers"):
            Model(x, Add()([numbers, indices]))
        with pytest.raises(ArgumentError, match=r"Dense layer.*integers"):
            Dense(2)(Input(shape=(2,), dtype="int32"))

    def test_reshape_and_flatten(self):
        x = Input(shape=(2, 3))
        model = Model(x, Flatten()(Dense(4)(Reshape((3, -1))(x))))
        assert model.output_shape == (None, 12)
        assert model.predict(np.ones((5, 2, 3))).shape == (5, 12)

    def test_a_model_called_on_symbols_shares_its_weights(self):
        x, y = points()
        encoder = chapter(seed=1)
        outer = Input(shape=(2,))
        model = Model(outer, Dense(1, name="top")(encoder(outer)))
        assert model.count_params() == 17 + 3
        model.compile("sgd", "mse")
        model.fit(x, y[:, 0], verbose=0)
        np.testing.assert_array_equal(model.get_weights()[0], encoder.get_weights()[0])
        assert Model(encoder.inputs, encoder.layers[0].output).count_params() == 9
        waiting = Sequential([Dense(3)])
        assert waiting(outer).shape == (None, 3)
        with pytest.raises(ShapeError, match=r"\(2,\).*Received: rows of shape \(3,\)"):
            encoder(Input(shape=(3,)))

    def test_the_end_of_a_model_is_a_model(self):
        model = chapter(seed=1)
        x = points()[0]
        middle = Model(model.inputs, model.layers[1].output).predict(x)
        tail = Model(model.layers[1].output, model.outputs)
        assert [layer.name for layer in tail.layers] == ["logistic_input", "output", "softmax"]
        np.testing.assert_allclose(tail.predict(middle), model.predict(x), rtol=1e-5)
        assert tail.weights[0] is model.weights[2]

    def test_float64_weights_stay_float64_in_a_second_model(self):
        model = chapter(dtype="float64")
        hidden = Model(model.inputs, model.layers[0].output)
        assert hidden.dtype == "float64"
        assert hidden.predict(points()[0]).dtype == np.float64
        single = Sequential([Dense(2, input_shape=(2,))])
        with pytest.raises(ArgumentError, match="different dtypes"):
            Model([*model.inputs, *single.inputs], [model.layers[0].output, single.layers[0].output])

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda a, b: Model(a, Dense(1)(b)), "disconnected.*'b'"),
            (lambda a, b: Model([a, a], Dense(1)(a)), "must differ"),
            (lambda a, b: Model([], Dense(1)(a)), "must not be empty"),
            (lambda a, b: Model(np.zeros((2, 2)), a), "symbols"),
            (lambda a, b: Model(a, Dense(1)), "symbols"),
            (lambda a, b: Model(a, Dense(1, name="a")(a)), "'a' twice"),
            (lambda a, b: Dense(1)(np.zeros((2, 2))), "Received: ndarray"),
            (lambda a, b: Dense(1)([a, b]), "takes 1 input"),
        ],
    )
    def test_graphs_that_are_none(self, make, words):
        with pytest.raises(ArgumentError, match=words):
            make(Input(shape=(2,), name="a"), Input(shape=(2,), name="b"))

    def test_an_input_that_no_output_needs(self):
        a, b = Input(shape=(2,), name="a"), Input(shape=(1,), name="b")
        model = Model([a, b], Dense(1)(a))
        model.compile("sgd", "mse")
        x = points()[0]
        model.fit([x, x[:, :1]], x[:, 0], verbose=0)
        assert model.predict([x, x[:, :1]]).shape == (ROWS, 1)

    def test_an_input_that_is_an_output(self):
        a = Input(shape=(2,), name="a")
        x = points()[0]
        np.testing.assert_array_equal(Model(a, [a, Dense(1)(a)]).predict(x)[0], x)

    def test_losses_know_activation_layers(self):
        x = Input(shape=(2,))
        with pytest.raises(ArgumentError, match="one unit"):
            Model(x, Softmax()(Dense(1)(x))).compile("sgd", "mse")
        with pytest.raises(ArgumentError, match="one unit"):
            Model(x, Flatten()(Softmax()(Reshape((1, 1))(Dense(1)(x))))).compile("sgd", "mse")
