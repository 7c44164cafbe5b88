"""Schedules that only fall, with Keras' names, arguments and defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastnn.errors import ArgumentError
from fastnn.schedules.base import CompiledSchedule
from fastnn.serialization import check_bool, check_number


class _Decay(CompiledSchedule):
    """What ExponentialDecay and InverseTimeDecay share."""

    initial_learning_rate: float
    decay_steps: float
    decay_rate: float

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool,
        name: str,
    ) -> None:
        self._number("initial_learning_rate", initial_learning_rate)
        self._number("decay_steps", decay_steps, low_open=True)
        self._number("decay_rate", decay_rate)
        self.staircase = check_bool("staircase", staircase, type(self).__name__)
        self._name(name)

    def numbers(self) -> tuple[float, ...]:
        return self.initial_learning_rate, self.decay_steps, self.decay_rate, float(self.staircase)


class ExponentialDecay(_Decay):
    """Multiply the rate by `decay_rate` every `decay_steps` batches, gradually.

    ``lr = initial_learning_rate * decay_rate ** (step / decay_steps)``. Source: Keras 3.15.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        More than 0.
    decay_rate : float
        At least 0; above 1 the rate grows.
    staircase : bool, default False
        Round ``step / decay_steps`` down, so that the rate falls in steps.
    name : str

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200)
    0.025
    """

    op = "exponential_decay"

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)


class InverseTimeDecay(_Decay):
    """Divide the rate by a number that grows steadily.

    ``lr = initial_learning_rate / (1 + decay_rate * step / decay_steps)``. Source: Keras 3.15.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        More than 0.
    decay_rate : float
        At least 0.
    staircase : bool, default False
        Round ``step / decay_steps`` down.
    name : str

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> InverseTimeDecay(0.1, decay_steps=100, decay_rate=1.0)(300)
    0.025
    """

    op = "inverse_time_decay"

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)


class PiecewiseConstantDecay(CompiledSchedule):
    """Use one rate up to a step, then another.

    ``values[0]`` while ``step <= boundaries[0]``, ``values[1]`` while ``step <= boundaries[1]``, and so on;
    the last value afterwards. Source: Keras 3.15.

    Parameters
    ----------
    boundaries : sequence of float
        Steps, increasing.
    values : sequence of float
        Rates, one more than there are boundaries.
    name : str

    Raises
    ------
    ArgumentError
        If the lengths do not fit, the boundaries do not increase, or a rate is negative.

    Examples
    --------
    >>> schedule = PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> schedule(100), schedule(101), schedule(1000)
    (0.1, 0.01, 0.001)
    """

    op = "piecewise_constant_decay"

    def __init__(
        self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant"
    ) -> None:
        where = type(self).__name__
        self.boundaries = self._numbers("boundaries", boundaries)
        self.values = self._numbers("values", values)
        self._name(name)
        if not self.boundaries or len(self.boundaries) != len(self.values) - 1:
            raise ArgumentError(
                f"{where} needs one boundary or more, and one value more than boundaries. "
                f"Received: {len(self.boundaries)} boundaries and {len(self.values)} values."
            )
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ArgumentError(
                f"`boundaries` of {where} must increase. Received: boundaries={list(self.boundaries)}."
            )

    def _numbers(self, name: str, given: Any) -> tuple[float, ...]:
        where = type(self).__name__
        if isinstance(given, str) or not hasattr(given, "__iter__"):
            raise ArgumentError(f"`{name}` of {where} must be a list of numbers. Received: {given!r}.")
        return tuple(check_number(f"{name}[{k}]", value, where, 0.0) for k, value in enumerate(given))

    def numbers(self) -> tuple[float, ...]:
        return *self.boundaries, *self.values


class PolynomialDecay(CompiledSchedule):
    """Go from one rate to another along a power of the time left.

    ``lr = (initial - end) * (1 - min(step, decay_steps) / decay_steps) ** power + end``. With `cycle`, the
    decay takes the smallest multiple of `decay_steps` that `step` has not passed. Source: Keras 3.15.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : float
        More than 0.
    end_learning_rate : float, default 0.0001
    power : float, default 1.0
        At least 0; 1 is a line.
    cycle : bool, default False
        Start again after `decay_steps`, each time more slowly.
    name : str

    Raises
    ------
    ArgumentError
        If an argument is out of range.

    Examples
    --------
    >>> PolynomialDecay(0.5, decay_steps=100, end_learning_rate=0.25)(50)
    0.375
    """

    op = "polynomial_decay"
    initial_learning_rate: float
    decay_steps: float
    end_learning_rate: float
    power: float

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        self._number("initial_learning_rate", initial_learning_rate)
        self._number("decay_steps", decay_steps, low_open=True)
        self._number("end_learning_rate", end_learning_rate)
        self._number("power", power)
        self.cycle = check_bool("cycle", cycle, type(self).__name__)
        self._name(name)

    def numbers(self) -> tuple[float, ...]:
        first, end = self.initial_learning_rate, self.end_learning_rate
        return first, self.decay_steps, end, self.power, float(self.cycle)
