"""Rows that are read piece by piece: the same bits as arrays, one thread at a time, errors that say where."""

import itertools
import multiprocessing
import os
import signal
import threading
import traceback
import warnings

import numpy as np
import pytest

from fastnn.callbacks import BackupAndRestore, Callback, LambdaCallback
from fastnn.data import ArraySource, BatchSource, PyDataset
from fastnn.errors import ArgumentError, DataError, DtypeError, NonFiniteLossError, ShapeError
from fastnn.layers import BatchNormalization, Concatenate, Dense, Dropout, Input
from fastnn.models import Model, Sequential
from fastnn.training import feed as feeding

ROWS, COLUMNS = 1003, 20
X = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
Y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(np.float32)
WEIGHT = np.random.default_rng(1).random(ROWS).astype(np.float32)


def network(metrics=("mae",), loss="mse", layers=(), columns=COLUMNS, **options):
    layers = [Dense(16, "relu", input_shape=(columns,)), *layers, Dense(1, "sigmoid")]
    model = Sequential(layers, seed=1, **options)
    model.compile("adam", loss, metrics=list(metrics))
    return model


def outcome(model, *data, **options):
    """Train, and return the history and the weights."""
    options = {"epochs": 3, "verbose": 0, **options}
    history = model.fit(*data, **options)
    return {**history.history, **{str(n): w.tolist() for n, w in enumerate(model.get_weights())}}


def batches_of(size=32, x=X, y=Y):
    return [(x[at : at + size], y[at : at + size]) for at in range(0, len(x), size)]


def endlessly(batches):
    while True:
        yield from batches


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "fastnn prefetch"]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert readers() == []


# --------------------------------------------------------------------------- the same bits
@pytest.mark.parametrize("window", [None, 1, 100, 320], ids=lambda window: f"window {window}")
@pytest.mark.parametrize("batch", [1, 32, 300, ROWS + 50], ids=lambda batch: f"batch {batch}")
def test_blocks_make_no_difference(batch, window):
    options = {"batch_size": batch, "shuffle": False, "epochs": 2}
    if batch == 1:
        options["epochs"] = 1
    expected = outcome(network(), X.astype(np.float64), Y, **options)
    found = outcome(network(), ArraySource(X.astype(np.float64), Y, window=window), **options)
    if batch > ROWS:  # arrays are laid out anew for a full batch
        for key in expected:
            np.testing.assert_allclose(found[key], expected[key], rtol=2e-4, atol=1e-6)
    else:
        assert found == expected


CASES = {
    "float32": {},
    "weighted": {"weight": WEIGHT},
    "class weights": {"fit": {"class_weight": {0: 0.5, 1: 2.0}}},
    "batch norm": {"layers": [BatchNormalization]},
    "dropout": {"layers": [lambda: Dropout(0.3)]},
    "some steps": {"fit": {"steps_per_epoch": 7}},
    "two threads": {"fit": {"threads": 2, "batch_size": 500}},
    "float64": {"dtype": "float64"},
    "narrow": {"columns": 2},
    "another seed": {"fit": {"seed": 5}, "layers": [lambda: Dropout(0.3)]},
    "auc": {"metrics": ["AUC", "mae"]},
    "auc of some steps": {"metrics": ["AUC"], "fit": {"steps_per_epoch": 7}},
}


@pytest.mark.parametrize("case", CASES)
def test_sources_train_as_arrays(case):
    given = CASES[case]
    columns, weight = given.get("columns", COLUMNS), given.get("weight")
    x = np.ascontiguousarray(X[:, :columns], given.get("dtype", "float32"))
    results = []
    for streamed in (False, True):
        layers = [make() for make in given.get("layers", [])]
        settings = {"dtype": given["dtype"]} if "dtype" in given else {}
        model = network(given.get("metrics", ["mae"]), "binary_crossentropy", layers, columns, **settings)
        data = [ArraySource(x, Y, weight, window=96)] if streamed else [x, Y]
        more = {} if streamed or weight is None else {"sample_weight": weight}
        results.append(outcome(model, *data, shuffle=False, **given.get("fit", {}), **more))
    assert results[0] == results[1]


