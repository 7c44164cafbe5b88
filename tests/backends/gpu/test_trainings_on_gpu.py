"""Whole trainings on the fake device: captured = eager, bit for bit; = the CPU, to float32 rounding."""

import collections
import functools

import numpy as np
import pytest

from fastnn import optimizers
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import executor, regimes
from fastnn.backends.gpu.variants import variants
from fastnn.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    LayerNormalization,
)
from fastnn.models import Model, Sequential


@pytest.fixture(autouse=True)
def one_kernel_an_instruction():
    """The other regimes have tests of their own."""
    with regimes.preferred("generic"):
        yield


ROWS, COLUMNS = 90, 5
rng = np.random.default_rng(0)
X = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.float32)
CLASS = rng.integers(0, 3, ROWS)
CATEGORY = rng.integers(0, 7, (ROWS, 2))
WEIGHTS = rng.integers(0, 3, ROWS).astype(np.float32)
#: Float32 rounding after a few steps; gradients that nearly cancel are normalised by some optimizers.
TOLERANCE = 2e-6


def plain():
    layers = [
        Dense(8, activation="relu", input_shape=(COLUMNS,)),
        Dropout(0.5),
        Dense(1, activation="sigmoid"),
    ]
    model = Sequential(layers, seed=3)
    return model, "binary_crossentropy", X, Y


def normalised():
    layers = [
        Dense(8, input_shape=(COLUMNS,), kernel_regularizer="l2", kernel_constraint="max_norm"),
        BatchNormalization(),
        Dense(6, activation="tanh"),
        LayerNormalization(),
        Dense(3, activation="softmax"),
    ]
    return Sequential(layers, seed=3), "sparse_categorical_crossentropy", X, CLASS


def functional():
    numbers, categories = Input((COLUMNS,), name="numbers"), Input((2,), dtype="int32", name="categories")
    embedded = Flatten()(Embedding(7, 3)(categories))
    hidden = Dense(6, activation="gelu")(Concatenate()([numbers, embedded]))
    hidden = Add()([hidden, Dense(6, activation="silu")(hidden)])
    outputs = [Dense(1, name="value")(hidden), Dense(3, name="kind")(hidden)]
    model = Model([numbers, categories], outputs, seed=5)
    return model, ["huber", "mse"], [X, CATEGORY], [X[:, 2], np.eye(3, dtype=np.float32)[CLASS]]


def descent():
    return optimizers.SGD(0.1)


SEVERAL = {
    "nadam": lambda: optimizers.Nadam(0.01, weight_decay=0.1),
    "rmsprop": lambda: optimizers.RMSprop(
        0.01, use_ema=True, gradient_accumulation_steps=2, centered=True, momentum=0.3
    ),
    "radam": lambda: optimizers.RAdam(0.01, global_clipnorm=0.5),
    "lion": lambda: optimizers.Lion(0.01),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True, clipnorm=1.0),
    "adadelta": lambda: optimizers.Adadelta(0.1),
    "adamax": lambda: optimizers.Adamax(0.1, clipvalue=0.2),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "adamw": lambda: optimizers.AdamW(0.01),
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.5, nesterov=True),
}
CASES = {
    **{name: (plain, optimizer, {}) for name, optimizer in SEVERAL.items()},
    "weighted": (plain, descent, {"sample_weight": WEIGHTS, "class_weight": {0: 1.0, 1: 2.0}}),
    "validated": (plain, descent, {"validation_split": 0.2, "metrics": ["accuracy"]}),
    "normalised": (normalised, descent, {"validation_split": 0.2, "metrics": ["accuracy"]}),
    "functional": (functional, descent, {}),
}  # fmt: skip


def train(device, make, optimizer, *, metrics=None, epochs=2, **options):
    """Return weights, state of the optimizer, history and predictions."""
    model, loss, x, y = make()
    model.compile(optimizer(), loss, metrics=metrics)
    model.device = device
    history = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0, **options).history
    predictions = model.predict(x, verbose=0)
    if not isinstance(predictions, (list, tuple)):
        predictions = [predictions]
    return [*model.get_weights(), *map(np.asarray, predictions)], history


def same(found, expected):
    return all(a.tobytes() == b.tobytes() for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_a_training_is_the_cpus(fake_cupy, case):
    make, optimizer, options = CASES[case]
    found, history = train("gpu", make, optimizer, **options)
    expected, on_cpu = train("cpu", make, optimizer, **options)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, TOLERANCE, TOLERANCE)
    assert history.keys() == on_cpu.keys()
    for key, values in on_cpu.items():
        np.testing.assert_allclose(history[key], values, 1e-6, 1e-6, err_msg=key)
    assert fake_cupy.stats["graph_launches"] > 0


@pytest.mark.parametrize("case", ["nadam", "rmsprop", "normalised", "functional"])
def test_captured_steps_are_the_eager_ones(fake_cupy, monkeypatch, case):
    make, optimizer, options = CASES[case]
    captured, history = train("gpu", make, optimizer, **options)
    monkeypatch.setattr(executor, "Session", functools.partial(executor.Session, capture=False))
    fake_cupy.stats.clear()
    fake_cupy.order[:] = [1, 1]
    eager, again = train("gpu", make, optimizer, **options)
    assert fake_cupy.stats["graph_launches"] == 0
    assert same(captured, eager) and history == again


def test_steps_ask_nothing_of_the_host(fake_cupy, monkeypatch):
    """Between the first step of a call and its last: no allocation, no copy, no waiting."""
    replay, asked = executor.Session._replay, collections.Counter()

    def counted(session, step, count):
        before = collections.Counter(fake_cupy.stats)
        replay(session, step, count)
        asked.update(fake_cupy.stats - before)
        asked["steps"] += count

    monkeypatch.setattr(executor.Session, "_replay", counted)
    make, optimizer, options = CASES["amsgrad"]
    train("gpu", make, optimizer, **options)
    assert asked["steps"] >= 2 * -(-ROWS // 32) and asked["graph_launches"] > 0
    assert not {"allocs", "h2d", "d2h", "syncs"} & set(+asked), asked


def test_more_steps_launch_nothing_but_graphs(fake_cupy):
    """The counters of a training do not depend on how many steps it has, but for the launches of graphs."""
    found = []
    for epochs in (2, 4):
        fake_cupy.stats.clear()
        make, optimizer, options = CASES["amsgrad"]
        train("gpu", make, optimizer, epochs=epochs, callbacks=[], **options)
        found.append(dict(fake_cupy.stats))
    few, many = found
    steps = 2 * -(-ROWS // 32)
    for counter in ("allocs", "launches"):
        assert many[counter] == few[counter], counter
    assert many["graph_launches"] - few["graph_launches"] == steps


def test_a_stopped_training_leaves_finite_weights(fake_cupy):
    model, loss, x, y = plain()
    bad = x.copy()
    model.compile(optimizers.SGD(1e30), loss)
    model.device = "gpu"
    with pytest.raises(Exception, match="finite"):
        model.fit(bad * 1e18, y, batch_size=32, epochs=3, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_all_that_trainings_request_is_enumerated(fake_cupy, monkeypatch):
    requested, compiled = set(), compiling.function
    monkeypatch.setattr(
        compiling, "function", lambda variant, name: requested.add(variant) or compiled(variant, name)
    )
    for case in ("weighted", "validated", "normalised", "functional"):
        make, optimizer, options = CASES[case]
        train("gpu", make, optimizer, epochs=1, **options)
    assert len(requested) > 10
    assert requested <= set(variants(("float32",)))
