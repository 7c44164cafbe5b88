"""Monthly returns: the right answer for odd prices, or an error that names row and column."""

from __future__ import annotations

import re

import numpy as np
import pytest
from panels import STOCKS, daily, monthly, needs_shared_data, pandas

from fastnn.datasets import load_prices, monthly_returns
from fastnn.errors import ArgumentError, DataError, DtypeError, UnknownNameError


def report(frame):
    return frame.attrs["report"]


def test_daily_closes_against_pandas():
    prices = daily("2010-01-01", "2012-12-31", stocks=5)
    expected = prices.resample(pandas.offsets.MonthEnd()).last().pct_change(fill_method=None).iloc[1:]
    found = monthly_returns(prices)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found.index == expected.index).all() and list(found.columns) == list(prices.columns)
    assert report(found) == {"months without a return: the first one": 1}


def test_every_layout_gives_the_same(tmp_path):
    prices = daily(stocks=3).rename_axis("date").rename_axis("ticker", axis=1)
    expected = monthly_returns(prices)
    long = prices.stack().rename("adj_close").reset_index()
    shuffled = long.sample(frac=1, random_state=0)[["adj_close", "ticker", "date"]]
    prices.to_csv(tmp_path / "wide.csv")
    long.to_csv(tmp_path / "long.csv", index=False)
    prices.to_parquet(tmp_path / "wide.parquet")
    long.to_parquet(tmp_path / "long.parquet")
    named = long.rename(columns={"ticker": "firm", "date": "when", "adj_close": "px"})
    tables = [
        shuffled,
        prices.stack(),
        prices.T.stack().rename("close"),
        prices.stack().rename_axis([None, None]),
        prices.T.stack().rename_axis([None, None]).to_frame("x"),
        prices.reset_index(),
        prices.to_period("D"),
        long.assign(date=long["date"].dt.strftime("%Y%m%d").astype(int)),
        *(tmp_path / name for name in ("wide.csv", "long.csv", "wide.parquet", "long.parquet")),
    ]
    for table in tables:
        pandas.testing.assert_frame_equal(
            monthly_returns(table), expected, check_names=False, check_column_type=False, check_dtype=False
        )
    found = monthly_returns(named, ticker="firm", date="when", price="px")
    pandas.testing.assert_frame_equal(found, expected, check_names=False, check_column_type=False)
    american = long.assign(date=long["date"].dt.strftime("%m/%d/%Y"))
    with pytest.raises(DataError, match=r"dates: expected ISO dates.*date_format.*'01/01/2010' in row 0"):
        monthly_returns(american)
    found = monthly_returns(american, date_format="%m/%d/%Y")
    pandas.testing.assert_frame_equal(found, expected, check_names=False, check_column_type=False)


def test_hdf5_with_and_without_key(tmp_path):
    pytest.importorskip("tables")
    prices = daily(stocks=2)
    path = tmp_path / "prices.h5"
    prices.to_hdf(path, key="us")
    np.testing.assert_array_equal(monthly_returns(path), monthly_returns(prices))
    prices.to_hdf(path, key="eu")
    with pytest.raises(ArgumentError, match="give the `key` of one of its tables: eu, us"):
        monthly_returns(path)
    with pytest.raises(UnknownNameError, match="Received: 'uk'"):
        monthly_returns(path, key="uk")
    np.testing.assert_array_equal(monthly_returns(path, key="us"), monthly_returns(prices))
    (tmp_path / "no.h5").write_text("not hdf")
    with pytest.raises(DataError, match="cannot be read as HDF5"):
        monthly_returns(tmp_path / "no.h5")
    with pytest.raises(ArgumentError, match="`key` names a table within an HDF5 file"):
        monthly_returns(tmp_path / "prices.csv", key="us")
    with pytest.raises(FileNotFoundError):
        monthly_returns(tmp_path / "absent.h5")


# --------------------------------------------------------------------------- gaps
def test_a_missing_month_gives_two_missing_returns():
    prices = monthly([[10, 10.0], [11, 11], [np.nan, 12], [13, 13], [14.3, 14]])
    found = monthly_returns(prices)
    np.testing.assert_allclose(found["T0"], [0.1, np.nan, np.nan, 0.1])
    assert report(found)["stocks with a gap between returns"] == 1
    assert report(found)["missing returns within gaps"] == 2


def test_a_month_without_a_row_is_a_gap_too():
    prices = monthly([10, 11, 12, 13, 14.0]).drop(pandas.Timestamp("2010-03-31"))
    found = monthly_returns(prices)
    assert len(found) == 4 and found["T0"].isna().tolist() == [False, True, True, False]
    assert report(found)["months without any price"] == 1


def test_starts_and_stops_are_counted_and_never_filled():
    prices = monthly(
        [[10, np.nan, 1, np.nan], [11, 5, 1, np.nan], [12, 6, 2, np.nan], [13, 7, np.nan, np.nan]]
    )
    found = monthly_returns(prices)
    assert found["T2"].isna().tolist() == [False, False, True]
    noted = report(found)
    assert noted["stocks that start after the first month"] == 1
    assert noted["stocks that stop before the last month"] == 1
    assert noted["stocks without any return"] == 1
    balanced = monthly_returns(prices, balanced=True)
    assert list(balanced.columns) == ["T0"]
    assert report(balanced)["stocks left out of the balanced panel: a month without a return"] == 3
    with pytest.raises(DataError, match="no stock has a return in all 3 months"):
        monthly_returns(prices[["T1", "T2"]], balanced=True)


