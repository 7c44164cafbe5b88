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
        raise ShapeError(
            f"{name} takes {expected} inputs, the first with units. Received: {len(specs)}, {shape} a row."
        )
    for spec in specs[first_parameter:]:
        if spec.shape != shape[-1:] or spec.rows:
            raise ShapeError(
                f"{name} needs one number a unit: expected shape {shape[-1:]}. Received: {spec.shape}."
            )
    return shape


def _with_options(sample: Sample, **attrs) -> list[Sample]:
    """Give the sample, whose last two arrays are gamma and beta, with and without them."""
    *rest, gamma, beta = sample.arrays
    forms = {"": (gamma, beta), ", no gamma": (beta,), ", no beta": (gamma,), ", plain": ()}
    return [
        Sample(
            sample.name + name,
            (*rest, *parameters),
            {**attrs, "scale": name in ("", ", no beta"), "center": name in ("", ", no gamma")},
        )
        for name, parameters in forms.items()
    ]


def _blocks(rng, no_rows: bool = True):
    """Give named blocks of rows, with one vector of positive numbers a unit and two of any sign."""
    shapes = {"odd": (17, 5), "two": (2, 3), "large": (301, 67), "inner axes": (4, 3, 5), "one row": (1, 4)}
    if no_rows:
        shapes["no rows"] = (0, 3)
    for name, shape in shapes.items():
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
        gradients.append(emitter.emit("layer_norm_dgamma", [dy, x, *saved]))
    if attrs["center"]:
        gradients.append(emitter.emit("dense_db", [dy]))
    return gradients


def _layer_norm_dx(dy, x, row_mean, rstd, gamma=1.0):
    normal = (x - row_mean[..., None]) * rstd[..., None]
    g = dy * gamma
    return rstd[..., None] * (
        g - g.mean(axis=-1, keepdims=True) - normal * (g * normal).mean(axis=-1, keepdims=True)
    )


def _row_statistics(rng, epsilon: float):
    for name, x, _, gamma, beta in _blocks(rng):
        _, mean, rstd = _layer_norm(x, epsilon=epsilon, scale=False, center=False)
        yield name, rng.standard_normal(x.shape), x, mean, rstd, gamma, beta


register(
    Op(
        "layer_norm",
        ("x", "gamma", "beta"),
        _layer_norm_shape,
        _layer_norm,
        _layer_norm_gradient,
        {"epsilon": 1e-3, "scale": True, "center": True},
        lambda rng: [
            sample
            for name, x, _, gamma, beta in _blocks(rng)
            for sample in _with_options(Sample(name, (x, gamma, beta)), epsilon=1e-3)
        ],
        ("output", "row_mean", "rstd"),
        "y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis",
        optional=2,
    )
)
register(
    Op(
        "layer_norm_dx",
        ("dy", "x", "row_mean", "rstd", "gamma"),
        lambda specs, attrs: [specs[1]],
        _layer_norm_dx,
        samples=lambda rng: [
            Sample(f"{name}, {len(gamma)} gamma", (dy, x, mean, rstd, *gamma))
            for name, dy, x, mean, rstd, vector, _ in _row_statistics(rng, 1e-3)
            for gamma in ((vector,), ())
        ],
        summary="dx = rstd * (g - mean(g) - n * mean(g * n)); g = dy * gamma, n = (x - mean) * rstd",
        optional=1,
    )
)
register(
    Op(
        "layer_norm_dgamma",
        ("dy", "x", "row_mean", "rstd"),
        lambda specs, attrs: [Spec(specs[1].shape[-1:], rows=False)],
        lambda dy, x, row_mean, rstd: _flat(dy * (x - row_mean[..., None]) * rstd[..., None]).sum(axis=0),
        samples=lambda rng: [Sample(name, arrays[:4]) for name, *arrays in _row_statistics(rng, 1e-3)],
        summary="dgamma = sum of dy * (x - mean) * rstd over all axes but the last",
    )
)


