"""The commands that save a network, apply it to a table, and show it."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.io import container
from fastnn.layers import Dense
from fastnn.models import Sequential, load_model

pandas = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")
ROWS = 300


def flats(rows=ROWS, seed=0):
    """Give a table with numbers, a category, missing values and three targets."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(20, 200, rows).round(1)
    town = rng.choice(["Oslo", "Bonn", "Rome"], rows)
    rent = (size * np.where(town == "Rome", 30.0, 18.0) + rng.normal(0, 20, rows)).round(2)
    data = pandas.DataFrame({"size": size, "town": town, "rent": rent, "noise": rng.normal(size=rows)})
    data["dear"] = np.where(rent > 2000, "yes", "no")
    data["class"] = np.where(rent < 1000, "low", np.where(rent < 3000, "mid", "high"))
    data.loc[5:20, "size"] = np.nan
    return data


TARGETS = ["rent", "dear", "class"]


@pytest.fixture
def network(run, tmp_path):
    """Train on a target; gives the file, and the rows without any target as another file."""

    def make(target, *options):
        table, model, fresh = (tmp_path / name for name in ("flats.csv", "model.fastnn", "fresh.csv"))
        flats().drop(columns=[name for name in TARGETS if name != target]).to_csv(table, index=False)
        flats(40, seed=1).drop(columns=TARGETS).to_csv(fresh, index=False)
        arguments = [
            "fit",
            table,
            "--target",
            target,
            "--quiet",
            "--epochs",
            40,
            "--batch-size",
            16,
            "--save",
            model,
            *options,
        ]
        status, out, err = run(*arguments)
        assert status == 0 and f"saved    {model}" in out, err
        return model, fresh

    return make


# --------------------------------------------------------------------------- predictions
def test_a_regression_is_in_the_targets_unit(run, network, tmp_path):
    model, fresh = network("rent", "--unit", "rent=EUR a month", "--unit", "size=m2")
    status, out, err = run("predict", model, fresh, "--out", tmp_path / "out.csv")
    assert (status, err) == (0, "") and "40 predictions of 'rent'" in out
    found = pandas.read_csv(tmp_path / "out.csv")
    fresh_rows = flats(40, seed=1)
    known = fresh_rows["size"].notna()
    assert list(found.columns) == ["prediction"]
    error = (found["prediction"] - fresh_rows["rent"])[known].abs()
    assert error.median() < 0.1 * fresh_rows["rent"].mean()
    status, out, _ = run("predict", model, fresh)
    assert status == 0 and "... 30 more rows" in out and "EUR a month" in out
    assert f"{found['prediction'][0]:.6g}" in out


@pytest.mark.parametrize(("target", "classes"), [("dear", ["no", "yes"]), ("class", ["high", "low", "mid"])])
def test_a_classification_is_in_the_targets_classes(run, network, tmp_path, target, classes):
    model, fresh = network(target)
    assert run("predict", model, fresh, "--out", tmp_path / "out.parquet")[0] == 0
    found = pandas.read_parquet(tmp_path / "out.parquet")
    shares = found[[f"probability_{name}" for name in classes]]
    assert list(found.columns) == ["prediction", *shares.columns]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-6)
    assert [classes[k] for k in shares.to_numpy().argmax(axis=1)] == list(found["prediction"])
    fresh_rows = flats(40, seed=1)
    right = found["prediction"] == fresh_rows[target]
    assert right[fresh_rows["size"].notna()].mean() > 0.8
    status, out, _ = run("predict", model, fresh)
    assert status == 0 and all(f"probability_{name}" in out for name in classes)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_predictions_are_written_as_the_suffix_says(run, network, tmp_path, suffix):
    model, fresh = network("rent")
    path = tmp_path / f"out{suffix}"
    assert run("predict", model, fresh, "--out", path)[0] == 0
    found = pandas.read_parquet(path) if suffix == ".parquet" else pandas.read_csv(path)
    assert found.shape == (40, 1)
    status, _, err = run("predict", model, fresh, "--out", tmp_path / "out.xlsx")
    assert status == 2 and ".parquet" in err


# --------------------------------------------------------------------------- the table is checked
def test_missing_columns_are_named(run, network, tmp_path):
    model, fresh = network("rent")
    pandas.read_csv(fresh).drop(columns=["size", "town"]).to_csv(fresh, index=False)
    status, out, err = run("predict", model, fresh)
    assert status == 2 and out == ""
    assert "2 columns that the network reads: size, town" in err


