"""A test of the tests: each planted bug is found by running its kernel on the fake device, checker on."""

import sys
from pathlib import Path

import numpy as np
import pytest
from device_team import STATUS, DeviceTeam
from update_team import Reference, close

from fastnn import layers, ops, optimizers, regularizers
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import regimes
from fastnn.errors import DeviceError
from fastnn.models import Model

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "cuda_on_cpu"), str(TESTS / "contract")]
from mutants import MUTANTS  # noqa: E402
from on_device import ORDERS, run_gpu, run_into  # noqa: E402
from op_table import as_tuple, check, reference  # noqa: E402
from shim import KernelError  # noqa: E402

rng = np.random.default_rng(2)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def op(name, arrays, attrs=None):
    """Return a scenario: an op against its reference, in every order of threads."""

    def scenario(fake):
        for order in ORDERS:
            found = run_gpu(fake, name, arrays, attrs or {}, order)
            with np.errstate(all="ignore"):
                check(name, found, reference(name, arrays, attrs or {}), np.float32, name)

    return scenario


def gradient(name, arrays, attrs=None):
    """Return a scenario: a sum over rows that is overwritten, then added to."""

    def scenario(fake):
        once, *rest = reference(name, arrays, attrs or {})
        outputs = None
        for number, options in enumerate(({}, {}, {"first": 0}, {"accumulate": True})):
            fake.order[:] = ORDERS[number % 3]
            outputs = run_into(fake, name, arrays, attrs or {}, outputs=outputs, **options)
            expected = max(number, 1) * np.asarray(once)
            check(name, outputs, (expected, *rest), np.float32, name)

    return scenario


def adam(fake):
    """Adam against its equations."""
    team = DeviceTeam(fake, optimizers.Adam(0.1), np.float32)
    fake.order[:] = [1, 1]
    follow(team, optimizers.Adam(0.1))


def follow(team, optimizer):
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(2), start=1):
        reference.step(gradients, t)
    close(team.views(team.p), reference.w, np.float32)


def penalty(fake):
    """The value of a penalty, by one block in a fixed order."""
    for order in ORDERS:
        fake.order[:] = order
        optimizer = optimizers.SGD(0.0)
        team = DeviceTeam(
            fake, optimizer, np.float32, batch=3, w3={"regularizer": regularizers.L1L2(0.1, 0.2)}
        )
        w = team.views(team.p)["w3"]
        expected = 3 * regularizers.L1L2(0.1, 0.2)(w.astype(np.float64))
        team.step(0, np.zeros_like(team.p))
        np.testing.assert_allclose(team.regions["accumulator"].get()[0], expected, rtol=1e-6)


def stopped(fake):
    """A gradient that is not finite: nothing changes."""
    team = DeviceTeam(fake, optimizers.Adam(0.1), np.float32)
    before, bad = team.p.tobytes(), np.zeros_like(team.p)
    bad[77 + 16] = np.inf
    team.step(0, bad)
    assert team.clock[STATUS] == 2 and team.p.tobytes() == before


def dropout(fake):
    """Dropout's stream is the CPU's."""
    x, attrs = normal(9, 70), {"rate": 0.3, "seed": 4, "seed_stream": 7, "step": 2}
    expected = as_tuple(ops.dropout(x, **attrs))
    for y, exact in zip(run_gpu(fake, "dropout", [x], attrs, (2, 3)), expected, strict=True):
        np.testing.assert_allclose(y, exact, rtol=1e-6)


def net(fake):
    """A network with a skip connection, and two indices into one table, trained by the fused kernels."""
    x, pair = normal(40, 3), rng.integers(0, 4, (40, 2))
    weights = []
    for device in ("cpu", "gpu"):
        numbers, indices = layers.Input((3,)), layers.Input((2,), dtype="int32")
        known = layers.Concatenate()([numbers, layers.Flatten()(layers.Embedding(4, 2)(indices))])
        first = layers.Dense(6, "tanh")(known)
        hidden = layers.Add()([first, layers.Dense(6, "sigmoid")(first)])
        model = Model([numbers, indices], layers.Dense(1)(hidden), seed=1, dtype="float64")
        model.compile(optimizers.SGD(0.1), "mse", device=device)
        fake.order[:] = ORDERS[1]
        try:
            with regimes.preferred("fused"):
                model.fit([x, pair], x[:, 0], batch_size=32, verbose=0)
        except DeviceError as error:
            raise error.__cause__ or error from None
        weights.append(np.concatenate([array.ravel() for array in model.get_weights()]))
    np.testing.assert_allclose(weights[1], weights[0], rtol=0, atol=1e-13)


X = normal(70, 35)
NAN = X.copy()
NAN[3, 4] = np.nan
SCENARIOS = {
    "dense": op("dense", [X, normal(35, 67), normal(67)]),
    "dense_db": gradient("dense_db", [normal(300, 5)]),
    "embedding_grad": gradient("embedding_grad", [rng.integers(0, 4, 40), normal(40, 3)], {"size": 4}),
    "batch_norm": op("batch_norm_train", [X], {"scale": False, "center": False, "epsilon": 1e-3}),
    "reduce_sum": op("reduce_sum", [normal(20, 19)]),
    "relu": op("relu", [X]),
    "scale": op("scale", [X], {"factor": 3.0}),
    "maximum": op("maximum", [NAN, X]),
    "crossentropy": op(
        "sparse_categorical_crossentropy", [rng.integers(0, 5, 33), normal(33, 5)], {"from_logits": True}
    ),
    "adam": adam,
    "penalty": penalty,
    "stopped": stopped,
    "dropout": dropout,
    "net": net,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_correct_kernels_pass(fake_cupy, name):
    SCENARIOS[name](fake_cupy)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_planted_bug_is_found(fake_cupy, monkeypatch, mutant):
    text = compiling.text
    right = text(mutant.source)
    assert mutant.old in right, f"{mutant.source}.cu has changed: plant this bug in its new text"
    wrong = right.replace(mutant.old, mutant.new, 1)
    monkeypatch.setattr(compiling, "text", lambda source: wrong if source == mutant.source else text(source))
    with pytest.raises((KernelError, AssertionError)) as found:
        SCENARIOS[mutant.scenario](fake_cupy)
    print(f"{mutant.name}: {str(found.value).strip().splitlines()[0]}")
    assert "error:" not in str(found.value), "the planted bug does not compile"


def test_there_are_enough_bugs():
    assert len(MUTANTS) >= 25 and len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
