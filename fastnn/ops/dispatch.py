"""From a call on arrays to the backend that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, DataError, DtypeError, ShapeError
from fastnn.ops import registry
from fastnn.ops.libraries import backend, library_of
from fastnn.ops.registry import INTEGER_NAMES, PARAMETER_NAMES, Op, Spec

#: Ops called on NumPy arrays, lowered for their shapes; all are forgotten when there are so many.
MOST_LOWERED = 512
_lowered: dict[Any, tuple[Op, Any]] = {}
_PLAIN = frozenset([str, int, float, bool, type(None)])


class OpFunction:
    """An op of the table as a function on arrays.

    Parameters
    ----------
    op : Op
        The record.
    """

    def __init__(self, op: Op):
        self.op = op
        self.__name__ = op.name
        self.__doc__ = f"{op.summary}\n\nInputs: {', '.join(op.inputs)}. Attributes: {op.attrs or 'none'}."

    def __repr__(self) -> str:
        return f"<op {self.op.name}({', '.join(self.op.inputs)})>"

    def __call__(self, *arrays: Any, **attrs: Any) -> Any:
        """Compute the op; returns an array, or a tuple where the op has several outputs.

        NumPy arrays (and lists) are computed on the CPU, CuPy arrays on their GPU, and give CuPy arrays.
        """
        return EagerEmitter().emit(self.op.name, arrays, **attrs)

    def grad(self, d_output: Any, *arrays: Any, **attrs: Any) -> Any:
        """Return the gradients with respect to the inputs, given that of the (first) output.

        An input that has none (labels, say) gets None. One input: the array itself, else a tuple.
        """
        if self.op.gradient is None:
            raise ArgumentError(f"Op {self.op.name!r} has no gradient.")
        emitter = EagerEmitter()
        attrs = self.op.complete(attrs)
        inputs = check_arrays(self.op, arrays)
        outputs = emitter.emit(self.op.name, inputs, **attrs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        d_outputs = [_like(self.op, d_output, outputs[0]), *[None] * (len(outputs) - 1)]
        gradients = self.op.gradient(emitter, inputs, outputs, d_outputs, attrs)
        return gradients[0] if len(gradients) == 1 else tuple(gradients)


class EagerEmitter:
    """Runs an op at once; gradient rules write to it as they write to a graph."""

    def emit(self, op: str, inputs: Sequence[Any], **attrs: Any) -> Any:
        """Compute one op on arrays."""
        record = registry.get(op)
        key = _key(op, inputs, attrs)
        attrs = record.complete(attrs)
        known = _lowered.get(key)
        if known is not None and known[0] is record:
            arrays = [a if a.flags.c_contiguous else np.ascontiguousarray(a) for a in inputs]
            if record.check is not None:
                record.check(arrays, attrs)
            outputs = known[1](arrays)
            return outputs[0] if len(outputs) == 1 else tuple(outputs)
        if not record.outputs:
            raise ArgumentError(f"Op {op!r} writes to a program's memory, so it cannot be called on arrays.")
        arrays = check_arrays(record, inputs)
        specs = [
            Spec(
                array.shape if name in PARAMETER_NAMES else array.shape[1:],
                name not in PARAMETER_NAMES,
                "int" if name in INTEGER_NAMES else "float",
            )
            for name, array in zip(input_names(record, len(arrays)), arrays, strict=True)
        ]
        try:
            out_specs = record.shape(specs, attrs)
        except ShapeError as error:
            raise ShapeError(f"{error} (in op {op!r})") from None
        rows = _rows(record, arrays)
        if record.check is not None:
            record.check(arrays, attrs)
        xp = library_of(arrays, f"Op {op!r}")
        if (
            xp is np
            and key is not None
            and all(a.dtype == b.dtype for a, b in zip(inputs, arrays, strict=True))
        ):
            lowered = backend(xp).lowered(op, arrays, specs, out_specs, attrs, rows)
            if len(_lowered) >= MOST_LOWERED:
                _lowered.clear()
            _lowered[key] = record, lowered
            outputs = lowered(arrays)
        else:
            outputs = backend(xp).run(op, arrays, specs, out_specs, attrs, rows)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)


def _key(op: str, inputs: Sequence[Any], attrs: dict[str, Any]) -> Any:
    """Return what the work before the kernels depends on; None where that is not plain to see."""
    if not all(type(array) is np.ndarray for array in inputs):
        return None
    shapes = tuple([(array.dtype, array.shape) for array in inputs])
    if not attrs:
        return op, shapes
    if not all(type(value) in _PLAIN for value in attrs.values()):
        return None
    # (repr, because 1, 1.0 and True are equal, and 0.0 and -0.0)
    return op, shapes, tuple([(name, repr(value)) for name, value in attrs.items()])


def input_names(op: Op, count: int) -> list[str]:
    """Return one name for each of `count` inputs, a variadic op's last one repeated."""
    names = list(op.inputs)
    if op.variadic:
        names[-1] = names[-1].rstrip("*")
        names += [names[-1]] * (count - len(names))
    return names[:count]


