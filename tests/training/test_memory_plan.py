"""The planner's memory: temporaries that are alive never overlap, space is reused, blocks fill the lanes."""

from __future__ import annotations

import numpy as np
import pytest
from training_nets import NETS

from fastnn import Input, Model, layers
from fastnn.backends.cpu import cut, executor
from fastnn.graph.autodiff import backward
from fastnn.graph.plan import plan
from fastnn.graph.trace import Graph
from fastnn.ops.registry import Spec
from fastnn.program import PartSource


def random_graph(seed, wide):
    """Return a training graph of random dense layers, activations, skip connections and merges."""
    rng = np.random.default_rng(seed)
    graph = Graph()
    values = [graph.input(Spec((int(rng.integers(1, 9)),))) for _ in range(int(rng.integers(1, 3)))]
    parameters, size = [], 0

    def parameter(*shape):
        nonlocal size
        value = graph.parameter(shape, f"p{len(parameters)}", size)
        size += -(-int(np.prod(shape)) // 16) * 16
        parameters.append(value)
        return value

    def any_value():
        return values[int(rng.integers(len(values)))]

    def dense(x, units):
        return graph.emit("dense", [x, parameter(x.spec.size, units), parameter(units)])

    for _ in range(int(rng.integers(3, 14))):
        x = any_value()
        kind = rng.choice(["dense", "activation", "merge", "concatenate", "dropout"])
        if kind == "dense":
            y = dense(x, int(rng.integers(1, 40 if wide else 6)))
        elif kind == "activation":
            y = graph.emit(str(rng.choice(["relu", "tanh", "gelu", "softplus", "silu"])), [x])
        elif kind == "merge":
            y = graph.emit(
                str(rng.choice(["add", "multiply", "subtract"])), [x, dense(any_value(), x.spec.size)]
            )
        elif kind == "concatenate" and x.spec.size < 10:
            y = graph.emit("concatenate", [x, any_value()])
        else:
            y, _ = graph.emit("dropout", [x], rate=0.3, seed_stream=graph.next_stream())
        values.append(y)
    output = dense(values[-1], 2)
    target = graph.input(Spec((2,)))
    gradient, rows = graph.emit("mean_squared_error_grad", [target, output], scale=1.0, mean=True)
    graph.emit("accumulate", [rows], accumulator=0)
    used = reaching(graph, output)
    trained = [p for p in parameters if p.number in used]
    graph.prune(backward(graph, {output.number: gradient}, trained))
    return graph, size


def reaching(graph, value):
    """Return the numbers of all values that `value` is made of."""
    found, stack = set(), [value]
    while stack:
        value = stack.pop()
        if value.number not in found:
            found.add(value.number)
            stack += value.producer.inputs if value.producer else ()
    return found


def sources_of(graph, parts):
    """Return the inputs' sources; where `parts`, every second input is in two."""
    found = ["float32"] * len(graph.inputs)
    for value in graph.inputs[::2] if parts else ():
        widths = [width for width in (value.spec.size // 2, -(-value.spec.size // 2)) if width]
        found[value.offset] = tuple(PartSource("float32", width, 1) for width in widths)
    return found


def planned(graph, size, in_place=False, parts=False):
    return plan(
        graph, "float32", sources=sources_of(graph, parts), accumulators=["loss"], parameters=size,
        gradients=size, in_place=in_place,
    )  # fmt: skip


def row_bytes(spec):
    return max(spec.size * 4, 1)


class Arena:
    """Replays a program and remembers which value each byte of a row holds."""

    def __init__(self, size):
        self.owner = np.full(size, -1)

    def write(self, ref, number, spec):
        assert ref.offset >= 0 and ref.offset + row_bytes(spec) <= len(self.owner)
        self.owner[ref.offset : ref.offset + row_bytes(spec)] = number

    def read(self, ref, number, spec):
        held = self.owner[ref.offset : ref.offset + row_bytes(spec)]
        assert (held == number).all(), (
            f"value {number} was overwritten by {set(held.tolist())} before its last use"
        )


def replay(graph, program, parts=False):
    """Check every read of every temporary; returns the temporaries' sizes."""
    arena = Arena(program.arena_row_bytes)
    block = list(program.block)
    sizes = []
    inputs = []  # of each of the caller's arrays: which input it belongs to
    for value, source in zip(graph.inputs, sources_of(graph, parts), strict=True):
        inputs += [value] if source == "float32" else [value] * (3 * len(source))
    assert len(program.inputs) == len(inputs)
    while block and block[0].op in ("order", "gather", "gather_part"):
        instruction = block.pop(0)
        if instruction.op != "order":
            order, source = instruction.inputs[:2]
            assert (arena.owner[order.offset : order.offset + 8] == -2).all(), "the order was overwritten"
            value = inputs[source.index]
            arena.write(instruction.outputs[0], value.number, value.spec)
            sizes.append(row_bytes(value.spec))
        else:
            arena.owner[instruction.outputs[0].offset :][:8] = -2
    assert len(block) == len(graph.nodes)
    for instruction, node in zip(block, graph.nodes, strict=True):
        assert instruction.op == node.op
        for ref, value in zip(instruction.inputs, node.inputs, strict=False):
            if ref.region == "arena":
                arena.read(ref, value.number, value.spec)
        for ref, value in zip(instruction.outputs, node.outputs, strict=False):
            if ref.region == "arena":
                arena.write(ref, value.number, value.spec)
                sizes.append(row_bytes(value.spec))
        for ref, value in zip(instruction.outputs, node.outputs, strict=False):
            if ref.region == "arena":  # two outputs of one instruction do not overlap either
                arena.read(ref, value.number, value.spec)
        replaced = node.op == "activation_backward"  # element by element, where its first input was
        for ref, value in list(zip(instruction.inputs, node.inputs, strict=False))[replaced:]:
            if ref.region == "arena":  # nor does an output overlap an input: kernels may read it late
                arena.read(ref, value.number, value.spec)
    return sizes


@pytest.mark.parametrize("parts", [False, True], ids=["arrays", "parts"])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_live_values_never_overlap(seed, wide, in_place, parts):
    graph, size = random_graph(seed, wide)
    program = planned(graph, size, in_place, parts)
    sizes = replay(graph, program, parts)
    assert max(sizes) <= program.arena_row_bytes
    assert all(ref.offset % 4 == 0 for i in program.block for ref in (*i.inputs, *i.outputs))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_blocks_do_not_depend_on_parts(seed, in_place):
    """A table in parts is cut into the blocks that it would be as an array, so that sums are the same."""
    graph, size = random_graph(seed, True)
    programs = [planned(graph, size, in_place, parts) for parts in (False, True)]
    cuts = [[executor.rows_per_block(program, batch) for batch in (32, 5_000)] for program in programs]
    assert cuts[0] == cuts[1]
    kept = [program.arena_row_bytes - program.parts_row_bytes for program in programs]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("wide", [False, True])
def test_space_is_reused(wide):
    used, needed = 0, 0
    for seed in range(25):
        graph, size = random_graph(seed, wide)
        program = planned(graph, size)
        total = sum(replay(graph, program))
        assert program.arena_row_bytes <= total + 8 + 4 * len(graph.values)
        used, needed = used + program.arena_row_bytes, needed + total
    assert used < 0.8 * needed


def test_depth_costs_only_what_backward_keeps():
    """A chain of dense layers keeps one activation a layer, not their gradients."""

    def arena(depth):
        graph = Graph()
        first = value = graph.input(Spec((32,)))
        parameters = []
        for number in range(depth):
            parameters.append(graph.parameter((32, 32), f"w{number}", number * 1024))
            value = graph.emit("tanh", [graph.emit("dense", [value, parameters[-1]])])
        gradient, rows = graph.emit("mean_squared_error_grad", [first, value], scale=1.0, mean=True)
        graph.emit("accumulate", [rows], accumulator=0)
        graph.prune(backward(graph, {value.number: gradient}, parameters))
        return planned(graph, depth * 1024).arena_row_bytes

    assert arena(20) - arena(10) == 10 * 32 * 4


@pytest.fixture
def sessions(monkeypatch):
    """Record every session that is made."""
    found = []
    original = executor.Session.__init__

    def init(self, *arguments, **named):
        original(self, *arguments, **named)
        found.append(self)

    monkeypatch.setattr(executor.Session, "__init__", init)
    return found


@pytest.mark.parametrize("name", NETS)
def test_blocks_and_lanes_do_not_depend_on_threads(name, sessions):
    for threads in (1, 2, 4):
        model, x, y, options = NETS[name]()
        model.fit(x, y, verbose=0, threads=threads, **{**options, "epochs": 1})
    assert len({(session.block, session.lanes) for session in sessions}) == 1
    assert len(sessions) == 3


@pytest.mark.parametrize("name", NETS)
def test_blocks_are_multiples_of_sixteen_rows(name, sessions):
    model, x, y, options = NETS[name]()
    model.fit(x, y, verbose=0, **options)
    program = sessions[0].program
    for batch in (1, 2, 15, 16, 17, 31, 32, 100, 128, 500, 512, 1_000, 4_096, 50_000, 1_000_000):
        block, lanes = executor.rows_per_block(program, batch)
        assert block % 16 == 0
        assert lanes & (lanes - 1) == 0 and 1 <= lanes <= cut.MOST_LANES
        if program.whole_batch:
            assert block >= batch and lanes == 1
        else:
            assert block <= cut.LARGEST_BLOCK + 15


def test_memory_is_bounded_by_the_block(sessions):
    """A larger batch takes more blocks, not more memory."""
    inputs = Input(shape=(8,))
    hidden = layers.Dense(32, "relu")(inputs)
    model = Model(inputs, layers.Dense(1)(layers.Concatenate()([hidden, layers.Dense(32, "tanh")(hidden)])))
    model.compile("sgd", "mse")
    x = np.zeros((40_000, 8), np.float32)
    for batch in (400, 4_000, 40_000):
        model.fit(x, x[:, :1], batch_size=batch, verbose=0, threads=1)
    for session in sessions:
        assert session.block * session.program.arena_row_bytes <= 1.1 * cut.BLOCK_BYTES
