"""Predictions reuse programs and sessions: the bits of a fresh session, and never those of another model."""

import gc
import os
import sys
import threading
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastnn import Input, Model, Sequential, backends, layers, ops
from fastnn.callbacks import Callback
from fastnn.errors import DataError, ShapeError
from fastnn.models import clone_model
from fastnn.training.prepared import KEPT_SESSIONS
from fastnn.training.step import predict_plan
from fastnn.training.table import readable_in_place, source_of

ROWS = [1, 2, 15, 16, 17, 64, 100, 333, 640, 700, 1000, 5000]


def numbers(rows, columns=20, dtype=np.float32):
    return np.random.default_rng(rows).standard_normal((rows, columns)).astype(dtype)


def wide(dtype="float32"):
    stack = [layers.Dense(64, "relu", input_shape=(20,)), layers.Dense(32, "tanh"), layers.Dense(3)]
    return Sequential(stack, seed=1, dtype=dtype)


def narrow(dtype="float32"):
    return Sequential(
        [layers.Dense(6, "relu", input_shape=(5,)), layers.Dense(2, "softmax")], seed=1, dtype=dtype
    )


def two_inputs():
    a, b = Input((4,), name="a"), Input((3,), name="b")
    both = layers.Concatenate()([layers.Dense(16, "relu")(a), layers.Dense(16)(b)])
    return Model([a, b], [layers.Dense(1, name="one")(both), layers.Dense(2, name="two")(both)], seed=1)


def fresh(model, x):
    """What a session made for this call alone computes."""
    given = x if isinstance(x, list) else [x]
    in_place = all(readable_in_place(array, model.dtype) for array in given)
    outputs = [np.empty((len(given[0]), *s.spec.shape), model.dtype) for s in model.outputs]
    session = backends.executor(model.device).Session(
        predict_plan(model, [source_of(array) for array in given], in_place).program,
        parameters=model.storage.array, inputs=given, outputs=outputs, batch_size=len(given[0]),
        epoch_rows=len(given[0]), total_rows=len(given[0]), threads=1,
    )  # fmt: skip
    with session:
        session.run(1, 1)
    return outputs if len(outputs) > 1 else outputs[0]


