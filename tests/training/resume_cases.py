"""Small trainings with everything that must survive an interruption, and what is compared of them."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastnn import callbacks, layers, optimizers
from fastnn.callbacks import BackupAndRestore, Callback
from fastnn.models import Sequential

ROWS, BATCH, EPOCHS = 43, 8, 4
STEPS = 6  # an epoch's, the last one of three rows
RNG = np.random.default_rng(3)
X = RNG.standard_normal((ROWS, 5)).astype(np.float32)
Y = (X @ RNG.standard_normal((5, 1)) + 0.5 * RNG.standard_normal((ROWS, 1)) > 0).astype(np.float32)
X_VAL = RNG.standard_normal((20, 5))
Y_VAL = (X_VAL[:, :1] > 0).astype(np.float64)


class Cut(Exception):
    """What happens to a training."""


class CutAt(Callback):
    """Raises after so many batches of this call of fit."""

    part_of_training = False

    def __init__(self, step, error=Cut):
        super().__init__()
        self.left, self.error = step, error

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise self.error


class Counter(Callback):
    """Counts its calls, as users' callbacks do."""

    state_attributes = ("seen",)

    def on_train_begin(self, logs=None):
        self.seen = {"epochs": 0, "batches": 0, "losses": np.zeros(0)}

    def on_epoch_begin(self, epoch, logs=None):
        self.seen["epochs"] += 1

    def on_train_batch_end(self, batch, logs=None):
        self.seen["batches"] += 1
        self.seen["losses"] = np.append(self.seen["losses"], logs["loss"])


def network(seed=7, dropout=True, normalized=False):
    stack = [layers.Dense(12, "relu", kernel_regularizer="l2", input_shape=(5,))]
    if normalized:
        stack += [layers.BatchNormalization(), layers.GaussianNoise(0.1)]
    if dropout:
        stack += [layers.Dropout(0.3)]
    return Sequential([*stack, layers.Dense(1, "sigmoid")], seed=seed)


def decay(step):
    return 0.05 * 0.97**step


@dataclass
class Case:
    """How to compile and fit."""

    optimizer: Any
    metrics: list = field(default_factory=lambda: ["accuracy"])
    callbacks: Any = lambda folder: []
    net: dict = field(default_factory=dict)
    fit: dict = field(default_factory=dict)

    def run(self, folder, *extra, **fit):
        """Train; returns the model, its history and the callbacks."""
        model = network(**self.net)
        model.compile(self.optimizer(), "binary_crossentropy", metrics=list(self.metrics))
        listed = [Counter(), *self.callbacks(folder)]
        arguments = {"epochs": EPOCHS, "batch_size": BATCH, "verbose": 0, **self.fit, **fit}
        history = model.fit(X, Y, callbacks=[*listed, *extra], **arguments)
        return model, history, listed


def _watched(folder):
    return [
        callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True),
        callbacks.ReduceLROnPlateau("val_loss", factor=0.5, patience=1),
        callbacks.CSVLogger(folder / "log.csv"),
    ]


VALIDATION = {"validation_data": (X_VAL, Y_VAL)}
CASES = {
    "sgd": Case(lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True), net={"dropout": False}),
    "adam": Case(lambda: optimizers.Adam(0.01), callbacks=lambda f: [callbacks.CSVLogger(f / "log.csv")]),
    "nadam, batch statistics": Case(lambda: optimizers.Nadam(0.01), net={"normalized": True}),
    "rmsprop, in order": Case(lambda: optimizers.RMSprop(0.01, centered=True), fit={"shuffle": False}),
    "adam with average": Case(
        lambda: optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5),
        callbacks=lambda f: [callbacks.SwapEMAWeights(swap_on_epoch=True)],
        fit=VALIDATION,
    ),
    "accumulated gradients": Case(lambda: optimizers.Adam(0.01, gradient_accumulation_steps=4, clipnorm=0.1)),
    "schedule": Case(lambda: optimizers.Adamax(decay), fit={"steps_per_epoch": 4}),
    "scheduler": Case(
        lambda: optimizers.Lion(0.01),
        callbacks=lambda f: [callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)],
    ),
    "stored metrics": Case(
        lambda: optimizers.Adam(0.01), metrics=["accuracy", "AUC"], fit={"validation_split": 0.2}
    ),
    "stored metrics of some rows": Case(
        lambda: optimizers.Adam(0.01), metrics=["AUC"], fit={"steps_per_epoch": 4}
    ),
    "watched": Case(
        lambda: optimizers.Adam(0.2),
        callbacks=_watched,
        fit={**VALIDATION, "epochs": 20},
    ),
    "weighted": Case(lambda: optimizers.Adagrad(0.05), fit={"class_weight": {0: 1.0, 1: 2.5}, "seed": 99}),
}


def trace(run, folder):
    """Return everything that must be the same, bit for bit."""
    model, history, listed = run
    state = model._state
    log = folder / "log.csv"
    return {
        "weights": [w.tobytes() for w in model.get_weights()],
        "slots": [slot.tobytes() for slot in state.slots],
        "numbers": state.hyper.tobytes(),
        "steps": (state.step, state.epoch),
        "rate": repr(model.optimizer.learning_rate),
        "history": history.history,
        "epochs": history.epoch,
        "callbacks": repr([c.state_dict() for c in listed]),
        "log": log.read_text() if log.exists() else None,
        "certificate": history.certificate(),
    }


def assert_same(found, expected):
    for key, value in expected.items():
        assert found[key] == value, key


def resumed(case, folder, at, error=Cut, save_freq=4, **backup):
    """Train until cut short after `at` batches, then again; returns the second run."""
    with contextlib.suppress(error):
        case.run(folder, BackupAndRestore(folder / "backup", save_freq, **backup), CutAt(at, error))
    return case.run(folder, BackupAndRestore(folder / "backup", save_freq, **backup))
