"""Optimizer updates and what surrounds them: CUDA kernels on the fake device against the float64 equations."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn import constraints, optimizers, regularizers
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import kernels, registers
from fastnn.backends.gpu.lowering import Registers, Target
from fastnn.graph.update import plan_update

sys.path.insert(0, str(Path(__file__).parents[1] / "cpu"))
from update_team import CASES, Reference, close, identify, parameters  # noqa: E402

STEPS = 3
STATUS, SKIP, STEP, BATCH = (registers.INDEX[name] for name in ("STATUS", "SKIP", "STEP", "BATCH"))


class DeviceTeam:
    """Links a plan to device memory as a session does. Padding between parameters is never to change."""

    def __init__(self, fake, optimizer, dtype, batch=1, **extra):
        self.fake = fake
        self.parameters, size = parameters(**extra)
        self.plan = plan_update(optimizer, self.parameters, np.dtype(dtype).name)
        self.rng = np.random.default_rng(7)
        p = np.zeros(size, dtype)
        for view in self.views(p).values():
            view[...] = self.rng.standard_normal(view.shape)
        self.regions = {
            "parameter": fake.asarray(p),
            "gradient": fake.zeros(size, dtype),
            "hyper": fake.asarray(np.array(self.plan.hyper)),
            "accumulator": fake.zeros(max(len(self.plan.accumulators), 1)),
            "fixed": fake.zeros(8),
        }
        for number, (_, value) in enumerate(self.plan.slots):
            self.regions[f"slot{number}"] = fake.asarray(np.full(size, value, dtype))
        self.clock = np.zeros(registers.COUNT, np.int64)
        self.clock[BATCH] = batch
        self.device_clock = fake.asarray(self.clock)
        target = Target(np.dtype(dtype).name)
        self.launches = [launch for step in self.plan.instructions for launch in kernels.lower(step, target)]
        self.bound = [
            (compiling.function(one.variant, one.name), one.grid, one.block, self.link(one.arguments))
            for one in self.launches
        ]

    def link(self, arguments):
        found = []
        for argument in arguments:
            if isinstance(argument, Registers):
                argument = self.device_clock
            elif hasattr(argument, "region"):
                name = f"slot{argument.index}" if argument.region == "slot" else argument.region
                array = self.regions[name]
                start = argument.offset // array.dtype.itemsize
                argument = array[start : start + argument.spec.size]
            found.append(argument)
        return found

    def views(self, flat):
        shaped = {q.name: flat[q.offset : q.offset + q.size].reshape(q.shape) for q in self.parameters}
        return {q.name: shaped[q.name] for q in self.parameters if q.trainable}

    @property
    def p(self):
        return self.regions["parameter"].get()

    def slot(self, number):
        return self.regions[f"slot{number}"].get()

    def train(self, steps=STEPS):
        """Run steps on fresh gradients; yields them before each, in float64 by name."""
        for number in range(steps):
            gradient = np.zeros_like(self.p)
            for view in self.views(gradient).values():
                view[...] = self.rng.standard_normal(view.shape)
            yield {name: view.astype(np.float64) for name, view in self.views(gradient).items()}
            self.step(number, gradient)

    def step(self, number, gradient):
        self.regions["gradient"].set(gradient)
        self.clock[STEP], self.clock[SKIP] = number, 0
        self.device_clock.set(self.clock)
        for function, grid, block, arguments in self.bound:
            function.launch(grid, block, function.wrap(arguments))
        self.clock[STATUS] = self.device_clock.get()[STATUS]


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
