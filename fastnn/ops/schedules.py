"""Learning-rate schedules: what each computes, once a step, from the step's number and a few numbers.

A schedule is an instruction of the update section: it reads its numbers and writes the learning rate, both
float64. The functions here use scalars and ``math`` only, so that the CPU backend compiles them as they
stand: what Python reports and what the kernel used are one function, calling one C library.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

Numbers = Sequence[float]


def exponential_decay(t: float, n: Numbers) -> float:
    """``initial rate**(t / steps)``: n = [initial, steps, rate, staircase]."""
    p = t / n[1]
    if n[3] != 0.0:
        p = float(math.floor(p))
    return n[0] * math.pow(n[2], p)


def inverse_time_decay(t: float, n: Numbers) -> float:
    """``initial / (1 + rate t / steps)``: n = [initial, steps, rate, staircase]."""
    p = t / n[1]
    if n[3] != 0.0:
        p = float(math.floor(p))
    return n[0] / (1.0 + n[2] * p)


def piecewise_constant_decay(t: float, n: Numbers) -> float:
    """Value number k from boundary k - 1 (exclusive) to boundary k: n = [boundaries..., values...]."""
    boundaries = (len(n) - 1) // 2
    k = 0
    while k < boundaries and t > n[k]:
        k += 1
    return n[boundaries + k]


def polynomial_decay(t: float, n: Numbers) -> float:
    """``(initial - end) (1 - t / steps)**power + end``: n = [initial, steps, end, power, cycle]."""
    steps = n[1]
    if n[4] != 0.0:
        steps = steps * max(1.0, float(math.ceil(t / steps)))
    left = 1.0 - min(t, steps) / steps
    return (n[0] - n[2]) * math.pow(left, n[3]) + n[2]


def cosine_decay(t: float, n: Numbers) -> float:
    """A line from initial to peak, then half a cosine: n = [initial, peak, warm-up steps, steps, alpha]."""
    if t < n[2]:
        return (n[1] - n[0]) * (t / n[2]) + n[0]
    fraction = min(t - n[2], n[3]) / n[3]
    cosine = 0.5 * (1.0 + math.cos(math.pi * fraction))
    return n[1] * ((1.0 - n[4]) * cosine + n[4])


def cosine_decay_restarts(t: float, n: Numbers) -> float:
    """Half cosines of growing length: n = [initial, first steps, t_mul, m_mul, alpha]."""
    fraction, grow = t / n[1], n[2]
    if grow == 1.0:
        restarts = float(math.floor(fraction))
        fraction = fraction - restarts
    else:
        restarts = float(math.floor(math.log(1.0 - fraction * (1.0 - grow)) / math.log(grow)))
        # The quotient of logarithms may be rounded across the whole number that a restart falls on.
        if (1.0 - math.pow(grow, restarts + 1.0)) / (1.0 - grow) <= fraction:
            restarts += 1.0
        elif (1.0 - math.pow(grow, restarts)) / (1.0 - grow) > fraction:
            restarts -= 1.0
        length = math.pow(grow, restarts)
        fraction = (fraction - (1.0 - length) / (1.0 - grow)) / length
    cosine = 0.5 * math.pow(n[3], restarts) * (1.0 + math.cos(math.pi * fraction))
    return n[0] * ((1.0 - n[4]) * cosine + n[4])


def one_cycle(t: float, n: Numbers) -> float:
    """Phases in a row: n = [cosine, first rate, end of phase 1, its last rate, end of phase 2, ...].

    An end is the number of the phase's last step; it need not be whole. After the last one its rate stays.
    """
    last = len(n) - 2
    t = min(t, n[last])
    start, rate, k = 0.0, n[1], 2
    while k < last and t > n[k]:
        start, rate = n[k], n[k + 1]
        k += 2
    end, target = n[k], n[k + 1]
    fraction = (t - start) / (end - start) if end > start else 1.0
    if n[0] != 0.0:
        return target + (rate - target) / 2.0 * (math.cos(math.pi * fraction) + 1.0)
    return (target - rate) * fraction + rate


#: The function of each schedule's instruction.
RATES: dict[str, Callable[[float, Numbers], float]] = {
    function.__name__: function
    for function in (
        exponential_decay, inverse_time_decay, piecewise_constant_decay, polynomial_decay, cosine_decay,
        cosine_decay_restarts, one_cycle,
    )
}  # fmt: skip
