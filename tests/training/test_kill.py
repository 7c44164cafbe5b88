"""SIGKILL at random moments: every training, resumed, ends with the certificate of one that ran through."""

from __future__ import annotations

import os

import pytest
from kill_many import campaign


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forked")
@pytest.mark.slow
def test_two_hundred_kills(tmp_path):
    outcome = campaign(200, tmp_path)
    assert outcome.wrong == []
    assert outcome.kills == 200
    assert outcome.resumed > 50, "too few kills found a backup for this to say much"
    assert outcome.trainings >= 10, "too few trainings have ended for this to say much"
