"""Normalization over units, over rows, and by given statistics; two passes over the data, for accuracy."""

from __future__ import annotations

import math

from fastnn.backends.cpu.jit import bits_to_float, inline, matrix, vector
from fastnn.backends.cpu.lowering import Row, Target, lowers
from fastnn.backends.cpu.registers import FIRST, ROWS, at
from fastnn.ops.normalization import LEAST_DEVIATION

#: Stands for an array operand that the instruction does not have.
_ABSENT = (0, 0)


# --------------------------------------------------------------------------- over the units of a row
def layer_norm(dtype, scale: bool, center: bool):
    """q = [x, gamma, beta, y, mean, rstd, units, groups, epsilon]."""
    zero, one = dtype(0), dtype(1)

    def kernel(q, r):
        u, n = q[13], r[ROWS] * q[14]
        epsilon = dtype(bits_to_float(q[15]))
        x, y = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 7), n, u, dtype)
        gamma, beta = vector(at(q, r, 3), u, dtype), vector(at(q, r, 5), u, dtype)
        means, rstds = vector(at(q, r, 9), n, dtype), vector(at(q, r, 11), n, dtype)
        count = dtype(u)
        for i in range(n):
            total = zero
            for j in range(u):
                total += x[i, j]
            mean = total / count
            total = zero
            for j in range(u):
                d = x[i, j] - mean
                total += d * d
            rstd = one / math.sqrt(total / count + epsilon)
            means[i], rstds[i] = mean, rstd
            for j in range(u):
                g = gamma[j] if scale else one
                b = beta[j] if center else zero
                y[i, j] = (x[i, j] - mean) * rstd * g + b

    return kernel


def layer_norm_dx(dtype, scale: bool):
    """q = [dy, x, mean, rstd, gamma, dx, units, groups]."""
    zero, one = dtype(0), dtype(1)

    def kernel(q, r):
        u, n = q[13], r[ROWS] * q[14]
        dy, x = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 3), n, u, dtype)
        means, rstds = vector(at(q, r, 5), n, dtype), vector(at(q, r, 7), n, dtype)
        gamma, dx = vector(at(q, r, 9), u, dtype), matrix(at(q, r, 11), n, u, dtype)
        count = dtype(u)
        for i in range(n):
            mean, rstd = means[i], rstds[i]
            total, product = zero, zero
            for j in range(u):
                g = dy[i, j] * (gamma[j] if scale else one)
                total += g
                product += g * (x[i, j] - mean)
            total /= count
            product *= rstd * rstd / count
            for j in range(u):
                g = dy[i, j] * (gamma[j] if scale else one)
                dx[i, j] = rstd * (g - total - (x[i, j] - mean) * product)

    return kernel


def layer_norm_dgamma(dtype):
    """q = [dy, x, mean, rstd, dgamma, units, groups, add]."""

    def kernel(q, r):
        u, n = q[11], r[ROWS] * q[12]
        dy, x = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 3), n, u, dtype)
        means, rstds = vector(at(q, r, 5), n, dtype), vector(at(q, r, 7), n, dtype)
        out = vector(at(q, r, 9), u, dtype)
        if r[FIRST] and not q[13]:
            for j in range(u):
                out[j] = 0
        for i in range(n):
            mean, rstd = means[i], rstds[i]
            for j in range(u):
                out[j] += dy[i, j] * ((x[i, j] - mean) * rstd)

    return kernel


# --------------------------------------------------------------------------- over the rows of a batch
@inline
def _clear(values):
    for j in range(values.size):
        values[j] = 0


@inline
def _scale(values, factor):
    for j in range(values.size):
        values[j] *= factor


def batch_norm_train(dtype, scale: bool, center: bool):
    """q = [x, gamma, beta, y, mean, variance, multiplier, units, groups, epsilon]."""
    zero, one = dtype(0), dtype(1)

    def kernel(q, r):
        u, n = q[15], r[ROWS] * q[16]
        epsilon = dtype(bits_to_float(q[17]))
        x, y = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 7), n, u, dtype)
        gamma, beta = vector(at(q, r, 3), u, dtype), vector(at(q, r, 5), u, dtype)
        mean, variance = vector(at(q, r, 9), u, dtype), vector(at(q, r, 11), u, dtype)
        multiplier = vector(at(q, r, 13), u, dtype)
        share = one / dtype(n)
        _clear(mean)
        for i in range(n):
            for j in range(u):
                mean[j] += x[i, j]
        _scale(mean, share)
        _clear(variance)
        for i in range(n):
            for j in range(u):
                d = x[i, j] - mean[j]
                variance[j] += d * d
        _scale(variance, share)
        for j in range(u):
            multiplier[j] = (gamma[j] if scale else one) / math.sqrt(variance[j] + epsilon)
        for i in range(n):
            for j in range(u):
                y[i, j] = (x[i, j] - mean[j]) * multiplier[j] + (beta[j] if center else zero)

    return kernel


