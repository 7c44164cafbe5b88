"""How hot kernels meet memory: at least 80 % of the fewest sectors, hardly a bank conflict; as they run."""

import collections
import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fastnn import layers
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import fused, kernels, regimes
from fastnn.backends.gpu.eager import ArrayRef, Call
from fastnn.backends.gpu.lowering import Target
from fastnn.backends.gpu.registers import COUNT, INDEX
from fastnn.models import Sequential
from fastnn.ops import registry
from fastnn.ops.losses import LOSSES
from fastnn.ops.registry import Spec
from fastnn.program import PartSource

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS / "cuda_on_cpu"), str(TESTS / "contract")]
from access_profile import recording  # noqa: E402
from on_device import launch_all  # noqa: E402

#: The share of the fewest sectors that every load and store of a hot kernel reaches; ways of bank conflicts.
LEAST, MOST_WAYS = 0.8, 1.25
SECTOR = 32
ROWS, UNITS = 128, 64
rng = np.random.default_rng(0)


def vector(size, kind="float"):
    return Spec((size,), rows=False, kind=kind)


FLOAT, ONE, NONE, LABEL = Spec((UNITS,)), Spec((1,)), Spec(()), Spec((1,), kind="int")
PER_UNIT, MATRIX, FLAT, TOTAL = vector(UNITS), Spec((UNITS, UNITS), rows=False), vector(1000), vector(1)
ORDER, TABLE, HYPER = Spec((1,), kind="index"), Spec((10, UNITS), rows=False), vector(8)
RANDOM = {"seed": 1, "step": 0, "seed_stream": 7}
NORM = {"epsilon": 1e-3, "scale": False, "center": False}
LOSS = {"scale": 1.0, "mean": True}
#: Inputs, attributes, and outputs where the op's record does not tell them.
HOT = {
    "relu": ([FLOAT], {}),
    "tanh_grad": ([FLOAT, FLOAT], {}),
    "prelu": ([FLOAT, PER_UNIT], {}),
    "prelu_dx": ([FLOAT, FLOAT, PER_UNIT], {}),
    "prelu_dalpha": ([FLOAT, FLOAT], {}, [PER_UNIT]),
    "softmax": ([FLOAT], {}),
    "softmax_grad": ([FLOAT, FLOAT], {}),
    "add": ([FLOAT, FLOAT], {}),
    "maximum_grad": ([FLOAT, FLOAT, FLOAT], {}, [FLOAT]),
    "concatenate": ([FLOAT, FLOAT], {}),
    "scale": ([FLOAT], {"factor": 2.0}),
    "dense": ([FLOAT, MATRIX, PER_UNIT], {}),
    "dense_dx": ([FLOAT, MATRIX], {}),
    "dense_dw": ([FLOAT, FLOAT], {}),
    "dense_db": ([FLOAT], {}),
    "embedding": ([LABEL, TABLE], {}),
    "embedding_grad": ([LABEL, Spec((1, UNITS))], {"size": 10}),
    "dropout": ([FLOAT], {"rate": 0.5, **RANDOM}),
    "gaussian_noise": ([FLOAT], {"stddev": 0.1, **RANDOM}),
    "batch_norm_train": ([FLOAT], NORM),
    "batch_norm_infer": ([FLOAT, *[PER_UNIT] * 4], {}),
    "batch_norm_dx": ([FLOAT, FLOAT, *[PER_UNIT] * 3], {}),
    "batch_norm_dgamma": ([FLOAT, FLOAT, *[PER_UNIT] * 2], {}),
    "batch_norm_update": ([PER_UNIT] * 4, {"momentum": 0.9}, []),
    "layer_norm": ([FLOAT, PER_UNIT, PER_UNIT], {}),
    "layer_norm_dx": ([FLOAT, FLOAT, NONE, NONE, PER_UNIT], {}),
    "scale_units": ([FLOAT, PER_UNIT], {}),
    "standardize": ([FLOAT, PER_UNIT, PER_UNIT], {}),
    "reduce_max": ([FLOAT], {}),
    "reduce_extreme_grad": ([NONE, FLOAT, NONE], {}),
    "reduce_sum": ([FLOAT], {}),
    "reduce_sum_grad": ([NONE], {"width": UNITS}),
    "binary_crossentropy_grad": ([ONE, ONE], {"from_logits": True, "label_smoothing": 0.0, **LOSS}),
    "mean_squared_error_grad": ([ONE, ONE], LOSS),
    "quantile_grad": ([FLOAT, Spec((2 * UNITS,))], {**LOSS, "quantiles": (0.1, 0.9)}),
    "huber_grad": ([FLOAT, FLOAT], {**LOSS, "delta": 1.0}),
    "categorical_crossentropy_grad": ([FLOAT, FLOAT], {**LOSS, "label_smoothing": 0.0, "from_logits": True}),
    "sparse_categorical_crossentropy_grad": ([LABEL, FLOAT], {**LOSS, "from_logits": False}),
    "categorical_focal_crossentropy_grad": (
        [FLOAT, FLOAT],
        {**LOSS, "label_smoothing": 0.0, "from_logits": True},
    ),
    "categorical_hinge_grad": ([FLOAT, FLOAT], LOSS),
    "cosine_similarity_grad": ([FLOAT, FLOAT], LOSS),
    "gaussian_nll_grad": ([FLOAT, Spec((2 * UNITS,))], LOSS),
    "metric_categorical_accuracy": ([FLOAT, FLOAT], {}, [TOTAL]),
    "metric_binary_accuracy": ([FLOAT, FLOAT], {}, [TOTAL]),
    "accumulate": ([ONE], {}, [TOTAL]),
    "order": ([], {}, [ORDER]),
    "store": ([FLOAT], {}, [FLOAT]),
    "check_finite": ([FLAT], {}, []),
    "l1_l2": ([FLAT], {"l1": 0.1, "l2": 0.1}, [FLAT]),
    "l1_l2_penalty": ([FLAT], {"l1": 0.1, "l2": 0.1}, [TOTAL]),
    "accumulate_gradients": ([], {"steps": 2, "last": True}, [FLAT, FLAT]),
    "clip_value": ([], {"limit": 1.0}, [FLAT]),
    "clip_factor": ([FLAT], {"limit": 1.0, "first": True, "last": True}, [vector(2)]),
    "scale_gradient": ([vector(2)], {}, [FLAT]),
    "average_weights": ([], {"steps": 1, "overwrite": 0, "momentum": 0.9}, [FLAT, FLAT]),
    "non_neg": ([], {}, [FLAT]),
    "max_norm": ([], {"axis": 0, "params": (1.0, 2.0, 0.5)}, [TABLE]),
    "sgd": ([FLAT, HYPER], {"steps": 1, "decay": False}, [FLAT]),
    "adam": ([FLAT, HYPER], {"steps": 1, "decay": False}, [FLAT] * 3),
    "nadam": ([FLAT, HYPER], {"steps": 1, "decay": False}, [FLAT] * 3),
}
#: Float64 in a float32 program.
WIDE = {
    "accumulate": 1,
    "metric_binary_accuracy": 2,
    "metric_categorical_accuracy": 2,
    "l1_l2_penalty": 1,
    "clip_factor": 1,
    "scale_gradient": 0,
}
WIDE |= dict.fromkeys(("sgd", "adam", "nadam"), 1)
#: Held by tests of their own below.
APART = {("data", "gather"), ("data", "gather_part"), ("data", "store_at")} | {
    ("fused", "fused"), ("fused", "sum_blocks"), ("resident", "resident"),
}  # fmt: skip
#: One thread works in them, or what flat_forward does.
NOT_HOT = {
    ("data", "start"), ("data", "tick"), ("data", "next_chunk"), ("data", "set_register"),
    ("schedules", "schedule"), ("updates", "nadam_schedule"), ("normalization", "multiplier_of"),
    ("elementwise", "copy_columns"), ("activations", "bias_activation"),
}  # fmt: skip


