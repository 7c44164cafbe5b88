"""Sequences of values for callbacks that decide, and what they then do; needs neither Keras nor fastnn.

`record_keras.py` replays the cases on Keras and writes ``keras_decisions.json``; `test_keras_decisions.py`
replays them on ours. Where we mean to differ, a case holds our decision and the reason.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np

TABLE = Path(__file__).with_name("keras_decisions.json")
STEPS = 4  # batches an epoch
NAN_FIRST = "NaN is never the best; Keras takes a first NaN for the best, and nothing is less than NaN"
NAN_STOPS = "check_finite=True ends training at a value that is not finite"

nan, inf = float("nan"), float("inf")
FALLS = [1.0, 0.8, 0.6, 0.4, 0.2]
PLATEAU = [1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
VALLEY = [1.0, 0.7, 0.5, 0.6, 0.65, 0.55, 0.7, 0.8, 0.9]
WAVES = [1.0, 0.6, 0.8, 0.5, 0.9, 0.7, 0.4, 0.6, 0.8, 0.9, 0.3, 0.5, 0.6]
HILL = [0.1, 0.4, 0.7, 0.65, 0.6, 0.68, 0.5, 0.2]
CREEP = [1.0, 0.995, 0.99, 0.985, 0.98, 0.975, 0.97]
LATE = [0.1, 0.2, 0.9, 0.8, 0.85, 0.7, 0.75, 0.8, 0.9]


def case(callback, values, ours=None, more=None, **arguments):
    """Return a case; `more` are arguments that only ours has, `ours` what we decide where we differ."""
    return {
        "callback": callback,
        "arguments": arguments,
        "values": values,
        "more": more or {},
        "ours": ours or {},
    }


def stopping(values, **arguments):
    return case("EarlyStopping", values, **{"monitor": "loss", "mode": "min", **arguments})


def plateau(values, **arguments):
    return case("ReduceLROnPlateau", values, **{"monitor": "loss", "mode": "min", **arguments})


def checkpoint(values, **arguments):
    return case(
        "ModelCheckpoint", values, **{"filepath": "m.keras", "monitor": "loss", "mode": "min", **arguments}
    )


def decided(reason, **decisions):
    return {"reason": reason, "decisions": decisions}


def cases():
    """Return all cases."""
    return [*stopping_cases(), *plateau_cases(), *checkpoint_cases(), *scheduler_cases()]


def stopping_cases():
    lenient = {"check_finite": False}
    yield stopping(FALLS)
    yield stopping(PLATEAU)
    yield stopping(VALLEY, patience=1)
    yield stopping(VALLEY, patience=3)
    yield stopping(VALLEY, patience=3, restore_best_weights=True)
    yield stopping(VALLEY, patience=9, restore_best_weights=True)
    yield stopping(WAVES, patience=2)
    yield stopping(WAVES, patience=4, restore_best_weights=True)
    yield stopping(HILL, mode="max", patience=2, restore_best_weights=True)
    yield stopping(HILL, mode="max")
    yield stopping(FALLS, mode="max", patience=2)
    yield stopping(FALLS, mode="auto", patience=1)
    yield stopping(VALLEY, mode="auto", monitor="val_loss", patience=1)
    yield stopping(CREEP, min_delta=0.02, patience=2)
    yield stopping(CREEP, min_delta=-0.02, patience=2)
    yield stopping(CREEP, min_delta=0.001, patience=2)
    yield stopping([1 - v for v in CREEP], mode="max", min_delta=0.02, patience=2)
    yield stopping(FALLS, min_delta=0.3, patience=1, restore_best_weights=True)
    yield stopping(VALLEY, baseline=0.52, patience=2)
    yield stopping(VALLEY, baseline=0.1, patience=3, restore_best_weights=True)
    yield stopping(VALLEY, baseline=2.0, patience=2)
    yield stopping(HILL, mode="max", baseline=0.66, patience=2)
    yield stopping(HILL, mode="max", baseline=0.9, patience=4, restore_best_weights=True)
    yield stopping(VALLEY, baseline=0.55, min_delta=0.1, patience=4)
    yield stopping(LATE, start_from_epoch=2, patience=1)
    yield stopping(LATE, start_from_epoch=2, patience=2, restore_best_weights=True)
    yield stopping(LATE, start_from_epoch=20)
    yield stopping(PLATEAU, start_from_epoch=3, patience=0)
    yield stopping([None, None, 0.5, 0.6, None, 0.7], patience=2, restore_best_weights=True)
    yield stopping([0.5, 0.6], patience=0)
    yield stopping([0.5], patience=0, baseline=0.1)
    # NaN and infinities
    yield stopping([1.0, 0.5, nan, nan, 0.4, 0.6, 0.7], more=lenient, patience=3, restore_best_weights=True)
    yield stopping([1.0, 0.5, nan, nan, 0.4], more=lenient, patience=2, restore_best_weights=True)
    yield stopping([0.1, inf, 0.3, inf, inf], more=lenient, mode="max", patience=2)
    yield stopping(
        [nan, 0.9, 0.8, 0.7, 0.6], more=lenient, patience=2, restore_best_weights=True,
        ours=decided(NAN_FIRST, stopped_after=None, best=0.6, best_epoch=4, wait=0, restored=4),
    )  # fmt: skip
    yield stopping(
        [nan, nan, nan, nan], more=lenient, patience=1, restore_best_weights=True,
        ours=decided(NAN_FIRST, stopped_after=1, best=None, best_epoch=0, wait=2, restored=None),
    )  # fmt: skip
    yield stopping(
        [nan, 0.4, 0.5, 0.3, 0.2], more=lenient, mode="max", patience=2,
        ours=decided(NAN_FIRST, stopped_after=4, best=0.5, best_epoch=2, wait=2, restored=None),
    )  # fmt: skip
    yield stopping(
        [1.0, 0.5, nan, 0.4], patience=3, restore_best_weights=True,
        ours=decided(NAN_STOPS, stopped_after=2, best=0.5, best_epoch=1, wait=1, restored=1),
    )  # fmt: skip
    yield stopping(
        [nan, 0.5, 0.4], patience=3, restore_best_weights=True,
        ours=decided(NAN_STOPS, stopped_after=0, best=None, best_epoch=0, wait=1, restored=None),
    )  # fmt: skip
    yield stopping(
        [0.1, inf, 0.3], mode="max", patience=3,
        ours=decided(NAN_STOPS, stopped_after=1, best=0.1, best_epoch=0, wait=1, restored=None),
    )  # fmt: skip
    yield stopping([nan, nan, 0.5, 0.6, 0.4], start_from_epoch=2, patience=1)


def plateau_cases():
    yield plateau(FALLS, patience=1)
    yield plateau(PLATEAU, patience=2)
    yield plateau(PLATEAU, patience=2, factor=0.5)
    yield plateau(PLATEAU, patience=0, factor=0.5)
    yield plateau(PLATEAU, patience=1, cooldown=2)
    yield plateau(PLATEAU + PLATEAU[1:], patience=2, cooldown=3, factor=0.5)
    yield plateau(PLATEAU, patience=1, min_lr=0.02)
    yield plateau(PLATEAU, patience=1, min_lr=0.2)
    yield plateau(VALLEY, patience=2, factor=0.3)
    yield plateau(WAVES, patience=2, cooldown=1)
    yield plateau(WAVES, patience=1, cooldown=1, factor=0.9)
    yield plateau(HILL, mode="max", patience=2)
    yield plateau(FALLS, mode="max", patience=1)
    yield plateau(CREEP, patience=2, min_delta=0.02)
    yield plateau(CREEP, patience=2, min_delta=0.001)
    yield plateau(VALLEY, mode="auto", monitor="val_loss", patience=1)
    yield plateau([0.5, None, 0.6, None, 0.7], patience=2)
    yield plateau([1.0, 0.5, nan, nan, 0.4, 0.6], patience=2)
    yield plateau(
        [nan, 0.9, 0.8, 0.7], patience=2, ours=decided(NAN_FIRST, rates=[0.1, 0.1, 0.1, 0.1], best=0.7)
    )
    yield plateau(
        [nan, nan, nan, 0.7], patience=2, ours=decided(NAN_FIRST, rates=[0.1, 0.01, 0.01, 0.01], best=0.7)
    )


def checkpoint_cases():
    yield checkpoint(FALLS)
    yield checkpoint(VALLEY, filepath="{epoch:02d}-{loss:.2f}.keras")
    yield checkpoint(VALLEY, save_best_only=True)
    yield checkpoint(VALLEY, save_best_only=True, filepath="{epoch:02d}-{loss:.2f}.keras")
    yield checkpoint(WAVES, save_best_only=True, filepath="{epoch}.weights.h5", save_weights_only=True)
    yield checkpoint(HILL, save_best_only=True, mode="max")
    yield checkpoint(VALLEY, save_best_only=True, mode="auto", monitor="val_loss")
    yield checkpoint(VALLEY, save_best_only=True, initial_value_threshold=0.6)
    yield checkpoint(HILL, save_best_only=True, mode="max", initial_value_threshold=0.9)
    yield checkpoint([0.5, None, 0.6, 0.4], save_best_only=True)
    yield checkpoint(FALLS, save_freq=1, filepath="{epoch}-{batch}.keras")
    yield checkpoint(FALLS, save_freq=3, filepath="{epoch}-{batch}.keras")
    yield checkpoint(FALLS, save_freq=4, filepath="{epoch}-{batch}.keras")
    yield checkpoint(FALLS, save_freq=7, filepath="{epoch}-{batch}.keras")
    yield checkpoint([1.0, 0.8, nan, 0.9, 0.7], save_best_only=True, filepath="{epoch}.keras")
    yield checkpoint(
        [nan, 0.8, 0.9, 0.7], save_best_only=True, filepath="{epoch}.keras",
        ours=decided(NAN_FIRST, saved=[["model", "2.keras"], ["model", "4.keras"]], best=0.7),
    )  # fmt: skip


#: Schedules by name: a table cannot hold functions.
SCHEDULES = {
    "by epoch": lambda epoch: 0.1 / (epoch + 1),
    "by epoch and rate": lambda epoch, lr: lr if epoch < 2 else lr * 0.5,
    "default for the rate": lambda epoch, lr=1.0: lr * 0.9,
    "float32": lambda epoch, lr: np.float32(0.5) ** np.float32(epoch),
    "zero": lambda epoch, lr: 0.0,
}


def scheduler_cases():
    for schedule in SCHEDULES:
        yield case("LearningRateScheduler", FALLS, schedule=schedule)


class StubModel:
    """What callbacks ask of a model; its only weight is the number of the epoch."""

    metrics = ()  # Keras

    def __init__(self):
        self.optimizer = SimpleNamespace(learning_rate=0.1, use_ema=False)
        self.stop_training = False
        self.epoch = 0
        self.restored = None
        self.saved = []
        # ours
        self.compiled = SimpleNamespace(losses=[None], resolve_metrics=lambda *shapes: [])
        self.output_shapes = [(None, 1)]

    def get_weights(self):
        return [np.full(1, self.epoch)]

    def set_weights(self, weights):
        self.restored = int(weights[0][0])

    def check_suffix(self, path, weights_only=False):
        """Allow every name, as Keras does before it saves."""

    def save(self, path, overwrite=True):
        self.saved.append(["model", str(path)])

    def save_weights(self, path, overwrite=True):
        self.saved.append(["weights", str(path)])


def replay(callbacks, case, batches, more=False):
    """Run a case on a module of callbacks; returns what was decided.

    `batches` is called with the callback, the epoch, and a function from batch to logs.
    """
    arguments = {**case["arguments"], **(case["more"] if more else {})}
    if "schedule" in arguments:
        arguments["schedule"] = SCHEDULES[arguments["schedule"]]
    callback, model = getattr(callbacks, case["callback"])(**arguments), StubModel()
    callback.set_model(model)
    callback.set_params({"epochs": len(case["values"]), "steps": STEPS, "verbose": 0})
    monitor = arguments.get("monitor", "loss")
    rates, trained_with, stopped_after = [], [], None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a value that is missing
        callback.on_train_begin({})
        for epoch, value in enumerate(case["values"]):
            model.epoch = epoch
            callback.on_epoch_begin(epoch, {})
            logs = {"other": 0.0} if value is None else {monitor: value}
            batches(callback, epoch, logs)
            trained_with.append(float(model.optimizer.learning_rate))
            callback.on_epoch_end(epoch, logs)
            if case["callback"] in ("LearningRateScheduler", "ReduceLROnPlateau"):
                assert np.isclose(logs["learning_rate"], trained_with[-1])
            rates.append(float(model.optimizer.learning_rate))
            if model.stop_training:
                stopped_after = epoch
                break
        callback.on_train_end({})
    if case["callback"] == "EarlyStopping":
        return {
            "stopped_after": stopped_after,
            "best": callback.best,
            "best_epoch": callback.best_epoch,
            "wait": callback.wait,
            "restored": model.restored,
        }
    if case["callback"] == "ModelCheckpoint":
        return {"saved": model.saved, "best": callback.best}
    if case["callback"] == "ReduceLROnPlateau":
        return {"rates": rates, "best": callback.best}
    return {"rates": trained_with}
