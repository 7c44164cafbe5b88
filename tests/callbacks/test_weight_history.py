"""The record of weights: which epochs, which variables, copies and not views."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.callbacks import WeightHistory
from fastnn.errors import ArgumentError, UnknownNameError
from fastnn.layers import Dense
from fastnn.models import Sequential

X = np.random.default_rng(0).standard_normal((20, 2))


def model():
    made = Sequential([Dense(3, input_shape=(2,), name="hidden"), Dense(1, name="output")], seed=0)
    made.compile("adam", "mse")
    return made


def test_every_epochs_weights_are_those_of_a_training_so_long():
    record, net = WeightHistory(), model()
    net.fit(X, X[:, 0], epochs=3, verbose=0, callbacks=[record])
    assert record.epochs == [0, 1, 2, 3]
    for epochs in range(4):
        again = model()
        again.fit(X, X[:, 0], epochs=epochs, verbose=0)
        for variable in again.variables:
            np.testing.assert_array_equal(record.weights[variable.path][epochs], variable.numpy())


@pytest.mark.parametrize(("every", "expected"), [(2, [0, 2, 4, 5]), (5, [0, 5]), (9, [0, 5])])
def test_some_epochs_and_some_variables(every, expected):
    record = WeightHistory(every, variables=["output/bias"])
    model().fit(X, X[:, 0], epochs=5, verbose=0, callbacks=[record])
    assert record.epochs == expected
    assert list(record.weights) == ["output/bias"]
    assert len(record.weights["output/bias"]) == len(expected)


def test_a_later_training_begins_a_new_record_at_its_own_epoch():
    record, net = WeightHistory(), model()
    net.fit(X, X[:, 0], epochs=2, verbose=0, callbacks=[record])
    end = record.weights["hidden/kernel"][-1]
    net.fit(X, X[:, 0], initial_epoch=2, epochs=4, verbose=0, callbacks=[record])
    assert record.epochs == [2, 3, 4]
    np.testing.assert_array_equal(record.weights["hidden/kernel"][0], end)


def test_what_cannot_be_recorded_is_refused():
    with pytest.raises(ArgumentError, match="`every` of WeightHistory"):
        WeightHistory(every=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'hidden/bias'"):
        model().fit(X, X[:, 0], verbose=0, callbacks=[WeightHistory(variables=["hidden/bais"])])
