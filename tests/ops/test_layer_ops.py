"""The layers' ops: against their references, central differences, PyTorch, and in both layouts."""

import numpy as np
import pytest

from fastnn import ops
from fastnn.backends.cpu import kernels
from fastnn.backends.cpu.eager import ArrayRef, Call, _words
from fastnn.backends.cpu.jit import compile_kernel
from fastnn.backends.cpu.lowering import Target
from fastnn.backends.cpu.registers import COUNT, FIRST, ONE, ROWS
from fastnn.errors import ArgumentError, ShapeError
from fastnn.graph.plan import UNITS_MAJOR_OPS, WHOLE_BATCH_OPS
from fastnn.ops import registry
from fastnn.ops.registry import INTEGER_NAMES, PARAMETER_NAMES, Spec

OPS = [
    "add", "subtract", "multiply", "maximum", "minimum", "maximum_grad", "minimum_grad", "scale",
    "concatenate", "slice", "slice_grad", "reshape", "reduce_sum", "reduce_mean", "reduce_max",
    "reduce_min", "reduce_sum_grad", "reduce_mean_grad", "reduce_extreme_grad", "sum_rows", "embedding",
    "embedding_grad", "dropout", "alpha_dropout", "gaussian_noise", "layer_norm", "layer_norm_dx",
    "layer_norm_dgamma", "batch_norm_train", "batch_norm_infer", "batch_norm_dx", "batch_norm_dgamma",
    "scale_units", "standardize", "standardize_grad",
]  # fmt: skip
DIFFERENTIABLE = [name for name in OPS if registry.get(name).gradient is not None]
GRADIENTS_OF_PARAMETERS = ["sum_rows", "embedding_grad", "layer_norm_dgamma", "batch_norm_dgamma"]
BOTH_LAYOUTS = sorted(set(OPS) & UNITS_MAJOR_OPS)
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def samples(name):
    return registry.get(name).samples(np.random.default_rng(0))


def cast(arrays, dtype):
    return [array.astype(dtype, copy=False) if array.dtype.kind == "f" else array for array in arrays]


