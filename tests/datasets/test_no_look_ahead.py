"""What comes later changes nothing before it: features, fitted transformers, folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import daily, pandas

from fastnn import data
from fastnn.data import WalkForward, time_split
from fastnn.datasets import monthly_returns, returns_windows, sp500_sma

pytest.importorskip("sklearn")
CUT = "2008-06-30"


def changed_after(prices, date, seed):
    """Give prices that are others after a date: shifted, shuffled and with holes."""
    rng = np.random.default_rng(seed)
    later = prices.index > date
    found = prices.copy()
    values = found.to_numpy()[later] * rng.uniform(0.2, 5, (later.sum(), prices.shape[1])) + 1
    values[rng.random(values.shape) < 0.01] = np.nan
    found.loc[later] = values
    return found


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_features_and_targets_to_a_date_are_bit_identical(seed):
    prices = daily("2004-01-01", "2010-12-31", stocks=4)
    options = {"month": "onehot", "target": "value"}
    one = returns_windows(monthly_returns(prices), 24, **options)
    other = returns_windows(monthly_returns(changed_after(prices, CUT, seed)), 24, **options)
    before, same = one[one.dates <= CUT], other[other.dates <= CUT]
    assert len(before) > 100
    assert np.asarray(before.X).tobytes() == np.asarray(same.X).tobytes()
    assert before.y.tobytes() == same.y.tobytes()
    # the features of the month that follows are known on the day, too
    following = pandas.Timestamp("2008-07-31")
    one, other = one[one.dates == following], other[other.dates == following]
    known = np.isin(one.ticker_codes, other.ticker_codes)
    assert np.asarray(one[known].X).tobytes() == np.asarray(other.X).tobytes()


def test_the_index_and_its_average():
    prices = daily("2000-01-01", "2010-12-31", stocks=1)
    one = sp500_sma(prices=prices, start=None, end=None)
    two = sp500_sma(prices=changed_after(prices, CUT, 1).ffill(), start=None, end=None)
    before = one.dates <= CUT
    following = one.dates == "2008-07-31"
    assert before.sum() > 50 and (one.X[~before] != two.X[~before]).any()
    for rows in (before, before | following):
        assert one.X[rows].tobytes() == two.X[rows].tobytes()
    assert one.y[before].tobytes() == two.y[before].tobytes()


def test_the_target_of_the_index_is_the_next_month():
    months = sp500_sma(prices=daily("2000-01-01", "2010-12-31", stocks=1), start=None, end=None)
    np.testing.assert_array_equal(months.y[:-1], months.X[1:, 0])
    assert not (months.y[:, None] == months.X).any()


@pytest.mark.parametrize("rolling", [False, True])
def test_fitted_transformers_and_folds(rolling):
    prices = daily("2000-01-01", "2010-12-31", stocks=6)
    fitted = []
    for version in (prices, changed_after(prices, CUT, 3)):
        windows = returns_windows(monthly_returns(version), 24, month="onehot")
        train = time_split(windows.dates, train_until=CUT)[0]
        clip = data.Winsorizer().fit(windows.X[train])
        scale = data.Standardizer().fit(clip.transform(windows.X[train]))
        rows = np.asarray(scale.transform(clip.transform(windows.X[train])))
        learned = {
            name: value for part in (clip, scale) for name, value in vars(part).items() if name[-1] == "_"
        }
        fitted.append((rows.tobytes(), {name: np.asarray(value).tolist() for name, value in learned.items()}))
    assert fitted[0] == fitted[1] and len(fitted[0][1]) >= 4
    folds = list(WalkForward(5, rolling=rolling, purge=1).split(windows.X, groups=windows.dates))
    assert len(folds) == 5
    tested = np.concatenate([windows.dates[test].unique() for _, test in folds])
    assert len(np.unique(tested)) == len(tested)
    for train, test in folds:
        assert windows.dates[train].max() < windows.dates[test].min()
