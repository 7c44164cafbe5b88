"""The helpers of a session: threads that wait a moment for the next piece of work before they go."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from collections.abc import Callable

import numpy as np

from fastnn.backends.cpu import interpreter as control
from fastnn.backends.cpu import registers


class Team:
    """Threads that run pieces of a training together; started when they are first needed.

    To start a thread takes 0.1 ms, and 4 ms in a virtual machine whose other core has gone to sleep; an epoch
    of a small table takes less. So helpers stay between two pieces: they spin, then yield, for about a
    millisecond, and then end by themselves.

    Parameters
    ----------
    table : ndarray of int64, shape (threads, registers)
        The registers of each thread.
    barrier : int
        Address of the memory in which the team meets, see :func:`memory_bytes`.
    work : callable
        Called in each helper with its registers; returns when the helper has been idle for a while.
    """

    def __init__(self, table: np.ndarray, barrier: int, work: Callable[[np.ndarray], None]):
        self.registers = table
        self._barrier, self._work = barrier, work
        self._helpers: dict[int, threading.Thread] = {}
        self._write = control.desk_writer().call
        self._note = np.zeros(3, np.int64)

    def _say(self, thread: int, what: int) -> int:
        """Add to what is said on a helper's desk; returns what was there."""
        self._note[:2] = self._barrier + control.DESKS_AT + thread * control.DESK_BYTES, what
        self._write(self._note.ctypes.data, self._note.ctypes.data)
        return int(self._note[2])

    def assemble(self) -> None:
        """Have all helpers at their desks, and stay there until :meth:`release`."""
        for thread in range(1, len(self.registers)):
            helper = self._helpers.get(thread)
            if helper is not None and helper.is_alive():  # it is not after a fork, whatever its desk says
                if self._say(thread, control.HELD) < control.LEFT:
                    continue
                helper.join()
            self._start(thread)

    def _start(self, thread: int) -> None:
        r = self.registers
        r[thread, registers.BARRIER] = r[0, registers.BARRIER]
        self._say(thread, control.HELD - self._say(thread, 0))
        helper = threading.Thread(target=self._live, args=(r[thread], core_beside(thread)), daemon=True)
        self._helpers[thread] = helper
        helper.start()

    def _live(self, r: np.ndarray, core: int | None) -> None:
        move_to(core)
        self._work(r)

    def release(self) -> None:
        """Let helpers go when they have waited long enough."""
        for thread in self._helpers:
            self._say(thread, -control.HELD)

    def dismiss(self) -> None:
        """Send all helpers home and wait for them, whatever interrupts."""
        interrupt = None
        for thread in self._helpers:
            self._say(thread, control.DISMISSED)
        for helper in self._helpers.values():
            while helper.is_alive():
                try:
                    helper.join()
                except BaseException as error:
                    interrupt = error
        self._helpers.clear()
        if interrupt is not None:
            raise interrupt


@functools.cache
def _current_core() -> Callable[[], int] | None:
    """Return the C library's ``sched_getcpu``, if it has one."""
    return getattr(ctypes.CDLL(None), "sched_getcpu", None) if hasattr(os, "sched_setaffinity") else None


def core_beside(number: int) -> int | None:
    """Return the core `number` further than the caller's, of those that it may use; None if unknown."""
    current = _current_core()
    if current is None:
        return None
    core, cores = current(), sorted(os.sched_getaffinity(0))
    return cores[(cores.index(core) + number) % len(cores)] if core in cores else None


def move_to(core: int | None) -> None:
    """Move the calling thread to a core, which it may leave again.

    Linux often starts a thread on its parent's core and leaves it there for 10 to 60 ms, though others idle:
    threads that yield to each other every 0.1 ms count as too warm to be moved. Batch 512 took 340 us a step
    so, 220 alone, 140 as a team on two cores.
    """
    if core is None:
        return
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {core})
        os.sched_setaffinity(0, cores)
    except OSError:  # the core was taken away in the meantime
        pass


def memory_bytes(threads: int) -> int:
    """Return how many bytes a team's barrier and desks take."""
    return control.DESKS_AT + threads * control.DESK_BYTES
