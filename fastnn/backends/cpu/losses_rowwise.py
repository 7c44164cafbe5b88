"""Losses whose columns act on each other, or whose prediction has several columns a target.

Categorical hinge, cosine similarity, Gaussian negative log-likelihood, and several quantiles. See
``losses.py`` for block and row functions.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from fastnn.backends.cpu import loss_terms
from fastnn.backends.cpu import vecmath as vm
from fastnn.backends.cpu.jit import inline, vector
from fastnn.backends.cpu.loss_terms import EPS, at_least
from fastnn.backends.cpu.losses import Form, Functions, lower_columns, lower_functions
from fastnn.backends.cpu.lowering import Target, lowers
from fastnn.ops.loss_reference import MIN_VARIANCE


# --------------------------------------------------------------------------- categorical hinge
def hinge_block(dtype, form: Form):
    """Categorical hinge of a block; scratch holds the largest rival and which it is."""
    size = np.dtype(dtype).itemsize
    zero, one = dtype(0), dtype(1)
    gradient, weighted = form.gradient, form.weighted

    @inline
    def block(t0, p0, d0, rows0, w0, work, n, k, kt, factor, q, s):
        rival, which = vector(work, n, dtype), vector(work + n * size, n, dtype)
        rows, w = vector(rows0, n, dtype), vector(w0, n, dtype)
        t, p = vector(t0, n, dtype), vector(p0, n, dtype)
        for i in range(n):
            rival[i] = (one - t[i]) * p[i]
            rows[i] = -t[i] * p[i]
            which[i] = zero
        for j in range(1, k):
            t, p, index = vector(t0 + j * n * size, n, dtype), vector(p0 + j * n * size, n, dtype), dtype(j)
            for i in range(n):
                v, top, first = (one - t[i]) * p[i], rival[i], which[i]
                rows[i] -= t[i] * p[i]
                rival[i] = v if v > top else top
                which[i] = index if v > top else first
        for i in range(n):
            rows[i] = at_least(rows[i] + rival[i] + one, zero)
        if gradient:
            for j in range(k):
                t, d, index = (
                    vector(t0 + j * n * size, n, dtype),
                    vector(d0 + j * n * size, n, dtype),
                    dtype(j),
                )
                for i in range(n):
                    slope = (one - t[i] if which[i] == index else zero) - t[i]
                    slope = slope if rows[i] > zero else zero
                    d[i] = slope * (factor * w[i] if weighted else factor)

    return block


def hinge_row(dtype, form: Form):
    """Categorical hinge of a row."""
    zero, one = dtype(0), dtype(1)
    gradient = form.gradient

    @inline
    def row(t0, p0, d0, k, kt, factor, q, s):
        t, p, d = vector(t0, k, dtype), vector(p0, k, dtype), vector(d0, k, dtype)
        own, rival, which = t[0] * p[0], (one - t[0]) * p[0], 0
        for j in range(1, k):
            v = (one - t[j]) * p[j]
            own += t[j] * p[j]
            which = j if v > rival else which
            rival = v if v > rival else rival
        loss = at_least(rival - own + one, zero)
        if gradient:
            factor = factor if loss > zero else zero
            for j in range(k):
                d[j] = -t[j] * factor
            d[which] += (one - t[which]) * factor
        return loss

    return row


# --------------------------------------------------------------------------- cosine similarity
def cosine_block(dtype, form: Form):
    """Minus the cosine, of a block; scratch holds the norms."""
    size = np.dtype(dtype).itemsize
    zero, one, eps = dtype(0), dtype(1), dtype(EPS)
    gradient, weighted = form.gradient, form.weighted

    @inline
    def block(t0, p0, d0, rows0, w0, work, n, k, kt, factor, q, s):
        a, b = vector(work, n, dtype), vector(work + n * size, n, dtype)
        rows, w = vector(rows0, n, dtype), vector(w0, n, dtype)
        for i in range(n):
            a[i] = zero
            b[i] = zero
            rows[i] = zero
        for j in range(k):
            t, p = vector(t0 + j * n * size, n, dtype), vector(p0 + j * n * size, n, dtype)
            for i in range(n):
                a[i] += t[i] * t[i]
                b[i] += p[i] * p[i]
                rows[i] -= t[i] * p[i]
        for i in range(n):  # from here: 1 / (|t| |p|), and cosine / |p|^2
            norm = np.sqrt(b[i])
            inverse = one / at_least(norm, eps)
            a[i] = inverse / at_least(np.sqrt(a[i]), eps)
            loss = rows[i] * a[i]
            radial = -loss * inverse * inverse
            rows[i] = loss
            b[i] = zero if norm <= eps else radial
        if gradient:
            for j in range(k):
                t, p = vector(t0 + j * n * size, n, dtype), vector(p0 + j * n * size, n, dtype)
                d = vector(d0 + j * n * size, n, dtype)
                for i in range(n):
                    d[i] = (p[i] * b[i] - t[i] * a[i]) * (factor * w[i] if weighted else factor)

    return block


def cosine_row(dtype, form: Form):
    """Minus the cosine, of a row."""
    zero, one, eps = dtype(0), dtype(1), dtype(EPS)
    gradient = form.gradient

    @inline
    def row(t0, p0, d0, k, kt, factor, q, s):
        t, p, d = vector(t0, k, dtype), vector(p0, k, dtype), vector(d0, k, dtype)
        a, b, dot = zero, zero, zero
        for j in range(k):
            a += t[j] * t[j]
            b += p[j] * p[j]
            dot += t[j] * p[j]
        norm = np.sqrt(b)
        inverse = one / at_least(norm, eps)
        a = inverse / at_least(np.sqrt(a), eps)
        radial = dot * a * inverse * inverse
        radial = zero if norm <= eps else radial
        if gradient:
            for j in range(k):
                d[j] = (p[j] * radial - t[j] * a) * factor
        return -dot * a

    return row


# --------------------------------------------------------------------------- Gaussian likelihood
@functools.cache
def _gaussian(dtype):
    """``term(t, m, s) -> (value, slope by the mean, slope by the log-variance)``, one exponential for all."""
    half, one = dtype(0.5), dtype(1)
    floor, top = dtype(math.log(MIN_VARIANCE)), dtype(1.0 / MIN_VARIANCE)

    @inline
    def term(t, m, s):
        low = s < floor
        e = vm.exp(s - floor if low else -s)
        inverse, ratio = top if low else e, e if low else one
        error = m - t
        d_mean = error * inverse
        square = error * d_mean
        return half * (at_least(s, floor) + square), d_mean, half * (one - square) * ratio

    return term


def gaussian_block(dtype, form: Form):
    """Gaussian negative log-likelihood of a block."""
    size = np.dtype(dtype).itemsize
    term, zero = _gaussian(dtype), dtype(0)
    gradient, weighted = form.gradient, form.weighted

    @inline
    def block(t0, p0, d0, rows0, w0, work, n, k, kt, factor, q, s):
        rows, w, each = vector(rows0, n, dtype), vector(w0, n, dtype), dtype(np.float64(1) / np.float64(kt))
        factor, half = factor * each, kt * n * size
        for i in range(n):
            rows[i] = zero
        for j in range(kt):
            line = j * n * size
            t, m, v = (
                vector(t0 + line, n, dtype),
                vector(p0 + line, n, dtype),
                vector(p0 + half + line, n, dtype),
            )
            dm, dv = vector(d0 + line, n, dtype), vector(d0 + half + line, n, dtype)
            for i in range(n):
                value, slope_m, slope_v = term(t[i], m[i], v[i])
                rows[i] += value * each
                if gradient:
                    f = factor * w[i] if weighted else factor
                    dm[i] = slope_m * f
                    dv[i] = slope_v * f

    return block


def gaussian_row(dtype, form: Form):
    """Gaussian negative log-likelihood of a row."""
    size = np.dtype(dtype).itemsize
    term, zero = _gaussian(dtype), dtype(0)
    gradient = form.gradient

    @inline
    def row(t0, p0, d0, k, kt, factor, q, s):
        t, m, v = vector(t0, kt, dtype), vector(p0, kt, dtype), vector(p0 + kt * size, kt, dtype)
        dm, dv = vector(d0, kt, dtype), vector(d0 + kt * size, kt, dtype)
        total, each = zero, dtype(np.float64(1) / np.float64(kt))
        factor = factor * each
        for j in range(kt):
            value, slope_m, slope_v = term(t[j], m[j], v[j])
            total += value
            if gradient:
                dm[j] = slope_m * factor
                dv[j] = slope_v * factor
        return total * each

    return row


# --------------------------------------------------------------------------- several quantiles
def quantiles_block(dtype, form: Form, levels: tuple[float, ...]):
    """Pinball loss at several quantiles, of a block; the levels are constants of the kernel."""
    size = np.dtype(dtype).itemsize
    term, zero, level_of = loss_terms.quantile(dtype), dtype(0), np.array(levels, dtype)
    gradient, weighted = form.gradient, form.weighted

    @inline
    def block(t0, p0, d0, rows0, w0, work, n, k, kt, factor, q, s):
        rows, w, each = vector(rows0, n, dtype), vector(w0, n, dtype), dtype(np.float64(1) / np.float64(k))
        factor = factor * each
        for i in range(n):
            rows[i] = zero
        for j in range(k):
            t, p = vector(t0 + (j % kt) * n * size, n, dtype), vector(p0 + j * n * size, n, dtype)
            d, level = vector(d0 + j * n * size, n, dtype), level_of[j // kt]
            for i in range(n):
                value, slope = term(t[i], p[i], level, zero, zero)
                rows[i] += value * each
                if gradient:
                    d[i] = slope * (factor * w[i] if weighted else factor)

    return block


def quantiles_row(dtype, form: Form, levels: tuple[float, ...]):
    """Pinball loss at several quantiles, of a row."""
    size = np.dtype(dtype).itemsize
    term, zero, level_of = loss_terms.quantile(dtype), dtype(0), np.array(levels, dtype)
    gradient = form.gradient

    @inline
    def row(t0, p0, d0, k, kt, factor, q, s):
        t, total, each = vector(t0, kt, dtype), zero, dtype(np.float64(1) / np.float64(k))
        factor = factor * each
        for c in range(len(level_of)):
            level, start = level_of[c], c * kt * size
            p, d = vector(p0 + start, kt, dtype), vector(d0 + start, kt, dtype)
            for j in range(kt):
                value, slope = term(t[j], p[j], level, zero, zero)
                total += value
                if gradient:
                    d[j] = slope * factor
        return total * each

    return row


# --------------------------------------------------------------------------- lowering
_FUNCTIONS = {
    "categorical_hinge": Functions(hinge_block, hinge_row),
    "cosine_similarity": Functions(cosine_block, cosine_row),
    "gaussian_nll": Functions(gaussian_block, gaussian_row),
}


@lowers(*_FUNCTIONS, *(f"{name}_grad" for name in _FUNCTIONS))
def lower_rowwise(instruction, target: Target):
    """Lower the losses without settings."""
    op = instruction.op.removesuffix("_grad")
    return lower_functions(instruction, target, op, _FUNCTIONS[op])


@lowers("quantile", "quantile_grad")
def lower_quantile(instruction, target: Target):
    """Lower the pinball loss: elementwise for one quantile."""
    levels = tuple(map(float, instruction.attrs["quantiles"]))
    if len(levels) == 1:
        return lower_columns(instruction, target)
    functions = Functions(
        lambda dtype, form: quantiles_block(dtype, form, levels),
        lambda dtype, form: quantiles_row(dtype, form, levels),
    )
    return lower_functions(instruction, target, f"quantiles{levels}", functions)
