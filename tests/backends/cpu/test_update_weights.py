"""Weights after an update: moving average and constraints."""

import numpy as np
import pytest
from update_team import Reference, Team, close, each_dtype

from fastnn import constraints, optimizers
from fastnn.backends.cpu import kernels, registers
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Target
from fastnn.graph.update import UpdateParameter, plan_update


@pytest.mark.parametrize("frequency", [None, 1, 3])
@each_dtype
def test_moving_average(dtype, frequency):
    optimizer = optimizers.Adam(0.1, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=frequency)
    team = Team(optimizer, dtype, cuts=(64,))
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(), start=1):
        reference.step(gradients, t)
    close(team.views(team.p), reference.w, dtype)
    assert team.plan.slots[-1] == ("average", 0.0)
    close(team.views(team.slots[-1]), reference.averages, dtype)


CONSTRAINTS = [
    constraints.MaxNorm(1.5),
    constraints.MaxNorm(2.0, axis=-1),
    constraints.NonNeg(),
    constraints.UnitNorm(),
    constraints.MinMaxNorm(0.5, 2.0, 0.7),
    constraints.MinMaxNorm(5.0, 6.0),
]


@pytest.mark.parametrize("name", ["w1", "b2", "w3"])
@pytest.mark.parametrize("constraint", CONSTRAINTS, ids=lambda c: f"{c.kind}{c.params}{c.axis}")
@each_dtype
def test_constraints(dtype, constraint, name):
    optimizer = optimizers.SGD(0.1)
    team = Team(optimizer, dtype, cuts=(32, 4096), **{name: {"constraint": constraint}})
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(3), start=1):
        reference.step(gradients, t)
        reference.w[name][...] = constraint(reference.w[name])
    close(team.views(team.p), reference.w, dtype)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_constraint_along_an_axis_of_three(axis):
    constraint = constraints.UnitNorm(axis=axis)
    parameter = UpdateParameter("w", 0, (3, 4, 5), constraint=constraint)
    w = np.random.default_rng(0).standard_normal((3, 4, 5))
    expected, hyper = constraint(w), np.zeros(40)
    instruction = plan_update(optimizers.SGD(), [parameter]).instructions[-1]
    (row,) = kernels.lower(instruction, Target(np.float64))
    numbers = [int(np.float64(x).view(np.int64)) if isinstance(x, float) else x for x in row.operands[:-2]]
    words = np.array([0, *numbers, w.ctypes.data, 0, hyper.ctypes.data, 0], np.int64)
    compile_kernel(row.key, row.make).call(words.ctypes.data, np.zeros(registers.COUNT, np.int64).ctypes.data)
    np.testing.assert_allclose(w, expected, 1e-12)
