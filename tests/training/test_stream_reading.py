"""What makes reading piece by piece cheap, and changes no bit: batches put together, early rows."""

import threading
import tracemalloc

import numpy as np
import pytest

from fastnn.callbacks import LambdaCallback
from fastnn.data import ArraySource, BatchSource, FileSource, PyDataset
from fastnn.errors import DataError, DtypeError
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import SGD
from fastnn.rows import Piece, Source
from fastnn.rows.bunch import Bunch
from fastnn.training import feed as feeding

ROWS, COLUMNS = 700, 6
X = np.random.default_rng(0).standard_normal((ROWS, COLUMNS)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)


def network():
    model = Sequential([Dense(8, "relu", input_shape=(COLUMNS,)), Dense(1, "sigmoid")], seed=1)
    model.compile("adam", "binary_crossentropy")
    return model


def outcome(*data, **options):
    model = network()
    history = model.fit(*data, **{"epochs": 3, "verbose": 0, "shuffle": False, **options})
    return history.history, [weights.tolist() for weights in model.get_weights()]


def batches_of(size=10):
    return [(X[at : at + size], Y[at : at + size]) for at in range(0, ROWS, size)]


@pytest.fixture
def checks(monkeypatch):
    """Return the rows of each check that a feed makes."""
    counts, check = [], feeding.Feed._read

    def counted(self, piece):
        table = check(self, piece)
        counts.append(table.rows)
        return table

    monkeypatch.setattr(feeding.Feed, "_read", counted)
    return counts


# --------------------------------------------------------------------------- batches put together
def test_batches_are_checked_together(monkeypatch, checks):
    monkeypatch.setattr(feeding.Feed, "_nothing_ready", lambda self: False)
    monkeypatch.setattr(feeding, "BUNCH_ROWS", 95)
    expected = outcome(X, Y, batch_size=10)
    assert outcome(BatchSource(batches_of())) == expected
    assert checks == [10, *([90] * 7 + [70]) * 3]


def test_one_batch_at_a_time_has_the_same_bits(monkeypatch):
    expected = outcome(X, Y, batch_size=10)
    for ready in (False, True):
        monkeypatch.setattr(feeding.Feed, "_nothing_ready", lambda self, ready=ready: ready)
        assert outcome(BatchSource(batches_of())) == expected


def test_batches_of_mixed_forms(monkeypatch, checks):
    monkeypatch.setattr(feeding.Feed, "_nothing_ready", lambda self: False)
    batches = batches_of()
    batches[3] = (X[30:40].tolist(), Y[30:40])  # a list is read on its own, as float64
    with pytest.raises(DtypeError, match=r"batch 3: expected the dtypes of the first batch, float32"):
        network().fit(BatchSource(batches), verbose=0)
    batches[3] = (X[30:40], Y[30:40].astype(np.float16))
    batches[5] = (X[50:60], Y[50:60].reshape(-1, 1))
    checks.clear()
    assert outcome(BatchSource(batches)) == outcome(X, Y, batch_size=10)
    assert checks[:7] == [10, 30, 10, 10, 10, 640, 30]


@pytest.mark.parametrize("steps", [70, None])
def test_a_buffer_that_is_filled_again_and_again(monkeypatch, steps):
    monkeypatch.setattr(feeding.Feed, "_nothing_ready", lambda self: False)

    def batches():
        x, y = np.empty((10, COLUMNS), np.float32), np.empty(10, np.float32)
        for number in range(70):
            x[:], y[:] = X[number * 10 :][:10], Y[number * 10 :][:10]
            yield x, y

    assert outcome(batches(), epochs=1, steps_per_epoch=steps) == outcome(X, Y, batch_size=10, epochs=1)


@pytest.mark.parametrize("number", [0, 17, 69])
def test_the_batch_at_fault_is_named_and_those_before_it_are_trained_on(monkeypatch, number):
    monkeypatch.setattr(feeding.Feed, "_nothing_ready", lambda self: False)
    bad = X.copy()
    bad[number * 10 + 3, 2] = np.nan
    model = network()
    batches = [(bad[at : at + 10], Y[at : at + 10]) for at in range(0, ROWS, 10)]
    with pytest.raises(DataError, match=rf"batch {number}, x: .*NaN in column 2, first in row 3 "):
        model.fit(BatchSource(batches), verbose=0)
    assert model.iterations == number


