"""Stop after a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fastnn.callbacks.base import Callback
from fastnn.serialization import check_number


class TimeBudget(Callback):
    """Stop training when it has taken a time, at the first step after, also within an epoch.

    It is not asked per batch: training itself looks at the clock as it runs its compiled calls, and makes
    the last of them shorter. An epoch that is cut short is trained on as far as it went, but does not enter
    the history, and ``on_epoch_end`` is not called for it. Validation and other callbacks count as training,
    but are not interrupted.

    Parameters
    ----------
    seconds : float
        Of wall-clock time, from the beginning of ``fit``; a resumed training continues its budget.

    Raises
    ------
    ArgumentError
        If `seconds` is not a positive number.

    Examples
    --------
    >>> from fastnn.callbacks import TimeBudget
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([0.0], [1.0], epochs=10**9, verbose=0, callbacks=[TimeBudget(0.1)])
    >>> 0 < len(history.epoch) < 10**9
    True
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = check_number("seconds", seconds, "TimeBudget", 0.0, low_open=True)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the clock."""
        self.deadline = time.perf_counter() + self.seconds

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Stop the clock."""
        self.deadline = None

    def state_dict(self) -> dict[str, Any]:
        """Return how much of the budget is used up."""
        left = self.seconds if self.deadline is None else self.deadline - time.perf_counter()
        return {"seconds_used": self.seconds - left}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with what is left of the budget."""
        self._check_state(state, ("seconds_used",))
        self.deadline = time.perf_counter() + self.seconds - state["seconds_used"]
