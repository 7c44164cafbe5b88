"""The ways a program runs on a GPU agree, on a device that the CPU plays: numbers, launches, counters."""

import dataclasses
import functools

import numpy as np
import opened_sessions
import pytest
from opened_sessions import BATCH, counted, fakecupy, largest, room_of_a_tile

import fastnn
from fastnn import layers
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import executor, floors, fused, kernels, library, regimes, registers, resident
from fastnn.backends.gpu.chain import Chain, recognise
from fastnn.backends.gpu.lowering import Launch, Target
from fastnn.errors import ArgumentError, FastnnError
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, Lion, Nadam, RAdam, RMSprop

RNG = np.random.default_rng(0)
ROWS, INPUTS = 90, 5
X = RNG.normal(size=(ROWS, INPUTS)).astype("f4")
SIGN = (X[:, 0] * X[:, 1] > 0).astype("f4")
TWO = np.c_[SIGN, 1 - SIGN]
WEIGHT = RNG.uniform(size=ROWS)


@pytest.fixture(scope="module", autouse=True)
def device():
    with opened_sessions.stand_in() as cp:
        yield cp


class Opened(opened_sessions.Opened):
    """Trainings on these data, unless a test has others."""

    def fit(self, build, device="gpu", x=X, y=SIGN, **options):
        return super().fit(build, x, y, device, **options)

    def program(self, build, x=X, y=SIGN, **options):
        return super().program(build, x, y, **options)


@pytest.fixture
def opened(monkeypatch):
    return Opened(monkeypatch)


def stack(*parts, dtype="float64", **options):
    def build():
        return Sequential(
            [layers.Input((INPUTS,)), *(part() for part in parts)], seed=3, dtype=dtype, **options
        )

    return build


def dense(*arguments, **options):
    return functools.partial(layers.Dense, *arguments, **options)


def drop(rate):
    return functools.partial(layers.Dropout, rate)


SMALL = stack(dense(8, "relu"), dense(1, "sigmoid"))
NETS = {
    "plain": (SMALL, {}),
    "dropout": (
        stack(
            drop(0.2), dense(9, "gelu"), drop(0.5), dense(7, "tanh"),
            functools.partial(layers.AlphaDropout, 0.3), dense(8, "relu"), drop(0.25), dense(1, "sigmoid"),
        ),
        {"sample_weight": WEIGHT},
    ),
    "classes": (
        stack(dense(8, "selu"), dense(3, "softmax")),
        {"loss": "sparse_categorical_crossentropy", "y": SIGN.astype(int)},
    ),
    "shares": (
        stack(dense(8, "leaky_relu"), dense(2, "softmax")), {"loss": "categorical_crossentropy", "y": TWO}
    ),
    "regression": (
        stack(dense(40, "silu", use_bias=False), dense(2, "softplus")),
        {"loss": "mse", "metrics": ["mae", "mse"], "y": TWO},
    ),
    "focal": (stack(dense(6, "elu"), dense(1, "sigmoid")), {"loss": "binary_focal_crossentropy"}),
    "one layer": (stack(dense(1)), {"loss": "huber", "metrics": []}),
}  # fmt: skip


# --------------------------------------------------------------------------- numbers
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("regime", ["resident", "fused"])
def test_training_equals_the_cpus(opened, net, regime):
    build, options = NETS[net]
    weights, history = opened.fit(build, regime=regime, **options)
    assert opened.trained.regime == regime
    expected, log = opened.fit(build, "cpu", **options)
    assert largest(weights, expected) < 1e-12
    for name, values in log.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("regime", ["resident", "fused"])
def test_float32_agrees_to_its_rounding(opened, regime):
    build = stack(dense(8, "tanh"), drop(0.3), dense(1, "sigmoid"), dtype="float32")
    weights, _ = opened.fit(build, regime=regime, optimizer=SGD(0.1))
    expected, _ = opened.fit(build, "cpu", optimizer=SGD(0.1))
    assert largest(weights, expected) < 1e-6


