"""Tables: which columns become what, learned from the training rows and nothing else."""

from __future__ import annotations

import datetime
import decimal
import json
import subprocess
import sys

import numpy as np
import pytest

from fastnn.data import Column, TableSchema, read_table
from fastnn.errors import ArgumentError, DataError, DtypeError, MissingExtraError, UnknownNameError

pandas = pytest.importorskip("pandas")
ROWS = 120
RNG = np.random.default_rng(11)


def frame(**columns):
    return pandas.DataFrame(columns)


def learned(values, name="x", **options) -> Column:
    (column,) = TableSchema.fit(
        pandas.DataFrame({name: values, "other": np.arange(len(values)) / 7.0}), **options
    ).columns[:1]
    return column


def many(values):
    """Repeat values to a column of ROWS rows."""
    return [values[number % len(values)] for number in range(ROWS)]


# --------------------------------------------------------------------------- numbers
def test_numbers_are_handed_over_as_they_are_and_missing_ones_by_the_median_with_a_flag():
    schema = TableSchema.fit(frame(a=[1.5, np.nan, 4.0, 2.0], b=[3, 1, 2, 2]))
    numbers, missing = schema.transform(frame(b=[7, 8], a=[np.nan, 9.0]))
    assert [field.name for field in schema.inputs] == ["numbers", "missing"]
    np.testing.assert_array_equal(numbers, np.array([[2.0, 7.0], [9.0, 8.0]], np.float32))
    np.testing.assert_array_equal(missing, np.array([[1.0], [0.0]], np.float32))
    assert numbers.dtype == missing.dtype == np.float32


def test_a_number_missing_only_later_gets_the_median_without_a_flag():
    schema = TableSchema.fit(frame(a=[1.0, 2.0, 4.0]))
    (numbers,) = schema.transform(frame(a=[np.nan]))
    assert numbers.tolist() == [[2.0]]


@pytest.mark.parametrize(
    "values",
    [
        pandas.array([1, None, 3], dtype="Int64"),
        pandas.array([1, None, 3], dtype="Float32"),
        np.array([1, np.nan, 3], np.float16),
        np.array([1, np.nan, 3], ">f8"),
        pandas.Series([decimal.Decimal("1"), None, decimal.Decimal("3")], dtype=object),
        pandas.Series([1, None, 3.0], dtype=object),
    ],
    ids=["Int64", "Float32", "float16", "big endian", "Decimal", "object"],
)
def test_every_kind_of_number_is_read(values):
    schema = TableSchema.fit(frame(a=values))
    numbers, missing = schema.transform(frame(a=values))
    assert numbers.ravel().tolist() == [1.0, 2.0, 3.0]
    assert missing.ravel().tolist() == [0.0, 1.0, 0.0]


def test_infinity_is_refused_with_column_and_row():
    data = frame(ok=[1.0, 2.0, 3.0], income=[1.0, -np.inf, 2.0])
    data.index = [10, 20, 30]
    with pytest.raises(DataError, match=r"'income' must be finite.*-inf in 1 of 3 rows, first in row 20"):
        TableSchema.fit(data)
    schema = TableSchema.fit(frame(income=[1.0, 2.0]))
    with pytest.raises(DataError, match="'income' must be finite"):
        schema.transform(frame(income=[np.inf]))


def test_columns_beyond_float32_are_centred_and_scaled():
    seconds = 1.7e9 + RNG.integers(0, 1000, ROWS)
    huge = RNG.normal(size=ROWS) * 1e300
    tiny = RNG.normal(size=ROWS) * 1e-40
    schema = TableSchema.fit(frame(seconds=seconds, huge=huge, tiny=tiny, plain=RNG.normal(size=ROWS)))
    (numbers,) = schema.transform(frame(seconds=seconds, huge=huge, tiny=tiny, plain=np.zeros(ROWS)))
    assert np.isfinite(numbers).all()
    for position, values in enumerate((seconds, huge, tiny)):
        assert np.corrcoef(numbers[:, position], values / np.abs(values).max())[0, 1] > 1 - 1e-9
    assert (schema.numbers[3].center, schema.numbers[3].scale) == (0.0, 1.0)


def test_a_value_no_float32_can_hold_is_refused_when_used():
    schema = TableSchema.fit(frame(a=[1.0, 2.0]))
    with pytest.raises(DtypeError, match="'a' must fit float32"):
        schema.transform(frame(a=[1e39]))


# --------------------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("texts", "expected", "note"),
    [
        (["12,5", "3", "-0,25"], [12.5, 3.0, -0.25], "decimal comma"),
        (["12.5", " 3 ", "1e3"], [12.5, 3.0, 1000.0], "decimal point"),
        (["1,234.5", "12,000.0", "7"], [1234.5, 12000.0, 7.0], "decimal point"),
        (["1.234,5", "12.000,0", "7"], [1234.5, 12000.0, 7.0], "decimal comma"),
        (["1 234,5", "12\u00a0000,0", "7"], [1234.5, 12000.0, 7.0], "decimal comma"),
        (["1,234,567", "12,000", "7"], [1234567.0, 12000.0, 7.0], "decimal point"),
    ],
)
def test_numbers_in_text_are_read_and_reported(texts, expected, note):
    column = learned(many(texts))
    assert column.kind == "number" and note in column.note
    np.testing.assert_array_equal(column.numbers(pandas.Series(texts)), expected)


