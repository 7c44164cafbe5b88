"""Cross-entropies over classes: softmax in the loss (from logits) or before it (from probabilities).

A target is a share a class, smoothed to ``t a + b``, or a class index, which stands for 1 at its class. An
index is compared with each class, never used as an address. See ``losses.py`` for block and row functions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from fastnn.backends.cpu import vecmath as vm
from fastnn.backends.cpu.jit import bits_to_float, inline, vector
from fastnn.backends.cpu.loss_terms import EPS, LOG_HIGH, at_least, at_most, power, power_name
from fastnn.backends.cpu.losses import Form, Functions, lower_functions
from fastnn.backends.cpu.lowering import Target, lowers

_LABEL = np.int32


# --------------------------------------------------------------------------- from logits
def logits_block(dtype, form: Form):
    """Softmax cross-entropy of a block."""
    size = np.dtype(dtype).itemsize
    zero, one = dtype(0), dtype(1)
    gradient, weighted, sparse = form.gradient, form.weighted, form.sparse
    pair = _two_logits(dtype, form)

    @inline
    def block(t0, p0, d0, rows0, w0, work, n, k, kt, factor, q, s):
        a, b = dtype(bits_to_float(q[s])), dtype(bits_to_float(q[s + 1]))
        top, total = vector(work, n, dtype), vector(work + n * size, n, dtype)
        rows, w, labels = vector(rows0, n, dtype), vector(w0, n, dtype), vector(t0, n, _LABEL)
        if k == 2:
            pair(t0, p0, d0, rows, w, labels, work, n, a, b, factor)
            return
        largest(p0, work, n, k, dtype)
        for i in range(n):
            total[i] = zero
            rows[i] = zero
        for j in range(k):
            t, p = vector(t0 + j * n * size, n, dtype), vector(p0 + j * n * size, n, dtype)
            d = vector(d0 + j * n * size, n, dtype)
            for i in range(n):
                z = p[i] - top[i]
                e = vm.exp(z)
                total[i] += e
                rows[i] -= (z if labels[i] == _LABEL(j) else zero) if sparse else (t[i] * a + b) * z
                if gradient:
                    d[i] = e
        for i in range(n):
            top[i] = one if sparse else zero
        if not sparse:
            for j in range(k):
                t = vector(t0 + j * n * size, n, dtype)
                for i in range(n):
                    top[i] += t[i] * a + b
        for i in range(n):
            mass = top[i]
            rows[i] += mass * vm.log(total[i])
            total[i] = mass / total[i]
        if gradient:
            for j in range(k):
                t, d = vector(t0 + j * n * size, n, dtype), vector(d0 + j * n * size, n, dtype)
                for i in range(n):
                    ti = (one if labels[i] == _LABEL(j) else zero) if sparse else t[i] * a + b
                    d[i] = (d[i] * total[i] - ti) * (factor * w[i] if weighted else factor)

    return block


def _two_logits(dtype, form: Form):
    """Softmax cross-entropy of a block with two classes: one exponential and one division a row.

    With z the second logit less the first, u and v the targets of second and first, and p2 = sigmoid(z): the
    loss is u softplus(-z) + v softplus(z), its gradient p2 v - p1 u by the second logit, and less that by the
    first. Where targets are indices, z is turned so that a large one is wrong.
    """
    size = np.dtype(dtype).itemsize
    zero, one = dtype(0), dtype(1)
    gradient, weighted, sparse = form.gradient, form.weighted, form.sparse

    @inline
    def pair(t0, p0, d0, rows, w, labels, work, n, a, b, factor):
        first, second = vector(p0, n, dtype), vector(p0 + n * size, n, dtype)
        t_first, t_second = vector(t0, n, dtype), vector(t0 + n * size, n, dtype)
        d_first, d_second = vector(d0, n, dtype), vector(d0 + n * size, n, dtype)
        z = vector(work, n, dtype)
        # Three loops: with more arrays in one, LLVM gives up proving that they do not overlap.
        for i in range(n):
            z[i] = second[i] - first[i]
        for i in range(n):
            zi, own = z[i], labels[i] == _LABEL(1)
            zi = -zi if sparse and own else zi
            e = vm.exp(-abs(zi))
            log, large = vm.log1p_unit(e), one / (one + e)
            small = e * large
            p_second = large if zi > zero else small
            if sparse:
                rows[i] = log + at_least(zi, zero)
                slope = -p_second if own else p_second
            else:
                u, v = t_second[i] * a + b, t_first[i] * a + b
                rows[i] = (u + v) * log + v * at_least(zi, zero) + u * at_least(-zi, zero)
                p_first = small if zi > zero else large
                slope = p_second * v - p_first * u
            if gradient:
                d_second[i] = slope * factor
        if gradient:
            for i in range(n):
                slope = d_second[i] * w[i] if weighted else d_second[i]
                d_second[i] = slope
                d_first[i] = -slope

    return pair


@inline
def largest(p0, out, n, k, dtype):
    """Write each row's largest prediction to address `out`; a NaN may be passed over."""
    top, p = vector(out, n, dtype), vector(p0, n, dtype)
    for i in range(n):
        top[i] = p[i]
    for j in range(1, k):
        p = vector(p0 + j * n * top.itemsize, n, dtype)
        for i in range(n):
            top[i] = at_least(top[i], p[i])


