"""What is fused gives what the ops apart give.

Narrow networks: derivatives and biases' gradients inside the products. Row-major ones: bias, activation and
dropout in one pass forward, dropout, derivative and the bias' gradient in one backward.
"""

import itertools

import numpy as np
import pytest

from fastnn.backends.cpu.executor import Session
from fastnn.graph.autodiff import backward
from fastnn.graph.plan import plan
from fastnn.graph.trace import Graph
from fastnn.ops.registry import Spec

ROWS = 83


class Network:
    """A training graph under construction, and where its parameters lie."""

    def __init__(self, inputs):
        self.graph = Graph()
        self.x = self.graph.input(Spec((inputs,)))
        self.parameters, self.size = [], 0

    def parameter(self, *shape):
        value = self.graph.parameter(shape, f"p{len(self.parameters)}", self.size)
        self.size += -(-int(np.prod(shape)) // 16) * 16
        self.parameters.append(value)
        return value

    def layer(self, units, inputs, bias=True):
        return [self.parameter(inputs, units), *([self.parameter(units)] if bias else [])]

    def emit(self, op, *inputs, **attrs):
        return self.graph.emit(op, inputs, **attrs)

    def drop(self, value, op="dropout", rate=0.4):
        return self.emit(op, value, rate=rate, seed_stream=self.graph.next_stream())[0]

    def program(self, output, row_major):
        target = self.graph.input(output.spec)
        gradient, _ = self.graph.emit("mean_squared_error_grad", [target, output], scale=1.0, mean=True)
        self.graph.prune(backward(self.graph, {output.number: gradient}, self.parameters))
        return plan(
            self.graph,
            "float64",
            sources=["float64"] * 2,
            parameters=self.size,
            gradients=self.size,
            row_major=row_major,
        )


def gradient_of(make, row_major, narrow):
    """Build a network, run it, and return the gradient, the ops that were run, and what a row is worth."""
    network, output = make()
    program = network.program(output, row_major)
    assert program.units_major is (narrow and not row_major)
    rng = np.random.default_rng(1)
    parameters = rng.standard_normal(network.size)
    arrays = [rng.standard_normal((ROWS, value.spec.size)) for value in network.graph.inputs]
    session = Session(
        program,
        parameters=parameters,
        inputs=arrays,
        batch_size=ROWS,
        epoch_rows=ROWS,
        total_rows=ROWS,
        seed=7,
    )
    # Two steps: the second finds the gradients of the first in its memory.
    with session:
        assert session.run(2, 2)[1] == 0
    return session.gradient.copy(), [instruction.op for instruction in program.block], program.flops_per_row


def check(make, narrow=True):
    """Compare with the row-major program, which fuses nothing backward; returns the ops of both."""
    fused, ops, worth = gradient_of(make, False, narrow)
    apart, ops_apart, worth_apart = gradient_of(make, True, narrow)
    assert worth == worth_apart  # so blocks and lanes, and with them the bits, do not follow from fusion
    assert np.abs(apart).max() > 1e-3
    np.testing.assert_allclose(fused, apart, rtol=1e-11, atol=1e-12)
    return ops, ops_apart


@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "gelu"])
def test_a_derivative_is_taken_by_the_product_before_it(activation):
    def make():
        network = Network(2)
        h = network.emit(activation, network.emit("dense", network.x, *network.layer(5, 2)))
        return network, network.emit("dense", h, *network.layer(2, 5))

    ops, ops_apart = check(make)
    assert f"{activation}_grad" not in ops and "dense_db" not in ops
    assert f"{activation}_grad" in ops_apart and ops_apart.count("dense_db") == 2


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("widths", [(1, 1, 1), (2, 3, 2), (3, 4, 5), (6, 12, 7), (12, 11, 9)])
def test_sums_of_every_width(widths, bias):
    def make():
        network = Network(widths[0])
        value = network.x
        for inputs, units in itertools.pairwise(widths):
            value = network.emit("tanh", network.emit("dense", value, *network.layer(units, inputs, bias)))
        return network, value

    ops, _ = check(make)
    assert ops.count("tanh_grad") == 1  # of the last layer: a loss made its gradient
    assert ops.count("dense_dw") == 2 and "dense_db" not in ops


def test_a_layer_used_twice_adds_both_gradients():
    def make():
        network = Network(4)
        layer = network.layer(4, 4)
        h = network.emit("tanh", network.emit("dense", network.x, *layer))
        return network, network.emit("dense", h, *layer)

    check(make)


def test_a_bias_that_alone_is_shared_is_summed_apart():
    def make():
        network = Network(3)
        bias = network.parameter(3)
        h = network.emit("tanh", network.emit("dense", network.x, network.parameter(3, 3), bias))
        return network, network.emit("dense", h, network.parameter(3, 3), bias)

    ops, _ = check(make)
    assert ops.count("dense_db") == 1


def two_readers(units):
    """Return a network in which two activations read one dense layer's output."""
    network = Network(units)
    a = network.emit("dense", network.x, *network.layer(units, units))
    h = network.emit("add", network.emit("tanh", a), network.emit("sigmoid", a))
    return network, network.emit("dense", h, *network.layer(2, units))


