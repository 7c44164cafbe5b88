"""Losses and accuracies of rows that the lanes of a warp share, against the reference."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn.backends.gpu import kernels
from fastnn.backends.gpu.eager import ArrayRef, Call
from fastnn.backends.gpu.lowering import Target
from fastnn.backends.gpu.registers import COUNT, INDEX
from fastnn.ops.losses import LOSSES
from fastnn.ops.registry import INTEGER_NAMES, Spec

sys.path[:0] = [str(Path(__file__).parents[2] / "contract")]
from on_device import ORDERS, launch_all, run_gpu  # noqa: E402
from op_table import cast, check, names_of, reference, samples  # noqa: E402

#: Of so many times the samples' columns (1 or 2), from 4 lanes to all 32 have a row: some lanes without a
#: column, or several columns a lane.
TIMES = (3, 7, 35)
#: And of their rows, so that warps have several, and the last one fewer.
REPEATED = 9


def widened(name, sample, times):
    """Return a sample's arrays with columns and rows repeated, so that equals and classes come again."""
    return [
        np.tile(
            array,
            (REPEATED, times if array.ndim > 1 and label not in (*INTEGER_NAMES, "weight") else 1)[
                : array.ndim
            ],
        )
        for label, array in zip(names_of(name, sample.arrays), map(np.asarray, sample.arrays), strict=True)
    ]


@pytest.mark.parametrize("name", [n for loss in LOSSES for n in (loss, f"{loss}_grad")])
def test_losses(fake_cupy, name):
    widths = set()
    for number, (times, sample) in enumerate(itertools.product(TIMES, samples(name)[:4])):
        arrays = cast(widened(name, sample, times), np.float32)
        found = run_gpu(fake_cupy, name, arrays, sample.attrs, ORDERS[number % 3])
        check(name, found, reference(name, arrays, sample.attrs), np.float32, f"{times} x {sample.name!r}")
        widths |= {array.shape[-1] for array in arrays if array.ndim > 1}
    assert len(widths) > 2 and max(widths) > 32, "the samples have other columns than they had"


@pytest.mark.parametrize("units", [1, 2, 3, 7, 8, 12, 40])
@pytest.mark.parametrize("sparse", [False, True])
def test_accuracy(fake_cupy, units, sparse):
    rng = np.random.default_rng(units)
    rows = 70
    prediction = rng.integers(0, 5, (rows, units)).astype(np.float32)  # equals: the first counts
    one_hot = rng.integers(0, 3, (rows, units)).astype(np.float32)
    weight = rng.integers(0, 2, rows).astype(np.float32)
    answer = one_hot.argmax(1)
    expected = float(((prediction.argmax(1) == answer) * weight).sum())
    target = Spec((1,), kind="int") if sparse else Spec((units,))
    specs = (target, Spec((units,)), Spec(()))
    given = (answer.astype(np.int32) if sparse else one_hot, prediction, weight)
    total = fake_cupy.asarray(np.full(1, 2.0))
    inputs = [ArrayRef(fake_cupy.asarray(a.reshape(-1)), spec) for a, spec in zip(given, specs, strict=True)]
    name = "metric_sparse_categorical_accuracy" if sparse else "metric_categorical_accuracy"
    call = Call(name, tuple(inputs), (ArrayRef(total, Spec((), rows=False)),), {})
    clock = np.zeros(COUNT, np.int64)
    clock[[INDEX["ROWS"], INDEX["BATCH"]]] = rows
    launch_all(fake_cupy, kernels.lower(call, Target("float32", rows)), fake_cupy.asarray(clock))
    assert float(total.get()[0]) == 2.0 + expected