def logits_row(dtype, form: Form):
    """Softmax cross-entropy of a row."""
    zero, one = dtype(0), dtype(1)
    gradient, sparse = form.gradient, form.sparse

    @inline
    def row(t0, p0, d0, k, kt, factor, q, s):
        a, b = dtype(bits_to_float(q[s])), dtype(bits_to_float(q[s + 1]))
        t, p, d, label = (
            vector(t0, k, dtype),
            vector(p0, k, dtype),
            vector(d0, k, dtype),
            vector(t0, 1, _LABEL)[0],
        )
        top = p[0]
        for j in range(1, k):
            top = at_least(top, p[j])
        own, total, mass = zero, zero, zero
        for j in range(k):
            z = p[j] - top
            e = vm.exp(z)
            total += e
            own += (z if label == _LABEL(j) else zero) if sparse else (t[j] * a + b) * z
            mass += zero if sparse else t[j] * a + b
            if gradient:
                d[j] = e
        mass = one if sparse else mass
        scale = mass / total
        if gradient:
            for j in range(k):
                ti = (one if label == _LABEL(j) else zero) if sparse else t[j] * a + b
                d[j] = (d[j] * scale - ti) * factor
        return mass * vm.log(total) - own

    return row


# --------------------------------------------------------------------------- from probabilities
@functools.cache
def _entropy(dtype):
    """``term(t, share, alpha, gamma) -> (value, slope by the share)`` of the cross-entropy."""
    eps, top, zero, one, high = dtype(EPS), dtype(1 - EPS), dtype(0), dtype(1), dtype(LOG_HIGH)

    @inline
    def term(t, share, alpha, gamma):
        raised = at_least(share, eps)
        slope = -t / at_most(raised, one)
        slope = zero if share < eps else slope
        return -t * at_most(vm.log(raised), high), zero if share > top else slope

    return term


@functools.cache
def _focal(dtype, square: bool):
    """As `_entropy`, of the focal cross-entropy."""
    eps, top, zero, one, high = dtype(EPS), dtype(1 - EPS), dtype(0), dtype(1), dtype(LOG_HIGH)
    power_of = power(dtype, square)

    @inline
    def term(t, share, alpha, gamma):
        raised = at_least(share, eps)
        log = at_most(vm.log(raised), high)
        factor, d_factor = power_of(at_least(one - raised, eps), gamma)
        slope = alpha * t * (d_factor * log - factor / raised)
        slope = zero if share < eps else slope
        return -alpha * factor * t * log, zero if share > top else slope

    return term


