"""Writing vector instructions by hand, where the compiler must not choose what stays in registers."""

from __future__ import annotations

import functools
import os

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils

LONG, INT, BYTE, BIT = ir.IntType(64), ir.IntType(32), ir.IntType(8), ir.IntType(1)


#: Bytes of a vector: AVX-512's.
VECTOR_BYTES = 64


@functools.cache
def has_avx512() -> bool:
    """Whether this host's compiler may use vectors of 64 bytes."""
    features = os.environ.get("NUMBA_CPU_FEATURES")
    if features is None:
        features = llvm.get_host_cpu_features().flatten()
    return "+avx512f" in features.split(",")


class VectorCode:
    """Writes vector instructions for numbers of one dtype."""

    def __init__(self, context, builder, dtype):
        self.builder = builder
        self.number = context.get_data_type(dtype.dtype)
        self.size = dtype.dtype.bitwidth // 8
        self.lanes = VECTOR_BYTES // self.size
        self.kind = ir.VectorType(self.number, self.lanes)
        self.mask = ir.VectorType(BIT, self.lanes)
        self.zero = ir.Constant(self.kind, None)
        self.suffix = f"v{self.lanes}f{8 * self.size}"

    def at(self, address, offset, kind=None):
        """Pointer to a vector (or `kind`) so many bytes from an address."""
        offset = LONG(offset) if isinstance(offset, int) else offset
        return self.builder.inttoptr(self.builder.add(address, offset), (kind or self.kind).as_pointer())

    def splat(self, value, kind):
        """A vector with the same value in each lane."""
        none = ir.Constant(kind, ir.Undefined)
        lanes = ir.Constant(ir.VectorType(INT, self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(self.builder.insert_element(none, value, INT(0)), none, lanes)

    def first(self, count):
        """Mask of the first `count` lanes: none where it is negative."""
        kind = ir.VectorType(LONG, self.lanes)
        return self.builder.icmp_signed(
            "<", ir.Constant(kind, list(range(self.lanes))), self.splat(count, kind)
        )

    def load(self, pointer):
        """Unaligned load of a vector."""
        return self.builder.load(pointer, align=self.size)

    def store(self, value, pointer):
        """Unaligned store of a vector."""
        self.builder.store(value, pointer, align=self.size)

    def masked_load(self, pointer, mask):
        """Load some lanes; the others are zero and their memory is not touched."""
        return self._call(
            f"llvm.masked.load.{self.suffix}.p0", self.kind, [pointer, INT(self.size), mask, self.zero]
        )

    def masked_store(self, value, pointer, mask):
        """Store some lanes."""
        self._call(
            f"llvm.masked.store.{self.suffix}.p0", ir.VoidType(), [value, pointer, INT(self.size), mask]
        )

    def fma(self, a, b, c):
        """Return a b + c, rounded once."""
        return self._call(f"llvm.fma.{self.suffix}", self.kind, [a, b, c])

    def prefetch(self, pointer, write: int):
        """Ask for a cache line."""
        self._call("llvm.prefetch.p0", ir.VoidType(), [pointer, INT(write), INT(3), INT(1)])

    def _call(self, name: str, result, values):
        kind = ir.FunctionType(result, [value.type for value in values])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), values)