def test_a_comma_that_may_be_either_must_be_explained():
    texts = many(["1,234", "15,091"])
    with pytest.raises(DataError, match=r"'x': the comma of '1,234' may be.*--decimal"):
        learned(texts)
    assert learned(texts, decimal=",").numbers(pandas.Series(["1,234"])).tolist() == [1.234]
    assert learned(texts, decimal=".").numbers(pandas.Series(["1,234"])).tolist() == [1234.0]


def test_a_stray_text_among_numbers_is_refused_with_an_example():
    texts = [f"{value:.3f}" for value in RNG.normal(size=ROWS)]
    texts[7] = "n.v."
    with pytest.raises(DataError, match=r"'x': expected numbers.*'n\.v\.'.*--missing"):
        learned(texts)
    assert learned(many(texts), categorical=["x"]).kind == "category"
    with pytest.raises(DataError, match=r"'n\.v\.'"):
        learned(["1.5", "n.v.", "2"] * 5, numeric=["x"])


def test_codes_with_leading_zeros_stay_text():
    assert learned(many(["007", "012", "100"])).levels == ("007", "012", "100")


def test_a_number_column_that_later_holds_text_is_refused_by_name():
    schema = TableSchema.fit(frame(price=[1.5, 2.0]))
    assert schema.transform(frame(price=["3.5", None]))[0].ravel().tolist() == [3.5, 1.75]
    with pytest.raises(DataError, match=r"'price': expected a number. Received: the text 'dear'"):
        schema.transform(frame(price=["dear"]))
    with pytest.raises(DtypeError, match=r"'price': expected numbers"):
        schema.transform(frame(price=pandas.to_datetime(["2020-01-01"])))


# --------------------------------------------------------------------------- categories
def test_levels_come_from_training_and_everything_else_is_index_0():
    train = frame(town=["Rome", "Oslo", "Rome", None, "Bonn"] * 4)
    schema = TableSchema.fit(train)
    assert schema.categories[0].levels == ("Bonn", "Oslo", "Rome")
    later = frame(town=["Oslo", "Lima", None, "Bonn"])
    (codes,) = schema.transform(later)
    assert codes.dtype == np.int32 and codes.shape == (4, 1)
    assert codes.ravel().tolist() == [2, 0, 0, 1]
    assert schema.unknown_levels(later) == {"town": 1}
    assert schema.inputs[0].levels == 4


@pytest.mark.parametrize(
    "values",
    [
        pandas.array([True, None, False], dtype="boolean"),
        pandas.Series([True, None, False], dtype=object),
        pandas.Categorical([True, None, False]),
    ],
    ids=["boolean", "object", "category"],
)
def test_truth_values_are_categories_whatever_their_dtype(values):
    schema = TableSchema.fit(frame(member=pandas.Series(values)))
    assert schema.categories[0].levels == ("False", "True")
    assert schema.transform(frame(member=[True, False, True]))[0].ravel().tolist() == [2, 1, 2]
    assert schema.transform(frame(member=pandas.Series(values)))[0].ravel().tolist() == [2, 0, 1]


def test_number_levels_survive_the_float_that_a_missing_value_makes_of_them():
    schema = TableSchema.fit(frame(zip=many([12, 34, 56])), categorical=["zip"])
    assert schema.categories[0].levels == ("12", "34", "56")
    assert schema.transform(frame(zip=[34.0, np.nan]))[0].ravel().tolist() == [2, 0]


# --------------------------------------------------------------------------- left out
@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("PassengerId", np.arange(10) * 3, "identifier"),
        ("customer_id", [f"c{number}" for number in range(10)], "10 levels in 10 rows"),
        ("row", RNG.permutation(ROWS), "identifier"),
        ("note", [f"text {max(number, 3)}" for number in range(ROWS)], "117 levels in 120 rows"),
        ("k", [4] * 10, "constant: 4"),
        ("country", ["X"] * 10, "constant: 'X'"),
        ("none", [None] * 10, "no value in any training row"),
        ("nan", [np.nan] * 10, "no value in any training row"),
    ],
)
def test_columns_without_information_are_left_out_and_say_why(name, values, reason):
    data = pandas.DataFrame({name: values, "x": RNG.normal(size=len(values))})
    schema = TableSchema.fit(data)
    assert [column.name for column in schema.left_out] == [name]
    assert reason in schema.left_out[0].note
    assert [array.shape for array in schema.transform(data)] == [(len(values), 1)]


@pytest.mark.parametrize("name", ["paid", "grid", "valid", "humidity"])
def test_words_that_end_like_identifiers_are_numbers(name):
    assert learned(np.arange(10) * 3, name=name).kind == "number"


