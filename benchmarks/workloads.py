"""What is measured: one `Workload` record per line of the table, with its data, its start and its judge.

A workload fixes everything a result could depend on (network, data, optimizer, batch, number type, seed,
first weights), and every rival reads it from here. The judge is here too: a rival hands back its weights
after `check_epochs` epochs, and `evaluate` computes the losses from them in NumPy float64 without dropout,
so no rival is judged by its own idea of "training loss".
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

Weights = list[tuple[np.ndarray, np.ndarray]]  # one (kernel of shape (inputs, outputs), bias) per dense layer


@dataclass(frozen=True)
class Workload:
    """One training task. Hashable, so a compiler may take it as a static argument."""

    name: str
    data: str  # name of the function below that makes the table
    rows: int
    sizes: tuple[int, ...]  # units per layer, inputs first
    activation: str  # of the hidden layers: "relu" or "sigmoid"
    loss: str  # "binary_crossentropy" (one sigmoid unit) or "sparse_categorical_crossentropy" (softmax)
    optimizer: str  # "sgd", "rmsprop" or "adam"
    optimizer_args: tuple[tuple[str, float], ...]  # in Keras' names; handed to every rival, no defaults used
    batch_size: int
    dropout: float = 0.0  # after each hidden layer
    dtype: str = "float32"
    seed: int = 7
    # "steps": time a step of one long training. "fresh": time build + compile + `epochs` epochs of a new
    # model. "first_fit": a new process, from its first import to the end of its first fit.
    kind: str = "steps"
    epochs: int = 1  # length of the training for "fresh" and "first_fit"
    vary_width: bool = False  # "fresh": each model has another hidden width, so no compiled step fits twice
    check_epochs: int = 1  # the quality check looks at the loss after this many epochs ...
    tolerance: float = 0.0  # ... which may differ from the reference by this much at most (nats)
    threads: tuple[int, ...] = (1, 2)  # thread counts for which the row makes sense
    devices: tuple[str, ...] = ("cpu",)  # where it is run by default
    notes: str = field(default="", compare=False)

    @property
    def shuffle(self) -> bool:
        return self.batch_size < self.rows  # the order of the rows of a full batch is of no consequence

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.rows // self.batch_size)  # a last, smaller batch is a step too

    @property
    def params(self) -> dict[str, float]:
        return dict(self.optimizer_args)

    @property
    def step_flops(self) -> int:
        """Floating point operations of a step's matrix products: forward, weight gradient, input gradient.

        The first layer's input gradient is wanted by nobody.
        """
        pairs = [a * b for a, b in zip(self.sizes, self.sizes[1:], strict=False)]
        return 2 * self.batch_size * (3 * sum(pairs) - pairs[0])

    @property
    def step_bytes(self) -> int:
        """Bytes of a step if caches were perfect: its rows, and parameters, gradients and state.

        Parameters are read forward and by the update, gradients once; the update writes parameters, the
        backward pass gradients; state is read and written.
        """
        parameters = sum((a + 1) * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))
        slots = 2 if self.optimizer == "adam" else 1
        numbers = self.batch_size * (self.sizes[0] + 1) + parameters * (5 + 2 * slots)
        return numbers * np.dtype(self.dtype).itemsize

    def describe(self) -> dict[str, Any]:
        return asdict(self) | {"steps_per_epoch": self.steps_per_epoch, "step_flops": self.step_flops,
                               "step_bytes": self.step_bytes}  # fmt: skip


# --- data -----------------------------------------------------------------------------------------------


def circles(rng: np.random.Generator, rows: int, _: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Two noisy circles, the inner a tenth of the outer's radius, noise .1 (scikit-learn's make_circles)."""
    y = np.arange(rows) % 2
    angle = rng.uniform(0, 2 * np.pi, rows)
    radius = np.where(y == 1, 0.1, 1.0)
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return X + rng.normal(0, 0.1, X.shape), y


