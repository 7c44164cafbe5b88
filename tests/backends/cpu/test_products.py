"""Our own product of matrices, called alone: all edges and forms; and who calls it."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fastnn import Sequential, layers, ops, optimizers
from fastnn.backends.cpu import products
from fastnn.backends.cpu.vector_code import has_avx512

each_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
each_form = pytest.mark.parametrize("turned", [0, products.A_TURNED, products.B_TURNED, 3])


def multiply(a, b, c, turned=0, add=0):
    """C (+)= A B by our kernel; A, B or C may be columns of something wider."""
    kernel = products.product_kernel(c.dtype)
    (m, n), k = c.shape, a.shape[1]
    workspace = np.full(products.WORKSPACE_BYTES, 255, np.uint8)  # NaN wherever it is read unwritten
    a_held = a.T if turned & products.A_TURNED else a
    b_held = b.T if turned & products.B_TURNED else b
    words = [m, n, k]
    for held in (a_held, b_held, c):
        assert held.strides[1] == held.itemsize
        words += [held.ctypes.data, held.strides[0] // held.itemsize]
    q = np.array([*words, turned, add, workspace.ctypes.data], np.int64)
    kernel.call(q.ctypes.data, q.ctypes.data)


def wide(rows, columns, dtype, fill, turned=False):
    """Return a matrix whose rows (columns if turned) stand 5 numbers apart, `fill` between and around."""
    if turned:
        return wide(columns, rows, dtype, fill).T
    return np.full((rows + 1, columns + 5), fill, dtype)[:rows, 3 : 3 + columns]


def operands(m, n, k, dtype, turned, seed=0):
    """Small integers, so that every sum is exact in any order."""
    rng = np.random.default_rng(seed)
    a = wide(m, k, dtype, np.nan, turned & products.A_TURNED)
    b = wide(k, n, dtype, np.nan, turned & products.B_TURNED)
    a[...] = rng.integers(-8, 9, (m, k))
    b[...] = rng.integers(-8, 9, (k, n))
    return a, b


ROWS = [1, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29]
COLUMNS = [1, 7, 8, 15, 16, 17, 31, 32, 33, 63, 65]
DEPTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33]


@each_form
@each_dtype
def test_every_edge(dtype, turned):
    rng = np.random.default_rng(2)
    shapes = [(m, int(rng.choice(COLUMNS)), int(rng.choice(DEPTHS))) for m in ROWS for _ in range(4)]
    shapes += [(13, n, 9) for n in COLUMNS] + [(13, 33, k) for k in DEPTHS]
    for m, n, k in shapes:
        a, b = operands(m, n, k, dtype, turned)
        for add in (0, 1):
            c = wide(m, n, dtype, 77)
            frame = c.base.copy()
            c[...] = 3 if add else np.nan
            multiply(a, b, c, turned, add)
            inside = frame[:m, 3 : 3 + n]
            inside[...] = a.astype(np.float64) @ b.astype(np.float64) + 3 * add
            np.testing.assert_array_equal(c.base, frame, err_msg=f"{m} x {n} x {k}, add {add}")


@each_form
@each_dtype
@pytest.mark.parametrize(
    "shape", [(26, 40, 383), (26, 40, 385), (14, 70, 1153), (25, 1100, 390), (9, 33_000, 5)]
)
def test_several_runs_of_k_and_blocks_of_columns(dtype, turned, shape):
    a, b = operands(*shape, dtype, turned)
    for add in (0, 1):
        c = np.full(shape[:2], 3 if add else np.nan, dtype)
        multiply(a, b, c, turned, add)
        np.testing.assert_array_equal(c, a.astype(np.float64) @ b.astype(np.float64) + 3 * add)


@each_dtype
def test_rounding_is_that_of_a_sum_in_order(dtype):
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(40, 900)).astype(dtype), rng.normal(size=(900, 70)).astype(dtype)
    c = np.empty((40, 70), dtype)
    multiply(a, b, c)
    exact = a.astype(np.longdouble) @ b.astype(np.longdouble)
    bound = 900 * np.finfo(dtype).eps * (np.abs(a) @ np.abs(b))
    assert (np.abs(c - exact) <= bound / 8).all()


@each_form
@each_dtype
def test_where_a_number_stands_does_not_change_its_bits(dtype, turned):
    """So neither blocks of rows, nor slabs of columns, nor threads would."""
    rng = np.random.default_rng(4)
    a, b = operands(61, 85, 410, dtype, turned)
    a[...], b[...] = rng.normal(size=a.shape), rng.normal(size=b.shape)
    whole = np.empty((61, 85), dtype)
    multiply(a, b, whole, turned)
    for rows, columns in (
        (slice(0, 1), slice(0, 85)),
        (slice(3, 29), slice(20, 21)),
        (slice(50, 61), slice(7, 84)),
    ):
        part = np.empty_like(whole[rows, columns])
        multiply(a[rows], b[:, columns], part, turned)
        np.testing.assert_array_equal(part, whole[rows, columns])


@each_form
@each_dtype
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_row_and_column(dtype, turned, value):
    a, b = operands(29, 45, 37, dtype, turned)
    a[...], b[...] = np.abs(a) + 1, np.abs(b) + 1
    a[17, 36], b[20, 44] = value, value
    c = np.empty((29, 45), dtype)
    multiply(a, b, c, turned)
    with np.errstate(invalid="ignore"):  # NumPy's BLAS multiplies by the zeros of its own margins
        expected = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_array_equal(c, expected)
    finite = np.isfinite(c)
    assert finite.sum() == 28 * 44 and not finite[17].any() and not finite[:, 44].any()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="guards memory by mprotect")
def test_nothing_is_read_or_written_beyond_the_operands():
    """Each operand ends where a page begins that may not be touched: the process would die."""
    code = """
        import ctypes, mmap, sys
        import numpy as np
        sys.path.insert(0, sys.argv[1])
        from test_products import multiply
        libc, keep = ctypes.CDLL(None, use_errno=True), []

        def guarded(rows, columns, dtype):
            page, size = mmap.PAGESIZE, rows * columns * np.dtype(dtype).itemsize
            whole = -(-size // page) * page
            memory = mmap.mmap(-1, whole + page)
            keep.append(memory)
            start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
            assert libc.mprotect(ctypes.c_void_p(start + whole), ctypes.c_size_t(page), 0) == 0
            array = np.frombuffer(memory, dtype, rows * columns, whole - size)
            array[...] = 1
            return array.reshape(rows, columns)

        for dtype in (np.float32, np.float64):
            for turned in range(4):
                for m, n, k in ((1, 1, 1), (13, 33, 5), (27, 45, 19), (7, 31, 401)):
                    a = guarded(*((k, m) if turned & 1 else (m, k)), dtype)
                    b = guarded(*((n, k) if turned & 2 else (k, n)), dtype)
                    c = guarded(m, n, dtype)
                    multiply(a.T if turned & 1 else a, b.T if turned & 2 else b, c, turned, 1)
                    assert (c == k + 1).all()
        print("untouched")
    """
    folder = str(__file__).rpartition("/")[0]
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), folder], capture_output=True, text=True, timeout=120
    )
    assert found.stdout.strip() == "untouched", (found.returncode, found.stderr[-2000:])


# --------------------------------------------------------------------------- who calls it
def test_which_products_are_ours():
    address = products.product_address(np.float32, 64, 64)
    assert (address != 0) == (has_avx512())
    assert products.product_address(np.float32, 63, 64) == 0, "a small layer does not compile it"
    ask = products.is_ours.py_func
    assert ask(1, 128, 128, 64, 4) and not ask(1, 128, 64, 64, 4), "BLAS has a way of its own for small ones"
    assert not ask(1, 4096, 10, 1024, 4), "two thirds of the tile would be empty"
    assert not ask(0, 1024, 1024, 1024, 4)


@each_dtype
def test_dense_layers_give_the_reference(dtype):
    rng = np.random.default_rng(5)
    rows, inputs, units = 257, 160, 192
    x, w, dy = (
        rng.integers(-4, 5, s).astype(dtype) for s in ((rows, inputs), (inputs, units), (rows, units))
    )
    np.testing.assert_array_equal(ops.dense(x, w, np.ones(units, dtype)), x @ w + 1)
    np.testing.assert_array_equal(ops.dense_dx(dy, w), dy @ w.T)
    np.testing.assert_array_equal(ops.dense_dw(x, dy), x.T @ dy)


def weights_after(threads):
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(1024, 96)), rng.normal(size=(1024, 1))
    stack = [layers.Dense(160, "relu", input_shape=(96,)), layers.Dense(224, "relu"), layers.Dense(1)]
    model = Sequential(stack, seed=1)
    model.compile(optimizers.Adam(), "mse")
    model.fit(x, y, batch_size=1024, epochs=3, verbose=0, threads=threads)
    return model.get_weights()


def test_training_has_the_same_bits_for_any_number_of_threads():
    for a, b in zip(weights_after(1), weights_after(2), strict=True):
        np.testing.assert_array_equal(a, b)
