"""The streaming metric kernels add up to what ``fastnn.metrics`` computes from whole arrays."""

import numpy as np
import pytest

from fastnn import metrics

CLASSES = {
    "binary_accuracy": metrics.BinaryAccuracy,
    "categorical_accuracy": metrics.CategoricalAccuracy,
    "sparse_categorical_accuracy": metrics.SparseCategoricalAccuracy,
    "mean_squared_error": metrics.MeanSquaredError,
    "mean_absolute_error": metrics.MeanAbsoluteError,
}
LAYOUTS = pytest.mark.parametrize("units_major", [False, True])


@pytest.fixture
def streamed(run_kernel):
    def run(name, arrays, units_major, start=0.0):
        total = np.array([start])
        run_kernel(f"metric_{name}", arrays, arrays[1].dtype.type, units_major, accumulator=total)
        return total[0]

    return run


def data(name, rows, columns, dtype):
    rng = np.random.default_rng(rows * 100 + columns)
    prediction = np.round(rng.random((rows, columns)) * 4) / 4  # many ties, and values of exactly 0.5
    if name == "sparse_categorical_accuracy":
        return rng.integers(0, columns, (rows, 1)).astype(np.int32), prediction.astype(dtype)
    if name == "categorical_accuracy":
        return np.eye(columns, dtype=dtype)[rng.integers(0, columns, rows)], prediction.astype(dtype)
    return (rng.random((rows, columns)) < 0.5).astype(dtype), prediction.astype(dtype)


@LAYOUTS
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CLASSES)
def test_metric_kernel_adds_the_rows_values(streamed, name, dtype, units_major):
    for rows, columns in ((1, 2), (7, 2), (33, 5), (200, 11), (300, 1)):
        if columns == 1 and "categorical" in name:
            continue
        target, prediction = data(name, rows, columns, dtype)
        expected = CLASSES[name]()(target, prediction) * rows
        got = streamed(name, (target, prediction), units_major, start=3.0)
        assert got == pytest.approx(expected + 3.0, rel=1e-12)
        weight = np.random.default_rng(1).integers(0, 4, rows).astype(dtype)
        values = [CLASSES[name]()(target[i : i + 1], prediction[i : i + 1]) for i in range(rows)]
        got = streamed(name, (target, prediction, weight), units_major)
        assert got == pytest.approx(float(np.dot(values, weight)), rel=1e-12)


@LAYOUTS
@pytest.mark.parametrize("name", CLASSES)
def test_nan_prediction_shows_unless_its_row_has_no_weight(streamed, name, units_major):
    target, prediction = data(name, 20, 4, np.float64)
    for column in range(4):
        broken = prediction.copy()
        broken[7, column] = np.nan
        weight = np.ones(20)
        assert np.isnan(streamed(name, (target, broken), units_major))
        assert np.isnan(streamed(name, (target, broken, weight), units_major))
        weight[7] = 0.0
        assert np.isfinite(streamed(name, (target, broken, weight), units_major))


@pytest.mark.parametrize("name", CLASSES)
def test_no_rows_add_nothing(streamed, name):
    target, prediction = data(name, 5, 3, np.float32)
    assert streamed(name, (target[:0], prediction[:0]), False, start=2.5) == 2.5
