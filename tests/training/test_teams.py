"""Trainings that change between a team of threads and one alone: the bits are the same."""

import itertools
import os
import threading
import time

import pytest
from training_nets import NETS, digest

from fastnn.backends.cpu import team
from fastnn.backends.cpu.executor import Session
from fastnn.backends.cpu.pace import Pace
from fastnn.callbacks import LambdaCallback


@pytest.fixture(scope="module")
def alone():
    """What the networks come to on one thread."""
    found = {}
    for name in ("narrow", "dropout", "large", "wide"):
        model, x, y, options = NETS[name]()
        history = model.fit(x, y, verbose=0, threads=1, **options)
        found[name] = digest(*model.get_weights(), history.history["loss"])
    return found


@pytest.mark.parametrize("name", ["narrow", "dropout", "large", "wide"])
@pytest.mark.parametrize("order", ["TA", "AT", "TTAATA", "T", "A"])
def test_changing_at_every_step_changes_no_bit(name, order, alone, monkeypatch):
    ways = itertools.cycle(order)
    ran = []
    piece = Session._piece

    def watched(self, team, steps):
        ran.append(team)
        return piece(self, team, steps)

    monkeypatch.setattr(Pace, "piece", lambda self, steps, batch: (next(ways) == "T", 1))
    monkeypatch.setattr(Session, "_piece", watched)
    model, x, y, options = NETS[name]()
    history = model.fit(x, y, verbose=0, threads=2, **options)
    assert digest(*model.get_weights(), history.history["loss"]) == alone[name]
    assert set(ran) == {way == "T" for way in order}


@pytest.mark.usefixtures("always_a_team")
@pytest.mark.parametrize("name", ["narrow", "wide"])
def test_helpers_leave_and_others_come(name, alone):
    """While a callback takes its time nobody waits at a desk; the next epoch has a team again."""
    before, left = threading.active_count(), []

    def wait(epoch, logs):
        deadline = time.monotonic() + 20
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(1e-3)
        left.append(threading.active_count() - before)

    model, x, y, options = NETS[name]()
    history = model.fit(x, y, verbose=0, threads=3, callbacks=[LambdaCallback(on_epoch_end=wait)], **options)
    assert digest(*model.get_weights(), history.history["loss"]) == alone[name]
    assert left == [0] * options["epochs"]


def test_what_one_session_learns_the_next_knows():
    model, x, _, _ = NETS["narrow"]()
    calls = []
    note = Pace.note

    def watched(self, team, rows, seconds, now=None):
        calls.append((id(self), team))
        note(self, team, rows, seconds, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pace, "note", watched)
        for _ in range(3):
            model.predict(x, threads=2)
    assert len({pace for pace, _ in calls}) == 1
    assert len(calls) == 2  # a session's first step pays for its memory


def test_a_sessions_first_step_is_not_counted(monkeypatch):
    pieces, noted = [], []
    piece = Session._piece

    def watched(self, team, steps):
        done = piece(self, team, steps)
        pieces.append(done)
        return done

    monkeypatch.setattr(Session, "_piece", watched)
    monkeypatch.setattr(Pace, "piece", lambda self, steps, batch: (True, steps))
    monkeypatch.setattr(Pace, "note", lambda self, team, rows, seconds: noted.append(rows))
    model, x, y, options = NETS["narrow"]()
    for fits in (1, 2):
        model.fit(x, y, verbose=0, threads=2, **options)
        assert len(noted) == len(pieces) - fits > 0
    assert pieces[0] == 1


def test_a_session_of_one_thread_measures_nothing(monkeypatch):
    monkeypatch.setattr(Pace, "note", lambda *a: pytest.fail("measured"))
    model, x, y, options = NETS["narrow"]()
    model.fit(x, y, verbose=0, threads=1, **options)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux' affinities")
def test_a_helper_begins_on_another_core_and_may_use_all(monkeypatch):
    cores, asked = os.sched_getaffinity(0), []
    monkeypatch.setattr(team.os, "sched_setaffinity", lambda pid, mask: asked.append((pid, set(mask))))
    here = team.core_beside(0)
    team.move_to(team.core_beside(1))
    first, then = asked
    assert then == (0, cores) and first[1] <= cores and len(first[1]) == 1
    if len(cores) > 1 and here == team.core_beside(0):  # this thread was not moved in the meantime
        assert first[1] != {here}
