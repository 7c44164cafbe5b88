"""Batch and layer normalization: mean 0 and variance 1 over the batch, or over a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fastnn import constraints, initializers, regularizers
from fastnn.errors import ArgumentError, ShapeError
from fastnn.graph.trace import Value
from fastnn.layers.axes import check_axis, check_last_axis
from fastnn.layers.base import Layer, Trace
from fastnn.layers.variables import Variable
from fastnn.ops.registry import Spec
from fastnn.serialization import check_bool, check_number


class NormalizationLayer(Layer):
    """What batch and layer normalization share: the axis, epsilon, and ``gamma`` and ``beta``."""

    config_names: ClassVar[tuple[str, ...]] = (
        "axis",
        "epsilon",
        "center",
        "scale",
        "beta_initializer",
        "gamma_initializer",
        "beta_regularizer",
        "gamma_regularizer",
        "beta_constraint",
        "gamma_constraint",
    )

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **common: Any,
    ):
        super().__init__(**common)
        where = f"layer {self.name!r}"
        self.axis = check_axis(axis, self)
        self.epsilon = check_number("epsilon", epsilon, where, 0.0, low_open=True)
        self.center = check_bool("center", center, where)
        self.scale = check_bool("scale", scale, where)
        self.beta_initializer = initializers.get(beta_initializer)
        self.gamma_initializer = initializers.get(gamma_initializer)
        self.beta_regularizer = regularizers.get(beta_regularizer)
        self.gamma_regularizer = regularizers.get(gamma_regularizer)
        self.beta_constraint = constraints.get(beta_constraint)
        self.gamma_constraint = constraints.get(gamma_constraint)
        self.gamma: Variable | None = None
        self.beta: Variable | None = None
        self._width = 0

    def build(self, specs: Sequence[Spec]) -> None:
        """Make ``gamma`` and ``beta``, those that are asked for."""
        check_last_axis(self.axis, specs[0], self)
        self._width = specs[0].shape[-1]
        if self.scale:
            self.gamma = self.add_weight(
                "gamma", (self._width,), self.gamma_initializer, self.gamma_regularizer, self.gamma_constraint
            )
        if self.center:
            self.beta = self.add_weight(
                "beta", (self._width,), self.beta_initializer, self.beta_regularizer, self.beta_constraint
            )

    def emit(self, trace: Trace, op: str, inputs: Sequence[Value], *statistics: Variable) -> Any:
        """Emit one of the normalizing ops, with the statistics it reads, ``gamma`` and ``beta``."""
        shape = inputs[0].spec.shape
        if shape[-1:] != (self._width,):
            raise ShapeError(f"was built for rows of {self._width} numbers. Received: rows of shape {shape}.")
        variables = [*statistics, *(v for v in (self.gamma, self.beta) if v is not None)]
        operands = [inputs[0], *map(trace.parameter, variables)]
        return trace.emit(op, operands, epsilon=self.epsilon, scale=self.scale, center=self.center)


class BatchNormalization(NormalizationLayer):
    """Brings each unit to mean 0 and variance 1 over the batch, then scales and shifts it.

    While training, ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`` with the mean and the
    (biased) variance of the batch, and ``moving = momentum * moving + (1 - momentum) * batch`` for both.
    Otherwise, and in training too when ``trainable`` is False, with the moving mean and variance.

    Parameters
    ----------
    axis : int, default -1
        Only the last axis: -1, or its number when the rows are counted as axis 0.
    momentum : float, default 0.99
        Of the moving statistics, in [0, 1].
    epsilon : float, default 0.001
        Above 0.
    center, scale : bool, default True
        Whether there is a ``beta``, a ``gamma``.
    beta_initializer, gamma_initializer : str, dict or Initializer
        ``'zeros'`` and ``'ones'`` by default.
    moving_mean_initializer, moving_variance_initializer : str, dict or Initializer
        ``'zeros'`` and ``'ones'`` by default.
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint : optional
    synchronized : bool, default False
        Only False: a model trains on one device.
    **common
        ``name``, ``trainable``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or asks for what is not implemented.
    ShapeError
        If the layer is used on rows of another width than it was built for.

    Notes
    -----
    Rows of shape ``(..., units)``; the output has the same shape, and the statistics are taken over all axes
    but the last. Variables of shape ``(units,)``: ``gamma``, ``beta``, and, which no gradient changes,
    ``moving_mean`` and ``moving_variance``. Ioffe and Szegedy, "Batch normalization", ICML 2015.

    Examples
    --------
    >>> from fastnn.layers import BatchNormalization, Input
    >>> layer = BatchNormalization()
    >>> layer(Input(shape=(3,))).shape, layer.count_params()
    ((None, 3), 12)
    """

    config_names: ClassVar[tuple[str, ...]] = (
        "momentum",
        *NormalizationLayer.config_names,
        "moving_mean_initializer",
        "moving_variance_initializer",
    )

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        synchronized: bool = False,
        **common: Any,
    ):
        super().__init__(
            axis,
            epsilon,
            center,
            scale,
            beta_initializer,
            gamma_initializer,
            beta_regularizer,
            gamma_regularizer,
            beta_constraint,
            gamma_constraint,
            **common,
        )
        if synchronized is not False:
            raise ArgumentError(
                f"BatchNormalization layer {self.name!r} trains on one device: `synchronized` is not "
                f"implemented, expected False. Received: synchronized={synchronized!r}."
            )
        self.momentum = check_number("momentum", momentum, f"layer {self.name!r}", 0.0, 1.0)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer)

    def build(self, specs: Sequence[Spec]) -> None:
        """Make ``gamma``, ``beta`` and the moving statistics."""
        super().build(specs)
        shape = (self._width,)
        self.moving_mean = self.add_weight(
            "moving_mean", shape, self.moving_mean_initializer, trainable=False
        )
        self.moving_variance = self.add_weight(
            "moving_variance", shape, self.moving_variance_initializer, trainable=False
        )

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the op; while training, also the update of the moving statistics."""
        moving = self.moving_mean, self.moving_variance
        if not (trace.training and self.trainable):
            return self.emit(trace, "batch_norm_infer", inputs, *moving)[0]
        y, mean, variance, _ = self.emit(trace, "batch_norm_train", inputs)
        trace.emit(
            "batch_norm_update", [mean, variance, *map(trace.parameter, moving)], momentum=self.momentum
        )
        return y


