"""Losses: the value of each row and, where asked, the gradient with respect to the prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastnn.backends.gpu.lowering import REGISTERS, Launch, Table, Target, blocks_of_rows, lowers
from fastnn.ops.loss_reference import SUMS

#: For the elementwise losses the attributes that are settings a, b, c.
_SETTINGS = {"huber": ("delta",), "activity_penalty": ("l1", "l2")}
_PLAIN = (
    "mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error", "poisson", "hinge", "squared_hinge", "kl_divergence",
    "activity_penalty",
)  # fmt: skip
_ROWWISE = ("categorical_hinge", "cosine_similarity", "gaussian_nll")
_CLASSES = (
    "categorical_crossentropy", "sparse_categorical_crossentropy", "categorical_focal_crossentropy",
)  # fmt: skip


def with_gradients(*names: str) -> list[str]:
    """Return the names, and those of their gradient ops."""
    return [*names, *(f"{name}_grad" for name in names)]


class Operands(NamedTuple):
    """Where a loss finds what it reads and writes; None for what is not there."""

    target: Any
    prediction: Any
    weight: Any
    gradient: Any
    rows: Any
    scale: float
    mean: int


def operands(instruction: Any, targets: bool = True) -> Operands:
    """Return the operands of a loss or its gradient op."""
    inputs = list(instruction.inputs)
    target = inputs.pop(0) if targets else None
    prediction, *weight = inputs
    backward = instruction.op.endswith("_grad")
    gradient, rows = instruction.outputs if backward else (None, *instruction.outputs)
    scale = float(instruction.attrs["scale"]) if backward else 1.0
    mean = int(backward and instruction.attrs["mean"])
    return Operands(target, prediction, weight[0] if weight else None, gradient, rows, scale, mean)


def _columns(instruction: Any, target: Target, loss: str, settings: Sequence[float], **macros: int) -> Launch:
    op = instruction.op.removesuffix("_grad")
    o = operands(instruction, targets=op != "activity_penalty")
    k = o.prediction.spec.size
    each = 1.0 if op in SUMS else 1.0 / k
    a, b, c = (*map(float, settings), 0.0, 0.0, 0.0)[:3]
    arguments = (
        REGISTERS, o.target, o.prediction, o.weight, o.gradient, o.rows, k, o.scale, o.mean, each, a, b, c,
    )  # fmt: skip
    variant = target.variant("losses", LOSS=f"LOSS_{loss}", **macros)
    return Launch(variant, "columns", blocks_of_rows(k, target.rows), arguments)


@lowers(*with_gradients(*_PLAIN))
def lower_plain(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower an elementwise loss with few settings."""
    op = instruction.op.removesuffix("_grad")
    settings = [instruction.attrs[name] for name in _SETTINGS.get(op, ())]
    return [_columns(instruction, target, op, settings)]


@lowers(*with_gradients("binary_crossentropy"))
def lower_binary(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower binary cross-entropy of targets ``t a + b``."""
    smoothing = instruction.attrs["label_smoothing"]
    loss = "binary_crossentropy" + ("_logits" if instruction.attrs["from_logits"] else "")
    return [_columns(instruction, target, loss, (1.0 - smoothing, 0.5 * smoothing))]


@lowers(*with_gradients("binary_focal_crossentropy"))
def lower_binary_focal(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower binary focal cross-entropy."""
    attrs = instruction.attrs
    loss = "binary_focal" + ("_logits" if attrs["from_logits"] else "")
    settings = (attrs["alpha"], attrs["gamma"], attrs["label_smoothing"])
    return [_columns(instruction, target, loss, settings, BALANCED=int(attrs["apply_class_balancing"]))]


@lowers(*with_gradients("quantile"))
def lower_quantile(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the pinball loss of one level, or of several with their predictions side by side."""
    levels = tuple(map(float, instruction.attrs["quantiles"]))
    if len(levels) == 1:
        return [_columns(instruction, target, "quantile", levels)]
    o = operands(instruction)
    k = o.prediction.spec.size
    arguments = (REGISTERS, *o[:5], Table(levels, "float64"), k, o.target.spec.size, o.scale, o.mean)
    return [Launch(target.variant("losses"), "quantile", blocks_of_rows(k, target.rows), arguments)]


@lowers(*with_gradients(*_ROWWISE))
def lower_rowwise(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the losses whose columns act on each other."""
    o = operands(instruction)
    sizes = (o.prediction.spec.size, o.target.spec.size)
    arguments = (REGISTERS, *o[:5], *sizes, o.scale, o.mean)
    name = instruction.op.removesuffix("_grad")
    return [Launch(target.variant("losses_rowwise"), name, blocks_of_rows(sizes[0], target.rows), arguments)]


@lowers(*with_gradients(*_CLASSES))
def lower_classes(instruction: Any, target: Target) -> Sequence[Launch]:
    """Lower the cross-entropies of one-hot targets and of class indices."""
    attrs, o = instruction.attrs, operands(instruction)
    k, smoothing = o.prediction.spec.size, attrs.get("label_smoothing", 0.0)
    settings = (1.0 - smoothing, smoothing / k, attrs.get("alpha", 1.0), attrs.get("gamma", 0.0))
    targets = (o.target, None) if o.target.spec.kind == "int" else (None, o.target)
    focal = "gamma" in attrs
    name = "shares"
    if attrs["from_logits"]:
        name = "focal_logits" if focal else "logits"
    arguments = (
        REGISTERS, *targets, o.prediction, o.weight, o.gradient, o.rows, k, o.scale, o.mean, *settings,
    )  # fmt: skip
    variant = target.variant("loss_classes", FOCAL=int(focal))
    return [Launch(variant, name, blocks_of_rows(k, target.rows), arguments)]
