"""What callbacks carry from an interrupted training to its continuation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastnn.callbacks import (
    BackupAndRestore,
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    LivePlot,
    ModelCheckpoint,
    ProgbarLogger,
    ReduceLROnPlateau,
    SwapEMAWeights,
    TerminateOnNaN,
    TimeBudget,
    WeightHistory,
)
from fastnn.errors import ArgumentError
from fastnn.layers import Dense
from fastnn.models import Sequential

X = np.random.default_rng(9).standard_normal((20, 2))
Y = X.sum(axis=1)
VALUES = [0.9, 0.5, 0.6, 0.4, 0.45, 0.5, 0.41, 0.42, 0.43, 0.44, 0.3, 0.5]


def net(layers=1, optimizer="sgd"):
    hidden = [Dense(3, "tanh", input_shape=(2,))] if layers > 1 else []
    model = Sequential([*hidden, Dense(1, input_shape=(2,) if not hidden else None)], seed=4)
    model.compile(optimizer, "mse")
    return model


class Script(Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = VALUES[epoch]


def stopping():
    return EarlyStopping(patience=6, restore_best_weights=True)


def plateau():
    return ReduceLROnPlateau(factor=0.5, patience=1, cooldown=2)


def scheduler():
    return LearningRateScheduler(lambda epoch, lr: lr * 0.9)


def checkpoint():
    return ModelCheckpoint("{epoch}", save_best_only=True)


def stored(states):
    """Return states as they come back from a file: what JSON holds, and arrays."""
    arrays = [{k: v for k, v in s["state"].items() if isinstance(v, np.ndarray)} for s in states]
    rest = [{k: v for k, v in s["state"].items() if not isinstance(v, np.ndarray)} for s in states]
    names = [s["class_name"] for s in states]
    read = json.loads(json.dumps(rest))
    return [
        {"class_name": name, "state": {**values, **kept}}
        for name, values, kept in zip(names, read, arrays, strict=True)
    ]


@pytest.mark.parametrize("make", [stopping, plateau, scheduler, checkpoint])
@pytest.mark.parametrize("interrupted", [1, 3, 4, 6, 9])
def test_a_resumed_training_decides_as_one_that_was_never_interrupted(make, interrupted):
    """The first training is cut after some epochs; the second begins with its weights and states."""

    def fit(model, callback, states=None, **named):
        saved = model.saved = []
        model.save = saved.append
        kept = {}

        class Resume(Callback):
            def on_train_begin(self, logs=None):
                if states is not None:
                    listed.load_state_dict(states)

            def on_epoch_end(self, epoch, logs=None):
                if epoch + 1 == interrupted:
                    kept.update(states=stored(listed.state_dict()), weights=self.model.get_weights())

        listed = CallbackList([callback], model, {})
        history = model.fit(X, Y, verbose=0, callbacks=[Script(), callback, Resume()], shuffle=False, **named)
        return (
            history.history,
            model.get_weights(),
            saved,
            kept,
            callback.best if hasattr(callback, "best") else None,
        )

    history, weights, saved, kept, best = fit(net(2), make(), epochs=len(VALUES))
    model = net(2)
    model.set_weights(kept["weights"])
    again, same, resaved, _, rebest = fit(
        model, make(), kept["states"], epochs=len(VALUES), initial_epoch=interrupted
    )
    for key, values in history.items():
        assert again[key] == values[interrupted:], key
    np.testing.assert_equal(same, weights)
    assert resaved == [name for name in saved if int(name) > interrupted]
    assert rebest == best


def test_states_are_of_json_and_arrays_for_every_callback(tmp_path):
    callbacks = [
        stopping(), plateau(), checkpoint(), CSVLogger(tmp_path / "log.csv"), TerminateOnNaN(),
        LambdaCallback(), SwapEMAWeights(), ProgbarLogger(), History(), TimeBudget(3), Callback(),
    ]  # fmt: skip
    model = net()
    listed = CallbackList(callbacks, model, {"epochs": 3, "steps": 1, "verbose": 0})
    listed.state_dict()
    listed.callbacks[0].best_weights = model.get_weights()
    states = listed.state_dict()
    assert [state["class_name"] for state in states] == [
        type(callback).__name__ for callback in callbacks if callback.part_of_training
    ]
    assert isinstance(states[0]["state"]["best_weights"], np.ndarray)
    (tmp_path / "log.csv").touch()
    listed.load_state_dict(stored(states))
    np.testing.assert_equal(listed.callbacks[0].best_weights, model.get_weights())


def test_custom_callbacks_name_what_they_carry():
    class Count(Callback):
        state_attributes = ("epochs",)
        epochs = 0

        def on_train_begin(self, logs=None):
            self.epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

    count = Count()
    net().fit(X, Y, epochs=3, verbose=0, callbacks=[count])
    assert count.state_dict() == {"epochs": 3}
    other = Count()
    other.load_state_dict({"epochs": 3})
    assert other.epochs == 3


@pytest.mark.parametrize(
    "make",
    [Callback, stopping, plateau, scheduler, checkpoint, lambda: CSVLogger("x"), lambda: TimeBudget(1)],
)
@pytest.mark.parametrize("change", [{"surplus": 1}, None])
def test_a_state_of_other_keys_is_refused(make, change):
    callback = make()
    callback.set_model(net())
    state = callback.state_dict()
    if change is None and state:
        state.popitem()
    else:
        state["surplus"] = 1
    with pytest.raises(ArgumentError, match=f"The state of {type(callback).__name__} must have the keys"):
        callback.load_state_dict(state)


def test_states_of_other_callbacks_are_refused():
    model = net()
    states = CallbackList([stopping(), Callback()], model, {}).state_dict()
    for others in ([Callback(), stopping()], [stopping()], []):
        with pytest.raises(ArgumentError, match="The states are of other callbacks"):
            CallbackList(others, model, {}).load_state_dict(states)


def test_best_weights_of_another_model_are_refused():
    callback = stopping()
    callback.set_model(net())
    state = {**callback.state_dict(), "best_weights": np.zeros(99)}
    with pytest.raises(ArgumentError, match=r"another model: expected 3 numbers. Received: 99"):
        callback.load_state_dict(state)


def test_the_bar_that_fit_adds_has_no_part_in_the_states():
    listed = CallbackList([Callback()], None, {})
    listed.add(ProgbarLogger())
    assert [type(callback).__name__ for callback in listed.callbacks] == ["Callback", "ProgbarLogger"]
    assert [state["class_name"] for state in listed.state_dict()] == ["Callback"]
    listed.load_state_dict(listed.state_dict())


def test_foreign_callbacks_have_no_state():
    class Foreign:
        def set_model(self, model):
            pass

        def set_params(self, params):
            pass

    listed = CallbackList(Foreign(), None, {})
    assert listed.state_dict() == [{"class_name": "Foreign", "state": {}}]
    listed.load_state_dict(listed.state_dict())


@pytest.mark.parametrize("interrupted", [1, 3, 4])
def test_a_resumed_training_continues_records(tmp_path, interrupted):
    pytest.importorskip("matplotlib")

    def fit(folder, **options):
        record, plot = WeightHistory(every=2), LivePlot(path=tmp_path / "training.png", interval=3600)
        backup = BackupAndRestore(tmp_path / folder, delete_checkpoint=False)
        given = [backup, record, plot]
        history = net().fit(X, Y, verbose=0, batch_size=10, **{"epochs": 5, "callbacks": given, **options})
        return record, plot, history

    def cut(epoch, logs):
        if epoch == interrupted:
            raise OSError("power cut")

    record, plot, history = fit("whole")
    assert record.epochs == [0, 2, 4, 5]
    again = BackupAndRestore(tmp_path / "cut", delete_checkpoint=False)
    broken = [again, WeightHistory(every=2), LivePlot(path=tmp_path / "cut.png", interval=3600)]
    with pytest.raises(OSError, match="power cut"):
        fit("cut", callbacks=[*broken, LambdaCallback(on_epoch_end=cut)])
    resumed = [again, WeightHistory(every=2), LivePlot(path=tmp_path / "cut.png", interval=3600)]
    *_, found = fit("cut", callbacks=[*resumed, LambdaCallback()])
    assert found.history == history.history
    assert resumed[1].epochs == record.epochs
    np.testing.assert_equal(list(resumed[1].weights.values()), list(record.weights.values()))
    assert resumed[2].state_dict() == plot.state_dict()
    assert resumed[2].state_dict()["values"]["loss"] == ([1, 2, 3, 4, 5], history.history["loss"])


def test_a_record_of_another_model_is_refused():
    record, other = WeightHistory(), WeightHistory()
    net().fit(X, Y, verbose=0, callbacks=[record])
    net(2).fit(X, Y, verbose=0, callbacks=[other])
    with pytest.raises(ArgumentError, match="of 4 variables: expected 2, "):
        record.load_state_dict(other.state_dict())
