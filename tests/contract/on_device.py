"""One op's CUDA kernels on the fake CuPy: as `fastnn.ops` calls them, or with one's own outputs."""

import numpy as np
from op_table import rows_of, specs_of

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import eager, kernels
from fastnn.backends.gpu.eager import ArrayRef, Call
from fastnn.backends.gpu.lowering import Registers, Scratch, Table, Target
from fastnn.backends.gpu.registers import COUNT, INDEX
from fastnn.ops import registry

#: Thread orders and seeds: forward, reverse, random.
ORDERS = [(0, 1), (1, 1), (2, 7)]


def contiguous(arrays, specs):
    """Return the arrays as a caller has to hand them over."""
    return [
        np.ascontiguousarray(a, np.int32 if s.kind == "int" else None)
        for a, s in zip(arrays, specs, strict=True)
    ]


def run_gpu(fake, name, arrays, attrs, order=(0, 1)):
    """Run an op's kernels as `fastnn.ops` does for CuPy arrays; returns NumPy arrays."""
    record = registry.get(name)
    attrs = record.complete(attrs)
    specs, rows = specs_of(name, arrays), rows_of(name, arrays)
    arrays = contiguous(arrays, specs)
    fake.order[:] = order
    held = [fake.asarray(a) for a in arrays]
    found = eager.run(name, held, specs, record.shape(specs, attrs), attrs, rows)
    for one, before in zip(held, arrays, strict=True):
        assert one.get().tobytes() == before.tobytes(), "an input was changed"
    return tuple(y.get() for y in found)


def run_into(fake, name, arrays, attrs, *, outputs=None, first=1, accumulate=False):
    """Run an op's kernels as a program does, on what `outputs` hold; NaN where none are given."""
    record = registry.get(name)
    attrs = record.complete(attrs)
    specs, rows = specs_of(name, arrays), rows_of(name, arrays)
    out_specs = record.shape(specs, attrs)
    dtype = next(a.dtype for a in arrays if a.dtype.kind == "f")
    if outputs is None:
        outputs = [np.full((rows, *s.shape) if s.rows else s.shape, np.nan, dtype) for s in out_specs]
    held = [fake.asarray(a.reshape(-1)) for a in contiguous(arrays, specs)]
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


def launch_all(fake, launches, clock, strides=(1, 1)):
    """Launch one instruction's kernels as a session does; `strides` are those of a table that is gathered."""
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
            elif isinstance(argument, Table):
                argument = fake.asarray(np.array(argument.values, argument.dtype))
            elif hasattr(argument, "axis"):
                argument = strides[argument.axis]
            arguments.append(argument)
        function = compiling.function(launch.variant, launch.name)
        function.launch(launch.grid, launch.block, function.wrap(arguments))