def test_several_inputs_and_outputs():
    def model():
        one, two = Input((4,), name="one"), Input((3,), name="two")
        hidden = Dense(8, "tanh")(Concatenate()([one, two]))
        made = Model([one, two], [Dense(1, name="a")(hidden), Dense(3, "softmax", name="b")(hidden)], seed=2)
        made.compile(
            "adam", {"a": "mse", "b": "sparse_categorical_crossentropy"}, metrics={"b": ["accuracy"]}
        )
        return made

    x = {"one": X[:, :4].copy(), "two": X[:, 4:7].copy()}
    y = {"a": X[:, :1].copy(), "b": (np.abs(X[:, 2]) > 1).astype(int)}
    expected = outcome(model(), x, y, shuffle=False)
    assert outcome(model(), ArraySource(x, y, window=100), shuffle=False) == expected
    pieces = [[{k: v[at : at + 32] for k, v in d.items()} for d in (x, y)] for at in range(0, ROWS, 32)]
    assert outcome(model(), BatchSource(pieces)) == expected


def test_a_model_is_built_from_a_source():
    for data in (ArraySource(X, Y), endlessly(batches_of()), BatchSource(batches_of())):
        model = Sequential([Dense(4), Dense(1)], seed=1)
        model.compile("sgd", "mse")
        model.fit(data, steps_per_epoch=3, verbose=0)
        assert model.count_params() == 21 * 4 + 5


