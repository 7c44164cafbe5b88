"""Training on rows that are read piece by piece, to the same bits as on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import backends
from fastnn.callbacks.base import CallbackList
from fastnn.callbacks.batches import BatchCalls
from fastnn.callbacks.history import History
from fastnn.training.device import device_for
from fastnn.training.evaluation import Evaluator
from fastnn.training.feed import Block, Feed
from fastnn.training.step import predict_plan, step_plan
from fastnn.training.trainer import Training

#: Stands for the number of steps an epoch where it is not known.
UNKNOWN_STEPS = 1 << 30


class Kept:
    """Predictions, targets and weights of an epoch, for metrics that need them all.

    The numbers of every row are kept, and once more while a metric is computed.
    """

    def __init__(self, feed: Feed, outputs: list[np.ndarray]):
        self._table, self._outputs = feed.table, outputs
        self._inputs = len(feed.table.inputs)
        self._arrays: list[list[np.ndarray]] = []
        self._predictions: list[list[np.ndarray]] = []

    def add(self, block: Block) -> None:
        """Copy what belongs to a block that has been gone through."""
        if self._outputs:
            self._predictions.append([output[: block.rows].copy() for output in self._outputs])
            self._arrays.append([array[: block.rows].copy() for array in block.arrays[self._inputs :]])

    def logs(self, evaluator: Evaluator, sums: np.ndarray, rows: int) -> dict[str, Any]:
        """Return the logs of the epoch, and forget it."""
        predictions = [np.concatenate(found) for found in zip(*self._predictions, strict=True)]
        arrays = [np.concatenate(found) for found in zip(*self._arrays, strict=True)]
        self._predictions, self._arrays = [], []
        if predictions:
            inputs = [np.empty((0, array.shape[1])) for array in self._table.arrays()[: self._inputs]]
            table = self._table.filled_with([*inputs, *arrays])
            evaluator = Evaluator(evaluator.compiled, evaluator.metrics, evaluator.plan, table, rows)
        return evaluator.logs(sums, predictions, rows)


class StreamTraining(Training):
    """One call of ``fit`` on a source.

    Parameters
    ----------
    model : Model
        Built and compiled.
    feed : Feed
    threads, seed : int or None
    """

    streamed = True

    def __init__(self, model: Any, feed: Feed, threads: int | None = None, seed: int | None = None):
        self._feed = feed
        super().__init__(model, feed.table, feed.batch_size, False, None, threads, seed)
        self.shuffle = feed.shuffle
        self.rows = self.rows if feed.rows is None else feed.rows
        self.steps = feed.steps
        self.steps_per_epoch = UNKNOWN_STEPS if feed.steps is None else feed.steps
        self._kept = Kept(feed, self.predictions)
        self._block: Block | None = None
        self._until = self._rows_done = self._first_step = self._this_epoch = self._epochs = 0

    def _rows_to_expect(self) -> int:
        return rows_to_expect(self._feed)

    def run(
        self,
        callbacks: CallbackList,
        history: History,
        first_epoch: int,
        epochs: int,
        validate: Any = None,
        validation_freq: Any = 1,
        settled: Any = None,
    ) -> None:
        """Train, and end the thread that reads."""
        self._epochs = epochs
        try:
            super().run(callbacks, history, first_epoch, epochs, validate, validation_freq, settled)
        finally:
            self._feed.close()

    def _steps(
        self, callbacks: CallbackList, batches: BatchCalls, epochs: int, partial: bool = False
    ) -> np.ndarray:
        self._first_step, self._this_epoch = self.session.step, self.epoch
        return super()._steps(callbacks, batches, epochs, partial)

    def _call(self, epochs: int, limit: int | None, deadline: float) -> np.ndarray:
        """Make one call, at most to the end of the block."""
        session = self.session
        if self._block is None:
            self._block = self._next_block()
        block = self._block
        ahead = -(-(self._until - session.position) // block.batch_size)
        log = super()._call(1, ahead if limit is None else min(limit, ahead), deadline)
        if len(log) or session.position == self._until:
            self._kept.add(block)
            self._block = None
        if len(log):
            self._rows_done = self._until
            self._feed.source.epoch_ended()
        return log

    def _next_block(self) -> Block:
        session = self.session
        if not session.position:
            epochs = self._epochs - self.epoch if self._feed.source.reads_ahead else 1
            self._feed.begin(self.seed, session.epoch, epochs, early=True)
        block = self._feed.take()
        self._until = session.position + block.rows
        session.rebind(
            rows_of(block), self.predictions, block.batch_size, self._until if block.last else None
        )
        return block

    def _done(self) -> int:
        return self._this_epoch * self.steps_per_epoch + self.session.step - self._first_step

    def _epoch_rows(self) -> int:
        return self._rows_done

    def _epoch_logs(self, sums: np.ndarray) -> dict[str, float]:
        return self._kept.logs(self._evaluator, sums, self._rows_done)


class _Pass:
    """One pass through a source with the model's weights as they are."""

    def __init__(self, model: Any, feed: Feed, threads: int | None = None, device: str | None = None):
        rows, table = rows_to_expect(feed), feed.table
        self._executor = backends.executor(device_for(model, table.tables(), rows, rows, device=device))
        self._in_place = self._executor.IN_PLACE and table.readable_in_place(model.dtype)
        self._model, self._feed, self._threads = model, feed, threads
        self._outputs: list[np.ndarray] = []

    def _session(self, program: Any, batches: bool) -> Any:
        feed = self._feed
        self._outputs = [np.empty((feed.table.held, s.size), self._model.dtype) for s in program.outputs]
        return self._executor.Session(
            program,
            parameters=self._model.storage.array,
            inputs=feed.table.arrays(),
            outputs=self._outputs,
            batch_size=feed.batch_size if batches else feed.table.held,
            epoch_rows=feed.table.rows,
            total_rows=feed.table.rows,
            threads=self._threads,
        )

    def _run(self, session: Any, batches: bool, begin: Any, end: Any, done: Any) -> np.ndarray:
        """Go through all blocks, each a batch; or batch by batch. Returns the sums."""
        batch = 0
        self._feed.begin()
        try:
            with session:
                while True:
                    block, start = self._feed.take(), session.position
                    size = block.batch_size if batches else block.rows
                    session.rebind(
                        rows_of(block), self._outputs, size, start + block.rows if block.last else None
                    )
                    for at in range(0, block.rows, size):
                        begin(batch)
                        log, _ = session.run(1, 1)
                        end(batch, log, start, at, min(at + size, block.rows))
                        batch += 1
                    done(block)
                    if block.last:
                        self._feed.source.epoch_ended()
                        return log[0]
        finally:
            self._feed.close()


