"""RMSprop and its relatives, which divide the gradient by the root of its mean or summed square."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from fastnn.optimizers.base import F64, LearningRate, Optimizer, Slots
from fastnn.serialization import check_bool, check_number


class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of its mean square, with plain momentum.

    ``v = rho v + (1 - rho) g**2``; when `centered`, ``a = rho a + (1 - rho) g`` and
    ``d = v - a**2 + epsilon``, else ``d = v + epsilon``; ``i = lr g / sqrt(d)``. Without momentum
    ``w -= i``; with it ``m = momentum m + i; w -= m``. Source: Keras 3.15
    ``optimizers/rmsprop.py``; Hinton (2012), lecture 6e.

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001.
    rho : float
        How much of the mean square is kept at each update, in ``[0, 1)``; default 0.9.
    momentum : float
        In ``[0, 1]``; default 0.0.
    epsilon : float
        Added **inside** the root, >= 0 (PyTorch adds it outside); default 1e-7.
    centered : bool
        Divide by the estimated variance instead of the mean square.
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
    >>> RMSprop(momentum=0.5, centered=True).slots()
    ('velocity', 'momentum', 'average_gradient')
    """

    op = "rmsprop"
    _numbers: ClassVar[tuple[str, ...]] = ("rho", "momentum", "epsilon")
    _switches: ClassVar[tuple[str, ...]] = ("centered",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
        self.rho = check_number("rho", rho, "RMSprop", 0.0, 1.0, high_open=True)
        self.momentum = check_number("momentum", momentum, "RMSprop", 0.0, 1.0)
        self.epsilon = check_number("epsilon", epsilon, "RMSprop", 0.0)
        self.centered = check_bool("centered", centered, "RMSprop")

    def slots(self) -> tuple[str, ...]:
        """Return ``'velocity'``, and ``'momentum'`` and ``'average_gradient'`` if they are used."""
        used = {"velocity": True, "momentum": self.momentum > 0, "average_gradient": self.centered}
        return tuple(slot for slot, needed in used.items() if needed)

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        v = slots["velocity"]
        v[...] = self.rho * v + (1.0 - self.rho) * grad**2
        denominator = v + self.epsilon
        if self.centered:
            a = slots["average_gradient"]
            a[...] = self.rho * a + (1.0 - self.rho) * grad
            denominator = v - a**2 + self.epsilon
        increment = lr * grad / np.sqrt(denominator)
        if self.momentum > 0:
            m = slots["momentum"]
            m[...] = self.momentum * m + increment
            increment = m
        param -= increment


class Adagrad(Optimizer):
    """Adagrad: the gradient over the root of its summed square.

    ``s += g**2``; ``w -= lr g / sqrt(s + epsilon)``. Source: Keras 3.15 ``optimizers/adagrad.py``;
    Duchi, Hazan and Singer (2011), JMLR 12.

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001; 1.0 in the paper.
    initial_accumulator_value : float
        What ``s`` starts at, >= 0; default 0.1.
    epsilon : float
        Added **inside** the root, >= 0 (PyTorch adds it outside); default 1e-7.
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
    >>> Adagrad().slot_init("accumulator")
    0.1
    """

    op = "adagrad"
    _numbers: ClassVar[tuple[str, ...]] = ("epsilon",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
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
        self._set_shared(locals())
        self.initial_accumulator_value = check_number(
            "initial_accumulator_value", initial_accumulator_value, "Adagrad", 0.0
        )
        self.epsilon = check_number("epsilon", epsilon, "Adagrad", 0.0)

    def slots(self) -> tuple[str, ...]:
        """Return ``('accumulator',)``."""
        return ("accumulator",)

    def slot_init(self, slot: str) -> float:
        """Return `initial_accumulator_value`."""
        return self.initial_accumulator_value

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        s = slots["accumulator"]
        s += grad**2
        param -= lr * grad / np.sqrt(s + self.epsilon)


class Adadelta(Optimizer):
    """Adadelta: steps of the size of recent steps.

    ``s = rho s + (1 - rho) g**2``; ``d = -g sqrt(u + epsilon) / sqrt(s + epsilon)``;
    ``u = rho u + (1 - rho) d**2``; ``w += lr d``. Source: Keras 3.15 ``optimizers/adadelta.py``;
    Zeiler (2012), arXiv:1212.5701 (epsilon as in its Algorithm 1).

    Parameters
    ----------
    learning_rate : float or callable
        Default 0.001; 1.0 in the paper.
    rho : float
        How much of each mean is kept at each update, in ``[0, 1)``; default 0.95.
    epsilon : float
        Added inside both roots, >= 0; at 0 the weights never move. Default 1e-7.
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
    >>> Adadelta().slots()
    ('accumulated_grad', 'accumulated_delta_var')
    """

    op = "adadelta"
    _numbers: ClassVar[tuple[str, ...]] = ("rho", "epsilon")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.95,
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
        self._set_shared(locals())
        self.rho = check_number("rho", rho, "Adadelta", 0.0, 1.0, high_open=True)
        self.epsilon = check_number("epsilon", epsilon, "Adadelta", 0.0)

    def slots(self) -> tuple[str, ...]:
        """Return ``('accumulated_grad', 'accumulated_delta_var')``."""
        return ("accumulated_grad", "accumulated_delta_var")

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation in place."""
        s, u = slots["accumulated_grad"], slots["accumulated_delta_var"]
        s[...] = self.rho * s + (1.0 - self.rho) * grad**2
        delta = -grad * np.sqrt(u + self.epsilon) / np.sqrt(s + self.epsilon)
        u[...] = self.rho * u + (1.0 - self.rho) * delta**2
        param += lr * delta
