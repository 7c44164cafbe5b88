"""The counter-based streams: known answers, bijections, uniformity, and the compiled twins."""

import math
from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from fastnn import random
from fastnn.backends.cpu import kernels, registers
from fastnn.backends.cpu.data import shuffle_key
from fastnn.backends.cpu.eager import ArrayRef, Call, _words
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Target
from fastnn.errors import ArgumentError
from fastnn.ops.registry import Spec
from fastnn.random import normal, permutation, philox, shuffle_keys, shuffle_sides, uniform16

#: Seeds with every bit pattern that a 63-bit seed may have.
SEEDS = [0, 1, 2**31, 2**32 - 1, 2**32, 2**62 + 3, 2**63 - 1, 0x7FFFFFFF80000000]
SIZES = [
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    15,
    16,
    17,
    24,
    25,
    26,
    99,
    100,
    101,
    997,
    1024,
    1025,
    65536,
    65537,
    99991,
]
#: Chances below which (or above one minus which) a statistic with its fixed seed would be no accident.
UNLIKELY = 1e-4


def check_uniform(counts):
    """Chi-square test of equally likely cells; too even is as wrong as too uneven."""
    chance = stats.chisquare(np.ravel(counts)).pvalue
    assert UNLIKELY < chance < 1.0 - UNLIKELY


