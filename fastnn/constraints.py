"""Constraints: projections applied to weights after each update. Keras' names and defaults.

The equations are those of Keras 3.15 (``keras/src/constraints/constraints.py``), the fuzz factor of
1e-7 included: a constrained norm comes out smaller by about 1e-7.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import ArgumentError, ShapeError
from fastnn.serialization import Configurable, Registry, check_number

EPS = 1e-7


class Constraint(Configurable):
    """Base class of constraints.

    Attributes
    ----------
    kind : str
        Which projection: 'max_norm', 'non_neg', 'unit_norm' or 'min_max_norm'.
    params : tuple of float
        Its numbers, in the order of the constructor's arguments, `axis` left out.
    axis : int or None
        The axis along which norms are taken; None where there are none.
    """

    kind: ClassVar[str] = ""
    axis: int | None = None

    @property
    def params(self) -> tuple[float, ...]:
        """The projection's numbers, `axis` left out."""
        return tuple(getattr(self, name) for name in self.argument_names() if name != "axis")

    def _set_axis(self, axis: int) -> None:
        """Check and keep the axis."""
        if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool):
            raise ArgumentError(
                f"`axis` of {type(self).__name__} must be an integer. Received: axis={axis!r}."
            )
        self.axis = int(axis)

    def desired_norms(self, norms: NDArray[Any]) -> NDArray[Any]:
        """Return the norms that the weights are to have."""
        raise NotImplementedError

    def __call__(self, w: ArrayLike) -> NDArray[Any]:
        """Return the projected weights as a new array.

        Parameters
        ----------
        w : array_like of float
            Weights; not modified.

        Returns
        -------
        ndarray
            ``w desired / (norm + 1e-7)``, of the shape and float dtype of `w` (float64 where `w`
            is not of a float dtype).

        Raises
        ------
        ShapeError
            If `w` lacks the constraint's axis.
        """
        values = np.asarray(w)
        if values.dtype.kind != "f":
            values = values.astype(np.float64)
        if self.axis is not None and not -values.ndim <= self.axis < values.ndim:
            raise ShapeError(
                f"{type(self).__name__} takes norms along axis {self.axis}, which the weights must have. "
                f"Received: weights of shape {values.shape}."
            )
        return self._project(values)

    def _project(self, values: NDArray[Any]) -> NDArray[Any]:
        norms = np.sqrt(np.sum(np.square(values), axis=self.axis, keepdims=True))
        scale: NDArray[Any] = (self.desired_norms(norms) / (EPS + norms)).astype(values.dtype)
        return values * scale


class MaxNorm(Constraint):
    """Norms of at most `max_value`.

    Parameters
    ----------
    max_value : float
        >= 0; default 2.
    axis : int
        The axis along which norms are taken; default 0, the inputs of a dense kernel
        ``(inputs, units)``, so that each unit has its own norm.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> MaxNorm(1.0)([[3.0], [4.0]]).round(3).tolist()
    [[0.6], [0.8]]
    """

    kind = "max_norm"

    def __init__(self, max_value: float = 2, axis: int = 0) -> None:
        self.max_value = check_number("max_value", max_value, "MaxNorm", 0.0)
        self._set_axis(axis)

    def desired_norms(self, norms: NDArray[Any]) -> NDArray[Any]:
        """Return the norms, at most `max_value`."""
        return np.minimum(norms, self.max_value)


class NonNeg(Constraint):
    """No negative weights: ``max(w, 0)``.

    Examples
    --------
    >>> NonNeg()([-1.0, 2.0]).tolist()
    [0.0, 2.0]
    """

    kind = "non_neg"

    def _project(self, values: NDArray[Any]) -> NDArray[Any]:
        return np.maximum(values, 0)


class UnitNorm(Constraint):
    """Norms of 1.

    Parameters
    ----------
    axis : int
        The axis along which norms are taken; default 0, the inputs of a dense kernel
        ``(inputs, units)``, so that each unit has its own norm.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> UnitNorm()([[3.0], [4.0]]).round(3).tolist()
    [[0.6], [0.8]]
    """

    kind = "unit_norm"

    def __init__(self, axis: int = 0) -> None:
        self._set_axis(axis)

    def desired_norms(self, norms: NDArray[Any]) -> NDArray[Any]:
        """Return ones."""
        return np.ones_like(norms)


class MinMaxNorm(Constraint):
    """Norms between `min_value` and `max_value`, approached at a `rate`.

    A norm ``n`` becomes ``rate clip(n, min_value, max_value) + (1 - rate) n``.

    Parameters
    ----------
    min_value : float
        >= 0; default 0.0.
    max_value : float
        >= `min_value`; default 1.0.
    rate : float
        In ``[0, 1]``; default 1.0, which is strict.
    axis : int
        The axis along which norms are taken; default 0, the inputs of a dense kernel
        ``(inputs, units)``, so that each unit has its own norm.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> MinMaxNorm(1.0, 2.0)([[0.3], [0.4]]).round(3).tolist()
    [[0.6], [0.8]]
    """

    kind = "min_max_norm"

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: int = 0
    ) -> None:
        self.min_value = check_number("min_value", min_value, "MinMaxNorm", 0.0)
        self.max_value = check_number("max_value", max_value, "MinMaxNorm", self.min_value)
        self.rate = check_number("rate", rate, "MinMaxNorm", 0.0, 1.0)
        self._set_axis(axis)

    def desired_norms(self, norms: NDArray[Any]) -> NDArray[Any]:
        """Return the norms, moved towards the interval."""
        return self.rate * np.clip(norms, self.min_value, self.max_value) + (1.0 - self.rate) * norms


CONSTRAINTS: Registry[Constraint] = Registry("constraint", Constraint)
for _class in (MaxNorm, NonNeg, UnitNorm, MinMaxNorm):
    CONSTRAINTS.add(_class)

#: Keras' lower-case spellings: ``max_norm(3.0)`` is ``MaxNorm(3.0)``.
max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm


def get(identifier: object) -> Constraint | None:
    """Return the constraint that `identifier` means; None for None.

    Parameters
    ----------
    identifier : None, str, dict, type or Constraint
        A name such as ``'max_norm'`` (any case, default arguments), what `serialize` returned, a
        class, or a constraint, which is returned as it is.

    Raises
    ------
    UnknownNameError
        If the name is not known; the nearest one is suggested.
    DtypeError
        If `identifier` is of another type, such as a Python function.

    Examples
    --------
    >>> get("max_norm").max_value
    2.0
    """
    return None if identifier is None else CONSTRAINTS.get(identifier)


def serialize(constraint: Constraint | None) -> dict[str, Any] | None:
    """Return ``{'class_name': ..., 'config': ...}``, which `get` turns into an equal one; None for None."""
    return None if constraint is None else CONSTRAINTS.serialize(constraint)