def check_arrays(op: Op, arrays: Sequence[Any]) -> list[Any]:
    """Turn an op's inputs into contiguous arrays of one float dtype (integers for index inputs).

    Arrays on a GPU stay there.
    """
    least = len(op.inputs) - op.optional
    if len(arrays) < least or (len(arrays) > len(op.inputs) and not op.variadic):
        raise ArgumentError(f"Op {op.name!r} takes {', '.join(op.inputs)}. Received: {len(arrays)} arrays.")
    xp = library_of(arrays, f"Op {op.name!r}")
    named = list(zip(input_names(op, len(arrays)), map(xp.asarray, arrays), strict=True))
    floats = [array.dtype for name, array in named if name not in INTEGER_NAMES]
    for name, array in named:
        _check_dtype(op, name, array)
    dtype = np.float32 if all(d == np.float32 for d in floats) else np.float64
    return [_contiguous(xp, array, np.int32 if name in INTEGER_NAMES else dtype) for name, array in named]


def _contiguous(xp: Any, array: Any, dtype: Any) -> Any:
    """Return an array of a dtype, C-contiguous; ``ascontiguousarray`` alone gives a scalar an axis."""
    return xp.ascontiguousarray(array.astype(dtype, copy=False)).reshape(array.shape)


def _check_dtype(op: Op, name: str, array: np.ndarray) -> None:
    integers = name in INTEGER_NAMES
    if array.dtype.kind not in ("iub" if integers else "fiub") or array.dtype in (np.float16, np.longdouble):
        expected = "integers" if integers else "float32 or float64 numbers"
        raise DtypeError(f"Op {op.name!r} needs {expected} for {name!r}. Received: dtype {array.dtype}.")
    if integers and array.size and not -(2**31) <= int(array.min()) <= int(array.max()) < 2**31:
        raise DataError(
            f"Op {op.name!r} takes 32-bit integers for {name!r}. Received: {array.min()} to {array.max()}."
        )


def _rows(op: Op, arrays: Sequence[np.ndarray]) -> int:
    counts = {
        array.shape[0]
        for name, array in zip(input_names(op, len(arrays)), arrays, strict=True)
        if name not in PARAMETER_NAMES and array.ndim
    }
    if len(counts) > 1:
        raise ShapeError(
            f"The inputs of op {op.name!r} must have equally many rows. Received: {sorted(counts)}."
        )
    return counts.pop() if counts else 1


def _like(op: Op, array: Any, other: Any) -> Any:
    xp = library_of([array, other], f"Op {op.name!r}")
    array = xp.asarray(array)
    _check_dtype(op, "d_output", array)
    if array.shape != other.shape:
        raise ShapeError(
            f"The gradient must have the output's shape: expected {other.shape}. Received: {array.shape}."
        )
    return _contiguous(xp, array, other.dtype)
