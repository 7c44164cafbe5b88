"""What schedules share: the base class, the registry, and those that are ops of the program."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from fastnn.errors import ArgumentError
from fastnn.ops.schedules import RATES
from fastnn.serialization import Configurable, Registry, check_number


class LearningRateSchedule(Configurable):
    """Base class of learning-rate schedules: ``schedule(step) -> float``.

    `step` is the number of batches trained on so far, 0 at the first: the number of updates made,
    unless gradients are accumulated (Keras counts the same way). A subclass of your own defines
    ``__call__``; add it to ``SCHEDULES`` to have it in configurations.

    Examples
    --------
    >>> class Halving(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.5**step
    >>> Halving()(2)
    0.25
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate to use after `step` batches."""
        raise NotImplementedError(f"Schedule {type(self).__name__} must define __call__(self, step).")


#: Schedules by name.
SCHEDULES: Registry[LearningRateSchedule] = Registry("learning-rate schedule", LearningRateSchedule)


class CompiledSchedule(LearningRateSchedule):
    """A schedule that is an op of the update section: its name, and the numbers the op reads."""

    op: ClassVar[str] = ""
    name: str

    def numbers(self) -> tuple[float, ...]:
        """Return the numbers the op reads, in its order (see ``fastnn.ops.schedules``)."""
        raise NotImplementedError

    def __call__(self, step: int) -> float:
        """Return the learning rate to use after `step` batches, as the program computes it.

        Raises
        ------
        ArgumentError
            If `step` is not a number >= 0.
        """
        t = check_number("step", step, type(self).__name__, 0.0)
        try:
            return RATES[self.op](t, self.numbers())
        except OverflowError:  # the program, too, gets infinity
            return math.inf

    def _number(self, name: str, value: object, low: float = 0.0, **options: Any) -> None:
        setattr(self, name, check_number(name, value, type(self).__name__, low, **options))

    def _name(self, name: object) -> None:
        if not isinstance(name, str) or not name:
            raise ArgumentError(
                f"`name` of {type(self).__name__} must be a non-empty string. Received: {name!r}."
            )
        self.name = name
