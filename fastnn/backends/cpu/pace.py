"""Whether a team of threads is worth its meetings: measured as the program runs."""

from __future__ import annotations

import time

#: A trial of the other way to run lasts about so long.
TRIAL_SECONDS = 0.002
#: A trial is to cost a hundredth of the time until the next, which comes after 20 ms to 5 s.
TIMES_COST, SOONEST, LATEST = 100.0, 0.02, 5.0
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
        self._warm = False  # the first piece pays for cold memory, and is not counted
        self._allowance = TRIAL_SECONDS  # of a piece: a way that has just become the faster proves itself
        self._next_trial = 0.0

    def piece(self, steps: int, batch: int, now: float | None = None) -> tuple[bool, int]:
        """Return whether the next piece is the team's, and its steps: 1 to `steps`."""
        rate = self.seconds_per_row.get(self.team)
        if rate is None:
            return self.team, 1
        now = time.perf_counter() if now is None else now
        if self._warm and now >= self._next_trial:
            return not self.team, _steps(TRIAL_SECONDS, rate * batch, steps)
        return self.team, _steps(self._allowance, rate * batch, steps)

    def note(self, team: bool, rows: int, seconds: float, now: float | None = None) -> None:
        """Take account of a piece that has run."""
        now = time.perf_counter() if now is None else now
        rate = seconds / rows
        first = team not in self.seconds_per_row
        self.seconds_per_row[team] = rate
        other = self.seconds_per_row.get(not team)
        if not self._warm:
            self._warm = not first
            return
        if other is None or (team == self.team and rate <= other):
            self._allowance = min(2 * self._allowance, LONGEST)
            return
        cost = abs(seconds - rows * other)  # of the slower way, which is to be tried next
        self._next_trial = now + min(max(TIMES_COST * cost, SOONEST), LATEST)
        faster = team if rate <= other else not team
        if faster != self.team:
            self.team, self._allowance = faster, 2 * TRIAL_SECONDS


def _steps(seconds: float, each: float, most: int) -> int:
    return max(1, min(most, int(seconds / max(each, 1e-9))))
