"""Initial weights: Keras' names, arguments and defaults, drawn on the host.

An initializer is called with a shape, a dtype and a NumPy generator. Draws are made in float64 and
rounded, so the same generator gives the same weights, to rounding, in every dtype. The numbers
differ from those Keras draws from the same seed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastnn.errors import ArgumentError, ShapeError
from fastnn.serialization import Configurable, Registry, check_choice, check_integer, check_number

#: Standard deviation of a standard normal distribution truncated to [-2, 2].
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(Configurable):
    """Base class of initializers; a subclass overrides `draw`."""

    seed: int | None = None

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
        if isinstance(self, RandomInitializer):
            if self.seed is not None:
                rng = np.random.default_rng(self.seed)
            elif rng is None:
                raise ArgumentError(
                    f"{type(self).__name__} needs random numbers: pass rng=numpy.random.default_rng(...) or "
                    "give the initializer a seed. Received: rng=None and seed=None."
                )
        values = self.draw(shape, rng if rng is not None else np.random.default_rng(0))
        return np.ascontiguousarray(values, dtype=dtype).reshape(shape)


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


class RandomInitializer(Initializer):
    """Base class of initializers that draw; see `Initializer` for where from."""

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
        self._set(scale, mode, distribution, seed, input_axes, output_axes)

    def _set(
        self,
        scale: float,
        mode: str,
        distribution: str,
        seed: int | None,
        input_axes: Sequence[int] | None,
        output_axes: Sequence[int] | None,
    ) -> None:
        """Check and keep the arguments."""
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


class GlorotUniform(VarianceScaling):
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

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self._set(1.0, "fan_avg", "uniform", seed, input_axes, output_axes)


class GlorotNormal(VarianceScaling):
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

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self._set(1.0, "fan_avg", "truncated_normal", seed, input_axes, output_axes)


class HeUniform(VarianceScaling):
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

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self._set(2.0, "fan_in", "uniform", seed, input_axes, output_axes)


class HeNormal(VarianceScaling):
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

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self._set(2.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class LecunUniform(VarianceScaling):
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

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self._set(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


class LecunNormal(VarianceScaling):
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

    def __init__(
        self,
        seed: int | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        self._set(1.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


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

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        """Return the function's values, checked for their shape."""
        raise NotImplementedError  # __call__ does not come here: the function takes the dtype too

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


def _truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Return standard normal values, those beyond 2 drawn again until none is left."""
    values = rng.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2.0)
    while outside.size:
        values[outside] = rng.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2.0]
    return values.reshape(shape)


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
