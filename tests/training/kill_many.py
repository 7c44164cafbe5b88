"""Kills trainings at random moments, resumes each until it ends, and compares it with one that ran through.

    PYTHONPATH=. python tests/training/kill_many.py --runs 2000

A child is forked for each run, with kernels compiled and everything imported, so that a run takes
milliseconds. It is killed by SIGKILL, after a delay that is uniform over the time a whole run takes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastnn import layers, optimizers
from fastnn.callbacks import BackupAndRestore, CSVLogger, EarlyStopping, ReduceLROnPlateau
from fastnn.models import Sequential

RNG = np.random.default_rng(5)
X = RNG.standard_normal((50, 6)).astype(np.float32)
Y = (X[:, :1] + 0.5 * RNG.standard_normal((50, 1)) > 0).astype(np.float32)
#: Ways to back up, taken in turns.
BACKUPS = (
    {},
    {"save_freq": 3},
    {"save_freq": 5, "double_checkpoint": True},
    {"double_checkpoint": True},
    {"save_freq": 1},
)
RESULT = "result"


def train(folder: Path, backup: dict | None = None) -> str:
    """Train a small network with callbacks that carry state; returns certificate, history and log."""
    model = Sequential(
        [layers.Dense(8, "relu", input_shape=(6,)), layers.Dropout(0.3), layers.Dense(1, "sigmoid")], seed=3
    )
    model.compile(optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy", "AUC"])
    callbacks = [
        EarlyStopping("val_loss", patience=4, restore_best_weights=True),
        ReduceLROnPlateau("val_loss", factor=0.5, patience=1),
        CSVLogger(folder / "log.csv"),
    ]
    if backup is not None:
        callbacks.append(BackupAndRestore(folder / "backup", **backup))
    history = model.fit(
        X, Y, 8, 8, verbose=0, callbacks=callbacks, validation_split=0.2, threads=1
    )  # fmt: skip
    log = (folder / "log.csv").read_text()
    return f"{history.certificate()}\n{sorted(history.history.items())}\n{log}"


def child(folder: Path, backup: dict) -> int:
    """Start a training in a process of its own; returns its number."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        result = train(folder, backup)
        (folder / "new").write_text(result)
        os.replace(folder / "new", folder / RESULT)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


class Outcome(NamedTuple):
    """What a campaign saw."""

    kills: int
    trainings: int
    resumed: int
    wrong: list[str]


def campaign(kills: int, folder: Path, seed: int = 0) -> Outcome:
    """Kill so many times; every training that was killed is resumed until it ends.

    Raises
    ------
    RuntimeError
        If a run ends by itself in any way but well.
    """
    rng = np.random.default_rng(seed)
    expected = train(_fresh(folder / "whole"))
    started = time.perf_counter()
    assert os.waitpid(child(_fresh(folder / "timed"), {}), 0)[1] == 0
    duration = time.perf_counter() - started
    done, trainings, resumed, wrong = 0, 0, 0, []
    while done < kills:
        place = _fresh(folder / "run")
        backup = BACKUPS[trainings % len(BACKUPS)]
        trainings += 1
        while not (place / RESULT).exists():
            pid = child(place, backup)
            time.sleep(rng.uniform(0, 1.2) * duration)
            if done < kills:
                os.kill(pid, signal.SIGKILL)  # it is not waited for yet, so the number is still its own
            status = os.waitpid(pid, 0)[1]
            if os.WIFSIGNALED(status):
                done += 1
                resumed += any((place / "backup").glob("*.fastnn"))
            elif status:
                raise RuntimeError(f"A run with {backup} failed after {done} kills.")
        if (place / RESULT).read_text() != expected:
            wrong.append(f"training {trainings}, {backup}")
        left = [path.name for path in (place / "backup").glob("*")] if (place / "backup").exists() else []
        if left:
            wrong.append(f"training {trainings}, {backup}: left {left}")
    return Outcome(done, trainings, resumed, wrong)


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main() -> int:
    """Run a campaign and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2000, help="how many kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        outcome = campaign(options.runs, Path(folder), options.seed)
    print(
        f"{outcome.kills} kills in {outcome.trainings} trainings, {outcome.resumed} of them with a backup to "
        f"resume from, {time.perf_counter() - started:.0f} s: {len(outcome.wrong)} results differ"
    )
    print(*outcome.wrong, sep="\n")
    return bool(outcome.wrong)


if __name__ == "__main__":
    sys.exit(main())
