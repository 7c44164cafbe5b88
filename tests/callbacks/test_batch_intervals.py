"""Batch hooks are called at their callback's interval, and in between training runs compiled."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.backends.cpu.executor import Session
from fastnn.callbacks import Callback, LambdaCallback
from fastnn.errors import ArgumentError
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.training import trainer

X = np.random.default_rng(1).standard_normal((95, 3))
Y = X.sum(axis=1)
STEPS = 10  # an epoch: nine batches of 10 rows and one of 5


class Seen(Callback):
    """Writes down which batches begin and end."""

    def __init__(self, interval=None):
        super().__init__()
        if interval is not None:
            self.batch_interval = interval
        self.begun, self.ended, self.logs = [], [], {}

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append((self.epoch, batch))

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append((self.epoch, batch))
        self.logs[self.epoch, batch] = dict(logs)


@pytest.fixture
def calls(monkeypatch):
    """Return the list of compiled calls, the steps of each; time cuts none of them short."""
    done, run = [], Session.run

    def counted(self, steps, epochs):
        before = self.step
        result = run(self, steps, epochs)
        done.append(self.step - before)
        return result

    monkeypatch.setattr(Session, "run", counted)
    monkeypatch.setattr(trainer, "CALL_SECONDS", 1e6)
    return done


def fit(callbacks, epochs=3, **options):
    model = Sequential([Dense(1, input_shape=(3,))], seed=3)
    model.compile("adam", "mse", metrics=["mae"])
    history = model.fit(X, Y, batch_size=10, epochs=epochs, verbose=0, callbacks=callbacks, **options)
    return model.get_weights(), history.history


def every(interval, epochs=range(3)):
    """Return the batches after which a hook is due: every so many steps, and the epoch's last."""
    done = range(1, 3 * STEPS + 1)
    due = [step - 1 for step in done if step % interval == 0 or step % STEPS == 0]
    return [divmod(step, STEPS) for step in due if step // STEPS in epochs]


@pytest.mark.parametrize("interval", [1, 2, 3, 4, 7, 10, 13, 100])
def test_hooks_and_calls_at_an_interval(calls, interval):
    seen = Seen(interval)
    fit([seen])
    assert seen.ended == every(interval)
    starts = [(0, 0)] + [(e, b + 1) if b + 1 < STEPS else (e + 1, 0) for e, b in seen.ended[:-1]]
    assert seen.begun == starts
    assert len(calls) == len(seen.ended)
    assert sum(calls) == 3 * STEPS


def test_every_batch_is_the_default(calls):
    seen = Seen()
    fit([seen])
    assert seen.begun == seen.ended == [(epoch, batch) for epoch in range(3) for batch in range(STEPS)]
    assert calls == [1] * 3 * STEPS


def test_each_callback_has_its_own_interval(calls):
    four, six, never = Seen(4), Seen(6), Seen(0)
    fit([four, never, six])
    assert four.ended == every(4)
    assert six.ended == every(6)
    assert never.ended == never.begun == []
    assert len(calls) == len({*every(4), *every(6)})


def test_never_costs_one_call_an_epoch(calls):
    fit([Seen(0)])
    assert calls == [STEPS] * 3


def test_an_interval_may_be_the_class_s_or_a_foreign_object_s(calls):
    class Foreign:
        batch_interval = 5

        def __init__(self):
            self.ended = []

        def set_model(self, model):
            pass

        def set_params(self, params):
            pass

        def on_batch_end(self, batch, logs):
            self.ended.append(batch)

    foreign = Foreign()
    fit([foreign], epochs=1)
    assert foreign.ended == [4, 9]
    assert calls == [5, 5]


def test_means_do_not_depend_on_the_interval():
    each, some = Seen(), Seen(4)
    weights, history = fit([each])
    for given in ([some], None):
        again, same = fit(given)
        np.testing.assert_equal(again, weights)
        assert same == history
    assert some.logs == {key: each.logs[key] for key in every(4)}
    assert each.logs[2, STEPS - 1] == {key: values[2] for key, values in history.items()}


def test_steps_count_from_epoch_0_wherever_fit_begins():
    seen = Seen(4)
    fit([seen], initial_epoch=1)
    assert seen.ended == every(4, epochs=(1, 2))


def test_a_long_interval_is_still_run_in_short_calls(monkeypatch):
    """Ctrl-C and stop_training act between compiled calls."""
    done, run = [], Session.run
    monkeypatch.setattr(Session, "run", lambda self, *steps: (done.append(steps), run(self, *steps))[1])
    monkeypatch.setattr(trainer, "CALL_SECONDS", 1e-9)
    seen = Seen(7)
    fit([seen])
    assert len(done) == 3 * STEPS
    assert seen.ended == every(7)
    assert seen.begun == [(0, 0), (0, 7), (1, 0), (1, 4), (2, 0), (2, 1), (2, 8)]


def test_stopping_at_a_batch():
    def stop(batch, logs):
        model.stop_training = batch == 5

    watch = LambdaCallback(on_train_batch_end=stop)
    watch.batch_interval = 3
    model = Sequential([Dense(1, input_shape=(3,))], seed=3)
    model.compile("sgd", "mse")
    history = model.fit(X, Y, batch_size=10, epochs=5, verbose=0, callbacks=[watch])
    assert history.epoch == []  # a part of an epoch is none
    model.fit(X, Y, batch_size=10, epochs=1, verbose=0)


@pytest.mark.parametrize("interval", [-1, 1.5, None, "epoch"])
def test_a_wrong_interval_is_refused(interval):
    callback = Seen()
    callback.batch_interval = interval
    with pytest.raises(ArgumentError, match=r"`batch_interval` of Seen must be an integer >= 0"):
        fit([callback])
