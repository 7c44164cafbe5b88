"""Losses: one value a row, and value and gradient in one op.

Each loss has two records. ``<name>(target, prediction)`` gives the value of each row. ``<name>_grad(target,
prediction[, weight])`` gives the gradient with respect to the prediction, ready to be carried back, and the
same values: what a training step runs, so that no logarithm is taken twice. The mathematics is in
`fastnn.ops.loss_reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.errors import DataError, ShapeError
from fastnn.ops import loss_reference
from fastnn.ops.loss_samples import SAMPLES, with_weights
from fastnn.ops.registry import Op, Sample, Spec, register

#: Attributes of every ``<name>_grad``: a factor, and whether to divide by the rows of the batch.
GRADIENT_ATTRS: dict[str, Any] = {"scale": 1.0, "mean": False}

_SMOOTHED: dict[str, Any] = {"from_logits": False, "label_smoothing": 0.0}
_FOCAL: dict[str, Any] = {"alpha": 0.25, "gamma": 2.0, **_SMOOTHED}

#: Every loss: its attributes with defaults.
LOSSES: dict[str, dict[str, Any]] = {
    "mean_squared_error": {},
    "mean_absolute_error": {},
    "huber": {"delta": 1.0},
    "log_cosh": {},
    "mean_absolute_percentage_error": {},
    "mean_squared_logarithmic_error": {},
    "poisson": {},
    "gaussian_nll": {},
    "quantile": {"quantiles": (0.5,)},
    "binary_crossentropy": _SMOOTHED,
    "binary_focal_crossentropy": {"apply_class_balancing": False, **_FOCAL},
    "hinge": {},
    "squared_hinge": {},
    "categorical_crossentropy": _SMOOTHED,
    "sparse_categorical_crossentropy": {"from_logits": False},
    "categorical_focal_crossentropy": _FOCAL,
    "categorical_hinge": {},
    "kl_divergence": {},
    "cosine_similarity": {},
}

#: Losses whose targets are class indices.
SPARSE = frozenset(["sparse_categorical_crossentropy"])


def _copies(name: str, attrs: Mapping[str, Any]) -> int:
    """Return how many columns of the prediction go with one of the target."""
    return 2 if name == "gaussian_nll" else len(attrs["quantiles"]) if name == "quantile" else 1


def _check(name: str, specs: Sequence[Spec], attrs: Mapping[str, Any]) -> None:
    target, prediction = specs[0], specs[1]
    received = f"Received: target {target.shape}, prediction {prediction.shape} a row."
    if len(prediction.shape) > 1 or len(target.shape) > 1:
        raise ShapeError(f"{name} takes rows of shape () or (columns,). {received}")
    if name in SPARSE:
        if target.size != 1:
            raise ShapeError(f"{name} takes one class index a row. {received}")
    elif target.size * _copies(name, attrs) != prediction.size:
        raise ShapeError(
            f"{name} needs {_copies(name, attrs)} column(s) of prediction for each of the target. {received}"
        )
    _check_weight(name, specs[2:])


def _check_weight(name: str, specs: Sequence[Spec]) -> None:
    if specs and specs[0].size != 1:
        raise ShapeError(f"{name} needs one weight a row. Received: {specs[0].shape} a row.")


def _check_labels(arrays: Sequence[np.ndarray], attrs: Mapping[str, Any]) -> None:
    labels, classes = arrays[0], arrays[1].shape[1] if arrays[1].ndim == 2 else 1
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise DataError(
            f"Class indices must lie in [0, {classes - 1}]. "
            f"Received: values from {labels.min()} to {labels.max()}."
        )


def _quiet(function: Callable) -> Callable:
    def wrapped(*arrays, **attrs):
        with np.errstate(all="ignore"):
            return function(*arrays, **attrs)

    return wrapped


def _with_gradient(value: Callable, slope: Callable, inputs: int) -> Callable:
    """Make the reference of a gradient op: ``(*inputs[, weight], scale, mean, **attrs) -> (dp, rows)``."""

    def reference(*arrays, scale, mean, **attrs):
        data, weights = arrays[:inputs], arrays[inputs:]
        prediction = data[-1]
        factor = np.full(len(prediction), float(scale))
        for weight in weights:
            factor *= np.reshape(weight, -1)
        if mean:
            factor /= max(len(prediction), 1)
        gradient = slope(*data, **attrs) * factor[:, None]
        return gradient.reshape(prediction.shape), value(*data, **attrs)

    return _quiet(reference)


def _register(
    name: str, inputs: tuple[str, ...], attrs: dict[str, Any], check, value, slope, samples
) -> None:
    """Register a loss and its gradient op."""

    def value_shape(specs, attrs):
        check(name, specs, attrs)
        return [Spec(())]

    def gradient_shape(specs, attrs):
        check(name, specs, attrs)
        return [specs[len(inputs) - 1], Spec(())]

    door = _check_labels if name in SPARSE else None

    def rule(emitter, values, outputs, d_outputs, attrs):
        gradient, _ = emitter.emit(f"{name}_grad", [*values, d_outputs[0]], **attrs)
        return [*[None] * (len(inputs) - 1), gradient]

    register(
        Op(
            name,
            inputs,
            value_shape,
            _quiet(value),
            rule,
            attrs,
            samples,
            check=door,
            summary=f"rows = {name} of each row",
        )
    )
    register(
        Op(
            f"{name}_grad",
            (*inputs, "weight"),
            gradient_shape,
            _with_gradient(value, slope, len(inputs)),
            attrs={**attrs, **GRADIENT_ATTRS},
            samples=lambda rng: with_weights(rng, samples(rng)),
            outputs=("gradient", "rows"),
            check=door,
            summary=f"gradient = weight * scale [/ rows of the batch] * d {name} / d {inputs[-1]}",
            optional=1,
        )
    )


for _name, _attrs in LOSSES.items():
    _register(
        _name,
        ("labels" if _name in SPARSE else "target", "prediction"),
        _attrs,
        _check,
        getattr(loss_reference, _name),
        getattr(loss_reference, f"{_name}_grad"),
        SAMPLES[_name],
    )


# --------------------------------------------------------------------------- penalty on activations
def _penalty(x, l1, l2):
    flat = x.reshape(len(x), int(np.prod(x.shape[1:])))
    return l1 * np.abs(flat).sum(axis=1) + l2 * (flat * flat).sum(axis=1)


def _penalty_slope(x, l1, l2):
    flat = x.reshape(len(x), int(np.prod(x.shape[1:])))
    return l1 * np.sign(flat) + 2.0 * l2 * flat


def _penalty_samples(rng) -> list[Sample]:
    attrs = {"l1": 0.3, "l2": 0.2}
    shapes = ((1, 1), (0, 2), (7,), (17, 5), (301, 1), (5, 3, 2))
    found = [Sample(f"{shape}", (rng.standard_normal(shape),), attrs) for shape in shapes]
    found.append(Sample("l2", (rng.standard_normal((9, 2)),), {"l2": 0.5}))
    found.append(
        Sample("zeros", (np.array([[0.0, -0.0, 1.0], [np.nan, 0.0, 1.0]]),), attrs, differentiable=False)
    )
    return found


_register(
    "activity_penalty",
    ("x",),
    {"l1": 0.0, "l2": 0.0},
    lambda name, specs, attrs: _check_weight(name, specs[1:]),
    _penalty,
    _penalty_slope,
    _penalty_samples,
)
