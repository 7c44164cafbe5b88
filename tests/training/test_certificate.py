"""Certificates: equal for the same run, and only for it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from training_nets import PACKAGE

from fastnn import layers, losses, optimizers
from fastnn.callbacks import BackupAndRestore, Callback, History
from fastnn.errors import ArgumentError, FileFormatError, NotBuiltError
from fastnn.models import Sequential
from fastnn.training import fingerprint
from fastnn.training.fingerprint import Fingerprint, content_hash, differences
from fastnn.training.packing import pack, unpack
from fastnn.training.table import Table

RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 4))
Y = X[:, :1] * X[:, 1:2]


def fitted(x=X, y=Y, *, seed=1, units=6, optimizer=None, loss="mse", rate=0.01, **fit):
    model = Sequential([layers.Dense(units, "tanh", input_shape=(4,)), layers.Dense(1)], seed=seed)
    model.compile(optimizer or optimizers.Adam(rate), loss)
    return model.fit(x, y, **{"batch_size": 8, "epochs": 2, "verbose": 0, **fit})


@pytest.fixture(scope="module")
def certificate():
    return fitted().certificate()


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"threads": 2},
        {"verbose": 2},
        {"x": X.tolist()},
        {"x": np.asfortranarray(X)},
        {"y": Y[:, 0]},
        {"x": X[::-1][::-1]},
        {"callbacks": [Callback()]},
    ],
    ids=lambda same: ",".join(same) or "again",
)
def test_the_same_run(same, certificate):
    assert fitted(**same).certificate() == certificate


@pytest.mark.parametrize(
    "other",
    [
        {"x": X + 1e-12},
        {"x": X.astype(np.float32)},
        {"y": -Y},
        {"sample_weight": np.full(30, 1.5)},
        {"seed": 2},
        {"units": 7},
        {"rate": 0.02},
        {"optimizer": optimizers.AdamW(0.01)},
        {"loss": losses.MeanSquaredError(reduction="sum")},
        {"batch_size": 10},
        {"epochs": 3},
        {"shuffle": False},
        {"steps_per_epoch": 2},
        {"initial_epoch": 1},
        {"validation_split": 0.1},
        {"validation_data": (X, Y)},
    ],
    ids=lambda other: ",".join(other),
)
def test_another_run(other, certificate):
    assert fitted(**other).certificate() != certificate


def test_backups_and_their_number_do_not_matter(certificate, tmp_path):
    for frequency in ("epoch", 1, 3):
        assert fitted(callbacks=[BackupAndRestore(tmp_path, frequency)]).certificate() == certificate


def test_class_weights_are_sample_weights():
    y = (Y > 0).astype(float)
    by_class = fitted(y=y, class_weight={1: 2.0})
    by_row = fitted(y=y, sample_weight=1.0 + y[:, 0])
    assert by_class.certificate() == by_row.certificate()


def test_it_is_of_the_weights_when_fit_ended():
    model = Sequential([layers.Dense(1, input_shape=(4,))], seed=1)
    model.compile("adam", "mse")
    history = model.fit(X, Y, verbose=0)
    before = history.certificate()
    model.set_weights([w + 1 for w in model.get_weights()])
    model.optimizer.learning_rate = 0.5
    model.layers[0].trainable = False
    assert history.certificate() == before
    assert len(before) == 64 and int(before, 16)


def test_the_evidence_can_be_hashed_by_hand():
    history = fitted()
    assert json.loads(json.dumps(history.evidence)) == history.evidence
    text = json.dumps(history.evidence, sort_keys=True, separators=(",", ":"))
    assert history.certificate() == hashlib.sha256(text.encode()).hexdigest()
    assert (history.evidence["steps"], history.evidence["epochs"]) == (8, 2)


def test_a_training_cut_short_has_one_too():
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    model = Sequential([layers.Dense(1, input_shape=(4,))], seed=1)
    model.compile("adam", "mse")
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=5, verbose=0, callbacks=[Stop()])
    whole = Sequential([layers.Dense(1, input_shape=(4,))], seed=1)
    whole.compile("adam", "mse")
    assert model.history.certificate() == whole.fit(X, Y, epochs=2, verbose=0).certificate()


def test_no_certificate_before_the_end():
    with pytest.raises(NotBuiltError, match="the History that fit returned"):
        History().certificate()


SCRIPT = """
import numpy as np
from fastnn import layers
from fastnn.models import Sequential
x = np.random.default_rng(0).standard_normal((300, 4)).astype("float32")
model = Sequential([layers.Dense(1, input_shape=(4,))], seed=1)
model.compile("sgd", "mse")
print(model.fit(x, x[:, :1], epochs=2, verbose=0).certificate())
"""


@pytest.mark.slow
def test_cold_and_warm_caches_and_hash_seeds(tmp_path):
    found = set()
    for seed in ("0", "1"):
        environment = {"FASTNN_CACHE_DIR": str(tmp_path), "PYTHONHASHSEED": seed, "PYTHONPATH": str(PACKAGE)}
        command = [sys.executable, "-c", SCRIPT]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
        assert any(tmp_path.rglob("*.o*")), "the first run has filled the cache"
    assert len(found) == 1


# --------------------------------------------------------------------------- the hash of data
def test_content_hash_follows_its_definition():
    array = np.arange(6, dtype=np.int32).reshape(3, 2)
    expected = hashlib.sha256(b"x <i4 (3, 2)\n" + array.tobytes()).hexdigest()
    assert content_hash([("x", array)]) == expected
    assert content_hash([("x", np.asfortranarray(array))]) == expected
    assert content_hash([("x", np.repeat(array, 2, axis=0)[::2])]) == expected
    assert content_hash([("y", array)]) != expected


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 0), (5,), (300_001, 1), (70_000, 5)])
def test_every_byte_counts(shape):
    array = RNG.integers(0, 200, shape).astype(np.uint8)
    expected = content_hash([("", array)])
    for _ in range(5 if array.size else 0):
        at = RNG.integers(array.size)
        array.flat[at] ^= 1
        assert content_hash([("", array)]) != expected
        array.flat[at] ^= 1
    assert content_hash([("", array)]) == expected


def test_large_data_are_hashed_beside_the_training_in_blocks(monkeypatch):
    array = RNG.standard_normal((4_000, 3))
    table = Table([array], [array[:, :1]], [None], [None])
    expected = Fingerprint(table).value()
    monkeypatch.setattr(fingerprint, "ASIDE_BYTES", 100)
    monkeypatch.setattr(fingerprint, "BLOCK_BYTES", 1 << 10)
    aside = Fingerprint(table)
    assert aside._thread is not None
    assert aside.value() == expected
    assert aside._thread is None and not aside._arrays
    assert aside.value() == expected


def test_of_huge_data_evenly_spread_blocks_are_hashed(monkeypatch):
    array = np.zeros((10_000, 4))
    monkeypatch.setattr(fingerprint, "BLOCK_BYTES", 1 << 10)  # 32 rows
    monkeypatch.setattr(fingerprint, "MOST_BYTES", 10 << 10)
    expected = content_hash([("", array)])
    array[40] = 1  # between two of the ten blocks
    assert content_hash([("", array)]) == expected
    for row in (0, 31, 9_999, 9_970):
        array[row] = 1
        assert content_hash([("", array)]) != expected
        array[row] = 0
    assert content_hash([("", array[:-1])]) != expected


def test_trouble_reading_data_is_raised_where_the_hash_is_wanted(monkeypatch):
    def fail(arrays):
        raise OSError("disk")

    monkeypatch.setattr(fingerprint, "ASIDE_BYTES", 1)
    monkeypatch.setattr(fingerprint, "content_hash", fail)
    taken = Fingerprint(Table([X], [Y], [None], [None]))
    with pytest.raises(OSError, match="disk"):
        taken.value()


def test_differences_are_named():
    there = {"a": 1, "b": [1, {"c": "x"}], "d": None, "long": "x" * 100}
    here = {"a": 1, "b": [1, {"c": "y"}], "e": None, "long": "y" * 100}
    found = list(differences(there, here))
    assert found[:2] == ['b[1].c: "x" there, "y" here', "d: only there"]
    assert found[2].startswith('long: "xxx') and found[2].endswith("... here")
    assert found[3:] == ["e: only here"]
    assert list(differences([1], [1, 2])) == [": [1] there, [1, 2] here"]
    assert not list(differences(there, there))


# --------------------------------------------------------------------------- packing
@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, -(2**70), 0.1, float("inf"), float("-inf"), "text", [], {}, (), [1, 2.5, "a", None],
        [0.1, 0.2, float("nan")], (1, (2.0, [3])), {"a": {"b": [1]}}, {1: "one", (2, 3): None}, {"$": 1},
        np.float32(0.1), np.int64(3), np.bool_(True), np.arange(6).reshape(2, 3),
        np.zeros((0, 2), np.float32), [np.ones(2), {"x": np.float64(2)}],
    ],
    ids=repr,
)  # fmt: skip
def test_packed_values_come_back(value):
    arrays = {}
    packed = json.loads(json.dumps(pack(value, arrays, "it"), allow_nan=False))
    found = unpack(packed, arrays)
    assert repr(found) == repr(value)
    assert type(found) is type(value)


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array(["a"]), [lambda: 0], b"bytes", 1j])
def test_what_cannot_be_packed_is_refused(value):
    with pytest.raises(ArgumentError, match="It cannot be written to a file"):
        pack({"x": value}, {}, "It")


@pytest.mark.parametrize(
    "packed",
    [
        {"$": "array"},
        {"$": "array", "name": "x"},
        {"$": "else", "name": "packed/0"},
        {"$": "float", "value": "1"},
    ],
)
def test_what_was_never_packed_is_refused(packed):
    with pytest.raises(FileFormatError, match="cannot be read"):
        unpack(packed, {"packed/0": np.zeros(1)})


def test_a_callbacks_state_that_no_file_can_hold_ends_the_training(tmp_path):
    class Bad(Callback):
        def state_dict(self):
            return {"file": object()}

    with pytest.raises(ArgumentError, match="state of a callback"):
        fitted(callbacks=[Bad(), BackupAndRestore(tmp_path)])
