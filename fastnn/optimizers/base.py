"""What every optimizer shares: Keras' common arguments, their checks, and the reference update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastnn.errors import ArgumentError
from fastnn.schedules.base import SCHEDULES, CompiledSchedule, LearningRateSchedule
from fastnn.serialization import (
    Configurable,
    check_bool,
    check_integer,
    check_number,
    check_optional,
)

F64 = NDArray[np.float64]
Slots = dict[str, F64]

#: A learning rate: a number, or a schedule, called with the number of batches trained on so far.
LearningRate: TypeAlias = float | Callable[[int], float]


class Optimizer(Configurable):
    """Base class of optimizers: a description the engine reads, and a float64 reference.

    A subclass takes Keras' arguments, and states its state vectors (`slots`), the numbers its
    kernel reads (`hyper`, `flags`) and its update (`update_step`). The arguments below are
    common to all optimizers.

    Parameters
    ----------
    learning_rate : float or callable
        A number >= 0, or a schedule called with the number of batches trained on so far.
    weight_decay : float, optional
        Decoupled weight decay: ``w -= lr * weight_decay * w`` before each update.
    clipnorm : float, optional
        Scale each variable's gradient down to at most this Euclidean norm.
    clipvalue : float, optional
        Clip each element of the gradient to ``[-clipvalue, clipvalue]``.
    global_clipnorm : float, optional
        Scale all gradients by one factor so that their joint norm is at most this.
    use_ema : bool
        Keep an exponential moving average of the weights; it replaces them when training ends.
    ema_momentum : float
        ``average = ema_momentum * average + (1 - ema_momentum) * w`` after each update.
    ema_overwrite_frequency : int, optional
        Also overwrite the weights by their average every so many updates.
    loss_scale_factor : None
        Not implemented: it serves float16 training, which fastnn does not do.
    gradient_accumulation_steps : int, optional
        Update once in so many batches (>= 2), with the mean of their gradients.
    name : str, optional
        A name for messages and configurations; the op's name by default.

    Raises
    ------
    ArgumentError
        If an argument is out of range, or more than one of the three clip arguments is given.

    Notes
    -----
    The order within one update is that of Keras 3.15 (``base_optimizer.py``): average the
    accumulated gradients, clip, decay the weights, update, then the moving average.
    """

    #: The name of the update in the op table.
    op: ClassVar[str] = ""
    #: Arguments that `hyper` and `flags` return, in addition to the weight decay.
    _numbers: ClassVar[tuple[str, ...]] = ()
    _switches: ClassVar[tuple[str, ...]] = ()

    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None

    def _set_shared(self, arguments: dict[str, Any]) -> None:
        """Check and keep the common ones of a constructor's `arguments` (its ``locals()``)."""
        where = type(self).__name__
        name = arguments["name"]
        if name is not None and not (isinstance(name, str) and name):
            raise ArgumentError(f"`name` of {where} must be a non-empty string or None. Received: {name!r}.")
        self.name = name or type(self).__name__.lower()
        self.learning_rate = arguments["learning_rate"]
        self.weight_decay = check_optional("weight_decay", arguments["weight_decay"], where, 0.0)
        clips = {key: arguments[key] for key in ("clipnorm", "clipvalue", "global_clipnorm")}
        given = {key: value for key, value in clips.items() if value is not None}
        if len(given) > 1:
            received = ", ".join(f"{key}={value!r}" for key, value in given.items())
            raise ArgumentError(
                f"At most one of `clipnorm`, `clipvalue` and `global_clipnorm` of {where} can be set. "
                f"Received: {received}."
            )
        for key, value in clips.items():
            setattr(self, key, check_optional(key, value, where, 0.0, low_open=True))
        self.use_ema = check_bool("use_ema", arguments["use_ema"], where)
        self.ema_momentum = check_number("ema_momentum", arguments["ema_momentum"], where, 0.0, 1.0)
        frequency = arguments["ema_overwrite_frequency"]
        self.ema_overwrite_frequency = (
            None if frequency is None else check_integer("ema_overwrite_frequency", frequency, where, 1)
        )
        self.loss_scale_factor = arguments["loss_scale_factor"]
        if self.loss_scale_factor is not None:
            raise ArgumentError(
                f"`loss_scale_factor` of {where} is not implemented: it serves float16 training, and fastnn "
                f"trains in float32 or float64. Leave it None. Received: {self.loss_scale_factor!r}."
            )
        steps = arguments["gradient_accumulation_steps"]
        self.gradient_accumulation_steps = (
            None if steps is None else check_integer("gradient_accumulation_steps", steps, where, 2)
        )

    @property
    def learning_rate(self) -> LearningRate:
        """The learning rate: a float >= 0, or the schedule; can be set at any time."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: object) -> None:
        self._learning_rate: LearningRate
        if isinstance(value, dict):
            self._learning_rate = SCHEDULES.get(value, where=f"learning_rate of {type(self).__name__}")
        elif callable(value) and not isinstance(value, type):
            self._learning_rate = value
        else:
            self._learning_rate = check_number("learning_rate", value, type(self).__name__, 0.0)

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate after `step` batches (0 for the first).

        Raises
        ------
        ArgumentError
            If a schedule returns something other than a finite number >= 0.
        """
        rate = self._learning_rate
        if isinstance(rate, float):
            return rate
        where = f"{type(self).__name__}, as its schedule returned it for step {step},"
        return check_number("learning_rate", rate(step), where, 0.0)

    def schedule(self) -> tuple[str, tuple[float, ...]] | None:
        """Return the op that computes the learning rate within the program, and its numbers.

        None where there is a number only, or a schedule that Python has to call.
        """
        rate = self._learning_rate
        if isinstance(rate, CompiledSchedule) and type(rate).__call__ is CompiledSchedule.__call__:
            return rate.op, rate.numbers()
        return None

    @property
    def clip(self) -> tuple[str, float] | None:
        """The one clip argument that is set, as ``(name, value)``, or None."""
        for key in ("clipnorm", "clipvalue", "global_clipnorm"):
            value = getattr(self, key)
            if value is not None:
                return key, value
        return None

    def slots(self) -> tuple[str, ...]:
        """Return the names of the state vectors these settings need, in the kernel's order."""
        return ()

    def slot_init(self, slot: str) -> float:
        """Return the value every element of `slot` starts at."""
        return 0.0

    def init_slots(self, param: NDArray[Any]) -> Slots:
        """Return fresh float64 state vectors of `param`'s shape, by name."""
        return {slot: np.full(param.shape, self.slot_init(slot)) for slot in self.slots()}

    def hyper(self) -> dict[str, float]:
        """Return the numbers the kernel reads, besides the learning rate; no decay is 0.0."""
        return {
            "weight_decay": self.weight_decay or 0.0,
            **{name: getattr(self, name) for name in self._numbers},
        }

    def flags(self) -> dict[str, bool]:
        """Return the switches that choose among the kernel's variants."""
        return {name: getattr(self, name) for name in self._switches}

    def update_step(self, param: F64, grad: F64, slots: Slots, t: int, lr: float) -> None:
        """Apply the class's equation to `param` and `slots` in place; `t` is 1 for the first update."""
        raise NotImplementedError

    def reference_step(self, param: F64, grad: F64, slots: Slots, step: int, lr: float) -> None:
        """Update one variable and its state **in place**: weight decay, then the equation.

        Neither clipping, accumulation nor the moving average is part of it: see
        `reference_clip` and `reference_ema`.

        Parameters
        ----------
        param : ndarray of float64
            The variable; overwritten.
        grad : ndarray of float64
            Its gradient, clipped already; unchanged.
        slots : dict of ndarray
            Its state, from `init_slots`; overwritten.
        step : int
            The number of this update, counted from 1 (``t`` in the papers).
        lr : float
            The learning rate of this update.

        Raises
        ------
        ArgumentError
            If `step` is less than 1.
        """
        check_integer("step", step, "reference_step", 1)
        if self.weight_decay is not None:
            param -= param * self.weight_decay * lr
        self.update_step(param, grad, slots, step, lr)

    def reference_clip(self, grads: Sequence[F64]) -> list[F64]:
        """Return the gradients of all variables, clipped as the settings say; inputs unchanged.

        ``clipnorm``: ``g c / max(|g|, c)`` each; ``global_clipnorm``: the same with the norm of
        all of them; ``clipvalue``: elementwise.
        """
        if self.clipvalue is not None:
            return [np.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        norms = [float(np.sqrt(np.sum(np.square(g)))) for g in grads]
        if self.clipnorm is not None:
            limit = self.clipnorm
            return [g * (limit / max(norm, limit)) for g, norm in zip(grads, norms, strict=True)]
        if self.global_clipnorm is not None:
            limit = self.global_clipnorm
            scale = limit / max(float(np.sqrt(np.sum(np.square(norms)))), limit)
            return [g * scale for g in grads]
        return [g.copy() for g in grads]

    def reference_ema(self, average: F64, param: F64, step: int) -> None:
        """Update the weights' moving `average` **in place** after update number `step` (from 1).

        The first update sets it to the weights: ``m = 0 if step == 1 else ema_momentum``;
        ``average = m * average + (1 - m) * param``.
        """
        m = 0.0 if step == 1 else self.ema_momentum
        average[...] = m * average + (1.0 - m) * param

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as a dict that JSON can hold.

        Raises
        ------
        ArgumentError
            If the learning rate is a callable that is not a `LearningRateSchedule`.
        """
        config = super().get_config()
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            config["learning_rate"] = SCHEDULES.serialize(rate)
        elif not isinstance(rate, float):
            raise ArgumentError(
                f"The configuration of {type(self).__name__} cannot hold `learning_rate`: expected a number "
                f"or a LearningRateSchedule. Received: {rate!r}."
            )
        return config