OPTIMIZERS = {
    "sgd": lambda: SGD(0.1), "momentum": lambda: SGD(0.1, momentum=0.5),
    "nesterov": lambda: SGD(0.1, momentum=0.5, nesterov=True), "rmsprop": lambda: RMSprop(0.01),
    "rmsprop all": lambda: RMSprop(0.01, momentum=0.3, centered=True), "adagrad": lambda: Adagrad(0.1),
    "adadelta": lambda: Adadelta(0.1), "amsgrad": lambda: Adam(0.01, amsgrad=True),
    "adamax": lambda: Adamax(0.01), "nadam": lambda: Nadam(0.01, weight_decay=0.1),
    "radam": lambda: RAdam(0.01), "lion": lambda: Lion(0.01),
}  # fmt: skip


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_one_block_knows_every_optimizer(opened, optimizer):
    build, options = NETS["one layer"]
    weights, _ = opened.fit(build, regime="resident", optimizer=OPTIMIZERS[optimizer], **options)
    expected, _ = opened.fit(build, "cpu", optimizer=OPTIMIZERS[optimizer], **options)
    assert largest(weights, expected) < 1e-12


@pytest.mark.parametrize("regime", ["resident", "fused"])
def test_schedules_are_followed(opened, regime):
    def optimizer():
        return SGD(fastnn.schedules.ExponentialDecay(0.5, 2, 0.5, staircase=True))

    weights, _ = opened.fit(SMALL, regime=regime, optimizer=optimizer)
    expected, _ = opened.fit(SMALL, "cpu", optimizer=optimizer)
    assert largest(weights, expected) < 1e-12


UPDATES = {
    "penalty": ({"kernel_regularizer": "l2"}, Adam),
    "constraint": ({"kernel_constraint": "max_norm"}, Adam),
    "clipping": ({}, lambda: Adam(0.01, global_clipnorm=0.1)),
    "accumulation": ({}, lambda: Adam(0.01, gradient_accumulation_steps=2)),
    "averaging": ({}, lambda: Adam(0.01, use_ema=True)),
}


@pytest.mark.parametrize("update", UPDATES)
def test_any_update_follows_the_fused_kernels(opened, update):
    options, optimizer = UPDATES[update]
    build = stack(dense(6, "relu", **options), dense(1, "sigmoid"))
    weights, history = opened.fit(build, optimizer=optimizer)
    assert opened.trained.regime == "fused"
    with pytest.raises(ArgumentError, match="cannot run in the regime 'resident', but in: fused, generic"):
        opened.fit(build, optimizer=optimizer, regime="resident")
    expected, log = opened.fit(build, "cpu", optimizer=optimizer)
    assert largest(weights, expected) < 1e-12
    np.testing.assert_allclose(history["loss"], log["loss"], rtol=1e-6)


@pytest.mark.parametrize("regime", ["resident", "fused"])
def test_blocks_take_several_tiles(opened, monkeypatch, regime):
    monkeypatch.setattr(fused, "MOST_BLOCKS", 1)
    build, options = NETS["dropout"]
    weights, _ = opened.fit(build, regime=regime, batch_size=80, **options)
    expected, _ = opened.fit(build, "cpu", batch_size=80, **options)
    assert largest(weights, expected) < 1e-12


def test_wide_rows_start_on_a_sector(opened):
    x = RNG.normal(size=(ROWS, 45)).astype("f4")

    def build():
        return Sequential([layers.Input((45,)), layers.Dense(1, "sigmoid")], seed=0, dtype="float64")

    for regime in ("fused", "generic"):
        weights, _ = opened.fit(build, x=x, regime=regime)
        assert opened.trained._strides[:2] == [(48, 1, 0), (1, 1, 0)]
        expected, _ = opened.fit(build, "cpu", x=x)
        assert largest(weights, expected) < 1e-12


def test_numbers_do_not_depend_on_the_order_of_threads(opened):
    build, options = NETS["dropout"]
    for regime in ("resident", "fused"):
        results = []
        for order in (0, 1, 2):
            fakecupy.order[0] = order
            results.append(opened.fit(build, regime=regime, epochs=1, **options))
        for weights, history in results[1:]:
            assert largest(weights, results[0][0]) == 0.0
            assert history == results[0][1]