class LayerNormalization(NormalizationLayer):
    """Brings each row to mean 0 and variance 1, then scales and shifts each unit.

    ``y = gamma * (x - mean) / sqrt(variance + epsilon) + beta`` with the mean and the (biased) variance over
    the last axis; the same in training and otherwise.

    Parameters
    ----------
    axis : int, default -1
        Only the last axis: -1, or its number when the rows are counted as axis 0.
    epsilon : float, default 0.001
        Above 0.
    center, scale : bool, default True
        Whether there is a ``beta``, a ``gamma``.
    beta_initializer, gamma_initializer : str, dict or Initializer
        ``'zeros'`` and ``'ones'`` by default.
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint : optional
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or asks for what is not implemented.
    ShapeError
        If the layer is used on rows of another width than it was built for.

    Notes
    -----
    Rows of shape ``(..., units)``; the output has the same shape. Variables of shape ``(units,)``: ``gamma``
    and ``beta``. Ba, Kiros and Hinton, "Layer normalization", 2016.

    Examples
    --------
    >>> from fastnn.layers import Input, LayerNormalization
    >>> layer = LayerNormalization()
    >>> layer(Input(shape=(3,))).shape, layer.count_params()
    ((None, 3), 6)
    """

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the op."""
        return self.emit(trace, "layer_norm", inputs)[0]
