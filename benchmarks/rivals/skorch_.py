"""skorch: its `NeuralNet` around PyTorch modules, without validation split, printing or other callbacks."""

from __future__ import annotations

import numpy as np
import torch
from skorch import NeuralNet

from benchmarks.rivals import Unsupported
from benchmarks.rivals.torch_ import LOSSES, make_net, read_weights
from benchmarks.workloads import CHUNK, Weights, Workload, targets

PACKAGES = ("skorch", "torch", "scikit-learn", "numpy")


def deviation(w: Workload, variant: str) -> str:
    return ""


def optimizer_arguments(w: Workload) -> dict[str, object]:
    o = w.params
    if w.optimizer == "sgd":
        return {"optimizer": torch.optim.SGD, "optimizer__momentum": o["momentum"], "optimizer__fused": True}
    if w.optimizer == "rmsprop":
        return {
            "optimizer": torch.optim.RMSprop,
            "optimizer__alpha": o["rho"],
            "optimizer__eps": o["epsilon"],
        }
    betas = o["beta_1"], o["beta_2"]
    return {"optimizer": torch.optim.Adam, "optimizer__betas": betas, "optimizer__eps": o["epsilon"],
            "optimizer__fused": True}  # fmt: skip


class Model:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        if w.kind == "many":
            raise Unsupported("does what PyTorch does")
        torch.set_num_threads(threads)
        torch.manual_seed(w.seed)
        net = make_net(w, weights)
        if w.kind == "predict":
            net.append(torch.nn.Sigmoid())
        self.net = NeuralNet(
            net, LOSSES[w.loss], lr=w.params["learning_rate"], batch_size=w.batch_size, train_split=None,
            iterator_train__shuffle=w.shuffle, iterator_valid__batch_size=CHUNK, verbose=0,
            callbacks="disable", predict_nonlinearity=None, **optimizer_arguments(w),
        ).initialize()  # fmt: skip
        self.X, self.y = X, targets(w, y)

    def train(self, epochs: int) -> None:
        self.net.partial_fit(self.X, self.y, epochs=epochs)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.net.predict_proba(X)[:, 0]

    def weights(self) -> Weights:
        return read_weights(self.net.module_)