def test_batches_before_a_generators_own_error_are_trained_on(monkeypatch):
    monkeypatch.setattr(feeding.Feed, "_nothing_ready", lambda self: False)

    def batches():
        yield from batches_of()[:9]
        raise RuntimeError("the disk is on fire")

    model = network()
    with pytest.raises(RuntimeError, match="on fire"):
        model.fit(batches(), verbose=0, steps_per_epoch=70)
    assert model.iterations == 9


def test_rows_of_a_megabyte():
    """A block is one batch then, and smaller than a bunch might be."""
    wide = np.random.default_rng(0).standard_normal((12, 1 << 20)).astype(np.float32)
    model = Sequential([Dense(1, input_shape=(1 << 20,))], seed=1)
    model.compile("sgd", "mse")
    model.fit(BatchSource([(wide[at : at + 3], np.ones(3)) for at in range(0, 12, 3)]), verbose=0)
    assert model.iterations == 4


def test_what_a_bunch_takes():
    bunch = Bunch(8)
    one = Piece(np.ones((3, 2)), np.ones(3), None, "one")
    assert bunch.add(one) and not bunch.full and bunch.add(one) and bunch.full and not bunch.add(one)
    assert bunch.filled == 6 and bunch.together().y.shape == (6,) and bunch.together().sample_weight is None
    bunch.clear()
    for x in ([[1.0, 2.0]], np.ma.ones((3, 2)), np.float32(3), np.ones((0, 2)), np.ones((9, 2)), "text"):
        assert not bunch.add(Piece(x))
    assert not bunch.add(Piece(np.ones((3, 2)), np.ones(2)))
    assert bunch.add(one)
    assert not bunch.add(Piece(np.ones((3, 2), int), np.ones(3)))
    assert not bunch.add(Piece(np.ones((3, 3)), np.ones(3)))
    assert not bunch.add(Piece(np.ones((3, 2)), np.ones(3), np.ones(3)))


