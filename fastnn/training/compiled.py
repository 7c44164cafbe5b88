"""What ``compile`` settles: optimizer, one loss an output, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastnn import losses, metrics, optimizers
from fastnn.errors import ArgumentError
from fastnn.graph.trace import freeze
from fastnn.metrics import Metric


class Compiled:
    """The settings of a training.

    Parameters
    ----------
    model : Model
        Built or not.
    optimizer, loss, loss_weights, metrics, weighted_metrics
        As given to ``compile``.

    Attributes
    ----------
    optimizer : Optimizer
    losses : list of Loss or None
        One an output.
    loss_weights : list of float
    metrics, weighted_metrics : list of list
        Identifiers of the metrics of each output.
    """

    def __init__(
        self,
        output_names: Sequence[str],
        optimizer: Any,
        loss: Any,
        loss_weights: Any,
        metrics: Any,
        weighted_metrics: Any,
    ):
        self.output_names = list(output_names)
        self.optimizer = optimizers.get(optimizer)
        if loss is None:
            raise ArgumentError("compile() needs a loss. Received: loss=None.")
        self.losses = [
            None if item is None else losses.get(item) for item in self._per_output(loss, "loss", spread=False)
        ]
        for item in self.losses:
            if item is not None and item.reduction == "mean_with_sample_weight":
                raise ArgumentError(
                    "reduction='mean_with_sample_weight' is not implemented in training; expected "
                    "'sum_over_batch_size', 'mean' or 'sum'."
                )
        weights = self._per_output(loss_weights, "loss_weights", spread=True) if loss_weights is not None else None
        self.loss_weights = [1.0 if w is None else float(w) for w in weights or [1.0] * len(self.losses)]
        self.metrics = self._metrics(metrics, "metrics")
        self.weighted_metrics = self._metrics(weighted_metrics, "weighted_metrics")

    def _per_output(self, given: Any, what: str, spread: bool) -> list[Any]:
        """Distribute a single item, list or dict over the outputs."""
        names = self.output_names
        if isinstance(given, Mapping) and not ("class_name" in given):
            unknown = set(given) - set(names)
            if unknown:
                raise ArgumentError(
                    f"`{what}` names outputs that the model does not have: expected some of {names}. "
                    f"Received: {sorted(unknown)}."
                )
            return [given.get(name) for name in names]
        if isinstance(given, (list, tuple)):
            if len(given) != len(names):
                raise ArgumentError(f"`{what}` must have one item for each output {names}. Received: {len(given)}.")
            return list(given)
        return [given] * len(names)

    def _metrics(self, given: Any, what: str) -> list[list[Any]]:
        names = self.output_names
        if given is None:
            return [[] for _ in names]
        if isinstance(given, Mapping) and "class_name" not in given:
            return [_as_list(item) for item in self._per_output(given, what, spread=False)]
        if isinstance(given, (list, tuple)):
            nested = any(isinstance(item, (list, tuple)) for item in given) or (len(names) > 1 and len(given) == len(names))
            if nested:
                return [_as_list(item) for item in self._per_output(given, what, spread=False)]
            return [list(given) for _ in names]
        return [[given] for _ in names]

    def resolve_metrics(
        self, output_shapes: Sequence[tuple], target_shapes: Sequence[tuple | None]
    ) -> list[tuple[int, Metric, bool]]:
        """Return (output number, metric, weighted) for every metric, 'accuracy' chosen by shape."""
        found = []
        for weighted, lists in ((False, self.metrics), (True, self.weighted_metrics)):
            for k, identifiers in enumerate(lists):
                loss = self.losses[k]
                for identifier in identifiers:
                    metric = metrics.resolve(
                        identifier,
                        output_shape=output_shapes[k],
                        target_shape=target_shapes[k],
                        sparse=loss is not None and loss.sparse_target,
                    )
                    found.append((k, metric, weighted))
        return found

    def metric_key(self, k: int, metric: Metric) -> str:
        """Return a metric's name in the logs."""
        return metric.name if len(self.output_names) == 1 else f"{self.output_names[k]}_{metric.name}"

    def loss_key(self) -> tuple:
        """Return what of the losses a program depends on, hashable."""
        return tuple(
            None if loss is None else (loss.op, freeze(_hashable(loss.attrs())), loss.reduction, weight)
            for loss, weight in zip(self.losses, self.loss_weights, strict=True)
        )


def _as_list(item: Any) -> list[Any]:
    if item is None:
        return []
    return list(item) if isinstance(item, (list, tuple)) else [item]


def _hashable(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in attrs.items()}
