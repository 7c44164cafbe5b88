"""Callbacks that end a training: for lack of progress, for a loss that is not finite, for lack of time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fastnn import Input, Model
from fastnn.backends.cpu.executor import Session
from fastnn.callbacks import (
    Callback,
    EarlyStopping,
    ReduceLROnPlateau,
    TerminateOnNaN,
    TimeBudget,
    time_budget,
)
from fastnn.errors import ArgumentError, NonFiniteLossError
from fastnn.layers import Dense
from fastnn.losses import BinaryCrossentropy, Huber
from fastnn.metrics import AUC, FunctionMetric
from fastnn.models import Sequential
from fastnn.training import trainer

RNG = np.random.default_rng(5)
X = RNG.standard_normal((60, 3))
Y = (X.sum(axis=1) > 0).astype(float)


def classifier(metrics=("accuracy", "auc", "mae"), **options):
    model = Sequential([Dense(1, "sigmoid", input_shape=(3,))], seed=2)
    model.compile(options.pop("optimizer", "adam"), "binary_crossentropy", metrics=list(metrics), **options)
    return model


class Script(Callback):
    """Puts values of its own into the logs."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update({key: values[epoch] for key, values in self.values.items()})


# --------------------------------------------------------------------------- early stopping
@pytest.mark.parametrize(
    ("monitor", "sign"),
    [("loss", -1), ("accuracy", 1), ("auc", 1), ("mae", -1), ("val_loss", -1), ("val_auc", 1)],
)
def test_auto_asks_the_metric(monitor, sign):
    worse = [0.5 - 0.01 * sign * epoch for epoch in range(20)]
    better = [0.5 + 0.01 * sign * epoch for epoch in range(20)]
    for values, epochs in ((worse, 4), (better, 20)):
        stopping = EarlyStopping(monitor, patience=3)
        history = classifier().fit(
            X, Y, epochs=20, verbose=0, callbacks=[Script(**{monitor: values}), stopping]
        )
        assert len(history.epoch) == epochs


def test_auto_knows_the_keys_of_several_outputs_and_of_duplicates():
    x = Input((3,))
    model = Model(x, {"price": Dense(1, name="price")(x), "up": Dense(1, "sigmoid", name="up")(x)})
    model.compile(
        "sgd",
        {"price": "mse", "up": "binary_crossentropy"},
        metrics={"up": ["accuracy", AUC()], "price": ["mae"]},
        weighted_metrics={"up": [AUC()]},
    )
    known = ["price_loss", "up_loss", "up_accuracy", "up_auc", "price_mae", "up_weighted_auc", "val_up_auc"]
    targets = {"price": X[:, 0], "up": Y}
    stoppings = [EarlyStopping(key, patience=5) for key in known]
    signs = []
    for stopping in stoppings:
        stopping.set_model(model)
        stopping.on_train_begin()
        signs.append(stopping.improves(2.0, 1.0))
    assert signs == [False, False, True, True, False, True, True]
    history = model.fit(X, targets, epochs=2, verbose=0, validation_split=0.2, callbacks=stoppings)
    assert set(known) <= set(history.history)  # and no warning


@pytest.mark.parametrize("loss", [Huber(), "mse", BinaryCrossentropy()], ids=str)
def test_a_loss_used_as_a_metric_is_better_when_smaller(loss):
    model = classifier([loss])
    key = model.metrics_names[1]
    stopping = EarlyStopping(key)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[stopping])
    assert stopping.improves(1.0, 2.0)
    assert not stopping.improves(2.0, 1.0)


def unknown(y_true, y_pred):
    return float(np.mean(y_pred))


@pytest.mark.parametrize(
    ("monitor", "message"),
    [
        ("val_los", r"'val_los' is not known. Expected one of loss, accuracy, .*Did you mean 'loss'"),
        ("acuracy", r"Did you mean 'accuracy'"),
        ("unknown", r"'unknown' has a metric that does not tell which way is better"),
        ("price_loss", r"not known. Expected one of loss"),
    ],
)
@pytest.mark.parametrize("callback", [EarlyStopping, ReduceLROnPlateau])
def test_auto_on_what_is_not_known_is_refused(callback, monitor, message):
    model = classifier(["accuracy", AUC(), FunctionMetric(unknown)])
    before = model.get_weights()
    with pytest.raises(ArgumentError, match=message) as error:
        model.fit(X, Y, verbose=0, callbacks=[callback(monitor)])
    assert "mode='min' or mode='max'" in str(error.value)
    np.testing.assert_equal(model.get_weights(), before)
    model.fit(X, Y, verbose=0, callbacks=[callback("unknown", mode="max")])


@pytest.mark.parametrize("callback", [EarlyStopping, ReduceLROnPlateau])
def test_a_missing_value_is_warned_of_once(callback):
    given = callback("val_loss")
    for _ in range(2):  # in each training
        with pytest.warns(UserWarning, match=r"monitors 'val_loss', .* available: loss, accuracy") as warned:
            history = classifier(["accuracy"]).fit(X, Y, epochs=6, verbose=0, callbacks=[given])
        assert len(warned) == 1
        assert len(history.epoch) == 6


def test_the_best_weights_come_back(capsys):
    model, weights = classifier(), []

    class Keep(Callback):
        def on_epoch_end(self, epoch, logs=None):
            weights.append(self.model.get_weights())

    script = Script(val_loss=[0.5, 0.3, 0.4, 0.35, 0.9])
    stopping = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
    history = model.fit(X, Y, epochs=5, verbose=0, callbacks=[script, Keep(), stopping])
    assert history.epoch == [0, 1, 2, 3]
    np.testing.assert_equal(model.get_weights(), weights[1])
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (0.3, 1, 3)
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 4: early stopping",
        "Restoring model weights from the end of the best epoch: 2.",
    ]


