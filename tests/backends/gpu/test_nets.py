"""Skips, concatenations and embeddings in every regime, on a device that the CPU plays."""

import functools

import numpy as np
import opened_sessions
import pytest
from opened_sessions import BATCH, counted, fakecupy, largest, room_of_a_tile

from fastnn import layers
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import floors, fused, library, net_layout, regimes
from fastnn.backends.gpu.chain import Unlike
from fastnn.backends.gpu.net import Net, recognise
from fastnn.models import Model
from fastnn.optimizers import SGD

RNG = np.random.default_rng(1)
ROWS, NUMBERS, CATEGORIES = 90, 8, 10
X = RNG.normal(size=(ROWS, NUMBERS)).astype("f4")
CATEGORY = RNG.integers(0, CATEGORIES, (ROWS, 1))
TWO_COLUMNS = RNG.integers(0, 7, (ROWS, 2)).astype("i8")
SIGN = (X[:, 0] * X[:, 1] > 0).astype("f4")
CLASS = RNG.integers(0, 3, ROWS)
WEIGHT = RNG.uniform(size=ROWS)


@pytest.fixture(scope="module", autouse=True)
def device():
    with opened_sessions.stand_in() as cp:
        yield cp


@pytest.fixture
def opened(monkeypatch):
    return opened_sessions.Opened(monkeypatch)


@pytest.fixture
def checked(monkeypatch):
    """Every access of every kernel is looked at."""
    monkeypatch.setenv("FAKECUPY_MODE", "check")
    compiling.forget()
    yield
    compiling.forget()


def skip(width=16, dtype="float64"):
    """Numbers and a category; two layers with a way around the second."""
    numbers, category = layers.Input((NUMBERS,)), layers.Input((1,), dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(CATEGORIES, 4)(category))
    hidden = layers.Dense(width, "relu")(layers.Concatenate()([numbers, embedded]))
    hidden = layers.Add()([hidden, layers.Dense(width, "relu")(hidden)])
    return Model([numbers, category], layers.Dense(1, "sigmoid")(hidden), seed=1, dtype=dtype)


def dense_net():
    """Every layer reads all that came before it; dropout; two columns of one table; classes."""
    numbers, pair = layers.Input((NUMBERS,)), layers.Input((2,), dtype="int32")
    embedded = layers.Flatten()(layers.Embedding(7, 3)(pair))
    first = layers.Dense(6, "gelu")(layers.Dropout(0.3)(embedded))
    both = layers.Concatenate()([first, layers.Dense(5, "silu", use_bias=False)(first)])
    joined = layers.Concatenate()([numbers, both, layers.AlphaDropout(0.2)(layers.Dense(9, "selu")(both))])
    return Model([numbers, pair], layers.Dense(3, "softmax")(joined), seed=2, dtype="float64")


def residual():
    """Blocks with an activation after the sum, and dropout on the way around."""
    x = layers.Input((NUMBERS,))
    hidden = layers.Dense(8)(x)
    for name in ("relu", "gelu"):
        around = layers.Dropout(0.25)(hidden)
        hidden = layers.Activation(name)(layers.Add()([layers.Dense(8, "tanh")(hidden), around, hidden]))
    return Model(x, layers.Dense(2, "softplus")(hidden), seed=3, dtype="float64")


def four_inputs():
    """Two numeric inputs, one of them added to itself, and two categories; the loss of numbers."""
    x, also = layers.Input((NUMBERS,)), layers.Input((NUMBERS,))
    one, two = layers.Input((1,), dtype="int32"), layers.Input((2,), dtype="int32")
    parts = [layers.Flatten()(layers.Embedding(10, 2)(one)), layers.Flatten()(layers.Embedding(7, 2)(two))]
    joined = layers.Concatenate()([layers.Add()([x, also]), layers.Dense(3)(also), *parts])
    return Model([x, also, one, two], layers.Dense(1)(joined), seed=4, dtype="float64")


def second_name():
    """A layer's sums under two names: as they are, and reshaped before an activation."""
    x = layers.Input((NUMBERS,))
    sums = layers.Dense(6)(x)
    other = layers.Activation("relu")(layers.Reshape((6,))(sums))
    return Model(x, layers.Dense(1)(layers.Concatenate()([sums, other])), seed=5, dtype="float64")


BOTH = [X, CATEGORY]
NETS = {
    "skip": (skip, BOTH, SIGN, {}),
    "weighted skip": (
        skip, BOTH, SIGN, {"sample_weight": WEIGHT, "optimizer": lambda: SGD(0.1, momentum=0.9)},
    ),
    "dense net": (dense_net, [X, TWO_COLUMNS], CLASS, {"loss": "sparse_categorical_crossentropy"}),
    "residual": (residual, X, np.c_[SIGN, 1 - SIGN], {"loss": "mse", "metrics": ["mae"]}),
    "four inputs": (
        four_inputs, [X, X[::-1], CATEGORY, TWO_COLUMNS], X[:, 2], {"loss": "huber", "metrics": []},
    ),
    "second name": (second_name, X, X[:, 2], {"loss": "mse", "metrics": []}),
}  # fmt: skip
ONE_LAUNCH = ("resident", "fused")


