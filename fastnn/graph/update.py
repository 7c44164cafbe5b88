"""Planning of a program's update section: what happens to gradients and weights once a step.

The order is that of Keras 3.15: the gradients of the weight penalties belong to the loss and come first;
then accumulation, clipping, weight decay and the update, the moving average, and the constraints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastnn.errors import ArgumentError, ShapeError
from fastnn.ops.registry import Spec
from fastnn.ops.updates import UPDATES
from fastnn.program import Instruction, Ref

#: Elements to which parameters are aligned in the flat vector; those in between are zero.
ALIGN = 16
#: Where the learning rate stands in the vector of hyperparameters; the weight decay follows.
LEARNING_RATE = 0
#: State vectors besides the optimizer's own.
ACCUMULATED, AVERAGE = "accumulated_gradient", "average"
_ITEMSIZE = {"float32": 4, "float64": 8}
_NORMS = ("max_norm", "unit_norm", "min_max_norm")


class UpdateParameter(NamedTuple):
    """A parameter as the planner of updates sees it.

    Attributes
    ----------
    name : str
    offset : int
        First element in the flat vector, a multiple of 16.
    shape : tuple of int
    trainable : bool
    regularizer : object or None
        Has `l1` and `l2`.
    constraint : object or None
        Has `kind`, `params` and `axis`.
    """

    name: str
    offset: int
    shape: tuple[int, ...]
    trainable: bool = True
    regularizer: Any = None
    constraint: Any = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


class UpdatePlan(NamedTuple):
    """The update section of a program.

    Attributes
    ----------
    instructions : list of Instruction
    slots : tuple of (str, float)
        The flat state vectors and the value each starts at: the optimizer's own, then, where they are
        used, 'accumulated_gradient' and 'average' (the moving average of the weights).
    hyper : list of float
        What the vector of hyperparameters starts at: learning rate, weight decay, the optimizer's numbers
        (see ``fastnn.ops.updates``), then state and work space of the kernels. Only the learning rate may
        be changed between steps.
    accumulators : tuple of str
        Names of the sums over an epoch of the weight penalties times the rows of each batch.
    schedule : tuple of (str, int)
        The op that computes the learning rate, and how many numbers it reads; ``('', 0)`` if Python does.
    """

    instructions: list[Instruction]
    slots: tuple[tuple[str, float], ...]
    hyper: list[float]
    accumulators: tuple[str, ...]
    schedule: tuple[str, int] = ("", 0)


class Range(NamedTuple):
    """Neighbouring parameters that one instruction updates."""

    start: int
    size: int


def plan_update(
    optimizer: Any,
    parameters: Sequence[UpdateParameter],
    dtype: str = "float32",
    *,
    lanes: int = 16,
    first_accumulator: int = 0,
) -> UpdatePlan:
    """Plan what is done once a step.

    Parameters
    ----------
    optimizer : Optimizer
    parameters : sequence of UpdateParameter
        In any order; frozen ones are not touched.
    dtype : {'float32', 'float64'}
    lanes : int
        At most so many copies of the gradients are to be summed; 1 plans no sum.
    first_accumulator : int
        Index of the first penalty's sum among the program's accumulators.

    Returns
    -------
    UpdatePlan
    """
    if optimizer.op not in UPDATES:
        raise ArgumentError(f"No update is known for optimizer op {optimizer.op!r}.")
    return _Planner(optimizer, parameters, dtype).plan(lanes, first_accumulator)


class _Planner:
    """Emits the instructions in order."""

    def __init__(self, optimizer: Any, parameters: Sequence[UpdateParameter], dtype: str):
        self.optimizer = optimizer
        self.itemsize = _ITEMSIZE[dtype]
        self.trainable = sorted((p for p in parameters if p.trainable), key=lambda p: p.offset)
        for parameter in self.trainable:
            if parameter.offset % ALIGN:
                raise ArgumentError(
                    f"Parameter {parameter.name!r} must start at a multiple of {ALIGN} elements. "
                    f"Received: offset {parameter.offset}."
                )
        numbers = optimizer.hyper()
        record = UPDATES[optimizer.op]
        self.ranges = _ranges(self.trainable, merge=numbers.get("epsilon") != 0.0)
        names = ("weight_decay", *record.numbers)
        self.hyper = [0.0, *(numbers[name] for name in names), *record.state]
        rate = optimizer.learning_rate
        self.hyper[LEARNING_RATE] = rate if isinstance(rate, float) else optimizer.learning_rate_at(0)
        self.steps = optimizer.gradient_accumulation_steps or 1
        self.slots = [(name, optimizer.slot_init(name)) for name in optimizer.slots()]
        self.own_slots = len(self.slots)
        self.instructions: list[Instruction] = []
        self.accumulators: list[str] = []

    def plan(self, lanes: int, first_accumulator: int) -> UpdatePlan:
        """Emit everything, in order."""
        schedule = self.schedule()
        if lanes > 1:
            for part in self.ranges:
                self.emit("reduce_gradients", (), (self.at("gradient", part),), start=part.start)
        self.penalties(first_accumulator)
        for number, part in enumerate(self.ranges, start=1):
            last = number == len(self.ranges)
            self.emit("check_finite", (self.at("gradient", part),), (), start=part.start, last=last)
        self.accumulate()
        self.clip()
        self.update()
        self.average()
        self.constrain()
        return UpdatePlan(
            self.instructions, tuple(self.slots), self.hyper, tuple(self.accumulators), schedule
        )

    # ------------------------------------------------------------------ operands
    def emit(self, op: str, inputs: tuple[Ref, ...], outputs: tuple[Ref, ...], **attrs: Any) -> None:
        """Append an instruction."""
        self.instructions.append(Instruction(op, inputs, outputs, attrs))

    def at(self, region: str, part: Range, index: int = 0) -> Ref:
        """Refer to a range of a flat vector."""
        return Ref(region, part.start * self.itemsize, Spec((part.size,), rows=False), index)

    def scalar(self, position: int, count: int = 1) -> Ref:
        """Refer to hyperparameters."""
        return Ref("hyper", 8 * position, Spec((count,), rows=False))

    def work_space(self, count: int) -> int:
        """Append numbers that kernels may use among themselves; returns their position."""
        self.hyper += [0.0] * count
        return len(self.hyper) - count

    # ------------------------------------------------------------------ sections
    def schedule(self) -> tuple[str, int]:
        """Have the learning rate computed first of all: a step that is skipped has a rate as well."""
        scheduled = self.optimizer.schedule()
        if scheduled is None or not self.trainable:
            return "", 0
        op, numbers = scheduled
        source = Ref("schedule", 0, Spec((1 + len(numbers),), rows=False))
        self.emit(op, (source,), (self.scalar(LEARNING_RATE),))
        return op, len(numbers)

    def penalties(self, first_accumulator: int) -> None:
        """Add the penalties' gradients, and keep their values."""
        penalised = [
            (p, float(p.regularizer.l1), float(p.regularizer.l2))
            for p in self.trainable
            if p.regularizer is not None and (p.regularizer.l1 or p.regularizer.l2)
        ]
        for p, l1, l2 in penalised:
            part = Range(p.offset, p.size)
            weights, gradient = self.at("parameter", part), self.at("gradient", part)
            self.emit("l1_l2", (weights,), (gradient,), start=p.offset, l1=l1, l2=l2)
        for p, l1, l2 in penalised:
            index = first_accumulator + len(self.accumulators)
            total = Ref("accumulator", 8 * index, Spec((), rows=False))
            weights = self.at("parameter", Range(p.offset, p.size))
            self.emit("l1_l2_penalty", (weights,), (total,), l1=l1, l2=l2)
            self.accumulators.append(f"{p.name}_penalty")

    def accumulate(self) -> None:
        """Average the gradients of several batches."""
        if self.steps == 1:
            return
        slot = len(self.slots)
        self.slots.append((ACCUMULATED, 0.0))
        for number, part in enumerate(self.ranges, start=1):
            outputs = (self.at("gradient", part), self.at("slot", part, slot))
            last = number == len(self.ranges)
            self.emit("accumulate_gradients", (), outputs, start=part.start, steps=self.steps, last=last)

    def clip(self) -> None:
        """Clip by value, by each parameter's norm, or by the norm of all."""
        kind, limit = self.optimizer.clip or (None, 0.0)
        if kind == "clipvalue":
            for part in self.ranges:
                self.emit("clip_value", (), (self.at("gradient", part),), start=part.start, limit=limit)
        elif kind is not None:
            together = kind == "global_clipnorm"
            parts = [Range(p.offset, p.size) for p in self.trainable]
            first = self.work_space(1 if together else len(parts))
            cells = [self.scalar(first if together else first + number) for number in range(len(parts))]
            for number, (part, cell) in enumerate(zip(parts, cells, strict=True)):
                starts, ends = not together or number == 0, not together or number == len(parts) - 1
                self.emit(
                    "clip_factor", (self.at("gradient", part),), (cell,), limit=limit, first=starts, last=ends
                )
            if together:
                parts = self.ranges
            for part, cell in zip(parts, cells, strict=False):
                self.emit("scale_gradient", (cell,), (self.at("gradient", part),), start=part.start)

    def update(self) -> None:
        """Take the optimizer's step."""
        attrs = {"steps": self.steps, "decay": bool(self.hyper[1]), **self.optimizer.flags()}
        hyper = self.scalar(0, len(self.hyper))
        for part in self.ranges:
            slots = tuple(self.at("slot", part, index) for index in range(self.own_slots))
            inputs, outputs = (self.at("gradient", part), hyper), (self.at("parameter", part), *slots)
            self.emit(self.optimizer.op, inputs, outputs, start=part.start, **attrs)

    def average(self) -> None:
        """Keep the moving average of the weights."""
        if not self.optimizer.use_ema:
            return
        slot = len(self.slots)
        self.slots.append((AVERAGE, 0.0))
        attrs = {
            "steps": self.steps,
            "overwrite": self.optimizer.ema_overwrite_frequency or 0,
            "momentum": float(self.optimizer.ema_momentum),
        }
        for part in self.ranges:
            outputs = (self.at("parameter", part), self.at("slot", part, slot))
            self.emit("average_weights", (), outputs, start=part.start, **attrs)

    def constrain(self) -> None:
        """Project the weights."""
        constrained = [p for p in self.trainable if p.constraint is not None]
        for p in constrained:
            if p.constraint.kind == "non_neg":
                part = Range(p.offset, p.size)
                self.emit("non_neg", (), (self.at("parameter", part),), start=p.offset)
        normed = [(p, _axis(p)) for p in constrained if p.constraint.kind != "non_neg"]
        if not normed:
            return
        count = max(math.prod(p.shape[axis + 1 :]) for p, axis in normed)
        norms = self.scalar(self.work_space(count), count)
        for p, axis in normed:
            weights = Ref("parameter", p.offset * self.itemsize, Spec(tuple(p.shape), rows=False))
            self.emit(p.constraint.kind, (), (weights, norms), axis=axis, params=p.constraint.params)


