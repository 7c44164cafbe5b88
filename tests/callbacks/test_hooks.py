"""Every hook is called in Keras' order with Keras' arguments, and only those that are asked for."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.callbacks import Callback, CallbackList, History
from fastnn.errors import ArgumentError
from fastnn.layers import Dense
from fastnn.models import Sequential

ROWS = 10
X = np.random.default_rng(0).standard_normal((ROWS, 2))
Y = np.eye(2)[np.arange(ROWS) % 2]

HOOKS = [
    f"on_{what}_{when}"
    for what in ("train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch")
    for when in ("begin", "end")
]


def compiled():
    """Return a model ready to fit."""
    model = Sequential([Dense(2, "softmax", input_shape=(2,))], seed=1)
    model.compile("rmsprop", "categorical_crossentropy", metrics=["accuracy"])
    return model


class Recorder(Callback):
    """Writes down every call: the hook, its numbers, and the keys of its logs."""

    def __init__(self):
        super().__init__()
        self.calls = []


def _hook(name):
    def method(self, *arguments, logs=None):
        *numbers, logs = arguments if logs is None else (*arguments, logs)
        self.calls.append((name, *numbers, sorted(logs)))

    return method


for _name in HOOKS:
    setattr(Recorder, _name, _hook(_name))

VALUES = ["accuracy", "loss"]
ALL_VALUES = ["accuracy", "loss", "val_accuracy", "val_loss"]


def epoch(number):
    """Return what Keras 3 calls in an epoch of two training batches and one of validation."""
    return [
        ("on_epoch_begin", number, []),
        ("on_train_batch_begin", 0, []),
        ("on_train_batch_end", 0, VALUES),
        ("on_train_batch_begin", 1, []),
        ("on_train_batch_end", 1, VALUES),
        ("on_test_begin", []),
        ("on_test_batch_begin", 0, []),
        ("on_test_batch_end", 0, VALUES),
        ("on_test_end", VALUES),
        ("on_epoch_end", number, ALL_VALUES),
    ]


def test_fit_calls_in_keras_order():
    recorder = Recorder()
    compiled().fit(X, Y, epochs=2, batch_size=4, verbose=0, validation_split=0.2, callbacks=[recorder])
    assert recorder.calls == [
        ("on_train_begin", []),
        *epoch(0),
        *epoch(1),
        ("on_train_end", ALL_VALUES),
    ]


def test_evaluate_and_predict_call_in_keras_order():
    recorder = Recorder()
    model = compiled()
    model.evaluate(X, Y, batch_size=6, callbacks=[recorder])
    assert recorder.calls == [
        ("on_test_begin", []),
        ("on_test_batch_begin", 0, []),
        ("on_test_batch_end", 0, VALUES),
        ("on_test_batch_begin", 1, []),
        ("on_test_batch_end", 1, VALUES),
        ("on_test_end", VALUES),
    ]
    recorder.calls.clear()
    model.predict(X, batch_size=6, callbacks=[recorder])
    assert recorder.calls == [
        ("on_predict_begin", []),
        ("on_predict_batch_begin", 0, []),
        ("on_predict_batch_end", 0, ["outputs"]),
        ("on_predict_batch_begin", 1, []),
        ("on_predict_batch_end", 1, ["outputs"]),
        ("on_predict_end", []),
    ]


def test_batches_of_an_evaluation_add_up():
    class Keep(Callback):
        means, outputs = (), ()

        def on_test_batch_end(self, batch, logs=None):
            self.means += (logs["loss"],)

        def on_predict_batch_end(self, batch, logs=None):
            self.outputs += (logs["outputs"].copy(),)

    model, keep = compiled(), Keep()
    values = model.evaluate(X, Y, batch_size=4, callbacks=[keep])
    np.testing.assert_allclose(values, model.evaluate(X, Y), rtol=1e-6)
    expected = [model.evaluate(X[:n], Y[:n])[0] for n in (4, 8, 10)]
    np.testing.assert_allclose(keep.means, expected, rtol=1e-6)
    outputs = model.predict(X, batch_size=4, callbacks=keep)
    np.testing.assert_array_equal(np.concatenate(keep.outputs), outputs)
    np.testing.assert_allclose(outputs, model.predict(X), rtol=1e-6)


def test_values_are_those_of_the_history():
    seen = []

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(dict(logs))

        def on_train_end(self, logs=None):
            seen.append(dict(logs))

    history = compiled().fit(X, Y, epochs=3, validation_split=0.2, verbose=0, callbacks=[Keep()])
    assert [values["val_loss"] for values in seen[:3]] == history.history["val_loss"]
    assert seen[3] == seen[2]
    assert history.params == {"epochs": 3, "steps": 1, "verbose": 0, "batch_size": 8}


def test_what_a_callback_adds_to_the_logs_enters_the_history():
    class Add(Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["twice"] = 2 * epoch

    history = compiled().fit(X, Y, epochs=3, verbose=0, callbacks=[Add()])
    assert history.history["twice"] == [0, 2, 4]


def test_callbacks_know_model_and_parameters_and_come_in_order():
    order = []

    class First(Callback):
        def __init__(self):  # without super().__init__(), as many do
            self.name = "first"

        def on_epoch_end(self, epoch, logs=None):
            order.append((self.name, self.model.name, self.params["epochs"], self.params["steps"]))

    class Second(First):
        def __init__(self):
            self.name = "second"

    model = compiled()
    model.fit(X, Y, epochs=1, batch_size=3, verbose=0, callbacks=[First(), Second()])
    assert order == [("first", model.name, 1, 4), ("second", model.name, 1, 4)]


def test_anything_with_keras_methods_will_do():
    class Foreign:
        epochs = 0

        def set_model(self, model):
            self.model = model

        def set_params(self, params):
            self.params = params

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

    foreign = Foreign()
    compiled().fit(X, Y, epochs=4, verbose=0, callbacks=foreign)
    assert foreign.epochs == 4


def test_stop_training_ends_after_the_epoch():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    model = compiled()
    assert model.fit(X, Y, epochs=50, verbose=0, callbacks=[Stop()]).epoch == [0, 1, 2]
    assert model.fit(X, Y, epochs=2, verbose=0).epoch == [0, 1]


def test_a_stop_that_is_asked_for_while_fit_prepares_is_kept():
    model = compiled()

    class Table:
        def __array__(self, dtype=None, copy=None):
            model.stop_training = True  # another thread, say
            return X

    assert model.fit(Table(), Y, epochs=10**6, verbose=0).epoch == []
    assert model.fit(X, Y, epochs=2, verbose=0).epoch == [0, 1]


def test_a_callback_that_raises_leaves_a_usable_model():
    ended = []

    class Break(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("enough")

        def on_train_end(self, logs=None):
            ended.append(sorted(logs))

    model = compiled()
    with pytest.raises(RuntimeError, match="enough"):
        model.fit(X, Y, epochs=5, verbose=0, callbacks=[Break()])
    assert ended == [VALUES]
    assert model.history.epoch == [0, 1]
    assert model.fit(X, Y, epochs=2, verbose=0).epoch == [0, 1]


class TestCost:
    """Who asks for nothing pays nothing: many epochs, or many steps, run in one compiled call."""

    @pytest.fixture
    def calls(self, monkeypatch):
        """Count the compiled calls, and the epochs that Python was asked about."""
        from fastnn.backends.cpu.executor import Session

        counts = {"runs": 0}
        run = Session.run

        def counted(self, steps, epochs):
            counts["runs"] += 1
            return run(self, steps, epochs)

        monkeypatch.setattr(Session, "run", counted)
        return counts

    @pytest.mark.parametrize("callbacks", [None, [Callback()], [History()]], ids=["none", "idle", "history"])
    def test_idle_callbacks_cost_no_calls(self, calls, callbacks, monkeypatch):
        hooks = []
        call = CallbackList.call
        monkeypatch.setattr(
            CallbackList, "call", lambda self, hook, *a, **k: (hooks.append(hook), call(self, hook, *a, **k))
        )
        history = compiled().fit(X, Y, epochs=300, verbose=0, callbacks=callbacks)
        assert len(history.epoch) == len(history.history["loss"]) == 300
        if callbacks and isinstance(callbacks[0], History):  # it does ask for epochs
            assert callbacks[0].history == history.history
        else:
            assert hooks == ["on_train_begin", "on_train_end"]
            assert calls["runs"] < 60

    def test_epoch_hooks_cost_a_call_an_epoch(self, calls):
        class Epochs(Callback):
            def on_epoch_begin(self, epoch, logs=None):
                pass

        compiled().fit(X, Y, epochs=7, batch_size=2, verbose=0, callbacks=[Epochs()])
        assert calls["runs"] <= 14

    def test_batch_hooks_cost_a_call_a_batch(self, calls):
        class Batches(Callback):
            def on_batch_end(self, batch, logs=None):
                pass

        compiled().fit(X, Y, epochs=3, batch_size=2, verbose=0, callbacks=[Batches()])
        assert calls["runs"] == 15

    @pytest.mark.parametrize(
        ("hook", "wants"),
        [
            (None, set()),
            ("on_train_begin", set()),
            ("on_test_end", set()),
            ("on_epoch_end", {"epochs"}),
            ("on_epoch_begin", {"epochs"}),
            ("on_train_batch_begin", {"epochs", "batches"}),
            ("on_batch_end", {"epochs", "batches"}),
            ("on_test_batch_end", {"test_batches"}),
            ("on_predict_batch_begin", {"predict_batches"}),
        ],
    )
    @pytest.mark.parametrize("way", ["class", "attribute"])
    def test_what_is_overridden_is_wanted(self, hook, wants, way):
        def method(*arguments, **named):
            pass

        callback = type("Own", (Callback,), {hook: method} if hook and way == "class" else {})()
        if hook and way == "attribute":
            setattr(callback, hook, method)
        listed = CallbackList(callback, None, {})
        every = ("epochs", "batches", "test_batches", "predict_batches")
        assert {what for what in every if getattr(listed, f"wants_{what}")} == wants


@pytest.mark.parametrize("given", [Callback, [Callback], "history", [None]])
def test_what_is_no_callback_is_refused(given):
    with pytest.raises(ArgumentError, match="Callback objects"):
        compiled().fit(X, Y, verbose=0, callbacks=given)


def test_a_list_of_callbacks_is_taken_apart():
    history = History()
    listed = CallbackList([history], None, {})
    compiled().fit(X, Y, epochs=2, verbose=0, callbacks=listed)
    assert history.epoch == [0, 1]
