"""A session on the device against the CPU's: chunks, short batches, a start in mid-epoch, the stop flag."""

import threading

import numpy as np
import pytest
from gpu_fake import fake_gpu

from fastnn.backends.gpu import executor
from fastnn.callbacks import Callback
from fastnn.layers import BatchNormalization, Dense, Dropout
from fastnn.models import Sequential
from fastnn.training.table import read_table
from fastnn.training.trainer import Training

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)


@pytest.fixture
def cp():
    with fake_gpu() as module:
        yield module


def model(device, *middle, metrics=("accuracy",)):
    layers = [Dense(8, "tanh", input_shape=(5,)), *middle, Dense(1, "sigmoid")]
    net = Sequential(layers, seed=3)
    net.compile("adam", "binary_crossentropy", metrics=list(metrics), device=device)
    return net


def fit(device, *middle, metrics=("accuracy",), **options):
    net = model(device, *middle, metrics=metrics)
    history = net.fit(X, Y, verbose=0, **{"epochs": 2, "batch_size": 128} | options).history
    return net, history


def close(one, other):
    np.testing.assert_allclose(one[0].storage.array, other[0].storage.array, rtol=0, atol=2e-6)
    for key, values in one[1].items():
        np.testing.assert_allclose(values, other[1][key], rtol=1e-5, atol=1e-6)


def training(net, batch_size=32):
    return Training(net, read_table(net, X, Y), batch_size)


@pytest.mark.parametrize("metrics", [("accuracy",), ("AUC",)], ids=["sums", "stored"])
def test_a_batch_in_chunks_is_as_on_the_cpu(cp, monkeypatch, metrics):
    """300 rows in batches of 128: the last is short, and its second chunk has no rows at all."""
    one_by_one = fit("gpu", Dropout(0.3), metrics=metrics)
    close(one_by_one, fit("cpu", Dropout(0.3), metrics=metrics))
    monkeypatch.setattr(executor, "ARENA_BYTES", 1)  # chunks of ROW_ALIGN rows
    close(fit("gpu", Dropout(0.3), metrics=metrics), one_by_one)


def test_evaluate_and_predict_in_chunks(cp, monkeypatch):
    net, _ = fit("gpu")
    whole = net.predict(X, verbose=0), net.evaluate(X, Y, verbose=0)
    monkeypatch.setattr(executor, "ARENA_BYTES", 1)
    np.testing.assert_array_equal(net.predict(X, verbose=0), whole[0])
    np.testing.assert_allclose(net.evaluate(X, Y, verbose=0), whole[1], rtol=1e-6)


class Outputs(Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_predict_batch_end(self, batch, logs=None):
        self.seen.append(logs["outputs"].copy())


def test_a_callback_sees_the_outputs_of_its_batch(cp):
    net, watch = fit("gpu")[0], Outputs()
    expected = net.predict(X, verbose=0)
    net.predict(X, batch_size=64, callbacks=[watch], verbose=0)
    assert [len(part) for part in watch.seen] == [64, 64, 64, 64, 44]
    np.testing.assert_array_equal(np.concatenate(watch.seen), expected)


def test_a_batch_that_must_stay_whole_is_not_cut(cp, monkeypatch):
    monkeypatch.setattr(executor, "ARENA_BYTES", 1)
    close(fit("gpu", BatchNormalization()), fit("cpu", BatchNormalization()))


def test_a_session_that_starts_in_mid_epoch_goes_on_to_the_same_bits(cp):
    straight, broken = model("gpu"), model("gpu")
    first = training(straight)
    with first.session as session:
        expected, _ = session.run(10, 1)
    half = training(broken)
    with half.session as session:
        log, status = session.run(4, 1)
        assert (len(log), status, session.position, session.step) == (0, 0, 128, 4)
    sums = session.sums.copy()
    half.go_to(4, 0, 128, half.seed)
    half.session.sums[...] = sums
    with half.session as session:
        assert (session.step, session.epoch, session.position) == (4, 0, 128)
        log, _ = session.run(100, 1)
        assert (session.step, session.epoch, session.position) == (10, 1, 0)
    np.testing.assert_array_equal(log, expected)
    np.testing.assert_array_equal(broken.storage.array, straight.storage.array)


def test_captured_and_launched_one_by_one_are_the_same_bits(cp):
    captured, launched = model("gpu", Dropout(0.5)), model("gpu", Dropout(0.5))
    for net, capture in ((captured, True), (launched, False)):
        session = training(net)._open(seed=3, step=0, epoch=0, capture=capture)
        session.run(20, 2)
    np.testing.assert_array_equal(captured.storage.array, launched.storage.array)


def test_the_step_can_be_put_back(cp):
    net = model("gpu")
    begun = training(net)
    weights, state = net.storage.array.copy(), [slot.copy() for slot in begun.state.slots]
    session = begun.session
    session.run(10, 1)
    expected = net.storage.array.copy()
    again = training(net)
    net.storage.array[:] = weights
    for slot, value in zip(again.state.slots, state, strict=True):
        slot[:] = value
    again.session.step = 0
    assert again.session.step == 0
    again.session.run(10, 1)
    np.testing.assert_array_equal(net.storage.array, expected)


def test_a_change_of_the_weights_between_calls_reaches_the_device(cp):
    net = model("gpu")
    session = training(net).session
    session.run(3, 1)
    net.storage.array[:] = 0.0
    session.run(1, 1)
    assert np.abs(net.storage.array).max() < 0.1


def test_the_stop_flag_ends_a_call(cp):
    session = training(model("gpu")).session
    session.stop[0] = 1
    log, status = session.run(10, 1)
    assert (len(log), status, session.step) == (0, 0, 0)
    session.stop[0] = 0
    session.run(3, 1)
    assert session.step == 3


def test_sessions_take_turns(cp):
    alone = model("gpu")
    training(alone).session.run(10, 1)
    nets = [model("gpu"), model("gpu")]
    sessions = [training(net).session for net in nets]
    for _ in range(5):
        for session in sessions:
            with session:
                session.run(2, 1)
    for net in nets:
        np.testing.assert_array_equal(net.storage.array, alone.storage.array)


def test_sessions_of_several_threads(cp, monkeypatch):
    """Each has a stream and memory of its own; the memory checker is on."""
    monkeypatch.setenv("FAKECUPY_MODE", "check")
    alone = model("gpu")
    training(alone).session.run(10, 1)
    nets = [model("gpu") for _ in range(3)]
    trainings, failures = [training(net) for net in nets], []

    def work(one):
        try:
            for _ in range(10):
                one.session.run(1, 1)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in trainings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for net in nets:
        np.testing.assert_array_equal(net.storage.array, alone.storage.array)


def test_evaluation_and_prediction_bring_back_results_only(cp):
    net = model("gpu")
    before = net.storage.array.copy()
    net.storage.array.flags.writeable = False  # nothing may be pulled into it
    try:
        net.predict(X, verbose=0)
        net.evaluate(X, Y, verbose=0)
    finally:
        net.storage.array.flags.writeable = True
    np.testing.assert_array_equal(net.storage.array, before)


def test_the_validation_data_are_brought_once(cp):
    net = model("gpu")
    counts = []
    for epochs in (2, 6):
        cp.stats.clear()
        net.fit(X, Y, validation_data=(X, Y), epochs=epochs, verbose=0, batch_size=100)
        counts.append(cp.stats["h2d"])
    # An epoch's evaluation brings the weights, its registers and modes, and its sums: not its three tables.
    assert (counts[1] - counts[0]) / 4 <= 5
