"""Same seed, same bits: run to run, for any number of threads, beside other trainings."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from training_nets import NETS, digest, run_script, trained

import fastnn
from fastnn import layers, optimizers
from fastnn.backends.cpu import executor, linear
from fastnn.callbacks import Callback
from fastnn.models import Sequential


@pytest.fixture
def teams(monkeypatch):
    """Record how many threads each training really uses."""
    found = []
    original = executor.Session._team_size

    def team_size(self, *arguments):
        found.append(original(self, *arguments))
        return found[-1]

    monkeypatch.setattr(executor.Session, "_team_size", team_size)
    return found


@pytest.mark.parametrize("name", NETS)
def test_run_to_run(name):
    assert trained(name) == trained(name)


@pytest.mark.usefixtures("always_a_team")
@pytest.mark.parametrize(
    "name, most",
    [("narrow", 4), ("dropout", 4), ("normalized", 1), ("large", 4), ("wide", 4), ("wide_normalized", 4)],
)
def test_any_number_of_threads(name, most, teams):
    alone = trained(name, threads=1)
    assert trained(name, threads=2) == alone
    assert trained(name, threads=4) == alone
    assert max(teams) == most, "the team was not used, so nothing was compared"


@pytest.mark.usefixtures("always_a_team")
@pytest.mark.parametrize("name", ["wide", "wide_normalized"])
def test_parts_of_products_by_blas(name, monkeypatch):
    """Without AVX-512 BLAS computes the parts; their bits must not show how many there are either."""
    monkeypatch.setattr(linear, "product_address", lambda *shape: 0)
    alone = trained(name, threads=1)
    for threads in (2, 3, 5):
        assert trained(name, threads=threads) == alone


def test_another_process(tmp_path):
    source = "import sys, training_nets as n\nprint(*(n.trained(a, threads=2) for a in sys.argv[1:]))"
    names = ["narrow", "dropout", "large"]
    assert run_script(source, *names, folder=tmp_path).split() == [trained(name, threads=1) for name in names]


@pytest.mark.parametrize("threads", [None, 2])
def test_eight_fits_at_once(threads):
    names = ["narrow", "dropout", "large", "normalized"] * 2
    seeds = range(len(names))
    alone = [trained(name, seed=seed) for name, seed in zip(names, seeds, strict=True)]
    found = [None] * len(names)

    def train(number):
        found[number] = trained(names[number], threads, seed=number)

    workers = [threading.Thread(target=train, args=(number,)) for number in seeds]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert found == alone


@pytest.mark.parametrize("name", NETS)
def test_seeds_differ(name):
    assert trained(name, seed=1) != trained(name, seed=2)


def unseeded():
    model = Sequential(
        [layers.Dense(16, "relu", input_shape=(6,)), layers.Dropout(0.5), layers.Dense(1)], dtype="float64"
    )
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    model.fit(rng.random((100, 6)), rng.random(100), epochs=2, verbose=0)
    return digest(*model.get_weights())


def test_set_random_seed(monkeypatch):
    monkeypatch.setattr(fastnn.random._source, "root", None)
    monkeypatch.setattr(fastnn.random._source, "drawn", 0)
    assert unseeded() != unseeded()
    fastnn.set_random_seed(5)
    first = [unseeded(), unseeded()]
    fastnn.set_random_seed(5)
    assert [unseeded(), unseeded()] == first
    assert first[0] != first[1]
    fastnn.set_random_seed(6)
    assert unseeded() not in first


def test_global_generators_play_no_part():
    np.random.seed(1)  # noqa: NPY002
    first = trained("dropout")
    np.random.seed(2)  # noqa: NPY002
    assert trained("dropout") == first


def test_seed_of_a_fit():
    def run(seed):
        model, x, y, options = NETS["dropout"]()
        model.fit(x, y, verbose=0, seed=seed, **options)
        return digest(*model.get_weights())

    assert run(3) == run(3)
    assert run(3) != run(4)


@pytest.mark.parametrize("name", NETS)
def test_predictions_do_not_depend_on_threads_or_batch_size(name):
    model, x, _, _ = NETS[name]()
    expected = model.predict(x, threads=1)
    for threads in (2, 4, None):
        assert (model.predict(x, threads=threads) == expected).all()
    for batch_size in (1, 7, 32, len(x), 10 * len(x)):
        assert (model.predict(x, batch_size=batch_size) == expected).all()


@pytest.mark.parametrize("name", ["narrow", "dropout", "normalized", "small"])
def test_two_fits_of_one_epoch_are_one_fit_of_two(name):
    model, x, y, options = NETS[name]()
    options.pop("epochs")
    together = model.fit(x, y, verbose=0, epochs=2, **options).history
    twin, *_ = NETS[name]()
    first = twin.fit(x, y, verbose=0, epochs=1, **options).history
    second = twin.fit(x, y, verbose=0, epochs=2, initial_epoch=1, **options).history
    assert digest(*twin.get_weights()) == digest(*model.get_weights())
    assert {key: first[key] + second[key] for key in first} == together


def test_epochs_one_by_one_are_epochs_at_once():
    """With callbacks Python runs between epochs, or between batches: the bits stay."""

    class EveryEpoch(Callback):
        def on_epoch_end(self, epoch, logs=None):
            pass

    class EveryBatch(Callback):
        def on_train_batch_end(self, batch, logs=None):
            pass

    def run(*callbacks):
        model, x, y, options = NETS["dropout"]()
        history = model.fit(x, y, verbose=0, callbacks=list(callbacks), **options)
        return digest(*model.get_weights(), *history.history.values())

    alone = run()
    assert run(EveryEpoch()) == alone
    assert run(EveryBatch()) == alone


def order_of_visits(seed, epochs):
    """Return for each epoch the row each batch held: one weight a batch of one moves by that row's value."""
    rows = 50
    model = Sequential([layers.Dense(1, use_bias=False, input_shape=(rows,))], seed=seed, dtype="float64")
    model.compile(optimizers.SGD(1.0), "mse")
    visited = []

    class Watch(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            self.before = self.model.get_weights()[0].ravel()

        def on_train_batch_end(self, batch, logs=None):
            (row,) = np.flatnonzero(self.model.get_weights()[0].ravel() != self.before)
            visited.append(int(row))

    model.set_weights([np.zeros((rows, 1))])
    model.fit(
        np.eye(rows), np.arange(1.0, rows + 1)[:, None] ** 2, batch_size=1, epochs=epochs, verbose=0,
        callbacks=[Watch()],
    )  # fmt: skip
    return np.reshape(visited, (epochs, rows)).tolist()


def test_every_epoch_visits_every_row_in_another_order():
    epochs = order_of_visits(seed=1, epochs=3)
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert order_of_visits(seed=1, epochs=3) == epochs
    assert order_of_visits(seed=2, epochs=3) != epochs
    assert [fastnn.random.permutation(50, 1, epoch).tolist() for epoch in range(3)] == epochs
