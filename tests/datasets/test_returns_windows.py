"""Windows: what is in a row, what is left out, and what it costs."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from panels import STOCKS, daily, monthly, needs_shared_data, pandas

from fastnn.datasets import monthly_returns, returns_windows, synthetic_panel
from fastnn.errors import ArgumentError, DataError, DtypeError
from fastnn.layers import Dense
from fastnn.models import Sequential


def naive(returns, lags):
    """Make the rows one by one: date, ticker, lags newest first, target."""
    rows = []
    for target in range(lags, len(returns)):
        for ticker in returns.columns:
            window = returns[ticker].iloc[target - lags : target + 1].to_numpy()
            if not np.isnan(window).any():
                rows.append((returns.index[target], ticker, window[-2::-1], window[-1]))
    return rows


@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_rows_are_those_of_a_loop(data):
    months, stocks = data.draw(st.integers(3, 20)), data.draw(st.integers(1, 5))
    lags = data.draw(st.integers(1, months - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 100)))
    values = rng.normal(0, 0.1, (months, stocks))
    values[rng.random(values.shape) < data.draw(st.sampled_from([0, 0.1]))] = np.nan
    returns = monthly(values)
    expected = naive(returns, lags)
    if not expected:
        with pytest.raises(DataError, match="no complete window"):
            returns_windows(returns, lags)
        return
    windows = returns_windows(returns, lags, target="value", dtype="float64", month="codes")
    assert len(windows) == len(expected)
    assert list(windows.codes["month"]) == [row[0].month - 1 for row in expected]
    assert list(windows.dates) == [row[0] for row in expected]
    assert list(windows.tickers) == [row[1] for row in expected]
    np.testing.assert_array_equal(np.asarray(windows.X), [row[2] for row in expected])
    np.testing.assert_array_equal(windows.y, [row[3] for row in expected])
    left_out = sum(count for name, count in windows.report.items() if name.startswith("windows left out"))
    assert left_out + len(windows) == (months - lags) * stocks


def test_sign_and_its_zeros():
    windows = returns_windows(monthly([0.1, 0.0, -0.1, 0.2]), 1)
    assert windows.y.tolist() == [0, 0, 1] and windows.y.dtype == np.int8
    assert windows.report["rows with a target return of exactly zero, labelled 0"] == 1


def test_a_target_is_never_among_its_own_features():
    """All values of the panel differ, so a value in a row says where it was taken from."""
    panel = synthetic_panel(30, 60, seed=2, dtype="float64")
    windows = returns_windows(panel, 24, target="value", dtype="float64")
    assert not (np.asarray(windows.X) == windows.y[:, None]).any()
    place = {value: (month, stock) for (month, stock), value in np.ndenumerate(panel.to_numpy())}
    for row in range(0, len(windows), 97):
        target = place[windows.y[row]]
        lags = [place[value] for value in np.asarray(windows.X[[row]])[0]]
        assert lags == [(target[0] - lag, target[1]) for lag in range(1, 25)]
        assert panel.index[target[0]] == windows.dates[row]
        assert panel.columns[target[1]] == windows.tickers[row]


def test_categories_one_hot_and_as_codes():
    panel = synthetic_panel(4, 40, seed=1)
    windows = returns_windows(panel, 24, year="onehot", month="onehot", ticker="onehot")
    table = windows.table()
    assert list(table.columns) == ["label", *windows.columns] and len(windows.columns) == 24 + 2 + 12 + 4
    for name, values in (
        ("year", windows.dates.year),
        ("month", windows.dates.month),
        ("ticker", windows.tickers),
    ):
        expected = pandas.get_dummies(pandas.Series(values), prefix=name, dtype=np.float32)
        found = table.filter(regex=f"^{name}_")
        assert set(expected.columns) <= set(found.columns)
        np.testing.assert_array_equal(found[expected.columns], expected)
        np.testing.assert_array_equal(found.sum(axis=1), 1)
    coded = returns_windows(panel, 24, year="codes", month="codes", ticker="codes")
    assert list(coded.table()["month"]) == list(coded.dates.month)
    assert coded.X.shape[1] == 24 and coded.codes["ticker"].dtype == np.int32
    for name, values in (("year", coded.dates.year), ("month", coded.dates.month), ("ticker", coded.tickers)):
        assert [coded.levels[name][code] for code in coded.codes[name]] == list(values)


def test_a_selection_keeps_everything_in_step():
    windows = returns_windows(synthetic_panel(7, 50, seed=3), 12, month="onehot", ticker="codes")
    whole = windows.table()
    mask = windows.dates.year == 2002
    numbers = np.random.default_rng(0).permutation(len(windows))[:50]
    for rows in (mask, numbers, slice(5, 300, 7), list(numbers), slice(0, 0)):
        chosen = windows[rows]
        expected = whole.iloc[rows]
        pandas.testing.assert_frame_equal(chosen.table(), expected)
        np.testing.assert_array_equal(chosen.codes["ticker"], windows.codes["ticker"][rows])
        assert np.shares_memory(chosen.X.parts[0].array, windows.X.parts[0].array)
        assert repr(chosen).startswith(f"Windows({len(expected)} rows")
    for wrong in (3, mask[:-1]):
        with pytest.raises(ArgumentError):
            windows[wrong]


def test_a_range_of_target_months():
    panel = synthetic_panel(3, 60, seed=1)
    windows = returns_windows(panel, 24, start="2003", end="2003-06")
    assert len(windows) == 18 and windows.report["target months outside start and end"] == 30
    whole = returns_windows(panel, 24)
    same = (whole.dates >= "2003-01-01") & (whole.dates <= "2003-06-30")
    np.testing.assert_array_equal(np.asarray(windows.X), np.asarray(whole[same].X))
    with pytest.raises(DataError, match="No target month from 2001 to 2001"):
        returns_windows(panel, 24, start="2001", end="2001")


def test_bad_returns():
    good = synthetic_panel(3, 30, seed=1)
    swapped = good.iloc[::-1]
    windows = returns_windows(swapped, 24)
    np.testing.assert_array_equal(np.asarray(windows.X), np.asarray(returns_windows(good, 24).X))
    assert windows.report["rows earlier than the row before them, sorted by date"] == 29
    low, infinite = good.copy(), good.copy()
    low.iloc[7, 1], infinite.iloc[9, 2] = -1.5, np.inf
    for table, message in (
        (good.iloc[:20], "24 lags and a target need at least 25 months. Received: 20"),
        (good.drop(good.index[10]), "without gaps. Received: 2000-10-31, then 2000-12-31"),
        (pandas.concat([good, good.iloc[[3]]]), "expected each date once"),
        (low, r"column 'S1', row 7 \(2000-08-31\): expected a return above -1. Received: -1.5"),
        (infinite, r"column 'S2', row 9 \(2000-10-31\)"),
        (good.reset_index(drop=True), "month ends as index"),
        (good.assign(S1="x"), "column 'S1': expected returns"),
        (good.set_axis(["A", "B", "A"], axis=1), "each ticker once. Received: 'A'"),
        ((1 + good).cumprod() * 50, "look like prices"),
        (good.iloc[:, :0], "expected months and stocks"),
        (good * np.nan, "no complete window"),
    ):
        with pytest.raises(DataError, match=message):
            returns_windows(table, 24)
    with pytest.raises(DtypeError, match="Received: ndarray"):
        returns_windows(good.to_numpy(), 24)
    for wrong in (
        {"lags": 0}, {"lags": 2.0}, {"target": "up"}, {"year": "one-hot"}, {"dtype": "int32"},
        {"faults": "all"}, {"faults": "chapter", "start": "2001"},
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=f"{next(iter(wrong))}"):
            returns_windows(good, **wrong)


def test_one_stock_only():
    returns = monthly_returns(daily("2005-01-01", "2010-12-31", stocks=1))
    assert returns_windows(returns, 24).X.shape == (47, 24)
    assert len(returns_windows(returns["T0"], 24)) == 47


def test_the_chapters_table_and_its_faults():
    panel = synthetic_panel(2489, 120, seed=3)
    windows = returns_windows(panel, faults="chapter")
    table = windows.table()
    assert table.shape == (236_455, 45) and windows.X.shape == (236_455, 44)
    assert sum(name.startswith("fault") for name in windows.report) == 4
    # made again as in the chapter's notebook: windows of the months newest first, the label before the lags
    newest_first = panel.sort_index(ascending=False).to_numpy()
    count, lags = len(panel), 24
    rows = np.stack([newest_first[start : start + lags + 1].T for start in range(count - lags - 1)])
    rows = rows[::-1].swapaxes(0, 1).reshape(-1, lags + 1)  # by ticker, then date
    np.testing.assert_array_equal(table["label"], rows[:, 0] > 0)
    low, high = np.quantile(rows[:, 1:], [0.01, 0.99], axis=0).astype(np.float32)
    np.testing.assert_array_equal(table.iloc[:, 1:25], np.clip(rows[:, 1:], low, high))
    assert table.index.is_monotonic_increasing
    panel.iloc[3, 4] = np.nan
    with pytest.raises(DataError, match="balanced=True"):
        returns_windows(panel, faults="chapter")


def test_memory_is_that_of_the_panel():
    panel = synthetic_panel(2000, 118, seed=1, dtype="float64")
    returns_windows(panel.iloc[:, :10], 24)
    tracemalloc.start()
    try:
        windows = returns_windows(panel, 24, year="onehot", month="onehot", start="2002-02")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert windows.X.shape[0] == 93 * 2000
    assert peak < 3 * panel.to_numpy().nbytes
    assert peak < windows.X.nbytes / 5


def test_windows_train_as_their_table_does():
    windows = returns_windows(synthetic_panel(40, 60, signal=0.5, seed=1), 12, month="onehot")
    fitted = []
    for x in (windows.X, np.asarray(windows.X)):
        model = Sequential([Dense(8, "relu", input_shape=(24,)), Dense(1, "sigmoid")], seed=1)
        model.compile("adam", "binary_crossentropy", metrics=["AUC"])
        history = model.fit(x, windows.y, epochs=3, validation_split=0.25, verbose=0)
        fitted.append((history.history, model.predict(x, verbose=0).tobytes()))
    assert fitted[0] == fitted[1] and len(fitted[0][0]["val_AUC"]) == 3


@needs_shared_data
def test_real_windows():
    windows = returns_windows(monthly_returns(STOCKS), 24, year="onehot", month="onehot", start="2010-02")
    assert windows.X.shape == (308_109, 44)
    assert round(100 * windows.y.mean(), 1) == 54.9
    last_year = windows.dates > "2016-12-31"
    assert (len(windows[~last_year]), len(windows[last_year])) == (274_979, 33_130)
    assert (
        len(returns_windows(monthly_returns(STOCKS), 24)) == 308_109 + 3_313
    )  # the chapter's loop ends early
    chapter = returns_windows(monthly_returns(STOCKS), faults="chapter")
    assert chapter.X.shape == windows.X.shape and chapter.y.sum() == windows.y.sum()
