"""The activations that have arguments, as layers; those without are in ``simple_activations``.

Rows of any shape; the output has the same shape. Only PReLU has a variable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from fastnn import activations, constraints, initializers, regularizers
from fastnn.errors import ArgumentError, ShapeError
from fastnn.graph.trace import Value
from fastnn.layers.axes import check_axis, check_last_axis
from fastnn.layers.base import Layer, Trace
from fastnn.ops.registry import Spec
from fastnn.serialization import check_bool, check_number


class ActivationLayer(Layer):
    """Base class: applies the activation `op`, with the layer's arguments of `attrs` as its attributes."""

    op: ClassVar[str] = ""
    attrs: ClassVar[tuple[str, ...]] = ()

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the activation."""
        return activations.emit(
            trace, inputs[0], self.op, **{name: getattr(self, name) for name in self.attrs}
        )

    def _number(self, name: str, value: Any, *, low_open: bool = False) -> float:
        return check_number(name, value, f"layer {self.name!r}", 0.0, low_open=low_open)


class ReLU(ActivationLayer):
    """Rectifier with a threshold, a slope below it and a largest value.

    ``y = x`` if ``x >= threshold``, else ``negative_slope * (x - threshold)``; at most `max_value`. Rows
    of any shape; the output has the same.

    Parameters
    ----------
    max_value : float, optional
        Largest output, at least 0; unlimited by default.
    negative_slope : float, default 0.0
        Slope below the threshold, at least 0.
    threshold : float, default 0.0
        Where the linear part starts, at least 0.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If an argument is negative or not finite.

    Examples
    --------
    >>> from fastnn.layers import Input, ReLU
    >>> ReLU(max_value=6.0)(Input(shape=(3,))).shape
    (None, 3)
    """

    config_names: ClassVar[tuple[str, ...]] = ("max_value", "negative_slope", "threshold")
    op = "relu"
    attrs = config_names

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **common: Any,
    ):
        super().__init__(**common)
        self.max_value = None if max_value is None else self._number("max_value", max_value)
        self.negative_slope = self._number("negative_slope", negative_slope)
        self.threshold = self._number("threshold", threshold)


class LeakyReLU(ActivationLayer):
    """Leaky rectifier: ``y = x`` if ``x > 0``, else ``negative_slope * x``.

    Rows of any shape; the output has the same.

    Parameters
    ----------
    negative_slope : float, default 0.3
        At least 0. (The activation ``'leaky_relu'`` has 0.2, as in Keras.)
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If the slope is negative or not finite.

    Examples
    --------
    >>> from fastnn.layers import Input, LeakyReLU
    >>> LeakyReLU(0.1)(Input(shape=(3,))).shape
    (None, 3)
    """

    config_names: ClassVar[tuple[str, ...]] = ("negative_slope",)
    op = "leaky_relu"
    attrs = config_names

    def __init__(self, negative_slope: float = 0.3, **common: Any):
        super().__init__(**common)
        self.negative_slope = self._number("negative_slope", negative_slope)


class PReLU(Layer):
    """Rectifier with a learned slope for each unit: ``y = x`` if ``x > 0``, else ``alpha * x``.

    Parameters
    ----------
    alpha_initializer : str, dict or Initializer, default 'zeros'
    alpha_regularizer, alpha_constraint : optional
    shared_axes : None
        Not implemented: every unit has its own slope.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If `shared_axes` is given.
    ShapeError
        If the layer is used on rows of another shape than it was built for.

    Notes
    -----
    Rows of any shape; the output has the same. Variable: ``alpha``, of the shape of a row.
    He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> from fastnn.layers import Input, PReLU
    >>> layer = PReLU()
    >>> layer(Input(shape=(3,))).shape, layer.count_params()
    ((None, 3), 3)
    """

    config_names: ClassVar[tuple[str, ...]] = ("alpha_initializer", "alpha_regularizer", "alpha_constraint")

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: None = None,
        **common: Any,
    ):
        super().__init__(**common)
        if shared_axes is not None:
            raise ArgumentError(
                f"PReLU layer {self.name!r} has one slope a unit: `shared_axes` is not implemented, expected "
                f"None. Received: shared_axes={shared_axes!r}."
            )
        self.alpha_initializer = initializers.get(alpha_initializer)
        self.alpha_regularizer = regularizers.get(alpha_regularizer)
        self.alpha_constraint = constraints.get(alpha_constraint)

    def build(self, specs: Sequence[Spec]) -> None:
        """Make the slopes."""
        self.alpha = self.add_weight(
            "alpha", specs[0].shape, self.alpha_initializer, self.alpha_regularizer, self.alpha_constraint
        )

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the activation."""
        (x,) = inputs
        if x.spec.shape != self.alpha.shape:
            raise ShapeError(
                f"was built for rows of shape {self.alpha.shape}. Received: rows of shape {x.spec.shape}."
            )
        return trace.emit("prelu", [x, trace.parameter(self.alpha)])


