"""Randomness: a seed tree for the host, counter-based streams for the kernels.

Every random number is a pure function of ``(seed, where, when, which element)``; nothing reads a global
generator. So masks and shuffles do not depend on threads or blocks, agree between devices, and a resumed
run continues exactly. The functions here are the NumPy reference; each backend holds a compiled twin.

The bits come from Philox4x32-7 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11), the
fewest rounds their paper found to pass BigCrush.
"""

from __future__ import annotations

import os
import secrets
import threading

import numpy as np

from fastnn.errors import ArgumentError

PHILOX_ROUNDS = 7
PHILOX_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
PHILOX_INCREMENTS = (0x9E3779B9, 0xBB67AE85)
#: Elements of a mask are made in chunks of 512: 64 counters of 8 sixteen-bit numbers each.
CHUNK, LANES = 512, 64
#: Tags of the streams, so that a mask and a shuffle never share counters.
SHUFFLE_STREAM, INIT_STREAM = 0x5F5F0001, 0x5F5F0002
SHUFFLE_ROUNDS = 4
#: Row numbers are mixed as 32-bit words.
MOST_ROWS = 2**31 - 1

_MASK32 = np.uint64(0xFFFFFFFF)


def fresh_seed() -> int:
    """Return a seed from the operating system, for runs where the user gave none."""
    return secrets.randbits(63)


def generator(seed: int, *path: int) -> np.random.Generator:
    """Return the host's generator of one node of the seed tree (a layer's initial weights, say)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=path)))


def philox(counter: np.ndarray, key: tuple[int, int], rounds: int = PHILOX_ROUNDS) -> np.ndarray:
    """Encrypt counters: four 32-bit words in, four out.

    Parameters
    ----------
    counter : ndarray of uint32, shape (..., 4)
    key : pair of int
        Two 32-bit words.
    rounds : int, default 7

    Returns
    -------
    ndarray of uint32, shape (..., 4)

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.random import philox
    >>> [hex(word) for word in philox(np.zeros(4, np.uint32), (0, 0), rounds=10)]
    ['0x6627e8d5', '0xe169c58d', '0xbc57ac4c', '0x9b00dbd8']
    """
    c0, c1, c2, c3 = (counter[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = key[0] & 0xFFFFFFFF, key[1] & 0xFFFFFFFF
    for _ in range(rounds):
        p0 = c0 * np.uint64(PHILOX_MULTIPLIERS[0])
        p1 = c2 * np.uint64(PHILOX_MULTIPLIERS[1])
        c0, c1, c2, c3 = (
            (p1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0),
            p1 & _MASK32,
            (p0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1),
            p0 & _MASK32,
        )
        k0 = (k0 + PHILOX_INCREMENTS[0]) & 0xFFFFFFFF
        k1 = (k1 + PHILOX_INCREMENTS[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def split_seed(seed: int) -> tuple[int, int]:
    """Return the two 32-bit key words of a seed."""
    return seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF


def uniform16(seed: int, stream: int, step: int, elements: int) -> np.ndarray:
    """Return the 16-bit numbers that decide a dropout mask, one for each element of a batch.

    Element ``e = row * units + unit`` lies in chunk ``e // 512``; lane ``e % 64`` of that chunk is one
    counter, whose eight half-words serve the elements 64 apart.

    Parameters
    ----------
    seed : int
        The run's seed.
    stream : int
        Which random op of the network.
    step : int
        The training step.
    elements : int
        Rows of the batch times units.

    Returns
    -------
    ndarray of uint16, shape (elements,)
    """
    chunks = -(-elements // CHUNK)
    words = philox(_counters(chunks * LANES, stream, step), split_seed(seed)).reshape(chunks, LANES, 4)
    halves = np.stack([words & np.uint32(0xFFFF), words >> np.uint32(16)], axis=-1)
    return halves.reshape(chunks, LANES, 8).transpose(0, 2, 1).reshape(-1)[:elements].astype(np.uint16)


def normal(seed: int, stream: int, step: int, elements: int) -> np.ndarray:
    """Return standard normal numbers, one for each element of a batch (Box and Muller, 1958).

    Element ``e`` takes word ``e % 4`` of counter ``e // 4``: words 0 and 1 make one pair, 2 and 3 another.

    Returns
    -------
    ndarray of float64, shape (elements,)
    """
    counters = -(-elements // 4)
    words = philox(_counters(counters, stream, step), split_seed(seed)).astype(np.float64)
    uniform = (words + 0.5) * 2.0**-32
    radius = np.sqrt(-2.0 * np.log(uniform[:, 0::2]))
    angle = 2.0 * np.pi * uniform[:, 1::2]
    pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return pairs.reshape(-1)[:elements]


def _counters(count: int, stream: int, step: int) -> np.ndarray:
    counter = np.empty((count, 4), np.uint32)
    counter[:, 0] = np.arange(count, dtype=np.uint32)
    counter[:, 1] = step & 0xFFFFFFFF
    counter[:, 2] = (step >> 32) & 0xFFFFFFFF
    counter[:, 3] = stream & 0xFFFFFFFF
    return counter


def shuffle_keys(seed: int, epoch: int) -> np.ndarray:
    """Return the round keys (uint32) of an epoch's shuffle."""
    counter = _counters(1, SHUFFLE_STREAM, epoch)
    return philox(counter, split_seed(seed)).reshape(-1)[:SHUFFLE_ROUNDS]


