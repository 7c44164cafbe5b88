"""The example of a real table runs, writes its figures, and says what its page says."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

for package in ("pandas", "sklearn", "statsmodels", "matplotlib"):
    pytest.importorskip(package)
EXAMPLE = Path(__file__).parent.parent / "examples" / "06_tabular.py"


def test_it_runs_and_writes_its_figures(tmp_path, capsys):
    rows = runpy.run_path(str(EXAMPLE))["main"](["--quick", "--out", str(tmp_path)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["06_tabular.png", "06_tabular_network.png"]
    shown = capsys.readouterr().out
    assert "6,366 rows: 3,820 to train on" in shown and all(name in shown for name in rows)
    auc = {name: float(cells[0]) for name, cells in rows.items()}
    mean = {name: float(cells[4]) for name, cells in rows.items()}
    assert auc["network, embeddings"] > 0.65  # after three epochs
    assert auc["the latter, weights undone"] == auc["same, balanced class weights"]
    assert mean["same, balanced class weights"] > mean["network, embeddings"] + 0.08
    assert abs(mean["the latter, weights undone"] - 0.323) < 0.03


def test_undoing_class_weights_is_bayes_rule():
    """Rows of class 1 three times as heavy: a probability of 0.4 is said to be 1.2 / 1.8."""
    undo = runpy.run_path(str(EXAMPLE))["without_weights"]
    np.testing.assert_allclose(undo(np.array([1.2 / 1.8]), {0: 1.0, 1: 3.0}), 0.4)
