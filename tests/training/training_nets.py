"""Networks the tests of reproducibility and robustness train, and digests of what came out."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import fastnn
from fastnn import layers, optimizers, regularizers
from fastnn.models import Sequential

PACKAGE = Path(fastnn.__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent


def table(rows, columns, seed=0):
    """Return inputs and targets that can be learned."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, columns), dtype=np.float32)
    y = np.tanh(x @ rng.standard_normal((columns, 1), dtype=np.float32))
    return x, y


def narrow(seed=1):
    """Blocks of (units, rows), full batch."""
    model = Sequential(
        [layers.Dense(8, "tanh", input_shape=(4,)), layers.Dense(8, "sigmoid"), layers.Dense(1)], seed=seed
    )
    model.compile(optimizers.SGD(0.05, momentum=0.9), "mse", metrics=["mae"])
    return model, *table(20_000, 4), {"batch_size": 20_000, "epochs": 5}


def dropout(seed=1):
    """Row-major blocks, shuffled, a partial last batch."""
    model = Sequential(
        [
            layers.Dense(64, "relu", input_shape=(10,)),
            layers.Dropout(0.3),
            layers.Dense(64, "relu"),
            layers.Dense(1),
        ],
        seed=seed,
    )
    model.compile(optimizers.Adam(0.01), "mse")
    return model, *table(1_300, 10), {"batch_size": 512, "epochs": 3}


def normalized(seed=1):
    """Statistics of the whole batch."""
    model = Sequential(
        [
            layers.Dense(32, input_shape=(10,)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GaussianNoise(0.1),
            layers.Dense(1),
        ],
        seed=seed,
    )
    model.compile("rmsprop", "mse")
    return model, *table(1_300, 10), {"batch_size": 512, "epochs": 3}


def large(seed=1):
    """Enough weights for the team to share the update; penalties, an average, a joint norm."""
    model = Sequential(
        [
            layers.Dense(256, "relu", input_shape=(64,), kernel_regularizer=regularizers.L1L2(1e-5, 1e-4)),
            layers.Dense(128, "tanh", activity_regularizer="l2"),
            layers.Dense(1),
        ],
        seed=seed,
    )
    model.compile(optimizers.AdamW(0.001, use_ema=True, ema_momentum=0.9, global_clipnorm=0.5), "huber")
    return model, *table(2_300, 64), {"batch_size": 1_024, "epochs": 2}


def wide(seed=1):
    """Products that the team shares, in parts of unequal width."""
    model = Sequential(
        [
            layers.Dense(300, "relu", input_shape=(64,)),
            layers.Dropout(0.2),
            layers.Dense(260, "tanh"),
            layers.Dense(3),
            layers.Dense(1),
        ],
        seed=seed,
    )
    model.compile(optimizers.Adam(0.001), "mse", metrics=["mae"])
    return model, *table(2_300, 64), {"batch_size": 1_000, "epochs": 2}


def wide_normalized(seed=1):
    """Shared products of a batch that must be one block."""
    model = Sequential(
        [
            layers.Dense(320, input_shape=(64,)),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dense(256, "relu"),
            layers.Dense(1),
        ],
        seed=seed,
    )
    model.compile("sgd", "mse")
    return model, *table(1_300, 64), {"batch_size": 1_200, "epochs": 2}


def small(seed=1):
    """A model of no cost, batches of 32."""
    model = Sequential([layers.Dense(8, "relu", input_shape=(6,)), layers.Dense(1)], seed=seed)
    model.compile("adam", "mse")
    return model, *table(64, 6), {"batch_size": 32, "epochs": 1}


NETS = {
    "narrow": narrow,
    "dropout": dropout,
    "normalized": normalized,
    "large": large,
    "wide": wide,
    "wide_normalized": wide_normalized,
    "small": small,
}


def digest(*arrays):
    """Return a hash of the bits of arrays and lists of numbers."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def trained(name, threads=None, seed=1):
    """Train one of the networks; returns a digest of weights, history and predictions."""
    model, x, y, options = NETS[name](seed)
    history = model.fit(x, y, verbose=0, threads=threads, **options)
    return digest(*model.get_weights(), *history.history.values(), model.predict(x, threads=threads))


def trained_small(seed):
    """Train the small network (a function that a pool of processes can import)."""
    return trained("small", seed=seed)


def run_script(source, *arguments, folder, timeout=120):
    """Run a script in its own process, with this folder and the package importable; returns its output."""
    path = Path(folder) / "script.py"
    path.write_text(source)
    done = subprocess.run(
        [sys.executable, str(path), *map(str, arguments)],
        env=environment(), capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def environment():
    """Return the environment of such a process."""
    paths = [str(HERE), str(PACKAGE), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
