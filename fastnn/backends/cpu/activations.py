"""Elementwise activations: a scalar function and its derivative each, compiled into flat loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastnn.backends.cpu import vecmath as vm
from fastnn.backends.cpu.jit import inline, matrix, read_constants, vector
from fastnn.backends.cpu.lowering import SCRATCH, Row, Target, lowers
from fastnn.backends.cpu.registers import FIRST, ROWS, at
from fastnn.ops import activations as table
from fastnn.ops.activation_forms import form


class Scalar(NamedTuple):
    """An activation as the kernels inline it.

    Attributes
    ----------
    forward : callable
        ``forward(x, a, b, c) -> y``.
    backward : callable
        ``backward(dy, s, a, b, c) -> dx`` with `s` the saved input or output.
    """

    forward: Callable
    backward: Callable


# Every operand is loaded before a select: a conditional load keeps the loop scalar (0.05 -> 5 us).
# Attributes and constants arrive as a, b, c in the array's dtype: a literal would promote float32.
@inline
def _linear(x, a, b, c):
    return x


@inline
def _linear_grad(dy, s, a, b, c):
    return dy


@inline
def _relu(x, a, b, c):
    return a if x <= a else x  # a is zero; a NaN fails the test and passes through


@inline
def _relu_grad(dy, s, a, b, c):
    return dy if s > a else a


@inline
def _relu_general(x, a, b, c):
    y = a * (x - c) if x < c else x
    return b if y > b else y


@inline
def _relu_general_grad(dy, s, a, b, c):
    below = dy * a
    d = dy if s > c else below
    return c - c if s >= b else d


@inline
def _leaky_relu(x, a, b, c):
    below = a * x
    return x if x > 0 else below


@inline
def _leaky_relu_grad(dy, s, a, b, c):
    below = a * dy
    return dy if s > 0 else below


@inline
def _negative_part(x, zero):
    return zero if x > zero else x  # keeps NaN


@inline
def _elu(x, a, b, c):
    below = a * vm.expm1(_negative_part(x, a - a))
    return x if x > 0 else below


@inline
def _elu_grad(dy, s, a, b, c):
    below = dy * (s + a)
    return dy if s > 0 else below


@inline
def _selu(x, a, b, c):
    below = b * (a * vm.expm1(_negative_part(x, a - a)))
    above = b * x
    return above if x > 0 else below


@inline
def _selu_grad(dy, s, a, b, c):
    below = dy * (s + b * a)
    above = dy * b
    return above if s > 0 else below


@inline
def _celu(x, a, b, c):
    below = a * vm.expm1(_negative_part(x, a - a) / a)
    return x if x > 0 else below


@inline
def _celu_grad(dy, s, a, b, c):
    below = dy * (s / a + (a / a))
    return dy if s > 0 else below


@inline
def _gelu_erf(x, a, b, c):
    return x * (b + b * vm.erf(x * a))


@inline
def _gelu_erf_grad(dy, s, a, b, c):
    return dy * (b + b * vm.erf(s * a) + s * c * vm.exp(-b * s * s))


@inline
def _gelu_tanh(x, a, b, c):
    return b * x * ((b + b) + vm.tanh(a * (x + c * x * x * x)))


@inline
def _gelu_tanh_grad(dy, s, a, b, c):
    one = b + b
    t = vm.tanh(a * (s + c * s * s * s))
    return dy * (b * (one + t) + b * s * (one - t * t) * a * (one + (one + one + one) * c * s * s))


@inline
def _silu(x, a, b, c):
    return x * vm.sigmoid(x)


@inline
def _silu_grad(dy, s, a, b, c):
    p = vm.sigmoid(s)
    return dy * (p * (a + s * (a - p)))


@inline
def _mish(x, a, b, c):
    return x * vm.tanh(vm.softplus(x))


@inline
def _mish_grad(dy, s, a, b, c):
    t = vm.tanh(vm.softplus(s))
    return dy * (t + s * (a - t * t) * vm.sigmoid(s))


@inline
def _softplus(x, a, b, c):
    return vm.softplus(x)


@inline
def _softplus_grad(dy, s, a, b, c):
    return -dy * vm.expm1(-s)


@inline
def _softsign(x, a, b, c):
    return x / (a + abs(x))


@inline
def _softsign_grad(dy, s, a, b, c):
    d = a - abs(s)
    return dy * d * d


@inline
def _tanh(x, a, b, c):
    return vm.tanh(x)


@inline
def _tanh_grad(dy, s, a, b, c):
    return dy * (a - s * s)


@inline
def _sigmoid(x, a, b, c):
    return vm.sigmoid(x)


@inline
def _sigmoid_grad(dy, s, a, b, c):
    return dy * (s * (a - s))


@inline
def _clip(x, low, high):
    y = low if x < low else x
    return high if y > high else y


@inline
def _hard_sigmoid(x, a, b, c):
    return _clip(x * b + c, a - a, a)


@inline
def _hard_sigmoid_grad(dy, s, a, b, c):
    d = dy * b
    zero = a - a
    d = d if s > zero else zero
    return d if s < a else zero


@inline
def _hard_tanh(x, a, b, c):
    return _clip(x, -a, a)


@inline
def _hard_tanh_grad(dy, s, a, b, c):
    zero = a - a
    d = dy if s > -a else zero
    return d if s < a else zero


@inline
def _log_sigmoid(x, a, b, c):
    return -vm.softplus(-x)


@inline
def _log_sigmoid_grad(dy, s, a, b, c):
    return -dy * vm.expm1(s)


@inline
def _exponential(x, a, b, c):
    return vm.exp(x)


@inline
def _exponential_grad(dy, s, a, b, c):
    return dy * s


#: Kernel names of user-registered ops.
CUSTOM: dict[str, str] = {}
#: Scalar functions by kernel name. User-registered ops are added here.
SCALARS: dict[str, Scalar] = {
    "linear": Scalar(_linear, _linear_grad),
    "relu": Scalar(_relu, _relu_grad),
    "relu_general": Scalar(_relu_general, _relu_general_grad),
    "leaky_relu": Scalar(_leaky_relu, _leaky_relu_grad),
    "elu": Scalar(_elu, _elu_grad),
    "selu": Scalar(_selu, _selu_grad),
    "celu": Scalar(_celu, _celu_grad),
    "gelu_erf": Scalar(_gelu_erf, _gelu_erf_grad),
    "gelu_tanh": Scalar(_gelu_tanh, _gelu_tanh_grad),
    "silu": Scalar(_silu, _silu_grad),
    "mish": Scalar(_mish, _mish_grad),
    "softplus": Scalar(_softplus, _softplus_grad),
    "softsign": Scalar(_softsign, _softsign_grad),
    "tanh": Scalar(_tanh, _tanh_grad),
    "sigmoid": Scalar(_sigmoid, _sigmoid_grad),
    "hard_sigmoid": Scalar(_hard_sigmoid, _hard_sigmoid_grad),
    "hard_tanh": Scalar(_hard_tanh, _hard_tanh_grad),
    "log_sigmoid": Scalar(_log_sigmoid, _log_sigmoid_grad),
    "exponential": Scalar(_exponential, _exponential_grad),
}


def resolve(name: str, attrs: dict) -> tuple[str, tuple[float, float, float]]:
    """Return the kernel's name and its three constants for an activation with these attributes."""
    return (CUSTOM[name], (0.0, 0.0, 0.0)) if name in CUSTOM else form(name, attrs)