def batch_norm_dx(dtype):
    """q = [dy, x, mean, variance, multiplier, dx, shift, slope, units, groups, epsilon]."""
    one = dtype(1)

    def kernel(q, r):
        u, n = q[17], r[ROWS] * q[18]
        epsilon = dtype(bits_to_float(q[19]))
        dy, x = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 3), n, u, dtype)
        mean, variance = vector(at(q, r, 5), u, dtype), vector(at(q, r, 7), u, dtype)
        multiplier, dx = vector(at(q, r, 9), u, dtype), matrix(at(q, r, 11), n, u, dtype)
        shift, slope = vector(at(q, r, 13), u, dtype), vector(at(q, r, 15), u, dtype)
        _clear(shift)
        _clear(slope)
        for i in range(n):
            for j in range(u):
                d = dy[i, j]
                shift[j] += d
                slope[j] += d * (x[i, j] - mean[j])
        share = one / dtype(n)
        for j in range(u):
            shift[j] *= share
            slope[j] *= share / (variance[j] + epsilon)
        for i in range(n):
            for j in range(u):
                dx[i, j] = multiplier[j] * (dy[i, j] - shift[j] - (x[i, j] - mean[j]) * slope[j])

    return kernel


def batch_norm_dgamma(dtype):
    """q = [dy, x, mean, variance, dgamma, rstd, units, groups, epsilon, add]."""
    one = dtype(1)

    def kernel(q, r):
        u, n = q[13], r[ROWS] * q[14]
        epsilon = dtype(bits_to_float(q[15]))
        dy, x = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 3), n, u, dtype)
        mean, variance = vector(at(q, r, 5), u, dtype), vector(at(q, r, 7), u, dtype)
        out, rstd = vector(at(q, r, 9), u, dtype), vector(at(q, r, 11), u, dtype)
        for j in range(u):
            rstd[j] = one / math.sqrt(variance[j] + epsilon)
        if r[FIRST] and not q[16]:
            _clear(out)
        for i in range(n):
            for j in range(u):
                out[j] += dy[i, j] * ((x[i, j] - mean[j]) * rstd[j])

    return kernel


def batch_norm_update(dtype):
    """Moving statistics, in place: q = [batch mean, batch variance, mean, variance, units, momentum]."""

    def kernel(q, r):
        u = q[9]
        momentum = dtype(bits_to_float(q[10]))
        rest = dtype(1.0 - bits_to_float(q[10]))
        batch_mean, batch_variance = vector(at(q, r, 1), u, dtype), vector(at(q, r, 3), u, dtype)
        mean, variance = vector(at(q, r, 5), u, dtype), vector(at(q, r, 7), u, dtype)
        for j in range(u):
            mean[j] = mean[j] * momentum + batch_mean[j] * rest
            variance[j] = variance[j] * momentum + batch_variance[j] * rest

    return kernel


# --------------------------------------------------------------------------- by given statistics
def batch_norm_infer(dtype, scale: bool, center: bool):
    """q = [x, mean, variance, gamma, beta, y, multiplier, units, groups, epsilon]."""
    zero, one = dtype(0), dtype(1)

    def kernel(q, r):
        u, n = q[15], r[ROWS] * q[16]
        epsilon = dtype(bits_to_float(q[17]))
        x, y = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 11), n, u, dtype)
        mean, variance = vector(at(q, r, 3), u, dtype), vector(at(q, r, 5), u, dtype)
        gamma, beta = vector(at(q, r, 7), u, dtype), vector(at(q, r, 9), u, dtype)
        multiplier = vector(at(q, r, 13), u, dtype)
        for j in range(u):
            multiplier[j] = (gamma[j] if scale else one) / math.sqrt(variance[j] + epsilon)
        for i in range(n):
            for j in range(u):
                y[i, j] = (x[i, j] - mean[j]) * multiplier[j] + (beta[j] if center else zero)

    return kernel


def scale_units(dtype):
    """y = x gamma: q = [x, gamma, y, units, groups]."""

    def kernel(q, r):
        u, n = q[7], r[ROWS] * q[8]
        x, y = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 5), n, u, dtype)
        gamma = vector(at(q, r, 3), u, dtype)
        for i in range(n):
            for j in range(u):
                y[i, j] = x[i, j] * gamma[j]

    return kernel