def test_a_close_from_early_in_the_month_counts_and_is_reported():
    prices = daily(stocks=2)
    halted = prices.copy()
    halted.loc["2010-05-10":"2010-05-31", "T1"] = np.nan
    found = monthly_returns(halted)
    may = halted.loc["2010-05-07", "T1"] / halted.loc["2010-04-30", "T1"] - 1
    assert found.loc["2010-05-31", "T1"] == pytest.approx(may)
    assert report(found)["closes more than 7 days older than the month's last date"] == 1


# --------------------------------------------------------------------------- dates
def test_repeated_dates():
    prices = monthly([1, 2, 3.0])
    twice = pandas.concat([prices, prices.iloc[[1]]])
    with pytest.raises(
        DataError, match=r"dates: expected each date once. Received: 2010-02-28 in rows 1 and 3"
    ):
        monthly_returns(twice)
    long = pandas.DataFrame({"date": ["2010-01-31", "2010-02-28"] * 2, "ticker": ["A"] * 4, "close": 1.0})
    with pytest.raises(DataError, match=r"ticker 'A': expected one price a date.*2010-01-31 in rows 0 and 2"):
        monthly_returns(long)


def test_unsorted_dates_are_sorted_and_counted():
    prices = daily(stocks=2)
    found = monthly_returns(prices.iloc[::-1])
    pandas.testing.assert_frame_equal(found, monthly_returns(prices))
    assert report(found)["rows earlier than the row before them, sorted by date"] == len(prices) - 1


def test_mixed_frequencies():
    days, months = (
        daily("2010-01-01", "2010-06-30"),
        daily("2010-07-01", "2010-12-31").resample(pandas.offsets.MonthEnd()).last(),
    )
    found = monthly_returns(pandas.concat([days, months]))
    whole = monthly_returns(pandas.concat([days, daily("2010-07-01", "2010-12-31")]))
    np.testing.assert_allclose(found, whole)
    assert report(found)["months with a month-end close only, beside months with several"] == 5
    starts = daily("2010-07-01", "2010-12-31").resample("MS").first()
    with pytest.raises(DataError, match=r"mixed frequencies: .*2010-07-01"):
        monthly_returns(pandas.concat([days, starts]))
    with pytest.raises(DataError, match="quarterly or yearly"):
        monthly_returns(monthly(range(1, 13)).iloc[2::3])


def test_time_zones_keep_the_local_date():
    prices = monthly([10, 11, 12.1])
    for zone in ("America/New_York", "Asia/Tokyo"):
        found = monthly_returns(prices.tz_localize(zone))
        np.testing.assert_allclose(found["T0"], [0.1, 0.1])
        assert found.index.tz is None and str(found.index[0])[:10] == "2010-02-28"
        assert report(found)["time zone dropped, local dates kept"] == zone
    texts = prices.set_axis(["2010-01-31T23:00-05:00", "2010-02-28T23:00-05:00", "2010-03-31T23:00-05:00"])
    assert str(monthly_returns(texts).index[-1])[:10] == "2010-03-31"
    texts.index = ["2010-01-31T23:00-05:00", "2010-02-28T23:00-05:00", "2010-03-31T23:00-04:00"]
    with pytest.raises(DataError, match="dates"):
        monthly_returns(texts)


def test_dates_that_are_not_month_ends():
    values = [10, 11, 12.1]
    for dates, count in (
        (["2010-01-29", "2010-02-26", "2010-03-31"], 0),  # business month ends
        (["2010-01-01", "2010-02-01", "2010-03-01"], 3),
        (["2010-01", "2010-02", "2010-03"], 0),
        ([201001, 201002, 201003], 0),
    ):
        found = monthly_returns(pandas.DataFrame({"date": dates, "T0": values}))
        np.testing.assert_allclose(found["T0"], [0.1, 0.1])
        assert [str(day)[:10] for day in found.index] == ["2010-02-28", "2010-03-31"]
        assert report(found).get("dates that are not month ends, taken as their month's close", 0) == count


def test_a_last_month_that_is_not_over():
    prices = daily("2010-01-01", "2010-06-10")
    found = monthly_returns(prices)
    assert str(found.index[-1])[:10] == "2010-05-31"
    assert report(found)["last month incomplete, left out: prices end on 2010-06-10"] == 1
    kept = monthly_returns(prices, incomplete_month=True)
    assert len(kept) == len(found) + 1
    with pytest.raises(DataError, match="expected prices of a whole month"):
        monthly_returns(daily("2010-06-01", "2010-06-10"))


def test_intraday_prices_take_the_last_of_the_month():
    days = daily()
    hours = pandas.concat([days.set_axis(days.index + pandas.Timedelta(hours=h)) * (1 + h) for h in (9, 16)])
    np.testing.assert_allclose(monthly_returns(hours.sort_index()), monthly_returns(days))


