"""Prediction from one row to a million, beside onnxruntime where it is installed.

    pytest benchmarks/test_predict.py --benchmark-only

20-64-32-1, relu, float32, one thread each; both are given the same weights and must give the same
numbers. `speed` is onnxruntime's best time over ours, of many short runs by turns in one process. Install
`onnxruntime` and `onnx` for the comparison; unset OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE first, as
benchmarks.run does.
"""

from __future__ import annotations

import gc
import time

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")

from fastnn import Input, Model, Sequential, layers, ops

#: Least speed, as a multiple of onnxruntime's. Of 10,000 rows it is told, not asserted: both spend their time
#: in products, and whose are faster differs from processor to processor.
AIMS = {1: 2.0, 100: 1.0, 10_000: 0.0, 1_000_000: 1.0}
SECONDS = 2.0


def network():
    stack = [layers.Dense(64, "relu", input_shape=(20,)), layers.Dense(32, "relu"), layers.Dense(1)]
    return Sequential(stack, seed=1)


def onnx_session(weights):
    """Return onnxruntime's session of the same network, one thread; None where it is not installed."""
    try:
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        return None
    constants = [numpy_helper.from_array(array, f"weight{k}") for k, array in enumerate(weights)]
    nodes, last = [], "x"
    for k in range(0, len(weights), 2):
        end = k + 2 == len(weights)
        product = "y" if end else f"product{k}"
        nodes.append(helper.make_node("Gemm", [last, f"weight{k}", f"weight{k + 1}"], [product]))
        if not end:
            nodes.append(helper.make_node("Relu", [product], [f"relu{k}"]))
        last = f"relu{k}"
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])]
        for name, width in (("x", weights[0].shape[0]), ("y", weights[-1].shape[0]))
    ]
    graph = helper.make_graph(nodes, "network", *ends, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)


def best_by_turns(functions, budget):
    """Return each function's best time a call, of short runs that alternate."""
    best = dict.fromkeys(functions, np.inf)
    started = time.perf_counter()
    while time.perf_counter() - started < budget:
        for name, function in functions.items():
            calls = max(1, int(2e-4 / best[name]))
            begun = time.perf_counter()
            for _ in range(calls):
                function()
            best[name] = min(best[name], (time.perf_counter() - begun) / calls)
    return best


@pytest.mark.parametrize("rows", AIMS)
def test_predict(benchmark, rows):
    model = network()
    x = np.random.default_rng(0).standard_normal((rows, 20), dtype=np.float32)
    model.predict(x, threads=1)
    gc.collect()
    benchmark(model.predict, x, verbose=0, threads=1)
    session = onnx_session(model.get_weights())
    if session is None or benchmark.stats is None:  # None under --benchmark-disable
        return
    feed = {"x": x}
    np.testing.assert_allclose(model.predict(x), session.run(None, feed)[0], rtol=1e-4, atol=1e-5)
    functions = {
        "fastnn": lambda: model.predict(x, verbose=0, threads=1),
        "onnxruntime": lambda: session.run(None, feed),
    }
    best = best_by_turns(functions, SECONDS)
    speed = best["onnxruntime"] / best["fastnn"]
    benchmark.extra_info.update(
        fastnn_seconds=best["fastnn"], onnxruntime_seconds=best["onnxruntime"], speed=speed, aim=AIMS[rows]
    )
    assert speed >= AIMS[rows]


@pytest.mark.parametrize("rows", [1, 1_000])
def test_predict_of_several_inputs(benchmark, rows):
    """By the longer way: each array is read where it is."""
    a, b = Input((10,)), Input((10,))
    model = Model([a, b], layers.Dense(1)(layers.Dense(64, "relu")(layers.Concatenate()([a, b]))), seed=1)
    x = [np.ones((rows, 10), np.float32)] * 2
    benchmark(model.predict, x, verbose=0)


@pytest.mark.parametrize("name", ["relu", "softmax"])
def test_op_on_a_small_array(benchmark, name):
    benchmark(getattr(ops, name), np.ones((4, 3), np.float32))
