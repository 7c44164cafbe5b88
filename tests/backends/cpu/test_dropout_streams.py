"""The random kernels draw the numbers of ``fastnn.random``, whatever the block, layout and dtype."""

import platform
import re
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from fastnn import ops
from fastnn.backends.cpu import dropout, jit, kernels
from fastnn.backends.cpu.eager import ArrayRef, Call, _words
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Target
from fastnn.backends.cpu.registers import COUNT, FIRST, ONE, ROW0, ROWS, SEED, STEP
from fastnn.ops import registry
from fastnn.ops.registry import Spec
from fastnn.random import normal, uniform16

SEED_VALUE, STEP_VALUE, STREAM = 0x7EDCBA9876543210, 2**33 + 17, 11
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
#: (first row, rows, units): whole chunks, parts of one, blocks that start and end inside a chunk.
BLOCKS = [
    (0, 32, 64),
    (0, 1, 1),
    (3, 7, 45),
    (16, 32, 64),
    (7, 16, 96),
    (1001, 33, 3),
    (5, 300, 12),
    (2, 0, 5),
]


def run_block(op, x, dtype, *, row0=0, units_major=False, seed=SEED_VALUE, step=STEP_VALUE, **attrs):
    """Run an op's kernel on the block `x` that starts at row `row0`; returns outputs as (rows, units)."""
    record = registry.get(op)
    attrs = record.complete({"seed_stream": STREAM, **attrs})
    rows, units = x.shape
    spec = Spec((units,))
    inputs = np.ascontiguousarray(x.T if units_major else x, dtype)
    outputs = [np.full(inputs.shape, np.nan, dtype) for _ in record.shape([spec], attrs)]
    call = Call(
        op,
        (ArrayRef(inputs.ctypes.data, spec),),
        tuple(ArrayRef(out.ctypes.data, spec) for out in outputs),
        attrs,
    )
    registers = np.zeros(COUNT, np.int64)
    registers[[ONE, FIRST]] = 1
    registers[[ROWS, ROW0, SEED, STEP]] = rows, row0, seed, step
    for row in kernels.lower(call, Target(dtype, units_major)):
        words, _ = _words(row.operands, rows)
        compile_kernel(row.key, row.make).call(words.ctypes.data, registers.ctypes.data)
    return [out.T if units_major else out for out in outputs]


def expected_mask(row0, rows, units, rate, dtype):
    numbers = uniform16(SEED_VALUE, STREAM, STEP_VALUE, (row0 + rows) * units).astype(int)
    keep = numbers[row0 * units :].reshape(rows, units) >= round(rate * 65536)
    return np.where(keep, dtype(1.0 / (1.0 - rate)), dtype(0))


@DTYPES
@pytest.mark.parametrize("units_major", [False, True])
@pytest.mark.parametrize("rate", [0.5, 0.1])
@pytest.mark.parametrize("row0,rows,units", BLOCKS)
def test_dropout_mask_is_that_of_the_reference_bit_for_bit(row0, rows, units, rate, units_major, dtype):
    x = np.random.default_rng(0).standard_normal((rows, units)).astype(dtype)
    y, mask = run_block("dropout", x, dtype, row0=row0, units_major=units_major, rate=rate)
    np.testing.assert_array_equal(mask, expected_mask(row0, rows, units, rate, dtype))
    np.testing.assert_array_equal(y, x * mask)


@DTYPES
def test_blocks_together_are_the_whole_batch(dtype):
    x = np.random.default_rng(1).standard_normal((100, 45)).astype(dtype)
    whole = run_block("dropout", x, dtype, rate=0.3)[1]
    for cuts in ([0, 1, 34, 35, 100], [0, 48, 96, 100]):
        blocks = [run_block("dropout", x[a:b], dtype, row0=a, rate=0.3)[1] for a, b in pairwise(cuts)]
        np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize(
    "change", [{"seed": SEED_VALUE ^ 2**40}, {"step": STEP_VALUE + 2**32}, {"seed_stream": 12}]
)
def test_seed_step_and_stream_each_change_the_mask(change):
    x = np.ones((16, 64), np.float32)
    assert (
        run_block("dropout", x, np.float32)[1] != run_block("dropout", x, np.float32, **change)[1]
    ).mean() > 0.4


