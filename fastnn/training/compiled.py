"""What ``compile`` settles: optimizer, one loss an output, metrics."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastnn import losses, metrics, optimizers
from fastnn.errors import ArgumentError
from fastnn.graph.trace import freeze
from fastnn.losses import Loss
from fastnn.metrics import Metric
from fastnn.serialization import check_number


class Compiled:
    """The settings of a training.

    Parameters
    ----------
    output_names : sequence of str
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

    Raises
    ------
    UnknownNameError, DtypeError
        If a name is not known; the nearest is suggested.
    ArgumentError
        If lists or dicts do not fit the outputs.

    Examples
    --------
    >>> from fastnn.training.compiled import Compiled
    >>> Compiled(["price", "risk"], "adam", {"price": "mse"}, None, ["mae"], None).losses[1] is None
    True
    """

    def __init__(
        self,
        output_names: Sequence[str],
        optimizer: Any,
        loss: Any,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
    ):
        self.output_names = list(output_names)
        self.optimizer = optimizers.get(optimizer)
        if loss is None:
            raise ArgumentError("compile() needs a loss. Received: loss=None.")
        self.losses = [read_loss(item) for item in self._per_output(loss, "loss")]
        if all(item is None for item in self.losses):
            raise ArgumentError(f"compile() needs a loss for at least one output. Received: loss={loss!r}.")
        weights = [None] * len(self.losses)
        if loss_weights is not None:
            weights = self._per_output(loss_weights, "loss_weights")
        self.loss_weights = [
            1.0 if weight is None else check_number("loss_weights", weight, f"output {name!r}")
            for weight, name in zip(weights, self.output_names, strict=True)
        ]
        self.metrics = self._metrics(metrics, "metrics")
        self.weighted_metrics = self._metrics(weighted_metrics, "weighted_metrics")
        self.described: tuple[Any, dict[str, Any]] | None = None  # see fingerprint.description

    def _per_output(self, given: Any, what: str) -> list[Any]:
        """Distribute a single item, list or dict over the outputs."""
        names = self.output_names
        if isinstance(given, Mapping) and "class_name" not in given:
            unknown = [name for name in given if name not in names]
            if unknown:
                raise ArgumentError(
                    f"`{what}` names outputs that the model does not have: expected some of {names}. "
                    f"Received: {unknown}."
                )
            return [given.get(name) for name in names]
        if isinstance(given, (list, tuple)):
            if len(given) != len(names):
                raise ArgumentError(
                    f"`{what}` must have one item for each output {names}. Received: {len(given)} items."
                )
            return list(given)
        return [given] * len(names)

    def _metrics(self, given: Any, what: str) -> list[list[Any]]:
        names = self.output_names
        if isinstance(given, (list, tuple)):
            nested = any(isinstance(item, (list, tuple)) for item in given)
            if not nested and (len(names) == 1 or len(given) != len(names)):
                given = [list(given)] * len(names)
        found = [_as_list(item) for item in self._per_output(given, what)]
        for name, loss, identifiers in zip(names, self.losses, found, strict=True):
            for identifier in identifiers:
                check_metric(identifier)
            if loss is None and identifiers and (isinstance(given, Mapping) or len(names) == 1):
                raise ArgumentError(
                    f"`{what}` asks for metrics of output {name!r}, which has no loss and so no targets. "
                    f"Received: {identifiers}."
                )
        return [[] if loss is None else item for loss, item in zip(self.losses, found, strict=True)]

    def resolve_metrics(
        self, output_shapes: Sequence[tuple[int | None, ...]], target_shapes: Sequence[Any]
    ) -> list[tuple[int, Metric, bool]]:
        """Return (output number, metric, weighted) for every metric, 'accuracy' chosen by shape.

        No two have the same key: a weighted metric called like an unweighted one has ``weighted_`` put in
        front of its name, any other a number behind.
        """
        found: list[tuple[int, Metric, bool]] = []
        taken = {"loss", *(f"{name}_loss" for name in self.output_names)}
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
                    metric = self._distinct(k, metric, weighted, taken)
                    taken.add(self.metric_key(k, metric))
                    found.append((k, metric, weighted))
        return found

    def _distinct(self, k: int, metric: Metric, weighted: bool, taken: set[str]) -> Metric:
        """Return the metric, under another name where its key is taken."""
        for name in _names_like(metric.name, weighted):
            if name != metric.name:
                metric = copy.copy(metric)
                metric.name = name
            if self.metric_key(k, metric) not in taken:
                break
        return metric

    def metric_key(self, k: int, metric: Metric) -> str:
        """Return a metric's name in the logs."""
        return metric.name if len(self.output_names) == 1 else f"{self.output_names[k]}_{metric.name}"

    def loss_key(self) -> tuple:
        """Return what of the losses a program depends on, hashable."""
        return tuple(
            None if loss is None else (loss.op, freeze(_hashable(loss.attrs())), loss.reduction, weight)
            for loss, weight in zip(self.losses, self.loss_weights, strict=True)
        )


def read_loss(given: Any) -> Loss | None:
    """Return the loss that an identifier means, if training can use it; None for None."""
    if given is None:
        return None
    loss = losses.get(given)
    if loss.reduction == "mean_with_sample_weight":
        raise ArgumentError(
            f"reduction='mean_with_sample_weight' of {loss.name} is not implemented in training; expected "
            "'sum_over_batch_size', 'mean' or 'sum'."
        )
    return loss


def check_metric(identifier: Any) -> None:
    """Raise if there is no such metric; the nearest is suggested."""
    metrics.resolve(identifier, output_shape=(None, 1))


def check_names(loss: Any, given_metrics: Sequence[Any]) -> None:
    """Check the names given to ``compile`` while a model's outputs are not known yet."""
    for item in _leaves(loss):
        read_loss(item)
    for given in given_metrics:
        for item in _leaves(given):
            check_metric(item)


def _leaves(given: Any) -> Iterator[Any]:
    """Go through nested lists and dicts of identifiers."""
    if isinstance(given, Mapping) and "class_name" not in given:
        given = list(given.values())
    if isinstance(given, (list, tuple)):
        for item in given:
            yield from _leaves(item)
    elif given is not None:
        yield given


def _names_like(name: str, weighted: bool) -> Iterator[str]:
    """Suggest names for a metric: its own, then others."""
    yield name
    if weighted:
        name = f"weighted_{name}"
        yield name
    number = 1
    while True:
        yield f"{name}_{number}"
        number += 1


def _as_list(item: Any) -> list[Any]:
    if item is None:
        return []
    return [i for i in item if i is not None] if isinstance(item, (list, tuple)) else [item]


def _hashable(attrs: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in attrs.items()}
