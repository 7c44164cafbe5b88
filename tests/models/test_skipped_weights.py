"""`load_weights(skip_mismatch=True)`: layers whose weights fit are set, of the others a warning tells."""

import warnings

import numpy as np
import pytest

from fastnn.errors import ArgumentError, FileFormatError
from fastnn.layers import BatchNormalization, Dense
from fastnn.models import Sequential

SUFFIXES = [".fastnn", ".weights.h5"]


def network(hidden=8, outputs=3, seed=1, names=("first", "norm", "second", "out"), **last):
    first, norm, second, out = names
    layers = [
        Dense(8, "relu", input_shape=(4,), name=first),
        BatchNormalization(name=norm),
        Dense(hidden, "relu", name=second),
        Dense(outputs, name=out, **last),
    ]
    return Sequential(layers, seed=seed)


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    if request.param != ".fastnn":
        pytest.importorskip("h5py")
    return tmp_path / f"weights{request.param}"


def by_layer(model):
    return {layer.name: layer.get_weights() for layer in model.layers}


def load(model, path):
    """Load what fits, and return the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.load_weights(path, skip_mismatch=True)
    assert all(item.filename == __file__ for item in caught), caught[0].filename
    return [str(item.message) for item in caught]


def test_where_all_fits_nothing_is_skipped(path):
    saved, model = network(), network(seed=2)
    saved.save_weights(path)
    assert load(model, path) == []
    np.testing.assert_equal(by_layer(model), by_layer(saved))


@pytest.mark.parametrize(
    ("change", "skipped"),
    [
        ({"outputs": 5}, ["out"]),
        ({"hidden": 7}, ["second", "out"]),
        ({"use_bias": False}, ["out"]),
    ],
    ids=str,
)
def test_another_head_keeps_its_weights(path, change, skipped):
    saved, model = network(), network(seed=2, **change)
    saved.save_weights(path)
    before = by_layer(model)
    with pytest.raises(FileFormatError):
        model.load_weights(path)
    (message,) = load(model, path)
    assert "skip_mismatch=True these layers keep" in message and str(path) in message
    for name, weights in by_layer(model).items():
        np.testing.assert_equal(weights, (before if name in skipped else by_layer(saved))[name])
        assert (f"'{name}' (expected" in message) == (name in skipped)


def test_layers_are_matched_in_order_where_no_name_is_the_same(path):
    saved, model = network(), network(seed=2, outputs=2, names="abcd")
    saved.save_weights(path)
    (message,) = load(model, path)
    assert "'d' (expected" in message and "'a'" not in message
    for mine, theirs in zip(model.layers[:-1], saved.layers, strict=False):
        np.testing.assert_equal(mine.get_weights(), theirs.get_weights())


def test_by_name_the_order_does_not_matter(tmp_path):
    saved = network()
    saved.save_weights(tmp_path / "w.fastnn")
    model = Sequential([Dense(8, input_shape=(8,), name="second"), Dense(8, name="first")], seed=2)
    before = model.get_layer("first").get_weights()
    (message,) = load(model, tmp_path / "w.fastnn")
    assert (
        "'first' (expected 2 arrays (kernel (8, 8), bias (8,)); received 2 arrays (kernel (4, 8)" in message
    )
    np.testing.assert_equal(model.get_layer("second").get_weights(), saved.get_layer("second").get_weights())
    np.testing.assert_equal(model.get_layer("first").get_weights(), before)


def test_a_damaged_file_is_refused_all_the_same(tmp_path):
    path = tmp_path / "w.fastnn"
    network().save_weights(path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    model = network(seed=2)
    before = model.get_weights()
    with pytest.raises(FileFormatError):
        model.load_weights(path, skip_mismatch=True)
    np.testing.assert_equal(model.get_weights(), before)


def test_of_a_state_dict_nothing_is_skipped(tmp_path):
    path = tmp_path / "w.safetensors"
    model = Sequential([Dense(3, input_shape=(2,))])
    model.save_weights(path)
    with pytest.raises(ArgumentError, match=r"skip_mismatch is for \.fastnn and \.weights\.h5"):
        model.load_weights(path, skip_mismatch=True)
    with pytest.raises(ArgumentError, match="skip_mismatch"):
        model.load_weights(path, skip_mismatch="yes")
