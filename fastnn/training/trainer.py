"""The training loop: the only one, whatever the model, the data or the callbacks."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastnn import backends
from fastnn.callbacks.base import CallbackList
from fastnn.callbacks.batches import BatchCalls
from fastnn.callbacks.history import History
from fastnn.errors import NonFiniteLossError
from fastnn.random import permutation
from fastnn.training.device import device_for
from fastnn.training.evaluation import Evaluator
from fastnn.training.rate import LearningRate
from fastnn.training.state import LastFinite, OptimizerState
from fastnn.training.step import StepPlan, step_plan
from fastnn.training.table import Table

#: A compiled call lasts about so long, after which Python can act on Ctrl-C.
CALL_SECONDS = 0.03
#: Data up to this size may be kept a second time, cut into blocks.
STAGED_BYTES = 32 << 20


class Training:
    """One call of ``fit``.

    Parameters
    ----------
    model : Model
        Built and compiled.
    table : Table
        The training rows.
    batch_size : int
    shuffle : bool
    steps_per_epoch : int or None
    threads : int or None
    seed : int or None
        Of shuffles and masks; by default the model's.
    epochs : int
        How many there may be: ``device='auto'`` depends on it.
    rehearsal : bool
        Train copies of the weights and of the optimizer's state.

    Attributes
    ----------
    steps : int or None
        Steps an epoch, if their number is known.
    """

    #: Whether rows are read piece by piece; epochs then end one by one, whatever the callbacks.
    streamed = False

    def __init__(
        self,
        model: Any,
        table: Table,
        batch_size: int,
        shuffle: bool = True,
        steps_per_epoch: int | None = None,
        threads: int | None = None,
        seed: int | None = None,
        epochs: int = 1,
        rehearsal: bool = False,
    ):
        self.model = model
        self.table = table
        self.compiled = model.compiled
        self.rows = table.rows if steps_per_epoch is None else min(table.rows, steps_per_epoch * batch_size)
        self.batch_size = min(batch_size, self.rows)
        single = self.rows == table.rows and self.batch_size == self.rows
        self.shuffle = shuffle and not single  # the order within a full batch makes no difference
        self.metrics = self.compiled.resolve_metrics(model.output_shapes, table.target_shapes)
        self.device = device_for(
            model, table.tables(), self._rows_to_expect(), self.batch_size, epochs, training=True
        )
        executor = backends.executor(self.device)
        in_place = executor.IN_PLACE and not self.shuffle and table.readable_in_place(model.dtype)
        staged = executor.IN_PLACE and single and table.bytes() <= STAGED_BYTES
        self.plan: StepPlan = step_plan(
            model, self.compiled, self.metrics, table.weighted, table.sources(),
            training=True, in_place=in_place, staged=staged, row_major=not executor.IN_PLACE,
        )  # fmt: skip
        program = self.plan.program
        parameters = model.storage.array.copy() if rehearsal else model.storage.array
        state = OptimizerState(self.plan, parameters) if rehearsal else model.optimizer_state(self.plan)
        self.predictions = [np.empty((table.held, spec.size), model.dtype) for spec in program.outputs]
        arrays: Sequence[np.ndarray] = table.arrays()
        if program.units_major and program.in_place:
            arrays = executor.stage(program, arrays, self.batch_size)
        self.state = state
        self.rate = LearningRate(self.compiled.optimizer, self.plan, state.hyper)
        self.seed_is_drawn = seed is None and model.seed_is_drawn
        self.seed: int = model.seed if seed is None else seed
        self._open = functools.partial(
            executor.Session,
            program,
            parameters=parameters,
            inputs=arrays,
            outputs=self.predictions,
            slots=state.slots,
            hyper=state.hyper,
            schedule=self.rate.schedule,
            batch_size=self.batch_size,
            epoch_rows=self.rows,
            total_rows=table.rows,
            losses=self.plan.losses,
            batch_mean=self.plan.batch_mean,
            shuffle=self.shuffle,
            threads=threads,
        )
        self.session = self._open(seed=self.seed, step=state.step, epoch=state.epoch)
        if self.device == "gpu":
            model.device_choice = model.device_choice._replace(how=self.session.how)
        self.steps_per_epoch = -(-self.rows // self.batch_size)
        self.steps: int | None = self.steps_per_epoch
        self._evaluator = Evaluator(self.compiled, self.metrics, self.plan, table, self.rows)
        self._last_finite = LastFinite(parameters, state)
        self._epochs_before = 0  # epochs of earlier fits: messages count as this fit does
        self._settled: Callable[[], None] = _nothing

    def _rows_to_expect(self) -> int:
        """Return the rows of an epoch, as far as is known: ``device='auto'`` depends on it."""
        return self.rows

    def go_to(self, step: int, epoch: int, position: int, seed: int) -> None:
        """Stand where an earlier training stood: steps and epochs done, and rows of the epoch under way.

        What that epoch has summed up so far is to be written into ``session.sums``.
        """
        self.state.step, self.state.epoch, self.seed = step, epoch, seed
        self.session = self._open(seed=seed, step=step, epoch=epoch, position=position)

    @property
    def epoch(self) -> int:
        """The epoch under way, or next, as this fit counts."""
        return self.session.epoch - self._epochs_before

    # ------------------------------------------------------------------ the loop
    def run(
        self,
        callbacks: CallbackList,
        history: History,
        first_epoch: int,
        epochs: int,
        validate: Any = None,
        validation_freq: Any = 1,
        settled: Callable[[], None] | None = None,
    ) -> None:
        """Train from `first_epoch` until `epochs`.

        `validate()` returns the validation's logs. `settled()` is called whenever every hook of a step, or of
        an epoch, has been called: then the training can be written to a file.
        """
        session = self.session
        self._settled = settled or _nothing
        every_epoch = (
            callbacks.wants_epochs or validate is not None or bool(self.plan.stored) or self.streamed
        )
        batches = callbacks.batches(self.steps_per_epoch)
        self._epochs_before = session.epoch - first_epoch
        epoch = first_epoch
        try:
            with session:
                if self.state.swapped:  # saved, or backed up, while the average stood in the weights' place
                    self.state.swap_average(self.model.storage.array, self.model.trainable_variables)
                while epoch < epochs and not self._stopped(callbacks):
                    if every_epoch:
                        if not session.position:  # else resumed in the middle of it
                            callbacks.call("on_epoch_begin", epoch, {})
                        log = self._steps(callbacks, batches, 1)
                        if not len(log):
                            break
                        logs = self._epoch_logs(log[0])
                        if validate is not None and _due(validation_freq, epoch):
                            logs.update({f"val_{key}": value for key, value in validate().items()})
                        try:
                            callbacks.call("on_epoch_end", epoch, logs)
                        finally:
                            history.on_epoch_end(epoch, logs)  # with what callbacks have added to the logs
                        epoch += 1
                        self._settled()
                    else:
                        log = self._steps(callbacks, batches, epochs - epoch, partial=True)
                        history.extend(epoch, self._evaluator.columns(log))
                        epoch += len(log)
        except BaseException:
            if validate is None and not self.plan.stored and not self.streamed:
                self._record_unread(history, first_epoch)
            raise
        if not self._last_finite.holds():
            step = session.position // self.batch_size  # 0 where the last update ended an epoch
            raise self._not_finite("weights", session.epoch + (step > 0), step or self.steps_per_epoch)

    def _record_unread(self, history: History, first_epoch: int) -> None:
        """Record epochs that had ended when Ctrl-C or a loss that is not finite kept them from being read."""
        epoch = history.epoch[-1] + 1 if history.epoch else first_epoch
        unread = self.epoch - epoch
        if unread > 0:
            history.extend(epoch, self._evaluator.columns(self.session.finished()[-unread:]))

    def _run(self, steps: int, epochs: int) -> np.ndarray:
        """Make a compiled call; a schedule that only Python can call has a step a call."""
        each_step = self.rate.set(self.session.step)
        self._last_finite.renew(self.session.step)
        return self._checked(self.session.run(1 if each_step else steps, epochs))

    def _stopped(self, callbacks: CallbackList) -> bool:
        """Whether a callback has asked for an end, or its deadline has passed."""
        if time.perf_counter() >= callbacks.deadline:
            self.model.stop_training = True
        return bool(self.model.stop_training)

    def _steps(
        self, callbacks: CallbackList, batches: BatchCalls, epochs: int, partial: bool = False
    ) -> np.ndarray:
        """Run until `epochs` epochs have ended (if `partial`, any), in calls of a bounded time."""
        session = self.session
        try:
            while True:
                if batches:
                    batches.begin(self._done())
                log = self._call(epochs, batches.ahead(self._done()) if batches else None, callbacks.deadline)
                if batches and batches.due(self._done()):
                    rows = self._epoch_rows() if len(log) else session.position
                    sums = log[0] if len(log) else session.sums
                    batches.end(self._done(), self._evaluator.logs(sums, None, rows))
                    if not len(log):
                        self._settled()
                stopped = self._stopped(callbacks)
                if stopped or (len(log) and (partial or len(log) >= epochs)):
                    return log
        finally:
            self.state.step, self.state.epoch = session.step, session.epoch

    def _call(self, epochs: int, limit: int | None, deadline: float) -> np.ndarray:
        """Make one call of a bounded time, and of at most `limit` steps."""
        session = self.session
        # The rate is measured as we go; the first call is a guess from the arithmetic.
        rate = session.seconds_per_step or self._guess()
        started = time.perf_counter()
        steps = max(1, int(min(CALL_SECONDS, deadline - started) / rate))
        steps = steps if limit is None else min(steps, limit)
        before = session.step
        log = self._run(steps, max(1, min(epochs, steps // self.steps_per_epoch + 1)))
        done = session.step - before
        if done:
            session.seconds_per_step = max((time.perf_counter() - started) / done, 1e-8)
        return log

    def _done(self) -> int:
        """Steps done, counted from epoch 0."""
        return self.epoch * self.steps_per_epoch + self.session.position // self.batch_size

    def _epoch_rows(self) -> int:
        """Return how many rows the epoch that has just ended had."""
        return self.rows

    def _epoch_logs(self, sums: np.ndarray) -> dict[str, float]:
        """Return the logs of the epoch that has just ended."""
        return self._evaluator.logs(sums, self.predictions, visited=self._visited())

    def _visited(self) -> Any:
        """Return which rows the epoch that has just ended visited; None for all."""
        if self.rows == self.table.rows:
            return None
        if not self.shuffle:
            return slice(self.rows)
        return permutation(self.table.rows, self.seed, self.session.epoch - 1)[: self.rows]

    def _guess(self) -> float:
        return self.batch_size * self.plan.program.flops_per_row / 2e10 + 2e-6

    def _checked(self, outcome: tuple[np.ndarray, int]) -> np.ndarray:
        log, status = outcome
        if status:
            step = self.session.position // self.batch_size + 1
            raise self._not_finite("loss" if status == 1 else "gradient", self.session.epoch + 1, step)
        return log

    def _not_finite(self, what: str, epoch: int, step: int) -> NonFiniteLossError:
        """Make sure that the weights are finite, and return the error that says which they are."""
        kept = "The weights from before that step are kept."
        steps = "" if self.steps is None else f" of {self.steps}"
        if not self._last_finite.holds():
            if self._last_finite.restore():
                self.session.step = self.state.step = self._last_finite.step
                self.state.swapped = False  # as it was when the copy was taken
                kept = f"The weights as they were after {self.session.step} steps in all are kept."
            else:
                kept = "The weights are no longer finite, and were too large to keep a copy."
        return NonFiniteLossError(
            f"The {what} became NaN or infinite in epoch {epoch - self._epochs_before}, step {step}{steps}, "
            f"with learning rate {float(self.state.hyper[0]):g}. {kept} "
            "A smaller learning rate, normalised inputs or clipnorm usually help."
        )


def _nothing() -> None:
    """Do nothing."""


def _due(validation_freq: Any, epoch: int) -> bool:
    if isinstance(validation_freq, int):
        return (epoch + 1) % validation_freq == 0
    return epoch + 1 in validation_freq
