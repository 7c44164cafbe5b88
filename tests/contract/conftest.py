"""Kernels of single instructions on the fake CuPy."""

import numpy as np
import pytest
from op_table import rows_of, specs_of

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import kernels
from fastnn.backends.gpu.eager import ArrayRef, Call
from fastnn.backends.gpu.lowering import Registers, Scratch, Target
from fastnn.backends.gpu.registers import COUNT, INDEX
from fastnn.ops import registry


def _run(fake, name, arrays, attrs, *, outputs=None, first=1, accumulate=False):
    record = registry.get(name)
    attrs = record.complete(attrs)
    specs, rows = specs_of(name, arrays), rows_of(name, arrays)
    out_specs = record.shape(specs, attrs)
    dtype = next(a.dtype for a in arrays if a.dtype.kind == "f")
    if outputs is None:
        outputs = [np.full((rows, *s.shape) if s.rows else s.shape, np.nan, dtype) for s in out_specs]
    held = [
        fake.asarray(np.ascontiguousarray(a, np.int32 if s.kind == "int" else None).reshape(-1))
        for a, s in zip(arrays, specs, strict=True)
    ]
    results = [fake.asarray(a.reshape(-1)) for a in outputs]
    call = Call(
        name,
        tuple(ArrayRef(a, s) for a, s in zip(held, specs, strict=True)),
        tuple(ArrayRef(a, s) for a, s in zip(results, out_specs, strict=True)),
        attrs,
        accumulate,
    )
    clock = np.zeros(COUNT, np.int64)
    clock[[INDEX["ROWS"], INDEX["BATCH"], INDEX["CHUNK"]]] = rows
    clock[INDEX["FIRST"]] = first
    launch_all(fake, kernels.lower(call, Target(dtype.name, max(rows, 1))), fake.asarray(clock))
    return tuple(a.get().reshape(b.shape) for a, b in zip(results, outputs, strict=True))


def launch_all(fake, launches, clock):
    """Launch one instruction's kernels as a session does."""
    scratches = {}
    for launch in launches:
        arguments = []
        for argument in launch.arguments:
            if isinstance(argument, Scratch) and argument not in scratches:
                scratches[argument] = fake.empty(max(argument.bytes, 1), np.uint8).view(argument.dtype)
            if isinstance(argument, ArrayRef):
                argument = argument.array
            elif isinstance(argument, Registers):
                argument = clock
            elif isinstance(argument, Scratch):
                argument = scratches[argument]
            arguments.append(argument)
        function = compiling.function(launch.variant, launch.name)
        function.launch(launch.grid, launch.block, function.wrap(arguments))


@pytest.fixture
def launched():
    """Run one op's kernels on the fake device, with outputs and registers of one's own."""
    return _run
