"""Stochastic gradient descent with momentum, and Lion, which keeps only the sign of its step."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fastnn.optimizers.base import F64, LearningRate, Optimizer, Slots
from fastnn.serialization import check_bool, check_number


class SGD(Optimizer):
    """Gradient descent, with momentum or Nesterov momentum.

    ``w -= lr g``; with momentum ``v = momentum v - lr g; w += v``, and with `nesterov`
    ``w += momentum v - lr g``. Source: Keras 3.15 ``optimizers/sgd.py``; the learning rate is
    inside the velocity (PyTorch multiplies by it afterwards), so a schedule acts with a delay.

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.01.
    momentum : float
        In ``[0, 1]``; default 0.0.
    nesterov : bool
        Use Nesterov's momentum; it changes nothing when `momentum` is 0.
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
    >>> SGD(learning_rate=0.1, momentum=0.9).slots()
    ('momentum',)
    """

    op = "sgd"
    _numbers: ClassVar[tuple[str, ...]] = ("momentum",)
    _switches: ClassVar[tuple[str, ...]] = ("nesterov",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
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
        self._set_shared(locals())
        self.momentum = check_number("momentum", momentum, "SGD", 0.0, 1.0)
        self.nesterov = check_bool("nesterov", nesterov, "SGD")

    def slots(self) -> tuple[str, ...]:
        """Return ``('momentum',)``, the velocity, or nothing when `momentum` is 0."""
        return ("momentum",) if self.momentum else ()

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        if not self.momentum:
            param -= lr * grad
            return
        v = slots["momentum"]
        v[...] = self.momentum * v - lr * grad
        param += self.momentum * v - lr * grad if self.nesterov else v


class Lion(Optimizer):
    """Lion: steps of one size, in the direction of the sign of a mixed gradient.

    ``w -= lr sign(beta_1 m + (1 - beta_1) g)``, then ``m = beta_2 m + (1 - beta_2) g``.
    Source: Keras 3.15 ``optimizers/lion.py``; Chen et al. (2023), arXiv:2302.06675.

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001; the paper advises a third to a tenth of Adam's.
    beta_1 : float
        In ``(0, 1]``; default 0.9.
    beta_2 : float
        In ``[0, 1)``; default 0.99.
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
    >>> Lion().slots()
    ('momentum',)
    """

    op = "lion"
    _numbers: ClassVar[tuple[str, ...]] = ("beta_1", "beta_2")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
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
        self._set_shared(locals())
        self.beta_1 = check_number("beta_1", beta_1, "Lion", 0.0, 1.0, low_open=True)
        self.beta_2 = check_number("beta_2", beta_2, "Lion", 0.0, 1.0, high_open=True)

    def slots(self) -> tuple[str, ...]:
        """Return ``('momentum',)``."""
        return ("momentum",)

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        m = slots["momentum"]
        param -= lr * np.sign(self.beta_1 * m + (1.0 - self.beta_1) * grad)
        m[...] = self.beta_2 * m + (1.0 - self.beta_2) * grad
