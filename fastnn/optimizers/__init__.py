"""Optimizers: Keras' names, arguments and defaults, and ``get`` to find one by name."""

from __future__ import annotations

from typing import Any

from fastnn.optimizers import schedules
from fastnn.optimizers.adam import Adam, Adamax, AdamW, Nadam, RAdam
from fastnn.optimizers.base import Optimizer
from fastnn.optimizers.rmsprop import Adadelta, Adagrad, RMSprop
from fastnn.optimizers.sgd import SGD, Lion
from fastnn.schedules import SCHEDULES, LearningRateSchedule
from fastnn.serialization import Registry

__all__ = [
    "SCHEDULES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LearningRateSchedule",
    "Lion",
    "Nadam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "get",
    "schedules",
    "serialize",
]

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", Optimizer)
for _class in (SGD, RMSprop, Adagrad, Adadelta, Adam, AdamW, Adamax, Nadam, RAdam, Lion):
    OPTIMIZERS.add(_class, name=_class.__name__.lower())


def get(identifier: object) -> Optimizer:
    """Return the optimizer that `identifier` means.

    Parameters
    ----------
    identifier : str, dict, type or Optimizer
        A name such as ``'adam'`` (any case, default arguments), what `serialize` returned, an
        optimizer class, or an optimizer, which is returned as it is.

    Raises
    ------
    UnknownNameError
        If the name is not known; the nearest one is suggested.
    DtypeError
        If `identifier` is of another type.

    Examples
    --------
    >>> get("rmsprop").rho
    0.9
    """
    return OPTIMIZERS.get(identifier)


def serialize(optimizer: Optimizer) -> dict[str, Any]:
    """Return ``{'class_name': ..., 'config': ...}``, which `get` turns into an equal optimizer."""
    return OPTIMIZERS.serialize(optimizer)
