"""From an epoch's sums and predictions to its logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.metrics import Metric
from fastnn.training.compiled import Compiled
from fastnn.training.step import StepPlan
from fastnn.training.table import Table


class Evaluator:
    """Turns what a program has summed up into the values users see."""

    def __init__(
        self,
        compiled: Compiled,
        metrics: Sequence[tuple[int, Metric, bool]],
        plan: StepPlan,
        table: Table,
        rows: int,
    ):
        self.compiled = compiled
        self.metrics = metrics
        self.plan = plan
        self.table = table
        self.rows = rows

    def columns(self, log: np.ndarray) -> dict[str, list[float]]:
        """Return the logs of several epochs, a list for each key."""
        return {key: values.tolist() for key, values in self._streams(log, self.rows).items()}

    def logs(
        self,
        sums: np.ndarray,
        predictions: Sequence[np.ndarray] | None,
        rows: int | None = None,
        visited: Any = None,
    ) -> dict[str, float]:
        """Return the logs of one epoch; without predictions only the values that are sums.

        `visited` indexes the rows that have been predicted; None means all.
        """
        found = {
            key: float(values[0]) for key, values in self._streams(sums[None, :], rows or self.rows).items()
        }
        if predictions is None or not self.plan.stored:
            return found
        for number, (k, metric, weighted) in enumerate(self.metrics):
            if number not in self.plan.streamed:
                found[self.compiled.metric_key(k, metric)] = self._exact(
                    k, metric, weighted, predictions, visited
                )
        return {key: found[key] for key in self._keys() if key in found}

    def _keys(self) -> list[str]:
        keys = ["loss"]
        if len(self.compiled.losses) > 1:
            keys += [f"{name}_loss" for name in self.compiled.output_names]
        return keys + [self.compiled.metric_key(k, metric) for k, metric, _ in self.metrics]

    def _streams(self, log: np.ndarray, rows: int) -> dict[str, np.ndarray]:
        """Return the values that are sums, for each row of `log`."""
        plan, compiled = self.plan, self.compiled
        total = np.zeros(len(log))
        found: dict[str, np.ndarray] = {"loss": total}
        number = 0
        for k, loss in enumerate(compiled.losses):
            if loss is None:
                continue
            value = log[:, number] / rows
            number += 1
            total += compiled.loss_weights[k] * value
            if len(compiled.losses) > 1:
                found[f"{compiled.output_names[k]}_loss"] = value
        for penalty in (*range(number, plan.losses), *plan.penalties):
            total += log[:, penalty] / rows
        for number, accumulator in plan.streamed.items():
            k = self.metrics[number][0]
            metric: Any = self.metrics[number][1]  # a streamed metric is a mean with a last step
            divisor: Any = log[:, plan.weights[k]] if k in plan.weights and self.metrics[number][2] else rows
            with np.errstate(all="ignore"):
                mean = log[:, accumulator] / divisor
            found[compiled.metric_key(k, metric)] = np.array([metric.finish(value) for value in mean])
        return found

    def _exact(
        self, k: int, metric: Metric, weighted: bool, predictions: Sequence[np.ndarray], visited: Any
    ) -> Any:
        table = self.table
        target = table.column_of(table.targets, k)
        if target is None:
            return float("nan")
        prediction = predictions[self.plan.stored[k]]
        weight = table.column_of(table.weights, k) if weighted else None
        if visited is None:
            visited = slice(len(prediction))
        return metric(
            target[visited], prediction[visited], None if weight is None else weight[visited].ravel()
        )