def hold(found):
    """Assert that every line's accesses are within the budget."""
    assert found
    for one in found:
        if one.shared:
            assert one.moved <= MOST_WAYS * one.fewest, f"bank conflicts: {one}"
        else:
            assert one.efficiency >= LEAST, f"{one.efficiency:.0%} of the fewest sectors: {one}"


def narrowed(spec, columns):
    """Return a spec of rows with so many columns in the place of UNITS."""
    if not spec.rows or not spec.shape or spec.kind != "float":
        return spec
    return Spec((2 * columns if spec.size == 2 * UNITS else columns,))


def call_of(op, make=lambda spec, wide: None, columns=UNITS):
    """Return the instruction of a hot op, on rows of so many columns where it has those of UNITS."""
    inputs, attrs, *outputs = HOT[op]
    if columns != UNITS:
        inputs = [narrowed(spec, columns) for spec in inputs]
    if op in registry.names():
        attrs = registry.get(op).complete(attrs)
    outputs = outputs[0] if outputs else registry.get(op).shape(inputs, attrs)
    specs = [*inputs, *outputs]
    refs = [ArrayRef(make(spec, WIDE.get(op) == number), spec) for number, spec in enumerate(specs)]
    return Call(op, tuple(refs[: len(inputs)]), tuple(refs[len(inputs) :]), attrs)


