"""A training that was interrupted and resumed is, bit for bit, one that was not."""

from __future__ import annotations

import pytest
from resume_cases import CASES, EPOCHS, STEPS, assert_same, resumed, trace


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Return the trace of a case that runs through, made once."""
    found = {}

    def get(name):
        if name not in found:
            folder = tmp_path_factory.mktemp("whole")
            found[name] = trace(CASES[name].run(folder), folder)
        return found[name]

    return get


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("save_freq", ["epoch", 4])
def test_same_bits_wherever_it_is_cut(name, save_freq, uninterrupted, tmp_path):
    steps = CASES[name].fit.get("steps_per_epoch", STEPS)
    for at in range(1, EPOCHS * steps + 1, 3):
        folder = tmp_path / str(at)
        folder.mkdir()
        run = resumed(CASES[name], folder, at, save_freq=save_freq)
        assert_same(trace(run, folder), uninterrupted(name))
        assert not (folder / "backup").exists()
