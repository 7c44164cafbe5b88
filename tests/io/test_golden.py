"""Files that earlier releases wrote still load, and say what they said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.models import load_model

GOLDEN = Path(__file__).parent / "golden"
RELEASES = sorted(path.name for path in GOLDEN.iterdir() if (path / "expected.json").exists())
CASES = [
    (release, name)
    for release in RELEASES
    for name in json.loads((GOLDEN / release / "expected.json").read_text(encoding="utf-8"))
]
#: Elementary functions and sums may round otherwise on another processor; whole numbers may not.
TOLERANCE = {"exact": 0.0, "trained": 1e-6, "graph": 1e-6}


def load(release, name):
    return load_model(GOLDEN / release / f"{name}.fastnn")


def test_this_release_has_golden_files():
    assert fastnn.__version__ in RELEASES, "run tests/io/golden/write_golden.py"


@pytest.mark.parametrize(("release", "name"), CASES)
def test_golden_files_predict_what_they_did(release, name):
    expected = json.loads((GOLDEN / release / "expected.json").read_text(encoding="utf-8"))[name]
    model = load(release, name)
    inputs = [np.array(array) for array in expected["inputs"]]
    found = model.predict(inputs if len(inputs) > 1 else inputs[0])
    found = found if isinstance(found, dict) else {"output": found}
    assert found.keys() == expected["outputs"].keys()
    for key, values in expected["outputs"].items():
        np.testing.assert_allclose(found[key], values, rtol=0, atol=TOLERANCE[name])


@pytest.mark.parametrize("release", RELEASES)
def test_golden_files_keep_what_belongs_to_training(release):
    model = load(release, "trained")
    assert model.optimizer.name == "adamw" and model.optimizer.clipnorm == 1.0
    assert (model._state.step, model._state.epoch, model._state.names) == (6, 3, ("momentum", "velocity"))
    assert model.metrics_names == ["loss", "accuracy", "auc"]
    assert list(model.history.history) == ["loss", "accuracy", "auc"] and model.history.epoch == [0, 1, 2]
    assert model.schema == {"format": 1, "columns": ["a", "b", "ü"]}
    model.fit(np.ones((4, 3)), np.ones(4), epochs=4, initial_epoch=3, verbose=0)
    graph = load(release, "graph")
    assert "average" in graph._state.names and graph.dtype == "float64" and graph.seed == 3
    graph.load_weights(GOLDEN / release / "weights.fastnn")
