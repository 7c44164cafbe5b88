"""Initializers that draw: normal, uniform, scaled by the shape, orthogonal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError, ShapeError
from fastnn.initializers.base import Initializer
from fastnn.serialization import check_choice, check_integer, check_number

#: Standard deviation of a standard normal distribution truncated to [-2, 2].
_TRUNCATED_STDDEV = 0.87962566103423978


def _truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Return standard normal values, those beyond 2 drawn again until none is left."""
    values = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2.0)
    while outside.size:
        values[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2.0]
    return values.reshape(shape)


class RandomInitializer(Initializer):
    """Base class of initializers that draw; see `Initializer` for where from."""

    def _source(self, rng: np.random.Generator | None) -> np.random.Generator:
        """Return a generator from the seed, else `rng`; raise ArgumentError if there is neither."""
        if self.seed is not None:
            return np.random.default_rng(self.seed)
        if rng is None:
            raise ArgumentError(
                f"{type(self).__name__} needs random numbers: pass rng=numpy.random.default_rng(...) or "
                "give the initializer a seed. Received: rng=None and seed=None."
            )
        return rng

    def _set_seed(self, seed: int | None) -> None:
        self.seed = None if seed is None else check_integer("seed", seed, type(self).__name__, 0)


class RandomNormal(RandomInitializer):
    """Normal.

    Parameters
    ----------
    mean : float
        Default 0.0.
    stddev : float
        Standard deviation, >= 0; default 0.05.
    seed : int, optional
        A seed of its own; the same values at each call.

    Examples
    --------
    >>> RandomNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = check_number("mean", mean, type(self).__name__)
        self.stddev = check_number("stddev", stddev, type(self).__name__, 0.0)
        self._set_seed(seed)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return normal values."""
        return self.mean + self.stddev * rng.standard_normal(shape)


class TruncatedNormal(RandomNormal):
    """Normal, values farther than two `stddev` from the mean drawn again.

    What comes out has a standard deviation of 0.88 `stddev`, as in Keras.

    Parameters
    ----------
    mean : float
        Default 0.0.
    stddev : float
        Standard deviation before truncation, >= 0; default 0.05.
    seed : int, optional
        A seed of its own; the same values at each call.

    Examples
    --------
    >>> bool(abs(TruncatedNormal(seed=1)((99,))).max() <= 0.1)
    True
    """

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return truncated normal values."""
        return self.mean + self.stddev * _truncated_normal(shape, rng)


class RandomUniform(RandomInitializer):
    """Uniform in ``[minval, maxval)``.

    Parameters
    ----------
    minval : float
        Default -0.05.
    maxval : float
        At least `minval`; default 0.05.
    seed : int, optional
        A seed of its own; the same values at each call.

    Examples
    --------
    >>> RandomUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = check_number("minval", minval, "RandomUniform")
        self.maxval = check_number("maxval", maxval, "RandomUniform", self.minval)
        self._set_seed(seed)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return uniform values."""
        return self.minval + (self.maxval - self.minval) * rng.random(shape)


class VarianceScaling(RandomInitializer):
    """A spread that depends on the shape: variance ``scale / n``.

    ``n`` is the fan in, the fan out, or their mean, at least 1. For a shape ``(inputs, outputs)``
    these are the two extents; for ``(..., inputs, outputs)`` both times the product of the rest;
    for ``(m,)`` both are ``m``.

    Parameters
    ----------
    scale : float
        Greater than 0; default 1.0.
    mode : {'fan_in', 'fan_out', 'fan_avg'}
        What ``n`` is.
    distribution : {'truncated_normal', 'untruncated_normal', 'uniform'}
        'normal' means 'truncated_normal', corrected so that the variance is right after truncation.
    seed : int, optional
        A seed of its own; the same values at each call.
    input_axes, output_axes : sequence of int, optional
        Axes whose product is the fan in and the fan out, in place of the rule; give both or neither.

    Examples
    --------
    >>> VarianceScaling(scale=2.0, seed=1)((2, 3)).shape
    (2, 3)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        where = type(self).__name__
        self.scale = check_number("scale", scale, where, 0.0, low_open=True)
        self.mode = check_choice("mode", mode, where, ("fan_in", "fan_out", "fan_avg"))
        distribution = distribution.lower() if isinstance(distribution, str) else distribution
        self.distribution = check_choice(
            "distribution",
            "truncated_normal" if distribution == "normal" else distribution,
            where,
            ("truncated_normal", "untruncated_normal", "uniform"),
        )
        if (input_axes is None) != (output_axes is None):
            raise ArgumentError(
                f"`input_axes` and `output_axes` of {where} must be given both or neither. "
                f"Received: input_axes={input_axes!r}, output_axes={output_axes!r}."
            )
        self.input_axes = None if input_axes is None else tuple(input_axes)
        self.output_axes = None if output_axes is None else tuple(output_axes)
        self._set_seed(seed)

    def fans(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return the fan in and the fan out of `shape`."""
        if self.input_axes is not None and self.output_axes is not None:
            try:
                inputs, outputs = (
                    [shape[axis] for axis in axes] for axes in (self.input_axes, self.output_axes)
                )
            except IndexError:
                raise ShapeError(
                    f"{type(self).__name__} has input_axes={self.input_axes} and output_axes="
                    f"{self.output_axes}. Received: shape {shape}, which lacks one of them."
                ) from None
            return math.prod(inputs), math.prod(outputs)
        if len(shape) < 2:
            return math.prod(shape), math.prod(shape)
        return math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return scaled values."""
        fan_in, fan_out = self.fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, n))
        if self.distribution == "uniform":
            return math.sqrt(3.0) * stddev * (2.0 * rng.random(shape) - 1.0)
        if self.distribution == "untruncated_normal":
            return stddev * rng.standard_normal(shape)
        return stddev / _TRUNCATED_STDDEV * _truncated_normal(shape, rng)