# --------------------------------------------------------------------------- over the rows of a batch
def _batch_norm_train_shape(specs, attrs):
    shape = _check("batch_norm_train", specs, 1 + attrs["scale"] + attrs["center"], 1)
    return [specs[0], *[Spec(shape[-1:], rows=False)] * 3]


def _batch_norm_train(x, *parameters, epsilon, scale, center):
    gamma, beta = _affine(parameters, scale, center)
    mean, variance = _flat(x).mean(axis=0), _flat(x).var(axis=0)
    multiplier = gamma / np.sqrt(variance + epsilon)
    return (x - mean) * multiplier + beta, mean, variance, multiplier


def _batch_norm_train_gradient(emitter, inputs, outputs, d_outputs, attrs):
    dy, x, (mean, variance, multiplier) = d_outputs[0], inputs[0], outputs[1:]
    epsilon = attrs["epsilon"]
    dx = emitter.emit("batch_norm_dx", [dy, x, mean, variance, multiplier], epsilon=epsilon)[0]
    return [dx, *_affine_gradients(emitter, dy, x, mean, variance, attrs)]


def _affine_gradients(emitter, dy, x, mean, variance, attrs):
    gradients = []
    if attrs["scale"]:
        operands = [dy, x, mean, variance]
        gradients.append(emitter.emit("batch_norm_dgamma", operands, epsilon=attrs["epsilon"])[0])
    if attrs["center"]:
        gradients.append(emitter.emit("dense_db", [dy]))
    return gradients


def _batch_norm_dx(dy, x, mean, variance, gamma, epsilon):
    shift = _flat(dy).mean(axis=0)
    slope = _flat(dy * (x - mean)).mean(axis=0) / (variance + epsilon)
    return gamma * (dy - shift - (x - mean) * slope), shift, slope


def _batch_norm_dgamma(dy, x, mean, variance, epsilon):
    rstd = 1.0 / np.sqrt(variance + epsilon)
    return _flat(dy * (x - mean)).sum(axis=0) * rstd, rstd


register(
    Op(
        "batch_norm_train",
        ("x", "gamma", "beta"),
        _batch_norm_train_shape,
        _batch_norm_train,
        _batch_norm_train_gradient,
        {"epsilon": 1e-3, "scale": True, "center": True},
        lambda rng: [
            sample
            for name, x, _, gamma, beta in _blocks(rng, no_rows=False)
            for sample in _with_options(Sample(name, (x, gamma, beta)), epsilon=1e-3)
        ],
        ("output", "mean", "variance", "multiplier"),
        "y = (x - mean) / sqrt(variance + epsilon) * gamma + beta; statistics of the whole batch, biased",
        optional=2,
    )
)
register(
    Op(
        "batch_norm_dx",
        ("dy", "x", "mean", "variance", "gamma"),
        lambda specs, attrs: [specs[1], *[Spec(specs[1].shape[-1:], rows=False)] * 2],
        _batch_norm_dx,
        attrs={"epsilon": 1e-3},
        samples=lambda rng: [
            Sample(
                name, (rng.standard_normal(x.shape), x, _flat(x).mean(axis=0), _flat(x).var(axis=0), gamma)
            )
            for name, x, _, gamma, _ in _blocks(rng, no_rows=False)
        ],
        outputs=("output", "shift", "slope"),
        summary="dx = gamma * (dy - mean(dy) - (x - mean) * mean(dy * (x - mean)) / (variance + epsilon)), "
        "gamma being the forward op's multiplier",
    )
)
register(
    Op(
        "batch_norm_dgamma",
        ("dy", "x", "mean", "variance"),
        lambda specs, attrs: [Spec(specs[1].shape[-1:], rows=False)] * 2,
        _batch_norm_dgamma,
        attrs={"epsilon": 1e-3},
        samples=lambda rng: [
            Sample(name, (rng.standard_normal(x.shape), x, mean, variance))
            for name, x, variance, mean, _ in _blocks(rng)
        ],
        outputs=("output", "rstd"),
        summary="dgamma = sum of dy * (x - mean) / sqrt(variance + epsilon) over all axes but the last",
    )
)
register(
    Op(
        "batch_norm_update",
        ("batch_mean", "batch_variance", "mean", "variance"),
        lambda specs, attrs: [],
        lambda *arrays, momentum: (),
        attrs={"momentum": 0.99},
        outputs=(),
        summary="in place: mean = momentum * mean + (1 - momentum) * batch_mean, and so the variance",
    )
)


