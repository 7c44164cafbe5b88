"""Gradients before an update: sum of lanes, checks, penalties, accumulation, clipping."""

import numpy as np
import pytest
from update_team import TOLERANCE, Reference, Team, close, each_dtype, identify

from fastnn import optimizers, regularizers
from fastnn.backends.cpu import registers


def tree(lanes):
    """Sum neighbours, then pairs of neighbours."""
    while len(lanes) > 1:
        lanes = [sum(lanes[i + 1 : i + 2], lanes[i]) for i in range(0, len(lanes), 2)]
    return lanes[0]


@pytest.mark.parametrize("lanes", [*range(2, 17), 21, 64])
@each_dtype
def test_lanes_are_summed_in_a_fixed_tree(dtype, lanes):
    team = Team(optimizers.SGD(1.0), dtype, cuts=(16, 5008), lanes=lanes)
    before = team.p.copy()
    for _ in team.train(1):
        expected = tree([lane.copy() for lane in team.g])
    np.testing.assert_array_equal(team.p, before - expected)
    np.testing.assert_array_equal(team.g[0], expected)


def test_lanes_not_in_use_are_left_out():
    team = Team(optimizers.SGD(1.0), np.float64, lanes=8)
    team.threads[:, registers.LANES] = 3
    for _ in team.train(1):
        expected = team.p - ((team.g[0] + team.g[1]) + team.g[2])
    np.testing.assert_array_equal(team.p, expected)


@each_dtype
def test_penalties(dtype):
    penalties = {"w1": regularizers.L1(0.1), "w3": regularizers.L1L2(0.01, 0.02)}
    extra = {name: {"regularizer": penalty} for name, penalty in penalties.items()}
    optimizer = optimizers.SGD(0.1, clipvalue=0.5)
    team = Team(optimizer, dtype, cuts=(80,), batch=20, **extra)
    team.p[:32] = 0.0  # no gradient at 0
    reference, sums = Reference(team, optimizer), np.zeros(2)
    for t, gradients in enumerate(team.train(), start=1):
        for number, (name, penalty) in enumerate(penalties.items()):
            sums[number] += 20 * penalty(reference.w[name])
            gradients[name] += penalty.gradient(reference.w[name])
        reference.step(gradients, t)
    close(team.views(team.p), reference.w, dtype)
    assert team.plan.accumulators == ("w1_penalty", "w3_penalty")
    np.testing.assert_allclose(team.sums, sums, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 15, 34, 80, 319, "last"])
@each_dtype
def test_a_gradient_that_is_not_finite_stops_the_team(dtype, where, value):
    team = Team(optimizers.Adam(), dtype, cuts=(16, 320))
    team.fill(team.g[0])
    team.g[0, 17] = np.finfo(dtype).max  # finite, and so is the smallest
    team.g[0, 18] = np.finfo(dtype).smallest_subnormal
    before = team.p.copy()
    assert team.step(0) and not team.flag[0]
    assert (team.p != before).any()
    before = team.p.copy()
    team.g[0, team.parameters[-1].offset + 9899 if where == "last" else where] = value
    assert not team.step(1)
    np.testing.assert_array_equal(team.p, before)


CLIPS = [
    {"clipvalue": 0.3},
    {"clipnorm": 2.0},
    {"clipnorm": 1e9},
    {"global_clipnorm": 2.0},
    {"global_clipnorm": 1e9},
]


@pytest.mark.parametrize("options", CLIPS, ids=str)
@each_dtype
def test_clipping_follows_the_reference(dtype, options):
    optimizer = optimizers.SGD(0.1, momentum=0.5, **options)
    team = Team(optimizer, dtype, cuts=(96, 4096))
    reference = Reference(team, optimizer)
    for t, gradients in enumerate(team.train(), start=1):
        reference.step(gradients, t)
    close(team.views(team.p), reference.w, dtype)


ACCUMULATING = [
    optimizers.Adam(0.01, gradient_accumulation_steps=3, clipnorm=1.0),
    optimizers.Nadam(0.01, gradient_accumulation_steps=3, use_ema=True),
]


@pytest.mark.parametrize("optimizer", ACCUMULATING, ids=identify)
@each_dtype
def test_accumulated_gradients_are_averaged(optimizer, dtype):
    team = Team(optimizer, dtype, cuts=(16, 512))
    reference, batches = Reference(team, optimizer), []
    for number, gradients in enumerate(team.train(8), start=1):
        close(team.views(team.p), reference.w, dtype)
        batches.append(gradients)
        if number % 3 == 0:
            mean = {name: sum(batch[name] for batch in batches) / 3 for name in gradients}
            reference.step(mean, number // 3)
            batches.clear()
    close(team.views(team.p), reference.w, dtype)
    slot = [name for name, _ in team.plan.slots].index("accumulated_gradient")
    rest = {name: sum(batch[name] for batch in batches) for name in reference.w}
    close(team.views(team.slots[slot]), rest, dtype)