# --------------------------------------------------------------------------- Philox
@pytest.mark.parametrize(
    "counter,key,expected",
    [
        ([0, 0, 0, 0], (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF,) * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_known_answers_of_ten_rounds(counter, key, expected):
    """The vectors that the authors of Random123 publish."""
    assert philox(np.array(counter, np.uint32), key, rounds=10).tolist() == expected


def test_philox_takes_any_batch_of_counters_and_leaves_them():
    counters = np.random.default_rng(0).integers(0, 2**32, (3, 5, 4), dtype=np.uint32)
    before = counters.copy()
    words = philox(counters, (1, 2))
    assert words.shape == counters.shape and words.dtype == np.uint32
    np.testing.assert_array_equal(counters, before)
    np.testing.assert_array_equal(words[1, 3], philox(counters[1, 3], (1, 2)))


def test_every_part_of_the_key_and_counter_matters():
    base = {"seed": 2**40 + 5, "stream": 3, "step": 2**35 + 7}
    numbers = uniform16(elements=512, **base)
    for change in ({"seed": 2**40 + 6}, {"seed": 2**41 + 5}, {"stream": 4}, {"step": 2**35 + 8}, {"step": 7}):
        assert (uniform16(elements=512, **{**base, **change}) == numbers).mean() < 0.02, change


@pytest.mark.parametrize("draw", [uniform16, normal])
def test_an_element_does_not_depend_on_how_many_are_drawn(draw):
    whole = draw(9, 1, 2, 3000)
    for elements in (0, 1, 3, 511, 512, 513, 1025):
        np.testing.assert_array_equal(draw(9, 1, 2, elements), whole[:elements])


# --------------------------------------------------------------------------- masks and normals
@pytest.mark.parametrize("seed", SEEDS)
def test_sixteen_bit_numbers_are_uniform(seed):
    numbers = uniform16(seed, 2, 5, 2**17)
    check_uniform(np.bincount(numbers >> 8, minlength=256))  # high and low bytes apart
    check_uniform(np.bincount(numbers & 255, minlength=256))
    for rate in (0.5, 0.1, 0.9):
        kept = float((numbers >= round(rate * 65536)).mean())
        deviation = math.sqrt(rate * (1.0 - rate) / numbers.size)
        assert abs(kept - (1.0 - rate)) < 4.0 * deviation


def test_neighbours_of_a_mask_are_independent():
    """Elements one apart, a lane apart, a chunk apart, and at the next step."""
    numbers = uniform16(11, 0, 0, 2**17).astype(float)
    later = uniform16(11, 0, 1, 2**17).astype(float)
    pairs = [(numbers[:-gap], numbers[gap:]) for gap in (1, 2, 63, 64, 65, 512)]
    for one, other in (*pairs, (numbers, later)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4.0 / math.sqrt(one.size)


@pytest.mark.parametrize("seed", SEEDS)
def test_normal_numbers_are_normal(seed):
    numbers = normal(seed, 2, 5, 2**17)
    assert abs(numbers.mean()) < 4.0 / math.sqrt(numbers.size)
    assert abs(numbers.var() - 1.0) < 4.0 * math.sqrt(2.0 / numbers.size)
    assert stats.kstest(numbers, "norm").pvalue > UNLIKELY
    for gap in (1, 2, 3, 4):  # the two of a pair, and the two pairs of a counter
        assert abs(np.corrcoef(numbers[:-gap], numbers[gap:])[0, 1]) < 4.0 / math.sqrt(numbers.size)


# --------------------------------------------------------------------------- shuffles
@pytest.mark.parametrize("rows", SIZES)
def test_permutation_holds_every_row_once(rows):
    for seed, epoch in ((0, 0), (2**63 - 1, 2**33 + 1), (7, 3)):
        order = permutation(rows, seed, epoch)
        assert order.dtype == np.int64
        np.testing.assert_array_equal(np.sort(order), np.arange(rows))


def test_every_small_number_of_rows_is_permuted():
    for rows in range(1, 400):
        assert sorted(permutation(rows, rows, 1).tolist()) == list(range(rows))


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_every_order_of_a_few_rows_occurs(rows):
    draws = 300 * math.factorial(rows)
    counts = Counter(tuple(order_of_block(rows, 5, epoch, 0, rows).tolist()) for epoch in range(draws))
    assert set(counts) == set(permutations(range(rows)))
    # A 2 x 2 rectangle has only 2**8 sets of shifts, so its 24 orders cannot all be equally likely.
    assert max(counts.values()) < 2.5 * min(counts.values())


def orders_of_epochs(rows, epochs):
    return np.array([order_of_block(rows, 2**62 + 11, epoch, 0, rows) for epoch in range(epochs)])


@pytest.mark.parametrize("rows", [36, 61, 64])
def test_every_row_is_equally_likely_anywhere(rows):
    orders = orders_of_epochs(rows, 4000)
    counts = np.zeros((rows, rows))
    np.add.at(counts, (np.arange(rows), orders), 1)
    # Rows and columns have fixed sums, which leaves (rows - 1)**2 degrees of freedom.
    statistic = ((counts - len(orders) / rows) ** 2 / (len(orders) / rows)).sum()
    assert UNLIKELY < stats.chi2.sf(statistic, (rows - 1) ** 2) < 1.0 - UNLIKELY
    same = (orders[:-1] == orders[1:]).mean()  # between epochs
    assert abs(same - 1.0 / rows) < 4.0 / math.sqrt(orders.size * rows)


@pytest.mark.parametrize("rows", [997, 1000, 1024])
def test_successive_rows_are_independent(rows):
    orders = orders_of_epochs(rows, 5000)
    pairs = np.bincount((orders[:, :-1] * rows + orders[:, 1:]).ravel(), minlength=rows * rows).reshape(
        rows, rows
    )
    assert not np.diag(pairs).any()
    check_uniform(pairs[~np.eye(rows, dtype=bool)])
    steps = np.bincount(((orders[:, 1:] - orders[:, :-1]) % rows).ravel(), minlength=rows)
    check_uniform(steps[2:])
    # Four rounds let one pair of neighbours an epoch stay neighbours, beside the one that chance would.
    assert steps[1] < 2.1 * steps[2:].mean()
    side = shuffle_sides(rows)[0]  # rows come from the cells of a rectangle, this many columns wide
    columns = np.bincount(((orders[:, 1:] % side - orders[:, :-1] % side) % side).ravel(), minlength=side)
    share = columns / columns.sum() * side
    assert abs(share[2:] - 1.0).max() < 0.02 and share[1] < 1.0 + 1.3 / side  # the pair that stays


def test_seed_and_epoch_change_the_order():
    found = {
        permutation(1000, seed, epoch).tobytes()
        for seed in SEEDS
        for epoch in (0, 1, 2**32, 2**32 + 1, 2**40)
    }
    assert len(found) == 5 * len(SEEDS)


def test_too_many_rows_are_refused():
    with pytest.raises(ArgumentError, match="2147483647 rows"):
        permutation(2**31, 0, 0)


# --------------------------------------------------------------------------- compiled twins
def order_of_block(total, seed, epoch, start, rows, shuffle=True):
    """Run the kernel ``order`` on a block that starts anywhere."""
    found = np.full(rows, -1, np.int64)
    r = np.zeros(registers.COUNT, np.int64)
    r[[registers.ROWS, registers.ROW_POSITION, registers.TOTAL, registers.SHUFFLE]] = (
        rows,
        start,
        total,
        shuffle,
    )
    r[[registers.SIDE_A, registers.SIDE_B]] = shuffle_sides(total)
    r[registers.KEYS : registers.KEYS + 4] = shuffle_keys(seed, epoch)
    call = Call("order", (), (ArrayRef(found.ctypes.data, Spec((1,), kind="int")),), {})
    (row,) = kernels.lower(call, Target(np.float32))
    words, _ = _words(row.operands, rows)
    compile_kernel(row.key, row.make, row.exact).call(words.ctypes.data, r.ctypes.data)
    return found


@pytest.mark.parametrize("rows", SIZES[1:])
def test_kernel_visits_rows_in_the_same_order(rows):
    for seed, epoch in ((0, 0), (2**63 - 1, 2**33 + 1), (2**62 + 12345, 3)):
        expected = permutation(rows, seed, epoch)
        np.testing.assert_array_equal(order_of_block(rows, seed, epoch, 0, rows), expected)
        for start in {0, min(1, rows - 1), rows // 3, max(rows - 17, 0), rows - 1}:
            for size in {0, 1, min(16, rows - start), min(33, rows - start)}:
                block = order_of_block(rows, seed, epoch, start, size)
                np.testing.assert_array_equal(block, expected[start : start + size])


def test_kernel_follows_for_every_small_number_of_rows():
    for rows in range(1, 300):
        np.testing.assert_array_equal(order_of_block(rows, 3, rows, 0, rows), permutation(rows, 3, rows))


@pytest.mark.parametrize("total", [2**31 - 1, 46340**2, 46340**2 + 1, 2**30, 10**9 + 7])
def test_kernel_follows_for_the_most_rows(total):
    """Blocks of orders too long to make whole."""
    keys, sides = shuffle_keys(2**63 - 1, 5), shuffle_sides(total)
    for start in (0, total // 2, total - 1000):
        index = np.arange(start, start + 1000)
        expected = random._feistel(index, *sides, keys)
        while (outside := expected >= total).any():
            expected[outside] = random._feistel(expected[outside], *sides, keys)
        np.testing.assert_array_equal(order_of_block(total, 2**63 - 1, 5, start, 1000), expected)


def test_kernel_without_shuffle_counts():
    np.testing.assert_array_equal(order_of_block(100, 0, 0, 37, 20, shuffle=False), np.arange(37, 57))


@pytest.mark.parametrize("seed", SEEDS)
def test_kernel_draws_the_same_round_keys(seed):
    for epoch in (0, 1, 2**31, 2**32 - 1, 2**32, 2**33 + 5, 2**62):
        assert [shuffle_key(seed, epoch, number) for number in range(4)] == shuffle_keys(seed, epoch).tolist()


# --------------------------------------------------------------------------- seeds of models
@pytest.fixture
def source(monkeypatch):
    """Leave the process's source of seeds as it was."""
    monkeypatch.setattr(random, "_source", random._SeedSource())


@pytest.mark.usefixtures("source")
def test_one_seed_fixes_the_sequence_of_seeds():
    random.set_random_seed(42)
    first = [random.next_seed() for _ in range(5)]
    random.set_random_seed(42)
    assert [random.next_seed() for _ in range(5)] == first
    random.set_random_seed(43)
    assert random.next_seed() not in first
    assert len(set(first)) == 5 and all(0 <= seed < 2**63 for seed in first)


@pytest.mark.usefixtures("source")
def test_without_a_seed_every_model_gets_another():
    seeds = {random.next_seed() for _ in range(20)}
    assert len(seeds) == 20 and all(0 <= seed < 2**63 for seed in seeds)


def test_nodes_of_the_seed_tree_differ_and_repeat():
    draw = {path: random.generator(1, *path).random() for path in ((), (0,), (1,), (0, 1), (1, 0))}
    assert len(set(draw.values())) == len(draw)
    assert random.generator(1, 0, 1).random() == draw[0, 1]
    assert random.generator(2, 0, 1).random() != draw[0, 1]


def test_numpys_global_generator_is_neither_read_nor_moved():
    state = np.random.get_state()  # noqa: NPY002
    permutation(50, 1, 1), uniform16(1, 1, 1, 50), normal(1, 1, 1, 50), random.generator(1).random()
    after = np.random.get_state()  # noqa: NPY002
    assert state[2:] == after[2:] and (state[1] == after[1]).all()