def shares(make_term: Callable) -> Functions:
    """Make the functions of a loss of shares ``p / sum(p)``."""
    return Functions(
        lambda dtype, form: shares_block(dtype, form, make_term(dtype)),
        lambda dtype, form: shares_row(dtype, form, make_term(dtype)),
    )


def shares_block(dtype, form: Form, term: Callable):
    """A loss of shares, of a block."""
    size = np.dtype(dtype).itemsize
    zero, one = dtype(0), dtype(1)
    gradient, weighted, sparse = form.gradient, form.weighted, form.sparse

    @inline
    def block(t0, p0, d0, rows0, w0, work, n, k, kt, factor, q, s):
        a, b = dtype(bits_to_float(q[s])), dtype(bits_to_float(q[s + 1]))
        alpha, gamma = dtype(bits_to_float(q[s + 2])), dtype(bits_to_float(q[s + 3]))
        total, radial = vector(work, n, dtype), vector(work + n * size, n, dtype)
        rows, w, labels = vector(rows0, n, dtype), vector(w0, n, dtype), vector(t0, n, _LABEL)
        for i in range(n):
            total[i] = zero
            radial[i] = zero
            rows[i] = zero
        for j in range(k):
            p = vector(p0 + j * n * size, n, dtype)
            for i in range(n):
                total[i] += p[i]
        for j in range(k):
            t, p = vector(t0 + j * n * size, n, dtype), vector(p0 + j * n * size, n, dtype)
            d = vector(d0 + j * n * size, n, dtype)
            for i in range(n):
                share = p[i] / total[i]
                ti = (one if labels[i] == _LABEL(j) else zero) if sparse else t[i] * a + b
                value, slope = term(ti, share, alpha, gamma)
                rows[i] += value
                if gradient:
                    radial[i] += slope * share
                    d[i] = slope
        if gradient:
            for j in range(k):
                d = vector(d0 + j * n * size, n, dtype)
                for i in range(n):
                    d[i] = (d[i] - radial[i]) / total[i] * (factor * w[i] if weighted else factor)

    return block


def shares_row(dtype, form: Form, term: Callable):
    """A loss of shares, of a row."""
    zero, one = dtype(0), dtype(1)
    gradient, sparse = form.gradient, form.sparse

    @inline
    def row(t0, p0, d0, k, kt, factor, q, s):
        a, b = dtype(bits_to_float(q[s])), dtype(bits_to_float(q[s + 1]))
        alpha, gamma = dtype(bits_to_float(q[s + 2])), dtype(bits_to_float(q[s + 3]))
        t, p, d, label = (
            vector(t0, k, dtype),
            vector(p0, k, dtype),
            vector(d0, k, dtype),
            vector(t0, 1, _LABEL)[0],
        )
        total, radial, own = zero, zero, zero
        for j in range(k):
            total += p[j]
        for j in range(k):
            share = p[j] / total
            ti = (one if label == _LABEL(j) else zero) if sparse else t[j] * a + b
            value, slope = term(ti, share, alpha, gamma)
            own += value
            radial += slope * share
            if gradient:
                d[j] = slope
        if gradient:
            factor = factor / total
            for j in range(k):
                d[j] = (d[j] - radial) * factor
        return own

    return row