def test_a_captured_step_is_an_eager_one(opened):
    for regime in ("fused", "generic"):
        captured = opened.fit(SMALL, regime=regime)
        eager = opened.fit(SMALL, regime=regime, capture=False)
        assert largest(captured[0], eager[0]) == 0.0
        assert captured[1] == eager[1]


@pytest.mark.parametrize("regime", ["resident", "fused"])
@pytest.mark.parametrize(("what", "status"), [("loss", 1), ("gradient", 2)])
def test_a_run_that_is_not_finite_stops_before_the_update(opened, regime, what, status):
    x = np.zeros((ROWS, INPUTS), "f4")
    x[40:50, 0] = 3e38  # squared, or added up over some rows, too large for float32
    loss = "mse" if what == "loss" else fastnn.losses.MeanAbsoluteError(reduction="sum")
    model = stack(dense(1), dtype="float32")()
    with pytest.raises(FastnnError):
        opened.fit(lambda: model, x=x, loss=loss, metrics=[], shuffle=False, regime=regime)
    session = opened.trained
    assert session.step == 1  # the second batch of 32 holds row 40
    assert session._host[registers.INDEX["STATUS"]] == status
    assert all(np.isfinite(w).all() for w in model.get_weights())


# --------------------------------------------------------------------------- launches
def session_of(opened, build, regime, **options):
    opened.fit(build, epochs=1, regime=regime, **options)
    return opened.trained


def test_a_fused_step_is_six_kernels_and_nothing_else(opened):
    x = RNG.normal(size=(ROWS, 45)).astype("f4")
    build = functools.partial(
        Sequential,
        [layers.Input((45,)), layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(1, "sigmoid")],
        seed=0,
    )
    session = session_of(opened, build, None, x=x)
    assert session.regime == "fused"
    assert [bound[0].name for bound in session._steps] == ["fused", "sum_blocks", "update", "tick"]
    few, many = counted(session, 1), counted(session, 4)
    assert many["graph_launches"] - few["graph_launches"] == 3
    for what in ("launches", "allocs", "syncs", "h2d", "d2h"):
        assert many.get(what, 0) == few.get(what, 0), what


def test_a_resident_step_is_no_launch(opened):
    session = session_of(opened, SMALL, "resident")
    few, many = counted(session, 1), counted(session, 7)
    assert few == many
    assert few["launches"] == 2  # the clock's start, and all steps


def test_a_generic_step_is_one_graph(opened):
    session = session_of(opened, SMALL, "generic")
    few, many = counted(session, 1), counted(session, 4)
    assert many["graph_launches"] - few["graph_launches"] == 3
    assert many.get("allocs", 0) == few.get("allocs", 0)


def test_cublas_takes_wide_layers(opened):
    build = stack(dense(80, "relu"), dense(72, "gelu"), dense(70), dense(1, "sigmoid"))
    weights, history = opened.fit(build, regime="library")
    session = opened.trained
    products = [bound for bound in session._steps if isinstance(bound[0], library.BoundProduct)]
    assert len(products) == 6  # forward, dx and dw of the two wide ones
    assert session._graph is None
    few, many = counted(session, 1), counted(session, 4)
    for what in ("allocs", "syncs", "h2d", "d2h", "graph_launches"):
        assert many.get(what, 0) == few.get(what, 0), what
    expected, log = opened.fit(build, "cpu")
    assert largest(weights, expected) < 1e-12
    np.testing.assert_allclose(history["loss"], log["loss"], rtol=1e-6)


def test_cublas_goes_chunk_by_chunk(opened, monkeypatch):
    build = stack(dense(80, "relu"), dense(72, "gelu"), dense(1, "sigmoid"))
    expected, _ = opened.fit(build, "cpu", batch_size=80)
    monkeypatch.setattr(executor, "ARENA_BYTES", 1)
    weights, _ = opened.fit(build, regime="library", batch_size=80)
    assert opened.trained._chunks == 2
    assert largest(weights, expected) < 1e-12


