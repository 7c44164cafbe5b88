"""Initial weights: Keras' names, arguments and defaults, drawn on the host.

An initializer is called with a shape, a dtype and a NumPy generator.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.initializers.base import Constant, FromCallable, Identity, Initializer, Ones, Zeros
from fastnn.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomInitializer,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from fastnn.serialization import Registry

__all__ = [
    "Constant",
    "FromCallable",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomInitializer",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "get",
    "serialize",
]

_ALIASES: dict[type[Initializer], tuple[str, ...]] = {
    Zeros: ("zero",),
    Ones: ("one",),
    Constant: (),
    Identity: (),
    RandomNormal: ("normal",),
    TruncatedNormal: (),
    RandomUniform: ("uniform",),
    VarianceScaling: (),
    GlorotNormal: ("xavier_normal",),
    GlorotUniform: ("xavier_uniform",),
    HeNormal: ("kaiming_normal",),
    HeUniform: ("kaiming_uniform",),
    LecunNormal: (),
    LecunUniform: (),
    Orthogonal: (),
}
INITIALIZERS: Registry[Initializer] = Registry("initializer", Initializer)
for _class, _names in _ALIASES.items():
    INITIALIZERS.add(_class, *_names)


def get(identifier: object) -> Initializer:
    """Return the initializer that `identifier` means.

    Parameters
    ----------
    identifier : str, dict, type, callable, ndarray or Initializer
        A name such as ``'he_normal'`` (any case, default arguments), what `serialize` returned, a
        class, an initializer (returned as it is), a function ``f(shape, dtype)`` or
        ``f(shape, dtype, rng)``, or an array of just the shape that will be asked for.

    Raises
    ------
    UnknownNameError
        If the name is not known; the nearest one is suggested.
    DtypeError
        If `identifier` is of another type.

    Examples
    --------
    >>> get("glorot_uniform").mode
    'fan_avg'
    """
    own = callable(identifier) and not isinstance(identifier, (Initializer, type))
    if own or isinstance(identifier, np.ndarray):
        return FromCallable(identifier)  # type: ignore[arg-type]
    return INITIALIZERS.get(identifier)


def serialize(initializer: Initializer) -> dict[str, Any]:
    """Return ``{'class_name': ..., 'config': ...}``, which `get` turns into an equal initializer."""
    return INITIALIZERS.serialize(initializer)
