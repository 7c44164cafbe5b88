"""Adam and its family: running means of the gradient and of its size, corrected for their youth."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastnn.errors import ArgumentError
from fastnn.optimizers.base import F64, LearningRate, Optimizer, Slots
from fastnn.serialization import check_bool, check_number


class _TwoMeans(Optimizer):
    """The part common to the family: two betas, an epsilon, two means."""

    _numbers: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2", "epsilon")

    def _set_means(self, arguments: dict[str, Any]) -> None:
        """Check and keep a constructor's `arguments`, the common ones included."""
        self._set_shared(arguments)
        where = type(self).__name__
        self.beta_1 = check_number("beta_1", arguments["beta_1"], where, 0.0, 1.0, high_open=True)
        self.beta_2 = check_number("beta_2", arguments["beta_2"], where, 0.0, 1.0, high_open=True)
        self.epsilon = check_number("epsilon", arguments["epsilon"], where, 0.0)

    def slots(self) -> tuple[str, ...]:
        """Return ``('momentum', 'velocity')``: the means of the gradient and of its square."""
        return ("momentum", "velocity")

    def _advance(self, grad: F64, slots: Slots) -> tuple[F64, F64]:
        """Update both means in place and return them."""
        m, v = slots["momentum"], slots["velocity"]
        m += (grad - m) * (1.0 - self.beta_1)
        v += (grad**2 - v) * (1.0 - self.beta_2)
        return m, v


