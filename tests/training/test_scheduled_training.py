"""Trainings with a schedule: the bits of one whose rate is set by hand before each step, in fewer calls."""

import numpy as np
import pytest
from training_nets import digest, table

from fastnn import layers, optimizers, schedules
from fastnn.backends.cpu.executor import Session
from fastnn.callbacks import Callback
from fastnn.models import Sequential, load_model
from fastnn.training import trainer

SCHEDULES = [
    schedules.ExponentialDecay(0.05, 3, 0.8),
    schedules.PiecewiseConstantDecay([4, 9], [0.05, 0.02, 0.01]),
    schedules.PolynomialDecay(0.05, 12, power=2.0),
    schedules.InverseTimeDecay(0.05, 3, 0.5),
    schedules.CosineDecay(0.001, 10, warmup_target=0.05, warmup_steps=4),
    schedules.CosineDecayRestarts(0.05, 3),
    schedules.OneCycle(0.05, 18),
]
each_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


class ByHand(Callback):
    """Sets a number before each step, as if there were no schedules."""

    def __init__(self, schedule):
        super().__init__()
        self.schedule, self.step = schedule, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.schedule(self.step)
        self.step += 1


def network(optimizer, wide=8):
    model = Sequential(
        [layers.Dense(wide, "tanh", input_shape=(6,)), layers.Dropout(0.2), layers.Dense(1)], seed=3
    )
    model.compile(optimizer, "mse")
    return model


def fit(model, callbacks=None, epochs=3, rows=190, **options):
    x, y = table(rows, 6)
    history = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks, **options)
    return digest(*model.get_weights(), *model._state.slots, history.history["loss"])


@pytest.fixture
def calls(monkeypatch):
    """The arguments of each compiled call; calls last as long as they may."""
    monkeypatch.setattr(trainer, "CALL_SECONDS", 1e9)
    found, run = [], Session.run

    def counted(self, steps, epochs):
        found.append((steps, epochs))
        return run(self, steps, epochs)

    monkeypatch.setattr(Session, "run", counted)
    return found


@each_schedule
def test_bits_are_those_of_rates_set_by_hand(schedule):
    scheduled = fit(network(optimizers.Adam(schedule)))
    assert scheduled == fit(network(optimizers.Adam(1.0)), [ByHand(schedule)])
    assert scheduled != fit(network(optimizers.Adam(0.05)))


@pytest.mark.parametrize(
    "options", [{"gradient_accumulation_steps": 4}, {"global_clipnorm": 0.1, "use_ema": True}]
)
def test_bits_with_other_instructions_around(options):
    schedule = schedules.CosineDecay(0.05, 15)
    by_hand = fit(network(optimizers.SGD(1.0, momentum=0.9, **options)), [ByHand(schedule)])
    assert fit(network(optimizers.SGD(schedule, momentum=0.9, **options))) == by_hand


def test_bits_do_not_depend_on_threads():
    found = set()
    for threads in (1, 2, 4):
        model = network(optimizers.AdamW(schedules.OneCycle(0.01, 4), weight_decay=0.1), wide=2_000)
        x, y = table(4_096, 6)
        model.fit(x, y, batch_size=2_048, epochs=2, verbose=0, threads=threads)
        found.add(digest(*model.get_weights()))
    assert len(found) == 1


@each_schedule
def test_a_schedule_costs_no_calls(schedule, calls):
    fit(network(optimizers.SGD(0.05)))
    constant = len(calls)
    fit(network(optimizers.SGD(schedule)))
    assert len(calls) - constant == constant == 1
    fit(network(optimizers.SGD(lambda step: schedule(step))))
    assert len(calls) == 2 + 18, "a function that only Python can call"


def test_the_rate_reported_is_the_rate_used():
    schedule = schedules.CosineDecayRestarts(0.05, 3)
    model = network(optimizers.SGD(schedule))
    fit(model)
    assert model._state.step == 18
    assert model._state.hyper[0] == schedule(17) == model.optimizer.learning_rate_at(17)


def test_a_second_fit_goes_on_where_the_first_ended():
    twice = network(optimizers.Adam(schedules.ExponentialDecay(0.05, 3, 0.8)))
    fit(twice, epochs=1)
    x, y = table(190, 6)
    twice.fit(x, y, batch_size=32, epochs=3, initial_epoch=1, verbose=0)
    once = network(optimizers.Adam(schedules.ExponentialDecay(0.05, 3, 0.8)))
    fit(once)
    assert digest(*twice.get_weights()) == digest(*once.get_weights())


class Replace(Callback):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.model.optimizer.learning_rate = self.rate


@pytest.mark.parametrize(
    "rate",
    [
        0.001,
        lambda step: 0.01 / (1 + step),
        schedules.ExponentialDecay(0.01, 5, 0.5),
        schedules.InverseTimeDecay(0.01, 5, 0.5),
    ],
    ids=["number", "function", "same kind", "other kind"],
)
def test_a_callback_may_replace_a_schedule(rate):
    first = schedules.ExponentialDecay(0.05, 3, 0.8)

    def by_hand(step):
        if step < 6:
            return first(step)
        return rate(step) if callable(rate) else rate

    expected = fit(network(optimizers.Adam(1.0)), [ByHand(by_hand)])
    assert fit(network(optimizers.Adam(first)), [Replace(rate)]) == expected


def test_a_schedule_may_take_a_numbers_place():
    rate = schedules.ExponentialDecay(0.01, 5, 0.5)
    expected = fit(network(optimizers.Adam(1.0)), [ByHand(lambda step: 0.05 if step < 6 else rate(step))])
    assert fit(network(optimizers.Adam(0.05)), [Replace(rate)]) == expected


def test_state_is_kept_when_a_schedule_comes_or_goes():
    rate = schedules.ExponentialDecay(0.01, 5, 0.5)
    model = network(optimizers.SGD(rate, momentum=0.9))
    fit(model, epochs=1)
    slots = [slot.copy() for slot in model._state.slots]
    for other in (0.0, schedules.PiecewiseConstantDecay([1], [0.0, 0.0])):
        model.optimizer.learning_rate = other
        state = model._state
        fit(model, epochs=1)
        assert model._state is state and slots[0].any()


def test_a_subclass_that_computes_its_own_rate_is_called(calls):
    class Half(schedules.ExponentialDecay):
        def __call__(self, step):
            return 0.5 * super().__call__(step)

    half = fit(network(optimizers.SGD(Half(0.05, 3, 0.8))))
    assert len(calls) == 18
    assert half == fit(network(optimizers.SGD(schedules.ExponentialDecay(0.025, 3, 0.8))))


def test_an_error_names_the_rate_of_its_step():
    model = network(optimizers.SGD(schedules.PiecewiseConstantDecay([3], [0.01, 1e30])))
    with pytest.raises(ArithmeticError, match=r"learning rate 1e\+30"):
        fit(model)
    assert all(np.isfinite(w).all() for w in model.get_weights())


@each_schedule
def test_a_saved_model_goes_on_with_its_schedule(schedule, tmp_path):
    whole, begun = network(optimizers.Adam(schedule)), network(optimizers.Adam(schedule))
    fit(whole)
    fit(begun, epochs=1)
    begun.save(tmp_path / "begun.fastnn")
    resumed = load_model(tmp_path / "begun.fastnn")
    fit(resumed, initial_epoch=1)
    assert digest(*resumed.get_weights()) == digest(*whole.get_weights())
