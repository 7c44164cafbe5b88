"""The moving average takes the weights' place for evaluation, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.callbacks import Callback, EarlyStopping, SwapEMAWeights
from fastnn.errors import ArgumentError, NonFiniteLossError
from fastnn.layers import BatchNormalization, Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD

RNG = np.random.default_rng(2)
X = RNG.standard_normal((40, 3)) + 2
Y = X.sum(axis=1)


def net(momentum=0.8, normalized=False, **optimizer):
    layers = [Dense(4, "tanh", input_shape=(3,)), *([BatchNormalization()] if normalized else []), Dense(1)]
    model = Sequential(layers, seed=4)
    model.compile(SGD(0.05, use_ema=True, ema_momentum=momentum, **optimizer), "mse")
    return model


def fit(model, *callbacks, epochs=5, **named):
    return model.fit(X, Y, epochs=epochs, batch_size=10, verbose=0, callbacks=list(callbacks), **named)


class Epochs(Callback):
    """Keeps the weights at each epoch's end and beginning."""

    def __init__(self):
        super().__init__()
        self.begun, self.ended = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(self.model.get_weights())

    def on_epoch_end(self, epoch, logs=None):
        self.ended.append(self.model.get_weights())


def averages(weights, momentum=0.8):
    """Return the moving averages after each of several steps: the first is the weights themselves."""
    found = [[w.astype(np.float64) for w in weights[0]]]
    for step in weights[1:]:
        found.append([momentum * a + (1 - momentum) * w for a, w in zip(found[-1], step, strict=True)])
    return found


def assert_close(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_training_is_the_same_with_and_without(swap_on_epoch):
    plain, swapped = net(), net()
    one = fit(plain, validation_data=(X, Y))
    two = fit(swapped, SwapEMAWeights(swap_on_epoch), validation_data=(X, Y))
    np.testing.assert_equal(swapped.get_weights(), plain.get_weights())
    assert one.history["loss"] == two.history["loss"]
    assert one.history["val_loss"] != two.history["val_loss"]
    fit(plain), fit(swapped)  # the slots are in their places too
    np.testing.assert_equal(swapped.get_weights(), plain.get_weights())


def test_validation_sees_the_average():
    model, raw, seen = net(), Epochs(), []

    class Look(Callback):
        def on_test_begin(self, logs=None):
            seen.append(self.model.get_weights())

    history = model.fit(
        X, Y, epochs=5, batch_size=40, verbose=0, validation_data=(X, Y),
        callbacks=[SwapEMAWeights(), Look(), raw],
    )  # fmt: skip
    expected = averages(raw.ended)
    for weights, average in zip(seen, expected, strict=True):
        assert_close(weights, average)
    assert_close(model.get_weights(), expected[-1])
    assert history.history["val_loss"][-1] == pytest.approx(model.evaluate(X, Y), rel=1e-6)


def test_swapped_from_an_epochs_end_to_the_next():
    model, raw, below = net(), Epochs(), Epochs()
    model.fit(X, Y, epochs=5, batch_size=40, verbose=0, callbacks=[raw, SwapEMAWeights(True), below])
    for weights, average in zip(below.ended, averages(raw.ended), strict=True):
        assert_close(weights, average)
    np.testing.assert_equal(below.begun[1:], raw.ended[:-1])


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_a_training_that_stops_early_ends_with_the_average(swap_on_epoch):
    """Keras ends with the average only after the last of `epochs`."""
    stopped, whole = net(), net()
    stopping = EarlyStopping("loss", mode="max", patience=2)
    history = fit(stopped, SwapEMAWeights(swap_on_epoch), stopping, epochs=50)
    fit(whole, epochs=len(history.epoch))
    np.testing.assert_equal(stopped.get_weights(), whole.get_weights())


@pytest.mark.parametrize("hook", ["on_test_begin", "on_epoch_end"])
def test_a_training_that_fails_ends_with_the_average(hook):
    class Fail(Callback):
        def on_test_begin(self, logs=None):
            self.fail("on_test_begin")

        def on_epoch_end(self, epoch, logs=None):
            self.fail("on_epoch_end")

        def fail(self, where):
            if where == hook:
                raise RuntimeError("enough")

    model, whole = net(), net()
    with pytest.raises(RuntimeError, match="enough"):
        fit(model, SwapEMAWeights(True), Fail(), validation_data=(X, Y))
    fit(whole, epochs=1)
    np.testing.assert_equal(model.get_weights(), whole.get_weights())
    fit(model), fit(whole)
    np.testing.assert_equal(model.get_weights(), whole.get_weights())


def test_weights_that_overflow_go_back_to_the_last_finite_ones():
    class Overflow(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                self.model.set_weights([np.full_like(w, np.inf) for w in self.model.get_weights()])

    model = net()
    with pytest.raises(NonFiniteLossError, match="weights as they were after"):
        fit(model, SwapEMAWeights(True), Overflow(), epochs=3)
    steps = model._state.step
    assert 0 <= steps < 12
    assert np.isfinite(np.concatenate([w.ravel() for w in model.get_weights()])).all()
    if steps:  # the average of so many steps
        np.testing.assert_array_equal(model.storage.array, model._state.slots[-1])
    assert not model._state.swapped


def test_evaluate_and_predict_on_their_own():
    model, swap = net(), SwapEMAWeights()
    for _ in range(2):  # before any step there is no average
        assert model.evaluate(X, Y, callbacks=[swap]) == model.evaluate(X, Y)
        fit(model, epochs=0)
        model.set_weights([weights + 1 for weights in model.get_weights()])
    fit(model)
    before = model.get_weights()
    assert model.evaluate(X, Y, callbacks=[swap]) == model.evaluate(X, Y)
    np.testing.assert_array_equal(model.predict(X, callbacks=[swap]), model.predict(X))
    np.testing.assert_equal(model.get_weights(), before)


def test_statistics_and_frozen_layers_have_no_average():
    """What is not trained keeps its values when the average becomes the weights."""
    averaged, plain = net(normalized=True), net(normalized=True)
    plain.compile(SGD(0.05), "mse")
    for model, callbacks in ((averaged, [SwapEMAWeights()]), (plain, [])):
        model.layers[0].trainable = False
        fit(model, *callbacks, epochs=1)
        model.layers[0].set_weights([np.full((3, 4), 0.1), np.zeros(4)])
        fit(model, *callbacks, validation_data=(X, Y))
        np.testing.assert_array_equal(model.layers[0].get_weights()[0], np.full((3, 4), 0.1, np.float32))
    for number in (2, 3):  # moving mean and variance
        found, expected = (model.layers[1].get_weights()[number] for model in (averaged, plain))
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(averaged.layers[2].get_weights()[0], plain.layers[2].get_weights()[0])


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_an_optimizer_without_an_average_is_refused(call):
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile("sgd", "mse")
    arguments = (X,) if call == "predict" else (X, Y)
    with pytest.raises(ArgumentError, match="expected use_ema=True"):
        getattr(model, call)(*arguments, verbose=0, callbacks=[SwapEMAWeights()])
    with pytest.raises(ArgumentError, match="swap_on_epoch"):
        SwapEMAWeights("yes")