def as_tuple(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def check(found, expected, dtype):
    for y, y_expected in zip(as_tuple(found), as_tuple(expected), strict=True):
        assert y.dtype == dtype and y.shape == np.shape(y_expected)
        np.testing.assert_allclose(y, y_expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def run(op, arrays, dtype, *, units_major=False, accumulate=False, first=1, outputs=None, rows=None, **attrs):
    """Run an op's kernels as a program would; `outputs` given are written into."""
    record = registry.get(op)
    attrs = record.complete(attrs)
    names = [name.rstrip("*") for name in record.inputs]
    names += names[-1:] * (len(arrays) - len(names))
    arrays = [np.ascontiguousarray(array) for array in cast(arrays, dtype)]
    specs = [
        Spec(
            array.shape if name in PARAMETER_NAMES else array.shape[1:],
            name not in PARAMETER_NAMES,
            "int" if name in INTEGER_NAMES else "float",
        )
        for name, array in zip(names, arrays, strict=False)
    ]
    out_specs = record.shape(specs, attrs)
    rows = arrays[0].shape[0] if rows is None else rows
    if outputs is None:
        outputs = [np.empty((rows, *s.shape) if s.rows else s.shape, dtype) for s in out_specs]
    if units_major:
        arrays = [np.ascontiguousarray(a.T) if s.rows else a for a, s in zip(arrays, specs, strict=True)]
        outputs = [
            np.empty(a.shape[::-1], dtype) if s.rows else a for a, s in zip(outputs, out_specs, strict=True)
        ]
    call = Call(
        op,
        tuple(ArrayRef(a.ctypes.data, s) for a, s in zip(arrays, specs, strict=True)),
        tuple(ArrayRef(a.ctypes.data, s) for a, s in zip(outputs, out_specs, strict=True)),
        attrs,
        accumulate,
    )
    registers = np.zeros(COUNT, np.int64)
    registers[[ONE, FIRST, ROWS]] = 1, first, rows
    for row in kernels.lower(call, Target(dtype, units_major)):
        words, keep = _words(row.operands, rows)
        compile_kernel(row.key, row.make).call(words.ctypes.data, registers.ctypes.data)
        del keep
    if units_major:
        outputs = [a.T if s.rows else a for a, s in zip(outputs, out_specs, strict=True)]
    return outputs


@DTYPES
@pytest.mark.parametrize("name", OPS)
def test_forward_is_the_reference(name, dtype):
    op = registry.get(name)
    for sample in samples(name):
        arrays = cast(sample.arrays, dtype)
        before = [array.copy() for array in arrays]
        found = getattr(ops, name)(*arrays, **sample.attrs)
        exact = cast(arrays, np.float64)
        check(found, op.reference(*exact, **op.complete(sample.attrs)), dtype)
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("name", OPS)
def test_strided_and_read_only_inputs(name):
    sample = next(s for s in samples(name) if all(a.size > 1 for a in s.arrays))
    strided = []
    for array in sample.arrays:
        spaced = np.zeros((*array.shape, 2), array.dtype)
        spaced[..., 0] = array
        strided.append(spaced[..., 0])
        strided[-1].flags.writeable = False
    expected = as_tuple(getattr(ops, name)(*sample.arrays, **sample.attrs))
    for y, z in zip(as_tuple(getattr(ops, name)(*strided, **sample.attrs)), expected, strict=True):
        np.testing.assert_array_equal(y, z)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_is_the_central_difference(name):
    rng = np.random.default_rng(1)
    function, tried = getattr(ops, name), 0
    for sample in samples(name):
        if not sample.differentiable:
            continue
        arrays = [np.asarray(array) for array in sample.arrays]
        dy = rng.standard_normal(as_tuple(function(*arrays, **sample.attrs))[0].shape)
        gradients = as_tuple(function.grad(dy, *arrays, **sample.attrs))
        assert len(gradients) == len(arrays)
        for number, gradient in enumerate(gradients):
            if gradient is None:
                assert arrays[number].dtype.kind == "i" or registry.get(name).inputs[number] in (
                    "mean",
                    "variance",
                )
                continue
            direction, h = rng.standard_normal(arrays[number].shape), 1e-6
            ends = []
            for sign in (1.0, -1.0):
                moved = [a + sign * h * direction if i == number else a for i, a in enumerate(arrays)]
                ends.append((as_tuple(function(*moved, **sample.attrs))[0] * dy).sum())
            expected = (ends[0] - ends[1]) / (2.0 * h)
            assert abs((gradient * direction).sum() - expected) <= 2e-6 * max(1.0, np.abs(dy).sum()), (
                sample.name
            )
            tried += 1
    assert tried


@DTYPES
@pytest.mark.parametrize("name", BOTH_LAYOUTS)
def test_units_major_is_row_major_transposed(name, dtype):
    tried = 0
    for sample in samples(name):
        if any(array.ndim != 2 for array in sample.arrays):
            continue
        expected = run(name, sample.arrays, dtype, **sample.attrs)
        found = run(name, sample.arrays, dtype, units_major=True, **sample.attrs)
        for y, z in zip(found, expected, strict=True):
            np.testing.assert_allclose(y, z, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
        tried += 1
    assert tried


@DTYPES
@pytest.mark.parametrize("name", GRADIENTS_OF_PARAMETERS)
def test_gradients_of_parameters_overwrite_first_then_add(name, dtype):
    for sample in samples(name):
        garbage = run(name, sample.arrays, dtype, **sample.attrs)
        once = [out.copy() for out in garbage]
        garbage[0][...] = np.nan
        run(name, sample.arrays, dtype, outputs=garbage, **sample.attrs)  # a lane's first block
        check(garbage[0], once[0], dtype)
        run(name, sample.arrays, dtype, outputs=garbage, first=0, **sample.attrs)  # its next block
        check(garbage[0], 2 * once[0], dtype)
        run(name, sample.arrays, dtype, outputs=garbage, accumulate=True, **sample.attrs)  # a second use
        check(garbage[0], 3 * once[0], dtype)


@DTYPES
def test_batch_norm_update_moves_the_statistics_in_place(dtype):
    rng = np.random.default_rng(2)
    batch_mean, batch_variance, mean, variance = rng.uniform(0.5, 2.0, (4, 5)).astype(dtype)
    expected = 0.9 * mean + 0.1 * batch_mean, 0.9 * variance + 0.1 * batch_variance
    before = batch_mean.copy(), batch_variance.copy()
    run("batch_norm_update", [batch_mean, batch_variance, mean, variance], dtype, rows=7, momentum=0.9)
    check((mean, variance), expected, dtype)
    np.testing.assert_array_equal((batch_mean, batch_variance), before)


def test_ops_that_need_the_whole_batch_are_known_to_the_planner():
    assert {"batch_norm_train", "batch_norm_dx"} <= WHOLE_BATCH_OPS


def test_ties_share_the_gradient():
    x = np.array([[1.0, 2.0, 3.0]])
    dx, d_other = ops.maximum.grad(np.ones((1, 3)), x, np.array([[1.0, 5.0, 0.0]]))
    np.testing.assert_array_equal([dx, d_other], [[[0.5, 0.0, 1.0]], [[0.5, 1.0, 0.0]]])
    np.testing.assert_array_equal(
        ops.reduce_max.grad(np.ones(1), np.array([[2.0, 1.0, 2.0]])), [[0.5, 0.0, 0.5]]
    )


# --------------------------------------------------------------------------- PyTorch
def torch_gradients(function, dy, *arrays):
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    y = function(torch.nn.functional, *tensors)
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), [tensor.grad.numpy() for tensor in tensors]


@pytest.fixture
def batch():
    rng = np.random.default_rng(3)
    x, dy = rng.standard_normal((33, 7)) * 3.0 + 1.0, rng.standard_normal((33, 7))
    return x, dy, rng.standard_normal(7), rng.standard_normal(7)


def test_layer_norm_is_torchs(batch):
    x, dy, gamma, beta = batch
    y, gradients = torch_gradients(lambda F, x, g, b: F.layer_norm(x, (7,), g, b, 1e-3), dy, x, gamma, beta)
    check(ops.layer_norm(x, gamma, beta, epsilon=1e-3)[0], y, np.float64)
    check(ops.layer_norm.grad(dy, x, gamma, beta, epsilon=1e-3), tuple(gradients), np.float64)


def test_batch_norm_in_training_is_torchs(batch):
    x, dy, gamma, beta = batch
    y, gradients = torch_gradients(
        lambda F, x, g, b: F.batch_norm(x, None, None, g, b, training=True, eps=1e-3), dy, x, gamma, beta
    )
    check(ops.batch_norm_train(x, gamma, beta)[0], y, np.float64)
    check(ops.batch_norm_train.grad(dy, x, gamma, beta), tuple(gradients), np.float64)


def test_frozen_batch_norm_is_torchs(batch):
    x, dy, gamma, beta = batch
    mean, variance = x[:5].mean(axis=0), x[:5].var(axis=0)

    def function(F, x, g, b):
        import torch

        return F.batch_norm(x, torch.tensor(mean), torch.tensor(variance), g, b, training=False, eps=1e-3)

    y, gradients = torch_gradients(function, dy, x, gamma, beta)
    check(ops.batch_norm_infer(x, mean, variance, gamma, beta)[0], y, np.float64)
    dx, d_mean, d_variance, *rest = ops.batch_norm_infer.grad(dy, x, mean, variance, gamma, beta)
    assert d_mean is None and d_variance is None
    check((dx, *rest), tuple(gradients), np.float64)


# --------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    "name,shapes,attrs,message",
    [
        ("add", [(3, 2), (3, 4)], {}, "equal shapes"),
        ("slice", [(3, 2)], {"start": 1, "stop": 3}, "last axis"),
        ("slice", [(3, 2)], {"start": 1, "stop": 1}, "start < stop"),
        ("slice_grad", [(3, 2)], {"start": 2, "width": 3}, "width"),
        ("concatenate", [(3, 2, 2), (3, 1, 2)], {}, "all axes but the last"),
        ("reshape", [(3, 4)], {"shape": (3,)}, "Cannot reshape"),
        ("reshape", [(3, 4)], {"shape": (-1, -1)}, "Cannot reshape"),
        ("reshape", [(3, 4)], {"shape": (3, -1)}, "Cannot reshape"),
        ("reduce_max", [(3, 0)], {}, "not empty"),
        ("reduce_sum", [(3,)], {}, "last axis"),
        ("layer_norm", [(3, 4), (4,)], {}, "takes 3 inputs"),
        ("layer_norm", [(3, 4), (4,), (3,)], {}, "one number a unit"),
        ("batch_norm_infer", [(3, 4), (3,), (4,)], {"scale": False, "center": False}, "one number a unit"),
        ("standardize", [(3, 4), (1,), (1,)], {}, "one number a unit"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, shapes, attrs, message):
    with pytest.raises(ShapeError, match=message):
        getattr(ops, name)(*[np.zeros(shape, np.float32) for shape in shapes], **attrs)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rates_outside_the_range_are_refused(rate):
    with pytest.raises(ArgumentError, match="rate"):
        ops.dropout(np.ones((2, 2)), rate=rate)
