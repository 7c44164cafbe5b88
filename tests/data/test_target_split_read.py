"""Targets, splits, files and numbers in text: everything around a table's columns."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fastnn.data import TargetSchema, holdout_split, read_table
from fastnn.data.numerals import decimal_mark, parse
from fastnn.errors import ArgumentError, DataError

pandas = pytest.importorskip("pandas")
RNG = np.random.default_rng(11)


def frame(**columns):
    return pandas.DataFrame(columns)


# --------------------------------------------------------------------------- the target
@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["no", "yes"] * 6, "binary", ("no", "yes")),
        ([True, False] * 6, "binary", ("False", "True")),
        ([0, 1] * 6, "binary", ("0", "1")),
        ([0.0, 1.0] * 6, "binary", ("0", "1")),
        (["a", "b", "c"] * 6, "multiclass", ("a", "b", "c")),
        ([10, 9, 2] * 6, "multiclass", ("2", "9", "10")),
        ([0.5, 1.0, 2.0] * 6, "regression", ()),
        (list(range(60)), "regression", ()),
        ([1, 2, 3, 4, 5, 6], "regression", ()),
        (["0,5", "1", "2"] * 6, "regression", ()),
    ],
)
def test_the_task_is_found_from_the_target(values, task, classes):
    series = pandas.Series(values, name="y")
    target = TargetSchema.fit(series)
    assert (target.task, target.classes) == (task, classes)
    assert target.reason
    encoded = target.encode(series)
    if classes:
        assert [classes[code] for code in encoded] == [
            str(v if not isinstance(v, float) else int(v)) for v in values
        ]
    assert TargetSchema.from_dict(json.loads(json.dumps(target.to_dict()))) == target


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a"] * 5, "auto", "one class, 'a', in all 5 rows"),
        ([2.5] * 5, "auto", "2.5 in all 5 rows"),
        ([f"id{number}" for number in range(50)], "auto", "50 classes in 50 rows: is it an identifier"),
        (["a", "b", "c"] * 3, "binary", "needs two classes. Received: 3"),
        (["a", "b"] * 3, "regression", "needs numbers. Received: text such as 'a'"),
        (np.arange(50) / 7, "multiclass", "50 classes in 50 rows: use --task regression"),
        ([1.0, np.inf, 2.0], "auto", "must be finite"),
        ([1.0, np.nan], "auto", "missing values in 1 rows"),
        ([], "auto", "no value in any row"),
        (pandas.to_datetime(["2020-01-01", "2020-01-02"]), "auto", "holds dates"),
    ],
)
def test_targets_that_cannot_be_learned_are_refused(values, task, message):
    with pytest.raises(DataError, match=f"^Target 'y'.*{message}"):
        TargetSchema.fit(pandas.Series(values, name="y"), task)


def test_an_unknown_class_and_an_unknown_task_are_refused():
    target = TargetSchema.fit(pandas.Series(["a", "b"] * 3, name="y"))
    with pytest.raises(DataError, match=r"one of 2 known classes. Received: 'z'"):
        target.encode(pandas.Series(["a", "z"]))
    with pytest.raises(ArgumentError, match="`task` must be one of"):
        TargetSchema.fit(pandas.Series([1, 2], name="y"), "clustering")


# --------------------------------------------------------------------------- the split
def test_the_split_is_seeded_complete_and_of_the_right_size():
    train, test = holdout_split(103, 0.2, seed=4)
    assert (len(train), len(test)) == (82, 21)
    assert sorted([*train, *test]) == list(range(103))
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    assert np.array_equal(test, holdout_split(103, 0.2, seed=4)[1])
    assert not np.array_equal(test, holdout_split(103, 0.2, seed=5)[1])


def test_a_stratified_split_keeps_the_shares_and_small_classes():
    labels = np.repeat([0, 1, 2, 3], [90, 7, 2, 1])[RNG.permutation(100)]
    train, test = holdout_split(100, 0.2, seed=0, labels=labels)
    assert np.bincount(labels[test], minlength=4).tolist() in ([18, 1, 1, 0], [18, 2, 1, 0])
    assert sorted([*train, *test]) == list(range(100))


@pytest.mark.parametrize("size", [0.0, 1.0, -0.1, 2])
def test_a_share_out_of_range_is_refused(size):
    with pytest.raises(ArgumentError, match="between 0 and 1"):
        holdout_split(10, size)


def test_a_split_that_leaves_nothing_is_refused():
    with pytest.raises(DataError, match="leaves 0 to test on"):
        holdout_split(2, 0.1)


# --------------------------------------------------------------------------- files
@pytest.mark.parametrize(
    "name", ["t.csv", "t.csv.gz", "t.tsv", "T.TSV.GZ", "semicolon.csv", "bom.csv", "t.parquet"]
)
def test_files_are_read_by_suffix(tmp_path, name):
    data = frame(a=[1.5, 2.5], b=["x", "y"])
    path = tmp_path / name
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
        data.to_parquet(path)
    else:
        separator = ";" if "semi" in name else "\t" if "tsv" in name.lower() else ","
        encoding = "utf-8-sig" if "bom" in name else "utf-8"
        compression = "gzip" if name.lower().endswith("gz") else None
        data.to_csv(path, index=False, sep=separator, encoding=encoding, compression=compression)
    read = read_table(path)
    assert list(read.columns) == ["a", "b"] and read["a"].tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("empty.csv", b"", DataError, "an empty file"),
        ("head.csv", b"a,b\n", DataError, "a table without rows"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3\n", DataError, "cannot be read as CSV"),
        ("latin.csv", "größe,b\n1,2\n".encode("latin-1"), DataError, "expected text in UTF-8"),
        ("fake.csv.gz", b"a,b\n1,2\n", DataError, "cannot be read as CSV"),
        ("fake.parquet", b"a,b\n1,2\n", DataError, "cannot be read as Parquet"),
        ("sheet.xlsx", b"", ArgumentError, r"expected one of \.csv"),
    ],
)
def test_files_that_are_not_what_they_say(tmp_path, name, content, error, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(error, match=message):
        read_table(path)


def test_a_file_that_is_not_there_and_two_columns_of_one_name(tmp_path):
    for name in ("no.csv", "no.parquet"):
        with pytest.raises(FileNotFoundError):
            read_table(tmp_path / name)
    path = tmp_path / "t.parquet"
    pytest.importorskip("pyarrow")
    frame(a=[1], b=[2]).rename(columns={"a": 1, "b": "1"}).to_csv(tmp_path / "t.csv", index=False)
    read = read_table(tmp_path / "t.csv")
    assert list(read.columns) == ["1", "1.1"]  # pandas tells them apart
    frame(a=[1]).set_index(pandas.Index([5], name="key")).to_parquet(path)
    assert list(read_table(path).columns) == ["key", "a"]


def test_further_texts_mean_missing_and_the_separator_can_be_given(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a|b\n1|?\n2|-\n")
    assert read_table(path, missing=["?", "-"])["b"].isna().all()
    assert list(read_table(path, separator=",").columns) == ["a|b"]
    with pytest.raises(ArgumentError, match="one character"):
        read_table(path, separator="||")


# --------------------------------------------------------------------------- text to numbers
def test_decimal_marks():
    assert decimal_mark(["1", "2"], "x") == "."
    assert decimal_mark(["red", "blue"], "x") is None
    assert decimal_mark(["1", "2", "unknown"], "x") is None  # a few levels are levels
    assert parse(["-1.5e-3"], ".", "x").tolist() == [-0.0015]
    with pytest.raises(ArgumentError, match="`decimal`"):
        decimal_mark(["1"], "x", decimal=";")
