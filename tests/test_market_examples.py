"""The examples on returns and on the S&P 500 run, and print what their pages say."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")
pytest.importorskip("skfolio")
pytest.importorskip("great_tables")
EXAMPLES = Path(__file__).parents[1] / "examples"


def main_of(name):
    return runpy.run_path(str(EXAMPLES / name))["main"]


def test_returns(tmp_path, capsys):
    results = main_of("04_returns.py")(["--quick", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert (tmp_path / "04_returns.png").stat().st_size > 10_000
    assert "7,420 rows x 67 features" in out and "walk-forward mean" in out
    pooled = {name: values[1][0] for name, values in results.items()}  # of the logistic regression
    assert abs(pooled["walk-forward mean"] - 0.5) < 0.05 < pooled["random rows"] - 0.5


def test_sp500(tmp_path, capsys):
    pytest.importorskip("statsmodels")
    scores = main_of("05_sp500.py")(["--quick", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert "252 to train, 120 to validate, 240 to test" in out
    assert scores["single-layer network"] == pytest.approx(scores["least squares"], abs=1e-2)
    assert {path.name for path in tmp_path.iterdir()} == {"05_sp500.png", "05_sp500_large.png"}
    difference = float(out.split("largest difference:")[1].split()[0])
    assert difference < 1e-2 and np.isfinite(list(scores.values())).all()
