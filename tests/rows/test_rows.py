"""Tables in parts as arrays: cutting, transforming, pickling, and what is refused."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastnn.data import Gathered, Part
from fastnn.errors import ArgumentError, DataError, DtypeError, ShapeError
from fastnn.rows import overlapping

VIEWS = {
    "windows": lambda a: np.lib.stride_tricks.sliding_window_view(a, 4),
    "newest first": lambda a: np.lib.stride_tricks.sliding_window_view(a, 4)[:, ::-1],
    "from the end": lambda a: np.lib.stride_tricks.sliding_window_view(a, 4)[::-1],
    "both": lambda a: np.lib.stride_tricks.sliding_window_view(a, 4)[::-1, ::-1],
    "every third": lambda a: np.lib.stride_tricks.sliding_window_view(a, 4)[1::3],
    "of every second number": lambda a: np.lib.stride_tricks.sliding_window_view(a[::2], 4),
}
each_view = pytest.mark.parametrize("view", VIEWS)


def table(rows=10, dtype="float32"):
    line = np.arange(40, dtype=dtype)
    index = np.random.default_rng(0).integers(0, 17, rows).astype(np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(line, 4)
    names = ["one", "two", "three"]
    return Gathered([Part(windows, index), Part(np.eye(3, dtype=dtype), index % 3, names)])


KEYS = st.one_of(
    st.slices(10),
    st.lists(st.integers(-10, 9), max_size=20),
    st.lists(st.booleans(), min_size=10, max_size=10),
    st.integers(-10, 9),
)


@given(KEYS, st.booleans(), st.integers(0, 3))
def test_rows_are_those_of_the_array(key, as_array, around):
    x = table()
    array = np.asarray(x)
    key = (
        np.array(key, dtype=bool if key and isinstance(key[0], bool) else int)
        if isinstance(key, list)
        else key
    )
    expected = array[key]
    key = key.tolist() if isinstance(key, np.ndarray) and not as_array else key
    found = x[[key, (key, ...), (key, slice(None)), (key, ..., slice(None))][min(around, 2)]]
    assert np.array_equal(np.asarray(found), expected) and found.shape == expected.shape
    if isinstance(found, Gathered):
        assert all(new.array is old.array for new, old in zip(found.parts, x.parts, strict=True))


def test_what_it_says_of_itself():
    x = table()
    array = np.asarray(x)
    assert (x.shape, x.dtype, x.ndim, len(x), x.size, x.nbytes) == (
        array.shape, array.dtype, array.ndim, len(array), array.size, array.nbytes
    )  # fmt: skip
    assert x.columns == ["0", "1", "2", "3", "one", "two", "three"]
    assert Gathered(x.parts[:1]).columns is None
    assert "10 rows, 7 columns of float32" in repr(x)
    assert np.array_equal(np.stack(list(x)), array)
    assert np.asarray(x, np.float64).dtype == np.float64
    for number in range(7):
        assert np.array_equal(x.column(number), array[:, number])
    with pytest.raises(IndexError, match="expected 0 to 6"):
        x.column(7)
    with pytest.raises(ValueError, match="no array to share"):
        x.__array__(copy=False)


@pytest.mark.parametrize(
    "key", [(0, 1), (slice(None), 2), (slice(None), [1]), (0, 0, 0), 10, [[1, 2]], ["a"]]
)
def test_other_cuts_are_refused(key):
    with pytest.raises(IndexError):
        table()[key]


def test_an_index_that_parts_share_stays_shared():
    index = np.arange(5, dtype=np.int32)
    x = Gathered([Part(np.zeros((5, 2)), index), Part(np.ones((5, 1)), index)])
    assert x.parts[0].index is index and x.parts[1].index is index
    cut = x[::2]
    assert cut.parts[0].index is cut.parts[1].index


@each_view
def test_views_are_recognised_and_survive_a_pickle(view):
    line = np.arange(60, dtype=np.float32)
    array = VIEWS[view](line)
    found = overlapping(array)
    for number, window in enumerate(array):
        start = found.first + number * found.step
        assert sorted(window) == sorted(found.numbers[start : start + 4])
    x = Gathered([Part(array, [2, 0, 1], list("abcd"), mean=[1, 2, 3, 4], high=9)])
    for again in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert np.array_equal(np.asarray(again), np.asarray(x)) and again.columns == x.columns
        assert overlapping(again.parts[0].array) is not None


def test_a_pickle_is_as_small_as_the_numbers():
    view = np.lib.stride_tricks.sliding_window_view(np.zeros(100_000, np.float32), 50)
    assert len(pickle.dumps(Gathered([Part(view, np.arange(100))]))) < 450_000


@pytest.mark.parametrize(
    "array",
    [np.zeros((5, 3)), np.zeros((5, 3)).T, np.zeros((5, 1)), np.zeros((1, 5)), np.broadcast_to(0.0, (5, 3))],
)
def test_ordinary_arrays_are_no_windows(array):
    assert overlapping(array) is None
    x = Gathered([Part(array, [0, 0])])
    assert np.array_equal(np.asarray(pickle.loads(pickle.dumps(x))), np.asarray(x))


# ------------------------------------------------------------------------------------------ transforms
def test_the_arithmetic():
    """Clip, take off, multiply by the reciprocal: each in the array's dtype."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        array = rng.standard_normal((50, 3)).astype(dtype)
        low, high, mean, scale = -rng.random(3), rng.random(3), rng.random(3), rng.random(3) + 0.1
        x = Gathered([Part(array, np.arange(50), low=low, high=high, mean=mean, scale=scale)])
        clipped = np.minimum(np.maximum(array, low.astype(dtype)), high.astype(dtype))
        expected = (clipped - mean.astype(dtype)) * (dtype(1) / scale.astype(dtype))
        assert np.asarray(x).dtype == dtype and np.array_equal(np.asarray(x), expected)
        assert np.array_equal(x.column(1), expected[:, 1])


