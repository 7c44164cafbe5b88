"""The S&P 500 and its moving average: sizes, values, and the regression that a single layer finds."""

from __future__ import annotations

import numpy as np
import pytest
from panels import INDEX, monthly, needs_shared_data, pandas

from fastnn.datasets import sp500_sma
from fastnn.errors import ArgumentError, DataError
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import Adam


def walk(months=200, seed=0):
    steps = np.random.default_rng(seed).normal(0, 0.04, months)
    return monthly(100 * np.exp(steps.cumsum()), "1960-01")


def test_values_against_pandas():
    closes = walk()["T0"]
    frame = pandas.DataFrame({"close": closes, "sma": closes.rolling(10).mean()})
    scaled = (frame - frame.rolling(10).mean()) / frame.rolling(10).std()
    scaled["y"] = scaled["close"].shift(-1)
    expected = scaled.dropna()
    found = sp500_sma(prices=closes, start=None, end=None)
    np.testing.assert_allclose(found.X, expected[["close", "sma"]], rtol=1e-8)
    np.testing.assert_allclose(found.y, expected["y"], rtol=1e-8)
    assert (found.dates[:-1] == expected.index[1:]).all()
    np.testing.assert_allclose(found.returns, closes.pct_change().loc[found.dates])
    assert found.report["first months, windows only"] == 19


def test_splits_share_no_month():
    months = sp500_sma(prices=walk(300), start=None, end=None)
    parts = months.split("1970", "1975")
    assert sum(map(len, parts)) == len(months)
    assert [str(part.dates[-1])[:7] for part in parts[:2]] == ["1969-12", "1974-12"]
    assert len(months.loc("1970", "1971")) == 24 and len(months.loc("1970-03", "1970-03")) == 1
    with pytest.raises(ArgumentError, match="before the test"):
        months.split("1975", "1970")
    with pytest.raises(DataError, match="No month from 2050"):
        months.loc("2050")


def test_prices_that_cannot_be_used():
    good = walk(60)
    gap, flat = good.copy(), good.copy()
    gap.iloc[30] = np.nan
    flat.iloc[20:40] = 5.0
    for prices, message in (
        (gap, "expected a close in each month. Received: none in 1962-07"),
        (flat, "the close does not change in the 10 months to"),
        (good.iloc[:15], "needs 20 months. Received: 15"),
        (pandas.concat([good, good.rename(columns={"T0": "T1"})], axis=1), "one column of closes"),
    ):
        with pytest.raises(DataError, match=message):
            sp500_sma(prices=prices)
    for window in (2, 3.0, True):
        with pytest.raises(ArgumentError, match="`window`"):
            sp500_sma(window, prices=good)


@needs_shared_data
def test_sizes_on_the_index_beside_the_checkout():
    months = sp500_sma(window=10, prices=INDEX, price="close")
    assert [len(part) for part in months.split()] == [252, 120, 240]


def test_packaged_closes_are_those_beside_the_checkout():
    pytest.importorskip("skfolio")
    pytest.importorskip("great_tables")
    months = sp500_sma()
    assert [len(part) for part in months.split()] == [252, 120, 240]
    if INDEX.exists():
        np.testing.assert_array_equal(months.X, sp500_sma(prices=INDEX, price="close").X)


@needs_shared_data
def test_a_single_layer_finds_the_coefficients_of_least_squares():
    statsmodels = pytest.importorskip("statsmodels.api")
    train, _, _ = sp500_sma(prices=INDEX, price="close").split()
    expected = statsmodels.OLS(train.y, statsmodels.add_constant(train.X)).fit().params
    model = Sequential([Dense(1, input_shape=(2,))], seed=1)
    model.compile(Adam(0.05), "mse")
    model.fit(train.X, train.y, epochs=1000, batch_size=len(train), verbose=0)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose([bias[0], *kernel[:, 0]], expected, atol=1e-2)
