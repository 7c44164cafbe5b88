"""The streaming metric kernels add up to what ``fastnn.metrics`` computes from whole arrays."""

import numpy as np
import pytest

from fastnn import metrics
from fastnn.backends.cpu import kernels
from fastnn.backends.cpu.eager import ArrayRef, Call, _words
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Target
from fastnn.backends.cpu.registers import BATCH, COUNT, ONE, ROWS
from fastnn.ops.registry import Spec

CLASSES = {
    "binary_accuracy": metrics.BinaryAccuracy,
    "categorical_accuracy": metrics.CategoricalAccuracy,
    "sparse_categorical_accuracy": metrics.SparseCategoricalAccuracy,
    "mean_squared_error": metrics.MeanSquaredError,
    "mean_absolute_error": metrics.MeanAbsoluteError,
}
DTYPES = (np.float32, np.float64)


def streamed(name, arrays, units_major, start=0.0):
    """Run the kernel; return the accumulator."""
    rows = len(arrays[1])
    held = [np.ascontiguousarray(a.T) if units_major and a.ndim == 2 else np.ascontiguousarray(a) for a in arrays]
    total = np.array([start])
    refs = [
        ArrayRef(h.ctypes.data, Spec(a.shape[1:], True, "int" if a.dtype.kind == "i" else "float"))
        for h, a in zip(held, arrays, strict=True)
    ]
    call = Call(f"metric_{name}", tuple(refs), (ArrayRef(total.ctypes.data, Spec((1,), False)),), {"accumulator": 0})
    registers = np.zeros(COUNT, np.int64)
    registers[[ONE]] = 1
    registers[[ROWS, BATCH]] = rows
    for row in kernels.lower(call, Target(arrays[1].dtype.type, units_major)):
        words, keep = _words(row.operands, rows)
        compile_kernel(row.key, row.make).call(words.ctypes.data, registers.ctypes.data)
        del keep
    return total[0]


def data(name, rows, columns, dtype):
    rng = np.random.default_rng(rows * 100 + columns)
    prediction = np.round(rng.random((rows, columns)) * 4) / 4  # many ties, and values of exactly 0.5
    if name == "sparse_categorical_accuracy":
        return rng.integers(0, columns, (rows, 1)).astype(np.int32), prediction.astype(dtype)
    if name == "categorical_accuracy":
        return np.eye(columns, dtype=dtype)[rng.integers(0, columns, rows)], prediction.astype(dtype)
    return (rng.random((rows, columns)) < 0.5).astype(dtype), prediction.astype(dtype)


@pytest.mark.parametrize("units_major", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CLASSES)
def test_metric_kernel_adds_the_rows_values(name, dtype, units_major):
    for rows, columns in ((1, 2), (7, 2), (33, 5), (200, 11), (300, 1)):
        if columns == 1 and "categorical" in name:
            continue
        target, prediction = data(name, rows, columns, dtype)
        expected = CLASSES[name]()(target, prediction) * rows
        assert streamed(name, (target, prediction), units_major, 3.0) == pytest.approx(expected + 3.0, rel=1e-12)
        weight = np.random.default_rng(1).integers(0, 4, rows).astype(dtype)
        values = [CLASSES[name]()(target[i : i + 1], prediction[i : i + 1]) for i in range(rows)]
        got = streamed(name, (target, prediction, weight), units_major)
        assert got == pytest.approx(float(np.dot(values, weight)), rel=1e-12)


@pytest.mark.parametrize("units_major", [False, True])
@pytest.mark.parametrize("name", CLASSES)
def test_nan_prediction_shows_unless_its_row_has_no_weight(name, units_major):
    target, prediction = data(name, 20, 4, np.float64)
    for column in range(4):
        broken = prediction.copy()
        broken[7, column] = np.nan
        assert np.isnan(streamed(name, (target, broken), units_major))
        weight = np.ones(20)
        assert np.isnan(streamed(name, (target, broken, weight), units_major))
        weight[7] = 0.0
        assert np.isfinite(streamed(name, (target, broken, weight), units_major))


@pytest.mark.parametrize("name", CLASSES)
def test_no_rows_add_nothing(name):
    target, prediction = data(name, 5, 3, np.float32)
    assert streamed(name, (target[:0], prediction[:0]), False, 2.5) == 2.5
