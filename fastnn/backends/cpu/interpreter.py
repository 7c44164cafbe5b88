"""The interpreter: one small compiled loop that runs whole epochs by calling kernels by address.

Threaded code (Bell, 1973): a program is a table of rows, each the address of a kernel and its operands; an
indirect call costs about 2 ns. A team of threads runs the same loop over its own share of each batch
(SPMD), meeting at a spin-then-yield barrier (0.5 us for two threads).
"""

from __future__ import annotations

import numpy as np

from fastnn.backends.cpu.data import shuffle_key
from fastnn.backends.cpu.jit import (
    Kernel,
    atomic_add,
    atomic_load,
    call_int,
    call_kernel,
    compile_kernel,
    inline_math,
    pause,
    pointer,
    vector,
)
from fastnn.backends.cpu.registers import (
    BARRIER,
    BATCH,
    EPOCH,
    FIRST,
    KEYS,
    LANES,
    PARTS,
    POSITION,
    ROW0,
    ROW_POSITION,
    ROWS,
    SEED,
    SHUFFLE,
    SKIP,
    STEP,
    THREAD,
    THREADS,
    WIDTH,
)
from fastnn.random import SHUFFLE_ROUNDS

# Words of the control block, shared by the team.
STEPS = 0  # at most so many steps in this call
LOG_ROWS = 1  # stop when so many epochs are logged
MAX_LANES = 2
TABLE, TABLE_ROWS = 3, 4  # block instructions: one table after another for each lane, or thread that shares
UPDATE, UPDATE_ROWS = 5, 6
BLOCK = 7  # rows in a block
BATCH_SIZE, EPOCH_ROWS = 8, 9
BARRIER_AT, YIELD_AT, STOP_AT, FLAG_AT, STATE_AT = 10, 11, 12, 13, 14
SUMS_AT, EPOCH_SUMS_AT, LOG_AT, MODES_AT = 15, 16, 17, 18
SUMS, LOSSES = 19, 20  # sums kept; the first so many are losses and must stay finite
CONTROL_WORDS = 24

# Words of the state, which outlives a call.
AT_STEP, AT_EPOCH, AT_POSITION, LOGGED, STATUS, HALT = 0, 1, 2, 3, 4, 5
STATE_WORDS = 16
OK, NONFINITE_LOSS, NONFINITE_GRADIENT = 0, 1, 2

# How a row is shared by the team (its last word): rows of the update section, and of a block if it is shared.
SERIAL, SLICED, CHECKED = 0, 1, 2
SHARING = WIDTH - 1

_SPINS = 1000
#: How often a helper without work yields before it leaves: half a millisecond to one, if nobody else runs.
_PATIENCE = 2000
#: A helper's desk, in the barrier's memory: the number of pieces handed out to it, and what else was said.
DESKS_AT, DESK_BYTES = 128, 64
HELD = 1 << 40  # by thread 0: stay, a piece is coming
LEFT = 1 << 48  # by the helper
DISMISSED = 1 << 56  # by thread 0: go
_PIECES = HELD - 1


@inline_math
def _desk(q, thread):
    return q[BARRIER_AT] + DESKS_AT + thread * DESK_BYTES


@inline_math
def _hand_out(q, r):
    """Hand this piece out to the helpers. Here, since Python may be interrupted between two of them."""
    for thread in range(1, r[THREADS]):
        atomic_add(_desk(q, thread), 1)


@inline_math
def _wait_for_piece(q, desk, done):
    """Wait until more than `done` pieces were handed out; False if the helper is to leave, or none came."""
    spins = 0
    while True:
        said = atomic_load(desk)
        if said >= DISMISSED:
            return False
        if said & _PIECES != done:
            return True
        pause()
        spins += 1
        if spins > _SPINS:
            call_int(q[YIELD_AT])
        if spins > _SPINS + _PATIENCE and said < HELD:
            # Thread 0 may hold this helper at the same moment: who comes first prevails.
            if atomic_add(desk, LEFT) == said:
                return False
            atomic_add(desk, -LEFT)
            spins = 0


@inline_math
def _barrier(q, r):
    """Wait for the team: a counting barrier that spins, then yields."""
    team = r[THREADS]
    if team == 1:
        return
    passed = r[BARRIER]
    at = q[BARRIER_AT]
    if atomic_add(at, 1) == team * (passed + 1) - 1:
        atomic_add(at + 64, 1)
    else:
        spins = 0
        while atomic_load(at + 64) <= passed:
            pause()
            spins += 1
            if spins > _SPINS:
                call_int(q[YIELD_AT])
    r[BARRIER] = passed + 1


@inline_math
def _begin_step(q, r, state):
    """Read from the shared state where the team stands."""
    position = state[AT_POSITION]
    r[STEP] = state[AT_STEP]
    r[POSITION] = position
    r[BATCH] = min(q[BATCH_SIZE], q[EPOCH_ROWS] - position)
    r[SKIP] = 0
    if r[EPOCH] != state[AT_EPOCH]:
        r[EPOCH] = state[AT_EPOCH]
        if r[SHUFFLE]:
            for k in range(SHUFFLE_ROUNDS):
                r[KEYS + k] = shuffle_key(r[SEED], r[EPOCH], k)


