"""Walking forward: no date on both sides, purge and embargo kept, scikit-learn's protocol."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from fastnn.data import Gathered, Part, Standardizer, WalkForward, Winsorizer
from fastnn.errors import ArgumentError, DataError, ShapeError


def folds(dates, *arguments, **named):
    """Return each fold's train and test dates."""
    dates = np.asarray(dates)
    split = WalkForward(*arguments, **named).split(dates, groups=dates)
    return [(dates[train].tolist(), dates[test].tolist()) for train, test in split]


def test_expanding():
    assert folds(range(6), 2, test_size=2) == [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])]


def test_rolling():
    found = folds(range(7), 3, test_size=1, train_size=2, rolling=True)
    assert found == [([2, 3], [4]), ([3, 4], [5]), ([4, 5], [6])]


def test_rolling_over_what_is_left():
    assert folds(range(5), 2, test_size=1, rolling=True) == [([0, 1, 2], [3]), ([1, 2, 3], [4])]


def test_purge():
    found = folds(range(8), 2, test_size=2, purge=2)
    assert found == [([0, 1], [4, 5]), ([0, 1, 2, 3], [6, 7])]


def test_embargo():
    """The periods after a test are not trained on by later folds."""
    found = folds(range(9), 3, test_size=2, embargo=1)
    assert found == [
        ([0, 1, 2], [3, 4]),
        ([0, 1, 2, 3, 4], [5, 6]),
        ([0, 1, 2, 3, 4, 6], [7, 8]),
    ]


def test_as_many_as_fit():
    assert folds(range(7), None, test_size=2, train_size=3) == [
        ([0, 1, 2], [3, 4]),
        ([0, 1, 2, 3, 4], [5, 6]),
    ]
    assert WalkForward(None, test_size=2, train_size=3).get_n_splits(groups=range(7)) == 2


@pytest.mark.parametrize("test_size", [None, 1, 3])
@pytest.mark.parametrize("periods", [12, 17])
def test_with_one_row_a_date_it_is_scikit_learns(periods, test_size):
    rows = np.arange(periods)
    ours = WalkForward(3, test_size=test_size, purge=2).split(rows, groups=rows)
    theirs = TimeSeriesSplit(3, test_size=test_size, gap=2).split(rows)
    for one, other in zip(ours, theirs, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@settings(max_examples=300)
@given(st.data())
def test_whatever_the_dates_and_the_options(data):
    months = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=120))
    dates = np.datetime64("2000-01") + np.array(months).astype("m8[M]")
    options = {
        "n_splits": data.draw(st.none() | st.integers(1, 6)),
        "test_size": data.draw(st.none() | st.integers(1, 5)),
        "train_size": data.draw(st.none() | st.integers(1, 8)),
        "rolling": data.draw(st.booleans()),
        "purge": data.draw(st.integers(0, 3)),
        "embargo": data.draw(st.integers(0, 3)),
    }
    if options["n_splits"] is None and options["test_size"] is None:
        options["test_size"] = 1
    cv = WalkForward(**options)
    periods = np.unique(dates)
    try:
        found = list(cv.split(dates, groups=dates))
    except ArgumentError as error:
        assert "distinct dates" in str(error) or "nothing to train on" in str(error)
        return
    assert len(found) == cv.get_n_splits(dates, groups=dates)
    tested: list = []
    for train, test in found:
        assert len(train) and len(test) and np.array_equal(train, np.sort(train))
        assert not set(dates[train]) & set(dates[test]), "a date is on both sides"
        for side in (train, test):  # all rows of a date go together
            assert np.array_equal(side, np.flatnonzero(np.isin(dates, dates[side])))
        last, first = (np.searchsorted(periods, d) for d in (dates[train].max(), dates[test].min()))
        assert first - last > options["purge"]
        for before in tested:
            after = np.searchsorted(periods, before.max()) + 1
            assert not set(periods[after : after + options["embargo"]]) & set(dates[train])
        trained = len(np.unique(dates[train]))
        if options["rolling"] and options["train_size"]:
            assert trained <= options["train_size"]
        assert trained + len(tested) * options["embargo"] >= (options["train_size"] or 1)
        assert options["test_size"] in (None, len(np.unique(dates[test])))
        tested.append(dates[test])
    assert len(np.unique(np.concatenate(tested))) == sum(len(np.unique(one)) for one in tested)
    assert tested[-1].max() == dates.max(), "the latest date is tested"