def filled(fake, spec, wide=False, dtype="float32"):
    """Return device memory for a spec, with what an op of its kind may read."""
    size = (ROWS if spec.rows else 1) * spec.size
    if spec.kind == "index":
        return fake.asarray(rng.permutation(ROWS))
    if spec.kind == "int":
        return fake.asarray(rng.integers(0, 10, size).astype(np.int32))
    return fake.asarray(rng.uniform(0.1, 0.9, size).astype(np.float64 if wide else dtype))


@pytest.mark.parametrize("op", HOT)
def test_hot_ops_are_coalesced(fake_cupy, op):
    found = launched(fake_cupy, call_of(op, lambda spec, wide: filled(fake_cupy, spec, wide)))
    hold([one for one in found if ("updates", one.kernel) not in NOT_HOT and one.kernel != "multiplier_of"])


#: Losses and metrics of rows that the lanes of a warp share.
SHARED = [op for op in HOT if op.removesuffix("_grad") in LOSSES or op.startswith("metric_")]


@pytest.mark.parametrize("op", SHARED)
def test_rows_of_few_columns_are_coalesced(fake_cupy, op):
    """Whatever they hold: threads a row apart would touch the same sectors again for each column."""
    for columns, dtype in itertools.product((1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 20, 32), ("float32", "float64")):
        call = call_of(op, lambda spec, wide, dtype=dtype: filled(fake_cupy, spec, wide, dtype), columns)
        hold(launched(fake_cupy, call, dtype))


def test_every_kernel_is_held_or_has_a_reason():
    lowered = [launch for op in HOT for launch in kernels.lower(call_of(op), Target("float32", ROWS))]
    held = {(launch.variant.source, launch.name) for launch in lowered} | APART
    table = json.loads((Path(__file__).parent / "budgets.json").read_text())["budgets"]
    named = {(source, kernel) for source in table for kernel in table[source]}
    assert held | NOT_HOT == named


def launched(fake, call, dtype="float32", position=0, seed=3, width=UNITS):
    """Launch an instruction that reads a run's registers, as in the middle of an epoch."""
    clock = np.zeros(COUNT, np.int64)
    clock[[INDEX["ROWS"], INDEX["BATCH"], INDEX["TOTAL"]]] = ROWS
    clock[INDEX["POSITION"]], clock[INDEX["SEED"]], clock[INDEX["FIRST"]] = position, seed, 1
    device_clock = fake.asarray(clock)
    with recording() as found:
        launch_all(fake, kernels.lower(call, Target(dtype, ROWS)), device_clock, strides=(width, 1, 0))
        fake.cuda.Device().synchronize()
    return found


def ref(array, spec):
    return ArrayRef(array, spec)


