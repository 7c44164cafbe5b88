"""LambdaCallback, the progress bar under Keras' name, and what fit adds by itself."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fastnn import callbacks
from fastnn.callbacks import Callback, LambdaCallback, ProgbarLogger, ProgressBar
from fastnn.callbacks.base import HOOKS
from fastnn.errors import ArgumentError, UnknownNameError
from fastnn.layers import Dense
from fastnn.models import Sequential

X, Y = np.zeros((4, 2)), np.ones(4)


def net():
    model = Sequential([Dense(1, kernel_initializer="zeros", input_shape=(2,))])
    model.compile("sgd", "mse")
    return model


# --------------------------------------------------------------------------- lambda
@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_of_kerass_can_be_given(hook):
    seen = []
    given = LambdaCallback(**{hook: lambda *arguments, **named: seen.append(arguments)})
    model = net()
    model.fit(X, Y, epochs=2, batch_size=2, validation_data=(X, Y), verbose=0, callbacks=[given])
    if "predict" in hook:
        model.predict(X, callbacks=[given])
    numbered = "epoch" in hook or "batch" in hook
    assert seen
    assert all(len(arguments) == 1 + numbered for arguments in seen)
    assert all(isinstance(arguments[-1], dict) for arguments in seen)


def test_hooks_that_are_not_given_cost_nothing():
    from fastnn.callbacks import CallbackList

    assert not CallbackList([LambdaCallback(on_train_end=print)], None, {}).wants_epochs
    assert not CallbackList([LambdaCallback(on_epoch_end=print)], None, {}).wants_batches


def test_an_unknown_hook_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'on_epoch_end'"):
        LambdaCallback(on_epoch_ends=print)
    with pytest.raises(ArgumentError, match="`on_epoch_end` of LambdaCallback must be callable"):
        LambdaCallback(on_epoch_end="print")


# --------------------------------------------------------------------------- progress
def test_the_bar_has_kerass_name():
    assert ProgressBar is ProgbarLogger
    assert "ProgbarLogger" in callbacks.__all__


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (2, 3)])
def test_a_bar_that_is_given_takes_the_place_of_fits_own(verbose, lines, capsys):
    net().fit(X, Y, epochs=3, verbose=verbose, callbacks=[ProgbarLogger()])
    out = capsys.readouterr().out.splitlines()
    assert len(out) == lines
    if lines:
        assert out[1].startswith("Epoch 2/3 - loss: 0.9")


def test_a_bar_of_its_own_mind(capsys):
    net().fit(X, Y, epochs=2, verbose=0, callbacks=[ProgbarLogger(verbose=2)])
    net().fit(X, Y, epochs=2, verbose=0, callbacks=[ProgbarLogger(verbose=1)])
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "2/2" in captured.err


# --------------------------------------------------------------------------- names
KERAS = {
    "EarlyStopping": "monitor='val_loss', min_delta=0, patience=0, verbose=0, mode='auto', baseline=None, "
    "restore_best_weights=False, start_from_epoch=0",
    "ModelCheckpoint": "filepath, monitor='val_loss', verbose=0, save_best_only=False, "
    "save_weights_only=False, mode='auto', save_freq='epoch', initial_value_threshold=None",
    "ReduceLROnPlateau": "monitor='val_loss', factor=0.1, patience=10, verbose=0, mode='auto', "
    "min_delta=0.0001, cooldown=0, min_lr=0.0",
    "LearningRateScheduler": "schedule, verbose=0",
    "CSVLogger": "filename, separator=',', append=False",
    "TerminateOnNaN": "raise_error=False",
    "LambdaCallback": "on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None, "
    "on_train_batch_begin=None, on_train_batch_end=None, **kwargs",
    "SwapEMAWeights": "swap_on_epoch=False",
    "ProgbarLogger": "",
    "History": "",
}


@pytest.mark.parametrize("name", KERAS)
def test_arguments_are_those_of_keras_and_then_ours(name):
    signature = inspect.signature(getattr(callbacks, name))
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    ours = ", ".join(map(str, parameters))
    assert ours == KERAS[name] or ours.startswith(f"{KERAS[name]}, ") or not KERAS[name], ours
    assert all(
        p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in parameters[KERAS[name].count(",") + 1 :]
    )


def test_hooks_are_all_there():
    assert {name for name in dir(Callback) if name.startswith("on_")} - {"on_nonfinite"} == set(HOOKS)