def panel(rows=240):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, 3))
    dates = pd.Series(pd.date_range("2000-01-31", periods=24, freq="ME")).sample(
        rows, replace=True, random_state=1
    )
    return x, (x[:, 0] + rng.standard_normal(rows) > 0).astype(int), dates


def test_in_scikit_learns_searches():
    x, y, dates = panel()
    cv = WalkForward(4, purge=1)
    scores = cross_val_score(LogisticRegression(), x, y, groups=dates, cv=cv)
    assert scores.shape == (4,) and scores.mean() > 0.6
    search = GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=WalkForward(4, purge=1, dates=dates))
    assert np.isclose(search.fit(x, y).cv_results_["mean_test_score"][1], scores.mean())
    assert GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=cv).fit(x, y, groups=dates).n_splits_ == 4


def test_over_a_table_in_parts():
    x, y, dates = panel()
    lazy = Gathered([Part(x[:120], np.arange(240) % 120), Part(x[120:], np.arange(240) % 120)])
    model = make_pipeline(Winsorizer(), Standardizer(), Ridge())
    cv = WalkForward(3, test_size=4, dates=dates)
    found = cross_val_score(model, lazy, y, cv=cv)
    assert np.array_equal(found, cross_val_score(model, np.asarray(lazy), y, cv=cv))


@pytest.mark.parametrize(
    ("options", "periods", "message"),
    [
        ({"n_splits": 3, "test_size": 2}, 6, "3 x 2 periods to test on, 0 to purge and 1 to train on"),
        ({"n_splits": 2, "test_size": 1, "purge": 3}, 5, "3 to purge.*Received: 5 distinct dates"),
        ({"n_splits": 2, "test_size": 1, "train_size": 4}, 5, "and 4 to train on"),
        ({"n_splits": 5}, 5, "at least 5 x 1 periods"),
        ({"n_splits": None, "test_size": 3}, 5, "at least 1 x 3 periods"),
        (
            {"n_splits": 4, "test_size": 1, "train_size": 1, "rolling": True, "embargo": 1}, 6,
            "tests on 4 has nothing to train on; expected a longer train_size than the embargo",
        ),
    ],
)  # fmt: skip
def test_too_few_periods(options, periods, message):
    with pytest.raises(ArgumentError, match=message):
        folds(range(periods), **options)


@pytest.mark.parametrize(
    "options",
    [
        {"n_splits": 0}, {"n_splits": 2.5}, {"test_size": 0}, {"train_size": 0}, {"purge": -1},
        {"embargo": -1}, {"rolling": 1}, {"n_splits": None}, {"n_splits": True},
    ],
)  # fmt: skip
def test_options_that_cannot_be(options):
    with pytest.raises((ArgumentError, TypeError), match=next(iter(options))):
        WalkForward(**options)


def test_dates_are_needed_once_and_for_every_row():
    dates = np.arange(10)
    with pytest.raises(ArgumentError, match=r"expected the rows' dates.*Received: neither"):
        next(WalkForward(2).split(dates))
    with pytest.raises(ArgumentError, match="Received: both"):
        next(WalkForward(2, dates=dates).split(dates, groups=dates))
    with pytest.raises(ShapeError, match=r"one date a row \(5\)\. Received: 10 dates"):
        next(WalkForward(2, dates=dates).split(dates[:5]))
    with pytest.raises(DataError, match="groups: every row needs a date"):
        next(WalkForward(2).split(dates[:2], groups=[1.0, np.nan]))
    assert WalkForward(3, dates=dates).get_n_splits() == 3
    assert "n_splits=3, test_size=None" in repr(WalkForward(3))