@pytest.mark.parametrize("first", [0, 2])
def test_nan_ends_training_and_is_never_the_best(first):
    values = [0.5, 0.4, 0.3, 0.2, 0.1]
    values[first] = np.nan
    script = Script(val_loss=values)
    stopping = EarlyStopping(patience=1, restore_best_weights=True)
    assert classifier().fit(X, Y, epochs=5, verbose=0, callbacks=[script, stopping]).epoch[-1] == first
    assert stopping.best == (0.4 if first else None)
    lenient = EarlyStopping(patience=2, check_finite=False)
    assert len(classifier().fit(X, Y, epochs=5, verbose=0, callbacks=[script, lenient]).epoch) == 5
    assert lenient.best == 0.1


def test_a_callback_serves_several_trainings():
    stopping = EarlyStopping("loss", mode="max", patience=1)
    for _ in range(2):
        assert len(classifier().fit(X, Y, epochs=9, verbose=0, callbacks=[stopping]).epoch) < 9


@pytest.mark.parametrize(
    "arguments",
    [
        {"monitor": 3},
        {"patience": -1},
        {"patience": 1.5},
        {"mode": "minimum"},
        {"min_delta": np.nan},
        {"baseline": "low"},
        {"start_from_epoch": -1},
        {"restore_best_weights": 1},
        {"check_finite": None},
    ],
    ids=str,
)
def test_wrong_arguments_of_early_stopping(arguments):
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        EarlyStopping(**arguments)


def test_a_value_that_is_no_number_is_refused():
    script = Script(score=["high"] * 3)
    with pytest.raises(ArgumentError, match="monitors 'score': expected a number"):
        classifier().fit(X, Y, verbose=0, callbacks=[script, EarlyStopping("score", mode="max")])


# --------------------------------------------------------------------------- not finite
class Spoil(Callback):
    """Makes the next step's loss overflow."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.model.set_weights([np.full((3, 1), 1e30), np.zeros(1)])


def regression():
    model = Sequential([Dense(1, input_shape=(3,))], seed=2)
    model.compile("sgd", "mse")
    return model


def test_terminate_on_nan_ends_with_the_history_so_far(capsys):
    model, seen = regression(), []

    class End(Callback):
        def on_train_end(self, logs=None):
            seen.append(logs)

    history = model.fit(X, Y, epochs=9, verbose=0, callbacks=[Spoil(), TerminateOnNaN(), End()])
    assert history.epoch == [0, 1]
    assert model.stop_training
    assert len(seen) == 1
    assert np.isfinite(model.get_weights()[0]).all()
    assert "NaN or infinite in epoch 3" in capsys.readouterr().out


@pytest.mark.parametrize("callbacks", [[], [TerminateOnNaN(raise_error=True)]], ids=["none", "raise_error"])
def test_without_it_training_raises(callbacks, capsys):
    model = regression()
    with pytest.raises(NonFiniteLossError, match="epoch 3"):
        model.fit(X, Y, epochs=9, verbose=0, callbacks=[Spoil(), *callbacks])
    assert model.history.epoch == [0, 1]
    assert capsys.readouterr().out == ""


def test_terminate_on_nan_costs_nothing():
    from fastnn.callbacks import CallbackList

    assert not CallbackList([TerminateOnNaN(), TimeBudget(9)], None, {}).wants_epochs


# --------------------------------------------------------------------------- time
class Clock:
    """A clock that training moves: a millisecond a step."""

    now = 100.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock, run = Clock(), Session.run

    def timed(self, steps, epochs):
        before = self.step
        result = run(self, steps, epochs)
        clock.now += 0.001 * (self.step - before)
        return result

    monkeypatch.setattr(Session, "run", timed)
    for module in (trainer, time_budget):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


@pytest.mark.parametrize("more", [[], [Script()]], ids=["alone", "with epoch hooks"])
def test_a_budget_ends_at_the_first_step_after_it(clock, more):
    model = classifier()
    budget = TimeBudget(1.0345)  # 1,034 steps and a half, of 60 an epoch
    history = model.fit(X, Y, batch_size=1, epochs=10**6, verbose=0, callbacks=[budget, *more])
    assert model.stop_training
    assert history.epoch == list(range(1034 // 60))
    assert model._state.step == 1035
    model.fit(X, Y, batch_size=1, epochs=2, verbose=0)
    assert model._state.step == 1035 + 120


def test_validation_counts_and_a_spent_budget_begins_no_epoch(clock):
    class Slow(Callback):
        begun = 0

        def on_epoch_begin(self, epoch, logs=None):
            self.begun += 1

        def on_test_end(self, logs=None):
            clock.now += 5.0

    slow = Slow()
    history = classifier().fit(
        X, Y, validation_data=(X, Y), epochs=9, verbose=0, callbacks=[slow, TimeBudget(6.0)]
    )
    assert history.epoch == [0, 1]
    assert slow.begun == 2


def test_a_resumed_training_has_the_rest_of_its_budget(clock):
    budget = TimeBudget(10.0)
    budget.on_train_begin()
    clock.now += 4.0
    state = budget.state_dict()
    assert state == {"seconds_used": 4.0}
    resumed = TimeBudget(10.0)
    clock.now += 1000.0
    resumed.on_train_begin()
    resumed.load_state_dict(state)
    assert resumed.deadline == clock.now + 6.0
    clock.now += 1.0
    assert resumed.state_dict() == {"seconds_used": 5.0}


@pytest.mark.parametrize("seconds", [0, -1, np.inf, "1", None])
def test_a_budget_is_a_positive_number(seconds):
    with pytest.raises(ArgumentError, match="`seconds` of TimeBudget"):
        TimeBudget(seconds)
