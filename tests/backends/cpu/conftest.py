"""Running single kernels, in either layout."""

import numpy as np
import pytest

from fastnn.backends.cpu import kernels
from fastnn.backends.cpu.eager import ArrayRef, Call, _words
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Target
from fastnn.backends.cpu.registers import BATCH, COUNT, FIRST, ONE, ROWS
from fastnn.ops import registry
from fastnn.ops.registry import Spec


def _spec(array):
    return Spec(array.shape[1:], True, "int" if array.dtype.kind == "i" else "float")


def _held(array, units_major):
    return np.ascontiguousarray(array.T if units_major and array.ndim == 2 else array)


def _run(op, arrays, dtype, units_major=False, accumulator=None, **attrs):
    """Lower `op` for arrays with rows and run it; returns the outputs, rows first.

    With `accumulator`, an array, the op adds to it in place of outputs.
    """
    record = registry.get(op)
    attrs = record.complete(attrs)
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a.astype(np.int32) for a in map(np.asarray, arrays)]
    specs = [_spec(a) for a in arrays]
    rows = len(arrays[-1])
    inputs = [_held(a, units_major) for a in arrays]
    out_specs = record.shape(specs, attrs)
    outputs = [np.full((s.size, rows) if units_major else (rows, s.size), 99.0, dtype) for s in out_specs]
    refs = [ArrayRef(a.ctypes.data, s) for a, s in zip(outputs, out_specs, strict=True)]
    if accumulator is not None:
        refs = [ArrayRef(accumulator.ctypes.data, Spec((1,), rows=False))]
    call = Call(op, tuple(map(ArrayRef, [a.ctypes.data for a in inputs], specs)), tuple(refs), attrs)
    registers = np.zeros(COUNT, np.int64)
    registers[[ONE, FIRST]] = 1
    registers[[ROWS, BATCH]] = rows
    for row in kernels.lower(call, Target(dtype, units_major)):
        words, scratch = _words(row.operands, rows)
        compile_kernel(row.key, row.make).call(words.ctypes.data, registers.ctypes.data)
        del scratch
    return [
        (a.T if units_major else a).reshape(rows, *s.shape) for a, s in zip(outputs, out_specs, strict=True)
    ]


@pytest.fixture
def run_kernel():
    """Return ``run(op, arrays, dtype, units_major=False, accumulator=None, **attrs) -> outputs``."""
    return _run