@inline_math
def _run_blocks(q, r):
    """Run this thread's lanes: blocks of rows, in an order that does not depend on the team's size."""
    blocks = (r[BATCH] + q[BLOCK] - 1) // q[BLOCK]
    lanes = min(q[MAX_LANES], blocks)
    r[LANES] = lanes
    rows = q[TABLE_ROWS]
    for lane in range(lanes):
        # A lane's table points into the memory of one thread, also where a short batch uses fewer lanes.
        if lane * r[THREADS] // q[MAX_LANES] != r[THREAD]:
            continue
        table = q[TABLE] + lane * rows * WIDTH * 8
        r[FIRST] = 1
        for block in range(lane * blocks // lanes, (lane + 1) * blocks // lanes):
            r[ROW0] = block * q[BLOCK]
            r[ROWS] = min(q[BLOCK], r[BATCH] - r[ROW0])
            r[ROW_POSITION] = r[POSITION] + r[ROW0]
            for row in range(rows):
                words = pointer(table + row * WIDTH * 8)
                call_kernel(words[0], words, r)
            r[FIRST] = 0


@inline_math
def _run_shared_block(q, r):
    """Run the batch, one block and one lane, with the whole team: products in parts, all else by thread 0."""
    rows = q[TABLE_ROWS]
    table = q[TABLE] + r[THREAD] * rows * WIDTH * 8
    r[LANES] = r[FIRST] = 1
    r[ROW0], r[ROWS], r[ROW_POSITION] = 0, r[BATCH], r[POSITION]
    meet = False
    for row in range(rows):
        words = pointer(table + row * WIDTH * 8)
        shared = words[SHARING] != SERIAL
        if shared or meet:
            _barrier(q, r)
        if shared or r[THREAD] == 0:
            call_kernel(words[0], words, r)
        meet = shared


@inline_math
def _losses_finite(q, r):
    """Whether every loss of this batch is finite; each thread adds up the same sums."""
    for k in range(q[LOSSES]):
        total = 0.0
        for lane in range(r[LANES]):
            total += vector(q[SUMS_AT] + (lane * q[SUMS] + k) * 8, 1, np.float64)[0]
        if not (abs(total) < np.inf):
            return False
    return True


@inline_math
def _take_sums(q, r):
    """Add the lanes' sums to the epoch's, in lane order, and clear them. Thread 0 only."""
    for k in range(q[SUMS]):
        total = 0.0
        for lane in range(q[MAX_LANES]):
            cell = vector(q[SUMS_AT] + (lane * q[SUMS] + k) * 8, 1, np.float64)
            total += cell[0]
            cell[0] = 0.0
        if pointer(q[MODES_AT])[k]:
            total *= r[BATCH]
        vector(q[EPOCH_SUMS_AT] + k * 8, 1, np.float64)[0] += total


@inline_math
def _update(q, r, state):
    """Run the update section; returns False if a gradient is not finite."""
    wait = False
    for row in range(q[UPDATE_ROWS]):
        words = pointer(q[UPDATE] + row * WIDTH * 8)
        sharing = words[SHARING]
        if sharing == SERIAL:
            _barrier(q, r)
            if r[THREAD] == 0:
                call_kernel(words[0], words, r)
            wait = True
        else:
            if wait:
                _barrier(q, r)
                wait = False
            call_kernel(words[0], words, r)
            if sharing == CHECKED:
                _barrier(q, r)
                if atomic_load(q[FLAG_AT]) != 0:
                    return False
        if r[SKIP]:
            break
    return True


@inline_math
def _end_step(q, r, state):
    """Advance the shared state, log a finished epoch, decide whether to go on. Thread 0 only."""
    state[AT_STEP] += 1
    state[AT_POSITION] += r[BATCH]
    if state[AT_POSITION] >= q[EPOCH_ROWS]:
        log = vector(q[LOG_AT] + state[LOGGED] * q[SUMS] * 8, q[SUMS], np.float64)
        sums = vector(q[EPOCH_SUMS_AT], q[SUMS], np.float64)
        for k in range(q[SUMS]):
            log[k] = sums[k]
            sums[k] = 0.0
        state[LOGGED] += 1
        state[AT_EPOCH] += 1
        state[AT_POSITION] = 0
        if state[LOGGED] >= q[LOG_ROWS]:
            state[HALT] = 1
    if atomic_load(q[STOP_AT]) != 0:
        state[HALT] = 1


@inline_math
def _run_piece(q, r):
    """Run steps until the piece is done, the log is full, or something asks for a stop."""
    state = pointer(q[STATE_AT])
    for _ in range(q[STEPS]):
        _begin_step(q, r, state)
        if r[PARTS] > 1:
            _run_shared_block(q, r)
        else:
            _run_blocks(q, r)
        _barrier(q, r)
        finite = _losses_finite(q, r)
        if not finite:
            if r[THREAD] == 0:
                state[STATUS] = NONFINITE_LOSS
            break
        finite = _update(q, r, state)
        if not finite:
            if r[THREAD] == 0:
                state[STATUS] = NONFINITE_GRADIENT
            break
        _barrier(q, r)
        if r[THREAD] == 0:
            _take_sums(q, r)
            _end_step(q, r, state)
        _barrier(q, r)
        if state[HALT]:
            break
    _barrier(q, r)  # from here on thread 0 may change what the team reads


def _interpret(q, r):
    """Run a piece (thread 0), or piece after piece until no other comes (helpers)."""
    if r[THREAD] == 0:
        _hand_out(q, r)
        _run_piece(q, r)
        return
    desk, done = _desk(q, r[THREAD]), 0
    while _wait_for_piece(q, desk, done):
        done += 1
        _run_piece(q, r)


def _say(q, r):
    """Add q[1] to a desk at q[0]; q[2] becomes what was there."""
    q[2] = atomic_add(q[0], q[1])


def interpreter() -> Kernel:
    """Return the compiled interpreter."""
    return compile_kernel("interpreter", lambda: _interpret, exact=True)


def desk_writer() -> Kernel:
    """Return the kernel with which Python writes to a desk."""
    return compile_kernel("desk_writer", lambda: _say, exact=True)