def returns(rng: np.random.Generator, rows: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Predict the sign of a return from correlated, fat-tailed features: a weak, partly non-linear signal."""
    columns = sizes[0]
    # The table's law (loadings, coefficients) has its own stream: training and held-out rows share it.
    law = np.random.default_rng(45)
    loadings = law.normal(0, 0.5, (5, columns))
    linear = law.normal(0, 1, columns) / np.sqrt(columns)
    X = rng.normal(size=(rows, 5)) @ loadings + rng.standard_t(5, (rows, columns)) * 0.7
    X /= np.sqrt((loadings**2).sum(0) + 0.7**2 * 5 / 3)
    score = 0.5 * (X @ linear) + 0.3 * np.tanh(X[:, 0] * X[:, 1]) + 0.2 * np.abs(X[:, 2]) - 0.15
    return np.clip(X, -5, 5), (rng.logistic(size=rows) < score).astype(np.int64)


def random_table(
    rng: np.random.Generator, rows: int, sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Independent normal columns; the class is the largest of noisy random linear scores."""
    law = np.random.default_rng(512)
    scores = law.normal(size=(sizes[0], max(sizes[-1], 2)))
    X = rng.normal(size=(rows, sizes[0]))
    noisy = X @ scores + rng.normal(size=(rows, scores.shape[1])) * np.sqrt(sizes[0])
    return X, noisy.argmax(1)


TABLES = {f.__name__: f for f in (circles, returns, random_table)}


def make_data(w: Workload, held_out: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The workload's table: X (rows, inputs) in its dtype, y (rows,) int64 class indices; C-contiguous."""
    rows = max(w.rows // 4, 1000) if held_out else w.rows
    X, y = TABLES[w.data](np.random.default_rng([w.seed, held_out]), rows, w.sizes)
    return np.ascontiguousarray(X, dtype=w.dtype), np.ascontiguousarray(y, dtype=np.int64)


def fingerprint(X: np.ndarray, y: np.ndarray) -> str:
    return hashlib.sha256(X.tobytes() + y.tobytes()).hexdigest()[:16]


def initial_weights(w: Workload) -> Weights:
    """Glorot uniform kernels, zero biases: the same start for every rival."""
    rng = np.random.default_rng(w.seed)
    pairs = list(zip(w.sizes, w.sizes[1:], strict=False))
    limits = [np.sqrt(6 / (a + b)) for a, b in pairs]
    return [(rng.uniform(-m, m, ab).astype(w.dtype), np.zeros(ab[1], w.dtype))
            for ab, m in zip(pairs, limits, strict=True)]  # fmt: skip


# --- the judge ------------------------------------------------------------------------------------------


def evaluate(w: Workload, weights: Weights, X: np.ndarray, y: np.ndarray) -> float:
    """Mean cross-entropy in nats of the network with these weights, in float64, dropout off."""
    h = X.astype(np.float64)
    for i, (kernel, bias) in enumerate(weights):
        h = h @ kernel.astype(np.float64) + bias
        if i < len(weights) - 1:
            h = np.maximum(h, 0) if w.activation == "relu" else 1 / (1 + np.exp(-h))
    if h.shape[1] == 1:  # one logit: the other class has logit 0
        h = np.concatenate([np.zeros_like(h), h], axis=1)
    h -= h.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(h).sum(1)) - h[np.arange(len(y)), y]))


# --- the list -------------------------------------------------------------------------------------------

ADAM = ("adam", (("learning_rate", 1e-3), ("beta_1", 0.9), ("beta_2", 0.999), ("epsilon", 1e-7)))
RMSPROP = ("rmsprop", (("learning_rate", 1e-2), ("rho", 0.9), ("epsilon", 1e-7)))
BOTH = ("cpu", "gpu")
BCE, CCE = "binary_crossentropy", "sparse_categorical_crossentropy"


def _returns(name: str, **changes: Any) -> Workload:
    base: dict[str, Any] = {
        "data": "returns", "rows": 64_000, "sizes": (45, 64, 64, 1), "activation": "relu", "loss": BCE,
        "optimizer": ADAM[0], "optimizer_args": ADAM[1], "batch_size": 32, "dropout": 0.5,
        # Twelve seeds of one library spread by 0.0018 with dropout, 0.0008 without: three times the spread of
        # the difference of two runs.
        "check_epochs": 3, "tolerance": 0.008,
    }  # fmt: skip
    if changes.get("dropout") == 0.0:
        base["tolerance"] = 0.004
    return Workload(name, **base | changes)


def _fresh(name: str, **changes: Any) -> Workload:
    base: dict[str, Any] = {
        "data": "random_table", "rows": 1_000, "sizes": (20, 32, 1), "activation": "relu", "loss": BCE,
        "optimizer": ADAM[0], "optimizer_args": ADAM[1], "batch_size": 32, "kind": "fresh", "epochs": 10,
        "check_epochs": 10, "tolerance": 0.01,
    }  # fmt: skip
    return Workload(name, **base | changes)


_ALL = [
    # A learning rate of 5 on the mean loss of 50,000 rows is 1e-4 on the summed loss.
    Workload("circles_full", "circles", 50_000, (2, 3, 2), "sigmoid", CCE,
             "sgd", (("learning_rate", 5.0), ("momentum", 0.5)), 50_000, check_epochs=100, tolerance=0.002,
             devices=BOTH),
    Workload("circles_b128", "circles", 50_000, (2, 3, 2), "sigmoid", CCE, *RMSPROP, 128,
             check_epochs=2, tolerance=0.01, devices=BOTH),
    _returns("returns_b32", devices=BOTH),
    _returns("returns_b32_nodropout", dropout=0.0),
    _returns("returns_b512", batch_size=512, check_epochs=20, devices=BOTH),
    _returns("returns_b512_nodropout", batch_size=512, check_epochs=20, dropout=0.0),
    _returns("returns_b8192", batch_size=8192, check_epochs=100, dropout=0.0, devices=("gpu",)),
    Workload("wide_b256", "random_table", 8_192, (512, 1024, 1024, 10), "relu", CCE,
             "adam", (("learning_rate", 3e-4), *ADAM[1][1:]), 256, tolerance=0.06,
             devices=BOTH),
    _fresh("fresh_small"),
    _fresh("fresh_widths", vary_width=True, notes="as fresh_small, but no two models have the same shapes"),
    _fresh("first_fit", kind="first_fit", threads=(1,)),
]  # fmt: skip
WORKLOADS = {w.name: w for w in _ALL}
