"""Normalization over the units of a row (layer), over the rows of a batch, and by given statistics.

Where an op has ``scale`` or ``center``, it takes gamma or beta only if that attribute is True.
Several ops here have further outputs, a number for each unit, that their kernels use as workspace.
"""

from __future__ import annotations

import numpy as np

from fastnn.errors import ShapeError
from fastnn.ops.registry import Op, Sample, Spec, register

#: Keras' Normalization divides by at least this.
LEAST_DEVIATION = 1e-7


def _flat(x: np.ndarray) -> np.ndarray:
    """Pool all axes but the last."""
    return x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1])


def _affine(parameters, scale: bool, center: bool):
    """Return gamma and beta, 1 and 0 where there is none."""
    gamma = parameters[0] if scale else 1.0
    return gamma, parameters[-1] if center else 0.0


def _check(name: str, specs, expected: int, first_parameter: int) -> tuple[int, ...]:
    """Check that `expected` inputs came and that those from `first_parameter` on have one number a unit."""
    shape = specs[0].shape
    if len(specs) != expected or not shape:
        raise ShapeError(f"{name} takes {expected} inputs, the first with units. Received: {len(specs)}, {shape} a row.")
    for spec in specs[first_parameter:]:
        if spec.shape != shape[-1:] or spec.rows:
            raise ShapeError(f"{name} needs one number a unit: expected shape {shape[-1:]}. Received: {spec.shape}.")
    return shape


def _with_options(sample: Sample, **attrs) -> list[Sample]:
    """Give the sample, whose last two arrays are gamma and beta, with and without them."""
    *rest, gamma, beta = sample.arrays
    forms = {
        "": (gamma, beta), ", no gamma": (beta,), ", no beta": (gamma,), ", plain": (),
    }  # fmt: skip
    return [
        Sample(
            sample.name + name,
            (*rest, *parameters),
            {**attrs, "scale": name in ("", ", no beta"), "center": name in ("", ", no gamma")},
        )
        for name, parameters in forms.items()
    ]


def _blocks(rng):
    """Give named blocks of rows, with one vector of positive numbers a unit and two of any sign."""
    for name, shape in (("odd", (17, 5)), ("two", (2, 3)), ("large", (301, 67)), ("inner axes", (4, 3, 5))):
        u = shape[-1]
        x = 2.0 * rng.standard_normal(shape) + 3.0
        yield name, x, rng.uniform(0.1, 2.0, u), rng.standard_normal(u), rng.standard_normal(u)


# --------------------------------------------------------------------------- over the units of a row
def _layer_norm_shape(specs, attrs):
    shape = _check("layer_norm", specs, 1 + attrs["scale"] + attrs["center"], 1)
    return [specs[0], Spec(shape[:-1]), Spec(shape[:-1])]


def _layer_norm(x, *parameters, epsilon, scale, center):
    gamma, beta = _affine(parameters, scale, center)
    mean = x.mean(axis=-1)
    rstd = 1.0 / np.sqrt(x.var(axis=-1) + epsilon)
    return (x - mean[..., None]) * rstd[..., None] * gamma + beta, mean, rstd


def _layer_norm_gradient(emitter, inputs, outputs, d_outputs, attrs):
    dy, (x, *parameters), saved = d_outputs[0], inputs, outputs[1:]
    gamma = parameters[:1] if attrs["scale"] else []
    gradients = [emitter.emit("layer_norm_dx", [dy, x, *saved, *gamma])]
    if attrs["scale"]:
        gradients.append(emitter.emit("layer_norm_dgamma", [dy, x, *saved])[0])
    if attrs["center"]:
        gradients.append(emitter.emit("dense_db", [dy]))
    return gradients


def _layer_norm_dx(dy, x, row_mean, rstd, gamma=1.0):
    normal = (x - row_mean[..., None]) * rstd[..., None]
    g = dy * gamma
    return rstd[..., None] * (
        g - g.mean(axis=-1, keepdims=True) - normal * (g * normal).mean(axis=-1, keepdims=True)
    )
