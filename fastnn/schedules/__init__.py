"""Learning-rate schedules: Keras' names, arguments and defaults, and PyTorch's one-cycle policy.

Give one to an optimizer as its ``learning_rate``. The schedules of this package are computed within the
compiled program, once a step, in float64 (Keras computes them in float32); any other callable is called by
Python before each step, which then is a compiled call of its own.
"""

from __future__ import annotations

from typing import Any

from fastnn.schedules.base import SCHEDULES, LearningRateSchedule
from fastnn.schedules.cosine import CosineDecay, CosineDecayRestarts, OneCycle
from fastnn.schedules.decay import (
    ExponentialDecay,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

__all__ = [
    "SCHEDULES",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]

for _class in (
    ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay, InverseTimeDecay, CosineDecay,
    CosineDecayRestarts, OneCycle,
):  # fmt: skip
    SCHEDULES.add(_class)


def serialize(schedule: LearningRateSchedule) -> dict[str, Any]:
    """Return ``{'class_name': ..., 'config': ...}``, which `deserialize` turns into an equal schedule."""
    return SCHEDULES.serialize(schedule)


def deserialize(config: dict[str, Any]) -> LearningRateSchedule:
    """Return the schedule that `serialize` described.

    Raises
    ------
    UnknownNameError
        If the class or an argument is not known.
    DtypeError
        If `config` is no such dict.

    Examples
    --------
    >>> deserialize(serialize(CosineDecay(0.1, 100)))
    CosineDecay(initial_learning_rate=0.1, decay_steps=100.0, alpha=0.0, name='CosineDecay', ...)
    """
    return SCHEDULES.get(config)
