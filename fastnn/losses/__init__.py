"""Losses: Keras' names, arguments and defaults, and ``get`` to find one by name."""

from __future__ import annotations

from typing import Any

from fastnn.errors import DtypeError
from fastnn.losses.base import Loss
from fastnn.losses.classification import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    Hinge,
    KLDivergence,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from fastnn.losses.regression import (
    CosineSimilarity,
    GaussianNLL,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    Quantile,
)
from fastnn.serialization import Registry

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "GaussianNLL",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "Quantile",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "get",
    "serialize",
]

_ALIASES: dict[type[Loss], tuple[str, ...]] = {
    MeanSquaredError: ("mse",),
    MeanAbsoluteError: ("mae",),
    Huber: ("huber_loss",),
    LogCosh: ("logcosh",),
    MeanAbsolutePercentageError: ("mape",),
    MeanSquaredLogarithmicError: ("msle",),
    Poisson: (),
    GaussianNLL: ("nll",),
    Quantile: ("pinball",),
    BinaryCrossentropy: ("bce",),
    BinaryFocalCrossentropy: (),
    CategoricalCrossentropy: (),
    CategoricalFocalCrossentropy: (),
    SparseCategoricalCrossentropy: (),
    Hinge: (),
    SquaredHinge: (),
    CategoricalHinge: (),
    KLDivergence: ("kld", "kullback_leibler_divergence"),
    CosineSimilarity: (),
}
LOSSES: Registry[Loss] = Registry("loss", Loss)
for _class, _names in _ALIASES.items():
    LOSSES.add(_class, *_names, name=_class.op)


def get(identifier: object) -> Loss:
    """Return the loss that `identifier` means.

    Parameters
    ----------
    identifier : str, dict, type or Loss
        A name such as ``'mse'`` or ``'huber'`` (any case, default arguments), what `serialize`
        returned, a loss class, or a loss, which is returned as it is.

    Raises
    ------
    UnknownNameError
        If the name is not known; the nearest one is suggested.
    DtypeError
        If `identifier` is of another type: a Python function is refused.

    Examples
    --------
    >>> get("mse").op
    'mean_squared_error'
    """
    if callable(identifier) and not isinstance(identifier, (Loss, type)):
        raise DtypeError(
            "A Python function cannot be a loss: losses are compiled, with their gradients. Expected the "
            "name of a loss ('mse', 'huber', ...) or an object such as fastnn.losses.Huber(delta=2.0). "
            f"Received: {identifier!r}."
        )
    return LOSSES.get(identifier)


def serialize(loss: Loss) -> dict[str, Any]:
    """Return ``{'class_name': ..., 'config': ...}``, which `get` turns into an equal loss."""
    return LOSSES.serialize(loss)
