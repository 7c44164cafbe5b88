"""``fastnn returns`` and ``fastnn sp500``: what they print, draw and refuse."""

from __future__ import annotations

import re

import numpy as np
import pytest

pandas = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


@pytest.fixture
def prices(tmp_path):
    """Write monthly closes of eight stocks that follow their last return."""
    rng = np.random.default_rng(0)
    months, stocks = 84, 8
    z = rng.normal(size=(months, stocks))
    for month in range(1, months):
        z[month] = 0.6 * z[month - 1] + 0.8 * z[month]
    dates = pandas.period_range("2010-01", periods=months, freq="M").to_timestamp(how="end").normalize()
    table = pandas.DataFrame(100 * np.exp(0.05 * z.cumsum(axis=0)), dates, [f"S{i}" for i in range(stocks)])
    path = tmp_path / "closes.csv"
    table.to_csv(path, index_label="date")
    return path


def numbers(out, name):
    line = next(line for line in out.splitlines() if line.strip().startswith(name))
    return [float(text) for text in re.findall(r"-?\d+\.\d+", line)]


def test_returns_on_a_file(run, prices, tmp_path):
    figure = tmp_path / "returns.png"
    arguments = ("returns", "--prices", prices, "--lags", 6, "--epochs", 20, "--folds", 2, "--hidden", "8")
    status, out, err = run(*arguments, "--dropout", 0, "--out", figure)
    assert (status, err) == (0, "") and figure.stat().st_size > 10_000
    assert "8 stocks, 616 windows x 25, targets 2010-08 to 2016-12" in out
    assert "first months, lags only: 6" in out
    for name in ("random", "last year", "walk-forward 1", "walk-forward, mean"):
        pooled, linear, *_ = numbers(out[out.index("AUC, rows") :], name)
        assert pooled > 0.6 and linear > 0.6  # the signal is strong: 0.79 is the most that there is
    again = run(*arguments, "--dropout", 0, "--out", figure, "--quiet")[1]
    assert numbers(again, "last year") == numbers(out[out.index("AUC, rows") :], "last year")


def test_returns_refuses_before_training(run, prices, tmp_path):
    for arguments, message in (
        (("--out", tmp_path / "figure.doc"), "suffix of a figure"),
        (("--out", tmp_path / "none" / "figure.png"), "No such folder"),
        (("--prices", tmp_path / "none.csv"), "No such file"),
        (("--prices", prices, "--lags", 90), "90 lags and a target need at least 91 months"),
        (
            ("--prices", prices, "--start", "2016-06", "--out", tmp_path / "a.png"),
            "Expected target months of two",
        ),
        (("--prices", prices, "--key", "us"), "`key` names a table within an HDF5 file"),
    ):
        status, out, err = run("returns", *arguments)
        assert status == 2 and message in err and "trained" not in out, arguments


def test_sp500_by_default(run, tmp_path):
    pytest.importorskip("skfolio")
    pytest.importorskip("great_tables")
    figure = tmp_path / "sp500.png"
    status, out, err = run("sp500", "--epochs", 5, "--out", figure)
    assert (status, err) == (0, "") and figure.stat().st_size > 10_000
    assert "252 months to train on, 120 to validate (from 1991-01), 240 to test (from 2001-01)" in out
    assert numbers(out, "least squares") == [0.7007, 0.632]
    assert numbers(out, "the close as it is")[0] == 0.7389
    assert numbers(out, "network")[0] < 1.0


def test_sp500_on_a_file(run, prices, tmp_path):
    figure = tmp_path / "sp500.png"
    file = ("--prices", prices, "--out", figure, "--quiet", "--epochs", 2)
    status, _, err = run("sp500", *file)
    assert status == 2 and "expected one column of closes. Received: S0, S1" in err
    status, _, err = run("sp500", *file, "--price", "S1")
    assert status == 2 and "No month from None to 1990-12" in err and "2011-08-31 to 2016-12-31" in err
    status, out, _ = run("sp500", *file, "--price", "S1", "--validate", 2014, "--test", "2015-07")
    assert status == 0 and "29 months to train on, 18 to validate" in out
