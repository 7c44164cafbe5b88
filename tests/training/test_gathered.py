"""Tables in parts: training, evaluating and predicting give the bits of the same table as an array."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from training_nets import digest

import fastnn
from fastnn import Input, Model, layers
from fastnn.backends.cpu import executor
from fastnn.callbacks import Callback
from fastnn.data import Gathered, Part
from fastnn.errors import DataError, DtypeError, ShapeError
from fastnn.models import Sequential
from fastnn.training.parts import check_parts

LAGS = 24


def windows(dtype="float32", numbers=900, lags=LAGS, seed=0):
    """Windows over a line of numbers, newest first: a view."""
    panel = np.random.default_rng(seed).standard_normal(numbers).astype(dtype)
    return np.lib.stride_tricks.sliding_window_view(panel, lags)[:, ::-1]


def parts(dtype="float32", rows=1_300, layout="backwards", seed=1):
    """Return windows, clipped and standardised column by column, beside a one-hot month."""
    rng = np.random.default_rng(seed)
    view = windows(dtype)
    if layout == "forwards":
        view = view[:, ::-1]
    elif layout == "strided":
        view = windows(dtype, lags=2 * LAGS)[:, ::2]
    elif layout == "copied":
        view = np.ascontiguousarray(view)
    elif layout == "columns first":
        view = np.asfortranarray(view)[::-1]
    numbers = {
        "low": rng.uniform(-3, -1, LAGS), "high": rng.uniform(1, 3, LAGS),
        "mean": rng.standard_normal(LAGS), "scale": rng.uniform(0.5, 2, LAGS),
    }  # fmt: skip
    first = Part(view, rng.integers(0, len(view), rows), **numbers)
    return Gathered([first, Part(np.eye(12, dtype=dtype), rng.integers(0, 12, rows))])


def wide(dtype="float32", columns=LAGS + 12, seed=1):
    """Row-major blocks."""
    model = Sequential(
        [
            layers.Dense(32, "relu", input_shape=(columns,)),
            layers.Dropout(0.3),
            layers.Dense(16, "relu"),
            layers.Dense(1, "sigmoid"),
        ],
        seed=seed,
        dtype=dtype,
    )
    model.compile("adam", "binary_crossentropy", metrics=["auc", "mae"])
    return model


def narrow(dtype="float32", columns=6, seed=1):
    """Blocks of (units, rows)."""
    model = Sequential(
        [layers.Dense(8, "tanh", input_shape=(columns,)), layers.Dense(1, "sigmoid")], seed=seed, dtype=dtype
    )
    model.compile("sgd", "binary_crossentropy", metrics=["mae"])
    return model


def normalized(dtype="float32", columns=LAGS + 12, seed=1):
    """Statistics of the whole batch."""
    model = Sequential(
        [layers.Dense(16, input_shape=(columns,)), layers.BatchNormalization(), layers.Dense(1, "sigmoid")],
        seed=seed,
        dtype=dtype,
    )
    model.compile("rmsprop", "binary_crossentropy")
    return model


NETS = {"wide": wide, "narrow": narrow, "normalized": normalized}


def few(dtype="float32", rows=1_300, layout="backwards"):
    """Return a table of six columns: parts of four and of two."""
    rng = np.random.default_rng(2)
    view = windows(dtype, lags=4)
    view = view[:, ::-1] if layout == "forwards" else view
    first = Part(view, rng.integers(0, len(view), rows), mean=0.1, scale=2.0, high=1.5)
    return Gathered([first, Part(rng.standard_normal((5, 2)).astype(dtype), rng.integers(0, 5, rows))])


def labels(rows=1_300):
    return np.random.default_rng(3).integers(0, 2, rows).astype(np.float32)


def everything(make, x, **options):
    """Return a digest of history, weights, predictions and evaluation."""
    model = make()
    y = labels(len(x))
    history = model.fit(x, y, verbose=0, epochs=2, **options)
    weight = options.get("sample_weight")
    scores = model.evaluate(x, y, verbose=0, sample_weight=weight)
    return digest(
        *(np.array(values) for values in history.history.values()), *model.get_weights(), model.predict(x),
        np.array(scores),
    )  # fmt: skip


@pytest.mark.parametrize("batch_size", [32, 300, 1_300], ids=lambda size: f"batch{size}")
@pytest.mark.parametrize("shuffle", [True, False], ids=["shuffled", "in_order"])
@pytest.mark.parametrize("net", NETS)
def test_bits_are_those_of_the_array(net, shuffle, batch_size):
    x = few() if net == "narrow" else parts()
    options = {"shuffle": shuffle, "batch_size": batch_size}
    found = everything(NETS[net], x, **options)
    assert found == everything(NETS[net], np.asarray(x), **options)
    assert found != everything(NETS[net], np.asarray(x) + 0.01, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("source", ["float32", "float64", "mixed"])
@pytest.mark.parametrize("net", ["wide", "narrow"])
def test_bits_for_any_dtypes(net, source, dtype):
    make = few if net == "narrow" else parts
    x = make("float64" if source == "float64" else "float32")
    if source == "mixed":
        x = Gathered([x.parts[0], make("float64").parts[1]])
        assert x.dtype == np.float64
    options = {"batch_size": 64}
    expected = everything(lambda: NETS[net](dtype), np.asarray(x), **options)
    assert everything(lambda: NETS[net](dtype), x, **options) == expected


@pytest.mark.parametrize("layout", ["forwards", "backwards", "strided", "copied", "columns first"])
def test_bits_for_any_strides(layout):
    x = parts(layout=layout)
    assert everything(wide, x, batch_size=32) == everything(wide, np.asarray(x), batch_size=32)
    x = few(layout=layout)
    assert everything(narrow, x, batch_size=32) == everything(narrow, np.asarray(x), batch_size=32)


@pytest.fixture
def sessions(monkeypatch):
    """Record every session that is made."""
    found = []
    original = executor.Session.__init__

    def init(self, *arguments, **named):
        original(self, *arguments, **named)
        found.append(self)

    monkeypatch.setattr(executor.Session, "__init__", init)
    return found


@pytest.mark.parametrize("net", ["wide", "narrow"])
def test_threads_and_blocks(net, sessions):
    """Large batches are cut into the same blocks and lanes whether rows are in place or put together."""
    x = few(rows=40_000) if net == "narrow" else parts(rows=12_000)
    y = labels(len(x))
    found = set()
    for table in (x, np.asarray(x)):
        for threads in (1, 2, 4):
            model = NETS[net]()
            model.fit(table, y, batch_size=len(x), epochs=2, verbose=0, threads=threads)
            found.add(digest(*model.get_weights(), model.predict(table, threads=threads)))
    assert len(found) == 1
    training = sessions[::2]
    assert len({(session.block, session.lanes) for session in training}) == 1
    assert max(session.threads for session in training) > 1, "the team was not used"
    assert training[0].lanes > 1 and training[0].block < len(x)


@pytest.mark.parametrize(
    "options",
    [
        {"validation_split": 0.25},
        {"sample_weight": np.linspace(0, 1, 1_300)},
        {"class_weight": {1: 3.0}},
        {"seed": 11},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_of_fit(options):
    x = parts()
    assert everything(wide, x, **options) == everything(wide, np.asarray(x), **options)


def test_some_steps_of_an_epoch():
    x = few()
    options = {"steps_per_epoch": 5, "batch_size": 32}
    assert everything(narrow, x, **options) == everything(narrow, np.asarray(x), **options)


def test_validation_data_and_callbacks():
    x = parts()
    y = labels()
    found = []
    for table in (x, np.asarray(x)):
        batches = []

        class Watch(Callback):
            def on_train_batch_end(self, batch, logs=None, seen=batches):
                seen.append(logs["loss"])

            def on_predict_batch_end(self, batch, logs=None, seen=batches):
                seen.append(float(logs["outputs"].sum()))

        model = wide()
        options = {"validation_data": (table[900:], y[900:]), "callbacks": [Watch()], "verbose": 0}
        history = model.fit(table[:900], y[:900], **options)
        model.predict(table[900:], callbacks=[Watch()])
        found.append((history.history, batches, model.train_on_batch(table[:50], y[:50])))
    assert found[0] == found[1] and len(found[0][1]) == 29 + 13


def test_one_of_several_inputs():
    def model():
        a, b, c = Input((LAGS + 12,), name="a"), Input((3,), name="b"), Input((1,), name="c", dtype="int32")
        codes = layers.Flatten()(layers.Embedding(5, 2)(c))
        hidden = layers.Dense(16, "relu")(layers.Concatenate()([a, b, codes]))
        made = Model([a, b, c], layers.Dense(1, "sigmoid")(hidden), seed=4)
        made.compile("adam", "binary_crossentropy")
        return made

    rng = np.random.default_rng(5)
    x = parts()
    others = [rng.standard_normal((1_300, 3)), rng.integers(0, 5, (1_300, 1))]
    found = []
    for first in (x, np.asarray(x)):
        for options in ({"batch_size": 32}, {"batch_size": 1_300}, {"shuffle": False, "batch_size": 100}):
            net = model()
            history = net.fit({"a": first, "b": others[0], "c": others[1]}, labels(), verbose=0, **options)
            found.append((history.history, digest(*net.get_weights(), net.predict([first, *others]))))
    assert found[:3] == found[3:]


def test_two_gathered_inputs_of_which_one_is_a_target():
    x, z = parts(), few()
    a, b = Input((LAGS + 12,)), Input((6,))
    found = []
    for tables in ((x, z), (np.asarray(x), np.asarray(z))):
        out = layers.Dense(6)(layers.Concatenate()([layers.Dense(4)(a), b]))
        model = Model([a, b], out, seed=1)
        model.compile("sgd", "mse")
        model.fit(list(tables), tables[1], batch_size=64, verbose=0)
        found.append(digest(*model.get_weights()))
    assert found[0] == found[1]


def test_programs_of_other_parts_are_other_programs():
    """Same width, same dtype, cut elsewhere."""
    table = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    model = narrow()
    expected = model.predict(table)
    rows = np.arange(50)
    for cuts in ((2,), (4,), (1, 3), ()):
        pieces = [Part(piece, rows) for piece in np.split(table, cuts, axis=1)]
        assert np.array_equal(model.predict(Gathered(pieces)), expected)
    backwards = Gathered([Part(np.ascontiguousarray(table[:, ::-1])[:, ::-1], rows)])
    assert np.array_equal(model.predict(backwards), expected)


def test_a_model_is_built_from_parts():
    model = Sequential([layers.Dense(4), layers.Dense(1)], seed=1)
    model.compile("sgd", "mse")
    model.fit(parts(), labels(), verbose=0)
    assert model.layers[0].get_weights()[0].shape == (LAGS + 12, 4)
    assert model.predict(parts()[:0]).shape == (0, 1)


def test_nothing_is_materialised(monkeypatch):
    """Fitting on windows of 40 MB takes the memory of an index; Python reads blocks, for the hash, only."""
    rows = 200_000
    view = windows(numbers=rows + 48 - 1, lags=48)
    x = Gathered([Part(view, np.arange(rows, dtype=np.int32), mean=0.1, scale=2.0, low=-3)])
    y = labels(rows)
    model = wide(columns=48)
    model.compile("adam", "binary_crossentropy")
    model.fit(x[:64], y[:64], verbose=0)  # compiles
    model.evaluate(x[:64], y[:64], verbose=0)
    model.predict(x[:64])
    put_together = Part.rows

    def block(part, index):
        assert len(index) * part.array.shape[1] * 4 <= 1 << 20
        return put_together(part, index)

    monkeypatch.setattr(Part, "rows", block)
    tracemalloc.start()
    try:
        model.fit(x, y, batch_size=1_024, validation_split=0.2, verbose=0)
        model.evaluate(x, y, verbose=0)
        model.predict(x[::4])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert x.nbytes == 200_000 * 48 * 4
    assert peak < x.nbytes / 8


# ------------------------------------------------------------------------------------------ at the door
def named(array, index, **numbers):
    names = [f"lag_{k}" for k in range(1, array.shape[1] + 1)]
    month = Part(np.eye(2, dtype=array.dtype), np.zeros(len(index), int), ["jan", "feb"])
    return Gathered([month, Part(array, index, names, **numbers)])


@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(value, overlapping):
    panel = np.arange(100, dtype=np.float32) / 100
    panel[50] = value
    view = np.lib.stride_tricks.sliding_window_view(panel, 4)[:, ::-1]
    view = view if overlapping else view.copy()
    x = named(view, [3, 90, 48, 49, 3])  # window 48 holds number 50 in its second column from the left
    what = "NaN" if np.isnan(value) else "infinity"
    message = rf"{what} in column 'lag_2', first in row 2 \(2 such values in 2 rows\)"
    with pytest.raises(DataError, match=message):
        narrow().predict(x)
    with pytest.raises(DataError, match=message):
        narrow().fit(x, labels(5), verbose=0)
    message = message.replace("'lag_2'", "3")
    with pytest.raises(DataError, match=message):
        narrow().predict(np.asarray(x))
    assert np.isfinite(narrow().predict(x[[0, 1, 4]])).all(), "a window that is not used does no harm"


@pytest.mark.parametrize("step", [1, -1, 2, -3])
@pytest.mark.parametrize("column_step", [1, -1])
@pytest.mark.parametrize("run", [1, 5])
def test_just_the_windows_that_hold_a_value_are_refused(step, column_step, run):
    panel = np.arange(14, dtype=np.float32)
    view = np.lib.stride_tricks.sliding_window_view(panel, 4)[::step, ::column_step]
    for position in range(len(panel)):
        panel[position : position + run] = np.nan
        for window in range(len(view)):
            x = Gathered([Part(view, [window, window])])
            try:
                check_parts(x, "float", "x", "float32")
                refused = False
            except DataError:
                refused = True
            assert refused == bool(np.isnan(view[window]).any())
        panel[:] = np.arange(14)


@pytest.mark.parametrize("overlapping", [True, False])
def test_what_clipping_makes_finite_is_good(overlapping):
    panel = np.linspace(-1, 1, 50, dtype=np.float32)
    panel[20] = np.inf
    view = np.lib.stride_tricks.sliding_window_view(panel, 4)
    x = named(view if overlapping else view.copy(), np.arange(40), high=5.0)
    assert np.array_equal(narrow().predict(x), narrow().predict(np.asarray(x)))


def test_what_a_transform_makes_too_large_is_named():
    view = np.full((3, 4), 1e30, np.float32)
    with pytest.raises(DataError, match=r"infinity in column 'lag_3', first in row 0"):
        narrow().predict(named(view, [0, 1, 2], scale=[1, 1, 1e-20, 1]))
    wide_numbers = named(view.astype(np.float64) * 1e20, [0, 1, 2])
    with pytest.raises(DataError, match="beyond float32, in column 'lag_1'"):
        narrow().predict(wide_numbers)
    assert np.isfinite(narrow("float64").predict(wide_numbers)).all()


def test_an_index_changed_since_is_refused():
    index = np.arange(20, dtype=np.int32)
    x = Gathered([Part(windows(lags=6), index)])
    index[7] = 10_000
    with pytest.raises(
        DataError, match=r"x: index of a part: expected rows of the array, 0 to 894\. .*10000"
    ):
        narrow().predict(x)


def test_inputs_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"x: expected shape \(rows, 6\)\. Received: \(1300, 36\)"):
        narrow().predict(parts())
    codes = Sequential([layers.Embedding(5, 2, input_shape=(6,)), layers.Flatten(), layers.Dense(1)])
    with pytest.raises(DtypeError, match=r"looked up in an embedding.*Received: a Gathered"):
        codes.predict(few())
    with pytest.raises(ShapeError, match="x has 1300 rows"):
        narrow().fit(few(), labels(5), verbose=0)
    assert fastnn.data.Gathered is Gathered
