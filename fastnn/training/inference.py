"""Evaluation and prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.backends.cpu.executor import Session
from fastnn.training.evaluation import Evaluator
from fastnn.training.step import predict_plan, step_plan
from fastnn.training.table import Table, read_inputs, readable_in_place, source_of


class Evaluation:
    """Loss and metrics of a model on a table, as often as asked.

    Parameters
    ----------
    model : Model
    table : Table
    rows : int, optional
        Only the first so many rows count.
    threads : int, optional
    """

    def __init__(self, model: Any, table: Table, rows: int | None = None, threads: int | None = None):
        rows = table.rows if rows is None else min(rows, table.rows)
        metrics = model.compiled.resolve_metrics(model.output_shapes, table.target_shapes)
        plan = step_plan(
            model, model.compiled, metrics, table.weighted, table.sources(),
            training=False, in_place=table.readable_in_place(model.dtype),
        )  # fmt: skip
        self._predictions = [np.empty((rows, spec.size), model.dtype) for spec in plan.program.outputs]
        self._arrays = table.arrays()
        self._model, self._plan, self._rows, self._threads = model, plan, rows, threads
        self._evaluator = Evaluator(model.compiled, metrics, plan, table, rows)

    def run(self) -> dict[str, Any]:
        """Return the logs with the model's weights as they are now."""
        session = Session(
            self._plan.program,
            parameters=self._model.storage.array,
            inputs=self._arrays,
            outputs=self._predictions,
            batch_size=self._rows,
            epoch_rows=self._rows,
            total_rows=self._rows,
            threads=self._threads,
        )
        with session:
            log, _ = session.run(1, 1)
        return self._evaluator.logs(log[0], self._predictions)


def predict(model: Any, x: Any, rows: int | None = None, threads: int | None = None) -> list[np.ndarray]:
    """Return a model's outputs for the rows of `x`, one array for each output."""
    inputs = read_inputs(model, x)
    count = len(inputs[0]) if rows is None else min(rows, len(inputs[0]))
    outputs = [np.empty((count, *symbol.spec.shape), model.dtype) for symbol in model.outputs]
    if count == 0:
        return outputs
    in_place = all(readable_in_place(array, model.dtype) for array in inputs)
    plan = predict_plan(model, [source_of(array) for array in inputs], in_place)
    session = Session(
        plan.program,
        parameters=model.storage.array,
        inputs=inputs,
        outputs=outputs,
        batch_size=count,
        epoch_rows=count,
        total_rows=count,
        threads=threads,
    )
    with session:
        session.run(1, 1)
    return outputs
