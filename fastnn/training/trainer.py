"""The training loop: the only one, whatever the model, the data or the callbacks."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn import backends
from fastnn.callbacks.base import CallbackList
from fastnn.callbacks.history import History
from fastnn.errors import NonFiniteLossError
from fastnn.training.evaluation import Evaluator
from fastnn.training.state import LastFinite
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
    """

    def __init__(
        self,
        model: Any,
        table: Table,
        batch_size: int,
        shuffle: bool = True,
        steps_per_epoch: int | None = None,
        threads: int | None = None,
        seed: int | None = None,
    ):
        self.model = model
        self.table = table
        self.compiled = model.compiled
        self.rows = table.rows if steps_per_epoch is None else min(table.rows, steps_per_epoch * batch_size)
        self.batch_size = min(batch_size, self.rows)
        single = self.rows == table.rows and self.batch_size == self.rows
        self.shuffle = shuffle and not single  # the order within a full batch makes no difference
        self.metrics = self.compiled.resolve_metrics(model.output_shapes, table.target_shapes)
        in_place = not self.shuffle and table.readable_in_place(model.dtype)
        staged = single and table.bytes() <= STAGED_BYTES
        self.plan: StepPlan = step_plan(
            model, self.compiled, self.metrics, table.weighted, table.sources(),
            training=True, in_place=in_place, staged=staged,
        )  # fmt: skip
        program = self.plan.program
        executor = backends.executor()
        state = model.optimizer_state(self.plan)
        self.predictions = [np.empty((table.rows, spec.size), model.dtype) for spec in program.outputs]
        arrays: Sequence[np.ndarray] = table.arrays()
        if program.units_major and program.in_place:
            arrays = executor.stage(program, arrays, self.batch_size)
        self.state = state
        self.session = executor.Session(
            program,
            parameters=model.storage.array,
            inputs=arrays,
            outputs=self.predictions,
            slots=state.slots,
            hyper=state.hyper,
            batch_size=self.batch_size,
            epoch_rows=self.rows,
            total_rows=table.rows,
            losses=self.plan.losses,
            batch_mean=self.plan.batch_mean,
            seed=model.seed if seed is None else seed,
            shuffle=self.shuffle,
            step=state.step,
            epoch=state.epoch,
            threads=threads,
        )
        self.steps_per_epoch = -(-self.rows // self.batch_size)
        self._evaluator = Evaluator(self.compiled, self.metrics, self.plan, table, self.rows)
        self._last_finite = LastFinite(model.storage.array, state)
        self._epochs_before = 0  # epochs of earlier fits: messages count as this fit does
        self._schedule = callable(self.compiled.optimizer.learning_rate)

    # ------------------------------------------------------------------ the loop
    def run(
        self,
        callbacks: CallbackList,
        history: History,
        first_epoch: int,
        epochs: int,
        validate: Any = None,
        validation_freq: Any = 1,
    ) -> None:
        """Train from `first_epoch` until `epochs`; `validate()` returns the validation's logs."""
        model, session = self.model, self.session
        every_epoch = callbacks.wants_epochs or validate is not None or bool(self.plan.stored)
        self._epochs_before = session.epoch - first_epoch
        epoch = first_epoch
        try:
            with session:
                while epoch < epochs and not model.stop_training:
                    if every_epoch:
                        callbacks.call("on_epoch_begin", epoch, {})
                        self._forget_predictions()
                        log = self._steps(1, callbacks if callbacks.wants_batches else None)
                        if not len(log):
                            break
                        logs = self._evaluator.logs(log[0], self.predictions)
                        if validate is not None and _due(validation_freq, epoch):
                            logs.update({f"val_{key}": value for key, value in validate().items()})
                        try:
                            callbacks.call("on_epoch_end", epoch, logs)
                        finally:
                            history.on_epoch_end(epoch, logs)  # with what callbacks have added to the logs
                        epoch += 1
                    else:
                        log = self._steps(epochs - epoch, None, partial=True)
                        history.extend(epoch, self._evaluator.columns(log))
                        epoch += len(log)
        except BaseException:
            if validate is None and not self.plan.stored:
                self._record_unread(history, first_epoch)
            raise
        if not self._last_finite.holds():
            step = session.position // self.batch_size  # 0 where the last update ended an epoch
            raise self._not_finite("weights", session.epoch + (step > 0), step or self.steps_per_epoch)

    def _record_unread(self, history: History, first_epoch: int) -> None:
        """Record epochs that had ended when Ctrl-C or a loss that is not finite kept them from being read."""
        epoch = first_epoch + len(history.epoch)
        unread = self.session.epoch - self._epochs_before - epoch
        if unread > 0:
            history.extend(epoch, self._evaluator.columns(self.session.finished()[-unread:]))

    def _forget_predictions(self) -> None:
        """Mark all rows as not seen, where an epoch does not come to all of them."""
        if self.rows < self.table.rows:
            for predictions in self.predictions:
                predictions.fill(np.nan)

    def _set_learning_rate(self) -> None:
        """Write the optimizer's learning rate where the kernels read it: a callback may have changed it."""
        self.state.hyper[0] = self.compiled.optimizer.learning_rate_at(self.session.step)

    def _run(self, steps: int, epochs: int) -> np.ndarray:
        """Make a compiled call; a schedule gives each step a rate of its own."""
        self._set_learning_rate()
        self._last_finite.renew(self.session.step)
        return self._checked(self.session.run(1 if self._schedule else steps, epochs))

    def _steps(self, epochs: int, callbacks: CallbackList | None, partial: bool = False) -> np.ndarray:
        """Run until `epochs` epochs have ended (if `partial`, any), in calls of a bounded time."""
        session, model = self.session, self.model
        try:
            while True:
                if callbacks is not None:
                    log = self._one_batch(callbacks)
                else:
                    # The rate is measured as we go; the first call is a guess from the arithmetic.
                    rate = session.seconds_per_step or self._guess()
                    steps = max(1, int(CALL_SECONDS / rate))
                    whole = max(1, min(epochs, steps // self.steps_per_epoch + 1))
                    started = time.perf_counter()
                    before = session.step
                    log = self._run(steps, whole)
                    done = session.step - before
                    if done:
                        session.seconds_per_step = max((time.perf_counter() - started) / done, 1e-8)
                if len(log) and (partial or len(log) >= epochs):
                    return log
                if model.stop_training:
                    return log
        finally:
            self.state.step, self.state.epoch = session.step, session.epoch

    def _guess(self) -> float:
        return self.batch_size * self.plan.program.flops_per_row / 2e10 + 2e-6

    def _one_batch(self, callbacks: CallbackList) -> np.ndarray:
        session = self.session
        batch = session.position // self.batch_size
        callbacks.call("on_batch_begin", batch, {})
        callbacks.call("on_train_batch_begin", batch, {})
        log = self._run(1, 1)
        rows = self.rows if len(log) else session.position
        sums = log[0] if len(log) else session.sums
        logs = self._evaluator.logs(sums, None, rows)
        callbacks.call("on_train_batch_end", batch, logs)
        callbacks.call("on_batch_end", batch, logs)
        return log

    def _checked(self, outcome: tuple[np.ndarray, int]) -> np.ndarray:
        log, status = outcome
        if status:
            step = self.session.position // self.batch_size + 1
            raise self._not_finite("loss" if status == 1 else "gradient", self.session.epoch + 1, step)
        return log

    def _not_finite(self, what: str, epoch: int, step: int) -> NonFiniteLossError:
        """Make sure that the weights are finite, and return the error that says which they are."""
        kept = "The weights from before that step are kept."
        if not self._last_finite.holds():
            if self._last_finite.restore():
                self.session.step = self.state.step = self._last_finite.step
                kept = f"The weights as they were after {self.session.step} steps in all are kept."
            else:
                kept = "The weights are no longer finite, and were too large to keep a copy."
        return NonFiniteLossError(
            f"The {what} became NaN or infinite in epoch {epoch - self._epochs_before}, step {step} of "
            f"{self.steps_per_epoch}, with learning rate {float(self.state.hyper[0]):g}. {kept} "
            "A smaller learning rate, normalised inputs or clipnorm usually help."
        )


def _due(validation_freq: Any, epoch: int) -> bool:
    if isinstance(validation_freq, int):
        return (epoch + 1) % validation_freq == 0
    return epoch + 1 in validation_freq