def test_a_range_is_inclusive_and_what_is_outside_counted():
    prices = daily("2009-12-01", "2011-12-30")
    found = monthly_returns(prices, start="2010", end="2011-03")
    assert len(found) == 15 and str(found.index[0])[:10] == "2010-01-31"
    assert report(found)["months outside start and end"] == 9
    for wrong in ({"start": "2011", "end": "2010"}, {"start": "soon"}, {"end": 3.5j}):
        with pytest.raises(ArgumentError, match=r"`(start|end)`"):
            monthly_returns(prices, **wrong)
    with pytest.raises(DataError, match="no return from 2030 to None"):
        monthly_returns(prices, start="2030")


# --------------------------------------------------------------------------- prices that are none
@pytest.mark.parametrize("price", [0.0, -3.5, np.inf, -np.inf])
def test_prices_that_are_not_positive(price):
    prices = monthly(np.full((4, 3), 2.0), tickers=["A", "B", "C"])
    prices.iloc[2, 1] = price
    with pytest.raises(DataError, match=rf"column 'B', row 2 \(2010-03-31\).*{re.escape(f'{price:g}')}"):
        monthly_returns(prices)
    long = prices.stack().rename("close").rename_axis(["date", "ticker"]).reset_index()
    with pytest.raises(DataError, match=r"column 'B', row 7 \(2010-03-31\)"):
        monthly_returns(long)


def test_text_among_prices(tmp_path):
    path = tmp_path / "prices.csv"
    path.write_text("date,A,B\n2010-01-31,1,2\n2010-02-28,1,halted\n2010-03-31,1,2\n")
    with pytest.raises(DataError, match=r"prices.csv, column 'B', row 1 \(2010-02-28\).*'halted'"):
        monthly_returns(path)
    path.write_text("date,A,source\n2010-01-31,1,x\n2010-02-28,2,x\n")
    with pytest.raises(DataError, match=r"column 'source', row 0 .*'x', and text in 1 more rows"):
        monthly_returns(path)
    found = load_prices(path, price="A")
    assert found.shape == (2, 1) and report(found) == {"columns left out beside 'A'": 1}
    assert report(monthly_returns(found))["columns left out beside 'A'"] == 1


def test_tables_that_are_no_prices():
    good = monthly([1, 2, 3.0])
    with pytest.raises(DtypeError, match="Received: list"):
        monthly_returns([1, 2])
    for table, message in (
        (good.iloc[:0], "at least one row"),
        (good.iloc[:1], "needs prices of two months"),
        (good.reset_index(drop=True), "no dates found"),
        (good > 1, "expected prices. Received: bool"),
        (pandas.concat([good, good], axis=1), "must be unique. Received: 'T0'"),
        (good.assign(Open=1.0, High=1.0, Low=1.0, Close=1.0), "look like one stock's"),
        (pandas.concat({"Close": good}, axis=1), "one level of column names"),
        (good.assign(a=1, b=2).set_index(["a", "b"], append=True), "Received: 3 levels"),
        (good.set_axis([pandas.NaT, *good.index[1:]]), "none in row 0"),
        (pandas.DataFrame({"date": [1, 2], "A": [1.0, 2]}), "look like 20100129"),
        (pandas.DataFrame({"date": ["2010-01-31", "2010-02-30"], "A": [1.0, 2]}), "'2010-02-30' in row 1"),
        (
            pandas.DataFrame({"date": ["2010-01-31"] * 2, "ticker": ["A", None], "close": 1.0}),
            "none in row 1",
        ),
        (
            pandas.DataFrame({"date": ["2010-01-31"], "ticker": ["A"], "x": 1.0, "z": 2.0}),
            "which column holds the prices",
        ),
    ):
        with pytest.raises(DataError, match=message):
            monthly_returns(table)
    with pytest.raises(DataError, match=r"expected dates. Received: float64"):
        monthly_returns(pandas.DataFrame({"date": [1.5, 2.5], "A": [1.0, 2]}), date="date")
    with pytest.raises(UnknownNameError, match="Received: 'px'"):
        monthly_returns(good, price="px")


def test_stocks_with_names_of_dates_and_tickers():
    prices = daily(stocks=3).set_axis(["DAY", "NAME", "TIME"], axis=1)
    assert list(monthly_returns(prices).columns) == ["DAY", "NAME", "TIME"]
    plain = prices.rename_axis("Date").reset_index()
    assert list(monthly_returns(plain).columns) == ["DAY", "NAME", "TIME"]


def test_one_stock_as_a_series():
    prices = daily(stocks=1)["T0"]
    assert monthly_returns(prices).shape == (11, 1)


def test_the_input_is_left_alone():
    prices = daily()
    copy = prices.copy()
    monthly_returns(prices)
    pandas.testing.assert_frame_equal(prices, copy)
    assert prices.attrs == {}


@needs_shared_data
def test_the_panel_beside_the_checkout():
    found = monthly_returns(STOCKS, balanced=True)
    assert found.shape == (118, 3313) and not found.isna().to_numpy().any()
