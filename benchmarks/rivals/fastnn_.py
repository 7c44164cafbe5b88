"""fastnn, as its user calls it: `fit(..., verbose=0)`."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads import Weights, Workload, targets
from fastnn.layers import Dense, Dropout, Input
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam, RMSprop

PACKAGES = ("numba", "llvmlite", "numpy", "scipy")
OPTIMIZERS = {"sgd": SGD, "rmsprop": RMSprop, "adam": Adam}
OUTPUTS = {"binary_crossentropy": "sigmoid", "sparse_categorical_crossentropy": "softmax", "mse": "linear"}


def deviation(w: Workload, variant: str) -> str:
    return ""


class Model:
    device = "cpu"

    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        *hidden, outputs = w.sizes[1:]
        layers = [Input((w.sizes[0],))]
        for units in hidden:
            layers.append(Dense(units, activation=w.activation))
            if w.dropout:
                layers.append(Dropout(w.dropout))
        layers.append(Dense(outputs, activation=OUTPUTS[w.loss]))
        self.model = Sequential(layers, seed=w.seed, dtype=w.dtype)
        self.model.compile(optimizer=OPTIMIZERS[w.optimizer](**w.params), loss=w.loss, device=self.device)
        if weights is not None:
            self.model.set_weights([array for pair in weights for array in pair])
        self.X, self.y = X, targets(w, y)
        self.fit = {"batch_size": w.batch_size, "shuffle": w.shuffle, "verbose": 0, "threads": threads}

    def train(self, epochs: int) -> None:
        self.model.fit(self.X, self.y, epochs=epochs, **self.fit)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.model.predict(X, verbose=0)[:, 0]

    def weights(self) -> Weights:
        flat = self.model.get_weights()
        return list(zip(flat[::2], flat[1::2], strict=True))
