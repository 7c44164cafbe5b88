"""The optimizer's memory: state vectors, numbers, and how far training has come."""

from __future__ import annotations

import numpy as np

from fastnn.graph.update import AVERAGE
from fastnn.training.step import StepPlan


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
    """

    def __init__(self, plan: StepPlan, parameters: np.ndarray, previous: OptimizerState | None = None):
        self.names = tuple(name for name, _ in plan.slots)
        self.slots = [np.full_like(parameters, value) for _, value in plan.slots]
        self.hyper = np.array(plan.hyper, np.float64)
        self.step = previous.step if previous is not None else 0
        self.epoch = previous.epoch if previous is not None else 0
        if AVERAGE in self.names:
            self.slots[self.names.index(AVERAGE)][...] = parameters

    def fits(self, plan: StepPlan, parameters: np.ndarray) -> bool:
        """Whether the vectors are those of this plan and these parameters."""
        same = self.names == tuple(name for name, _ in plan.slots) and len(self.hyper) == len(plan.hyper)
        return same and all(slot.size == parameters.size for slot in self.slots)

    def finish(self, parameters: np.ndarray) -> None:
        """Where a moving average is kept, make it the weights (Keras does so when training ends)."""
        if AVERAGE in self.names and self.step:
            parameters[...] = self.slots[self.names.index(AVERAGE)]