class _Scaled(VarianceScaling):
    """The part common to the named rules: scale, mode and distribution are fixed."""

    _settings: ClassVar[tuple[float, str, str]]

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(*self._settings, seed, input_axes, output_axes)


class GlorotUniform(_Scaled):
    """Uniform in ``[-a, a]``: the default of a dense layer's kernel.

    ``a = sqrt(6 / (fan_in + fan_out))``. Source: Glorot and Bengio (2010), AISTATS.

    Parameters
    ----------
    seed, input_axes, output_axes : optional
        As in `VarianceScaling`.

    Examples
    --------
    >>> GlorotUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    _settings = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal, scaled by both fans.

    Standard deviation ``sqrt(2 / (fan_in + fan_out))``. Source: Glorot and Bengio (2010), AISTATS.

    Parameters
    ----------
    seed, input_axes, output_axes : optional
        As in `VarianceScaling`.

    Examples
    --------
    >>> GlorotNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    _settings = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform in ``[-a, a]``, for relu layers.

    ``a = sqrt(6 / fan_in)``. Source: He et al. (2015), arXiv:1502.01852.

    Parameters
    ----------
    seed, input_axes, output_axes : optional
        As in `VarianceScaling`.

    Examples
    --------
    >>> HeUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    _settings = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal, for relu layers.

    Standard deviation ``sqrt(2 / fan_in)``. Source: He et al. (2015), arXiv:1502.01852.

    Parameters
    ----------
    seed, input_axes, output_axes : optional
        As in `VarianceScaling`.

    Examples
    --------
    >>> HeNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    _settings = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform in ``[-a, a]``, scaled by the inputs.

    ``a = sqrt(3 / fan_in)``. Source: LeCun et al. (1998), "Efficient BackProp".

    Parameters
    ----------
    seed, input_axes, output_axes : optional
        As in `VarianceScaling`.

    Examples
    --------
    >>> LecunUniform(seed=1)((2, 3)).shape
    (2, 3)
    """

    _settings = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal, scaled by the inputs, for selu layers.

    Standard deviation ``sqrt(1 / fan_in)``. Source: LeCun et al. (1998), "Efficient BackProp".

    Parameters
    ----------
    seed, input_axes, output_axes : optional
        As in `VarianceScaling`.

    Examples
    --------
    >>> LecunNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    _settings = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """Orthogonal columns, or rows where there are fewer rows than columns.

    The Q of the QR decomposition of a normal matrix, with the signs that make it uniformly
    distributed; a shape of more axes is filled as the matrix ``(product of the rest, last)``.
    Source: Saxe et al. (2014), arXiv:1312.6120; Mezzadri (2007), arXiv:math-ph/0609050.

    Parameters
    ----------
    gain : float
        A factor; default 1.0.
    seed : int, optional
        A seed of its own; the same values at each call.

    Examples
    --------
    >>> q = Orthogonal(seed=1)((3, 2), "float64")
    >>> bool(np.allclose(q.T @ q, np.eye(2)))
    True
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = check_number("gain", gain, "Orthogonal")
        self._set_seed(seed)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return an orthogonal matrix in `shape`."""
        if len(shape) < 2:
            raise ShapeError(f"Orthogonal needs at least two axes. Received: shape {shape}.")
        rows, cols = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(rng.standard_normal((max(rows, cols), min(rows, cols))))
        q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
        return self.gain * (q.T if rows < cols else q).reshape(shape)