def same(model, x):
    """Predict three times, by each of the ways there are, and compare with a fresh session."""
    expected = fresh(model, x)
    for _ in range(3):
        found = model.predict(x, verbose=0)
        for one, other in zip(*((y if isinstance(y, list) else [y]) for y in (found, expected)), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


# --------------------------------------------------------------------------- the same bits
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make, columns", [(wide, 20), (narrow, 5)])
def test_same_bits_as_a_fresh_session(make, columns, dtype):
    model = make(dtype)
    for rows in (*ROWS, *ROWS[::-1]):
        same(model, numbers(rows, columns))
        same(model, numbers(rows, columns, np.float64))


def test_strided_and_read_only_arrays():
    model = wide()
    model.predict(numbers(3))
    for x in (np.asfortranarray(numbers(7)), numbers(14)[::2], numbers(5)[::-1], numbers(5, 40)[:, ::2]):
        expected = fresh(model, np.ascontiguousarray(x))
        x.setflags(write=False)
        for _ in range(3):
            np.testing.assert_array_equal(model.predict(x), expected)


def test_several_inputs_and_outputs():
    model = two_inputs()
    for rows in ROWS:
        same(model, [numbers(rows, 4), numbers(rows, 3)])


def test_result_is_the_callers_own():
    model = wide()
    x = numbers(4)
    first = [model.predict(x) for _ in range(3)]
    kept = first[0].copy()
    for y in first:
        y[...] = 7.0
    np.testing.assert_array_equal(model.predict(x), kept)


def test_threads_argument_and_verbose():
    model, x = wide(), numbers(9)
    expected = model.predict(x)
    for options in ({"threads": 1}, {"threads": 4}, {"verbose": 1}, {"verbose": 2}, {"verbose": 0}):
        np.testing.assert_array_equal(model.predict(x, **options), expected)
    for wrong in (3, "loud", None):
        with pytest.raises(ValueError, match="verbose"):
            model.predict(x, verbose=wrong)


def test_shapes_are_checked_after_a_prediction_too():
    model = wide()
    for _ in range(3):
        model.predict(numbers(4))
    for x in (numbers(4, 19), numbers(4)[0], np.float32(1.0)):
        with pytest.raises(ShapeError):
            model.predict(x)
    assert model.predict(numbers(4)[:0]).shape == (0, 3)
    np.testing.assert_array_equal(model.predict(numbers(4).tolist()), model.predict(numbers(4, dtype=float)))


# --------------------------------------------------------------------------- changes of the model
def test_new_weights_count():
    model, x = wide(), numbers(4)
    before = [model.predict(x) for _ in range(3)][-1]
    weights = model.get_weights()
    model.set_weights([2 * w for w in weights])
    same(model, x)
    assert not np.array_equal(model.predict(x), before)
    model.layers[0].set_weights([0 * w for w in weights[:2]])
    same(model, x)


def test_training_counts_also_between_its_epochs():
    model, x = wide(), numbers(64)
    model.compile("sgd", "mse")
    model.predict(x), model.predict(x)
    seen = []

    class Watch(Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(self.model.predict(x))
            np.testing.assert_array_equal(seen[-1], fresh(self.model, x))

    model.fit(x, np.ones((64, 3), np.float32), epochs=3, verbose=0, callbacks=[Watch()])
    assert not np.array_equal(seen[0], seen[2])
    same(model, x)


def test_loaded_weights_count(tmp_path):
    model, other, x = wide(), Sequential.from_config(wide().get_config()), numbers(4)
    other.set_weights([w + 1 for w in other.get_weights()])
    expected = other.predict(x)
    other.save_weights(tmp_path / "weights.fastnn")
    model.predict(x), model.predict(x)
    model.load_weights(tmp_path / "weights.fastnn")
    np.testing.assert_array_equal(model.predict(x), expected)


def test_changed_layers_count():
    model, x = wide(), numbers(4)
    model.predict(x), model.predict(x)
    model.layers[1].activation = "relu"
    same(model, x)
    assert (model.layers[1].activation, model.predict(x).shape) == ("relu", (4, 3))
    model.add(layers.Dense(2))
    same(model, x)
    assert model.predict(x).shape == (4, 2)
    model.pop(), model.pop()
    same(model, x)
    assert model.predict(x).shape == (4, 32)


def test_a_layer_shared_with_a_later_model_keeps_one_memory():
    shared = layers.Dense(8, "relu", name="shared")
    x = Input((20,))
    model = Model(x, layers.Dense(1, name="one")(shared(x)), seed=1)
    model.predict(numbers(4)), model.predict(numbers(4))
    z = Input((20,))
    other = Model(z, layers.Dense(2, name="two")(shared(z)), seed=2)  # moves the weights of both
    other.compile("sgd", "mse")
    other.fit(numbers(64), np.ones((64, 2)), verbose=0)
    same(model, numbers(4))


class Switching(layers.Layer):
    """Keeps what it computes in a list, which can be changed in place."""

    def __init__(self, names, **common):
        super().__init__(**common)
        self.names = names

    def call(self, trace, inputs):
        return trace.graph.emit(self.names[0], list(inputs))


def test_a_layer_of_the_users_own_is_traced_every_time():
    layer = Switching(["relu"], input_shape=(20,))
    model, x = Sequential([layer]), numbers(4)
    for _ in range(3):
        np.testing.assert_array_equal(model.predict(x), ops.relu(x))
    layer.names[0] = "tanh"
    np.testing.assert_array_equal(model.predict(x), ops.tanh(x))


def test_copies_share_nothing():
    model, x = wide(), numbers(4)
    expected = [model.predict(x) for _ in range(3)][-1]
    other = clone_model(model)
    other.set_weights([0 * w for w in other.get_weights()])
    assert not other.predict(x).any()
    assert not other.predict(x).any()
    np.testing.assert_array_equal(model.predict(x), expected)


# --------------------------------------------------------------------------- numbers that are not finite
@pytest.mark.parametrize("rows", [1, 30, 700, 5000])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_that_are_not_finite_are_refused(rows, bad, dtype):
    model, good = wide(), numbers(rows, dtype=dtype)
    expected = [model.predict(good) for _ in range(2)][-1]
    for row in {0, rows // 2, rows - 1}:
        x = good.copy()
        x[row, 13] = bad
        for _ in range(2):
            with pytest.raises(DataError, match=f"in column 13, first in row {row} "):
                model.predict(x)
    np.testing.assert_array_equal(model.predict(good), expected)


def test_numbers_too_large_for_float32_are_refused():
    model, x = wide(), numbers(4, dtype=np.float64)
    model.predict(x), model.predict(x)
    x[2, 5] = 1e39
    with pytest.raises(DataError, match="beyond float32, in column 5, first in row 2 "):
        model.predict(x)
    x[2, 5] = 3e38  # its square is too large, it is not
    model.predict(x)


@pytest.mark.parametrize("which", [0, 1])
def test_each_of_several_inputs_is_looked_at(which):
    model, x = two_inputs(), [numbers(5, 4), numbers(5, 3)]
    model.predict(x)
    x[which][3, 1] = np.nan
    with pytest.raises(DataError, match=rf"x\['{'ab'[which]}'\].*in column 1, first in row 3 "):
        model.predict(x)


def test_rows_beyond_the_steps_are_looked_at_as_before():
    model, x = wide(), numbers(40)
    x[39, 0] = np.nan
    with pytest.raises(DataError, match="first in row 39 "):
        model.predict(x, batch_size=4, steps=2)


# --------------------------------------------------------------------------- threads, forks, memory
def test_eight_threads_at_once():
    model = wide()
    tables = [numbers(rows) * k for k, rows in enumerate((1, 1, 2, 2, 100, 100, 100, 700), 1)]
    expected = [fresh(model, x) for x in tables]
    start = threading.Barrier(8)

    def work(k):
        start.wait()
        return all(np.array_equal(model.predict(tables[k]), expected[k]) for _ in range(1000))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change places within a prediction, not between
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(8)))
    finally:
        sys.setswitchinterval(interval)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_predicting_after_a_fork_while_another_thread_predicts():
    model, x, large = wide(), numbers(4), numbers(1000)
    expected, expected_large = fresh(model, x), fresh(model, large)
    stop = threading.Event()

    def busy():
        while not stop.is_set():
            model.predict(x), model.predict(large)

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if not child:
                good = np.array_equal(model.predict(x), expected)
                good &= np.array_equal(model.predict(large), expected_large)
                os._exit(0 if good else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_arrays_of_the_caller_are_not_kept():
    model = two_inputs()
    for rows in (1, 40, 3000):
        x = [numbers(rows, 4), numbers(rows, 3)]
        outputs = model.predict(x)
        arrays = [weakref.ref(array) for array in (*x, *outputs)]
        del x, outputs
        assert not any(ref() is not None for ref in arrays)


def test_models_are_freed_with_their_sessions():
    model, x = wide(), numbers(4)
    model.predict(x), model.predict(numbers(3000))
    prepared = weakref.ref(model.prepared)
    del model
    gc.collect()
    assert prepared() is None


def test_memory_stays_flat():
    def use(count):
        for rows in range(1, count):
            model = narrow()
            for _ in range(3):
                model.predict(numbers(rows % 50 + 1, 5))
        one = wide()
        for rows in range(600, 600 + count):  # each has a session of its own, of which some are kept
            one.predict(numbers(rows))
        assert len(one.prepared._free) <= KEPT_SESSIONS

    use(20)
    gc.collect()
    tracemalloc.start()
    try:
        use(20)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        use(60)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 100_000


# --------------------------------------------------------------------------- callbacks
def test_callbacks_are_called_with_every_batch():
    model, x = wide(), numbers(50)
    expected = model.predict(x)
    calls = []

    class Watch(Callback):
        def on_predict_begin(self, logs=None):
            calls.append("begin")

        def on_predict_batch_end(self, batch, logs=None):
            calls.append(len(logs["outputs"]))

        def on_predict_end(self, logs=None):
            calls.append("end")

    for _ in range(2):
        found = model.predict(x, batch_size=20, callbacks=[Watch()])
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert calls == ["begin", 20, 20, 10, "end"] * 2


def test_data_are_refused_before_a_callback_is_called():
    model, x = wide(), numbers(5)
    x[1, 1] = np.inf
    calls = []

    class Watch(Callback):
        def on_predict_begin(self, logs=None):
            calls.append("begin")

    with pytest.raises(DataError):
        model.predict(x, callbacks=[Watch()])
    assert calls == []