def test_the_user_knows_better():
    data = pandas.DataFrame({"id": range(ROWS), "code": many([1, 2, 3]), "x": RNG.normal(size=ROWS)})
    schema = TableSchema.fit(data, numeric=["id"], categorical=["code"], drop=["x"])
    assert [column.kind for column in schema.columns] == ["number", "category", "left out"]
    with pytest.raises(UnknownNameError, match="Did you mean 'code'"):
        TableSchema.fit(data, drop=["cod"])
    with pytest.raises(ArgumentError, match="'x' is given twice"):
        TableSchema.fit(data, drop=["x"], numeric=["x"])


def test_a_table_with_nothing_to_learn_from_says_why():
    with pytest.raises(DataError, match=r"no column to learn from \('k': constant: 1"):
        TableSchema.fit(frame(k=[1, 1], none=[None, None]))
    with pytest.raises(DataError, match="at least one row"):
        TableSchema.fit(frame(a=[]))


@pytest.mark.parametrize(
    ("values", "what"),
    [([1j, 2j], "complex"), ([[1], [2]], "lists"), ([b"a", b"b"], "bytes"), ([{}, {}], "dicts")],
    ids=["complex", "list", "bytes", "dict"],
)
def test_what_no_network_can_use_is_refused_by_name(values, what):
    with pytest.raises(DtypeError, match="'odd' must hold"):
        TableSchema.fit(pandas.DataFrame({"odd": pandas.Series(values), "x": [1.0, 2.0]}))


# --------------------------------------------------------------------------- dates
@pytest.mark.parametrize(
    "values",
    [
        ["2024-03-01", None, "2024-03-02T12:00:00"],
        pandas.to_datetime(["2024-03-01", None, "2024-03-02 12:00"], format="ISO8601"),
        pandas.to_datetime(["2024-03-01", None, "2024-03-02 12:00"], format="ISO8601")
        .tz_localize("UTC")
        .tz_convert("Asia/Tokyo"),
        pandas.Series([datetime.datetime(2024, 3, 1), None, datetime.datetime(2024, 3, 2, 12)], dtype=object),
    ],
    ids=["ISO text", "datetime64", "time zone", "objects"],
)
def test_dates_become_days(values):
    column = learned(values, name="when")
    assert "days since 1970" in column.note and column.missing == 1
    days = column.numbers(pandas.Series(values)) * column.scale + column.center
    np.testing.assert_allclose(days[[0, 2]], [19783.0, 19784.5])
    assert np.isnan(days[1])


def test_durations_become_days():
    column = learned(pandas.to_timedelta([1, 2, 5], unit="D"))
    np.testing.assert_allclose(column.numbers(pandas.Series(pandas.to_timedelta(["36h"]))), [1.5])


# --------------------------------------------------------------------------- the schema
def table(rows=ROWS):
    return pandas.DataFrame(
        {
            "age": np.where(RNG.random(rows) < 0.2, np.nan, RNG.normal(40, 10, rows)),
            "town": RNG.choice(["a", "b", "c"], rows),
            "price": [f"{value:.2f}".replace(".", ",") for value in RNG.normal(size=rows)],
            "when": [f"2024-01-{1 + number % 28:02d}" for number in range(rows)],
            "k": 1,
        }
    )


def test_plain_data_and_back_gives_the_same_arrays():
    data = table()
    schema = TableSchema.fit(data)
    again = TableSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again.columns == schema.columns
    for one, other in zip(schema.transform(data), again.transform(data), strict=True):
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
    with pytest.raises(ArgumentError, match="format 1"):
        TableSchema.from_dict({"format": 99, "columns": []})


def test_a_missing_column_is_named_and_columns_may_come_in_any_order():
    data = table()
    schema = TableSchema.fit(data)
    for one, other in zip(schema.transform(data), schema.transform(data[data.columns[::-1]]), strict=True):
        assert one.tobytes() == other.tobytes()
    with pytest.raises(UnknownNameError, match="'town'"):
        schema.transform(data.drop(columns=["town"]))
    schema.transform(data.drop(columns=["k"]))  # left out: not needed


def test_no_rows_give_empty_arrays_and_the_frame_is_not_changed():
    data = table()
    before = data.copy(deep=True)
    schema = TableSchema.fit(data)
    schema.transform(data)
    pandas.testing.assert_frame_equal(data, before)
    assert [array.shape[0] for array in schema.transform(data.head(0))] == [0] * len(schema.inputs)


# --------------------------------------------------------------------------- imports
def test_pandas_is_imported_only_when_used():
    code = "import sys, fastnn.data; assert not {'pandas', 'numba', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_pandas_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"fastnn\[table\]"):
        read_table(tmp_path / "t.csv")


def test_dtypes_and_units_are_kept():
    frame = pandas.DataFrame({"size": [1.5, 2.0, 4.0], "town": ["Rome", "Oslo", "Rome"]})
    schema = TableSchema.fit(frame, units={"size": "m2"})
    again = TableSchema.from_dict(json.loads(json.dumps(schema.to_dict())))
    assert again.columns == schema.columns
    assert [(column.unit, column.dtype) for column in again.columns] == [
        ("m2", "float64"),
        ("", str(frame["town"].dtype)),
    ]
    with pytest.raises(UnknownNameError, match="'size'"):
        TableSchema.fit(frame, units={"sice": "m2"})
