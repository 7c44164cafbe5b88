"""Layers that regularize: random while training, and nothing at all afterwards; and the activity penalty."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fastnn.errors import ArgumentError
from fastnn.graph.trace import Value
from fastnn.layers.base import Layer, Trace
from fastnn.regularizers import L1L2
from fastnn.serialization import check_integer, check_number


class RandomLayer(Layer):
    """Base class of the layers that are random while training and the identity otherwise.

    A subclass sets `op` and `strength`, the name of the op's attribute (and of the layer's argument) that is
    0 where the layer does nothing.
    """

    op: ClassVar[str] = ""
    strength: ClassVar[str] = "rate"

    def __init__(self, seed: int | None = None, **common: Any):
        super().__init__(**common)
        self.seed = None if seed is None else check_integer("seed", seed, f"layer {self.name!r}", 0)

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the op, with a random stream of its own; or return the input as it is."""
        strength = getattr(self, self.strength)
        if not trace.training or strength == 0.0:
            return inputs[0]
        attrs = {self.strength: strength, "seed_stream": trace.stream(), "seed": self.seed or 0}
        outputs = trace.emit(self.op, inputs, **attrs)
        return outputs[0] if isinstance(outputs, tuple) else outputs

    def _check_noise_shape(self, noise_shape: Any) -> None:
        if noise_shape is not None:
            raise ArgumentError(
                f"{type(self).__name__} layer {self.name!r} draws for every element: `noise_shape` is not "
                f"implemented, expected None. Received: noise_shape={noise_shape!r}."
            )


class Dropout(RandomLayer):
    """Sets a random part of the values to 0 while training, and scales up the rest.

    ``y = x * mask``, where ``mask`` is 0 with probability `rate`, else ``1 / (1 - rate)``. Outside training
    ``y = x``.

    Parameters
    ----------
    rate : float
        Part of the values to drop, in [0, 1). With 0 the layer does nothing. Masks have a resolution of
        ``2**-16``.
    noise_shape : None
        Not implemented; here for the order of the arguments.
    seed : int, optional
        Added to the seed of the run. A mask depends on that sum, on the layer's place in the model and on
        the training step.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.

    Notes
    -----
    Rows of any shape; the output has the same. There are no variables. Srivastava et al., "Dropout: a simple
    way to prevent neural networks from overfitting", JMLR 15, 2014.

    Examples
    --------
    >>> from fastnn.layers import Dropout, Input
    >>> Dropout(0.5)(Input(shape=(8,))).shape
    (None, 8)
    """

    config_names: ClassVar[tuple[str, ...]] = ("rate", "seed")
    op = "dropout"

    def __init__(self, rate: float, noise_shape: None = None, seed: int | None = None, **common: Any):
        super().__init__(seed=seed, **common)
        self.rate = check_number("rate", rate, f"layer {self.name!r}", 0.0, 1.0, high_open=True)
        self._check_noise_shape(noise_shape)


class AlphaDropout(RandomLayer):
    """Dropout for networks of ``selu`` units: it keeps the mean 0 and the variance 1 of its input.

    ``y = a * (x where kept, else p) + b`` with ``p = -1.7580993``, the value of selu at minus infinity,
    ``a = ((1 - rate) * (1 + rate * p**2)) ** -0.5`` and ``b = -a * p * rate``. Outside training ``y = x``.

    Parameters
    ----------
    rate : float
        Part of the values to replace, in [0, 1). With 0 the layer does nothing.
    noise_shape : None
        Not implemented; here for the order of the arguments.
    seed : int, optional
        Added to the seed of the run: see :class:`Dropout`.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.

    Notes
    -----
    Rows of any shape; the output has the same. There are no variables. Klambauer et al., "Self-normalizing
    neural networks", NIPS 2017.

    Examples
    --------
    >>> from fastnn.layers import AlphaDropout, Input
    >>> AlphaDropout(0.1)(Input(shape=(8,))).shape
    (None, 8)
    """

    config_names: ClassVar[tuple[str, ...]] = ("rate", "seed")
    op = "alpha_dropout"

    def __init__(self, rate: float, noise_shape: None = None, seed: int | None = None, **common: Any):
        super().__init__(seed=seed, **common)
        self.rate = check_number("rate", rate, f"layer {self.name!r}", 0.0, 1.0, high_open=True)
        self._check_noise_shape(noise_shape)


class GaussianNoise(RandomLayer):
    """Adds normal noise while training: ``y = x + stddev * n`` with ``n ~ N(0, 1)``; else ``y = x``.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, at least 0. With 0 the layer does nothing.
    seed : int, optional
        Added to the seed of the run: see :class:`Dropout`.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If an argument is out of its range.

    Notes
    -----
    Rows of any shape; the output has the same. There are no variables.

    Examples
    --------
    >>> from fastnn.layers import GaussianNoise, Input
    >>> GaussianNoise(0.1)(Input(shape=(8,))).shape
    (None, 8)
    """

    config_names: ClassVar[tuple[str, ...]] = ("stddev", "seed")
    op = "gaussian_noise"
    strength = "stddev"

    def __init__(self, stddev: float, seed: int | None = None, **common: Any):
        super().__init__(seed=seed, **common)
        self.stddev = check_number("stddev", stddev, f"layer {self.name!r}", 0.0)


class ActivityRegularization(Layer):
    """Passes its input on, and adds a penalty on it to the loss.

    The penalty is ``l1 * sum(|x|) + l2 * sum(x**2)``, averaged over the rows of the batch.

    Parameters
    ----------
    l1, l2 : float, default 0.0
        Factors, at least 0.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If a factor is negative or not finite.

    Notes
    -----
    Rows of any shape; the output is the input. There are no variables.

    Examples
    --------
    >>> from fastnn.layers import ActivityRegularization, Input
    >>> ActivityRegularization(l1=0.01)(Input(shape=(8,))).shape
    (None, 8)
    """

    config_names: ClassVar[tuple[str, ...]] = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **common: Any):
        penalty = L1L2(l1, l2)
        super().__init__(activity_regularizer=penalty if penalty.l1 or penalty.l2 else None, **common)
        self.l1, self.l2 = penalty.l1, penalty.l2

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Return the input; the penalty is added by :meth:`Layer.apply`."""
        return inputs[0]

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data."""
        config = super().get_config()
        config.pop("activity_regularizer", None)  # l1 and l2 say it all
        return config