def flat_forward(dtype, scalar: Scalar):
    """y = f(x), over ``rows * units`` numbers: q = [x, y, units, a, b, c]."""
    f = scalar.forward

    def kernel(q, r):
        n = r[ROWS] * q[5]
        x = vector(at(q, r, 1), n, dtype)
        y = vector(at(q, r, 3), n, dtype)
        a, b, c = read_constants(q, 6, dtype)
        for i in range(n):
            y[i] = f(x[i], a, b, c)

    return kernel


def flat_backward(dtype, scalar: Scalar):
    """dx = f'(s) dy: q = [dy, s, dx, units, a, b, c]."""
    f = scalar.backward

    def kernel(q, r):
        n = r[ROWS] * q[7]
        dy = vector(at(q, r, 1), n, dtype)
        s = vector(at(q, r, 3), n, dtype)
        dx = vector(at(q, r, 5), n, dtype)
        a, b, c = read_constants(q, 8, dtype)
        for i in range(n):
            d = dy[i]
            v = s[i]
            dx[i] = f(d, v, a, b, c)

    return kernel


def lower_elementwise(instruction, target: Target):
    """Lower any elementwise op or its gradient op."""
    backward = instruction.op.endswith("_grad")
    name, constants = resolve(instruction.op.removesuffix("_grad"), instruction.attrs)
    scalar = SCALARS[name]
    build = flat_backward if backward else flat_forward
    units = instruction.outputs[0].spec.size
    return [
        Row(
            f"{build.__name__}({name},{target.name})",
            lambda: build(target.dtype, scalar),
            (*instruction.inputs, *instruction.outputs, units, *constants),
        )
    ]