class StreamEvaluation(_Pass):
    """Loss and metrics of a model on a source, as often as asked; see ``inference.Evaluation``."""

    def __init__(self, model: Any, feed: Feed, threads: int | None = None, device: str | None = None):
        super().__init__(model, feed, threads, device)
        table = feed.table
        metrics = model.compiled.resolve_metrics(model.output_shapes, table.target_shapes)
        self._plan = step_plan(
            model, model.compiled, metrics, table.weighted, table.sources(),
            training=False, in_place=self._in_place, row_major=not self._executor.IN_PLACE,
        )  # fmt: skip
        self._evaluator = Evaluator(model.compiled, metrics, self._plan, table, 1)

    def run(self, callbacks: CallbackList | None = None, batch_size: int = 32) -> dict[str, Any]:
        """Return the logs with the model's weights as they are now."""
        batches = callbacks is not None and callbacks.wants_test_batches
        session = self._session(self._plan.program, batches)
        kept = Kept(self._feed, self._outputs)
        rows = 0

        def begin(batch: int) -> None:
            if batches:
                callbacks.call("on_test_batch_begin", batch, {})  # type: ignore[union-attr]

        def end(batch: int, log: np.ndarray, start: int, first: int, last: int) -> None:
            nonlocal rows
            rows = start + last
            if batches:
                sums = log[0] if len(log) else session.sums
                logs = self._evaluator.logs(sums, None, rows)
                callbacks.call("on_test_batch_end", batch, logs)  # type: ignore[union-attr]

        sums = self._run(session, batches, begin, end, kept.add)
        return kept.logs(self._evaluator, sums, rows)


class StreamPrediction(_Pass):
    """The outputs of a model for the rows of a source; see ``inference.Prediction``."""

    def run(self, callbacks: CallbackList | None = None, batch_size: int = 32) -> list[np.ndarray]:
        """Return one array for each output."""
        model, table = self._model, self._feed.table
        batches = callbacks is not None and callbacks.wants_predict_batches
        plan = predict_plan(model, table.sources(), self._in_place, not self._executor.IN_PLACE)
        session = self._session(plan.program, batches)
        shapes = [symbol.spec.shape for symbol in model.outputs]
        found: list[list[np.ndarray]] = []

        def begin(batch: int) -> None:
            if batches:
                callbacks.call("on_predict_batch_begin", batch, {})  # type: ignore[union-attr]

        def end(batch: int, log: np.ndarray, start: int, first: int, last: int) -> None:
            outputs = [
                output[first:last].reshape(-1, *shape).copy()
                for output, shape in zip(self._outputs, shapes, strict=True)
            ]
            found.append(outputs)
            if batches:
                logs = {"outputs": outputs[0] if len(outputs) == 1 else outputs}
                callbacks.call("on_predict_batch_end", batch, logs)  # type: ignore[union-attr]

        self._run(session, batches, begin, end, lambda block: None)
        return [np.concatenate(outputs) for outputs in zip(*found, strict=True)]


def rows_to_expect(feed: Feed) -> int:
    """Return the rows of an epoch; those of a block where their number is not known."""
    return feed.table.held if feed.rows is None else feed.rows


def rows_of(block: Block) -> list[np.ndarray]:
    """Return a block's arrays, without the memory after its rows."""
    return [array[: block.rows] for array in block.arrays]
