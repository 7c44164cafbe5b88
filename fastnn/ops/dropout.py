"""Random ops: dropout, alpha dropout and Gaussian noise, each a pure function of its stream and step."""

from __future__ import annotations

import math

import numpy as np

from fastnn.errors import ArgumentError
from fastnn.ops.activations import SELU_ALPHA, SELU_SCALE
from fastnn.ops.registry import Op, Sample, register
from fastnn.random import normal, uniform16

#: What alpha dropout puts in place of a dropped unit: selu at minus infinity.
SELU_FLOOR = -SELU_ALPHA * SELU_SCALE
#: Which random op of the network (its stream), and the seed and step. In a program the last two are 0:
#: they are added to the run's seed and step, which the kernel reads while it runs.
_STREAM = {"seed_stream": 0, "seed": 0, "step": 0}


def keep_threshold(rate: float) -> int:
    """Return the least 16-bit number at which an element is kept."""
    return round(rate * 65536)


def alpha_dropout_constants(rate: float) -> tuple[float, float]:
    """Return `a` and `b` that restore mean 0 and variance 1 (Klambauer et al., 2017)."""
    a = ((1.0 - rate) * (1.0 + rate * SELU_FLOOR**2)) ** -0.5
    return a, -a * SELU_FLOOR * rate


def _shape(specs, attrs):
    rate = attrs["rate"]
    if not 0.0 <= rate < 1.0:
        raise ArgumentError(f"The rate of dropout must lie in [0, 1). Received: rate={rate!r}.")
    return [specs[0], specs[0]]


def _keep(x, rate, seed_stream, seed, step):
    numbers = uniform16(seed, seed_stream, step, x.size).reshape(x.shape)
    return numbers.astype(np.int64) >= keep_threshold(rate)


def _dropout(x, rate, seed_stream, seed, step):
    mask = _keep(x, rate, seed_stream, seed, step) / (1.0 - rate)
    return x * mask, mask


def _alpha_dropout(x, rate, seed_stream, seed, step):
    keep = _keep(x, rate, seed_stream, seed, step)
    a, b = alpha_dropout_constants(rate)
    mask = a * keep
    return x * mask + (a * SELU_FLOOR * ~keep + b), mask


def _gaussian_noise(x, stddev, seed_stream, seed, step):
    return x + stddev * normal(seed, seed_stream, step, x.size).reshape(x.shape)


def _masked_gradient(emitter, inputs, outputs, d_outputs, attrs):
    return [emitter.emit("multiply", [d_outputs[0], outputs[1]])]


def _samples(name: str, other: float):
    """Give samples for a random op whose strength is the attribute `name`."""

    def samples(rng):
        big = 2**40 + 12345
        return [
            Sample("one", (rng.standard_normal((1, 1)),), {name: 0.5, "seed": 1}),
            Sample("odd", (rng.standard_normal((17, 5)),), {name: other, "seed": 2**62 + 3, "step": 7}),
            Sample("chunks", (rng.standard_normal((32, 64)),), {name: 0.5, "seed_stream": 3, "step": big}),
            Sample("large", (rng.standard_normal((301, 67)),), {name: 0.1, "seed": 5, "seed_stream": 2}),
            Sample("inner axes", (rng.standard_normal((3, 4, 5)),), {name: other, "step": 2}),
            Sample("nothing", (rng.standard_normal((9, 3)),), {name: 0.0}),
            Sample("empty", (np.zeros((0, 3)),), {name: 0.5}),
            Sample("nan", (np.full((4, 3), math.nan),), {name: 0.5}, differentiable=False),
        ]

    return samples


register(
    Op(
        "dropout",
        ("x",),
        _shape,
        _dropout,
        _masked_gradient,
        {"rate": 0.5, **_STREAM},
        _samples("rate", 0.25),
        ("output", "mask"),
        "y = x * mask; mask is 0 with probability rate, else 1 / (1 - rate)",
    )
)
register(
    Op(
        "alpha_dropout",
        ("x",),
        _shape,
        _alpha_dropout,
        _masked_gradient,
        {"rate": 0.5, **_STREAM},
        _samples("rate", 0.25),
        ("output", "mask"),
        "y = a * (x if kept else -selu_alpha * selu_scale) + b: keeps mean 0 and variance 1",
    )
)
register(
    Op(
        "gaussian_noise",
        ("x",),
        lambda specs, attrs: [specs[0]],
        _gaussian_noise,
        lambda emitter, inputs, outputs, d_outputs, attrs: [d_outputs[0]],
        {"stddev": 1.0, **_STREAM},
        _samples("stddev", 2.5),
        summary="y = x + stddev * normal",
    )
)
