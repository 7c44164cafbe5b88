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
    activation: str  # of the hidden layers: "relu", "sigmoid" or "tanh"
    loss: (
        str  # "binary_crossentropy" (one sigmoid unit), "sparse_categorical_crossentropy" (softmax) or "mse"
    )
    optimizer: str  # "sgd", "rmsprop" or "adam"
    optimizer_args: tuple[tuple[str, float], ...]  # in Keras' names; handed to every rival, no defaults used
    batch_size: int
    dropout: float = 0.0  # after each hidden layer
    dtype: str = "float32"
    seed: int = 7
    # "steps": time a step of one long training. "fresh": time build + compile + `epochs` epochs of a new
    # model. "first_fit": a new process, from its first import to the end of its first fit. "many": `count`
    # models of the same shape at once. "predict": a pass over the table, `batch_size` rows a call.
    kind: str = "steps"
    epochs: int = 1  # length of the training for "fresh" and "first_fit"
    count: int = 1  # models of "many"
    vary_width: bool = False  # "fresh": each model has other hidden widths, so no compiled step fits twice
    check_epochs: int = 1  # the quality check looks at the loss after this many epochs ...
    tolerance: float = 0.0  # ... which may differ from the reference by this much at most (nats)
    threads: tuple[int, ...] = (1, 2)  # thread counts for which the row makes sense
    group: str = "training"  # heading on the page
    rivals: tuple[
        str, ...
    ] = ()  # who runs when nobody is named; () is all. With more threads: fewer, see below
    sweep: tuple[str, float] = ("", 0.0)  # the varied quantity and its value, for curves and fitted slopes
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
        products = sum(pairs) if self.kind == "predict" else 3 * sum(pairs) - pairs[0]
        return 2 * self.batch_size * products

    def describe(self) -> dict[str, Any]:
        derived = ("steps_per_epoch", "step_flops", "step_exps", "step_bytes", "gpu_step_bytes",
                   "resident_bytes", "parameters")  # fmt: skip
        return asdict(self) | {name: getattr(self, name) for name in derived}

    @property
    def parameters(self) -> int:
        return sum((a + 1) * b for a, b in zip(self.sizes, self.sizes[1:], strict=False))

    @property
    def step_exps(self) -> int:
        """Exponentials and logarithms of a step: one a squashed unit, and the loss's."""
        hidden = 0 if self.activation == "relu" else sum(self.sizes[1:-1])
        outputs = {"mse": 0, "binary_crossentropy": 2}.get(self.loss, self.sizes[-1] + 1)
        if self.kind == "predict":
            outputs = {"mse": 0, "binary_crossentropy": 1}.get(self.loss, self.sizes[-1])
        return self.batch_size * (hidden + outputs)

    @property
    def step_bytes(self) -> dict[str, int]:
        """What a step must read and write at least: its rows, and the parameters with the optimizer's state.

        An update reads and writes the weights and each of its slots, and reads the gradient.
        """
        size = np.dtype(self.dtype).itemsize
        slots = {"adam": 2, "rmsprop": 1, "sgd": 1}[self.optimizer]
        times = 1 if self.kind == "predict" else 2 * (1 + slots) + 1
        return {"rows": self.batch_size * self.sizes[0] * size, "state": times * self.parameters * size}

    @property
    def gpu_step_bytes(self) -> int:
        """Bytes of a step on a GPU if its caches were perfect: rows, parameters, gradients and state.

        Parameters are read forward and by the update, gradients once; the update writes parameters, the
        backward pass gradients; state is read and written.
        """
        slots = 2 if self.optimizer == "adam" else 1
        numbers = self.batch_size * (self.sizes[0] + 1) + self.parameters * (5 + 2 * slots)
        return numbers * np.dtype(self.dtype).itemsize

    @property
    def resident_bytes(self) -> dict[str, int]:
        """How much memory those two live in: what fits the cache costs no memory traffic."""
        size = np.dtype(self.dtype).itemsize
        return {"rows": self.rows * self.sizes[0] * size, "state": 4 * self.parameters * size}

    def rivals_for(self, threads: int, known: list[str]) -> list[str]:
        """Who runs by default: with more threads only those that use them, to stay within the hour."""
        apart = {name for kind, names in ONLY.items() if kind != self.kind for name in names}
        chosen = [name for name in known if name not in apart and (not self.rivals or name in self.rivals)]
        if threads == 1:
            return chosen
        # PyTorch is never the best with two threads where it is not with one: it runs so in the main group.
        return [name for name in chosen if name in THREADED or (name == "torch" and self.group == "training")]


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