def _ranges(trainable: Sequence[UpdateParameter], merge: bool) -> list[Range]:
    """Join neighbours, the zeros between and after them included (a loop without a remainder is faster).

    Without an epsilon an update of the zeros would be 0 / 0, so nothing is joined then.
    """
    if not merge:
        return [Range(p.offset, p.size) for p in trainable]
    ranges: list[Range] = []
    for p in trainable:
        size = -(-p.size // ALIGN) * ALIGN
        if ranges and sum(ranges[-1]) == p.offset:
            ranges[-1] = Range(ranges[-1].start, ranges[-1].size + size)
        else:
            ranges.append(Range(p.offset, size))
    return ranges


def _axis(parameter: UpdateParameter) -> int:
    """Return the axis of a parameter's norm constraint, counted from the front."""
    constraint, dimensions = parameter.constraint, len(parameter.shape)
    if constraint.kind not in _NORMS:
        raise ArgumentError(
            f"The constraint of {parameter.name!r} cannot be compiled: expected one of non_neg, "
            f"{', '.join(_NORMS)}. Received: {type(constraint).__name__}."
        )
    if not -dimensions <= constraint.axis < dimensions:
        raise ShapeError(
            f"The constraint of {parameter.name!r} takes norms along axis {constraint.axis}, which the "
            f"weights must have. Received: weights of shape {parameter.shape}."
        )
    return constraint.axis % dimensions
