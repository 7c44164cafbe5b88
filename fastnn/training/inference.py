"""Evaluation and prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn import backends
from fastnn.callbacks.base import CallbackList
from fastnn.program import Source
from fastnn.training.device import device_for
from fastnn.training.evaluation import Evaluator
from fastnn.training.step import predict_plan, step_plan
from fastnn.training.table import Table, arrays_of, read_inputs, readable_in_place, source_of


class Evaluation:
    """Loss and metrics of a model on a table, as often as asked.

    Parameters
    ----------
    model : Model
    table : Table
    rows : int, optional
        Only the first so many rows count.
    threads : int, optional
    device : {'cpu', 'gpu'}, optional
        Of the training that asks for it.
    """

    def __init__(
        self,
        model: Any,
        table: Table,
        rows: int | None = None,
        threads: int | None = None,
        device: str | None = None,
    ):
        rows = table.rows if rows is None else min(rows, table.rows)
        metrics = model.compiled.resolve_metrics(model.output_shapes, table.target_shapes)
        device = device_for(model, table.tables(), rows, rows, device=device)
        executor = backends.executor(device)
        plan = step_plan(
            model, model.compiled, metrics, table.weighted, table.sources(),
            training=False, in_place=executor.IN_PLACE and table.readable_in_place(model.dtype),
            row_major=not executor.IN_PLACE,
        )  # fmt: skip
        self._predictions = [np.empty((rows, spec.size), model.dtype) for spec in plan.program.outputs]
        self._arrays = backends.resident(device, table.arrays())
        self._executor = executor
        self._model, self._plan, self._rows, self._threads = model, plan, rows, threads
        self._evaluator = Evaluator(model.compiled, metrics, plan, table, rows)

    def run(self, callbacks: CallbackList | None = None, batch_size: int = 32) -> dict[str, Any]:
        """Return the logs with the model's weights as they are now.

        All rows are one batch, unless a callback asks for batches of `batch_size`.
        """
        batches = callbacks is not None and callbacks.wants_test_batches
        session = self._executor.Session(
            self._plan.program,
            parameters=self._model.storage.array,
            inputs=self._arrays,
            outputs=self._predictions,
            batch_size=min(batch_size, self._rows) if batches else self._rows,
            epoch_rows=self._rows,
            total_rows=self._rows,
            threads=self._threads,
        )
        with session:
            if batches:
                sums = self._batches(session, callbacks, batch_size)
            else:
                sums = session.run(1, 1)[0][0]
        return self._evaluator.logs(sums, self._predictions)

    def _batches(self, session: Any, callbacks: Any, batch_size: int) -> np.ndarray:
        """Evaluate batch by batch; returns the sums of all."""
        for batch, start in enumerate(range(0, self._rows, batch_size)):
            callbacks.call("on_test_batch_begin", batch, {})
            log, _ = session.run(1, 1)
            rows = min(start + batch_size, self._rows)
            logs = self._evaluator.logs(log[0] if len(log) else session.sums, None, rows)
            callbacks.call("on_test_batch_end", batch, logs)
        return log[0]


class Prediction:
    """The outputs of a model for the rows of `x`.

    Parameters
    ----------
    model : Model
        Built.
    x : array, list, DataFrame, Gathered, or a list or dict of them
    rows : int, optional
        Only the first so many rows.
    threads : int, optional
    checked : bool, default True
        Whether numbers that are not finite are refused here; else :meth:`run` does so, which is faster.
    """

    def __init__(
        self, model: Any, x: Any, rows: int | None = None, threads: int | None = None, checked: bool = True
    ):
        self._checked = checked or model.device != "cpu"
        self._inputs = read_inputs(model, x, finite=self._checked)
        available = len(self._inputs[0])
        self._rows = available if rows is None else min(rows, available)
        self._outputs = [np.empty((self._rows, *s.spec.shape), model.dtype) for s in model.outputs]
        self._model, self._given, self._threads = model, x, threads

    def run(self, callbacks: CallbackList | None = None, batch_size: int = 32) -> list[np.ndarray]:
        """Return one array for each output; rows go through batch by batch only if a callback asks for it."""
        if self._rows == 0:
            return self._outputs
        model, batches = self._model, callbacks is not None and callbacks.wants_predict_batches
        executor = backends.executor(device_for(model, self._inputs, self._rows, self._rows))
        in_place = executor.IN_PLACE and all(readable_in_place(array, model.dtype) for array in self._inputs)
        sources = [source_of(array) for array in self._inputs]
        if executor.IN_PLACE and not batches:
            self._at_once(sources, in_place)
            return self._outputs
        session = executor.Session(
            predict_plan(model, sources, in_place, not executor.IN_PLACE).program,
            parameters=model.storage.array,
            inputs=arrays_of(self._inputs),
            outputs=self._outputs,
            batch_size=min(batch_size, self._rows) if batches else self._rows,
            epoch_rows=self._rows,
            total_rows=self._rows,
            threads=self._threads,
        )
        with session:
            if batches:
                self._batches(session, callbacks, batch_size)
            else:
                session.run(1, 1)
        return self._outputs

    def _at_once(self, sources: list[Source], in_place: bool) -> None:
        """Run all rows as one batch, with what is prepared."""
        model, arrays = self._model, arrays_of(self._inputs)
        prepared = model.prepared
        if not prepared.run(model, sources, in_place, arrays, self._outputs, self._threads):
            read_inputs(model, self._given)  # raises, and says where
        prepared.prepare_few_rows(model, self._given)

    def _batches(self, session: Any, callbacks: Any, batch_size: int) -> None:
        for batch, start in enumerate(range(0, self._rows, batch_size)):
            callbacks.call("on_predict_batch_begin", batch, {})
            session.run(1, 1)
            outputs = [output[start : start + batch_size] for output in self._outputs]
            logs = {"outputs": outputs[0] if len(outputs) == 1 else outputs}
            callbacks.call("on_predict_batch_end", batch, logs)