# --------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("regime", ONE_LAUNCH)
def test_training_equals_the_cpus_step_for_step(opened, checked, net, regime):
    build, x, y, options = NETS[net]
    weights, history = opened.fit(build, x, y, regime=regime, **options)
    session = opened.trained
    assert session.regime == regime and isinstance(session._choice.chain, Net)
    expected, log = opened.fit(build, x, y, "cpu", **options)
    assert largest(weights, expected) < 1e-12
    for name, values in log.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-6, err_msg=name)
    one, _ = opened.fit(build, x, y, regime=regime, epochs=1, batch_size=ROWS, **options)
    expected, _ = opened.fit(build, x, y, "cpu", epochs=1, batch_size=ROWS, **options)
    assert largest(one, expected) < 1e-13  # a single step


@pytest.mark.parametrize("regime", ONE_LAUNCH)
def test_float32_agrees_to_its_rounding(opened, regime):
    build = functools.partial(skip, dtype="float32")
    weights, _ = opened.fit(build, BOTH, SIGN, regime=regime, optimizer=SGD(0.1))
    expected, _ = opened.fit(build, BOTH, SIGN, "cpu", optimizer=SGD(0.1))
    assert largest(weights, expected) < 1e-6


def test_blocks_take_several_tiles_in_any_order_of_threads(opened, monkeypatch):
    monkeypatch.setattr(fused, "MOST_BLOCKS", 1)
    build, x, y, options = NETS["dense net"]
    expected, _ = opened.fit(build, x, y, "cpu", batch_size=80, **options)
    for regime in ONE_LAUNCH:
        found = []
        for order in (0, 1, 2):
            fakecupy.order[0] = order
            found.append(opened.fit(build, x, y, regime=regime, batch_size=80, **options))
        assert largest(found[0][0], expected) < 1e-12
        for weights, history in found[1:]:
            assert largest(weights, found[0][0]) == 0.0 and history == found[0][1]


@pytest.mark.parametrize("regime", [*ONE_LAUNCH, "library", "generic"])
def test_captured_and_eager_are_the_same_bits(opened, regime):
    """The model of the library has a layer that cuBLAS takes, and no graph: CuPy cannot capture it."""
    build = functools.partial(skip, 66 if regime == "library" else 16, dtype="float32")
    captured, history = opened.fit(build, BOTH, SIGN, regime=regime)
    session = opened.trained
    assert session.regime == regime
    assert (session._graph is not None) == (regime in ("fused", "generic"))
    eager, log = opened.fit(build, BOTH, SIGN, regime=regime, capture=False)
    assert largest(captured, eager) == 0.0 and history == log


@pytest.mark.parametrize(("width", "batch"), [(66, BATCH), (96, 37), (129, 41)])
def test_cublas_takes_the_dense_layers_of_a_net(opened, width, batch):
    """Regime C: products by cuBLAS where they are large, all else by the kernels of the ops."""
    build = functools.partial(skip, width)
    weights, history = opened.fit(build, BOTH, SIGN, regime="library", batch_size=batch)
    session = opened.trained
    products = [bound for bound in session._steps if isinstance(bound[0], library.BoundProduct)]
    assert len(products) == 3  # forward, dx and dw of the layer that the skip goes around
    names = {bound[0].name for bound in session._steps if not isinstance(bound[0], library.BoundProduct)}
    assert {"embedding", "embedding_grad", "copy_columns", "binary"} <= names
    few, many = counted(session, 1), counted(session, 4)
    for what in ("allocs", "syncs", "h2d", "d2h", "graph_launches"):
        assert many.get(what, 0) == few.get(what, 0), what
    expected, log = opened.fit(build, BOTH, SIGN, "cpu", batch_size=batch)
    assert largest(weights, expected) < 1e-12
    np.testing.assert_allclose(history["loss"], log["loss"], rtol=1e-6)


# --------------------------------------------------------------------------- launches, choice, room
def test_a_step_asks_nothing_of_the_host(opened):
    opened.fit(skip, BOTH, SIGN, epochs=1, regime="fused")
    session = opened.trained
    assert [bound[0].name for bound in session._steps] == ["fused", "sum_blocks", "update", "tick"]
    few, many = counted(session, 1), counted(session, 4)
    assert many["graph_launches"] - few["graph_launches"] == 3
    for what in ("launches", "allocs", "syncs", "h2d", "d2h"):
        assert many.get(what, 0) == few.get(what, 0), what
    opened.fit(skip, BOTH, SIGN, epochs=1, regime="resident")
    few, many = counted(opened.trained, 1), counted(opened.trained, 7)
    assert few == many and few["launches"] == 2  # the clock's start, and all steps