for _name in table.ELEMENTWISE:
    lowers(_name, f"{_name}_grad")(lower_elementwise)


# --------------------------------------------------------------------------- prelu
def _prelu(dtype):
    """y = x if x > 0 else alpha x, alpha a unit: q = [x, alpha, y, units]."""

    def kernel(q, r):
        n, u = r[ROWS], q[7]
        x = matrix(at(q, r, 1), n, u, dtype)
        alpha = vector(at(q, r, 3), u, dtype)
        y = matrix(at(q, r, 5), n, u, dtype)
        for i in range(n):
            for j in range(u):
                v = x[i, j]
                below = alpha[j] * v
                y[i, j] = v if v > 0 else below

    return kernel


def _prelu_dx(dtype):
    """q = [dy, x, alpha, dx, units]."""

    def kernel(q, r):
        n, u = r[ROWS], q[9]
        dy = matrix(at(q, r, 1), n, u, dtype)
        x = matrix(at(q, r, 3), n, u, dtype)
        alpha = vector(at(q, r, 5), u, dtype)
        dx = matrix(at(q, r, 7), n, u, dtype)
        for i in range(n):
            for j in range(u):
                d = dy[i, j]
                below = d * alpha[j]
                dx[i, j] = d if x[i, j] > 0 else below

    return kernel


def _prelu_dalpha(dtype):
    """q = [dy, x, dalpha, units, add]: overwritten in a lane's first block unless `add`."""

    def kernel(q, r):
        n, u = r[ROWS], q[7]
        dy = matrix(at(q, r, 1), n, u, dtype)
        x = matrix(at(q, r, 3), n, u, dtype)
        out = vector(at(q, r, 5), u, dtype)
        if r[FIRST] and not q[8]:
            for j in range(u):
                out[j] = 0
        for i in range(n):
            for j in range(u):
                d = dy[i, j] * x[i, j]
                zero = d * 0
                out[j] += zero if x[i, j] > 0 else d

    return kernel


def _simple(op, build):
    @lowers(op)
    def lower(instruction, target):
        extra = (int(instruction.accumulate),) if op == "prelu_dalpha" else ()
        units = instruction.inputs[0].spec.size
        return [
            Row(
                f"{op}({target.name})",
                lambda: build(target.dtype),
                (*instruction.inputs, *instruction.outputs, units, *extra),
            )
        ]


_simple("prelu", _prelu)
_simple("prelu_dx", _prelu_dx)
_simple("prelu_dalpha", _prelu_dalpha)


