"""The learning rate on its way from the optimizer to the program."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.graph.update import LEARNING_RATE
from fastnn.training.step import StepPlan


class LearningRate:
    """What a program reads of the learning rate; written anew before each compiled call.

    Parameters
    ----------
    optimizer : Optimizer
    plan : StepPlan
    hyper : ndarray of float64
        The numbers the update kernels read; the learning rate among them is written here.

    Attributes
    ----------
    schedule : ndarray of float64
        A switch, then the numbers of the schedule that the program was planned with.
    """

    def __init__(self, optimizer: Any, plan: StepPlan, hyper: np.ndarray):
        self.optimizer = optimizer
        self.hyper = hyper
        self.op, count = plan.schedule
        self.schedule = np.zeros(1 + count)

    def set(self, step: int) -> bool:
        """Write the rate of step number `step`; returns whether the next step must be set by Python, too.

        A callback may have put a number, or another schedule, in the schedule's place.
        """
        optimizer, schedule = self.optimizer, self.schedule
        self.hyper[LEARNING_RATE] = optimizer.learning_rate_at(step)
        op, numbers = optimizer.schedule() or ("", ())
        inside = op != "" and (op, len(numbers)) == (self.op, len(schedule) - 1)
        schedule[0] = inside
        if inside:
            schedule[1:] = numbers
        return callable(optimizer.learning_rate) and not inside