# --------------------------------------------------------------------------- by given statistics
def _batch_norm_infer_shape(specs, attrs):
    shape = _check("batch_norm_infer", specs, 3 + attrs["scale"] + attrs["center"], 1)
    return [specs[0], Spec(shape[-1:], rows=False)]


def _batch_norm_infer(x, mean, variance, *parameters, epsilon, scale, center):
    gamma, beta = _affine(parameters, scale, center)
    multiplier = gamma / np.sqrt(variance + epsilon)
    return (x - mean) * multiplier + beta, multiplier


def _batch_norm_infer_gradient(emitter, inputs, outputs, d_outputs, attrs):
    dy, (x, mean, variance, *_), multiplier = d_outputs[0], inputs, outputs[1]
    dx = emitter.emit("scale_units", [dy, multiplier])
    return [dx, None, None, *_affine_gradients(emitter, dy, x, mean, variance, attrs)]


def _standardize(x, mean, variance):
    return (x - mean) / np.maximum(np.sqrt(variance), LEAST_DEVIATION)


def _one_per_unit(name: str, count: int):
    def shape(specs, attrs):
        _check(name, specs, count, 1)
        return [specs[0]]

    return shape


register(
    Op(
        "batch_norm_infer",
        ("x", "mean", "variance", "gamma", "beta"),
        _batch_norm_infer_shape,
        _batch_norm_infer,
        _batch_norm_infer_gradient,
        {"epsilon": 1e-3, "scale": True, "center": True},
        lambda rng: [
            sample
            for name, x, variance, gamma, beta in _blocks(rng)
            for sample in _with_options(Sample(name, (x, beta + 3.0, variance, gamma, beta)), epsilon=1e-3)
        ],
        ("output", "multiplier"),
        "y = (x - mean) / sqrt(variance + epsilon) * gamma + beta",
        optional=2,
    )
)
register(
    Op(
        "scale_units",
        ("x", "gamma"),
        _one_per_unit("scale_units", 2),
        lambda x, gamma: x * gamma,
        samples=lambda rng: [Sample(name, (x, gamma)) for name, x, _, gamma, _ in _blocks(rng)],
        summary="y = x * gamma, a number a unit",
    )
)
register(
    Op(
        "standardize",
        ("x", "mean", "variance"),
        _one_per_unit("standardize", 3),
        _standardize,
        lambda emitter, inputs, outputs, d_outputs, attrs: [
            emitter.emit("standardize_grad", [d_outputs[0], inputs[2]]),
            None,
            None,
        ],
        samples=lambda rng: [
            *[Sample(name, (x, mean, variance)) for name, x, variance, mean, _ in _blocks(rng)],
            Sample("constant", (np.ones((3, 2)), np.array([1.0, 0.0]), np.zeros(2)), differentiable=False),
        ],
        summary="y = (x - mean) / max(sqrt(variance), 1e-7)",
    )
)
register(
    Op(
        "standardize_grad",
        ("dy", "variance"),
        _one_per_unit("standardize_grad", 2),
        lambda dy, variance: dy / np.maximum(np.sqrt(variance), LEAST_DEVIATION),
        samples=lambda rng: [Sample(name, (x, variance)) for name, x, variance, *_ in _blocks(rng)],
        summary="dx = dy / max(sqrt(variance), 1e-7)",
    )
)