def test_attributes_are_added_to_the_registers():
    x = np.ones((5, 7), np.float32)
    expected = run_block("dropout", x, np.float32, seed=2**62, step=9)[1]
    eager = ops.dropout(x, rate=0.5, seed_stream=STREAM, seed=2**62, step=9)[1]
    np.testing.assert_array_equal(eager, expected)


def test_extreme_rates_and_dropped_nan():
    x = np.full((40, 20), np.nan, np.float32)
    y, mask = run_block("dropout", x, np.float32, rate=0.5)
    assert np.isnan(y).all() and set(np.unique(mask)) == {0.0, 2.0}
    x = np.ones((40, 20), np.float32)
    y, mask = run_block("dropout", x, np.float32, rate=0.0)
    np.testing.assert_array_equal(y, x)
    assert not run_block("dropout", x, np.float32, rate=1.0 - 1e-9)[1].any()


@DTYPES
@pytest.mark.parametrize("units_major", [False, True])
def test_alpha_dropout_uses_the_same_stream_and_keeps_mean_and_variance(units_major, dtype):
    x = np.random.default_rng(2).standard_normal((2000, 12)).astype(dtype)
    y, mask = run_block("alpha_dropout", x, dtype, row0=3, units_major=units_major, rate=0.2)
    np.testing.assert_array_equal(mask > 0, expected_mask(3, 2000, 12, 0.2, dtype) > 0)
    assert abs(y.mean()) < 0.03 and abs(y.var() - 1.0) < 0.05
    assert len(np.unique(y[mask == 0])) == 1


@DTYPES
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("row0,rows,units", [block for block in BLOCKS if block[2] > 1])
def test_dropout_in_the_pass_of_bias_and_activation_draws_the_same(row0, rows, units, bias, dtype):
    rng = np.random.default_rng(0)
    x, b = rng.standard_normal((rows, units)).astype(dtype), rng.standard_normal(units).astype(dtype)
    y = x.copy()
    row, weights = Spec((units,)), ArrayRef(0, Spec((units, units), rows=False))
    attrs = {
        "activation": "relu",
        "activation_attrs": registry.get("relu").complete({}),
        "dropout": registry.get("dropout").complete({"seed_stream": STREAM, "rate": 0.3}),
    }
    shift = (ArrayRef(b.ctypes.data, Spec((units,), rows=False)),) if bias else ()
    call = Call("dense", (ArrayRef(0, row), weights, *shift), (ArrayRef(y.ctypes.data, row),), attrs)
    registers = np.zeros(COUNT, np.int64)
    registers[[ONE, FIRST]] = 1
    registers[[ROWS, ROW0, SEED, STEP]] = rows, row0, SEED_VALUE, STEP_VALUE
    *_, after = kernels.lower(call, Target(dtype, False))
    words, _kept = _words(after.operands, rows)
    compile_kernel(after.key, after.make).call(words.ctypes.data, registers.ctypes.data)
    expected = np.maximum(x + b if bias else x, 0) * expected_mask(row0, rows, units, 0.3, dtype)
    np.testing.assert_array_equal(y, expected)


@DTYPES
@pytest.mark.parametrize("row0,rows,units", [*BLOCKS, (0, 2000, 64)])
def test_gaussian_noise_is_that_of_the_reference(row0, rows, units, dtype):
    x = np.random.default_rng(3).standard_normal((rows, units)).astype(dtype)
    (y,) = run_block("gaussian_noise", x, dtype, row0=row0, stddev=1.0)
    expected = normal(SEED_VALUE, STREAM, STEP_VALUE, (row0 + rows) * units)[row0 * units :].reshape(
        rows, units
    )
    tolerance = 2e-6 if dtype == np.float32 else 1e-12
    np.testing.assert_allclose(y, x + expected, rtol=0, atol=tolerance)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
@pytest.mark.parametrize("units_major", [False, True])
def test_philox_runs_in_the_vector_lanes(units_major, monkeypatch):
    monkeypatch.setattr(jit, "cache_folder", lambda: None)  # a kernel from the cache has no assembly
    make = partial(dropout.dropout, np.float32, dropout.dropped, units_major)
    assembly = jit.Kernel(f"test of the assembly ({units_major})", make).assembly()
    packed = re.findall(r"vpmuludq\s.*%[yz]mm", assembly)
    assert len(packed) >= 12  # 7 rounds of 2 products, two of them constant
    if not units_major:
        assert re.search(r"vmulps\s.*%[yz]mm", assembly)
