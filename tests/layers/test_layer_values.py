"""What the layers compute, in training and otherwise, and which inputs they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from layer_tracing import ROW, compute, emitted, trace_of

from fastnn import layers
from fastnn.errors import ArgumentError, ShapeError
from fastnn.graph.trace import Graph
from fastnn.layers import LAYERS, Dense, Input
from fastnn.layers.base import Trace
from fastnn.ops.registry import Spec


def test_activations_with_arguments():
    x = np.array([[-2.0, -0.5, 0.0, 0.5, 1.0, 7.0]])
    expected = [[-0.5, -0.2, -0.1, 0.5, 1.0, 6.0]]
    assert compute(layers.ReLU(6.0, 0.2, 0.5), x) == pytest.approx(np.array(expected))
    assert compute(layers.ReLU(), x) == pytest.approx(np.maximum(x, 0.0))
    assert compute(layers.LeakyReLU(), x) == pytest.approx(np.where(x > 0, x, 0.3 * x))
    assert compute(layers.ELU(0.5), x) == pytest.approx(np.where(x > 0, x, 0.5 * np.expm1(x)))
    assert compute(layers.CELU(0.5), x) == pytest.approx(np.where(x > 0, x, 0.5 * np.expm1(x / 0.5)))
    assert compute(layers.PReLU("ones"), x) == pytest.approx(x)
    assert compute(layers.PReLU(), x) == pytest.approx(np.maximum(x, 0.0))
    assert compute(layers.Softmax(), x) == pytest.approx(np.exp(x) / np.exp(x).sum())
    assert compute(layers.LogSoftmax(), x) == pytest.approx(x - np.log(np.exp(x).sum()))
    assert emitted(layers.GELU(), [ROW]) == [("gelu", {"approximate": False})]
    assert emitted(layers.GELU(approximate=True), [ROW]) == [("gelu", {"approximate": True})]


# --------------------------------------------------------------------------- regularization
@pytest.mark.parametrize("layer", [layers.Dropout(0.5), layers.AlphaDropout(0.5), layers.GaussianNoise(0.5)])
def test_random_layers_are_random_only_while_training(layer):
    graph, _, output = trace_of(layer, [ROW])
    assert graph.nodes == [] and output is graph.inputs[0]
    ((op, attrs),) = emitted(layer, [ROW], training=True)
    assert (
        op
        == {"Dropout": "dropout", "AlphaDropout": "alpha_dropout", "GaussianNoise": "gaussian_noise"}[
            type(layer).__name__
        ]
    )
    assert 0.5 in attrs.values() and attrs["seed_stream"] == 1 and attrs["seed"] == 0
    x = np.ones((64, 8))
    assert not np.array_equal(compute(layer, x, training=True), x)


@pytest.mark.parametrize("layer", [layers.Dropout(0), layers.AlphaDropout(0.0), layers.GaussianNoise(0.0)])
def test_random_layers_of_strength_zero_do_nothing(layer):
    assert emitted(layer, [ROW], training=True) == []


def test_random_layers_have_streams_and_seeds_of_their_own():
    graph = Graph()
    trace, x = Trace(graph, training=True), graph.input(ROW)
    layers.Dropout(0.5).call(trace, [layers.Dropout(0.5, seed=9).call(trace, [x])])
    assert [node.attrs["seed_stream"] for node in graph.nodes] == [1, 2]
    assert [node.attrs["seed"] for node in graph.nodes] == [9, 0]
    ones = np.ones((64, 8))
    plain, seeded = (compute(layers.Dropout(0.5, seed=s), ones, training=True) for s in (None, 9))
    assert not np.array_equal(plain, seeded)
    assert set(np.unique(seeded)) == {0.0, 2.0}


def test_activity_regularization():
    layer = layers.ActivityRegularization(l1=0.1, l2=0.2)
    graph, trace, output = trace_of(layer, [ROW], training=True)
    assert output is graph.inputs[0]
    assert trace.penalties == [(output, 0.1, 0.2)]
    assert trace_of(layers.ActivityRegularization(), [ROW])[1].penalties == []
    assert "activity_regularizer" not in layer.get_config()


# --------------------------------------------------------------------------- normalization
def test_batch_normalization_values():
    rng = np.random.default_rng(0)
    x = 3.0 * rng.standard_normal((20, 3)) + 1.0
    layer = layers.BatchNormalization(epsilon=1e-5)
    y = compute(layer, x, training=True)
    assert y == pytest.approx((x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5))
    assert compute(layer, x) == pytest.approx(x / np.sqrt(1.0 + 1e-5))
    gamma, beta, mean, variance = np.array([1.0, 2.0, 3.0]), np.arange(3.0), np.ones(3), np.full(3, 4.0)
    layer.set_weights([gamma, beta, mean, variance])
    assert compute(layer, x) == pytest.approx((x - 1.0) / np.sqrt(4.0 + 1e-5) * gamma + beta)
    plain = layers.BatchNormalization(center=False, scale=False)
    assert compute(plain, x) == pytest.approx(x / np.sqrt(1.001))


def test_batch_normalization_moves_only_while_it_trains():
    layer = layers.BatchNormalization(momentum=0.9)
    ops = [op for op, _ in emitted(layer, [ROW], training=True)]
    assert ops == ["batch_norm_train", "batch_norm_update"]
    assert emitted(layer, [ROW], training=True)[1][1] == {"momentum": 0.9}
    assert [op for op, _ in emitted(layer, [ROW])] == ["batch_norm_infer"]
    assert [v.name for v in layer.variables] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [v.name for v in layer.trainable_variables] == ["gamma", "beta"]
    layer.trainable = False
    assert [op for op, _ in emitted(layer, [ROW], training=True)] == ["batch_norm_infer"]
    assert layer.trainable_variables == []


@pytest.mark.parametrize(
    "options", [{}, {"center": False}, {"scale": False}, {"center": False, "scale": False}]
)
def test_layer_normalization_values(options):
    x = np.random.default_rng(0).standard_normal((5, 4, 3))
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    layer = layers.LayerNormalization(
        gamma_initializer=lambda s, d: np.full(s, 2.0), beta_initializer="ones", **options
    )
    expected = normal * (2.0 if layer.scale else 1.0) + (1.0 if layer.center else 0.0)
    assert compute(layer, x) == pytest.approx(expected)
    assert len(layer.variables) == layer.scale + layer.center


@pytest.mark.parametrize(
    "make", [layers.PReLU, layers.BatchNormalization, layers.LayerNormalization, layers.Normalization]
)
def test_a_built_layer_refuses_other_widths(make):
    layer = make(name="built")
    layer.infer([ROW])
    with pytest.raises(ShapeError, match=r"'built'.*was built for rows of .*Received: rows of shape \(4,\)"):
        layer.infer([Spec((4,))])


# --------------------------------------------------------------------------- merging
def test_merging_values():
    a, b, c = np.random.default_rng(0).standard_normal((3, 7, 4))
    assert compute(layers.Add(), a, b, c) == pytest.approx(a + b + c)
    assert compute(layers.Subtract(), a, b) == pytest.approx(a - b)
    assert compute(layers.Multiply(), a, b, c) == pytest.approx(a * b * c)
    assert compute(layers.Average(), a, b, c) == pytest.approx((a + b + c) / 3.0)
    assert compute(layers.Maximum(), a, b, c) == pytest.approx(np.maximum(np.maximum(a, b), c))
    assert compute(layers.Concatenate(), a, b, c) == pytest.approx(np.concatenate([a, b, c], axis=1))
    assert compute(layers.Concatenate(), a) == pytest.approx(a)


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "average", "maximum", "concatenate"])
def test_merging_functions(name):
    inputs = [Input((3,)), Input((3,))]
    symbol = getattr(layers, name)(inputs, name=f"my_{name}")
    assert type(symbol.layer).__name__ == name.capitalize() and symbol.layer.name == f"my_{name}"
    assert symbol.shape == ((None, 6) if name == "concatenate" else (None, 3))


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum"])
def test_merging_needs_equal_shapes(name):
    a, b = Dense(3, name="left")(Input((5,))), Dense(1, name="right")(Input((5,)))
    with pytest.raises(
        ShapeError, match=r"'join'.*'left' has rows of shape \(3,\). Received.*\(1,\).*'right'"
    ):
        LAYERS[name](name="join")([a, b])
    with pytest.raises(ShapeError, match=r"'join'.*input 0 has rows of shape \(3,\). Received.*input 1"):
        LAYERS[name](name="join").infer([ROW, Spec((4,))])
    for wrong in (a, [a], [a, a, a] if name == "Subtract" else []):
        with pytest.raises(ArgumentError, match=r"'join' must be called on a list of (2|at least 2) inputs"):
            LAYERS[name](name="join")(wrong)
    with pytest.raises(ArgumentError, match="Received: integers from the output of layer 'codes'"):
        LAYERS[name]()([Input((3,), dtype="int32", name="codes"), Input((3,), dtype="int32")])
    with pytest.raises(ArgumentError, match="must be called on the output of another layer"):
        LAYERS[name]()([a, np.zeros((2, 3))])


def test_concatenate_needs_the_other_axes_equal():
    a, b = Input((4, 3), name="left"), Input((5, 3), name="right")
    with pytest.raises(ShapeError, match=r"every axis but the last.*'left'.*\(4, 3\).*\(5, 3\).*'right'"):
        layers.Concatenate()([a, b])
    with pytest.raises(ShapeError, match="every axis but the last"):
        layers.Concatenate()([a, Input((3,))])
    with pytest.raises(ArgumentError, match="integers with floating-point"):
        layers.Concatenate()([Input((3,)), Input((3,), dtype="int32")])
    with pytest.raises(ArgumentError, match="at least 1 inputs"):
        layers.Concatenate()([])