# --------------------------------------------------------------------------- a population
def test_each_block_trains_a_model_of_its_own(opened):
    """Two models, one after the other in memory, in one launch: what each would be alone."""
    sessions = []
    for seed in (1, 2):
        parts = [
            layers.Input((INPUTS,)),
            layers.Dense(4, "relu"),
            layers.Dropout(0.5),
            layers.Dense(1, "sigmoid"),
        ]
        build = functools.partial(Sequential, parts, seed=seed, dtype="float64")
        sessions.append(session_of(opened, build, "resident"))
    steps, cp, first = 5, fakecupy, sessions[0]
    own = ("parameter", "slot0", "slot1", "gradient", "hyper")
    both = {
        name: cp.asarray(np.concatenate([s._memory.regions[name].get() for s in sessions])) for name in own
    }
    clocks = [s._registers.get() for s in sessions]
    for session in sessions:
        session.run(steps, 10**6)
    for clock in clocks:
        clock[registers.INDEX["LOGGED"]] = 0
    clock = cp.asarray(np.concatenate(clocks))
    log = cp.zeros(2 * 8 * first._count)
    first._held |= {
        "epoch_sums": cp.zeros(2 * first._count),
        "log": log,
        "steps": steps,
        "log_stride": 8 * first._count,
    }
    launch = resident.lower_resident(first.program, first._choice.chain, first._choice.update, BATCH)
    arguments = []
    for argument in launch.arguments:
        if argument == launch.arguments[0]:
            arguments.append(clock)
        else:
            region = getattr(argument, "region", "")
            region += str(argument.index) if region == "slot" else ""
            arguments.append(both[region] if region in both else first._argument(argument))
    function = compiling.function(launch.variant, launch.name)
    function.launch((2,), launch.block, function.wrap(arguments))
    for name in own[:3]:
        np.testing.assert_array_equal(
            both[name].get(), np.concatenate([s._memory.regions[name].get() for s in sessions]), err_msg=name
        )


# --------------------------------------------------------------------------- recognition and choice
def chain_of(opened, build, **options):
    return recognise(opened.program(build, **options))


def test_a_chain_is_read_off_the_program(opened):
    chain = chain_of(opened, NETS["dropout"][0], sample_weight=WEIGHT)
    assert isinstance(chain, Chain)
    assert chain.sizes == (5, 9, 7, 8, 1)
    assert [layer.form for layer in chain.layers] == ["gelu_erf", "tanh", "relu", "sigmoid"]
    assert [layer.saves for layer in chain.layers] == ["input", "output", "output", "output"]
    assert [layer.drop and layer.drop.kind for layer in chain.layers] == [1, 1, 2, 1]
    assert chain.loss.name == "binary_crossentropy_logits"
    assert chain.loss.on_logits
    assert [s.kind for s in chain.sums] == ["loss", "binary_accuracy"]
    assert [s.weighted for s in chain.sums] == [True, False]
    assert (chain.x.number, chain.target.number, chain.weight.number) == (0, 1, 2)


def frozen():
    model = SMALL()
    model.layers[0].trainable = False
    return model


UNLIKE = {
    "frozen": (frozen, {}),
    "normalised": (stack(dense(4), layers.LayerNormalization, dense(1, "sigmoid")), {}),
    "wide": (stack(dense(129), dense(1, "sigmoid")), {}),
    "deep": (stack(*[dense(2)] * 8, dense(1, "sigmoid")), {}),
    "noise": (stack(functools.partial(layers.GaussianNoise, 0.1), dense(1, "sigmoid")), {}),
    "softmax before the loss": (stack(dense(2, "softmax")), {"loss": "mse", "metrics": [], "y": TWO}),
    "activity": (stack(dense(4, activity_regularizer="l2"), dense(1, "sigmoid")), {}),
    "dropout before an activation": (
        stack(dense(4), drop(0.5), functools.partial(layers.Activation, "relu"), dense(1, "sigmoid")), {}
    ),
    "another loss": (stack(dense(4), dense(2)), {"loss": "cosine_similarity", "metrics": [], "y": TWO}),
}  # fmt: skip