finite = st.floats(-4, 4, width=32)
positive = st.floats(0.125, 8, width=32)


@settings(max_examples=60)
@given(st.lists(st.tuples(finite, finite, finite, positive), min_size=1, max_size=3), st.data())
def test_transforms_follow_one_another(steps, data):
    array = np.linspace(-5, 5, 41).reshape(-1, 1)
    x, expected = Gathered([Part(array, np.arange(41))]), array
    for low, high, mean, scale in steps:
        low, high = min(low, high), max(low, high)
        parts = data.draw(st.integers(1, 3))
        if parts & 1:
            x, expected = x.with_transform(low=low, high=high), np.clip(expected, low, high)
        if parts & 2:
            x, expected = x.with_transform(mean=mean, scale=scale), (expected - mean) / scale
    np.testing.assert_allclose(np.asarray(x), expected, rtol=1e-12, atol=1e-10)


def test_clipping_then_standardising_is_exact_and_column_by_column():
    x = table(dtype="float64")
    low, mean, scale = np.linspace(0, 6, 7), np.arange(7.0), np.arange(1.0, 8.0)
    found = np.asarray(x.with_transform(low=low, high=8).with_transform(mean=mean, scale=scale))
    assert np.array_equal(found, (np.clip(np.asarray(x), low, 8) - mean) * (1 / scale))
    assert [part.array is old.array for part, old in zip(found_parts(x), x.parts, strict=True)] == [
        True,
        True,
    ]


def found_parts(x):
    return x.with_transform(mean=1.0).parts


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"low": np.nan}, "low: expected numbers"),
        ({"low": 2.0, "high": 1.0}, "high: expected numbers of at least `low`. Received: 1.0, column '0'"),
        ({"mean": [0, 0, 0, 0, 0, np.inf, 0]}, "mean: expected finite numbers. Received: inf, column 'two'"),
        ({"scale": [1, 1, 1, 1, 1, 1, 0]}, "scale: expected finite numbers above 0. Received: 0.0.*'three'"),
        ({"scale": -1.0}, "scale: expected finite numbers above 0"),
        ({"scale": 1e-60}, "scale: expected finite numbers above 0"),  # no reciprocal in float32
        ({"scale": np.inf}, "scale: expected finite numbers above 0"),
    ],
)
def test_numbers_that_cannot_be_used(numbers, message):
    with pytest.raises(ArgumentError, match=message):
        table().with_transform(**numbers)


def test_numbers_of_a_wrong_shape_or_kind():
    with pytest.raises(
        ShapeError, match=r"mean: expected one number, or one a column \(7\)\. Received: \(3,\)"
    ):
        table().with_transform(mean=[1, 2, 3])
    with pytest.raises(DtypeError, match="mean: expected numbers"):
        table().with_transform(mean="a")


# ------------------------------------------------------------------------------------------ refused
@pytest.mark.parametrize(
    ("array", "index", "error", "message"),
    [
        (np.zeros(3), [0], ShapeError, r"array: expected two axes.*\(3,\)"),
        (np.zeros((3, 0)), [0], ShapeError, "at least one column"),
        (np.zeros((3, 1), int), [0], DtypeError, "array: expected float32 or float64. Received: int64"),
        (np.zeros((3, 1), ">f4"), [0], DtypeError, "array: expected float32 or float64. Received: >f4"),
        (np.zeros((3, 1)), [[0]], ShapeError, "index: expected one axis"),
        (np.zeros((3, 1)), [0.5], DtypeError, "index: expected whole numbers. Received: float64"),
        (np.zeros((3, 1)), [True], DtypeError, "index: expected whole numbers. Received: bool"),
        (np.zeros((3, 1)), [0, 3], DataError, "index: expected rows of the array, 0 to 2. Received: 3 at 1"),
        (np.zeros((3, 1)), [-1], DataError, "Received: -1 at 0"),
        (np.zeros((0, 1)), [0], DataError, "Received: 0 at 0"),
    ],
)
def test_parts_that_cannot_be(array, index, error, message):
    with pytest.raises(error, match=message):
        Part(array, index)


def test_tables_that_cannot_be():
    part = Part(np.zeros((3, 2)), [0, 1])
    with pytest.raises(ArgumentError, match="at least one part"):
        Gathered([])
    with pytest.raises(ShapeError, match=r"equally many rows. Received: \[2, 1\]"):
        Gathered([part, part.at(part.index[:1])])
    with pytest.raises(DtypeError, match=r"expected fastnn.data.Part. Received: ndarray"):
        Gathered([part, np.zeros((2, 2))])
    with pytest.raises(ShapeError, match=r"columns: expected 2 names\. Received: 1"):
        Part(np.zeros((3, 2)), [0], ["a"])


def test_unaligned_numbers_are_copied_once():
    raw = np.zeros(4 * 3 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(4, 3)
    assert not raw.flags.aligned
    part = Part(raw, [3])
    assert part.array.flags.aligned and np.array_equal(part.array, raw)
