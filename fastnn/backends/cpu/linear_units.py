"""Dense products of narrow networks, whose blocks are (units, rows).

The rows fill the vector lanes, the few weights are broadcast. Four inputs a pass keep the output in registers
(a 2 -> 3 dense on 128 rows: 0.03 us, where BLAS takes 0.1 to 0.3).
"""

from __future__ import annotations

import numpy as np

from fastnn.backends.cpu.jit import inline, matrix, read_constants, vector
from fastnn.backends.cpu.registers import FIRST, ROWS, at


def units_forward(dtype, scalar, bias: bool):
    """y = f(x w + b): q = [x, w, y, (b), inputs, units, a, b, c]."""
    forward = scalar.forward
    size = np.dtype(dtype).itemsize
    first = 9 if bias else 7

    @inline
    def f(value, saved, a, b, c):
        return forward(value, a, b, c)

    def kernel(q, r):
        k, u, n = q[first], q[first + 1], r[ROWS]
        x0, y0 = at(q, r, 1), at(q, r, 5)
        w = vector(at(q, r, 3), k * u, dtype)
        constants = read_constants(q, first + 2, dtype)
        for j in range(u):
            y = vector(y0 + j * n * size, n, dtype)
            b = vector(at(q, r, 7), u, dtype)[j] if bias else dtype(0)
            _combine(x0, n, k, w, j, u, y, y, b, f, constants, dtype, size)

    return kernel


@inline
def _combine(x0, n, k, w, at0, step, y, s, b, f, constants, dtype, size):
    """y = f(b + sum over m of w[at0 + m step] x[m], s), four inputs a pass; the last pass applies f."""
    c0, c1, c2 = constants
    done = (k - 1) % 4 + 1  # the first pass takes one to four inputs, the others four
    xa = vector(x0, n, dtype)
    xb = vector(x0 + (1 if done > 1 else 0) * n * size, n, dtype)
    xc = vector(x0 + (2 if done > 2 else 0) * n * size, n, dtype)
    xd = vector(x0 + (3 if done > 3 else 0) * n * size, n, dtype)
    w0 = w[at0]
    w1 = w[at0 + step] if done > 1 else w0
    w2 = w[at0 + 2 * step] if done > 2 else w0
    w3 = w[at0 + 3 * step] if done > 3 else w0
    if done < k:
        if done == 1:
            for i in range(n):
                y[i] = b + w0 * xa[i]
        elif done == 2:
            for i in range(n):
                y[i] = b + w0 * xa[i] + w1 * xb[i]
        elif done == 3:
            for i in range(n):
                y[i] = b + w0 * xa[i] + w1 * xb[i] + w2 * xc[i]
        else:
            for i in range(n):
                y[i] = b + w0 * xa[i] + w1 * xb[i] + w2 * xc[i] + w3 * xd[i]
    elif done == 1:
        for i in range(n):
            y[i] = f(b + w0 * xa[i], s[i], c0, c1, c2)
    elif done == 2:
        for i in range(n):
            y[i] = f(b + w0 * xa[i] + w1 * xb[i], s[i], c0, c1, c2)
    elif done == 3:
        for i in range(n):
            y[i] = f(b + w0 * xa[i] + w1 * xb[i] + w2 * xc[i], s[i], c0, c1, c2)
    else:
        for i in range(n):
            y[i] = f(b + w0 * xa[i] + w1 * xb[i] + w2 * xc[i] + w3 * xd[i], s[i], c0, c1, c2)
    while done < k:
        at1 = at0 + done * step
        w0, w1, w2, w3 = w[at1], w[at1 + step], w[at1 + 2 * step], w[at1 + 3 * step]
        xa = vector(x0 + done * n * size, n, dtype)
        xb = vector(x0 + (done + 1) * n * size, n, dtype)
        xc = vector(x0 + (done + 2) * n * size, n, dtype)
        xd = vector(x0 + (done + 3) * n * size, n, dtype)
        done += 4
        if done < k:
            for i in range(n):
                y[i] += w0 * xa[i] + w1 * xb[i] + w2 * xc[i] + w3 * xd[i]
        else:
            for i in range(n):
                y[i] = f(y[i] + w0 * xa[i] + w1 * xb[i] + w2 * xc[i] + w3 * xd[i], s[i], c0, c1, c2)


