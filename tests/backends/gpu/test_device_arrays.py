"""The array API on CuPy arrays: results and gradients stay on the device, mixtures are refused."""

import numpy as np
import pytest
from gpu_fake import Tensor, fake_gpu

from fastnn import ops
from fastnn.errors import ArgumentError, DataError, DeviceError, DtypeError, ShapeError
from fastnn.ops import updates

RNG = np.random.default_rng(0)
X, W, B = RNG.normal(size=(9, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=3)


@pytest.fixture(scope="module")
def cp():
    with fake_gpu() as module:
        yield module


def on(cp, *arrays):
    return [cp.asarray(array) for array in arrays]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_op_on_cupy_arrays_gives_cupy_arrays(cp, dtype):
    arrays = [array.astype(dtype) for array in (X, W, B)]
    result = ops.dense(*on(cp, *arrays))
    assert isinstance(result, cp.ndarray) and result.dtype == dtype and result.shape == (9, 3)
    np.testing.assert_allclose(result.get(), ops.dense(*arrays), rtol=1e-5, atol=1e-6)


def test_nothing_is_brought_to_the_host(cp):
    arrays = on(cp, X, W, B)
    before = cp.stats["d2h"]
    ops.relu(ops.dense(*arrays))
    assert cp.stats["d2h"] == before


def test_gradients_are_on_the_device(cp):
    dy = RNG.normal(size=(9, 3))
    found = ops.dense.grad(cp.asarray(dy), *on(cp, X, W, B))
    for one, other in zip(found, ops.dense.grad(dy, X, W, B), strict=True):
        assert isinstance(one, cp.ndarray)
        np.testing.assert_allclose(one.get(), other, rtol=1e-12, atol=1e-12)


def test_arrays_are_converted_where_they_are(cp):
    mixed = ops.add(cp.asarray(X.astype("float32")), cp.asarray(X))
    assert mixed.dtype == np.float64
    whole = ops.scale(cp.asarray(np.arange(6).reshape(3, 2)), factor=0.5)
    np.testing.assert_array_equal(whole.get(), np.arange(6).reshape(3, 2) * 0.5)
    turned = ops.softmax(cp.asarray(X).T)
    np.testing.assert_allclose(turned.get(), ops.softmax(X.T), rtol=1e-12)


def test_an_embedding_is_looked_up_and_its_indices_are_checked(cp):
    table = RNG.normal(size=(5, 3))
    index = np.array([[0], [4], [2]])
    found = ops.embedding(cp.asarray(index), cp.asarray(table))
    np.testing.assert_array_equal(found.get(), table[index])
    with pytest.raises(DataError, match=r"must lie in \[0, 5\)"):
        ops.embedding(cp.asarray(index + 1), cp.asarray(table))


def test_host_and_device_do_not_mix(cp):
    x, w, b = on(cp, X, W, B)
    for arrays in ((X, w, b), (x, W, b), (x, w, B.tolist())):
        with pytest.raises(DeviceError, match=r"'dense'.*all arrays on the GPU or none.*x\.get\(\)"):
            ops.dense(*arrays)
    with pytest.raises(DeviceError, match="all arrays on the GPU or none"):
        ops.dense.grad(np.ones((9, 3)), x, w, b)


def test_arrays_on_two_devices_are_refused(cp):
    x, w, b = on(cp, X, W, B)
    w._device = cp.cuda.Device(0).__class__(1)
    w._device.id = 1
    with pytest.raises(DeviceError, match=r"all arrays on one GPU.*on GPUs \[0, 1\]"):
        ops.dense(x, w, b)


def test_another_librarys_array_on_the_device_is_named(cp):
    with pytest.raises(DeviceError, match=r"gpu_fake\.Tensor on a GPU; cupy\.asarray\(x\)"):
        ops.relu(Tensor(cp.asarray(X)))


def test_wrong_dtypes_and_shapes_are_refused_as_on_the_host(cp):
    with pytest.raises(DtypeError, match="float16"):
        ops.relu(cp.asarray(X.astype(np.float16)))
    with pytest.raises(ShapeError, match="equally many rows"):
        ops.add(cp.asarray(X), cp.asarray(X[:3]))


UPDATES = {
    "sgd": ((), {"momentum": 0.0}),
    "rmsprop": (("velocity",), {}),
    "adam": (("momentum", "velocity"), {"step": 3, "weight_decay": 0.1}),
    "nadam": (("momentum", "velocity"), {"step": 3}),
    "lion": (("momentum",), {}),
}


@pytest.mark.parametrize("name", UPDATES)
def test_updates_overwrite_cupy_arrays(cp, name):
    slots, options = UPDATES[name]
    host = [RNG.random((3, 2)) for _ in range(2 + len(slots))]
    device = on(cp, *host)
    getattr(updates, f"{name}_inplace")(*host, **options)
    getattr(updates, f"{name}_inplace")(*device, **options)
    for one, other in zip(device, host, strict=True):
        np.testing.assert_allclose(one.get(), other, rtol=1e-12)


def test_updates_refuse_what_they_cannot_overwrite(cp):
    x = cp.asarray(np.ones(4))
    with pytest.raises(ArgumentError, match="must not share memory"):
        ops.sgd_inplace(x, x)
    with pytest.raises(ArgumentError, match="must not share memory"):
        ops.sgd_inplace(x[1:], x[:3])
    ops.sgd_inplace(x[2:], x[:2])
    with pytest.raises(DeviceError, match="on the GPU or none"):
        ops.sgd_inplace(x, np.ones(4))
    with pytest.raises(DtypeError, match="float32 or float64"):
        ops.sgd_inplace(cp.asarray(np.ones(4, np.float16)), x)
