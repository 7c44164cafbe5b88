"""Our callbacks decide as Keras' did when the table was recorded, but where the table says why not."""

from __future__ import annotations

import json

import pytest
from decisions import STEPS, TABLE, cases, replay

from fastnn import callbacks
from fastnn.callbacks import CallbackList

RECORDED = json.loads(TABLE.read_text())


def name(case):
    arguments = ", ".join(f"{key}={value}" for key, value in case["arguments"].items())
    return f"{case['callback']}({arguments}) on {case['values']}"


def due_batches(callback, epoch, logs):
    """Call the batches that are due, as the trainer does."""
    calls = CallbackList([callback], callback.model, callback.params).batches(STEPS)
    for done in range(epoch * STEPS + 1, (epoch + 1) * STEPS + 1):
        if calls and calls.due(done):
            calls.end(done, dict(logs))


@pytest.mark.parametrize("case", RECORDED["cases"], ids=name)
def test_decision(case):
    decided = replay(callbacks, case, due_batches, more=True)
    expected = case["ours"].get("decisions", case["keras"])
    assert decided.keys() == expected.keys()
    for key, value in expected.items():
        assert decided[key] == (pytest.approx(value, rel=1e-6) if key == "rates" else value), key
    if case["ours"]:
        assert case["ours"]["decisions"] != case["keras"], "no difference any more"


def test_the_table_is_of_these_cases():
    """Whoever adds a case records it."""
    unrecorded = [{**case, "keras": None} for case in RECORDED["cases"]]
    assert json.dumps(unrecorded) == json.dumps([{**case, "keras": None} for case in cases()])
    assert len(RECORDED["cases"]) >= 40
    assert {case["callback"] for case in RECORDED["cases"]} == {
        "EarlyStopping", "LearningRateScheduler", "ModelCheckpoint", "ReduceLROnPlateau",
    }  # fmt: skip
