"""Sequential models used as Keras' users are used to."""

from __future__ import annotations

import numpy as np
import pytest
from model_helpers import ROWS, chapter, points, regressor

from fastnn.callbacks import Callback
from fastnn.errors import ArgumentError, NotBuiltError
from fastnn.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input, Reshape
from fastnn.models import Model, Sequential


def test_the_chapters_script_runs_as_it_stands(capsys):
    from fastnn.layers import Activation, Dense
    from fastnn.models import Sequential

    X, Y = points(1000)
    model = Sequential(
        [
            Dense(units=3, input_shape=(2,), name="hidden"),
            Activation("sigmoid", name="logistic"),
            Dense(2, name="output"),
            Activation("softmax", name="softmax"),
        ]
    )
    model.compile(optimizer="rmsprop", loss="binary_crossentropy", metrics=["accuracy"])
    result = model.fit(
        X, Y, epochs=25, validation_split=0.2, batch_size=128, verbose=1, callbacks=[Callback()]
    )
    assert list(result.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert all(len(values) == 25 for values in result.history.values())
    assert result.history["loss"][-1] < result.history["loss"][0]
    assert result.epoch == list(range(25))
    assert result is model.history
    assert "25/25" in capsys.readouterr().err


class TestBuilding:
    def test_waits_for_data(self):
        model = Sequential([Dense(3), Dense(1)])
        model.compile("sgd", "mse")
        assert not model.built
        with pytest.raises(NotBuiltError, match="input_shape"):
            model.count_params()
        model.fit(np.zeros((8, 5)), np.zeros(8), verbose=0)
        assert model.input_shape == (None, 5)
        assert model.count_params() == 5 * 3 + 3 + 3 + 1

    @pytest.mark.parametrize("method", ["predict", "evaluate", "train_on_batch"])
    def test_any_method_that_sees_data_builds(self, method):
        model = Sequential([Dense(1)])
        model.compile("sgd", "mse")
        data = [np.ones((4, 3))] if method == "predict" else [np.ones((4, 3)), np.ones(4)]
        getattr(model, method)(*data)
        assert model.input_shape == (None, 3)

    @pytest.mark.parametrize("shape", [(None, 5), (5,), [5]])
    def test_build(self, shape):
        model = Sequential([Dense(3)])
        model.build(shape)
        assert model.count_params() == 18

    @pytest.mark.parametrize(
        "first",
        [
            [Input(shape=(2,)), Dense(3)],
            [Dense(3, input_shape=(2,))],
            [Dense(3, input_dim=2)],
        ],
        ids=["Input", "input_shape", "input_dim"],
    )
    def test_ways_to_say_the_input_shape(self, first):
        assert Sequential(first).count_params() == 9

    def test_a_shape_that_does_not_fit_leaves_the_model_waiting(self):
        model = Sequential([Reshape((2, 3)), Flatten(), Dense(1)])
        with pytest.raises(ArgumentError.__mro__[1], match="reshape"):
            model.build((5,))
        assert not model.built
        model.build((6,))
        assert model.count_params() == 7

    def test_add_one_by_one_makes_the_same_model(self):
        whole = chapter(seed=5)
        model = Sequential(seed=5)
        for layer in chapter().layers:
            config = layer.get_config()
            model.add(type(layer).from_config(config))
        for a, b in zip(whole.get_weights(), model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_pop_and_add_keep_what_was_learned(self):
        model = chapter(seed=1)
        hidden = model.layers[0].get_weights()
        assert [model.pop().name for _ in range(2)] == ["softmax", "output"]
        assert model.output_shape == (None, 3)
        model.add(Dense(1, name="price"))
        np.testing.assert_array_equal(model.layers[0].get_weights()[0], hidden[0])
        model.compile("sgd", "mse")
        model.fit(points()[0], np.zeros(ROWS), verbose=0)

    def test_pop_to_nothing_and_start_again(self):
        model = Sequential([Dense(1, input_shape=(2,))])
        model.pop()
        assert not model.built
        with pytest.raises(ArgumentError, match="no layers to pop"):
            model.pop()
        model.add(Dense(4))
        assert model.count_params() == 12

    def test_a_layer_that_does_not_fit_is_not_added(self):
        model = Sequential([Dense(2, input_shape=(3,))])
        with pytest.raises(ArgumentError, match="Embedding"):
            model.add(Embedding(5, 2))
        assert len(model.layers) == 1
        model.add(Dense(1))
        assert model.predict(np.zeros((2, 3))).shape == (2, 1)

    def test_losses_are_checked_anew_after_add(self):
        model = Sequential([Dense(3, input_shape=(2,))])
        model.compile("sgd", "mse", metrics=["mae"])
        model.add(Dense(1))
        assert model.metrics_names == ["loss", "mae"]
        model.fit(points()[0], np.zeros(ROWS), verbose=0)

    def test_compile_before_build(self):
        model = Sequential([Dense(2, "softmax")])
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        assert type(model.optimizer).__name__ == "Adam"
        with pytest.raises(NotBuiltError):
            _ = model.metrics_names
        model.fit(*points(), verbose=0)
        assert model.metrics_names == ["loss", "accuracy"]

    def test_embedding_first(self):
        model = Sequential([Embedding(7, 3, input_shape=(2,)), Flatten(), Dense(1)])
        model.compile("adam", "mse")
        index = np.arange(12).reshape(6, 2) % 7
        model.fit(index, np.arange(6.0), epochs=2, verbose=0)
        np.testing.assert_array_equal(model.predict(index), model.predict(index.astype(float)))
        waiting = Sequential([Embedding(7, 3), Flatten(), Dense(1)])
        assert waiting.predict(index).shape == (6, 1)


class TestUsing:
    def test_layers_are_reached_by_name_and_number(self):
        model = chapter()
        assert [layer.name for layer in model.layers] == ["hidden", "logistic", "output", "softmax"]
        assert model.get_layer("output") is model.layers[2] is model.get_layer(index=2)
        with pytest.raises(KeyError, match="Did you mean 'hidden'"):
            model.get_layer("hiden")
        with pytest.raises(ArgumentError, match="4 layers"):
            model.get_layer(index=4)

    def test_weights(self):
        model = chapter(seed=3)
        assert [w.shape for w in model.get_weights()] == [(2, 3), (3,), (3, 2), (2,)]
        assert [v.path for v in model.weights] == [
            "hidden/kernel",
            "hidden/bias",
            "output/kernel",
            "output/bias",
        ]
        other = chapter(seed=4)
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(model.predict(points()[0]), other.predict(points()[0]))
        before = other.get_weights()
        with pytest.raises(ValueError, match=r"output/bias.*\(2,\)"):
            other.set_weights([*(w + 1 for w in before[:3]), np.zeros(3)])
        np.testing.assert_array_equal(other.get_weights()[0], before[0])

    def test_the_same_seed_gives_the_same_bits(self):
        x, y = points()
        results = []
        for _ in range(2):
            model = chapter(seed=8)
            model.compile("rmsprop", "binary_crossentropy")
            results.append((model.fit(x, y, epochs=3, batch_size=7, verbose=0).history, model.get_weights()))
        assert results[0][0] == results[1][0]
        for a, b in zip(results[0][1], results[1][1], strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.array_equal(chapter().get_weights()[0], chapter().get_weights()[0])

    def test_evaluate_predict_and_batches_agree(self):
        x, y = points()
        model = chapter(seed=2, dtype="float64")
        model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
        p = model.predict(x)
        np.testing.assert_allclose(p.sum(axis=1), 1)
        expected = [-np.log((p * y).sum(axis=1)).mean(), (p.argmax(1) == y.argmax(1)).mean()]
        np.testing.assert_allclose(model.evaluate(x, y), expected, rtol=1e-6)
        assert model.evaluate(x, y, return_dict=True) == dict(
            zip(["loss", "accuracy"], model.test_on_batch(x, y), strict=True)
        )
        np.testing.assert_array_equal(model(x), model.predict_on_batch(x))
        result = model.train_on_batch(x, y, return_dict=True)
        np.testing.assert_allclose(list(result.values()), expected, rtol=1e-6)
        assert not np.array_equal(model.predict(x), p)

    def test_steps_take_the_first_rows(self):
        x, y = points()
        model = chapter()
        model.compile("sgd", "mse")
        assert model.predict(x, batch_size=4, steps=3).shape == (12, 2)
        assert model.evaluate(x, y, batch_size=4, steps=3) == model.evaluate(x[:12], y[:12])

    def test_no_rows_give_no_rows(self):
        assert chapter().predict(np.zeros((0, 2))).shape == (0, 2)

    def test_a_batch_larger_than_the_data_is_all_of_them(self):
        x, y = points()
        losses = []
        for size in (ROWS, 10**6):
            model = chapter(seed=1)
            model.compile("sgd", "mse")
            losses.append(model.fit(x, y, batch_size=size, epochs=3, verbose=0).history)
        assert losses[0] == losses[1]

    def test_dtype(self):
        model = chapter(dtype="float64")
        assert model.get_weights()[0].dtype == model.predict(points()[0]).dtype == np.float64


class TestTraining:
    def test_validation_split_takes_the_last_rows(self):
        x, y = points()
        model = regressor()
        model.fit(x, y[:, 0], validation_split=0.25, epochs=2, verbose=0)
        last = model.evaluate(x[30:], y[30:, 0])
        assert model.history.history["val_loss"][-1] == pytest.approx(last, rel=1e-6)

    def test_validation_data_with_weights_and_its_own_frequency(self):
        x, y = points()
        weight = np.linspace(0, 2, ROWS)
        model = regressor(weighted_metrics=["mae"])
        history = model.fit(
            x, y[:, 0], validation_data=(x, y[:, 0], weight), epochs=5, validation_freq=2, verbose=0
        )
        assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"]
        assert [len(history.history[key]) for key in ("loss", "val_loss")] == [5, 2]
        model.fit(
            x, y[:, 0], validation_data=(x, y[:, 0], weight), epochs=5, validation_freq=[1, 5], verbose=0
        )
        values = model.evaluate(x, y[:, 0], sample_weight=weight)
        history = model.history.history
        assert len(history["val_loss"]) == 2
        np.testing.assert_allclose([history["val_loss"][-1], history["val_mae"][-1]], values, rtol=1e-6)

    def test_validation_steps(self):
        x, y = points()
        model = regressor()
        model.fit(
            x, y[:, 0], validation_data=(x, y[:, 0]), validation_steps=2, validation_batch_size=5, verbose=0
        )
        expected = model.evaluate(x[:10], y[:10, 0])
        assert model.history.history["val_loss"][-1] == pytest.approx(expected, rel=1e-6)

    def test_steps_per_epoch_and_initial_epoch(self):
        steps = []

        class Count(Callback):
            def on_train_batch_end(self, batch, logs=None):
                steps.append(batch)

        x, y = points()
        model = regressor()
        history = model.fit(
            x,
            y[:, 0],
            batch_size=4,
            steps_per_epoch=3,
            initial_epoch=2,
            epochs=4,
            verbose=0,
            callbacks=Count(),
        )
        assert history.epoch == [2, 3]
        assert steps == [0, 1, 2] * 2
        assert history.params["steps"] == 3

    def test_no_epochs_are_no_error(self):
        model = regressor()
        assert model.fit(points()[0], np.zeros(ROWS), epochs=0, verbose=0).history == {}

    def test_class_weight_is_a_sample_weight(self):
        x, y = points()
        results = []
        for arguments in (
            {"class_weight": {0: 3.0}},
            {"sample_weight": np.where(y[:, 0] == 1, 3.0, 1.0)},
            {"class_weight": {0: 2.0}, "sample_weight": np.where(y[:, 0] == 1, 1.5, 1.0)},
        ):
            model = chapter(seed=3)
            model.compile("sgd", "categorical_crossentropy")
            model.fit(x, y, epochs=3, verbose=0, **arguments)
            results.append(model.get_weights())
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(a, b)

    def test_frozen_layers_stay(self):
        x, y = points()
        model = chapter(seed=1)
        model.compile("adam", "mse")
        model.fit(x, y, epochs=2, verbose=0)
        model.layers[0].trainable = False
        model.compile("adam", "mse")
        before = model.get_weights()
        model.fit(x, y, epochs=2, verbose=0)
        after = model.get_weights()
        assert [np.array_equal(a, b) for a, b in zip(before, after, strict=True)] == [
            True,
            True,
            False,
            False,
        ]
        assert len(model.trainable_weights) == len(model.non_trainable_weights) == 2

    def test_nothing_to_train_is_said(self):
        x, y = points()
        model = chapter()
        model.trainable = False
        model.compile("adam", "mse")
        with pytest.raises(ArgumentError, match="no trainable variables"):
            model.fit(x, y, verbose=0)
        assert model.evaluate(x, y) > 0
        model.trainable = True
        model.fit(x, y, verbose=0)

    def test_no_variables_at_all(self):
        model = Sequential([Input(shape=(2,)), Flatten()])
        model.compile("sgd", "mse")
        assert model.count_params() == 0
        assert model.get_weights() == []
        x = points()[0]
        np.testing.assert_array_equal(model.predict(x), x)
        assert model.evaluate(x, x) == 0.0
        with pytest.raises(ArgumentError, match="no trainable variables"):
            model.fit(x, x, verbose=0)

    def test_metrics_of_the_same_name_are_told_apart(self):
        x, y = points()
        model = chapter()
        model.compile("sgd", "mse", metrics=["mae", "mae"], weighted_metrics=["mae"])
        assert model.metrics_names == ["loss", "mae", "mae_1", "weighted_mae"]
        history = model.fit(x, y, sample_weight=np.linspace(0, 1, ROWS), verbose=0).history
        assert history["mae"] == history["mae_1"] != history["weighted_mae"]

    def test_values_come_in_the_order_of_the_metrics_whether_summed_or_not(self):
        x, y = points()
        model = regressor(metrics=["pearson", "mae", "r2"])
        keys = ["loss", "pearson", "mae", "r2"]
        history = model.fit(x, y[:, 0], validation_split=0.5, verbose=0).history
        assert list(history) == [*keys, *(f"val_{key}" for key in keys)]
        values = model.evaluate(x, y[:, 0])
        p = model.predict(x)[:, 0].astype(float)
        expected = [np.mean((p - y[:, 0]) ** 2), np.corrcoef(p, y[:, 0])[0, 1], np.mean(np.abs(p - y[:, 0]))]
        np.testing.assert_allclose(values[:3], expected, rtol=1e-5)
        assert model.evaluate(x, y[:, 0], return_dict=True) == dict(zip(keys, values, strict=True))

    def test_layers_that_differ_in_training(self):
        x, y = points()
        model = Sequential([Dense(8, "relu", input_shape=(2,)), BatchNormalization(), Dropout(0.5), Dense(2)])
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(x, y, epochs=3, batch_size=8, verbose=0)
        np.testing.assert_array_equal(model.predict(x), model.predict(x))
        assert len(model.trainable_weights) == 6
        assert len(model.non_trainable_weights) == 2


class TestProgress:
    def test_a_line_an_epoch(self, capsys):
        regressor(metrics=["mae"]).fit(points()[0], np.zeros(ROWS), epochs=2, verbose=2)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 2
        assert lines[0].startswith("Epoch 1/2 - loss: ")
        assert " - mae: " in lines[1]

    @pytest.mark.parametrize("verbose", [0, False])
    def test_silence(self, capsys, verbose):
        regressor().fit(points()[0], np.zeros(ROWS), epochs=2, verbose=verbose)
        captured = capsys.readouterr()
        assert captured.out == captured.err == ""

    def test_auto_writes_lines_where_no_one_watches(self, capsys):
        regressor().fit(points()[0], np.zeros(ROWS))
        assert capsys.readouterr().out.startswith("Epoch 1/1 - loss: ")

    def test_evaluate_prints_only_when_asked(self, capsys):
        model = regressor()
        model.evaluate(points()[0], np.zeros(ROWS))
        model.predict(points()[0])
        assert capsys.readouterr().out == ""
        model.evaluate(points()[0], np.zeros(ROWS), verbose=1)
        assert capsys.readouterr().out.startswith("loss: ")


def test_a_hidden_layer_is_taken_out_of_a_model():
    x, y = points()
    model = chapter(seed=1)
    hidden = Model(inputs=model.inputs, outputs=model.layers[0].output)
    kernel, bias = model.get_weights()[:2]
    np.testing.assert_allclose(hidden.predict(x), x @ kernel + bias, rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(hidden.get_weights()[0], model.get_weights()[0])