def matrix_exponential(
    rng: np.random.Generator, rows: int, _: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """2 x 2 matrices, normal entries times a half, and their exponentials: SimpleChains' regression."""
    A = rng.normal(0, 0.5, (rows, 2, 2))
    term, total = np.broadcast_to(np.eye(2), A.shape), np.broadcast_to(np.eye(2), A.shape)
    for k in range(1, 24):
        term = term @ A / k
        total = total + term
    return A.reshape(rows, 4), total.reshape(rows, 4)


TABLES = {f.__name__: f for f in (circles, returns, random_table, matrix_exponential)}


def make_data(w: Workload, held_out: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The workload's table: X (rows, inputs) in its dtype, y (rows,) int64 class indices; C-contiguous.

    With the loss "mse" y has a column an output, in the dtype of X.
    """
    rows = min(max(w.rows // 4, 1000), 100_000) if held_out else w.rows
    X, y = TABLES[w.data](np.random.default_rng([w.seed, held_out]), rows, w.sizes)
    return np.ascontiguousarray(X, dtype=w.dtype), np.ascontiguousarray(
        y, dtype=w.dtype if w.loss == "mse" else np.int64
    )


def targets(w: Workload, y: np.ndarray) -> np.ndarray:
    """y as Keras-like libraries take it: one column of 0 and 1 for a sigmoid unit, else as it is."""
    return y.astype(w.dtype)[:, None] if w.loss == "binary_crossentropy" else y


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

CHUNK = 8_192  # rows a call of those that have to cut a large table themselves


def forward(w: Workload, weights: Weights, X: np.ndarray) -> np.ndarray:
    """The last layer's values before its activation, in float64, dropout off."""
    h = X.astype(np.float64)
    for i, (kernel, bias) in enumerate(weights):
        h = h @ kernel.astype(np.float64) + bias
        if i < len(weights) - 1:
            squash = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}
            h = squash.get(w.activation, lambda z: 1 / (1 + np.exp(-z)))(h)
    return h


def evaluate(w: Workload, weights: Weights, X: np.ndarray, y: np.ndarray) -> float:
    """Mean loss of the network with these weights: cross-entropy in nats, or squared error; in float64."""
    total = 0.0
    for first in range(0, len(X), CHUNK):
        h, t = forward(w, weights, X[first : first + CHUNK]), y[first : first + CHUNK]
        if w.loss == "mse":
            total += float(((h - t) ** 2).mean(1).sum())
            continue
        if h.shape[1] == 1:  # one logit: the other class has logit 0
            h = np.concatenate([np.zeros_like(h), h], axis=1)
        h -= h.max(1, keepdims=True)
        total += float(np.sum(np.log(np.exp(h).sum(1)) - h[np.arange(len(t)), t]))
    return total / len(X)


def prediction_error(w: Workload, weights: Weights, X: np.ndarray, predicted: np.ndarray) -> float:
    """Largest distance of predicted probabilities of class 1 from those in float64 (a sigmoid unit only)."""
    expected = 1 / (1 + np.exp(-forward(w, weights, X)[:, 0]))
    if predicted.shape != expected.shape:
        raise ValueError(f"expected probabilities of shape {expected.shape}, received {predicted.shape}")
    return float(np.abs(expected - predicted).max())


# --- the list -------------------------------------------------------------------------------------------

ADAM = ("adam", (("learning_rate", 1e-3), ("beta_1", 0.9), ("beta_2", 0.999), ("epsilon", 1e-7)))
SGD = ("sgd", (("learning_rate", 0.1), ("momentum", 0.5)))
RMSPROP = ("rmsprop", (("learning_rate", 1e-2), ("rho", 0.9), ("epsilon", 1e-7)))
BOTH = ("cpu", "gpu")
BCE, CCE = "binary_crossentropy", "sparse_categorical_crossentropy"

#: Who runs by default where not all do: the whole list must take less than an hour on two cores.
SWEEP = ("fastnn", "torch", "jax:scan")
MAIN = (*SWEEP, "numpy", "sklearn", "tensorflow:loop", "keras:xla50", "jax:step")
#: Ways to do one kind of work only.
ONLY = {"predict": ("onnxruntime", "keras:call"), "many": ("torch:func", "jax:vmap")}
THREADED = ("fastnn", "jax:scan", "tensorflow:loop", "torch:func", "jax:vmap", "onnxruntime")


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


def _sweep(what: str, value: float, **changes: Any) -> Workload:
    """One point of a curve: 64-64-64-1 on a table of class indices, but for what varies."""
    base: dict[str, Any] = {
        "data": "random_table", "rows": 16_384, "sizes": (64, 64, 64, 1), "activation": "relu", "loss": BCE,
        "optimizer": ADAM[0], "optimizer_args": ADAM[1], "batch_size": 256, "check_epochs": 4,
        "tolerance": 0.02, "rivals": SWEEP, "group": f"scaling: {what}", "sweep": (what, value),
    }  # fmt: skip
    return Workload(f"{what}_{value:g}" if value < 1e5 else f"{what}_1e{len(str(int(value))) - 1}",
                    **base | changes)  # fmt: skip


def _predict(name: str, batch: int, rows: int) -> Workload:
    rivals = (*SWEEP, "numpy", "tensorflow:step", "onnxruntime")
    if batch == 1:  # Keras' `predict` takes 60 ms a call: few rows are for its `predict_on_batch`
        rivals += ("sklearn", "keras:call", "skorch", "thinc")
    elif batch > 1_000:  # skorch takes 15 s for a million rows, thinc 0.7
        rivals += ("sklearn", "keras")
    return Workload(name, "random_table", rows, (20, 64, 32, 1), "relu", BCE, *ADAM, batch, kind="predict",
                    tolerance=1e-5, group="prediction", threads=(1, 2) if batch > 1_000 else (1,),
                    rivals=rivals)  # fmt: skip


def _returns44(batch: int, dropout: float) -> Workload:
    """Batches as large as 8,192 want a table that has several of them; small ones need not take minutes."""
    rows = 16_384 if batch <= 128 else 65_536
    epochs = max(3, 8 * batch // 128)
    return _returns(f"returns44_b{batch}" + ("" if dropout else "_nodropout"), sizes=(44, 64, 64, 1),
                    rows=rows, batch_size=batch, dropout=dropout, group="batch size",
                    rivals=(*SWEEP, "tensorflow:loop"),
                    check_epochs=min(epochs, 40), tolerance=0.012, threads=(1, 2) if batch >= 512 else (1,),
                    sweep=("batch" if dropout else "batch, no dropout", batch))  # fmt: skip


_ALL = [
    # A learning rate of 5 on the mean loss of 50,000 rows is 1e-4 on the summed loss.
    Workload("circles_full", "circles", 50_000, (2, 3, 2), "sigmoid", CCE,
             "sgd", (("learning_rate", 5.0), ("momentum", 0.5)), 50_000, check_epochs=100, tolerance=0.002,
             devices=BOTH, rivals=(*MAIN, "torch:compile", "tensorflow:step", "keras", "keras:xla")),
    Workload("circles_b128", "circles", 50_000, (2, 3, 2), "sigmoid", CCE, *RMSPROP, 128,
             check_epochs=2, tolerance=0.01, devices=BOTH, rivals=(*MAIN, "keras")),
    _returns("returns_b32", devices=BOTH),
    _returns("returns_b32_nodropout", dropout=0.0, rivals=(*MAIN, "keras")),
    _returns("returns_b512", batch_size=512, check_epochs=20, rivals=(*MAIN, "keras"), devices=BOTH),
    _returns("returns_b512_nodropout", batch_size=512, check_epochs=20, dropout=0.0,
             rivals=(*SWEEP, "tensorflow:loop")),
    _returns("returns_b8192", batch_size=8192, check_epochs=100, dropout=0.0, devices=("gpu",)),
    Workload("wide_b256", "random_table", 8_192, (512, 1024, 1024, 10), "relu", CCE,
             "adam", (("learning_rate", 3e-4), *ADAM[1][1:]), 256, tolerance=0.06, devices=BOTH, rivals=MAIN),
    _fresh("fresh_small", threads=(1,), rivals=(*MAIN, "keras", "skorch", "thinc")),
    _fresh("fresh_widths", sizes=(20, 24, 24, 1), vary_width=True, threads=(1,),
           rivals=(*SWEEP, "numpy", "sklearn"),
           notes="no two models have the same shapes: hidden widths from 24 on, in sixteens"),
    _fresh("first_fit", kind="first_fit", threads=(1,), rivals=(*SWEEP, "sklearn")),
    *(_returns(f"eight_b32{tail}", kind="many", count=8, rows=8_192, dropout=rate, group="many at once",
               check_epochs=6, tolerance=0.012,
               rivals=(*SWEEP, "numpy", "sklearn", "torch:func", "jax:vmap"))
      for tail, rate in (("", 0.5), ("_nodropout", 0.0))),
    _predict("predict_1", 1, 64),
    _predict("predict_100", 100, 12_800),
    _predict("predict_1m", 2**20, 2**20),
    Workload("simplechains_4_32_16_4", "matrix_exponential", 10_000, (4, 32, 16, 4), "tanh", "mse", *ADAM,
             10_000, check_epochs=200, tolerance=0.01, group="SimpleChains", threads=(1,),
             rivals=(*SWEEP, "numpy", "tensorflow:loop")),
    Workload("simplechains_24_8_2", "random_table", 200, (24, 8, 2), "tanh", CCE, *SGD, 200, dropout=0.2,
             check_epochs=200, tolerance=0.05, group="SimpleChains", threads=(1,),
             rivals=(*SWEEP, "numpy", "tensorflow:loop")),
    *(_returns44(b, d) for d in (0.5, 0.0) for b in (32, 128, 512, 2048, 8192)),
    _returns("returns44_b512_float64", sizes=(44, 64, 64, 1), rows=65_536, batch_size=512, dropout=0.0,
             check_epochs=20, tolerance=0.012, dtype="float64", group="float64", threads=(1,),
             rivals=(*SWEEP, "numpy", "sklearn")),
    *(_sweep("width", n, sizes=(64, n, n, 1), rows=16_384 if n <= 128 else 2_048,
             optimizer_args=ADAM[1] if n <= 128 else (("learning_rate", 1e-4), *ADAM[1][1:]),
             # Three orders of the rows spread by 0.016 at 1,024 and 0.032 at 2,048, by 0.003 below.
             tolerance=0.05 if n > 512 else 0.02, check_epochs=4 if n <= 128 else 2)
      for n in (8, 16, 32, 64, 128, 256, 512, 1024, 2048)),
    *(_sweep("depth", n, sizes=(64, *[64] * n, 1), activation="tanh", threads=(1,))
      for n in (1, 2, 4, 8, 16)),
    *(_sweep("features", n, sizes=(n, 64, 64, 1), rows=8_192, threads=(1,)) for n in (8, 32, 128, 512, 2048)),
    *(_sweep("rows", n, sizes=(8, 32, 1), rows=n, batch_size=1_024, check_epochs=max(1, int(1e5) // n))
      for n in (10**4, 10**5, 10**6, 10**7)),
]  # fmt: skip
#: A smoke test of every kind and group in under five minutes, with `benchmarks.run --quick`.
QUICK = ("circles_full", "returns_b32_nodropout", "fresh_small", "eight_b32_nodropout", "predict_1",
         "simplechains_24_8_2", "width_64")  # fmt: skip
WORKLOADS = {w.name: w for w in _ALL}
