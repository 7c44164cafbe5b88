"""Building programs: a model's training step, evaluation and prediction, as graphs for the planner."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastnn.errors import ArgumentError
from fastnn.graph.autodiff import backward
from fastnn.graph.fuse import logits_of
from fastnn.graph.plan import plan
from fastnn.graph.trace import Graph, Value, freeze
from fastnn.graph.update import UpdateParameter, plan_update
from fastnn.metrics import Metric
from fastnn.ops.registry import Spec
from fastnn.program import Instruction, Program, Ref, Source
from fastnn.training.compiled import Compiled

#: Programs are kept, so that a second model of the same shape costs no planning.
CACHE_SIZE = 256


@dataclass
class StepPlan:
    """A program and the meaning of its sums and outputs.

    Attributes
    ----------
    program : Program
    losses : int
        The first so many sums are losses: one an output, then the activity penalties.
    batch_mean : list of bool
        Which sums are to be multiplied by the batch's rows (reduction 'sum').
    streamed : dict of int to int
        For each metric number that the program sums: which accumulator.
    weights : dict of int to int
        For each output with sample weights: the accumulator of the weights' sum.
    stored : dict of int to int
        For each model output whose predictions are kept: which program output.
    slots : tuple of (str, float)
        The optimizer's state vectors and the values they start from.
    hyper : list of float
        Initial contents of the optimizer's number memory.
    schedule : tuple of (str, int)
        The op that computes the learning rate, and how many numbers it reads; ``('', 0)`` if Python does.
    """

    program: Program
    losses: int = 0
    batch_mean: list[bool] = field(default_factory=list)
    streamed: dict[int, int] = field(default_factory=dict)
    weights: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)
    penalties: list[int] = field(default_factory=list)
    slots: tuple[tuple[str, float], ...] = ()
    hyper: list[float] = field(default_factory=list)
    schedule: tuple[str, int] = ("", 0)


_cache: OrderedDict[Any, StepPlan] = OrderedDict()
_cache_lock = threading.Lock()


def _renew_lock_after_fork() -> None:
    global _cache_lock
    _cache_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock_after_fork)


def _cached(key: Any, build: Any) -> StepPlan:
    with _cache_lock:
        found = _cache.get(key)
        if found is not None:
            _cache.move_to_end(key)
            return found
    made = build()
    with _cache_lock:
        _cache[key] = made
        while len(_cache) > CACHE_SIZE:
            _cache.popitem(last=False)
    return made


def _graph_key(graph: Graph) -> tuple:
    return (
        tuple((v.role, v.spec, v.offset) for v in graph.values if v.role != "temporary"),
        tuple((n.op, tuple(v.number for v in n.inputs), freeze(n.attrs)) for n in graph.nodes),
    )


def predict_plan(
    model: Any, sources: Sequence[Source], in_place: bool, row_major: bool = False, checked: bool = False
) -> StepPlan:
    """Return the program that writes the model's outputs for each row.

    With `checked`, its only sum is 0, or NaN if an input holds a number that is not finite; parts of tables
    and whole numbers are not looked at.
    """
    graph = Graph()
    _, outputs = model.trace(graph, training=False)
    key = (
        "predict",
        model.dtype,
        tuple(sources),
        in_place,
        row_major,
        checked,
        _graph_key(graph),
        tuple(v.number for v in outputs),
    )

    def build() -> StepPlan:
        for index, value in enumerate(outputs):
            graph.emit("store", [value], output=index)
        graph.prune([])
        program = plan(
            graph, model.dtype, sources=sources, outputs=[v.spec for v in outputs],
            parameters=model.storage.array.size, in_place=in_place, row_major=row_major,
        )  # fmt: skip
        if checked:
            _check_inputs(program)
        return StepPlan(program, stored={index: index for index in range(len(outputs))})

    return _cached(key, build)


def _check_inputs(program: Program) -> None:
    """Look at inputs where they are read, when the cache holds them; memory and blocks stay as planned."""
    program.accumulators = ("not finite",)
    result = (Ref("accumulator", 0, Spec((), rows=False)),)
    block: list[Instruction] = []
    seen: set[int] = set()
    for instruction in program.block:
        for ref in instruction.inputs:
            if program.in_place and ref.region == "input" and ref.stride and ref.index not in seen:
                seen.add(ref.index)
                if ref.spec.kind == "float":
                    block.append(Instruction("check_input", (ref,), result))
        block.append(instruction)
        if instruction.op == "gather" and instruction.outputs[0].spec.kind == "float":
            block.append(Instruction("check_input", instruction.outputs, result))
    program.block = block


def step_plan(
    model: Any,
    compiled: Compiled,
    metrics: Sequence[tuple[int, Metric, bool]],
    weighted: Sequence[bool],
    sources: Sequence[Source],
    *,
    training: bool,
    in_place: bool,
    staged: bool = False,
    row_major: bool = False,
) -> StepPlan:
    """Return the program of a training step, or of an evaluation.

    Parameters
    ----------
    model, compiled
    metrics : sequence of (output number, metric, weighted)
    weighted : sequence of bool
        Which outputs have sample weights.
    sources : sequence of str or tuple of PartSource
        Dtypes (or parts) of the model's inputs, then the targets, then the weights.
    training : bool
        With dropout, gradients and the update section.
    in_place, staged : bool
        Whether arrays may be read where they are; staged: after being cut into (units, rows) blocks.
    row_major : bool
        Whether the executor reads row-major programs only.
    """
    graph = Graph()
    trace, outputs = model.trace(graph, training=training, with_penalties=True)
    key = (
        training, model.dtype, tuple(sources), in_place, staged, row_major, tuple(weighted),
        _graph_key(graph),
        tuple(v.number for v in outputs), compiled.loss_key(), model.storage.array.size,
        tuple((k, m.kernel if hasattr(m, "kernel") else None, w) for k, m, w in metrics),
        _update_key(model, compiled) if training else None,
    )  # fmt: skip
    return _cached(
        key,
        lambda: _StepBuilder(graph, trace, outputs, model, compiled).build(
            metrics, weighted, sources, training, in_place, staged, row_major
        ),
    )


def _update_key(model: Any, compiled: Compiled) -> tuple:
    optimizer = compiled.optimizer
    shared = (
        optimizer.clip, optimizer.use_ema, optimizer.ema_momentum, optimizer.ema_overwrite_frequency,
        optimizer.gradient_accumulation_steps, _schedule_key(optimizer.schedule()),
    )  # fmt: skip
    variables = tuple(
        (
            v.offset,
            v.shape,
            repr(v.regularizer) if v.regularizer else None,
            repr(v.constraint) if v.constraint else None,
        )
        for v in model.trainable_variables
    )
    return (optimizer.op, freeze(optimizer.hyper()), freeze(optimizer.flags()), shared, variables)


def _schedule_key(schedule: Any) -> tuple:
    """The numbers are data; the program knows how many there are."""
    return () if schedule is None else (schedule[0], len(schedule[1]))


def target_spec(loss: Any, output: Spec) -> Spec:
    """Return a row of the targets that fits an output: a class index, or so many numbers."""
    if loss.sparse_target:
        return Spec((1,), kind="int")
    columns = loss.columns_per_target
    return output if columns == 1 else Spec((output.size // columns,))


class _StepBuilder:
    """Extends a traced graph by losses, metrics and gradients."""

    def __init__(self, graph: Graph, trace: Any, outputs: list[Value], model: Any, compiled: Compiled):
        self.graph = graph
        self.trace = trace
        self.outputs = outputs
        self.model = model
        self.compiled = compiled
        self.names: list[str] = []
        self.batch_mean: list[bool] = []
        self.seeds: dict[int, Value] = {}

    def build(self, metrics, weighted, sources, training, in_place, staged, row_major) -> StepPlan:
        graph, compiled = self.graph, self.compiled
        targets = [
            graph.input(target_spec(loss, output.spec), f"target {k}") if loss is not None else None
            for k, (loss, output) in enumerate(zip(compiled.losses, self.outputs, strict=True))
        ]  # fmt: skip
        weights = [graph.input(Spec((1,)), f"weight {k}") if has else None for k, has in enumerate(weighted)]
        for k, loss in enumerate(compiled.losses):
            if loss is not None:
                self._loss(loss, targets[k], self.outputs[k], weights[k], compiled.loss_weights[k])
        self._penalties()
        losses = len(self.names)
        result = StepPlan(program=None, losses=losses)  # type: ignore[arg-type]
        self._metrics(metrics, targets, weights, result)
        contributions: list[Value] = []
        update = None
        storage = self.model.storage.array.size
        if training:
            contributions = self._gradients()
            update = self._update()
            result.penalties = [self._sum(name, False) for name in update.accumulators]
            result.slots, result.hyper, result.schedule = update.slots, update.hyper, update.schedule
        graph.prune(contributions)
        result.batch_mean = self.batch_mean
        result.program = plan(
            graph,
            self.model.dtype,
            sources=sources,
            outputs=[self.outputs[k].spec for k in result.stored],
            accumulators=self.names,
            update=update.instructions if update else (),
            parameters=storage,
            gradients=storage if training else 0,
            slots=len(update.slots) if update else 0,
            in_place=in_place,
            staged=staged,
            row_major=row_major,
        )
        return result

    def _sum(self, name: str, batch_mean: bool) -> int:
        self.names.append(name)
        self.batch_mean.append(batch_mean)
        return len(self.names) - 1

    def _loss(self, loss: Any, target: Any, output: Value, weight: Value | None, scale: float) -> None:
        attrs = loss.attrs()
        prediction = output
        logits = logits_of(loss.op, attrs, output)
        if logits is not None:
            prediction, attrs = logits, {**attrs, "from_logits": True}
        inputs = [target, prediction] + ([weight] if weight is not None else [])
        mean = loss.reduction != "sum"
        gradient, rows = self.graph.emit(f"{loss.op}_grad", inputs, scale=float(scale), mean=mean, **attrs)
        self._seed(prediction, gradient)
        accumulator = self._sum("loss", not mean)
        self.graph.emit(
            "accumulate", [rows] + ([weight] if weight is not None else []), accumulator=accumulator
        )

    def _penalties(self) -> None:
        for value, l1, l2 in self.trace.penalties:
            gradient, rows = self.graph.emit("activity_penalty_grad", [value], l1=l1, l2=l2, mean=True)
            self._seed(value, gradient)
            self.graph.emit("accumulate", [rows], accumulator=self._sum("activity", False))

    def _seed(self, value: Value, gradient: Value) -> None:
        if value.number in self.seeds:
            gradient = self.graph.emit("add", [self.seeds[value.number], gradient])
        self.seeds[value.number] = gradient

    def _metrics(self, metrics, targets, weights, result: StepPlan) -> None:
        for number, (k, metric, weighted) in enumerate(metrics):
            kernel = getattr(metric, "kernel", None)
            loss = self.compiled.losses[k]
            use_weight = weighted and weights[k] is not None
            if kernel is not None and targets[k] is not None and ("sparse" in kernel) == loss.sparse_target:
                inputs = [targets[k], self.outputs[k]] + ([weights[k]] if use_weight else [])
                accumulator = self._sum(metric.name, False)
                self.graph.emit(f"metric_{kernel}", inputs, accumulator=accumulator)
                result.streamed[number] = accumulator
                if use_weight and k not in result.weights:
                    result.weights[k] = self._sum("weight", False)
                    self.graph.emit("accumulate", [weights[k]], accumulator=result.weights[k])
            elif k not in result.stored:
                index = len(result.stored)
                result.stored[k] = index
                self.graph.emit("store", [self.outputs[k]], output=index)

    def _gradients(self) -> list[Value]:
        trainable = {id(v) for v in self.model.trainable_variables}
        values = [value for variable, value in self.trace.parameters() if id(variable) in trainable]
        if not values:
            raise ArgumentError(
                f"Model {self.model.name!r} has no trainable variables, so there is nothing to fit."
            )
        return backward(self.graph, self.seeds, values)

    def _update(self) -> Any:
        parameters = [
            UpdateParameter(v.path, v.offset, v.shape, True, v.regularizer, v.constraint)
            for v in self.model.trainable_variables
        ]
        return plan_update(
            self.compiled.optimizer, parameters, self.model.dtype, first_accumulator=len(self.names)
        )
