"""The network diagram: every layer once, its label, its units, and no line through a layer."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import Input, layers
from fastnn.models import Model, Sequential
from fastnn.viz import network_diagram
from fastnn.viz.layout import nodes_of, place
from fastnn.viz.style import figure

pytest.importorskip("matplotlib")
from drawn_figures import assert_legible
from matplotlib.collections import LineCollection
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch


def chapter():
    stack = [
        layers.Dense(3, input_shape=(2,), name="hidden"),
        layers.Activation("sigmoid"),
        layers.Dense(2, name="output"),
        layers.Activation("softmax"),
    ]
    return Sequential(stack)


def returns():
    stack = [layers.Dense(64, "relu", input_shape=(45,), name="hidden_1"), layers.Dropout(0.5)]
    return Sequential(
        [*stack, layers.Dense(64, "relu", name="hidden_2"), layers.Dense(1, "sigmoid", name="up")]
    )


def skipping():
    """Two inputs, an embedding, a residual connection, a wide part and two outputs."""
    a, c = Input((45,), name="returns"), Input((1,), dtype="int32", name="sector")
    vector = layers.Flatten()(layers.Embedding(11, 4, name="vector")(c))
    x = layers.Concatenate(name="joined")([a, vector])
    one = layers.Dropout(0.2)(layers.Dense(32, "relu", name="one")(x))
    two = layers.Dense(32, "relu", name="two")(one)
    both = layers.Add(name="both")([one, two])
    up = layers.Dense(1, "sigmoid", name="up")(layers.Concatenate(name="wide")([both, a]))
    return Model([a, c], [up, layers.Dense(3, "softmax", name="regime")(both)])


def labels(ax):
    return [text.get_text() for text in ax.texts if "\n" in text.get_text()]


def circles(ax, radius=0.1):
    return [p for p in ax.patches if isinstance(p, Circle) and p.radius == radius]


def weights(ax):
    return [len(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection)]


def test_a_small_network_has_a_circle_for_each_unit_and_a_line_for_each_weight():
    model = chapter()
    ax = network_diagram(model, ax=figure(6, 4).subplots())
    assert labels(ax)[1:] == ["hidden\nDense 3\nsigmoid", "output\nDense 2\nsoftmax"]
    assert labels(ax)[0].endswith("\nInput 2")
    assert len(circles(ax)) == 2 + 3 + 2
    assert weights(ax) == [6, 6]


def test_large_layers_are_abbreviated():
    ax = network_diagram(returns(), ax=figure(6, 4).subplots(), max_units=7)
    assert len(circles(ax)) == 6 + 6 + 6 + 1 and len(circles(ax, 0.018)) == 9  # three dots each
    assert weights(ax) == [36, 36, 6]
    assert labels(ax)[1:] == [
        "hidden_1\nDense 64\nrelu\nDropout 0.5",
        "hidden_2\nDense 64\nrelu",
        "up\nDense 1\nsigmoid",
    ]


def test_functional_networks_with_skips():
    drawing = figure(14, 7)
    ax = network_diagram(skipping(), ax=drawing.subplots())
    assert sorted(labels(ax)) == [
        "both\nAdd 32", "joined\nConcatenate 49", "one\nDense 32\nrelu\nDropout 0.2",
        "regime\nDense 3\nsoftmax", "returns\nInput 45", "sector\nInput 1", "two\nDense 32\nrelu",
        "up\nDense 1\nsigmoid", "vector\nEmbedding 1 × 4", "wide\nConcatenate 77",
    ]  # fmt: skip
    assert len([p for p in ax.patches if isinstance(p, FancyBboxPatch)]) == 3
    arrows = len([p for p in ax.patches if isinstance(p, FancyArrowPatch)])
    assert arrows + len(weights(ax)) == 11  # as many as inputs of layers that stand on their own
    assert_legible(drawing)


@pytest.mark.parametrize("make", [chapter, returns, skipping])
def test_layers_stand_apart_and_connections_run_forward_around_them(make):
    nodes = nodes_of(make(), 9)
    routes, (left, right, bottom, top) = place(nodes)
    everything = {id(node): node for way in routes for node in way}.values()
    boxes = [
        (n.x - n.width / 2, n.x + n.width / 2, n.y + n.tall / 2 - n.height, n.y + n.tall / 2)
        for n in everything
    ]
    for number, a in enumerate(boxes):
        assert left <= a[0] and a[1] <= right and bottom <= a[2] and a[3] <= top
        for b in boxes[number + 1 :]:
            apart = a[1] <= b[0] or b[1] <= a[0] or a[3] <= b[2] + 1e-9 or b[3] <= a[2] + 1e-9
            assert apart, "two layers, or a layer and the lane of a connection, overlap"
    for way in routes:
        assert [node.rank for node in way] == list(range(way[0].rank, way[-1].rank + 1))
        assert (np.diff([node.x for node in way]) > 0).all()


def test_a_shared_layer_is_drawn_at_each_call():
    a, b = Input((4,), name="a"), Input((4,), name="b")
    encoder = layers.Dense(2, name="encoder")
    model = Model([a, b], layers.Subtract(name="difference")([encoder(a), encoder(b)]))
    ax = network_diagram(model, ax=figure(6, 4).subplots())
    assert sorted(labels(ax)) == [
        "a\nInput 4",
        "b\nInput 4",
        "difference\nSubtract 2",
        *["encoder\nDense 2"] * 2,
    ]


def test_a_deep_network_is_drawn_smaller_and_stays_legible():
    deep = Sequential([layers.Dense(16, input_shape=(8,)), *(layers.Dense(16, "relu") for _ in range(19))])
    drawing = figure(18, 4)
    assert_legible(network_diagram(deep, ax=drawing.subplots()).figure)
