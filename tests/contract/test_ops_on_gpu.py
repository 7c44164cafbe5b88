"""The table's promises, kept by the CUDA kernels, run through the GPU backend's launch code on the fake CuPy.

Every memory access is checked (bounds, races, shared memory that nothing has written, writes to inputs), in
three orders of the threads: an order may not change a bit.
"""

import os

import numpy as np
import pytest
from on_device import ORDERS, run_gpu, run_into
from op_table import (
    DTYPES,
    OPS,
    SUMS_OVER_ROWS,
    TOLERANCE,
    as_tuple,
    cast,
    check,
    each_dtype,
    each_op,
    names_of,
    reference,
    rows_of,
    samples,
)

from fastnn import ops
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import kernels
from fastnn.backends.gpu import variants as enumerated
from fastnn.ops import registry
from fastnn.ops.losses import LOSSES

#: Ops that run on the user's data, as gradients do not.
FORWARD = [name for name in OPS if registry.get(name).gradient is not None]
#: Most numbers of a sample: threads are fibers here. FASTNN_LADDER=full runs every sample below it.
LARGEST = 20_000
FULL = os.environ.get("FASTNN_LADDER") == "full"
#: How many samples of an op are run otherwise, by dtype: the first, the last and some between.
SAMPLES = {np.float32: 6, np.float64: 2}


def small(name, dtype=np.float32):
    """Return samples of an op that fibers run in time."""
    largest = LARGEST if FULL else LARGEST // 10
    found = [s for s in samples(name) if sum(np.asarray(a).size for a in s.arrays) <= largest]
    assert len(found) >= 2
    return found if FULL else spread(found, SAMPLES[dtype])


def spread(items, count):
    """Return at most so many, evenly over the list."""
    chosen = np.unique(np.linspace(0, len(items) - 1, count).round().astype(int))
    return [items[number] for number in chosen]


@each_op
def test_every_op_has_cuda_kernels(name):
    assert kernels.has_lowering(name)


@each_dtype
@each_op
def test_result_is_the_reference_and_the_cpus(fake_cupy, name, dtype):
    for number, sample in enumerate(small(name, dtype)):
        arrays = cast(sample.arrays, dtype)
        found = run_gpu(fake_cupy, name, arrays, sample.attrs, ORDERS[number % 3])
        where = f"sample {sample.name!r}"
        check(name, found, reference(name, arrays, sample.attrs), dtype, where)
        check(name, found, as_tuple(getattr(ops, name)(*arrays, **sample.attrs)), dtype, f"{where}, CPU")


@each_op
def test_the_order_of_threads_changes_no_bit(fake_cupy, name):
    sample = max(small(name), key=lambda s: rows_of(name, s.arrays))
    arrays = cast(sample.arrays, np.float32)
    results = [
        [y.tobytes() for y in run_gpu(fake_cupy, name, arrays, sample.attrs, order)] for order in ORDERS
    ]
    assert results[0] == results[1] == results[2]


def with_one_number(name, value, skip=()):
    """For every input in turn: where, and the arrays of a sample with one number replaced."""
    rng = np.random.default_rng(4)
    sample = next(s for s in samples(name) if s.differentiable and rows_of(name, s.arrays) > 1)
    for position, array in enumerate(sample.arrays):
        label = names_of(name, sample.arrays)[position]
        if array.dtype.kind == "f" and label not in skip:
            changed = [np.array(a) for a in sample.arrays]
            changed[position].flat[rng.integers(array.size)] = value
            yield f"{value} in {label!r}", sample.attrs, cast(changed, np.float32)


@pytest.mark.parametrize("name", FORWARD)
def test_nan_and_infinities_go_where_the_reference_says(fake_cupy, name):
    for value in (np.nan, np.inf, -np.inf) if FULL else (np.nan, -np.inf):
        # Inputs that are never infinite: training refuses such data.
        skip = () if np.isnan(value) else ("target", "mean", "variance")
        for where, attrs, arrays in with_one_number(name, value, skip):
            found = run_gpu(fake_cupy, name, arrays, attrs)
            with np.errstate(all="ignore"):
                expected = reference(name, arrays, attrs)
            tests = [np.isnan] if np.isnan(value) else [np.isnan, np.isposinf, np.isneginf]
            for y, exact in zip(found, expected, strict=True):
                for test in [np.isfinite] if name in LOSSES else tests:
                    np.testing.assert_array_equal(test(y), test(exact), where)


@pytest.mark.parametrize("name", SUMS_OVER_ROWS)
def test_sums_over_rows_overwrite_first_then_add(fake_cupy, name):
    sample = max(small(name), key=lambda s: rows_of(name, s.arrays))
    arrays = cast(sample.arrays, np.float32)
    once, *rest = reference(name, arrays, sample.attrs)
    outputs = None
    for number, options in enumerate(({}, {"first": 0}, {"accumulate": True}), start=1):
        outputs = run_into(fake_cupy, name, arrays, sample.attrs, outputs=outputs, **options)
        check(name, outputs, (number * np.asarray(once), *rest), np.float32, f"{sample.name!r}, {options}")


def test_tolerances_are_those_of_the_cpu():
    assert set(TOLERANCE) == set(DTYPES) and TOLERANCE[np.float32] == (2e-5, 2e-5)


def test_all_that_ops_request_is_enumerated(fake_cupy, monkeypatch):
    requested = set()
    monkeypatch.setattr(compiling, "function", lambda variant, name: requested.add(variant) or Nothing())
    for name in OPS:
        for sample in small(name):
            run_gpu(fake_cupy, name, cast(sample.arrays, np.float32), sample.attrs)
    assert requested <= set(enumerated.variants(("float32",)))


class Nothing:
    """A kernel that is not launched."""

    def wrap(self, arguments):
        return arguments

    def launch(self, *arguments):
        pass
