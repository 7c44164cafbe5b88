"""Losses and accuracies of rows so wide that a warp takes a row, against the reference."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn.backends.gpu import kernels
from fastnn.backends.gpu.eager import ArrayRef, Call
from fastnn.backends.gpu.lowering import WARP_COLUMNS, Target
from fastnn.backends.gpu.registers import COUNT, INDEX
from fastnn.ops.losses import LOSSES
from fastnn.ops.registry import INTEGER_NAMES, Spec

sys.path[:0] = [str(Path(__file__).parents[2] / "contract")]
from on_device import ORDERS, launch_all, run_gpu  # noqa: E402
from op_table import cast, check, names_of, reference, samples  # noqa: E402

#: Not a multiple of a warp's 32 lanes, and more than one pass of them.
TIMES = 13


def widened(name, sample):
    """Return a sample's arrays with their columns repeated, so that equals and classes come again."""
    return [
        np.tile(array, (1, TIMES)) if array.ndim > 1 and label not in (*INTEGER_NAMES, "weight") else array
        for label, array in zip(names_of(name, sample.arrays), map(np.asarray, sample.arrays), strict=True)
    ]


@pytest.mark.parametrize("name", [n for loss in LOSSES for n in (loss, f"{loss}_grad")])
def test_losses_of_wide_rows(fake_cupy, name):
    wide = 0
    for number, sample in enumerate(samples(name)[:4]):
        arrays = cast(widened(name, sample), np.float32)
        found = run_gpu(fake_cupy, name, arrays, sample.attrs, ORDERS[number % 3])
        check(name, found, reference(name, arrays, sample.attrs), np.float32, f"sample {sample.name!r}")
        wide += max(array.shape[-1] for array in arrays if array.ndim > 1) >= WARP_COLUMNS
    assert wide, "no sample was wide"


@pytest.mark.parametrize("units", [WARP_COLUMNS - 1, WARP_COLUMNS, 40])
@pytest.mark.parametrize("sparse", [False, True])
def test_accuracy_of_wide_rows(fake_cupy, units, sparse):
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
