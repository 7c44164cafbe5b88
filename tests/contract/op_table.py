"""What the contract's tests share: the ops, their samples, tolerances, and one op run in either layout."""

import numpy as np
import pytest

from fastnn.backends.cpu import kernels
from fastnn.backends.cpu.eager import ArrayRef, Call, _words
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Target
from fastnn.backends.cpu.registers import BATCH, COUNT, FIRST, HIGH, ONE, ROWS
from fastnn.ops import registry
from fastnn.ops.dispatch import input_names
from fastnn.ops.registry import INTEGER_NAMES, PARAMETER_NAMES, Spec

DTYPES = (np.float32, np.float64)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
#: Relative and absolute tolerance of a kernel's result, for every op.
TOLERANCE = {np.float32: (2e-5, 2e-5), np.float64: (1e-12, 1e-12)}

#: Ops that compute arrays from arrays, and those that write to a program's memory.
OPS = [name for name in registry.names() if registry.get(name).outputs]
WRITERS = [name for name in registry.names() if not registry.get(name).outputs]
each_op = pytest.mark.parametrize("name", OPS)


def samples(name):
    """Samples of an op; the same at every call."""
    return registry.get(name).samples(np.random.default_rng(20))


def cast(arrays, dtype):
    """Give the arrays a float dtype; integers stay."""
    return [a.astype(dtype) if np.asarray(a).dtype.kind == "f" else np.array(a) for a in arrays]


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def names_of(name, arrays):
    """One input name for each array."""
    return input_names(registry.get(name), len(arrays))


def specs_of(name, arrays):
    """Specs of an op's inputs, by their names."""
    return [
        Spec(
            array.shape if label in PARAMETER_NAMES else array.shape[1:],
            label not in PARAMETER_NAMES,
            "int" if label in INTEGER_NAMES else "float",
        )
        for label, array in zip(names_of(name, arrays), arrays, strict=True)
    ]


def rows_of(name, arrays):
    """Rows of the inputs that have any."""
    return next(len(a) for a, s in zip(arrays, specs_of(name, arrays), strict=True) if s.rows)


def reference(name, arrays, attrs):
    """The op's float64 result on the very numbers that the kernel is given."""
    record = registry.get(name)
    with np.errstate(over="ignore"):
        return as_tuple(record.reference(*cast(arrays, np.float64), **record.complete(attrs)))


def adds_rows(name):
    """Whether the op's first output is a sum over rows, as the gradients of parameters are."""
    sample, record = samples(name)[0], registry.get(name)
    return not record.shape(specs_of(name, sample.arrays), record.complete(sample.attrs))[0].rows


#: Ops whose first output is a sum over rows; terms may cancel, so the tolerance is that of the largest.
SUMS_OVER_ROWS = [name for name in OPS if adds_rows(name)]


def check(name, found, expected, dtype, where):
    """Compare outputs with float64 references: dtype, shape, values, NaN and infinities."""
    rtol, atol = TOLERANCE[dtype]
    if name in SUMS_OVER_ROWS:
        atol *= max(1.0, float(np.abs(expected[0]).max(initial=0.0)))
    assert len(found) == len(expected), where
    for number, (y, exact) in enumerate(zip(found, expected, strict=True)):
        label = f"{where}, output {number}"
        assert isinstance(y, np.ndarray) and y.dtype == dtype, label
        assert y.shape == np.shape(exact), label
        with np.errstate(over="ignore"):
            np.testing.assert_allclose(y, np.asarray(exact).astype(dtype), rtol, atol, err_msg=label)


def run(name, arrays, dtype, *, units_major=False, outputs=None, first=1, accumulate=False, **attrs):
    """Run an op's kernels as a program would, on blocks of either layout; returns rows first.

    `outputs` that are given, rows first, are written into.
    """
    record = registry.get(name)
    fused = {key: attrs.pop(key) for key in ("activation", "activation_attrs") if key in attrs}
    attrs = {**record.complete(attrs), **fused}
    arrays = cast(arrays, dtype)
    specs, rows = specs_of(name, arrays), rows_of(name, arrays)
    arrays = [a.astype(np.int32) if s.kind == "int" else a for a, s in zip(arrays, specs, strict=True)]
    out_specs = record.shape(specs, attrs)
    if outputs is None:
        outputs = [np.full((rows, *s.shape) if s.rows else s.shape, np.nan, dtype) for s in out_specs]
    held = [turn(a, s, units_major) for a, s in zip(arrays, specs, strict=True)]
    results = [turn(a, s, units_major) for a, s in zip(outputs, out_specs, strict=True)]
    call = Call(
        name,
        tuple(ArrayRef(a.ctypes.data, s) for a, s in zip(held, specs, strict=True)),
        tuple(ArrayRef(a.ctypes.data, s) for a, s in zip(results, out_specs, strict=True)),
        attrs,
        accumulate,
    )
    registers = np.zeros(COUNT, np.int64)
    registers[[ONE, FIRST]] = 1, first
    registers[[ROWS, BATCH]] = rows
    registers[HIGH] = np.iinfo(np.int64).max
    for row in kernels.lower(call, Target(dtype, units_major)):
        words, keep = _words(row.operands, rows)
        compile_kernel(row.key, row.make, row.exact).call(words.ctypes.data, registers.ctypes.data)
        del keep
    return tuple(turn(a, s, units_major) for a, s in zip(results, out_specs, strict=True))


def turn(array, spec, units_major):
    """Copy between (rows, units) and (units, rows); what has no units or no rows is copied as it is."""
    return np.ascontiguousarray(array.T if units_major and spec.rows else array).copy()
