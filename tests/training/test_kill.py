"""SIGKILL at random moments: every training, resumed, ends with the certificate of one that ran through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

CAMPAIGN = Path(__file__).with_name("kill_many.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")
@pytest.mark.slow
def test_two_hundred_kills():
    """In a process of its own: to fork one that has run thousands of tests takes longer than a training."""
    command = [sys.executable, str(CAMPAIGN), "--runs", "200"]
    environment = {**os.environ, "PYTHONPATH": str(Path(fastnn.__file__).parents[1])}
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=environment)
    found = re.match(r"(\d+) kills in (\d+) trainings, (\d+) of them", run.stdout)
    assert run.returncode == 0 and found, run.stdout + run.stderr
    kills, trainings, resumed = map(int, found.groups())
    assert kills == 200
    assert resumed > 50, "too few kills found a backup for this to say much"
    assert trainings >= 10, "too few trainings have ended for this to say much"
