"""A team of threads or one alone: the faster is found and kept."""

import numpy as np
import pytest

from fastnn.backends.cpu.pace import Pace

BATCH = 1000


def simulate(cost, seconds, call=0.03, waking=0.0):
    """Run calls of `call` seconds for so long; ``cost(team, now)`` is a step's time. Returns time lost.

    What is lost is counted against the faster way at each moment. To change to the team takes `waking` more.
    """
    chosen, now, lost, shares = Pace(), 0.0, 0.0, {True: 0.0, False: 0.0}
    last = False
    while now < seconds:
        left = max(1, int(call / min(cost(True, now), cost(False, now))))
        while left:
            team, steps = chosen.piece(left, BATCH, now)
            assert 1 <= steps <= left
            took = steps * cost(team, now) + (waking if team and not last else 0.0)
            last = team
            lost += took - steps * min(cost(True, now), cost(False, now))
            left, now = left - steps, now + took
            chosen.note(team, steps * BATCH, took, now)
            shares[team] += took
    return lost, shares[True] / now


@pytest.mark.parametrize("step", [2e-5, 3e-4, 0.1], ids=lambda step: f"{1e3 * step:g} ms")
def test_a_team_that_helps_is_kept(step):
    lost, share = simulate(lambda team, now: step / 2 if team else step, 20)
    assert lost < 0.4 and share > 0.97


@pytest.mark.parametrize("step", [2e-5, 3e-4, 0.1], ids=lambda step: f"{1e3 * step:g} ms")
def test_a_team_that_is_displaced_is_given_up(step):
    lost, share = simulate(lambda team, now: 12 * step if team else step, 20)
    # A step cannot be cut short: two of the team's, then one every five seconds.
    assert lost < max(0.5, 11 * step * 6) and share < max(0.03, 12 * step * 6 / 20)


def test_waking_up_is_not_counted():
    lost, share = simulate(lambda team, now: 1.6e-4 if team else 2.4e-4, 20, waking=8e-3)
    assert lost < 1.0 and share > 0.95


def test_a_change_is_noticed():
    def cost(team, now):
        busy = 10 < now < 20
        return (3.7e-3 if busy else 1.5e-4) if team else 3e-4

    lost, share = simulate(cost, 40)
    assert lost < 40 * 0.06
    assert 0.5 < share < 0.76


def test_a_moments_noise_does_not_change_the_way():
    """Steps of 14 ms with a team and 26 alone; one of the team's pieces in twelve has steps of 40."""
    rng = np.random.default_rng(0)
    _, share = simulate(
        lambda team, now: (0.04 if rng.random() < 1 / 12 else 0.014) if team else 0.026, 40, call=0.5
    )
    assert share > 0.75  # 0.59 where one slow piece decides


def test_noise_costs_little():
    rng = np.random.default_rng(0)
    lost, _ = simulate(lambda team, now: 3e-4 * (1 + 0.1 * rng.random()), 10)
    assert lost < 1.0


def test_a_call_of_one_step_is_one_piece():
    chosen = Pace()
    ways = []
    for number in range(6):
        team, steps = chosen.piece(1, BATCH, float(number))
        assert steps == 1
        ways.append(team)
        chosen.note(team, BATCH, 1.0 if team else 0.2, number + 0.5)
    assert ways == [True, False, False, False, False, False]
