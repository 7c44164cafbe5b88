"""Optimizer updates and what surrounds them, on the fake device, against the float64 equations."""

import math

import numpy as np
import pytest
from device_team import STATUS, DeviceTeam
from update_team import CASES, Reference, close, identify

from fastnn import constraints, optimizers, regularizers

each_optimizer = pytest.mark.parametrize("optimizer", CASES, ids=identify)


@each_optimizer
def test_update_follows_the_reference(fake_cupy, optimizer):
    dtype = np.float32
    fake_cupy.order[:] = [2, 5]
    team = DeviceTeam(fake_cupy, optimizer, dtype)
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(), start=1):
        reference.step(gradients, t)
    close(team.views(team.p), reference.w, dtype)
    for number, slot in enumerate(optimizer.slots()):
        close(team.views(team.slot(number)), {k: s[slot] for k, s in reference.slots.items()}, dtype)
    assert not team.p[64:80].any(), "a frozen parameter was touched"


CLIPPED = [
    optimizers.Adam(0.01, clipnorm=0.5),
    optimizers.Adam(0.01, clipvalue=0.1),
    optimizers.SGD(0.1, global_clipnorm=0.5),
    optimizers.SGD(0.1, momentum=0.5, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2),
]


@pytest.mark.parametrize("optimizer", CLIPPED, ids=["norm", "value", "global", "average"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_clipping_and_averages(fake_cupy, optimizer, dtype):
    team = DeviceTeam(fake_cupy, optimizer, dtype)
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(), start=1):
        reference.step(gradients, t)
    close(team.views(team.p), reference.w, dtype)


def test_gradients_are_accumulated(fake_cupy):
    optimizer = optimizers.Adam(0.1, gradient_accumulation_steps=2)
    team = DeviceTeam(fake_cupy, optimizer, np.float64)
    reference, held = Reference(team, optimizer), []
    for number, gradients in enumerate(team.train(4)):
        held.append(gradients)
        if number % 2:
            mean = {name: (held[-1][name] + held[-2][name]) / 2 for name in gradients}
            reference.step(mean, number // 2 + 1)
    close(team.views(team.p), reference.w, np.float64)


def test_penalties(fake_cupy):
    penalties = {"w1": regularizers.L1(0.1), "w3": regularizers.L1L2(0.01, 0.02)}
    extra = {name: {"regularizer": penalty} for name, penalty in penalties.items()}
    optimizer = optimizers.SGD(0.1)
    team = DeviceTeam(fake_cupy, optimizer, np.float64, batch=20, **extra)
    reference, sums = Reference(team, optimizer), np.zeros(2)
    for t, gradients in enumerate(team.train(2), start=1):
        for number, (name, penalty) in enumerate(penalties.items()):
            sums[number] += 20 * penalty(reference.w[name])
            gradients[name] += penalty.gradient(reference.w[name])
        reference.step(gradients, t)
    close(team.views(team.p), reference.w, np.float64)
    np.testing.assert_allclose(team.regions["accumulator"].get(), sums, rtol=1e-12)


@pytest.mark.parametrize(
    "constraint",
    [
        constraints.MaxNorm(1.5),
        constraints.MaxNorm(2.0, axis=-1),
        constraints.NonNeg(),
        constraints.UnitNorm(),
        constraints.MinMaxNorm(0.5, 2.0, 0.7),
    ],
    ids=lambda c: f"{c.kind}{c.axis}",
)
def test_constraints(fake_cupy, constraint):
    optimizer = optimizers.SGD(0.1)
    team = DeviceTeam(fake_cupy, optimizer, np.float64, w3={"constraint": constraint})
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(2), start=1):
        reference.step(gradients, t)
        reference.w["w3"][...] = constraint(reference.w["w3"])
    close(team.views(team.p), reference.w, np.float64)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, 34, 320, 5000])
def test_a_gradient_that_is_not_finite_stops_before_anything_changes(fake_cupy, value, where):
    optimizer = optimizers.Adam(0.1, use_ema=True, gradient_accumulation_steps=2)
    extra = {"w3": {"constraint": constraints.UnitNorm()}, "b2": {"constraint": constraints.NonNeg()}}
    team = DeviceTeam(fake_cupy, optimizer, np.float32, **extra)
    before = {name: array.get().tobytes() for name, array in team.regions.items() if name != "gradient"}
    gradient = np.zeros_like(team.p)
    gradient[where] = value
    team.step(1, gradient)
    assert team.clock[STATUS] == 2
    after = {name: array.get().tobytes() for name, array in team.regions.items() if name != "gradient"}
    assert before == after
