"""Runs the update section of a program on the fake device, as a session would."""

import sys
from pathlib import Path

import numpy as np

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import kernels, registers
from fastnn.backends.gpu.lowering import Registers, Target
from fastnn.graph.update import plan_update

sys.path.insert(0, str(Path(__file__).parents[1] / "cpu"))
from update_team import parameters

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