# --------------------------------------------------------------------------- softmax over the last axis
def softmax(dtype, units_major: bool, log: bool):
    """q = [x, y, scratch, units, groups]: each row holds `groups` vectors of `units`."""
    size = np.dtype(dtype).itemsize
    if units_major:

        def kernel(q, r):
            n, u = r[ROWS], q[7]
            x0, y0 = at(q, r, 1), at(q, r, 3)
            top, total = vector(q[5], n, dtype), vector(q[5] + n * size, n, dtype)
            x = vector(x0, n, dtype)
            for i in range(n):
                top[i] = x[i]
                total[i] = 0
            for j in range(1, u):
                x = vector(x0 + j * n * size, n, dtype)
                for i in range(n):
                    v = x[i]
                    t = top[i]
                    top[i] = v if v > t or v != v else t
            for j in range(u):
                x = vector(x0 + j * n * size, n, dtype)
                y = vector(y0 + j * n * size, n, dtype)
                for i in range(n):
                    v = x[i] - top[i]
                    e = vm.exp(v)
                    total[i] += e
                    y[i] = v if log else e
            for i in range(n):
                total[i] = vm.log(total[i]) if log else dtype(1) / total[i]
            for j in range(u):
                y = vector(y0 + j * n * size, n, dtype)
                for i in range(n):
                    y[i] = y[i] - total[i] if log else y[i] * total[i]

        return kernel

    def row_kernel(q, r):
        n, u = r[ROWS] * q[8], q[7]
        x = matrix(at(q, r, 1), n, u, dtype)
        y = matrix(at(q, r, 3), n, u, dtype)
        for i in range(n):
            top = x[i, 0]
            for j in range(1, u):
                v = x[i, j]
                top = v if v > top or v != v else top
            total = dtype(0)
            for j in range(u):
                v = x[i, j] - top
                e = vm.exp(v)
                total += e
                y[i, j] = v if log else e
            if log:
                shift = vm.log(total)
                for j in range(u):
                    y[i, j] -= shift
            else:
                scale = dtype(1) / total
                for j in range(u):
                    y[i, j] *= scale

    return row_kernel


def softmax_grad(dtype, units_major: bool, log: bool):
    """q = [dy, y, dx, scratch, units, groups]."""
    size = np.dtype(dtype).itemsize
    if units_major:

        def kernel(q, r):
            n, u = r[ROWS], q[9]
            dy0, y0, dx0 = at(q, r, 1), at(q, r, 3), at(q, r, 5)
            total = vector(q[7], n, dtype)
            for i in range(n):
                total[i] = 0
            for j in range(u):
                dy = vector(dy0 + j * n * size, n, dtype)
                y = vector(y0 + j * n * size, n, dtype)
                for i in range(n):
                    total[i] += dy[i] if log else dy[i] * y[i]
            for j in range(u):
                dy = vector(dy0 + j * n * size, n, dtype)
                y = vector(y0 + j * n * size, n, dtype)
                dx = vector(dx0 + j * n * size, n, dtype)
                for i in range(n):
                    t = total[i]
                    dx[i] = dy[i] - vm.exp(y[i]) * t if log else y[i] * (dy[i] - t)

        return kernel

    def row_kernel(q, r):
        n, u = r[ROWS] * q[10], q[9]
        dy = matrix(at(q, r, 1), n, u, dtype)
        y = matrix(at(q, r, 3), n, u, dtype)
        dx = matrix(at(q, r, 5), n, u, dtype)
        for i in range(n):
            total = dtype(0)
            for j in range(u):
                total += dy[i, j] if log else dy[i, j] * y[i, j]
            for j in range(u):
                dx[i, j] = dy[i, j] - vm.exp(y[i, j]) * total if log else y[i, j] * (dy[i, j] - total)

    return row_kernel


@lowers("softmax", "log_softmax", "softmax_grad", "log_softmax_grad")
def lower_softmax(instruction, target: Target):
    """Lower softmax and log-softmax, forward and backward."""
    log = instruction.op.startswith("log")
    build = softmax_grad if instruction.op.endswith("_grad") else softmax
    shape = instruction.outputs[0].spec.shape
    groups = instruction.outputs[0].spec.size // shape[-1]
    return [
        Row(
            f"{build.__name__}({'log,' if log else ''}{'units,' if target.units_major else ''}{target.name})",
            lambda: build(target.dtype, target.units_major, log),
            (*instruction.inputs, *instruction.outputs, SCRATCH, shape[-1], groups),
        )
    ]