def standardize(dtype, gradient: bool):
    """y = (x - mean) / deviation, or dx = dy / deviation: q = [x, mean, variance, y, units, groups]."""
    zero, one, least = dtype(0), dtype(1), dtype(LEAST_DEVIATION)

    def kernel(q, r):
        u, n = q[9], r[ROWS] * q[10]
        x, y = matrix(at(q, r, 1), n, u, dtype), matrix(at(q, r, 7), n, u, dtype)
        mean, variance = vector(at(q, r, 3), u, dtype), vector(at(q, r, 5), u, dtype)
        for i in range(n):
            for j in range(u):
                deviation = math.sqrt(variance[j])
                deviation = least if deviation < least else deviation
                y[i, j] = (x[i, j] - (zero if gradient else mean[j])) * (one / deviation)

    return kernel


# --------------------------------------------------------------------------- lowering
def _sizes(spec) -> tuple[int, int]:
    """Return the units and how many groups of them a row holds."""
    return spec.shape[-1], spec.size // max(spec.shape[-1], 1)


def _flatten(instruction, parameters) -> tuple:
    """Return the operands with gamma and beta, absent ones as zeros, in the place of those given."""
    attrs = instruction.attrs
    given = list(parameters)
    gamma = (given.pop(0),) if attrs["scale"] else _ABSENT
    return *gamma, *((given.pop(0),) if attrs["center"] else _ABSENT)


@lowers("layer_norm", "batch_norm_train", "batch_norm_infer")
def lower_affine(instruction, target: Target):
    """Lower a normalization with optional gamma and beta."""
    build = {"layer_norm": layer_norm, "batch_norm_train": batch_norm_train}.get(
        instruction.op, batch_norm_infer
    )
    scale, center = bool(instruction.attrs["scale"]), bool(instruction.attrs["center"])
    given = len(instruction.inputs) - scale - center
    operands = (
        *instruction.inputs[:given],
        *_flatten(instruction, instruction.inputs[given:]),
        *instruction.outputs,
    )
    return [
        Row(
            f"{instruction.op}({scale},{center},{target.name})",
            lambda: build(target.dtype, scale, center),
            (*operands, *_sizes(instruction.inputs[0].spec), float(instruction.attrs["epsilon"])),
        )
    ]


@lowers("layer_norm_dx")
def lower_layer_norm_dx(instruction, target: Target):
    """Lower the gradient with respect to the input."""
    scale = len(instruction.inputs) == 5
    operands = (*instruction.inputs, *(() if scale else _ABSENT), *instruction.outputs)
    return [
        Row(
            f"layer_norm_dx({scale},{target.name})",
            lambda: layer_norm_dx(target.dtype, scale),
            (*operands, *_sizes(instruction.inputs[1].spec)),
        )
    ]


@lowers("layer_norm_dgamma", "batch_norm_dgamma")
def lower_dgamma(instruction, target: Target):
    """Lower the sum for gamma, which adds to what earlier blocks found."""
    layer = instruction.op == "layer_norm_dgamma"
    build = layer_norm_dgamma if layer else batch_norm_dgamma
    epsilon = () if layer else (float(instruction.attrs["epsilon"]),)
    operands = (*instruction.inputs, *instruction.outputs, *_sizes(instruction.inputs[1].spec))
    return [
        Row(
            f"{instruction.op}({target.name})",
            lambda: build(target.dtype),
            (*operands, *epsilon, int(instruction.accumulate)),
        )
    ]


@lowers("batch_norm_dx")
def lower_batch_norm_dx(instruction, target: Target):
    """Lower the gradient with respect to the input, of a whole batch."""
    operands = (*instruction.inputs, *instruction.outputs, *_sizes(instruction.inputs[1].spec))
    key = f"batch_norm_dx({target.name})"
    return [Row(key, lambda: batch_norm_dx(target.dtype), (*operands, float(instruction.attrs["epsilon"])))]


@lowers("batch_norm_update")
def lower_batch_norm_update(instruction, target: Target):
    """Lower the step of the moving statistics."""
    operands = (*instruction.inputs, instruction.inputs[2].spec.size, float(instruction.attrs["momentum"]))
    return [Row(f"batch_norm_update({target.name})", lambda: batch_norm_update(target.dtype), operands)]


@lowers("scale_units")
def lower_scale_units(instruction, target: Target):
    """Lower a product with a number a unit."""
    operands = (*instruction.inputs, *instruction.outputs, *_sizes(instruction.inputs[0].spec))
    return [Row(f"scale_units({target.name})", lambda: scale_units(target.dtype), operands)]


@lowers("standardize", "standardize_grad")
def lower_standardize(instruction, target: Target):
    """Lower the standardization of the data, or its gradient (which reads no mean)."""
    gradient = instruction.op == "standardize_grad"
    x, *statistics = instruction.inputs
    operands = (x, *(_ABSENT if gradient else ()), *statistics, *instruction.outputs, *_sizes(x.spec))
    return [Row(f"{instruction.op}({target.name})", lambda: standardize(target.dtype, gradient), operands)]
