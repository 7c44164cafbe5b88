"""Narrow networks: derivatives and biases' gradients inside the products give what the ops apart give."""

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

    def emit(self, op, *inputs):
        return self.graph.emit(op, inputs)

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


def gradient_of(make, row_major):
    """Build a network, run it, and return the gradient, the ops that were run, and what a row is worth."""
    network, output = make()
    program = network.program(output, row_major)
    assert program.units_major is not row_major
    rng = np.random.default_rng(1)
    parameters = rng.standard_normal(network.size)
    arrays = [rng.standard_normal((ROWS, value.spec.size)) for value in network.graph.inputs]
    session = Session(
        program, parameters=parameters, inputs=arrays, batch_size=ROWS, epoch_rows=ROWS, total_rows=ROWS
    )
    # Two steps: the second finds the gradients of the first in its memory.
    with session:
        assert session.run(2, 2)[1] == 0
    return session.gradient.copy(), [instruction.op for instruction in program.block], program.flops_per_row


def check(make):
    """Compare with the row-major program, which fuses nothing backward; returns the ops of both."""
    fused, ops, worth = gradient_of(make, False)
    apart, ops_apart, worth_apart = gradient_of(make, True)
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


def test_a_gradient_with_two_readers_is_kept():
    def make():
        network = Network(3)
        a = network.emit("dense", network.x, *network.layer(3, 3))
        h = network.emit("add", network.emit("tanh", a), network.emit("sigmoid", a))
        return network, network.emit("dense", h, *network.layer(2, 3))

    ops, _ = check(make)
    assert {"tanh_grad", "sigmoid_grad"} <= set(ops)
