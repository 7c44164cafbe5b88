"""Splits by date: labels as in `.loc`, and what is refused."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastnn.data import time_split
from fastnn.errors import ArgumentError, DataError, DtypeError, ShapeError

MONTHS = pd.date_range("1990-01-31", "2002-12-31", freq="ME")
FORMS = {
    "index": lambda: MONTHS,
    "series": lambda: pd.Series(MONTHS, index=range(1000, 1000 + len(MONTHS))),
    "days": lambda: MONTHS.values.astype("M8[D]"),
    "months": lambda: MONTHS.values.astype("M8[M]"),
    "seconds": lambda: MONTHS.values.astype("M8[s]"),
    "text": lambda: [str(date.date()) for date in MONTHS],
    "text column": lambda: pd.Series([str(date.date()) for date in MONTHS]),
    "dates": lambda: [date.date() for date in MONTHS],
    "timestamps": lambda: list(MONTHS),
    "datetimes": lambda: [date.to_pydatetime() for date in MONTHS],
    "periods": lambda: MONTHS.to_period("M"),
    "column of periods": lambda: pd.Series(MONTHS.to_period("M")),
    "objects": lambda: np.array(list(MONTHS), object),
}


@pytest.mark.parametrize("form", FORMS)
def test_years_are_whole_as_in_loc(form):
    train, validation, test = time_split(FORMS[form](), "1991", "2000")
    frame = pd.Series(np.arange(len(MONTHS)), index=MONTHS)
    assert np.array_equal(train, frame.loc[:"1991"])
    assert np.array_equal(validation, frame.loc["1992":"2000"])
    assert np.array_equal(test, frame.loc["2001":])
    assert train.dtype == np.int64


@pytest.mark.parametrize(
    ("label", "rows"),
    [
        ("1990-03", 3), ("1990-03-31", 3), ("1990-03-30", 2), (datetime.date(1990, 3, 31), 3),
        (datetime.datetime(1990, 3, 30, 23), 2), (pd.Timestamp("1990-03-31"), 3), (1991, 24),
        (np.datetime64("1990-03"), 3), (np.datetime64("1990-03-31T01"), 3), ("1990-03-31 00:00", 3),
    ],
)  # fmt: skip
def test_labels(label, rows):
    train, test = time_split(MONTHS, label)
    assert len(train) == rows and len(train) + len(test) == len(MONTHS)


def test_a_day_holds_all_its_hours():
    hours = np.arange("1990-01-01T00", "1990-01-04T00", dtype="M8[h]")
    train, _ = time_split(hours, "1990-01-01")
    assert len(train) == 24


def test_rows_after_the_last_label_are_in_no_part():
    test = time_split(MONTHS, "1991", "2000", "2001")[2]
    assert test.tolist() == list(range(132, 144))
    train, test = time_split(MONTHS, "1991", test_until="1992")
    assert (len(train), len(test)) == (24, 12)


def test_numbers_are_dates_too():
    train, validation, test = time_split([3, 1, 2, 5, 4], 1, 3)
    assert (train.tolist(), validation.tolist(), test.tolist()) == ([1], [0, 2], [3, 4])


@given(st.lists(st.integers(0, 60), min_size=1, max_size=80), st.integers(0, 59), st.integers(0, 59))
def test_every_row_is_in_one_part(months, first, second):
    dates = np.datetime64("2000-01") + np.array(months).astype("m8[M]")
    labels = np.datetime64("2000-01") + np.array(sorted((first, second))).astype("m8[M]")
    try:
        parts = time_split(dates, *labels)
    except DataError:
        counts = [(dates <= labels[0]).sum(), (dates > labels[1]).sum()]
        assert 0 in (*counts, len(dates) - sum(counts))
        return
    assert sorted(np.concatenate(parts)) == list(range(len(dates)))
    assert dates[parts[0]].max() <= labels[0] < dates[parts[1]].min()
    assert dates[parts[1]].max() <= labels[1] < dates[parts[2]].min()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("2000", "1991"), "validation_until: expected a date after train_until='2000'. Received: '1991'"),
        (("1991", "2000", "1999"), "test_until: expected a date after validation_until='2000'"),
        ((None,), "train_until: expected a date. Received: None"),
    ],
)
def test_labels_out_of_order(labels, message):
    with pytest.raises(ArgumentError, match=message):
        time_split(MONTHS, *labels)


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        (("1980",), "train on"),
        (("1991", "1991"), "validate on"),
        (("2002",), "test on"),
        (("1991", "2003"), "test"),
    ],
)
def test_empty_parts(labels, part):
    with pytest.raises(DataError, match=rf"expected at least one row to {part}.*none; dates from 1990-01-31"):
        time_split(MONTHS, *labels)
    with pytest.raises(DataError, match="dates of no rows"):
        time_split(MONTHS[:0], *labels)


@pytest.mark.parametrize(
    ("dates", "label", "error", "message"),
    [
        (MONTHS.tz_localize("Europe/Rome"), "1991", DtypeError, "dates: expected dates without a time zone"),
        (MONTHS, pd.Timestamp("1991-01-01", tz="UTC"), DtypeError, "train_until: expected a date without"),
        (MONTHS, "the end", DtypeError, "train_until: expected a date.*Received: 'the end'"),
        (MONTHS, pd.NaT, DtypeError, "train_until: expected a date"),
        (MONTHS, 1.5, DtypeError, "train_until: expected a date"),
        (MONTHS, True, DtypeError, "train_until: expected a date"),
        ([1, 2, 3], "1991", DtypeError, "the dates are numbers, so expected a number. Received: '1991'"),
        (["Monday", "Tuesday"], "1991", DtypeError, "dates: expected dates, texts such as.*'Monday'"),
        ([True, False], 1, DtypeError, "dates: expected dates or numbers. Received: dtype bool"),
        (
            [1.0, np.nan, np.nan],
            1,
            DataError,
            r"dates: every row needs a date.*none in row 1 \(2 such rows\)",
        ),
        (MONTHS[:3].append(pd.DatetimeIndex([pd.NaT])), "1990", DataError, "none in row 3"),
        (np.zeros((2, 2)), 1, ShapeError, r"dates: expected one date a row.*\(2, 2\)"),
    ],
)
def test_dates_and_labels_that_cannot_be_used(dates, label, error, message):
    with pytest.raises(error, match=message):
        time_split(dates, label)
