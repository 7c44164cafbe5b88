"""Which callbacks are called at which training batch, and how far training may run until then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class BatchCalls:
    """The batch hooks of a training, each at its callback's interval.

    Steps are counted from epoch 0, so that a resumed training calls at the same steps.

    Parameters
    ----------
    served : sequence of (interval, begin hooks, end hooks)
    steps_per_epoch : int

    Examples
    --------
    >>> from fastnn.callbacks.batches import BatchCalls
    >>> calls = BatchCalls([(4, [], [lambda batch, logs: print("batch", batch)])], 10)
    >>> calls.ahead(3), calls.ahead(8)  # steps until the fourth, and until the epoch's end
    (1, 2)
    >>> calls.end(10, {})
    batch 9
    """

    def __init__(
        self, served: Sequence[tuple[int, list[Callable], list[Callable]]], steps_per_epoch: int
    ) -> None:
        self._served = list(served)
        self._steps = steps_per_epoch

    def __bool__(self) -> bool:
        return bool(self._served)

    def ahead(self, done: int) -> int:
        """Return how many steps may run after `done` steps until a hook is due."""
        return min(interval - done % interval for interval in (self._steps, *self._intervals))

    def due(self, done: int) -> bool:
        """Whether an end hook is due after `done` steps."""
        return done % self._steps == 0 or any(done % interval == 0 for interval in self._intervals)

    def begin(self, done: int) -> None:
        """Call the hooks that are due before the next step."""
        batch = done % self._steps
        for interval, hooks, _ in self._served:
            if batch == 0 or done % interval == 0:
                for hook in hooks:
                    hook(batch, {})

    def end(self, done: int, logs: dict[str, Any]) -> None:
        """Call the hooks that are due after `done` steps."""
        batch = (done - 1) % self._steps
        for interval, _, hooks in self._served:
            if done % self._steps == 0 or done % interval == 0:
                for hook in hooks:
                    hook(batch, logs)

    @property
    def _intervals(self) -> list[int]:
        return [interval for interval, *_ in self._served]
