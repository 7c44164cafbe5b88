"""onnxruntime: predictions only, from a graph of Gemm, Relu and Sigmoid as the exporters write it."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.rivals import Unsupported
from benchmarks.workloads import CHUNK, Weights, Workload

PACKAGES = ("onnxruntime", "onnx", "numpy")
OPSET, IR = 17, 8


def deviation(w: Workload, variant: str) -> str:
    return ""


def graph(w: Workload, weights: Weights) -> bytes:
    nodes, constants, value = [], [], "X"
    for i, (kernel, bias) in enumerate(weights):
        constants += [numpy_helper.from_array(kernel, f"W{i}"), numpy_helper.from_array(bias, f"b{i}")]
        nodes.append(helper.make_node("Gemm", [value, f"W{i}", f"b{i}"], [f"Z{i}"]))
        last = i == len(weights) - 1
        value = "p" if last else f"H{i}"
        nodes.append(helper.make_node("Sigmoid" if last else "Relu", [f"Z{i}"], [value]))
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["rows", w.sizes[0]])]
    outputs = [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["rows", 1])]
    made = helper.make_graph(nodes, w.name, inputs, outputs, constants)
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(made, opset_imports=opset, ir_version=IR).SerializeToString()


class Model:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights, threads: int, variant: str
    ) -> None:
        if w.kind != "predict":
            raise Unsupported("predicts only")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        content = graph(w, weights)
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def predict(self, X: np.ndarray) -> np.ndarray:
        run = self.session.run
        parts = [run(("p",), {"X": X[i : i + CHUNK]})[0][:, 0] for i in range(0, len(X), CHUNK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
