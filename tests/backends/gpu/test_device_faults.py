"""What goes wrong on a device: what was asked, what is left, and what is intact."""

import sys

import numpy as np
import pytest
from gpu_fake import fake_gpu

from fastnn.backends.gpu import compile as compiling
from fastnn.callbacks import Callback
from fastnn.errors import DeviceError
from fastnn.layers import Dense
from fastnn.models import Sequential

X = np.random.default_rng(0).normal(size=(96, 5)).astype(np.float32)
Y = X[:, 0]


@pytest.fixture
def cp():
    with fake_gpu() as module:
        yield module


def model():
    net = Sequential([Dense(4, activation="tanh", input_shape=(5,)), Dense(1)], seed=1)
    net.compile("adam", "mse", device="gpu")
    return net


class OutOfMemory(MemoryError):
    """As ``cupy.cuda.memory.OutOfMemoryError``."""


def small_memory(cp, monkeypatch, most):
    """Let every allocation above so many bytes fail."""

    def limited(original):
        def allocate(shape, dtype=float, *rest):
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            if size > most:
                raise OutOfMemory(f"Out of memory allocating {size:,} bytes")
            return original(shape, dtype, *rest)

        return allocate

    monkeypatch.setattr(cp, "empty", limited(cp.empty))
    monkeypatch.setattr(cp, "zeros", limited(cp.zeros))


def test_out_of_memory_says_how_much_was_asked_and_is_free(cp, monkeypatch):
    net = model()
    before = net.storage.array.copy()
    small_memory(cp, monkeypatch, 1000)
    monkeypatch.setattr(type(cp.cuda.Device(0)), "mem_info", (3 << 20, 8 << 30))
    with pytest.raises(DeviceError) as caught:
        net.fit(X, Y, verbose=0)
    text = str(caught.value)
    assert "0.0 MiB were asked for in all, 3.0 MiB of 8,192.0 MiB are free" in text
    assert "The model is as it was" in text and "Out of memory allocating" in text
    np.testing.assert_array_equal(net.storage.array, before)
    monkeypatch.undo()
    net.fit(X, Y, verbose=0)  # it can still be trained


def test_out_of_memory_of_the_first_batch_normalised_data(cp, monkeypatch):
    net = model()

    def full(*args, **options):
        raise OutOfMemory("Out of memory allocating 1,920 bytes")

    monkeypatch.setattr(cp, "asarray", full)
    with pytest.raises(DeviceError, match="Out of memory allocating 1,920 bytes"):
        net.fit(X, Y, verbose=0)


class Lost:
    """Makes the device fail from some launch on."""

    def __init__(self, cp, monkeypatch):
        self.now = False
        original = compiling.Function.launch

        def launch(function, *arguments):
            if self.now:
                raise cp.cuda.runtime.CUDARuntimeError("cudaErrorLaunchFailure: unspecified launch failure")
            original(function, *arguments)

        monkeypatch.setattr(compiling.Function, "launch", launch)


class Copies(Callback):
    def __init__(self, lost):
        super().__init__()
        self.lost = lost

    def on_epoch_end(self, epoch, logs=None):
        self.weights, self.done = self.model.storage.array.copy(), epoch + 1
        self.lost.now = epoch == 1


def test_a_device_lost_in_mid_fit_leaves_the_last_epochs_weights(cp, monkeypatch):
    net, lost = model(), Lost(cp, monkeypatch)
    watch = Copies(lost)
    with pytest.raises(DeviceError) as caught:
        net.fit(X, Y, epochs=5, verbose=0, callbacks=[watch])
    text = str(caught.value)
    assert "The GPU failed in a step" in text and "cudaErrorLaunchFailure" in text
    assert "those after 6 steps, 2 epochs and 0 rows of the next" in text
    assert watch.done == 2 and net.history.epoch == [0, 1] and net.iterations == 6
    np.testing.assert_array_equal(net.storage.array, watch.weights)
    lost.now = False
    expected = model()
    expected.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(net.storage.array, expected.storage.array)


def test_a_device_lost_while_it_works_changes_nothing_on_the_host(cp, monkeypatch):
    """The error comes with the synchronisation, before anything is copied back."""
    net = model()
    before = net.storage.array.copy()
    stream = type(cp.cuda.Stream(non_blocking=True))
    original, calls = stream.synchronize, []

    def synchronize(self):
        calls.append(1)
        if len(calls) == 2:  # the first ends the set-up
            raise cp.cuda.runtime.CUDARuntimeError("cudaErrorECCUncorrectable")
        original(self)

    monkeypatch.setattr(stream, "synchronize", synchronize)
    with pytest.raises(DeviceError, match="cudaErrorECCUncorrectable"):
        net.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(net.storage.array, before)


def test_a_missing_nvrtc_and_missing_headers_are_named(cp, monkeypatch):
    for error in (RuntimeError("CuPy failed to load libnvrtc.so.13"), Exception("cannot open source file")):

        def fails(*args, error=error, **options):
            raise error

        monkeypatch.setattr(cp, "RawModule", fails)
        compiling.forget()
        net = model()
        before = net.storage.array.copy()
        with pytest.raises(DeviceError) as caught:
            net.fit(X, Y, verbose=0)
        assert str(error) in str(caught.value) and "fastnn[gpu13]" in str(caught.value)
        np.testing.assert_array_equal(net.storage.array, before)


def test_a_cupy_that_cannot_be_imported_is_quoted(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"pip install 'fastnn\[gpu13\]'.*ModuleNotFoundError"):
        model()


def test_float64_trains_on_the_device(cp):
    weights = []
    for device in ("cpu", "gpu"):
        net = Sequential([Dense(3, activation="tanh", input_shape=(5,)), Dense(1)], seed=1, dtype="float64")
        net.compile("adam", "mse", device=device)
        net.fit(X, Y, epochs=2, verbose=0)
        weights.append(net.storage.array)
    assert weights[1].dtype == np.float64
    np.testing.assert_allclose(*weights, rtol=1e-12)