class Adam(_TwoMeans):
    """Adam: the mean gradient over the root of the mean squared gradient.

    ``m += (1 - beta_1)(g - m)``; ``v += (1 - beta_2)(g**2 - v)``;
    ``alpha = lr sqrt(1 - beta_2**t) / (1 - beta_1**t)``; ``w -= alpha m / (sqrt(v) + epsilon)``.
    With `amsgrad`, ``v`` in the last equation is its largest value so far. Source: Keras 3.15
    ``optimizers/adam.py``; Kingma and Ba (2014), arXiv:1412.6980; Reddi et al. (2018).

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001.
    beta_1 : float
        How much of the mean gradient is kept at each update, in ``[0, 1)``; default 0.9.
    beta_2 : float
        The same of the mean squared gradient, in ``[0, 1)``; default 0.999.
    epsilon : float
        The "epsilon hat" of the paper (the formula just before its Section 2.1), not the epsilon
        of its Algorithm 1, which is what PyTorch takes; >= 0, default 1e-7.
    amsgrad : bool
        Never let the divisor fall.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum : optional
        Common to all optimizers: see `Optimizer`.
    ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name : optional
        Common to all optimizers: see `Optimizer`.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> Adam(amsgrad=True).slots()
    ('momentum', 'velocity', 'velocity_hat')
    """

    op = "adam"
    _switches: ClassVar[tuple[str, ...]] = ("amsgrad",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        self._set_means(locals())
        self.amsgrad = check_bool("amsgrad", amsgrad, type(self).__name__)

    def slots(self) -> tuple[str, ...]:
        """Return ``('momentum', 'velocity')``, and ``'velocity_hat'`` with `amsgrad`."""
        return (*super().slots(), "velocity_hat") if self.amsgrad else super().slots()

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        m, v = self._advance(grad, slots)
        if self.amsgrad:
            v = np.maximum(slots["velocity_hat"], v, out=slots["velocity_hat"])
        alpha = lr * np.sqrt(1.0 - self.beta_2**t) / (1.0 - self.beta_1**t)
        param -= alpha * m / (np.sqrt(v) + self.epsilon)


class AdamW(Adam):
    """Adam with decoupled weight decay, on by default: the same update (and op) as `Adam`.

    ``w -= lr weight_decay w``, then Adam's equation. Source: Keras 3.15 ``optimizers/adamw.py``;
    Loshchilov and Hutter (2019), arXiv:1711.05101. As in PyTorch the decay is multiplied by the
    learning rate; in the paper it is multiplied by the schedule only.

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001.
    weight_decay : float
        >= 0; default 0.004.
    beta_1 : float
        How much of the mean gradient is kept at each update, in ``[0, 1)``; default 0.9.
    beta_2 : float
        The same of the mean squared gradient, in ``[0, 1)``; default 0.999.
    epsilon : float
        As in `Adam`: "epsilon hat"; default 1e-7.
    amsgrad : bool
        Never let the divisor fall.
    clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum : optional
        Common to all optimizers: see `Optimizer`.
    ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name : optional
        Common to all optimizers: see `Optimizer`.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or `weight_decay` is None.

    Examples
    --------
    >>> AdamW().weight_decay
    0.004
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        if weight_decay is None:
            raise ArgumentError("`weight_decay` of AdamW must be a number >= 0. Received: weight_decay=None.")
        self._set_means(locals())
        self.amsgrad = check_bool("amsgrad", amsgrad, "AdamW")


class Adamax(_TwoMeans):
    """Adamax: Adam with the largest recent gradient in place of the root mean square.

    ``m += (1 - beta_1)(g - m)``; ``u = max(beta_2 u, |g|)``;
    ``w -= lr m / ((1 - beta_1**t) (u + epsilon))``. Source: Keras 3.15 ``optimizers/adamax.py``;
    Kingma and Ba (2014), Section 7.1.

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001.
    beta_1 : float
        How much of the mean gradient is kept at each update, in ``[0, 1)``; default 0.9.
    beta_2 : float
        The same of the largest gradient, in ``[0, 1)``; default 0.999.
    epsilon : float
        Added to ``u`` at its use, >= 0 (the paper has none; PyTorch adds it to ``|g|``); default 1e-7.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum : optional
        Common to all optimizers: see `Optimizer`.
    ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name : optional
        Common to all optimizers: see `Optimizer`.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> Adamax().slots()
    ('momentum', 'norm')
    """

    op = "adamax"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        self._set_means(locals())

    def slots(self) -> tuple[str, ...]:
        """Return ``('momentum', 'norm')``."""
        return ("momentum", "norm")

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        m, u = slots["momentum"], slots["norm"]
        m += (grad - m) * (1.0 - self.beta_1)
        np.maximum(self.beta_2 * u, np.abs(grad), out=u)
        param -= lr * m / ((1.0 - self.beta_1**t) * (u + self.epsilon))


class Nadam(_TwoMeans):
    """Nadam: Adam with Nesterov momentum and a warm-up of the momentum.

    With ``u_t = beta_1 (1 - 0.96**t / 2)`` and ``U_t = u_1 u_2 ... u_t``, and ``m``, ``v`` as in
    `Adam`: ``n = u_{t+1} m / (1 - U_{t+1}) + (1 - u_t) g / (1 - U_t)``;
    ``w -= lr n / (sqrt(v / (1 - beta_2**t)) + epsilon)``. Source: Keras 3.15
    ``optimizers/nadam.py``; Dozat (2015). PyTorch's NAdam is the same at ``momentum_decay=1``;
    its default of 0.004 warms up 250 times more slowly.

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001.
    beta_1 : float
        How much of the mean gradient is kept at each update, in ``[0, 1)``; default 0.9.
    beta_2 : float
        The same of the mean squared gradient, in ``[0, 1)``; default 0.999.
    epsilon : float
        The epsilon of the paper's Algorithm 2 (added after the bias correction), >= 0; default 1e-7.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum : optional
        Common to all optimizers: see `Optimizer`.
    ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name : optional
        Common to all optimizers: see `Optimizer`.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> Nadam(beta_1=0.5).momentum_schedule(1)[0]  # 0.5 (1 - 0.96 / 2)
    0.26
    """

    op = "nadam"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        self._set_means(locals())

    def momentum_schedule(self, t: int) -> tuple[float, float, float]:
        """Return ``(u_t, u_{t+1}, U_t)`` of update number `t`, counted from 1."""
        u = self.beta_1 * (1.0 - 0.5 * 0.96 ** np.arange(1.0, t + 2.0))
        return float(u[t - 1]), float(u[t]), float(np.prod(u[:t]))

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        m, v = self._advance(grad, slots)
        u, u_next, product = self.momentum_schedule(t)
        nesterov = u_next * m / (1.0 - product * u_next) + (1.0 - u) * grad / (1.0 - product)
        param -= lr * nesterov / (np.sqrt(v / (1.0 - self.beta_2**t)) + self.epsilon)


class RAdam(_TwoMeans):
    """Rectified Adam: plain momentum until the variance of Adam's step can be estimated.

    ``m`` and ``v`` as in `Adam`; ``R = 2 / (1 - beta_2) - 1``;
    ``r_t = R - 2 t beta_2**t / (1 - beta_2**t)``. Where ``r_t > 5``:
    ``w -= lr m / (1 - beta_1**t) sqrt(1 - beta_2**t) / (sqrt(v) + epsilon) c`` with
    ``c = sqrt((r_t - 4)(r_t - 2) R / ((R - 4)(R - 2) r_t))``; else ``w -= lr m / (1 - beta_1**t)``.
    Source: ``torch.optim.RAdam`` (Keras has none); Liu et al. (2020), arXiv:1908.03265.

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001.
    beta_1 : float
        How much of the mean gradient is kept at each update, in ``[0, 1)``; default 0.9.
    beta_2 : float
        The same of the mean squared gradient, in ``[0, 1)``; default 0.999.
    epsilon : float
        Added to the root before the bias correction, as in PyTorch (whose default is 1e-8; the
        paper has none); >= 0, default 1e-7.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum : optional
        Common to all optimizers: see `Optimizer`.
    ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name : optional
        Common to all optimizers: see `Optimizer`.

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> [RAdam().rectification(t) for t in (1, 5)]
    [None, None]
    """

    op = "radam"

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
    ) -> None:
        self._set_means(locals())

    def rectification(self, t: int) -> float | None:
        """Return ``c`` of update number `t`, counted from 1, or None where ``r_t <= 5``."""
        limit = 2.0 / (1.0 - self.beta_2) - 1.0
        power = self.beta_2**t
        r = limit - 2.0 * t * power / (1.0 - power)
        if r <= 5.0:
            return None
        return float(np.sqrt((r - 4.0) * (r - 2.0) * limit / ((limit - 4.0) * (limit - 2.0) * r)))

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        m, v = self._advance(grad, slots)
        step = lr * m / (1.0 - self.beta_1**t)
        c = self.rectification(t)
        if c is not None:
            step = step * (np.sqrt(1.0 - self.beta_2**t) / (np.sqrt(v) + self.epsilon)) * c
        param -= step
