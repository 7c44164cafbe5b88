"""Damaged and hostile files of Keras' kind: the model, or one kind of error, within bounds."""

import copy
import io
import random
import zipfile
from pathlib import Path

import h5py
import keras_exchange as exchange
import numpy as np
import pytest

import fastnn
from fastnn.errors import FileFormatError
from fastnn.io import keras_archive
from fastnn.models import load_model

GOLDEN = Path(__file__).with_name("keras_golden")


def outputs_of(model, name):
    return exchange.predict(model, exchange.data(exchange.CASES[name](fastnn)[1]))


# --------------------------------------------------------------------------- configurations
JUNK = (None, -1, 0, 10**30, 1e308, "x", "", [], [[]], {}, {"class_name": "Dense"}, True)


def places(node, path=()):
    """Go through all entries of nested lists and dicts."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@pytest.mark.parametrize("name", ["graph", "dense"])
def test_junk_anywhere_in_a_configuration_is_one_error(name, tmp_path):
    config, weights = keras_archive.read(GOLDEN / f"{name}.keras")
    chooser, found, refused = random.Random(1), list(places(config)), 0
    for _ in range(100):
        changed = copy.deepcopy(config)
        *path, last = chooser.choice(found)
        node = changed
        for key in path:
            node = node[key]
        node[last] = chooser.choice(JUNK)
        keras_archive.write(tmp_path / "m.keras", changed, weights)
        try:
            load_model(tmp_path / "m.keras")
        except FileFormatError:
            refused += 1
    assert refused > 30


# --------------------------------------------------------------------------- archives
def members(**changed):
    with zipfile.ZipFile(GOLDEN / "dense.keras") as archive:
        return {**{name: archive.read(name) for name in archive.namelist()}, **changed}


def archive_of(entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def hostile_archives():
    good = members()
    without = {k: v for k, v in good.items() if k != "config.json"}
    yield "traversal", archive_of([*good.items(), ("../../evil", b"x")]), "holds config.json"
    yield "absolute", archive_of([*good.items(), ("/etc/evil", b"x")]), "holds config.json"
    yield "missing", archive_of(without.items()), "holds config.json"
    bomb = {**good, "config.json": b" " * (17 << 20)}
    yield "bomb", archive_of(bomb.items(), zipfile.ZIP_DEFLATED), "would take"
    bomb = {**good, "model.weights.h5": bytes(64 << 20)}
    yield "weights bomb", archive_of(bomb.items(), zipfile.ZIP_DEFLATED), "would take"
    yield "bzip2", archive_of(good.items(), zipfile.ZIP_BZIP2), "compressed in a way"
    yield "deep", archive_of({**good, "config.json": b"[" * 10_000}.items()), "nests deeper"
    yield "nan", archive_of({**good, "config.json": b'{"a": NaN}'}.items()), "finite"
    yield "twice", archive_of({**good, "config.json": b'{"a": 1, "a": 2}'}.items()), "twice"
    yield "list", archive_of({**good, "config.json": b"[]"}.items()), "JSON object"
    yield "text", archive_of({**good, "config.json": b"\xff"}.items()), "UTF-8"
    yield "no zip", b"PK\x03\x04" + b"x" * 100, "no sound .keras archive"
    yield "empty", b"", "no sound .keras archive"
    yield "no h5", archive_of({**good, "model.weights.h5": b"x" * 99}.items()), "no sound weights"


@pytest.mark.parametrize(
    ("content", "message"), [p[1:] for p in hostile_archives()], ids=[p[0] for p in hostile_archives()]
)
def test_hostile_archives_are_refused(content, message, tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        load_model(path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_given_twice_is_refused(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(archive_of([*members().items(), ("config.json", b"{}")]))
    with pytest.raises(FileFormatError, match="each once"):
        load_model(path)


def test_a_compressed_archive_is_read(tmp_path):
    path = tmp_path / "m.keras"
    path.write_bytes(archive_of(members().items(), zipfile.ZIP_DEFLATED))
    expected = outputs_of(load_model(GOLDEN / "dense.keras"), "dense")
    np.testing.assert_array_equal(outputs_of(load_model(path), "dense"), expected)


def test_truncations_and_flipped_bits_give_the_model_or_an_error(tmp_path):
    good, path, chooser = (GOLDEN / "dense.keras").read_bytes(), tmp_path / "m.keras", random.Random(2)
    expected = outputs_of(load_model(GOLDEN / "dense.keras"), "dense")[0]
    damaged = [good[: chooser.randrange(len(good))] for _ in range(60)]
    for _ in range(240):
        flipped = bytearray(good)
        flipped[chooser.randrange(len(good))] ^= 1 << chooser.randrange(8)
        damaged.append(bytes(flipped))
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            model = load_model(path)
        except FileFormatError:
            refused += 1
        else:
            np.testing.assert_array_equal(outputs_of(model, "dense")[0], expected)
    assert refused > 250


def change_weights(change):
    """Return the golden weights of 'normalization' with something done to the file."""
    buffer = io.BytesIO((GOLDEN / "normalization.weights.h5").read_bytes())
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue()


def _replace(file, **options):
    variables = file["layers/dense/vars"]
    values = variables["0"][()]
    del variables["0"]
    variables.create_dataset("0", **{"data": values, **options})


def _link(link):
    def change(file):
        del file["layers/dense/vars/0"]
        file["layers/dense/vars"]["0"] = link

    return change


def _external(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", (5, 4), "f4", external=[("/etc/hostname", 0, 80)])


def _virtual(file):
    del file["layers/dense/vars/0"]
    layout = h5py.VirtualLayout((5, 4), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "x", (5, 4))
    file["layers/dense/vars"].create_virtual_dataset("0", layout)


def _never_written(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", (10**9,), "f4")


def _group(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_group("0")


HOSTILE_WEIGHTS = {
    "external link": (_link(h5py.ExternalLink("/etc/other.h5", "/x")), "in the file itself"),
    "soft link": (_link(h5py.SoftLink("/layers/dense_1/vars/0")), "in the file itself"),
    "external storage": (_external, "stored as it is"),
    "virtual": (_virtual, "stored as it is"),
    "compressed": (lambda f: _replace(f, compression="gzip"), "stored as it is"),
    "never written": (_never_written, "stored as it is"),
    "text": (lambda f: _replace(f, data=np.array(b"abc")), "floats or integers"),
    "shape": (lambda f: _replace(f, data=np.ones((4, 5), "f4")), r"layer 'dense.*shapes \[\(5, 4\)"),
    "missing": (lambda f: f["layers/dense/vars"].pop("1"), "has weights of shapes"),
    "numbering": (lambda f: f["layers/dense/vars"].move("1", "7"), "called 0, 1"),
    "more layers": (lambda f: f.copy("layers/dense", "layers/dense_9"), "no layer of the model"),
    "more groups": (lambda f: f["layers/dense"].create_group("lora"), "more than arrays"),
    "a group": (_group, "not a dataset"),
    "no layers": (lambda f: f.pop("layers"), "'layers'"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE_WEIGHTS)
def test_weights_that_do_not_fit_are_refused(case, tmp_path):
    change, message = HOSTILE_WEIGHTS[case]
    path = tmp_path / "x.weights.h5"
    path.write_bytes(change_weights(change))
    model, _ = exchange.normalization(fastnn)
    before = model.get_weights()
    with pytest.raises(FileFormatError, match=f"(?s){message}"):
        model.load_weights(path)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_truncated_weights_are_refused(tmp_path):
    good, path = (GOLDEN / "graph.weights.h5").read_bytes(), tmp_path / "x.weights.h5"
    model = exchange.graph(fastnn)[0]
    for size in (0, 8, 100, 2_000, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(FileFormatError):
            model.load_weights(path)
