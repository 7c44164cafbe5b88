"""How fast the device runs our kernels, beside what it could do at most; and cuBLAS and graphs.

A time is that of many launches in a row between two synchronisations, divided by their number. So it is the
kernel's, or that of a launch where the kernel is shorter: the table has the launch by itself too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import eager
from fastnn.backends.gpu.floors import Work
from fastnn.backends.gpu.limits import Limits, floors, work_of
from fastnn.backends.gpu.selfcheck import SEED, TOLERANCE, Check, error_of, guarded
from fastnn.ops import registry
from fastnn.ops.dispatch import input_names
from fastnn.ops.registry import PARAMETER_NAMES, Spec

#: Seconds of launches that make a time; so many launches at most.
LONG_ENOUGH, MOST_LAUNCHES = 0.02, 2000


class Case(NamedTuple):
    """An op on arrays of stated shapes.

    Attributes
    ----------
    op : str
    shapes : tuple of tuple of int
        Of its inputs.
    case : str
    """

    op: str
    shapes: tuple[tuple[int, ...], ...]
    case: str


def cases(rows: int = 1 << 20) -> list[Case]:
    """Return what is timed: memory-bound ops on `rows` x 64, and dense layers of three widths."""
    tall, some, batch = (rows, 64), max(rows // 128, 1), max(rows // 2048, 1)
    found = [
        Case(op, (tall,) * count, f"{rows:,} x 64")
        for op, count in (("add", 2), ("relu", 1), ("sigmoid", 1), ("sigmoid_grad", 2), ("softmax", 1))
    ]
    for n, (inputs, units) in ((some, (45, 64)), (some, (512, 1024)), (batch, (45, 64))):
        x, w, dy = (n, inputs), (inputs, units), (n, units)
        case = f"{n:,} x {inputs} -> {units}"
        found += [
            Case("dense", (x, w, (units,)), case), Case("dense_dx", (dy, w), case),
            Case("dense_dw", (x, dy), case), Case("dense_db", (dy,), case),
        ]  # fmt: skip
    return found


class Timing(NamedTuple):
    """A measured time beside the two floors, all in seconds; a floor is 0 where the limit is unknown."""

    name: str
    case: str
    seconds: float
    work: Work
    arithmetic: float
    memory: float

    @property
    def share(self) -> float:
        """The higher floor by the time: 1 is as fast as the device can."""
        return max(self.arithmetic, self.memory) / self.seconds


def measure(case: Case, limits: Limits) -> Timing:
    """Time one op in float32."""
    cp = compiling.cupy()
    op = registry.get(case.op)
    rng = np.random.default_rng(SEED)
    inputs = [rng.uniform(0.1, 0.9, shape).astype(np.float32) for shape in case.shapes]
    labels = input_names(op, len(inputs))
    specs = [
        Spec(a.shape, rows=False) if label in PARAMETER_NAMES else Spec(a.shape[1:])
        for label, a in zip(labels, inputs, strict=True)
    ]
    attrs, rows = op.complete({}), case.shapes[0][0]
    out_specs = op.shape(specs, attrs)
    outputs = [cp.empty((rows, *s.shape) if s.rows else s.shape, np.float32) for s in out_specs]
    call = eager.Call(
        case.op,
        tuple(eager.ArrayRef(cp.asarray(a).reshape(-1), s) for a, s in zip(inputs, specs, strict=True)),
        tuple(eager.ArrayRef(a.reshape(-1), s) for a, s in zip(outputs, out_specs, strict=True)),
        attrs,
    )
    bound = eager.bind(call, "float32", rows)
    return _timing(case.op, case.case, lambda: eager.go(bound), work_of(case.op, inputs, outputs), limits)


def measure_update(parameters: int, limits: Limits) -> Timing:
    """Time Adam's update of so many float32 parameters."""
    cp = compiling.cupy()
    arrays = [cp.zeros(parameters, np.float32) for _ in range(4)]
    hyper = [1e-3, 0.0, 0.9, 0.999, 1e-7]
    call = eager.update_call("adam", arrays[0], arrays[1], arrays[2:], hyper, {"decay": False})
    bound = eager.bind(call, "float32", 1)
    done = Work(12.0 * parameters, 7.0 * 4 * parameters)  # four arrays read, three written
    return _timing("adam", f"{parameters:,} parameters", lambda: eager.go(bound), done, limits)