# --------------------------------------------------------------------------- rows in random order
def sectors_of_rows(rows, width, item=4):
    """Return the sectors that rows touch, each by itself: what rows in random order cost any kernel."""
    starts = np.arange(rows) * width * item % SECTOR
    return int((-(-(starts + width * item) // SECTOR)).sum())


WIDTHS = (1, 2, 3, 5, 7, 8, 12, 20, 31, 32, 33, 45, 49, 57, 64, 100)


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_in_random_order_cost_hardly_more_than_their_own_sectors(fake_cupy, width):
    """A row begins where it begins: 45 numbers, 180 bytes, touch 6 or 7 sectors, and 5.6 would hold them."""
    order, row = fake_cupy.asarray(rng.permutation(ROWS)), Spec((width,))
    table = fake_cupy.asarray(rng.standard_normal(ROWS * width).astype(np.float32))
    out = fake_cupy.empty(ROWS * width, np.float32)
    call = Call("gather", (ref(order, ORDER), ref(table, row)), (ref(out, row),), {"source": "float32"})
    found = launched(fake_cupy, call, width=width)
    hold([one for one in found if one.write])
    load = max((one for one in found if not one.write), key=lambda one: one.moved)
    assert sectors_of_rows(ROWS, width) >= LEAST * load.moved
    np.testing.assert_array_equal(
        out.get().reshape(ROWS, width), table.get().reshape(ROWS, width)[order.get()]
    )
    # And back: the rows they came from.
    stored = fake_cupy.empty(ROWS * width, np.float32)
    found = launched(fake_cupy, Call("store", (ref(out, row), ref(order, ORDER)), (ref(stored, row),), {}))
    (store,) = [one for one in found if one.write]
    assert sectors_of_rows(ROWS, width) >= LEAST * store.moved
    np.testing.assert_array_equal(stored.get(), table.get())


def test_no_kernel_could_read_random_rows_in_as_few_sectors_as_their_bytes_fill():
    shares = {width: width * 4 * ROWS / SECTOR / sectors_of_rows(ROWS, width) for width in WIDTHS}
    assert 0.25 < shares[3] < 0.35 and 0.85 < shares[45] < 0.88 and shares[8] == shares[64] == 1.0


@pytest.mark.parametrize("source", ["float32", "float64"])
def test_rows_of_whole_sectors_are_gathered_in_them(fake_cupy, source):
    order, out = fake_cupy.asarray(rng.permutation(ROWS)), fake_cupy.empty(ROWS * UNITS, np.float32)
    table = fake_cupy.asarray(rng.standard_normal(ROWS * UNITS).astype(source))
    call = Call("gather", (ref(order, ORDER), ref(table, FLOAT)), (ref(out, FLOAT),), {"source": source})
    hold(launched(fake_cupy, call))


def test_parts_of_tables_are_gathered_in_whole_sectors(fake_cupy):
    wide, numbers = Spec((2 * UNITS,)), Spec((4, UNITS), rows=False)
    index = fake_cupy.asarray(rng.permutation(ROWS).astype(np.int32))
    specs = [ORDER, FLOAT, LABEL, numbers]
    inputs = [ref(filled(fake_cupy, spec), spec) for spec in specs]
    inputs[2] = ref(index, LABEL)
    attrs = {"part": PartSource("float32", UNITS, 1), "column": UNITS}
    hold(
        launched(fake_cupy, Call("gather_part", tuple(inputs), (ref(filled(fake_cupy, wide), wide),), attrs))
    )


# --------------------------------------------------------------------------- whole steps
#: Lines that read the caller's rows, and the one that copies rows of weights to rows of odd length: if these
#: were even, it meets some bank twice, where they come from or where they go.
CALLERS, PADS = ("data.x[", "data.t[", "data.w["), "stage[k * SS + j]"


def trained(regime, sizes, batch=32):
    """Train a stack of dense layers for an epoch; return each line's accesses, added up, with its text."""
    x = rng.standard_normal((64, sizes[0])).astype(np.float32)
    parts = [part for size in sizes[1:-1] for part in (layers.Dense(size, "relu"), layers.Dropout(0.3))]
    net = Sequential([layers.Input((sizes[0],)), *parts, layers.Dense(sizes[-1], "sigmoid")], seed=1)
    net.compile("adam", "binary_crossentropy", metrics=["accuracy"], device="gpu")
    with recording() as found, regimes.preferred(regime):
        net.fit(x, (x[:, : sizes[-1]] > 0).astype(np.float32), epochs=1, batch_size=batch, verbose=0)
    total = collections.defaultdict(lambda: np.zeros(3, int))
    for one in found:
        if one.kernel in ("resident", "fused", "sum_blocks"):
            total[one[:4]] += one[4:]
    assert {kernel for kernel, *_ in total} == ({regime} if regime == "resident" else {"fused", "sum_blocks"})
    for (kernel, line, shared, write), numbers in total.items():
        source, number = line.split(".cu:")
        text = compiling.text(source).splitlines()[int(number) - 1]
        yield text, type(found[0])(kernel, line, shared, write, *map(int, numbers))


def hold_step(regime, sizes):
    tables = dict.fromkeys(CALLERS, 0)
    for text, one in trained(regime, sizes):
        caller = next((name for name in CALLERS if name in text), None)
        if caller and not one.shared:
            tables[caller] += one.moved
        elif one.shared and PADS in text:
            assert one.moved <= 2 * one.fewest, one
        else:
            hold([one])
    for caller, width in (("data.x[", sizes[0]), ("data.t[", sizes[-1])):
        assert sectors_of_rows(64, width) >= LEAST * tables[caller] > 0, caller


@pytest.mark.parametrize(
    "sizes", [(2, 3, 1), (5, 8, 1), (8, 8, 1), (7, 16, 1), (30, 32, 1), (6, 10, 8, 2)], ids=str
)
def test_steps_in_one_block_meet_every_bank_once(fake_cupy, sizes):
    hold_step("resident", sizes)


@pytest.mark.parametrize(
    ("tile", "sizes"),
    [(8, (45, 64, 64, 1)), (8, (30, 32, 1)), (32, (64, 64, 32, 1)), (32, (30, 32, 1))],
    ids=lambda given: str(given),
)
def test_fused_steps_are_coalesced(fake_cupy, monkeypatch, tile, sizes):
    """In tiles of 32 a warp takes several rows: the profile needs as many turns of each lane in a row."""
    monkeypatch.setattr(fused, "TILES", (tile, 8))
    monkeypatch.setattr(fused, "MOST_BLOCKS", 1)
    hold_step("fused", sizes)


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