# --------------------------------------------------------------------------- rows handed over early
class Pieces(Source):
    """Rows in units of 70; the second may wait to be read until the first is trained on."""

    def __init__(self, waits=False):
        super().__init__()
        self.trained, self.waits = threading.Semaphore(0), waits

    def units(self):
        return [70] * (ROWS // 70)

    def read(self, unit):
        if unit == 1 and self.waits:
            for _ in range(4):  # batches of 16, which leave six rows
                assert self.trained.acquire(timeout=20)
        rows = slice(unit * 70, (unit + 1) * 70)
        yield Piece(X[rows], Y[rows], None, f"unit {unit}")


def test_rows_come_before_their_block_is_full():
    source = Pieces(waits=True)
    watch = LambdaCallback(on_train_batch_end=lambda batch, logs: source.trained.release())
    found = outcome(source, batch_size=16, epochs=2, callbacks=[watch])
    assert found == outcome(X, Y, batch_size=16, epochs=2)


@pytest.mark.parametrize("waited", [False, True], ids=["never", "always"])
def test_early_rows_change_no_bit(monkeypatch, waited):
    monkeypatch.setattr(feeding.Feed, "_nothing_ready", lambda self: waited)
    for options in ({"shuffle": False}, {"shuffle": True}, {"shuffle": False, "steps_per_epoch": 7}):
        expected = outcome(ArraySource(X, Y, window=100), batch_size=16, **options)
        assert outcome(Pieces(), batch_size=16, **options) == expected or options["shuffle"]
    taken, take = [], feeding.Feed.take
    monkeypatch.setattr(feeding.Feed, "take", lambda self: taken.append(take(self)) or taken[-1])
    network().evaluate(Pieces(), batch_size=16)  # sums are taken block by block: those must not vary
    assert [block.rows for block in taken] == [ROWS]


# --------------------------------------------------------------------------- epochs, one after the other
class Passes(ArraySource):
    """Notes which passes are begun, in which threads, and when it is hashed."""

    def __init__(self):
        super().__init__(X, Y, window=100)
        self.begun, self.threads, self.hashed_in = [], set(), None

    def pieces(self, seed, epoch, shuffle):
        self.begun.append(epoch)
        if shuffle:
            self.threads.add(threading.current_thread())
        return super().pieces(seed, epoch, shuffle)

    def fingerprint(self):
        self.hashed_in = threading.current_thread()
        return super().fingerprint()


def test_epochs_are_read_in_one_thread_and_none_too_many():
    source = Passes()
    outcome(source, epochs=4, shuffle=True)
    assert source.begun == [0, 0, 1, 2, 3] and len(source.threads) == 1  # the first is the sample
    source = Passes()
    model = network()
    stop = LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", epoch == 1))
    model.fit(source, epochs=9, verbose=0, callbacks=[stop])
    assert source.begun[:4] == [0, 0, 1, 2] and len(source.begun) < 6  # an epoch ahead, of seven blocks
    source = Passes()
    outcome(source, epochs=6, initial_epoch=4, shuffle=True)
    assert source.begun == [0, 0, 1]


def test_sources_are_hashed_beside_the_training():
    source = Passes()
    certificate = network().fit(source, verbose=0).certificate()
    assert source.hashed_in is not threading.main_thread()
    assert certificate == network().fit(ArraySource(X, Y, window=100), verbose=0).certificate()


def test_a_hash_that_fails_in_its_thread_is_tried_again():
    class Failing(ArraySource):
        def fingerprint(self):
            if threading.current_thread() is not threading.main_thread():
                raise OSError("the disk is away for a moment")
            return super().fingerprint()

    certificate = network().fit(Failing(X, Y, window=100), verbose=0).certificate()
    assert certificate == network().fit(ArraySource(X, Y, window=100), verbose=0).certificate()


# --------------------------------------------------------------------------- files
def test_a_file_is_opened_once_a_pass(tmp_path, monkeypatch):
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    from fastnn.data import opened

    columns = {f"c{number}": column for number, column in enumerate(X.T)}
    for number in range(3):
        rows = slice(number * 200, number * 200 + 200)
        data = pa.table({**{name: column[rows] for name, column in columns.items()}, "y": Y[rows]})
        parquet.write_table(data, tmp_path / f"{number}.parquet", row_group_size=50)
    source = FileSource(tmp_path, y="y", window=100)
    expected = outcome(X[:600], Y[:600])
    paths, open_ = [], opened._parquet_file
    monkeypatch.setattr(opened, "_parquet_file", lambda path: paths.append(path.stem) or open_(path))
    assert outcome(source) == expected
    assert paths == ["0", *"012" * 3]
    monkeypatch.setattr(opened, "_MOST_OPEN", 1)
    paths.clear()
    shuffled = outcome(source, shuffle=True)
    assert len(paths) > 10
    monkeypatch.undo()
    assert outcome(source, shuffle=True) == shuffled


def test_columns_are_turned_to_rows(monkeypatch):
    from fastnn.data import files

    columns = [np.arange(1000, dtype=dtype) * 3 for dtype in ("i2", "f4", "u1", "f4")]
    for rows, numbers in ((4096, 1 << 20), (64, 1 << 20), (4096, 4), (999, 1 << 20)):
        monkeypatch.setattr(files, "_TILE_ROWS", rows)
        monkeypatch.setattr(files, "_TILE_NUMBERS", numbers)
        found = files._rows_of(columns)
        assert found.dtype == np.float32 and found.flags.c_contiguous
        np.testing.assert_array_equal(found, np.stack(columns, axis=1))


# --------------------------------------------------------------------------- memory
@pytest.mark.parametrize("kind", ["generator", "PyDataset", "rows"])
def test_memory_keeps_to_its_budget(kind):
    """400 MiB pass through; blocks are of 32 MiB: three of them and 64 MiB are the budget."""
    width, batch, count = 1 << 14, 32, 200
    block = np.random.default_rng(0).standard_normal((batch, width)).astype(np.float32)
    y = np.ones(batch, np.float32)

    class Batches(PyDataset):
        def __len__(self):
            return count

        def __getitem__(self, number):
            return block, y

    if kind == "rows":  # a view that repeats them
        shape, strides = (count, batch, width), (0, *block.strides)
        many = np.lib.stride_tricks.as_strided(block, shape, strides, writeable=False)
        data = Repeated(many, np.tile(y, count))
    else:
        data = Batches() if kind == "PyDataset" else ((block, y) for _ in range(count))
    model = Sequential([Dense(1, input_shape=(width,))], seed=1)
    model.compile(SGD(1e-6), "mse")
    tracemalloc.start()
    try:
        model.fit(data, verbose=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert model.iterations == count
    assert 32 << 20 < peak < (3 * 32 + 64) << 20


class Repeated(Source):
    """Batches of an array of three axes, read as rows."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def units(self):
        return [self.x.shape[1]] * len(self.x)

    def read(self, unit):
        rows = slice(unit * self.x.shape[1], (unit + 1) * self.x.shape[1])
        yield Piece(self.x[unit], self.y[rows])
