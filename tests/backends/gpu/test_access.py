"""How hot kernels meet memory: at least 80 % of the fewest sectors, hardly a bank conflict; as they run."""

import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn.backends.gpu import eager, kernels
from fastnn.backends.gpu.eager import ArrayRef, Call
from fastnn.backends.gpu.lowering import Target
from fastnn.backends.gpu.registers import COUNT, INDEX
from fastnn.ops.registry import Spec

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "cuda_on_cpu"), str(TESTS / "contract")]
from access_profile import recording  # noqa: E402
from on_device import launch_all  # noqa: E402

#: The share of the fewest sectors that every load and store of a hot kernel reaches; ways of bank conflicts.
LEAST, MOST_WAYS = 0.8, 1.25
ROWS, UNITS = 128, 64
rng = np.random.default_rng(0)


def rows(*shape):
    return rng.standard_normal((ROWS, *shape)).astype(np.float32)


def matrix(*shape):
    return rng.standard_normal(shape).astype(np.float32)


X, Y, W, B = rows(UNITS), rows(UNITS), matrix(UNITS, UNITS), matrix(UNITS)
ONE = (rng.random((ROWS, 1)) < 0.5).astype(np.float32)
FLOAT, ONE_SPEC = Spec((UNITS,)), Spec((1,))
HOT = {
    "relu": ([X], [FLOAT], [FLOAT], {}),
    "tanh_grad": ([Y, X], [FLOAT, FLOAT], [FLOAT], {}),
    "add": ([X, Y], [FLOAT, FLOAT], [FLOAT], {}),
    "dense": (
        [X, W, B], [FLOAT, Spec((UNITS, UNITS), rows=False), Spec((UNITS,), rows=False)], [FLOAT], {},
    ),
    "dense_dx": ([Y, W], [FLOAT, Spec((UNITS, UNITS), rows=False)], [FLOAT], {}),
    "dense_dw": ([X, Y], [FLOAT, FLOAT], [Spec((UNITS, UNITS), rows=False)], {}),
    "dense_db": ([Y], [FLOAT], [Spec((UNITS,), rows=False)], {}),
    "binary_crossentropy_grad": (
        [ONE, rows(1)], [ONE_SPEC, ONE_SPEC], [ONE_SPEC, ONE_SPEC],
        {"from_logits": True, "label_smoothing": 0.0, "scale": 1.0, "mean": True},
    ),
    "mean_squared_error_grad": (
        [ONE, rows(1)], [ONE_SPEC, ONE_SPEC], [ONE_SPEC, ONE_SPEC], {"scale": 1.0, "mean": True},
    ),
    "dropout": ([X], [FLOAT], [FLOAT, FLOAT], {"rate": 0.5, "seed": 1, "step": 0, "seed_stream": 7}),
    "batch_norm_train": (
        [X], [FLOAT], [FLOAT, *[Spec((UNITS,), rows=False)] * 3],
        {"epsilon": 1e-3, "scale": False, "center": False},
    ),
}  # fmt: skip


def hold(found):
    """Assert that every line's accesses are within the budget."""
    assert any(one.write for one in found) and any(not one.write for one in found)
    for one in found:
        if one.shared:
            assert one.moved <= MOST_WAYS * one.fewest, f"bank conflicts: {one}"
        else:
            assert one.efficiency >= LEAST, f"{one.efficiency:.0%} of the fewest sectors: {one}"


@pytest.mark.parametrize("op", HOT)
def test_hot_ops_are_coalesced(fake_cupy, op):
    arrays, specs, outputs, attrs = HOT[op]
    with recording() as found:
        held = [fake_cupy.asarray(a) for a in arrays]
        eager.run(op, held, specs, outputs, attrs, ROWS)
    hold(found)


def launched(fake, call, dtype="float32", position=0, seed=3):
    """Launch an instruction that reads a run's registers, as in the middle of an epoch."""
    clock = np.zeros(COUNT, np.int64)
    clock[[INDEX["ROWS"], INDEX["BATCH"], INDEX["TOTAL"]]] = ROWS
    clock[INDEX["POSITION"]], clock[INDEX["SEED"]] = position, seed
    device_clock = fake.asarray(clock)
    with recording() as found:
        launch_all(fake, kernels.lower(call, Target(dtype, ROWS)), device_clock, strides=(UNITS, 1))
        fake.cuda.Device().synchronize()
    return found


def ref(array, spec):
    return ArrayRef(array, spec)


@pytest.mark.parametrize("source", ["float32", "float64"])
def test_rows_in_random_order_are_gathered_in_whole_sectors(fake_cupy, source):
    """Rows of 64 numbers; a row that does not begin on 32 bytes costs a sector that no kernel can save."""
    order = fake_cupy.asarray(rng.permutation(ROWS))
    table = fake_cupy.asarray(rng.standard_normal(ROWS * UNITS).astype(source))
    out = fake_cupy.empty(ROWS * UNITS, np.float32)
    index = Spec((1,), kind="index")
    call = Call("gather", (ref(order, index), ref(table, FLOAT)), (ref(out, FLOAT),), {"source": source})
    hold(launched(fake_cupy, call))
    stored = fake_cupy.empty(ROWS * UNITS, np.float32)
    hold(launched(fake_cupy, Call("store", (ref(out, FLOAT),), (ref(stored, FLOAT),), {})))
    np.testing.assert_array_equal(
        stored.get().reshape(ROWS, UNITS), table.get().reshape(ROWS, UNITS)[order.get()].astype(np.float32)
    )


@pytest.mark.parametrize("rule", [("sgd", 0), ("adam", 2), ("nadam", 2)])
def test_updates_are_coalesced(fake_cupy, rule):
    op, slots = rule
    flat, size = Spec((1000,), rows=False), 1000
    arrays = [fake_cupy.asarray(np.ones(size, np.float32)) for _ in range(2 + slots)]
    hyper = fake_cupy.asarray(np.array([0.1, 0.0, 0.9, 0.99, 1e-7, 0.0, 1.0]))
    outputs = tuple(ref(a, flat) for a in arrays[1:])
    call = Call(
        op, (ref(arrays[0], flat), ref(hyper, Spec((7,), rows=False))), outputs, {"steps": 1, "decay": False}
    )
    hold([one for one in launched(fake_cupy, call) if one.kernel == "update"])


def test_a_strided_kernel_and_a_bank_conflict_are_found(fake_cupy):
    code = """extern "C" __global__ void __launch_bounds__(256) bad(const float* x, float* y) {
        __shared__ float tile[32][32];
        const int i = threadIdx.x / 32, j = threadIdx.x % 32;
        for (int k = i; k < 32; k += 8) tile[k][j] = x[j * 32 + k];
        __syncthreads();
        for (int k = i; k < 32; k += 8) y[k * 32 + j] = tile[j][k];
    }"""
    kernel = fake_cupy.RawModule(code=code).get_function("bad")
    x, y = (fake_cupy.zeros(1024, np.float32) for _ in range(2))
    with recording() as found:
        kernel((1,), (256,), (x, y))
    (load,) = [one for one in found if not one.shared and not one.write]
    (store,) = [one for one in found if not one.shared and one.write]
    (conflict,) = [one for one in found if one.shared and not one.write]
    assert load.efficiency == 0.125 and store.efficiency == 1.0
    assert conflict.moved == 32 * conflict.fewest