def measure_launch(limits: Limits) -> Timing:
    """Time a kernel that does next to nothing: the least a launch costs."""
    timing = measure(Case("add", ((1, 1), (1, 1)), "one element"), limits)
    return timing._replace(name="a launch")


def measure_product(extents: tuple[int, int, int], limits: Limits) -> Timing:
    """Time cuBLAS on the product of a dense layer (rows, inputs, units)."""
    cp = compiling.cupy()
    rows, inputs, units = extents
    x, w = cp.ones((rows, inputs), np.float32), cp.ones((inputs, units), np.float32)
    y = cp.empty((rows, units), np.float32)
    done = work_of("dense", [x, w], [y])
    case = f"{rows:,} x {inputs} -> {units}"
    return _timing("cuBLAS", case, lambda: cp.matmul(x, w, out=y), done, limits)


def _timing(name: str, case: str, launch: Callable[[], Any], done: Work, limits: Limits) -> Timing:
    return Timing(name, case, _seconds(launch), done, *floors(done, limits))


def _seconds(launch: Callable[[], Any]) -> float:
    """Return the time of one of many launches."""
    device = compiling.cupy().cuda.Device()
    launch()  # loads the kernel
    device.synchronize()
    count = 1
    while True:
        started = time.perf_counter()
        for _ in range(count):
            launch()
        device.synchronize()
        took = time.perf_counter() - started
        if took >= LONG_ENOUGH or count >= MOST_LAUNCHES:
            return took / count
        count = min(MOST_LAUNCHES, 1 + int(count * min(100.0, 1.2 * LONG_ENOUGH / max(took, 1e-9))))


# --------------------------------------------------------------------------- cuBLAS and graphs
def check_products(shapes: Sequence[tuple[int, int, int]]) -> Iterator[Check]:
    """Compare cuBLAS with our dense kernel and both with NumPy, for (rows, inputs, units)."""
    for rows, inputs, units in shapes:
        case = f"{rows:,} x {inputs} -> {units}"
        rng = np.random.default_rng(SEED)
        x, w = (rng.normal(size=shape).astype(np.float32) for shape in ((rows, inputs), (inputs, units)))
        exact = x.astype(np.float64) @ w.astype(np.float64)
        for name, product in (("cuBLAS", _cublas), ("our kernel", _ours)):
            tolerance = TOLERANCE["float32"]
            yield guarded("products", name, case, tolerance, _product_error, product, x, w, exact)


def _product_error(
    product: Callable[..., np.ndarray], x: np.ndarray, w: np.ndarray, exact: np.ndarray
) -> float:
    return error_of(product(x, w), exact)


def _cublas(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    cp = compiling.cupy()
    out = cp.empty((len(x), w.shape[1]), np.float32)
    cp.matmul(cp.asarray(x), cp.asarray(w), out=out)
    return out.get()


def _ours(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    cp = compiling.cupy()
    inputs, units = w.shape
    specs = [Spec((inputs,)), Spec((inputs, units), rows=False)]
    return eager.run("dense", [cp.asarray(x), cp.asarray(w)], specs, [Spec((units,))], {}, len(x))[0].get()


def check_capture(replays: int = 10) -> Iterator[Check]:
    """Record momentum's update as a CUDA graph, replay it, and compare with launches: every bit the same."""
    yield guarded("capture", "graph", f"{replays} replays", 0.0, _capture_error, replays)


def _capture_error(replays: int) -> float:
    cp = compiling.cupy()
    stream = cp.cuda.Stream(non_blocking=True)
    results = []
    for capture in (False, True):
        with stream:
            rng = np.random.default_rng(SEED)
            arrays = [cp.asarray(rng.normal(size=1037).astype(np.float32)) for _ in range(3)]
            hyper, attrs = [0.01, 0.0, 0.9], {"decay": False}
            call = eager.update_call("sgd", arrays[0], arrays[1], arrays[2:], hyper, attrs)
            bound = eager.bind(call, "float32", 1)
            eager.go(bound)  # loads the kernel, which a capture cannot
            if capture:
                stream.begin_capture()
                eager.go(bound)
                graph = stream.end_capture()
            for _ in range(replays):
                if capture:
                    graph.launch(stream)
                else:
                    eager.go(bound)
            stream.synchronize()
            results.append(arrays[0].get())
    return 0.0 if np.array_equal(*results) else max(error_of(results[1], results[0]), 1e-30)
