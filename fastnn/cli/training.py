"""Training as the commands do it: a line an epoch, and Ctrl-C as a way to stop early."""

from __future__ import annotations

import sys
import time
from typing import Any

from fastnn.callbacks import Callback, History

MOST_LINES = 50


class Lines(Callback):
    """Prints a line an epoch; of more than 50 epochs every second, third, ..., and at least one a second."""

    def __init__(self) -> None:
        super().__init__()
        self._printed = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Print the epoch's values, if it is time."""
        now = time.perf_counter()
        number, last = epoch + 1, self.params["epochs"]
        if number % -(-last // MOST_LINES) and number not in (1, last) and now - self._printed < 1.0:
            return
        self._printed = now
        values = "   ".join(f"{key} {value:.5f}" for key, value in (logs or {}).items())
        print(f"  epoch {number:>{len(str(last))}}/{last}   {values}", flush=True)


def fit_until_interrupt(model: Any, x: Any, y: Any, **options: Any) -> tuple[History, float]:
    """Call ``fit``; after Ctrl-C go on with what was learned, if an epoch has ended.

    Returns
    -------
    history : History
        Of the epochs that ended.
    preparation : float
        Seconds before the first epoch: checking data, compiling kernels or loading them.

    Raises
    ------
    KeyboardInterrupt
        If no epoch has ended.
    """
    started = time.perf_counter()
    try:
        history: History = model.fit(x, y, verbose=0, **options)
    except KeyboardInterrupt:
        history = model.history
        if history is None or not history.epoch:
            raise
        done = history.epoch[-1] + 1
        print(f"stopped after epoch {done}; what follows is of the network so far", file=sys.stderr)
    return history, time.perf_counter() - started - history.seconds
