"""PyTorch: the sliced-tensor loop its users write when a DataLoader is too slow; `compile`: torch.compile."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmarks.rivals import Unsupported
from benchmarks.workloads import Weights, Workload

PACKAGES = ("torch", "numpy")
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def deviation(w: Workload, variant: str) -> str:
    return ""


def make_optimizer(w: Workload, params: list[nn.Parameter]) -> torch.optim.Optimizer:
    o = w.params
    lr = o["learning_rate"]
    if w.optimizer == "sgd":
        return torch.optim.SGD(params, lr, momentum=o["momentum"], fused=True)
    if w.optimizer == "rmsprop":  # has no fused form
        return torch.optim.RMSprop(params, lr, alpha=o["rho"], eps=o["epsilon"], foreach=True)
    return torch.optim.Adam(params, lr, (o["beta_1"], o["beta_2"]), o["epsilon"], fused=True)


class Model:
    device = "cpu"

    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        if variant == "compile" and w.kind == "fresh":
            raise Unsupported("torch.compile takes seconds for each new model")
        torch.set_num_threads(threads)
        torch.manual_seed(w.seed)
        self.w = w
        outputs = w.sizes[-1]
        layers: list[nn.Module] = []
        for i in range(len(w.sizes) - 1):
            dense = nn.Linear(w.sizes[i], w.sizes[i + 1])
            if weights is not None:
                with torch.no_grad():
                    dense.weight.copy_(torch.from_numpy(weights[i][0].T))
                    dense.bias.copy_(torch.from_numpy(weights[i][1]))
            layers.append(dense)
            if i < len(w.sizes) - 2:
                layers.append(ACTIVATIONS[w.activation]())
                if w.dropout:
                    layers.append(nn.Dropout(w.dropout))
        self.net = nn.Sequential(*layers).to(self.device)
        self.criterion = nn.BCEWithLogitsLoss() if outputs == 1 else nn.CrossEntropyLoss()
        self.optimizer = self.make_optimizer(w, list(self.net.parameters()))
        self.X = torch.from_numpy(X).to(self.device)
        self.y = torch.from_numpy(y.astype(w.dtype)[:, None] if outputs == 1 else y).to(self.device)
        self.loss = torch.compile(self.forward, dynamic=False) if variant == "compile" else self.forward

    make_optimizer = staticmethod(make_optimizer)

    def forward(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.criterion(self.net(X), y)

    def train(self, epochs: int) -> None:
        optimizer, size = self.optimizer, self.w.batch_size
        for _ in range(epochs):
            X, y = self.X, self.y
            if self.w.shuffle:
                order = torch.randperm(len(X), device=self.device)
                X, y = X[order], y[order]  # one gather an epoch beats one a batch
            for xb, yb in zip(X.split(size), y.split(size), strict=True):
                optimizer.zero_grad()
                loss = self.loss(xb, yb)
                loss.backward()
                optimizer.step()
        loss.item()

    def weights(self) -> Weights:
        dense = [layer for layer in self.net if isinstance(layer, nn.Linear)]
        return [(d.weight.detach().cpu().numpy().T, d.bias.detach().cpu().numpy()) for d in dense]
