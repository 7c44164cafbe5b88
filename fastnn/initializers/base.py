"""What every initializer shares, and those that draw nothing.

Draws are made in float64 and rounded, so the same generator gives the same weights, to rounding,
in every dtype. The numbers differ from those Keras draws from the same seed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastnn.errors import ArgumentError, ShapeError
from fastnn.serialization import Configurable, check_integer, check_number


class Initializer(Configurable):
    """Base class of initializers; a subclass overrides `draw`."""

    seed: int | None = None

    def _source(self, rng: np.random.Generator | None) -> Any:
        """Return what `draw` gets as its generator: for those that do not draw, anything."""
        return rng

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return values of `shape` in float64."""
        raise NotImplementedError

    def __call__(
        self, shape: Sequence[int], dtype: DTypeLike = np.float32, rng: np.random.Generator | None = None
    ) -> NDArray[Any]:
        """Return initial values.

        Parameters
        ----------
        shape : sequence of int
            The shape wanted.
        dtype : dtype
            The dtype wanted; float32 by default.
        rng : numpy.random.Generator, optional
            Where random numbers come from, unless the initializer has a seed of its own, which is
            then used afresh at each call.

        Returns
        -------
        ndarray, C-contiguous, of `shape` and `dtype`

        Raises
        ------
        ShapeError
            If the initializer cannot fill that shape.
        ArgumentError
            If random numbers are needed and there is neither a seed nor an `rng`.
        """
        shape = tuple(check_integer("shape", extent, type(self).__name__, 0) for extent in shape)
        values = self.draw(shape, self._source(rng))
        return np.array(values, dtype=dtype, order="C")


class Constant(Initializer):
    """Every value the same.

    Parameters
    ----------
    value : float
        Default 0.0.

    Examples
    --------
    >>> Constant(0.5)((2,))
    array([0.5, 0.5], dtype=float32)
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = check_number("value", value, "Constant")

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return `value` everywhere."""
        return np.full(shape, self.value)


class Zeros(Initializer):
    """All zeros.

    Examples
    --------
    >>> Zeros()((2,))
    array([0., 0.], dtype=float32)
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return zeros."""
        return np.zeros(shape)


class Ones(Initializer):
    """All ones.

    Examples
    --------
    >>> Ones()((2,))
    array([1., 1.], dtype=float32)
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return ones."""
        return np.ones(shape)


class Identity(Initializer):
    """``gain`` on the diagonal, zero elsewhere; for matrices only, square or not.

    Parameters
    ----------
    gain : float
        Default 1.0.

    Examples
    --------
    >>> Identity()((2, 2)).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = check_number("gain", gain, "Identity")

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return the scaled identity."""
        if len(shape) != 2:
            raise ShapeError(f"Identity fills matrices only: expected two axes. Received: shape {shape}.")
        return self.gain * np.eye(*shape)


class FromCallable(Initializer):
    """A user's own function, or array, as an initializer; made by `get`.

    Parameters
    ----------
    function : callable or array_like
        ``function(shape, dtype)``, or ``function(shape, dtype, rng)``, returning an array of that
        shape; or an array of just the shape wanted.
    """

    def __init__(self, function: Callable[..., ArrayLike] | NDArray[Any]) -> None:
        self.function = function

    def __call__(
        self, shape: Sequence[int], dtype: DTypeLike = np.float32, rng: np.random.Generator | None = None
    ) -> NDArray[Any]:
        """Return the function's values as `dtype`; raises ShapeError if their shape is another."""
        if not callable(self.function):
            values = np.asarray(self.function)
        elif "rng" in inspect.signature(self.function).parameters:
            values = np.asarray(self.function(tuple(shape), dtype, rng=rng))
        else:
            values = np.asarray(self.function(tuple(shape), dtype))
        if values.shape != tuple(shape):
            raise ShapeError(
                f"The initializer {self.function!r} must give shape {tuple(shape)}. "
                f"Received: shape {values.shape}."
            )
        return np.array(values, dtype=dtype, order="C")

    def get_config(self) -> dict[str, Any]:
        """Raise ArgumentError: a function or array cannot be written down."""
        raise ArgumentError(f"The configuration cannot hold the initializer {self.function!r}.")