# --------------------------------------------------------------------------- the order
class Seen(PyDataset):
    """Notes what is asked for."""

    def __init__(self, size=32):
        super().__init__()
        self.size, self.calls = size, []

    def __len__(self):
        return -(-ROWS // self.size)

    def __getitem__(self, index):
        self.calls.append(index)
        rows = slice(index * self.size, (index + 1) * self.size)
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.calls.append("end")


def order_trained(source, **options):
    """Return the rows in the order they are trained on, by their numbers in the data."""
    model = Sequential([Dense(1, input_shape=(1,))], seed=3)
    model.compile("sgd", "mse")
    feed = feeding.Feed(model, source, source.sample(), 10, True, **options)
    found = []
    for epoch in range(2):
        feed.begin(7, epoch)
        last = False
        while not last:
            block = feed.take()
            found.append(block.arrays[0][: block.rows, 0].copy())
            last = block.last
        feed.begin(7, epoch + 1)
    feed.close()
    return found


def test_every_row_comes_once_an_epoch_in_another_order():
    rows = np.arange(10_000.0)
    blocks = order_trained(ArraySource(rows, rows, window=2000))
    assert len(blocks) == 10 and all(len(block) == 2000 for block in blocks)
    first, second = np.concatenate(blocks[:5]), np.concatenate(blocks[5:])
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(epoch), rows)
    assert not np.array_equal(first, second)
    steps = np.diff(first)
    assert (steps == 1).mean() < 0.01  # neighbours are torn apart
    assert [sorted(np.unique(block // 4096)) for block in blocks[:5]] != [[0], [0], [0, 1], [1], [1, 2]]


def test_every_block_has_an_order_of_its_own():
    rows = np.arange(4000.0)  # one run of the source
    first, second = order_trained(ArraySource(rows, rows, window=2000))[:2]
    np.testing.assert_array_equal(np.sort(second), rows[2000:])
    assert not np.array_equal(first, second - 2000)


def test_some_steps_of_a_shuffled_epoch():
    rows = np.arange(10_000.0)
    whole = order_trained(ArraySource(rows, rows, window=2000))
    some = order_trained(ArraySource(rows, rows, window=2000), steps=333)
    np.testing.assert_array_equal(np.concatenate(some[:2]), np.concatenate(whole[:5])[:3330])


@pytest.mark.parametrize("blocks", [3, 7])
@pytest.mark.parametrize("threads", [1, 2])
def test_shuffles_do_not_depend_on_threads(monkeypatch, threads, blocks):
    monkeypatch.setattr(feeding, "BLOCKS", blocks)
    options = {"threads": threads, "batch_size": 250, "epochs": 2}
    found = outcome(network(), ArraySource(X, Y, window=250), **options)
    monkeypatch.undo()
    assert found == outcome(network(), ArraySource(X, Y, window=250), **options | {"threads": 1})
    assert found != outcome(network(), ArraySource(X, Y, window=250), **options, seed=9)


def test_an_early_stop_and_another_fit_go_on():
    def train(*epochs):
        model = network()
        for count in epochs:
            model.fit(ArraySource(X, Y, window=200), epochs=count, verbose=0)
        return [weights.tolist() for weights in model.get_weights()]

    assert train(3) == train(1, 2)


# --------------------------------------------------------------------------- batches
def test_batches_of_every_kind_train_as_arrays():
    expected = outcome(network(), X, Y, shuffle=False)
    found = {
        "list": outcome(network(), BatchSource(batches_of())),
        "generator": outcome(network(), endlessly(batches_of()), steps_per_epoch=32),
        "iterator": outcome(network(), iter(batches_of() * 3), steps_per_epoch=32),
        "PyDataset": outcome(network(), Seen(), shuffle=False),
        "iterable without a length": outcome(network(), Unsized(batches_of())),
    }
    assert found == dict.fromkeys(found, expected)


class Unsized:
    """Can be iterated anew, and has no length."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_a_torch_loader():
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    loader = torch.utils.data.DataLoader(data, batch_size=32)
    assert outcome(network(), loader) == outcome(network(), X, Y, shuffle=False)


def test_batches_may_be_shorter_anywhere():
    sizes = [50, 50, 7, 50, 1, 1, 49]
    ends = np.cumsum(sizes)
    batches = [(X[end - size : end], Y[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
    model, expected = network(), network()
    steps = []
    batch_ends = LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    model.fit(BatchSource(batches), verbose=0, callbacks=[batch_ends])
    for x, y in batches:
        expected.train_on_batch(x, y)
    assert steps == list(range(7)) and model.iterations == 7
    for one, other in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_weights_and_lists_in_batches():
    weighted = [
        (X[at : at + 32].tolist(), Y[at : at + 32], WEIGHT[at : at + 32]) for at in range(0, ROWS, 32)
    ]
    expected = outcome(network(), X.astype(float), Y, sample_weight=WEIGHT, shuffle=False)
    assert outcome(network(), BatchSource(weighted)) == expected


def test_a_generator_gives_no_more_than_is_trained_on():
    drawn = []

    def batches():
        for number in itertools.count():
            drawn.append(number)
            yield X[:32], Y[:32]

    generator = batches()
    network().fit(generator, epochs=2, steps_per_epoch=5, verbose=0)
    assert drawn == list(range(10))
    network().fit(generator, steps_per_epoch=1, verbose=0, validation_data=generator, validation_steps=2)
    assert drawn == list(range(13))


def test_a_slow_generator_is_trained_on_as_it_comes():
    trained = threading.Semaphore(0)

    def batches():
        for number in range(6):
            if number > 1:  # one is drawn ahead, as it might be the last
                assert trained.acquire(timeout=20)
            yield X[:32], Y[:32]

    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: trained.release())
    network().fit(batches(), verbose=0, callbacks=[watch])


def test_a_dataset_hears_of_epochs_and_is_shuffled():
    data = Seen()
    network().fit(data, epochs=2, verbose=0)
    assert data.calls.count("end") == 2 and data.calls[-1] == "end"
    first, second = data.calls[1:33], data.calls[34:66]  # the first is a sample
    assert sorted(first) == sorted(second) == list(range(32)) and first != second
    again = Seen()
    network().fit(again, epochs=2, verbose=0)
    assert again.calls == data.calls
    calm = Seen()
    network().fit(calm, shuffle=False, steps_per_epoch=3, epochs=2, verbose=0)
    assert calm.calls == [0, 0, 1, 2, "end", 0, 1, 2, "end"]


# --------------------------------------------------------------------------- evaluate, predict, metrics
def test_evaluate_and_predict():
    model = network(["mae", "AUC"], "binary_crossentropy")
    model.fit(X, Y, verbose=0)
    expected = model.evaluate(X, Y)
    for data in (ArraySource(X, Y, window=100), BatchSource(batches_of()), iter(batches_of()), Seen()):
        np.testing.assert_allclose(model.evaluate(data), expected, rtol=1e-12)
    weighted = model.evaluate(X, Y, sample_weight=WEIGHT)
    np.testing.assert_allclose(model.evaluate(ArraySource(X, Y, WEIGHT, window=7)), weighted, rtol=1e-12)
    np.testing.assert_allclose(
        model.evaluate(ArraySource(X, Y), batch_size=10, steps=7), model.evaluate(X[:70], Y[:70]), rtol=1e-12
    )
    expected = model.predict(X)
    for data in (
        ArraySource(X),
        ArraySource(X, Y, window=99),
        iter(batches_of()),
        (x for x, _ in batches_of()),
    ):
        np.testing.assert_array_equal(model.predict(data), expected)
    np.testing.assert_array_equal(model.predict(endlessly(batches_of()), steps=3), expected[:96])


class Counter(Callback):
    """Counts the hooks of batches."""

    def __init__(self):
        super().__init__()
        self.batches = {}

    def _count(self, what, batch):
        self.batches.setdefault(what, []).append(batch)

    def on_train_batch_begin(self, batch, logs=None):
        self._count("train begin", batch)

    def on_train_batch_end(self, batch, logs=None):
        self._count("train", batch)
        self.loss = logs["loss"]

    def on_test_batch_end(self, batch, logs=None):
        self._count("test", batch)

    def on_predict_batch_end(self, batch, logs=None):
        self._count("predict", batch)


@pytest.mark.parametrize("known", [True, False], ids=["steps known", "steps unknown"])
def test_batch_hooks(known):
    data = BatchSource(batches_of()) if known else Unsized(batches_of())
    seen, plain = Counter(), Counter()
    model = network(["mae", "AUC"])
    history = model.fit(data, epochs=2, verbose=0, callbacks=[seen], validation_data=data)
    expected = network(["mae", "AUC"])
    expected.fit(X, Y, epochs=2, verbose=0, callbacks=[plain], validation_data=(X, Y), shuffle=False)
    assert seen.batches == plain.batches and seen.loss == plain.loss == history.history["loss"][-1]
    assert seen.params["steps"] == (32 if known else None)
    expected.evaluate(data, callbacks=[seen])
    expected.predict(data, callbacks=[seen])
    assert seen.batches["test"] == [*range(32)] * 3 and seen.batches["predict"] == [*range(32)]


def test_validation_data():
    expected = network(["AUC"]).fit(X, Y, epochs=4, verbose=0, shuffle=False, validation_data=(X, Y)).history
    given = {
        "source": ArraySource(X, Y, window=100),
        "dataset": Seen(),
        "iterable": BatchSource(batches_of()),
    }
    for data in given.values():
        found = network(["AUC"]).fit(X, Y, epochs=4, verbose=0, shuffle=False, validation_data=data).history
        assert found["loss"] == expected["loss"]
        np.testing.assert_allclose(found["val_loss"], expected["val_loss"], rtol=1e-12)
        assert found["val_AUC"] == expected["val_AUC"]
    generator = endlessly(batches_of())
    options = {"validation_data": generator, "validation_steps": 5, "validation_freq": 2}
    history = network().fit(ArraySource(X, Y), epochs=4, verbose=0, **options).history
    assert len(history["val_loss"]) == 2


# --------------------------------------------------------------------------- what goes wrong
def test_an_error_of_a_generator_arrives_with_its_traceback():
    def batches():
        yield from batches_of()[:5]
        broken()

    def broken():
        raise RuntimeError("the disk is on fire")

    model = network()
    before = model.get_weights()[0].copy()
    with pytest.raises(RuntimeError, match=r"on fire") as raised:
        model.fit(batches(), verbose=0)
    assert "broken" in "".join(traceback.format_tb(raised.value.__traceback__))
    assert readers() == []
    assert np.isfinite(model.get_weights()[0]).all() and not np.array_equal(model.get_weights()[0], before)
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_no_thread_outlives_an_interrupt(error):
    def stop(batch, logs):
        if batch == 40:
            raise error

    with pytest.raises(error):
        network().fit(
            endlessly(batches_of()), steps_per_epoch=100, verbose=0,
            callbacks=[LambdaCallback(on_train_batch_end=stop)],
        )  # fmt: skip
    assert readers() == []


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="needs POSIX signals")
def test_ctrl_c_while_waiting_for_a_batch():
    go_on = threading.Event()

    def batches():
        yield from batches_of()[:3]
        os.kill(os.getpid(), signal.SIGINT)
        go_on.wait(0.5)  # meanwhile training waits for this batch
        yield from batches_of()

    model = network()
    with pytest.raises(KeyboardInterrupt):
        model.fit(batches(), verbose=0)
    assert readers() == [] and model.iterations < 4
    model.fit(X, Y, verbose=0)


def test_stop_training():
    model = network()
    stop = LambdaCallback(on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", True))
    model.fit(ArraySource(X, Y, window=32), epochs=5, verbose=0, callbacks=[stop])
    assert model.iterations == 1


def bad_batch(number, x=None, y=None, weight=None):
    batches = [list(batch) for batch in batches_of()]
    batches[number] = [batches[number][0] if x is None else x, batches[number][1] if y is None else y]
    if weight is not None:
        batches[number].append(weight)
    return BatchSource(batches)


NAN = X[:32].copy()
NAN[3, 5] = np.nan
BAD = {
    "NaN": (bad_batch(9, NAN), DataError, "batch 9, x: .*NaN in column 5, first in row 3"),
    "too wide": (bad_batch(9, np.zeros((32, 21))), ShapeError, r"batch 9, x: expected shape \(rows, 20\)"),
    "too few targets": (bad_batch(9, y=Y[:31]), ShapeError, "batch 9, y: x has 32 rows"),
    "too long": (
        bad_batch(9, X[:33], Y[:33]),
        DataError,
        "batch 9: expected at most as many rows .* 32.*: 33",
    ),
    "another dtype": (
        bad_batch(9, X[:32].astype(float)),
        DtypeError,
        "batch 9: expected the dtypes .*float64",
    ),
    "weights at once": (
        bad_batch(9, weight=WEIGHT[:32]),
        DataError,
        "batch 9: expected sample weights in all",
    ),
    "four items": (BatchSource([(1, 2, 3, 4)]), ArgumentError, "batch 0: expected .x, y.* 4 items"),
    "nothing": (BatchSource([]), DataError, "at least one row"),
    "an empty generator": (iter([]), DataError, "at least one batch"),
    "no rows": (BatchSource([(X[:0], Y[:0])]), DataError, "at least one row"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_batches(case):
    data, error, message = BAD[case]
    model = network()
    with pytest.raises(error, match=message):
        model.fit(data, verbose=0)
    assert readers() == [] and all(np.isfinite(weights).all() for weights in model.get_weights())
    model.fit(X, Y, verbose=0)
    with pytest.raises(error, match=message.replace("batch 9", "validation batch 9")):
        model.fit(X, Y, validation_data=data, epochs=1, verbose=0)


def test_a_generator_that_runs_out():
    model = network()
    with pytest.raises(
        DataError, match=r"the list_iterator ran out of batches: expected 20.* 12 in this one"
    ):
        model.fit(iter(batches_of()), steps_per_epoch=20, epochs=2, verbose=0)
    assert model.iterations == 32
    with pytest.raises(ArgumentError, match=r"once only: expected `steps_per_epoch`.* 2 epochs"):
        model.fit(iter(batches_of()), epochs=2, verbose=0)
    with pytest.raises(ArgumentError, match=r"once only: expected `validation_steps`"):
        model.fit(X, Y, epochs=2, verbose=0, validation_data=iter(batches_of()))


def test_arguments_that_do_not_go_with_a_source():
    source = ArraySource(X, Y)
    for name, value in {"y": Y, "sample_weight": WEIGHT, "validation_split": 0.2}.items():
        with pytest.raises(ArgumentError, match=rf"`{name}` of fit is for arrays; ArraySource"):
            network().fit(source, **{name: value})
    with pytest.raises(ArgumentError, match=r"`y` of evaluate"):
        network().evaluate(source, Y)
    for data in (Seen(), iter(batches_of())):
        with pytest.raises(ArgumentError, match=r"`batch_size` of fit .* makes batches itself"):
            network().fit(data, batch_size=32)
    with pytest.raises(ArgumentError, match=r"workers=1"):
        PyDataset(workers=2)
    with pytest.raises(ArgumentError, match=r"`window`"):
        ArraySource(X, Y, window=0)
    with pytest.raises(ShapeError, match=r"equally many rows.*\[3, 1003\]"):
        ArraySource(X, Y[:3])


def test_a_loss_that_overflows():
    model = network(loss="mse")
    bad = Y.copy()
    bad[640] = 1e38
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, step 21 of 32"):
        model.fit(ArraySource(X, bad, window=96), shuffle=False, verbose=0)
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, step 21, with"):
        network().fit((batch for batch in batches_of(y=bad)), verbose=0)
    assert all(np.isfinite(weights).all() for weights in model.get_weights())


# --------------------------------------------------------------------------- going on
def test_a_resumed_training_has_the_same_bits(tmp_path):
    def train(folder, callbacks=(), **options):
        model = network(["AUC"], layers=[Dropout(0.2)])
        backup = BackupAndRestore(folder, delete_checkpoint=False)
        source = ArraySource(X, Y, window=100)
        data = {"validation_data": ArraySource(X[:100], Y[:100])}
        history = model.fit(
            source, epochs=5, batch_size=20, verbose=0, callbacks=[backup, *callbacks], **data, **options
        )
        return history.certificate(), outcome_of(model, history)

    def outcome_of(model, history):
        return history.history, [weights.tolist() for weights in model.get_weights()]

    def cut(epoch, logs):
        if epoch == 2:
            raise OSError("power cut")

    whole = train(tmp_path / "whole", [LambdaCallback()])
    with pytest.raises(OSError, match=r"power cut"):
        train(tmp_path / "cut", [LambdaCallback(on_epoch_end=cut)])
    assert train(tmp_path / "cut", [LambdaCallback()], threads=2) == whole
    with pytest.raises(ArgumentError, match=r"another training. .*batch_size"):
        network(["AUC"], layers=[Dropout(0.2)]).fit(
            ArraySource(X, Y), epochs=5, batch_size=30, verbose=0, resume=tmp_path / "cut"
        )


def test_backups_are_for_whole_epochs(tmp_path):
    with pytest.raises(ArgumentError, match=r"expected save_freq='epoch'"):
        network().fit(ArraySource(X, Y), verbose=0, callbacks=[BackupAndRestore(tmp_path, save_freq=3)])


def _train_in_child(results):
    model = network()
    results.put(outcome(model, ArraySource(X, Y, window=100)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="the system does not fork")
def test_a_forked_child_streams_too():
    expected = outcome(network(), ArraySource(X, Y, window=100))
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_train_in_child, args=(results,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside other tests' threads
        child.start()
    found = results.get(timeout=60)
    child.join(timeout=60)
    assert found == expected and child.exitcode == 0