# --------------------------------------------------------------------------- focal, from logits
def focal_block(dtype, form: Form, square: bool):
    """Categorical focal cross-entropy from logits, of a block; the gradient takes exponentials again."""
    size = np.dtype(dtype).itemsize
    zero = dtype(0)
    power_of = power(dtype, square)
    gradient, weighted = form.gradient, form.weighted

    @inline
    def block(t0, p0, d0, rows0, w0, work, n, k, kt, factor, q, s):
        a, b = dtype(bits_to_float(q[s])), dtype(bits_to_float(q[s + 1]))
        alpha, gamma = dtype(bits_to_float(q[s + 2])), dtype(bits_to_float(q[s + 3]))
        shift, total = vector(work, n, dtype), vector(work + n * size, n, dtype)
        rows, w = vector(rows0, n, dtype), vector(w0, n, dtype)
        largest(p0, work, n, k, dtype)
        for i in range(n):
            total[i] = zero
            rows[i] = zero
        for j in range(k):
            p = vector(p0 + j * n * size, n, dtype)
            for i in range(n):
                total[i] += vm.exp(p[i] - shift[i])
        for i in range(n):
            shift[i] += vm.log(total[i])
            total[i] = zero
        for j in range(k):
            t, p = vector(t0 + j * n * size, n, dtype), vector(p0 + j * n * size, n, dtype)
            d = vector(d0 + j * n * size, n, dtype)
            for i in range(n):
                log = p[i] - shift[i]
                miss = -vm.expm1(log)
                share, ti = dtype(1) - miss, alpha * (t[i] * a + b)
                level, d_level = power_of(miss, gamma)
                h = ti * (d_level * share * log - level)
                rows[i] -= level * ti * log
                if gradient:
                    total[i] += h
                    d[i] = h
        if gradient:
            for j in range(k):
                p, d = vector(p0 + j * n * size, n, dtype), vector(d0 + j * n * size, n, dtype)
                for i in range(n):
                    share = vm.exp(p[i] - shift[i])
                    d[i] = (d[i] - share * total[i]) * (factor * w[i] if weighted else factor)

    return block


def focal_row(dtype, form: Form, square: bool):
    """Categorical focal cross-entropy from logits, of a row."""
    zero = dtype(0)
    power_of = power(dtype, square)
    gradient = form.gradient

    @inline
    def row(t0, p0, d0, k, kt, factor, q, s):
        a, b = dtype(bits_to_float(q[s])), dtype(bits_to_float(q[s + 1]))
        alpha, gamma = dtype(bits_to_float(q[s + 2])), dtype(bits_to_float(q[s + 3]))
        t, p, d = vector(t0, k, dtype), vector(p0, k, dtype), vector(d0, k, dtype)
        top = p[0]
        for j in range(1, k):
            top = at_least(top, p[j])
        total = zero
        for j in range(k):
            total += vm.exp(p[j] - top)
        shift, own, h_sum = top + vm.log(total), zero, zero
        for j in range(k):
            log = p[j] - shift
            miss = -vm.expm1(log)
            share, ti = dtype(1) - miss, alpha * (t[j] * a + b)
            level, d_level = power_of(miss, gamma)
            h = ti * (d_level * share * log - level)
            own -= level * ti * log
            h_sum += h
            if gradient:
                d[j] = h
        if gradient:
            for j in range(k):
                d[j] = (d[j] - vm.exp(p[j] - shift) * h_sum) * factor
        return own

    return row


# --------------------------------------------------------------------------- lowering
_CROSSENTROPIES = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "categorical_focal_crossentropy",
)


@lowers(*_CROSSENTROPIES, *(f"{name}_grad" for name in _CROSSENTROPIES))
def lower_crossentropy(instruction, target: Target):
    """Lower the cross-entropies of one-hot targets and of class indices."""
    op = instruction.op.removesuffix("_grad")
    attrs = instruction.attrs
    smoothing = attrs.get("label_smoothing", 0.0)
    alpha, gamma = attrs.get("alpha", 1.0), attrs.get("gamma", 0.0)
    settings = (1.0 - smoothing, smoothing / instruction.inputs[1].spec.size, alpha, gamma)
    functions = Functions(logits_block, logits_row) if attrs["from_logits"] else shares(_entropy)
    name = op
    if "gamma" in attrs:
        name = f"{op},{power_name(gamma)}"
        square = gamma == 2.0
        functions = shares(lambda dtype: _focal(dtype, square))
        if attrs["from_logits"]:
            functions = Functions(
                lambda dtype, form: focal_block(dtype, form, square),
                lambda dtype, form: focal_row(dtype, form, square),
            )
    if attrs["from_logits"]:
        name += ",logits"
    return lower_functions(instruction, target, name, functions, *settings)
