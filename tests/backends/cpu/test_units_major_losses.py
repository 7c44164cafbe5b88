"""Loss kernels on ``(units, rows)`` blocks, which the array API does not reach, and how they are compiled."""

import re

import numpy as np
import pytest

from fastnn.backends.cpu import jit, kernels
from fastnn.backends.cpu.losses import TURNED
from fastnn.backends.cpu.lowering import Target
from fastnn.ops import registry
from fastnn.ops.losses import LOSSES
from fastnn.ops.registry import Spec
from fastnn.program import Instruction, Ref

# Units-major blocks are narrow; the "wide" sample stays to cross any limit that the kernels may have.
COMMON = (
    "mean_squared_error",
    "binary_crossentropy",
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
)


def _samples(op):
    rng = np.random.default_rng(3)
    return [s for s in registry.get(op).samples(rng) if all(a.ndim <= 2 for a in s.arrays)]


def _check(run_kernel, op, dtype, rtol):
    record = registry.get(op)
    for sample in _samples(op):
        arrays = [np.asarray(a, dtype) if a.dtype.kind == "f" else a for a in sample.arrays]
        exact = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
        expected = record.reference(*exact, **record.complete(sample.attrs))
        expected = expected if isinstance(expected, tuple) else (expected,)
        before = [a.copy() for a in arrays]
        got = run_kernel(op, arrays, dtype, units_major=True, **sample.attrs)
        for value, wanted in zip(got, expected, strict=True):
            np.testing.assert_allclose(value, wanted, rtol, rtol, err_msg=f"{op}, {sample.name}")
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", [*LOSSES, "activity_penalty"])
def test_units_major_loss_matches_reference(run_kernel, name):
    _check(run_kernel, name, np.float64, 1e-12)
    _check(run_kernel, f"{name}_grad", np.float64, 1e-12)


@pytest.mark.parametrize("name", COMMON)
def test_units_major_loss_matches_reference_in_float32(run_kernel, name):
    _check(run_kernel, f"{name}_grad", np.float32, 2e-5)


@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
@pytest.mark.parametrize("columns", [2, TURNED, TURNED + 1])
@pytest.mark.parametrize("rows", [63, 64, 65, 129])
def test_layouts_agree(run_kernel, name, columns, rows):
    """Blocks that are turned in chunks, those taken by rows, and ``(units, rows)`` give the same."""
    rng = np.random.default_rng(rows)
    labels = rng.integers(0, columns, (rows, 1)).astype(np.int32)
    target = labels if name.startswith("sparse") else np.eye(columns)[labels[:, 0]]
    arrays = target, rng.standard_normal((rows, columns)), rng.random(rows)
    attrs = {"from_logits": True, "mean": True}
    by_rows = run_kernel(f"{name}_grad", arrays, np.float64, **attrs)
    by_units = run_kernel(f"{name}_grad", arrays, np.float64, units_major=True, **attrs)
    for a, b in zip(by_rows, by_units, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-15)


def test_label_out_of_range_reads_no_other_memory(run_kernel):
    """Labels are checked at the door; a kernel given a wrong one stays within its arrays all the same."""
    labels = np.array([[2**31 - 1], [-5], [1]], np.int32)
    for from_logits in (False, True):
        for columns in (3, TURNED + 1):
            logits = np.full((3, columns), 0.5)
            gradient, rows = run_kernel(
                "sparse_categorical_crossentropy_grad", (labels, logits), np.float64, from_logits=from_logits
            )
            assert np.isfinite(rows).all() and np.isfinite(gradient).all()


def _fresh_kernel(op, columns, **attrs):
    block = Ref("arena", 0, Spec((columns,)))
    attrs = registry.get(op).complete(attrs)
    instruction = Instruction(op, (block, block), (block, Ref("arena", 0, Spec(()))), attrs)
    (row,) = kernels.lower(instruction, Target(np.float32, units_major=True))
    return jit.Kernel(f"fresh {row.key}", row.make)


@pytest.mark.parametrize(
    ("op", "columns", "attrs"),
    [
        ("binary_crossentropy_grad", 1, {"from_logits": True}),
        ("binary_crossentropy_grad", 1, {}),
        ("mean_squared_error_grad", 1, {}),
        ("categorical_crossentropy_grad", 3, {"from_logits": True}),
    ],
)
def test_hot_loss_kernels_are_vectorised(monkeypatch, op, columns, attrs):
    """Multiply-adds or products on packed numbers, and no call of a scalar function."""
    monkeypatch.setattr(jit, "cache_folder", lambda: None)  # a kernel from the cache has no assembly to show
    assembly = _fresh_kernel(op, columns, **attrs).assembly().lower()
    packed = ("mulps", "fmadd132ps", "fmadd213ps", "fmadd231ps", "fmul\tv", "fmla\tv", "fmul.4s", "fmla.4s")
    assert any(name in assembly for name in packed), assembly[:2000]
    assert not re.search(r"\b(exp|expm1|log|log1p|tanh)f?\b", assembly), op
