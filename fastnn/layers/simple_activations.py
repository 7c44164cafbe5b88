"""The activations without arguments, as layers. Rows of any shape; the output has the same shape."""

from __future__ import annotations

from fastnn.layers.activation_layers import ActivationLayer


class Linear(ActivationLayer):
    """The identity: ``y = x``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, Linear
    >>> Linear()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "linear"


class SELU(ActivationLayer):
    """Scaled ELU: ``y = 1.0507010 * x`` if ``x > 0``, else ``1.7580993 * (exp(x) - 1)``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, SELU
    >>> SELU()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "selu"


class SiLU(ActivationLayer):
    """Sigmoid linear unit, also called swish: ``y = x / (1 + exp(-x))``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, SiLU
    >>> SiLU()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "silu"


class Mish(ActivationLayer):
    """``y = x * tanh(log(1 + exp(x)))``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, Mish
    >>> Mish()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "mish"


class Softplus(ActivationLayer):
    """A smooth rectifier: ``y = log(1 + exp(x))``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, Softplus
    >>> Softplus()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "softplus"


class Softsign(ActivationLayer):
    """``y = x / (1 + |x|)``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, Softsign
    >>> Softsign()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "softsign"


class Tanh(ActivationLayer):
    """Hyperbolic tangent: ``y = tanh(x)``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, Tanh
    >>> Tanh()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "tanh"


class Sigmoid(ActivationLayer):
    """Logistic function: ``y = 1 / (1 + exp(-x))``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, Sigmoid
    >>> Sigmoid()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "sigmoid"


class HardSigmoid(ActivationLayer):
    """Piecewise linear sigmoid: ``y = min(max(x / 6 + 1 / 2, 0), 1)``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import HardSigmoid, Input
    >>> HardSigmoid()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "hard_sigmoid"


class HardTanh(ActivationLayer):
    """Piecewise linear tanh: ``y = min(max(x, -1), 1)``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import HardTanh, Input
    >>> HardTanh()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "hard_tanh"


class LogSigmoid(ActivationLayer):
    """Logarithm of the sigmoid: ``y = -log(1 + exp(-x))``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Input, LogSigmoid
    >>> LogSigmoid()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "log_sigmoid"


class Exponential(ActivationLayer):
    """``y = exp(x)``.

    Rows of any shape; the output has the same.

    Examples
    --------
    >>> from fastnn.layers import Exponential, Input
    >>> Exponential()(Input(shape=(3,))).shape
    (None, 3)
    """

    op = "exponential"


#: Another name of :class:`SiLU`.
Swish = SiLU