class ELU(ActivationLayer):
    """Exponential linear unit: ``y = x`` if ``x > 0``, else ``alpha * (exp(x) - 1)``.

    Rows of any shape; the output has the same.

    Parameters
    ----------
    alpha : float, default 1.0
        At least 0.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If `alpha` is negative or not finite.

    Examples
    --------
    >>> from fastnn.layers import ELU, Input
    >>> ELU()(Input(shape=(3,))).shape
    (None, 3)
    """

    config_names: ClassVar[tuple[str, ...]] = ("alpha",)
    op = "elu"
    attrs = config_names

    def __init__(self, alpha: float = 1.0, **common: Any):
        super().__init__(**common)
        self.alpha = self._number("alpha", alpha)


class CELU(ActivationLayer):
    """Continuously differentiable ELU: ``y = x`` if ``x > 0``, else ``alpha * (exp(x / alpha) - 1)``.

    Rows of any shape; the output has the same.

    Parameters
    ----------
    alpha : float, default 1.0
        Above 0.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If `alpha` is not positive and finite.

    Examples
    --------
    >>> from fastnn.layers import CELU, Input
    >>> CELU(0.5)(Input(shape=(3,))).shape
    (None, 3)
    """

    config_names: ClassVar[tuple[str, ...]] = ("alpha",)
    op = "celu"
    attrs = config_names

    def __init__(self, alpha: float = 1.0, **common: Any):
        super().__init__(**common)
        self.alpha = self._number("alpha", alpha, low_open=True)


class GELU(ActivationLayer):
    """Gaussian error linear unit: ``y = x * P(X <= x)`` for a standard normal X.

    Rows of any shape; the output has the same.

    Parameters
    ----------
    approximate : bool, default False
        Use ``0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))``.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If `approximate` is neither True nor False.

    Examples
    --------
    >>> from fastnn.layers import GELU, Input
    >>> GELU()(Input(shape=(3,))).shape
    (None, 3)
    """

    config_names: ClassVar[tuple[str, ...]] = ("approximate",)
    op = "gelu"
    attrs = config_names

    def __init__(self, approximate: bool = False, **common: Any):
        super().__init__(**common)
        self.approximate = check_bool("approximate", approximate, f"layer {self.name!r}")


class LastAxisActivation(ActivationLayer):
    """Base class of the activations that mix the values along the last axis."""

    config_names: ClassVar[tuple[str, ...]] = ("axis",)

    def __init__(self, axis: int = -1, **common: Any):
        super().__init__(**common)
        self.axis = check_axis(axis, self)

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the activation."""
        check_last_axis(self.axis, inputs[0].spec, self)
        return super().call(trace, inputs)


class Softmax(LastAxisActivation):
    """Probabilities: ``y = exp(x) / sum(exp(x))`` over the last axis.

    Rows of shape ``(..., n)``; the output has the same.

    Parameters
    ----------
    axis : int, default -1
        Only the last axis: -1, or its number when the rows are counted as axis 0.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If `axis` is another axis.

    Examples
    --------
    >>> from fastnn.layers import Input, Softmax
    >>> Softmax()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "softmax"


class LogSoftmax(LastAxisActivation):
    """Logarithms of probabilities: ``y = x - log(sum(exp(x)))`` over the last axis.

    Rows of shape ``(..., n)``; the output has the same.

    Parameters
    ----------
    axis : int, default -1
        Only the last axis: -1, or its number when the rows are counted as axis 0.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If `axis` is another axis.

    Examples
    --------
    >>> from fastnn.layers import Input, LogSoftmax
    >>> LogSoftmax()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "log_softmax"
