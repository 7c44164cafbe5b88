"""Weight penalties: L1, L2 and both. The engine folds them into the update through `l1` and `l2`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.serialization import Configurable, Registry, check_number


class Regularizer(Configurable):
    """Base class of penalties ``l1 sum(|w|) + l2 sum(w**2)``.

    Attributes
    ----------
    l1, l2 : float
        The two factors, >= 0.
    """

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, w: ArrayLike) -> float:
        """Return the penalty ``l1 sum(|w|) + l2 sum(w**2)``, computed in float64.

        Parameters
        ----------
        w : array_like of float
            Weights of any shape.

        Returns
        -------
        float
        """
        values = np.asarray(w, dtype=np.float64)
        return float(self.l1 * np.sum(np.abs(values)) + self.l2 * np.sum(values * values))

    def gradient(self, w: ArrayLike) -> NDArray[Any]:
        """Return the penalty's gradient ``l1 sign(w) + 2 l2 w``; 0 is the sign of 0.

        Parameters
        ----------
        w : array_like of float
            Weights of any shape.

        Returns
        -------
        ndarray
            Of the shape and float dtype of `w` (float64 where `w` is not of a float dtype).
        """
        values = np.asarray(w)
        if values.dtype.kind != "f":
            values = values.astype(np.float64)
        return self.l1 * np.sign(values) + 2.0 * self.l2 * values


class L1L2(Regularizer):
    """The penalty ``l1 sum(|w|) + l2 sum(w**2)``.

    Parameters
    ----------
    l1, l2 : float
        Factors >= 0; default 0.0, and None means 0.0.

    Raises
    ------
    ArgumentError
        If a factor is negative or not finite.

    Examples
    --------
    >>> L1L2(l1=1.0, l2=0.5)([2.0, -2.0])
    8.0
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0) -> None:
        self.l1 = check_number("l1", 0.0 if l1 is None else l1, "L1L2", 0.0)
        self.l2 = check_number("l2", 0.0 if l2 is None else l2, "L1L2", 0.0)


class L1(Regularizer):
    """The penalty ``l1 sum(|w|)``, which drives weights to 0.

    Parameters
    ----------
    l1 : float
        A factor >= 0; default 0.01, and None means 0.01.

    Raises
    ------
    ArgumentError
        If the factor is negative or not finite.

    Examples
    --------
    >>> L1(0.5)([2.0, -2.0])
    2.0
    """

    def __init__(self, l1: float | None = 0.01) -> None:
        self.l1 = check_number("l1", 0.01 if l1 is None else l1, "L1", 0.0)


class L2(Regularizer):
    """The penalty ``l2 sum(w**2)``.

    Parameters
    ----------
    l2 : float
        A factor >= 0; default 0.01, and None means 0.01.

    Raises
    ------
    ArgumentError
        If the factor is negative or not finite.

    Examples
    --------
    >>> L2(0.5)([2.0, -2.0])
    4.0
    """

    def __init__(self, l2: float | None = 0.01) -> None:
        self.l2 = check_number("l2", 0.01 if l2 is None else l2, "L2", 0.0)


#: Keras' lower-case spellings: ``l2(0.1)`` is ``L2(0.1)``.
l1, l2, l1_l2 = L1, L2, L1L2

REGULARIZERS: Registry[Regularizer] = Registry("regularizer", Regularizer)
REGULARIZERS.add(L1)
REGULARIZERS.add(L2)
REGULARIZERS.add(L1L2, "l1l2")


def get(identifier: object) -> Regularizer | None:
    """Return the regularizer that `identifier` means; None for None.

    Parameters
    ----------
    identifier : None, str, dict, type or Regularizer
        A name such as ``'l2'`` (any case, default arguments), what `serialize` returned, a class,
        or a regularizer, which is returned as it is.

    Raises
    ------
    UnknownNameError
        If the name is not known; the nearest one is suggested.
    DtypeError
        If `identifier` is of another type, such as a Python function.

    Examples
    --------
    >>> get("l2").l2
    0.01
    """
    return None if identifier is None else REGULARIZERS.get(identifier)


def serialize(regularizer: Regularizer | None) -> dict[str, Any] | None:
    """Return ``{'class_name': ..., 'config': ...}``, which `get` turns into an equal one; None for None."""
    return None if regularizer is None else REGULARIZERS.serialize(regularizer)