@pytest.mark.parametrize("net", UNLIKE)
def test_anything_else_is_no_chain(opened, net):
    build, options = UNLIKE[net]
    assert chain_of(opened, build, **options) is None


def test_the_choice_follows_the_work(opened):
    program = opened.program(stack(dense(30, "relu"), dense(1, "sigmoid")))
    weights = INPUTS * 30 + 30
    assert regimes.choose(program, 32).regime == "resident"
    assert regimes.choose(program, regimes.RESIDENT_WORK // weights + 1).regime == "fused"
    program = opened.program(stack(dense(130, "relu"), dense(130, "relu"), dense(1, "sigmoid")))
    assert regimes.choose(program, 32).regime == "generic"
    assert regimes.choose(program, 1 << 20).regime == "library"


def test_a_preference_holds_where_it_can(opened):
    program = opened.program(SMALL)
    with regimes.preferred("fused"):
        assert regimes.choose(program, BATCH).regime == "fused"
        assert regimes.choose(program, BATCH, "generic").regime == "generic"
    with regimes.preferred("library"):
        assert regimes.choose(program, BATCH).regime == "resident"
    assert regimes.choose(program, BATCH).regime == "resident"
    with pytest.raises(ArgumentError, match="Received: regime='warp'"), regimes.preferred("warp"):
        pass


def test_a_regime_that_does_not_exist_is_refused(opened):
    with pytest.raises(
        ArgumentError, match=r"regime must be one of resident, fused.*Received: regime='warp'"
    ):
        opened.fit(SMALL, regime="warp")


# --------------------------------------------------------------------------- room and floors
@pytest.mark.parametrize(
    ("net", "dtype", "tile"),
    [("dropout", "float32", 8), ("classes", "float64", 16)],
)
def test_the_room_of_a_tile_is_what_the_kernel_takes(opened, net, dtype, tile):
    build, options = NETS[net]
    chain = dataclasses.replace(chain_of(opened, build, **options), dtype=dtype)
    taken = room_of_a_tile(chain, tile)
    assert taken <= fused.tile_bytes(chain, tile) <= taken + 32


def test_committed_shapes_fit_a_block():
    assert len(set(fused.fused_variants())) == len(fused.fused_variants())
    assert len(set(resident.resident_variants())) == len(resident.resident_variants())
    wide = fused.example((128, 128, 128, 128, 1), dropout=True)
    assert fused.tile_rows(wide, 32) == 8
    assert fused.tile_rows(fused.example((128, 128, 128, 1)), 1 << 14) == 16
    assert fused.tile_rows(fused.example((45, 64, 64, 1)), 1 << 14) == 32
    assert not resident.tile_rows(wide, 32)


def test_floors_count_what_must_be_done(opened):
    program = opened.program(SMALL)
    chain = recognise(program)
    step = floors.of_chain(chain, BATCH)
    weights = INPUTS * 8 + 8
    assert step.flops == 2 * BATCH * (3 * weights - INPUTS * 8)
    assert step.bytes >= BATCH * 8 * INPUTS
    target = Target("float64", BATCH)
    launches = [launch for i in (*program.block, *program.update) for launch in kernels.lower(i, target)]
    works = {launch.name: floors.of_launch(launch, BATCH, "float64") for launch in launches}
    assert works["dense_dx"].flops == 2 * BATCH * 8
    assert works["dense_dx"].bytes == 8 * (BATCH * (1 + 8) + 8)
    assert works["update"].bytes > 8 * 4 * chain.parameters
    assert all(work.flops > 0 and work.bytes > 0 for name, work in works.items() if name != "order")
    product = library.lower_library(program.block[3], target)[0]
    assert isinstance(product, Launch)  # too small for cuBLAS
    assert floors.seconds(floors.Work(67e12, 0.0), "sm_90") == pytest.approx(1.0)
    assert floors.seconds(floors.Work(0.0, 3.35e12), "sm_90") == pytest.approx(1.0)