def shuffle_sides(rows: int) -> tuple[int, int]:
    """Return the sides ``a, b`` of the smallest near-square rectangle that holds `rows` cells."""
    a = max(1, int(np.ceil(np.sqrt(rows))))
    return a, max(1, -(-rows // a))


def permutation(rows: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order in which an epoch visits `rows` rows: a permutation, a function of (seed, epoch).

    A generalized Feistel network over an ``a x b`` rectangle with ``a * b >= rows``; positions that fall
    outside are walked until they fall inside (Black and Rogaway, "Ciphers with arbitrary finite domains",
    2002). Any element can be computed alone, so nothing is stored and threads need not agree.

    Returns
    -------
    ndarray of int64, shape (rows,)

    Examples
    --------
    >>> from fastnn.random import permutation
    >>> sorted(permutation(5, seed=1, epoch=0).tolist())
    [0, 1, 2, 3, 4]
    """
    if rows > MOST_ROWS:
        raise ArgumentError(f"At most {MOST_ROWS} rows can be shuffled. Received: {rows}.")
    index = np.arange(rows, dtype=np.int64)
    if rows < 2:
        return index
    a, b = shuffle_sides(rows)
    keys = shuffle_keys(seed, epoch)
    index = _feistel(index, a, b, keys)
    while (outside := index >= rows).any():
        index[outside] = _feistel(index[outside], a, b, keys)
    return index


def _feistel(index: np.ndarray, a: int, b: int, keys: np.ndarray) -> np.ndarray:
    left, right = index % a, index // a
    # The half that neighbours have in common moves first: moved second, every b-th pair of neighbours would
    # come out as neighbours again.
    for number, key in enumerate(keys):
        if number % 2 == 1:
            left = left + ((_mix(right, key) * np.uint64(a)) >> np.uint64(32)).astype(np.int64)
            left = np.where(left >= a, left - a, left)
        else:
            right = right + ((_mix(left, key) * np.uint64(b)) >> np.uint64(32)).astype(np.int64)
            right = np.where(right >= b, right - b, right)
    return right * a + left


def _mix(value: np.ndarray, key: np.uint32) -> np.ndarray:
    """Scramble 32 bits (the finalizer of MurmurHash3, Appleby 2011)."""
    h = (value.astype(np.uint64) ^ np.uint64(key)) & _MASK32
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & _MASK32
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & _MASK32
    return h ^ (h >> np.uint64(16))


class _SeedSource:
    """Where seeds come from for models that were given none."""

    def __init__(self) -> None:
        self.root: int | None = None
        self.drawn = 0
        self.renew_lock()

    def renew_lock(self) -> None:
        """Take a new lock: after a fork the old one may be held by a thread that is no more."""
        self.lock = threading.Lock()


_source = _SeedSource()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_source.renew_lock)


def set_random_seed(seed: int) -> None:
    """Make the seeds of the models made from now on a sequence that `seed` fixes.

    A model that is given its own ``seed=`` does not take part.
    """
    with _source.lock:
        _source.root, _source.drawn = int(seed), 0


def is_seeded() -> bool:
    """Whether :func:`set_random_seed` has been called, so that models' seeds are not drawn anew."""
    return _source.root is not None


def next_seed() -> int:
    """Return a seed for a model that was given none."""
    with _source.lock:
        if _source.root is None:
            return fresh_seed()
        _source.drawn += 1
        return int(generator(_source.root, _source.drawn).integers(2**63))
