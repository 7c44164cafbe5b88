"""The optimizer's memory: state vectors, numbers, and how far training has come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from fastnn.graph.update import AVERAGE
from fastnn.layers.variables import Variable
from fastnn.training.step import StepPlan

#: Weights and state up to this size are copied now and then, to go back to should the weights overflow.
COPIED_BYTES, COPY_SECONDS = 32 << 20, 0.01


class OptimizerState:
    """What an optimizer carries from step to step.

    Attributes
    ----------
    names : tuple of str
    slots : list of ndarray
        Flat vectors like the parameters.
    hyper : ndarray of float64
        The numbers the update kernels read; the first is the learning rate.
    step, epoch : int
        Steps and epochs trained since compile().
    swapped : bool
        Whether weights and their moving average have changed places.
    """

    swapped = False

    def __init__(self, plan: StepPlan, parameters: np.ndarray, previous: OptimizerState | None = None):
        self.names = tuple(name for name, _ in plan.slots)
        self.slots = [np.full_like(parameters, value) for _, value in plan.slots]
        self.hyper = np.array(plan.hyper, np.float64)
        self.step: int = previous.step if previous is not None else 0
        self.epoch: int = previous.epoch if previous is not None else 0
        if AVERAGE in self.names:
            self.slots[self.names.index(AVERAGE)][...] = parameters

    @classmethod
    def of(
        cls, names: tuple[str, ...], slots: list[np.ndarray], hyper: np.ndarray, step: int, epoch: int
    ) -> OptimizerState:
        """Return the state that has these attributes: one that was saved."""
        state = cls.__new__(cls)
        state.names, state.slots, state.hyper = names, slots, hyper
        state.step, state.epoch = step, epoch
        return state

    def fits(self, plan: StepPlan, parameters: np.ndarray) -> bool:
        """Whether the vectors are those of this plan and these parameters."""
        same = self.names == tuple(name for name, _ in plan.slots) and len(self.hyper) == len(plan.hyper)
        return same and all(slot.size == parameters.size for slot in self.slots)

    def swap_average(self, parameters: np.ndarray, trainable: Sequence[Variable]) -> None:
        """Exchange the weights in training and their moving average; again to go back."""
        for weights, average in self._averages(parameters, trainable):
            weights[...], average[...] = average, weights.copy()
        self.swapped = not self.swapped

    def finish(self, parameters: np.ndarray, trainable: Sequence[Variable]) -> None:
        """Where a moving average is kept, make it the weights (Keras does so when training ends)."""
        if not self.step:
            return
        for weights, average in self._averages(parameters, trainable):
            if self.swapped:
                average[...] = weights
            else:
                weights[...] = average
        self.swapped = False

    def _averages(
        self, parameters: np.ndarray, trainable: Sequence[Variable]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Go through the trained weights and their averages; there is none of other variables."""
        if AVERAGE in self.names:
            slot = self.slots[self.names.index(AVERAGE)]
            for variable in trainable:
                part = slice(variable.offset, variable.offset + variable.size)
                yield parameters[part], slot[part]


class LastFinite:
    """A copy of weights and optimizer state from when every weight was finite.

    It is renewed before a compiled call, at most every 10 ms and for at most a fiftieth of the time. A
    model above 32 MiB is not copied: its loss almost always overflows before its weights do.

    Parameters
    ----------
    parameters : ndarray
    state : OptimizerState

    Attributes
    ----------
    step : int or None
        Steps done when the copy was taken; None: there is no copy.
    """

    def __init__(self, parameters: np.ndarray, state: OptimizerState):
        self._arrays = [parameters, *state.slots, state.hyper]
        self._copies: list[np.ndarray] = []
        self._cost = self._taken = 0.0
        self._wanted = sum(array.nbytes for array in self._arrays) <= COPIED_BYTES
        self.step: int | None = None

    def renew(self, step: int) -> None:
        """Copy, if it is time to."""
        now = time.perf_counter()
        if not self._wanted or now - self._taken < max(COPY_SECONDS, 50.0 * self._cost) or not self.holds():
            return
        if self._copies:
            for copy, array in zip(self._copies, self._arrays, strict=True):
                np.copyto(copy, array)
        else:
            self._copies = [array.copy() for array in self._arrays]
        self.step = step
        self._taken = time.perf_counter()
        self._cost = self._taken - now

    def holds(self) -> bool:
        """Whether every weight is finite."""
        parameters = self._arrays[0]
        with np.errstate(all="ignore"):
            return bool(np.isfinite(parameters.sum()) or np.isfinite(parameters).all())

    def restore(self) -> bool:
        """Put the copy back; False if there is none."""
        for copy, array in zip(self._copies, self._arrays, strict=False):
            np.copyto(array, copy)
        return bool(self._copies)