def test_other_columns_and_levels_are_told(run, network):
    model, fresh = network("rent")
    frame = pandas.read_csv(fresh)
    frame["colour"], frame["rent"] = "red", 1.0
    frame.loc[:2, "town"] = "Paris"
    frame.to_csv(fresh, index=False)
    status, _, err = run("predict", model, fresh)
    assert status == 0
    assert "left out: colour" in err and "rent" not in err
    assert "column 'town' has levels not seen in training in 3 rows" in err


def test_columns_of_another_kind_are_refused(run, network):
    model, fresh = network("rent")
    frame = pandas.read_csv(fresh)
    frame["size"] = "large"
    frame.to_csv(fresh, index=False)
    status, out, err = run("predict", model, fresh)
    assert status == 2 and out == "" and "'size'" in err and "large" in err


def test_texts_that_mean_no_value_are_kept(run, network, tmp_path):
    model, fresh = network("rent", "--missing", "unknown")
    frame = pandas.read_csv(fresh, dtype={"size": object})
    frame.loc[0, "size"] = "unknown"
    frame.to_csv(fresh, index=False)
    assert run("predict", model, fresh, "--out", tmp_path / "a.csv")[0] == 0
    frame.loc[0, "size"] = "secret"
    frame.to_csv(fresh, index=False)
    assert run("predict", model, fresh)[0] == 2
    assert run("predict", model, fresh, "--missing", "secret", "--out", tmp_path / "b.csv")[0] == 0
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


# --------------------------------------------------------------------------- show
def test_show(run, network):
    model, _ = network("rent", "--unit", "rent=EUR", "--unit", "size=m2")
    status, out, err = run("show", model)
    assert (status, err) == (0, "")
    for words in ("hidden_1 (Dense)", "flats.csv", "Target: 'rent', regression, in EUR", "Bonn, Oslo, Rome"):
        assert words in out
    (size,) = [line for line in out.splitlines() if line.startswith("  size")]
    assert size.split()[:4] == ["size", "number", "float64", "m2"]
    history = load_model(model).history
    assert "Latest training: 40 epochs" in out and "Optimizer: adam 0.001" in out
    assert f"{history.history['loss'][0]:.5g}" in out and f"{history.history['loss'][-1]:.5g}" in out


def test_show_and_predict_a_model_without_a_table(run, tmp_path, network):
    path = tmp_path / "plain.fastnn"
    model = Sequential([Dense(1, input_shape=(2,))], name="plain")
    model.save(path)
    status, out, _ = run("show", path)
    assert status == 0 and 'Model: "plain"' in out and "Not compiled." in out
    model.compile("sgd", "mse")
    model.save(path)
    assert "Optimizer: sgd 0.01" in run("show", path)[1]
    _, fresh = network("rent")
    status, _, err = run("predict", path, fresh)
    assert status == 2 and "fastnn fit --save" in err


# --------------------------------------------------------------------------- mistakes
def test_where_a_network_cannot_be_saved_nothing_is_trained(run, tmp_path):
    for path, words in (
        ("model.pickle", "*.fastnn"),
        (tmp_path / "missing" / "model.fastnn", "No such folder"),
        (tmp_path, "*.fastnn"),
    ):
        status, out, err = run("fit", "--save", path)
        assert status == 2 and out == "" and words in err
    (tmp_path / "folder.fastnn").mkdir()
    assert run("fit", "--save", tmp_path / "folder.fastnn")[0] == 2
    status, _, err = run("fit", "--unit", "EUR")
    assert status == 2 and "COLUMN=UNIT" in err


def test_unknown_columns_have_no_unit(run, tmp_path):
    flats().to_csv(tmp_path / "flats.csv", index=False)
    status, _, err = run("fit", tmp_path / "flats.csv", "--target", "rent", "--unit", "sice=m2")
    assert status == 2 and "Did you mean 'size'?" in err


@pytest.mark.parametrize("command", ["predict", "show"])
def test_damaged_files(run, network, tmp_path, command):
    model, fresh = network("rent")
    rest = [fresh] if command == "predict" else []
    whole = model.read_bytes()
    for data in (whole[:-1], b"", whole[:100] + b"?" + whole[101:]):
        model.write_bytes(data)
        status, out, err = run(command, model, *rest)
        assert status == 2 and out == "" and str(model) in err and "Traceback" not in err
    assert run(command, tmp_path / "missing.fastnn", *rest)[0] == 2
    model.write_bytes(whole)
    arrays, content = container.read(model)
    for schema in (
        3,
        {},
        {**content["schema"], "format": 9},
        {**content["schema"], "columns": {"columns": []}},
    ):
        container.write(model, arrays, {**content, "schema": schema})
        status, _, err = run(command, model, *rest)
        assert status == 2 and "columns of its table" in err
