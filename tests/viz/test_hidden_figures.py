"""The hidden space and the output plane, read back from the Axes."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import Input
from fastnn.errors import ArgumentError, DataError, DtypeError, NotBuiltError, ShapeError, UnknownNameError
from fastnn.layers import Activation, Dense, Dropout
from fastnn.models import Model, Sequential
from fastnn.viz import hidden_space, output_plane
from fastnn.viz.style import figure

pytest.importorskip("matplotlib")
RNG = np.random.default_rng(1)
ROWS = RNG.uniform(-1, 1, (50, 2))
LABELS = (ROWS[:, 0] > 0).astype(int)


@pytest.fixture
def space():
    return figure(5, 5).add_subplot(projection="3d")


def network(units=1, activation="sigmoid", hidden=3, apart=False, seed=3):
    """A small network whose output's activation is its own layer, if `apart`."""
    last = (
        [Dense(units, name="out"), Activation(activation)]
        if apart
        else [Dense(units, activation, name="out")]
    )
    return Sequential([Dense(hidden, "tanh", input_shape=(2,), name="hidden"), *last], seed=seed)


def drawn_points(ax):
    return np.concatenate([np.column_stack(c._offsets3d) for c in ax.collections if hasattr(c, "_offsets3d")])


def in_order(rows):
    return rows[np.lexsort(rows.T)]


def test_points_are_the_layers_outputs(space):
    model = network()
    hidden_space(model, ROWS, LABELS, ax=space)
    kernel, bias = model.get_layer("hidden").get_weights()
    np.testing.assert_allclose(
        in_order(drawn_points(space)), in_order(np.tanh(ROWS @ kernel + bias)), atol=1e-5
    )
    assert [t.get_text() for t in space.get_legend().get_texts()] == ["class 0", "class 1"]


def test_the_default_layer_is_the_last_of_three_units_before_the_output(space):
    layers = [Dense(3, input_shape=(2,)), Activation("relu"), Dense(3), Activation("sigmoid", name="last")]
    model = Sequential([*layers, Dropout(0.5, name="dropped"), Dense(3, name="out"), Activation("softmax")])
    assert hidden_space(model, ROWS, ax=space).get_xlabel() == "dropped, unit 1"
    assert hidden_space(model, ROWS, ax=space, layer="last").get_ylabel() == "last, unit 2"


def test_principal_components_keep_distances(space):
    """Rows on a plane in a space of eight units: three components hold all of it."""
    model = Sequential([Dense(8, input_shape=(2,), name="hidden"), Dense(1)], seed=0)
    with pytest.raises(ShapeError, match=r"three units.*'pca'.*'hidden' \(8\)"):
        hidden_space(model, ROWS, ax=space)
    with pytest.raises(ShapeError, match=r"layer 'hidden' of 8 units.*projection=\"pca\""):
        hidden_space(model, ROWS, ax=space, layer="hidden")
    hidden_space(model, ROWS, ax=space, projection="pca")
    outputs = model.layer_output(ROWS, "hidden")
    centred = np.linalg.norm(outputs - outputs.mean(axis=0), axis=1)
    np.testing.assert_allclose(
        np.sort(np.linalg.norm(drawn_points(space), axis=1)), np.sort(centred), atol=1e-5
    )
    assert space.get_zlabel() == "component 3 (0% of variance)"


@pytest.mark.parametrize("apart", [False, True], ids=["own", "layer"])
@pytest.mark.parametrize(
    ("units", "activation", "cutoff"),
    [
        (1, "sigmoid", 0.5),
        (1, "sigmoid", 0.7),
        (2, "softmax", 0.5),
        (2, "softmax", 0.3),
        (1, "tanh", 0.1),
        (1, "linear", 0.2),
    ],
)
def test_the_output_is_the_cutoff_on_the_plane(space, units, activation, cutoff, apart):
    model = network(units, activation, apart=apart)
    model.get_layer("out").set_weights([2 * RNG.normal(size=(3, units)), 0.1 * RNG.normal(size=units)])
    output_plane(model, ROWS, LABELS, ax=space, cutoff=cutoff)
    (polygon,) = [c for c in space.collections if type(c).__name__ == "Poly3DCollection"]
    assert space.get_legend().get_texts()[0].get_text() == f"output = {cutoff:g}"
    corners = polygon._vec[:3].T if hasattr(polygon, "_vec") else np.asarray(polygon._faces[0])
    assert 3 <= len(corners) <= 7
    given = Input((3,))
    head = Model(given, _after_hidden(model, given))
    np.testing.assert_allclose(head.predict(corners[:, :3])[:, -1], cutoff, atol=1e-5)


def _after_hidden(model, symbol):
    for layer in model.layers[1:]:
        symbol = layer(symbol)
    return symbol


def test_a_plane_that_misses_the_points_is_said_to(space):
    model = network()
    model.get_layer("out").set_weights([np.ones((3, 1)), [100.0]])
    output_plane(model, ROWS, ax=space)
    assert "output = 0.5: outside this box" in [t.get_text() for t in space.get_legend().get_texts()]


def test_the_output_over_the_inputs(space):
    model = network(2, "softmax")
    output_plane(model, ROWS, LABELS, ax=space, over="inputs")
    (surface,) = [c for c in space.collections if type(c).__name__ == "Poly3DCollection"]
    corners = surface._vec[:3].T if hasattr(surface, "_vec") else np.concatenate(surface._faces)
    np.testing.assert_allclose(corners[:, 2], model.predict(corners[:, :2])[:, 1], atol=1e-4)
    np.testing.assert_array_equal(np.sort(drawn_points(space)[:, 2]), np.sort(LABELS))


@pytest.mark.parametrize("draw", [hidden_space, output_plane])
def test_what_is_no_built_model_is_refused(space, draw):
    with pytest.raises(NotBuiltError, match="is not built"):
        draw(Sequential([Dense(3), Dense(1)]), ROWS, ax=space)
    with pytest.raises(DtypeError, match=r"a fastnn model\. Received: int"):
        draw(3, ROWS, ax=space)
    with pytest.raises(DataError, match="class indices"):
        draw(network(), ROWS, ROWS[:, 0], ax=space)
    with pytest.raises(ShapeError, match=r"each of 50 points\. Received: 2"):
        draw(network(), ROWS, [0, 1], ax=space)


def test_networks_whose_output_is_no_plane_are_refused(space):
    for model, expected in (
        (network(3, "softmax"), "one unit, or of two softmax units.*the first of 3 units, softmax"),
        (network(1, "relu"), "Received: an output of relu"),
        (network(2, "sigmoid"), "of 2 units, sigmoid"),
        (network(hidden=4), "three units. Received: 4 units of layer 'hidden'"),
    ):
        with pytest.raises((ArgumentError, ShapeError), match=expected):
            output_plane(model, ROWS, ax=space)
    for cutoff in (0.0, 1.0, -2.0, float("nan")):
        with pytest.raises(ArgumentError, match="never `cutoff`"):
            output_plane(network(), ROWS, ax=space, cutoff=cutoff)
    with pytest.raises(UnknownNameError, match="Did you mean 'hidden'"):
        hidden_space(network(), ROWS, ax=space, layer="hiden")
    with pytest.raises(ArgumentError, match="`over` of output_plane must be one of 'hidden', 'inputs'"):
        output_plane(network(), ROWS, ax=space, over="input")
