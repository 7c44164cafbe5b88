"""Callbacks that set the learning rate, in real trainings."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.callbacks import Callback, LearningRateScheduler, ReduceLROnPlateau
from fastnn.errors import ArgumentError
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD

X = np.ones((4, 1))
Y = np.ones((4, 1))


def net(rate=0.1):
    model = Sequential([Dense(1, use_bias=False, kernel_initializer="zeros", input_shape=(1,))])
    model.compile(SGD(rate), "mse")
    return model


def fit(model, *callbacks, epochs=4, **named):
    return model.fit(X, Y, epochs=epochs, verbose=0, callbacks=list(callbacks), **named).history


def trained(rates):
    """Return the weight after full-batch steps at these rates: w <- w + 2 rate (1 - w)."""
    w = 0.0
    for rate in rates:
        w += 2 * rate * (1 - w)
    return w


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch: 0.1 * (epoch + 1), [0.1, 0.2, 0.3, 0.4]),
        (lambda epoch, lr: lr / 2, [0.05, 0.025, 0.0125, 0.00625]),
        (lambda epoch, lr=None: lr, [0.1] * 4),
        (lambda epoch, *more: float(len(more)) / 10, [0.1] * 4),
        (lambda epoch: np.float32(0.25), [0.25] * 4),
    ],
    ids=["epoch", "epoch and rate", "default", "variadic", "numpy"],
)
def test_the_schedule_is_trained_with(schedule, rates):
    model = net()
    history = fit(model, LearningRateScheduler(schedule))
    np.testing.assert_allclose(history["learning_rate"], rates, rtol=1e-12)
    np.testing.assert_allclose(model.get_weights()[0].item(), trained(rates), rtol=1e-5)
    assert model.optimizer.learning_rate == pytest.approx(rates[-1])


def test_an_error_within_the_schedule_is_the_users_own():
    def schedule(epoch, lr):
        return lr + "a"

    with pytest.raises(TypeError, match="unsupported operand"):
        fit(net(), LearningRateScheduler(schedule))


@pytest.mark.parametrize("value", [-1.0, np.nan, None, "0.1"])
def test_a_schedule_that_returns_no_rate_is_refused(value):
    with pytest.raises(ArgumentError, match="as its schedule returned it for epoch 2"):
        fit(net(), LearningRateScheduler(lambda epoch: value if epoch == 2 else 0.1))


@pytest.mark.parametrize("given", [None, 0.1, float])
def test_a_schedule_is_a_function(given):
    with pytest.raises(ArgumentError, match="`schedule` of LearningRateScheduler"):
        LearningRateScheduler(given)


class Script(Callback):
    def __init__(self, *values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["val_loss"] = self.values[epoch]


def test_a_plateau_reduces_what_is_trained_with(capsys):
    model = net()
    history = fit(
        model, Script(0.5, 0.6, 0.7, 0.7, 0.7), ReduceLROnPlateau(factor=0.5, patience=2, verbose=1), epochs=5
    )
    rates = [0.1, 0.1, 0.1, 0.05, 0.05]
    assert history["learning_rate"] == rates
    np.testing.assert_allclose(model.get_weights()[0].item(), trained(rates), rtol=1e-5)
    assert model.optimizer.learning_rate == 0.025
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 3: ReduceLROnPlateau reducing learning rate to 0.05.",
        "Epoch 5: ReduceLROnPlateau reducing learning rate to 0.025.",
    ]


@pytest.mark.parametrize("callback", [ReduceLROnPlateau("loss"), LearningRateScheduler(lambda epoch: 0.1)])
def test_an_optimizer_with_a_schedule_is_refused(callback):
    model = net(lambda step: 0.1)
    with pytest.raises(ArgumentError, match=r"learning_rate is a number. Received: the schedule"):
        fit(model, callback)
    assert model.get_weights()[0].item() == 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        {"factor": 1.0},
        {"factor": -0.1},
        {"patience": -1},
        {"cooldown": 0.5},
        {"min_lr": -1.0},
        {"min_delta": None},
        {"mode": "up"},
    ],
    ids=str,
)
def test_wrong_arguments_of_plateaus(arguments):
    with pytest.raises(ArgumentError, match=next(iter(arguments))):
        ReduceLROnPlateau(**arguments)