def test_the_choice_follows_the_work(opened):
    opened.fit(skip, BOTH, SIGN, epochs=1)
    assert opened.trained.regime == "resident"
    program = opened.trained.program
    assert regimes.choose(program, 1 << 12).regime == "fused"
    net = recognise(program)
    assert [step.kind for step in net.steps].count("dense") == 3
    assert (
        [source.dtype for source in net.inputs] == ["int32", "float32"]
        and net.columns == NUMBERS + 1
        and net.outputs == 1
    )
    assert net.weights == 12 * 16 + 16 * 16 + 16
    step = floors.of_chain(net, BATCH)
    assert step.flops == 2 * BATCH * 3 * net.weights
    assert step.bytes == 8 * (BATCH * (NUMBERS + 2) + 2 * net.parameters)


@pytest.mark.parametrize(("name", "tile"), [("dense net", 8), ("residual", 16), ("four inputs", 8)])
def test_the_room_of_a_tile_is_what_the_kernel_takes(opened, name, tile):
    build, x, y, options = NETS[name]
    net = recognise(opened.program(build, x, y, **options))
    taken = room_of_a_tile(net, tile)
    assert taken <= fused.tile_bytes(net, tile) <= taken + 32


def test_the_committed_shape_is_what_a_program_gives(opened):
    net = recognise(opened.program(functools.partial(skip, dtype="float32"), BOTH, SIGN))
    example = net_layout.example()
    assert [step.kind for step in net.steps] == [step.kind for step in example.steps]
    assert [step.reads for step in net.steps] == [step.reads for step in example.steps]
    assert net.values == example.values and net.loss == example.loss and net.inputs == example.inputs
    assert net.parameters == example.parameters


# --------------------------------------------------------------------------- what does not fit
def on_numbers(*parts, units=1):
    """A model of a chain of layers that ends in a sum with itself, so that it is no plain stack."""

    def build():
        x = layers.Input((NUMBERS,))
        hidden = functools.reduce(lambda y, part: part()(y), parts, x)
        return Model(x, layers.Dense(units)(layers.Add()([hidden, hidden])), seed=0)

    return build


def dense(units, **options):
    return functools.partial(layers.Dense, units, **options)


def shared():
    x, layer = layers.Input((NUMBERS,)), layers.Dense(NUMBERS)
    return Model(x, layers.Dense(1)(layer(layer(x))), seed=0)


def frozen():
    model = skip()
    next(layer for layer in model.layers if isinstance(layer, layers.Embedding)).trainable = False
    return model


def in_two():
    x = layers.Input((NUMBERS,))
    first = layers.Dense(3)(x)
    parts = [
        layers.Dense(2)(layers.Concatenate()([first, x])),
        layers.Dense(2)(layers.Concatenate()([x, first])),
    ]
    return Model(x, layers.Dense(1)(layers.Concatenate()(parts)), seed=0)


def summed_output():
    x = layers.Input((NUMBERS,))
    return Model(x, layers.Add()([layers.Dense(1)(x), layers.Dense(1)(x)]), seed=0)


def product():
    x = layers.Input((NUMBERS,))
    return Model(x, layers.Dense(1)(layers.Multiply()([layers.Dense(2)(x), layers.Dense(2)(x)])), seed=0)


UNLIKE = {
    "an op": (on_numbers(layers.LayerNormalization), "it has the op 'layer_norm' in its forward pass"),
    "wide": (on_numbers(dense(129)), "it is wider than 128"),
    "deep": (on_numbers(*[dense(2)] * 8), "it has more than 8 dense layers"),
    "shared weights": (shared, "weights are shared"),
    "two concatenations": (in_two, "a value is in two concatenations"),
    "activity": (on_numbers(dense(4, activity_regularizer="l2")), "it has several losses"),
    "a product": (product, "it has the op 'multiply' in its forward pass"),
    "a sum last": (summed_output, "its loss does not follow"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNLIKE)
def test_what_is_no_net_runs_generic_and_says_why(opened, name):
    build, why = UNLIKE[name]
    model = build()
    opened.fit(lambda: model, X, SIGN, epochs=1, loss="mse", metrics=[])
    assert opened.trained.regime == "generic"
    assert f"regime 'generic', a kernel for each op, because {why}" in str(model.device_choice)


def test_a_frozen_table_is_left_to_the_ops(opened):
    with pytest.raises(Unlike, match="not every layer is trained"):
        recognise(opened.program(frozen, BOTH, SIGN))


def test_a_model_says_how_it_is_trained(opened):
    model = skip()
    opened.fit(lambda: model, BOTH, SIGN, epochs=1)
    assert str(model.device_choice).endswith("; regime 'resident', many steps in one launch")
    opened.fit(lambda: model, BOTH, SIGN, "cpu", epochs=1)
    assert model.device_choice.how == ""
