"""Whole trainings on the GPU beside the CPU's: in every regime, with CUDA graphs and without."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.gpu.expected import Step
from fastnn.backends.gpu.regimes import REGIMES, preferred
from fastnn.backends.gpu.selfcheck import Check, error_of, guarded
from fastnn.backends.gpu.watched import watched
from fastnn.layers import (
    Add,
    BatchNormalization,
    Concatenate,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Input,
    LayerNormalization,
)
from fastnn.models import Model, Sequential
from fastnn.optimizers import SGD, Adam, Nadam, RMSprop

#: Largest error of the weights after some steps, relative to the largest: rounding errors grow as it trains.
TOLERANCE = 1e-4
ROWS, EPOCHS, SEED = 200, 3, 3
#: Of a timed step's data: at most so many, and so many batches.
MOST_ROWS, MOST_BATCHES = 1 << 17, 200
#: Epochs of the two fits whose difference is timed.
SHORT, LONG = 2, 12


class Training(NamedTuple):
    """A network and how it is trained.

    Attributes
    ----------
    name : str
    build : callable
        Returns a new model.
    optimizer : callable
    loss : str
    batch_size : int
        One that does not divide the rows, so that the last batch is short.
    data : callable
        ``data(rng) -> x, y``.
    """

    name: str
    build: Callable[[], Model]
    optimizer: Callable[[], Any]
    loss: str
    batch_size: int
    data: Callable[[np.random.Generator], tuple[Any, np.ndarray]]


def _table(columns: int) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(ROWS, columns)).astype(np.float32)
        return x, (x[:, 0] * x[:, 1] > 0).astype(np.float32)

    return data


def _returns() -> Model:
    hidden = [layer for _ in range(2) for layer in (Dense(16, activation="relu"), Dropout(0.5))]
    return Sequential([Input((5,)), *hidden, Dense(1, activation="sigmoid")], seed=SEED)


def _wide() -> Model:
    hidden = [Dense(160, activation="relu"), Dense(96, activation="relu")]
    return Sequential([Input((5,)), *hidden, Dense(1)], seed=SEED)


def _circles() -> Model:
    return Sequential(
        [Input((2,)), Dense(3, activation="sigmoid"), Dense(2, activation="softmax")], seed=SEED
    )


def _normed() -> Model:
    layers = [
        Dense(8, kernel_regularizer="l2", kernel_constraint="max_norm"), BatchNormalization(),
        Dense(8, activation="gelu"), LayerNormalization(), Dense(1, activation="sigmoid"),
    ]  # fmt: skip
    return Sequential([Input((5,)), *layers], seed=SEED)


def _branched(width: int = 8) -> Model:
    numbers, town = Input((5,)), Input((1,), dtype="int32")
    known = Concatenate()([numbers, Flatten()(Embedding(7, 3)(town))])
    first = Dense(width, activation="tanh")(known)
    both = Add()([first, Dense(width, activation="relu")(first)])
    return Model([numbers, town], Dense(1)(both), seed=SEED)


def _towns(rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    x, town = rng.normal(size=(ROWS, 5)).astype(np.float32), rng.integers(0, 7, (ROWS, 1)).astype(np.int32)
    return [x, town], (x[:, 0] + np.sin(town[:, 0])).astype(np.float32)


BCE = "binary_crossentropy"
TRAININGS = (
    Training("5-16-16-1, dropout, Adam", _returns, lambda: Adam(0.01), BCE, 32, _table(5)),
    Training(
        "2-3-2, full batch, momentum", _circles, lambda: SGD(0.5, momentum=0.5),
        "sparse_categorical_crossentropy", ROWS, _table(2),
    ),
    Training("5-160-96-1, SGD", _wide, lambda: SGD(0.05), "mean_squared_error", 64, _table(5)),
    Training(
        "norms, L2, max norm, RMSprop", _normed, lambda: RMSprop(0.01, centered=True, momentum=0.3), BCE, 48,
        _table(5),
    ),
    Training("skip, embedding, Adam", _branched, lambda: Adam(0.01), "mean_squared_error", 32, _towns),
    # The narrowest that cuBLAS takes: see library.LEAST_WEIGHTS.
    Training(
        "64 wide, skip, embedding, Adam", lambda: _branched(64), lambda: Adam(0.01), "mean_squared_error", 48,
        _towns,
    ),
    Training(
        "skip, embedding, Nadam", _branched,
        lambda: Nadam(0.01, global_clipnorm=1.0, use_ema=True, gradient_accumulation_steps=2),
        "mean_squared_error", 32, _towns,
    ),
)  # fmt: skip


def check_trainings(trainings: Sequence[Training] = TRAININGS, quick: bool = False) -> Iterator[Check]:
    """Train on both devices and compare the weights; every regime; launches and graphs to the bit.

    Parameters
    ----------
    trainings : sequence of Training
    quick : bool
        Only the regime that the executor chooses.
    """
    for training in trainings:
        expected = train(training, "cpu")
        for regime in (None,) if quick else REGIMES:
            try:
                with watched() as watch:
                    graphs = train(training, "gpu", regime)
            except Exception as error:  # this is what it is to find
                yield Check(
                    "training", training.name, regime or "chosen", np.inf, TOLERANCE, f"{error}"[:300]
                )
                continue
            ran = watch.regimes[0]
            if regime not in (None, ran):
                continue  # this network cannot run so
            yield Check("training", training.name, f"{ran}, CPU", error_of(graphs, expected), TOLERANCE)
            case = f"{ran}, without graphs"
            yield guarded("training", training.name, case, 0.0, _launched, training, ran, graphs)


def _launched(training: Training, regime: str, graphs: np.ndarray) -> float:
    with watched(capture=False):
        launches = train(training, "gpu", regime)
    return 0.0 if np.array_equal(launches, graphs) else max(error_of(launches, graphs), 1e-30)


def train(training: Training, device: str, regime: str | None = None) -> np.ndarray:
    """Return the weights after some epochs on a device, in a regime if the network can run so."""
    model = training.build()
    model.compile(training.optimizer(), training.loss, device=device)
    x, y = training.data(np.random.default_rng(SEED))
    with preferred(regime) if regime else contextlib.nullcontext():
        model.fit(x, y, batch_size=training.batch_size, epochs=EPOCHS, verbose=0)
    return np.concatenate([array.ravel() for array in model.get_weights()])


def time_step(step: Step) -> tuple[str, float]:
    """Return the regime of a training step of the plan, and its seconds as `fit` runs it.

    The time is the difference of a long and a short fit, so what a fit costs once is not in it.
    """
    batches = max(1, min(MOST_BATCHES, MOST_ROWS // step.batch))
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(batches * step.batch, step.sizes[0])).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    hidden = [Dense(units, activation="relu") for units in step.sizes[1:-1]]
    binary = step.sizes[-1] == 1
    last = Dense(step.sizes[-1], activation="sigmoid" if binary else "softmax")
    model = Sequential([Input((step.sizes[0],)), *hidden, last], seed=SEED)
    optimizer: Any = SGD(0.01, momentum=0.5) if step.slots == 1 else Adam()
    model.compile(optimizer, BCE if binary else "sparse_categorical_crossentropy", device="gpu")
    took = []
    with watched() as watch:
        for epochs in (1, SHORT, LONG):  # the first compiles
            started = time.perf_counter()
            model.fit(x, y, batch_size=step.batch, epochs=epochs, verbose=0)
            took.append(time.perf_counter() - started)
    return watch.regimes[0], (took[2] - took[1]) / ((LONG - SHORT) * batches)
