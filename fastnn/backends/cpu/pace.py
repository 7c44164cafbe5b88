"""Whether a team of threads is worth its meetings: measured as the program runs."""

from __future__ import annotations

import time

#: A trial of the other way to run lasts about so long, after a first piece as long that is not counted:
#: threads have to be started and caches filled (seven steps of 0.16 ms took 8 ms on a core that was asleep).
TRIAL_SECONDS = 0.002
#: A piece that lasted so long is counted even if it was the first of its way.
LONG = 0.01
#: The next trial comes after so many times what the last one cost: few at first, since a moment's noise
#: should not decide, twice as many each time the faster way stays the same; after 20 ms to 5 s.
FEW_TIMES, MANY_TIMES, SOONEST, LATEST = 25.0, 100.0, 0.02, 5.0
#: A piece lasts at most so long.
LONGEST = 1.0


class Pace:
    """Chooses, call by call, between a team of threads and its first thread alone.

    Threads of a team meet several times a step. Where another process displaces one of them, the others
    wait for the rest of its time slice: a full batch of 50,000 rows on 2-3-2 took 0.3 ms a step alone and
    3.7 ms as a team of two on a loaded machine. Results do not depend on threads, so the way to run may
    change at any step: both are measured, the faster is kept, and the other is tried again now and then, in
    pieces so short that what they can lose is about a hundredth of the time.

    Attributes
    ----------
    team : bool
        Which is faster, as far as is known.
    seconds_per_row : dict of bool to float
        As last measured with a team (True) and alone (False).
    """

    def __init__(self) -> None:
        self.team = True
        self.seconds_per_row: dict[bool, float] = {}
        self._last: bool | None = None  # how the latest piece was run
        self._allowance = TRIAL_SECONDS  # of a piece: a way that has just become the faster proves itself
        self._next_trial, self._times = 0.0, FEW_TIMES
        self._doubted = False  # the latest piece was slower than the other way's
        self._spent = (0.0, 0.0)  # seconds and rows since the way changed
        self._waking = {True: 0.0, False: 0.0}  # what the latest change to each way cost

    def piece(self, steps: int, batch: int, now: float | None = None) -> tuple[bool, int]:
        """Return whether the next piece is the team's, and its steps: 1 to `steps`."""
        rate = self.seconds_per_row.get(self.team)
        if rate is None:
            return self.team, 1
        now = time.perf_counter() if now is None else now
        if now >= self._next_trial:
            return not self.team, _steps(TRIAL_SECONDS, rate * batch, steps)
        return self.team, _steps(self._allowance, rate * batch, steps)

    def note(self, team: bool, rows: int, seconds: float, now: float | None = None) -> None:
        """Take account of a piece that has run."""
        now = time.perf_counter() if now is None else now
        changed, self._last = team is not self._last, team
        rate = seconds / rows
        if changed:
            self._spent = (seconds, rows)
            self._waking[team] = max(seconds - rows * self.seconds_per_row.get(team, rate), 0.0)
            if seconds < LONG:
                return
        else:
            self._spent = (self._spent[0] + seconds, self._spent[1] + rows)
        self.seconds_per_row[team] = rate
        other = self.seconds_per_row.get(not team)
        if other is None or (team == self.team and rate <= other):
            self._allowance, self._doubted = min(2 * self._allowance, LONGEST), False
            return
        if team == self.team and not self._doubted:  # one slow piece may be a neighbour's moment
            self._allowance, self._doubted = TRIAL_SECONDS, True
            return
        self._doubted = False
        # Of the slower way, which is to be tried next, and of coming back from it.
        faster = team if rate <= other else not team
        cost = abs(self._spent[0] - self._spent[1] * other) + self._waking[faster]
        self._times = min(2 * self._times, MANY_TIMES) if faster == self.team else FEW_TIMES
        self._next_trial = now + min(max(self._times * cost, SOONEST), LATEST)
        if faster != self.team:
            self.team, self._allowance = faster, 2 * TRIAL_SECONDS


def _steps(seconds: float, each: float, most: int) -> int:
    return max(1, min(most, int(seconds / max(each, 1e-9))))
