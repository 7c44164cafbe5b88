"""The stand-in for CuPy refuses what CuPy refuses, and what it would pass to a kernel as garbage."""

import numpy as np
import pytest

CODE = """
extern "C" __global__ void __launch_bounds__(64) twice(const float* x, float* y, float factor, int n) {
    const int first = blockIdx.x * blockDim.x + threadIdx.x;
    for (int i = first; i < n; i += gridDim.x * blockDim.x) y[i] = factor * x[i];
}
"""


@pytest.fixture
def twice(fake_cupy):
    return fake_cupy.RawModule(code=CODE).get_function("twice")


@pytest.fixture
def arrays(fake_cupy):
    return fake_cupy.asarray(np.arange(8, dtype=np.float32)), fake_cupy.zeros(8, np.float32)


F, N = np.float32(2.0), np.int32(8)


def test_a_grid_of_zero_becomes_one(twice, arrays):
    x, y = arrays
    twice((0,), (32,), (x, y, F, N))
    np.testing.assert_array_equal(y.get(), 2 * np.arange(8))


def test_garbage_is_refused(fake_cupy, twice, arrays):
    x, y = arrays
    with pytest.raises(TypeError, match="CuPy passes float as f8, the kernel reads f4"):
        twice((1,), (32,), (x, y, 2.0, N))
    with pytest.raises(TypeError, match="takes 4 arguments"):
        twice((1,), (32,), (x, y, F))
    with pytest.raises(TypeError, match="float64 array for a pointer to f4"):
        twice((1,), (32,), (fake_cupy.zeros(8), y, F, N))
    with pytest.raises(ValueError, match="not contiguous"):
        twice((1,), (32,), (x[::2], y, F, np.int32(4)))
    with pytest.raises(ValueError, match="overlaps"):
        twice((1,), (32,), (y[2:], y[:6], F, np.int32(6)))
    with pytest.raises(RuntimeError, match="64"):
        twice((1,), (128,), (x, y, F, N))
    with pytest.raises(RuntimeError, match="read out of bounds, 1 bytes past the end of argument 0"):
        twice((1,), (32,), (x, y, F, np.int32(9)))


def test_streams_are_lazy_and_captures_replay(fake_cupy, twice, arrays):
    x, y = arrays
    stream = fake_cupy.cuda.Stream(non_blocking=True)
    with stream:
        twice((1,), (32,), (x, y, F, N))
        assert not y._a.any(), "nobody has waited"
        stream.synchronize()
        assert y.get()[1] == 2
        stream.begin_capture()
        twice((1,), (32,), (x, y, np.float32(3.0), N))
        for forbidden, error in ((lambda: fake_cupy.zeros(3), RuntimeError), (x.get, NotImplementedError)):
            with pytest.raises(error):
                forbidden()
        with pytest.raises(RuntimeError):
            stream.synchronize()
        graph = stream.end_capture()
        assert y.get()[1] == 2
        graph.launch(stream)
        assert y.get()[1] == 3
    assert fake_cupy.stats["graph_launches"] == 1 and fake_cupy.stats["launches"] == 2


def test_host_and_device_do_not_mix(fake_cupy, arrays):
    x, _ = arrays
    with pytest.raises(TypeError, match="Unsupported type"):
        x + np.ones(8, np.float32)
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(x)
    with pytest.raises(TypeError, match="same dtype and shape"):
        x.set(np.zeros(8))
    assert np.isnan(fake_cupy.empty(3, np.float32).get()).all(), "fresh memory is not zero"


def test_elementwise_kernels(fake_cupy, arrays):
    x, y = arrays
    kernel = fake_cupy.ElementwiseKernel("T x, T a", "T y", "y = x > a ? x * x : a", "bend")
    found = kernel(x, np.float32(3.0))
    expected = np.where(np.arange(8) > 3, np.arange(8) ** 2, 3).astype(np.float32)
    np.testing.assert_array_equal(found.get(), expected)
    kernel(x, np.float32(3.0), y)
    np.testing.assert_array_equal(y.get(), expected)
    with fake_cupy.cuda.Stream() as stream:
        stream.begin_capture()
        kernel(x, np.float32(5.0), y)
        graph = stream.end_capture()
        for _ in range(3):
            graph.launch(stream)
    assert y.get()[0] == 5
    with pytest.raises(TypeError, match="Wrong number"):
        kernel(x)
