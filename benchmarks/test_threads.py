"""Never slower with more threads: `pytest benchmarks/test_threads.py -s` sweeps sizes and batches.

Extra columns: microseconds a step on one thread and on two, interleaved, the minimum of several trainings
each, and their ratio; above 1 the second thread cost time. The first trainings, in which a network learns
whether its team pays, are not counted.
"""

import itertools
import time

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")

from fastnn.backends.cpu.executor import available_cores
from fastnn.layers import Dense, Input
from fastnn.models import Sequential

SIZES = {
    "2-3-2": (2, 3, 2),
    "24-12-2": (24, 12, 2),
    "45-64-64-1": (45, 64, 64, 1),
    "64-256-256-10": (64, 256, 256, 10),
}
SIZES["512-1024-1024-10"] = (512, 1024, 1024, 10)
BATCHES = (32, 256, 2_048, 16_384, 131_072)
#: About so long a training, so many of each.
SECONDS, TRAININGS = 0.2, 5
#: More arithmetic a step than this takes minutes.
MOST_FLOPS = 2e11


def network(sizes):
    *hidden, outputs = sizes[1:]
    stack = [Input((sizes[0],)), *(Dense(units, "relu") for units in hidden)]
    stack.append(Dense(outputs, "softmax" if outputs > 1 else "sigmoid"))
    model = Sequential(stack, seed=1)
    model.compile("sgd", "sparse_categorical_crossentropy" if outputs > 1 else "binary_crossentropy")
    return model


def cases():
    for name, sizes in SIZES.items():
        flops = 6 * sum(a * b for a, b in itertools.pairwise(sizes))
        for batch in BATCHES:
            if flops * batch < MOST_FLOPS:
                yield pytest.param(sizes, batch, id=f"{name} batch {batch}")


@pytest.mark.skipif(available_cores() < 2, reason="needs two cores")
@pytest.mark.parametrize("sizes, batch", list(cases()))
def test_two_threads(benchmark, sizes, batch):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, sizes[0]), dtype=np.float32)
    y = rng.integers(0, max(sizes[-1], 2), batch)
    model = network(sizes)

    def train(threads, epochs):
        begun = time.perf_counter()
        model.fit(x, y, batch_size=batch, epochs=epochs, verbose=0, threads=threads)
        return (time.perf_counter() - begun) / epochs

    epochs = 1
    while epochs * train(1, epochs) < SECONDS:
        epochs *= 2
    for _ in range(2):
        train(2, epochs)
    best = {1: np.inf, 2: np.inf}

    def both():
        for threads in best:
            best[threads] = min(best[threads], train(threads, epochs))

    benchmark.pedantic(both, rounds=TRAININGS)
    ratio = best[2] / best[1]
    benchmark.extra_info.update(
        us_alone=round(1e6 * best[1], 2), us_two=round(1e6 * best[2], 2), ratio=round(ratio, 3)
    )
    print(f"  {1e6 * best[1]:12.2f} us a step on one thread, {1e6 * best[2]:12.2f} on two: {ratio:.3f}")