def test_a_gradient_with_two_readers_is_kept():
    ops, _ = check(lambda: two_readers(3))
    assert {"tanh_grad", "sigmoid_grad"} <= set(ops)


# --------------------------------------------------------------------------- blocks of (rows, units)
@pytest.mark.parametrize("units", [1, 2])
@pytest.mark.parametrize("dropout", ["", "dropout", "alpha_dropout"])
@pytest.mark.parametrize(
    ("activation", "bias"), [("relu", True), ("relu", False), ("tanh", True), ("gelu", True)]
)
def test_passes_over_rows_are_one(activation, dropout, bias, units):
    def make():
        network = Network(19)
        h = network.x
        for inputs, width in ((19, 33), (33, 21)):
            h = network.emit(activation, network.emit("dense", h, *network.layer(width, inputs, bias)))
            h = network.drop(h, dropout) if dropout else h
        return network, network.emit("dense", h, *network.layer(units, 21))

    ops, ops_apart = check(make, narrow=False)
    assert ops_apart.count(f"{activation}_grad") == 2 and ops.count("activation_backward") == (
        2 if units > 1 else 1
    )
    assert ops.count("dense_db") == 1  # of the last layer, whose gradient a loss made
    assert "multiply" not in ops
    forward = 0 if (activation, dropout) == ("relu", "dropout") else 2
    assert ops.count(dropout) == (forward if dropout else 0)


@pytest.mark.parametrize(
    "attrs",
    [{"negative_slope": 0.2}, {"max_value": 1.0}, {"threshold": 0.3}],
    ids=lambda attrs: next(iter(attrs)),
)
def test_relu_with_options_needs_the_mask(attrs):
    """The output of dropout does not say where the gradient of these is zero."""

    def make():
        network = Network(19)
        h = network.emit("relu", network.emit("dense", network.x, *network.layer(33, 19)), **attrs)
        return network, network.emit("dense", network.drop(h), *network.layer(1, 33))

    ops, _ = check(make, narrow=False)
    assert "dropout" in ops and "multiply" not in ops


def test_an_activation_that_is_read_besides_dropout_is_kept():
    def make():
        network = Network(19)
        h = network.emit("relu", network.emit("dense", network.x, *network.layer(33, 19)))
        h = network.emit("add", h, network.drop(h))
        return network, network.emit("dense", h, *network.layer(2, 33))

    ops, _ = check(make, narrow=False)
    assert {"dropout", "multiply", "activation_backward"} <= set(ops)


def test_dropout_of_dropout_and_of_inputs():
    def make():
        network = Network(19)
        h = network.emit("dense", network.drop(network.x), *network.layer(33, 19))
        h = network.drop(network.drop(network.emit("relu", h)))
        return network, network.emit("dense", h, *network.layer(2, 33))

    ops, _ = check(make, narrow=False)
    assert ops.count("dropout") == 2  # the inner of the two is the product's


def test_dropout_of_a_dense_without_activation():
    def make():
        network = Network(19)
        h = network.drop(network.emit("dense", network.x, *network.layer(33, 19)))
        return network, network.emit("dense", h, *network.layer(1, 33))

    check(make, narrow=False)


def test_a_wide_layer_used_twice_adds_both_gradients():
    def make():
        network = Network(20)
        layer = network.layer(20, 20)
        h = network.drop(network.emit("relu", network.emit("dense", network.x, *layer)))
        h = network.drop(network.emit("relu", network.emit("dense", h, *layer)))
        return network, network.emit("dense", h, *network.layer(1, 20))

    ops, _ = check(make, narrow=False)
    assert ops.count("dense_db") == 2  # the one that adds, and the last layer's


def test_a_gradient_with_two_readers_is_not_written_over():
    ops, _ = check(lambda: two_readers(20), narrow=False)
    assert ops.count("activation_backward") == 2


@pytest.mark.parametrize("dropout", [False, True])
def test_a_gradient_of_two_activations_is_made_apart(dropout):
    """The sum of two activations gives both the same gradient, that of the product or of dropout."""

    def make():
        network = Network(20)
        a, b = (network.emit("dense", network.x, *network.layer(20, 20)) for _ in range(2))
        h = network.emit("add", network.emit("tanh", a), network.emit("relu", b))
        h = network.drop(h) if dropout else h
        return network, network.emit("dense", h, *network.layer(1, 20))

    ops, _ = check(make, narrow=False)
    assert ops.count("activation_backward") == 2 and ("multiply" in ops) is dropout


def test_layers_over_inner_axes():
    def make():
        network = Network(3)
        network.graph.inputs[0].spec = network.x.spec = Spec((3, 20))
        h = network.drop(network.emit("relu", network.emit("dense", network.x, *network.layer(24, 20))))
        h = network.emit("tanh", network.emit("dense", h, *network.layer(17, 24)))
        h = network.emit("reduce_sum", network.emit("dense", h, *network.layer(1, 17)))
        return network, network.emit("dense", h, *network.layer(2, 3))

    ops, _ = check(make, narrow=False)
    assert "dropout" not in ops and ops.count("activation_backward") == 1
