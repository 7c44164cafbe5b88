"""thinc: the loop of its documentation: `multibatch`, `begin_update`, `backprop`, `finish_update`."""

from __future__ import annotations

import numpy as np
from thinc.api import Adam, Dropout, Linear, NumpyOps, Relu, chain, fix_random_seed, set_current_ops

from benchmarks.rivals import Unsupported
from benchmarks.workloads import CHUNK, Weights, Workload, targets

PACKAGES = ("thinc", "blis", "numpy")


def deviation(w: Workload, variant: str) -> str:
    return ""


class Model:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights, threads: int, variant: str
    ) -> None:
        if w.activation != "relu" or w.optimizer != "adam" or w.dtype != "float32":
            raise Unsupported(
                "written for ReLU, Adam and float32: thinc has no tanh layer, no momentum, no float64"
            )
        fix_random_seed(w.seed)
        self.ops = NumpyOps()
        set_current_ops(self.ops)
        layers = []
        for inputs, units in zip(w.sizes[:-2], w.sizes[1:-1], strict=True):
            layers.append(Relu(units, inputs))
            if w.dropout:
                layers.append(Dropout(w.dropout))
        layers.append(Linear(w.sizes[-1], w.sizes[-2]))
        self.w, self.model = w, chain(*layers) if len(layers) > 1 else layers[0]
        self.model.initialize(X=X[:2])
        self.dense = [layer for layer in layers if layer.has_param("W")]
        for layer, (kernel, bias) in zip(self.dense, weights, strict=True):
            layer.set_param("W", np.ascontiguousarray(kernel.T))
            layer.set_param("b", bias.copy())
        o = w.params
        self.optimizer = Adam(o["learning_rate"], beta1=o["beta_1"], beta2=o["beta_2"], eps=o["epsilon"],
                              L2=0.0, grad_clip=0.0, use_averages=False)  # fmt: skip
        self.X = X
        self.Y = targets(w, y) if w.sizes[-1] == 1 else np.eye(w.sizes[-1], dtype=w.dtype)[y]

    def train(self, epochs: int) -> None:
        model, optimizer, squash = self.model, self.optimizer, self.squash
        for _ in range(epochs):
            for X, Y in self.ops.multibatch(self.w.batch_size, self.X, self.Y, shuffle=self.w.shuffle):
                logits, backprop = model.begin_update(X)
                backprop((squash(logits) - Y) / len(X))
                model.finish_update(optimizer)

    def squash(self, logits: np.ndarray) -> np.ndarray:
        return self.ops.sigmoid(logits) if logits.shape[1] == 1 else self.ops.softmax(logits)

    def predict(self, X: np.ndarray) -> np.ndarray:
        parts = [self.squash(self.model.predict(X[i : i + CHUNK]))[:, 0] for i in range(0, len(X), CHUNK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def weights(self) -> Weights:
        return [(layer.get_param("W").T, layer.get_param("b")) for layer in self.dense]