def units_dx(dtype, scalar, derivative: bool):
    """dx = f'(s) dy w.T, s what f saves: q = [dy, w, (s), dx, inputs, units, a, b, c]."""
    backward = scalar.backward
    size = np.dtype(dtype).itemsize
    w_dx = 7 if derivative else 5

    def kernel(q, r):
        k, u, n = q[w_dx + 2], q[w_dx + 3], r[ROWS]
        dy0, dx0 = at(q, r, 1), at(q, r, w_dx)
        s0 = at(q, r, 5) if derivative else dx0
        w = vector(at(q, r, 3), k * u, dtype)
        constants = read_constants(q, w_dx + 4, dtype)
        for m in range(k):
            dx, s = vector(dx0 + m * n * size, n, dtype), vector(s0 + m * n * size, n, dtype)
            _combine(dy0, n, u, w, m * u, 1, dx, s, dtype(0), backward, constants, dtype, size)

    return kernel


def units_dw(dtype, bias: bool):
    """dw (+)= x.T dy and db (+)= sum of dy over rows: q = [x, dy, dw, (db), inputs, units, add].

    A pass takes two inputs and up to three units: as many sums as a load is worth.
    """
    size = np.dtype(dtype).itemsize
    first = 9 if bias else 7
    by_three, by_two, by_one = (_sums_of_products(dtype, units) for units in (3, 2, 1))

    def kernel(q, r):
        k, u, n = q[first], q[first + 1], r[ROWS]
        x0, dy0 = at(q, r, 1), at(q, r, 3)
        dw = matrix(at(q, r, 5), k, u, dtype)
        db = vector(at(q, r, 7) if bias else q[5], u, dtype)
        if r[FIRST] and not q[first + 2]:
            for m in range(k):
                for j in range(u):
                    dw[m, j] = 0
            if bias:
                for j in range(u):
                    db[j] = 0
        for j in range(0, u, 3):
            for m in range(0, k, 2):
                both = m + 1 < k  # an odd last input is taken twice
                xa = vector(x0 + m * n * size, n, dtype)
                xb = vector(x0 + (m + both) * n * size, n, dtype)
                if j + 3 <= u:
                    sums = by_three(xa, xb, dy0 + j * n * size, n)
                elif j + 2 == u:
                    sums = by_two(xa, xb, dy0 + j * n * size, n)
                else:
                    sums = by_one(xa, xb, dy0 + j * n * size, n)
                for unit in range(min(u - j, 3)):
                    dw[m, j + unit] += sums[unit]
                    if both:
                        dw[m + 1, j + unit] += sums[3 + unit]
                    if bias and m == 0:
                        db[j + unit] += sums[6 + unit]

    return kernel


def _sums_of_products(dtype, units: int):
    """Make ``sums(xa, xb, dy, n)``: over rows, xa dy and xb dy and dy itself, for up to three units each."""
    size = np.dtype(dtype).itemsize
    two, three = units > 1, units > 2

    @inline
    def sums(xa, xb, dy0, n):
        da = vector(dy0, n, dtype)
        db = vector(dy0 + (n * size if two else 0), n, dtype)
        dc = vector(dy0 + (2 * n * size if three else 0), n, dtype)
        aa = ab = ac = ba = bb = bc = sa = sb = sc = dtype(0)
        for i in range(n):
            a, b, d = xa[i], xb[i], da[i]
            aa += a * d
            ba += b * d
            sa += d
            if two:
                d = db[i]
                ab += a * d
                bb += b * d
                sb += d
            if three:
                d = dc[i]
                ac += a * d
                bc += b * d
                sc += d
        return aa, ab, ac, ba, bb, bc, sa, sb, sc

    return sums


def units_sums(dtype):
    """db (+)= sum of dy over rows: q = [dy, db, units, groups, add]."""
    size = np.dtype(dtype).itemsize

    def kernel(q, r):
        u, n = q[5], r[ROWS]
        dy0 = at(q, r, 1)
        db = vector(at(q, r, 3), u, dtype)
        for j in range(u):
            dy = vector(dy0 + j * n * size, n, dtype)
            total = dtype(0)
            for i in range(n):
                total += dy[i]
            if r[FIRST] and not q[7]:
                db[j] = total
            else:
                db[j] += total

    return kernel
