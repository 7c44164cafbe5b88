"""PyTorch: the sliced-tensor loop its users write when a DataLoader is too slow; `compile`: torch.compile;
`dataloader`: its tutorial's DataLoader; `func`: a population by torch.func, as in its ensembling
tutorial.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.rivals import Unsupported
from benchmarks.workloads import CHUNK, Weights, Workload, targets

PACKAGES = ("torch", "numpy")
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
LOSSES = {
    "binary_crossentropy": nn.BCEWithLogitsLoss,
    "sparse_categorical_crossentropy": nn.CrossEntropyLoss,
    "mse": nn.MSELoss,
}


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


def make_net(w: Workload, weights: Weights | None) -> nn.Sequential:
    dtype = getattr(torch, w.dtype)
    layers: list[nn.Module] = []
    for i in range(len(w.sizes) - 1):
        dense = nn.Linear(w.sizes[i], w.sizes[i + 1], dtype=dtype)
        if weights is not None:
            with torch.no_grad():
                dense.weight.copy_(torch.from_numpy(weights[i][0].T))
                dense.bias.copy_(torch.from_numpy(weights[i][1]))
        layers.append(dense)
        if i < len(w.sizes) - 2:
            layers.append(ACTIVATIONS[w.activation]())
            if w.dropout:
                layers.append(nn.Dropout(w.dropout))
    return nn.Sequential(*layers)


def read_weights(net: nn.Sequential) -> Weights:
    dense = [layer for layer in net if isinstance(layer, nn.Linear)]
    return [(d.weight.detach().cpu().numpy().T, d.bias.detach().cpu().numpy()) for d in dense]


class Model:
    device = "cpu"

    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        if variant == "compile" and w.kind == "fresh":
            raise Unsupported("torch.compile takes seconds for each new model")
        if variant == "func":
            raise Unsupported("trains populations only")
        torch.set_num_threads(threads)
        torch.manual_seed(w.seed)
        self.w = w
        self.net = make_net(w, weights).to(self.device)
        self.criterion = LOSSES[w.loss]()
        self.optimizer = self.make_optimizer(w, list(self.net.parameters()))
        self.X = torch.from_numpy(X).to(self.device)
        self.y = torch.from_numpy(targets(w, y)).to(self.device)
        self.loss = torch.compile(self.forward, dynamic=False) if variant == "compile" else self.forward
        self.loader = None
        if variant == "dataloader":
            table = TensorDataset(self.X, self.y)
            self.loader = DataLoader(table, batch_size=w.batch_size, shuffle=w.shuffle)
        if w.kind == "predict":
            self.net.append(nn.Sigmoid()).eval()
            self.answer = torch.compile(self.net) if variant == "compile" else self.net

    make_optimizer = staticmethod(make_optimizer)

    def forward(self, X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.criterion(self.net(X), y)

    def train(self, epochs: int) -> None:
        optimizer = self.optimizer
        for _ in range(epochs):
            for xb, yb in self.loader or self.batches():
                optimizer.zero_grad()
                loss = self.loss(xb, yb)
                loss.backward()
                optimizer.step()
        loss.item()

    def batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        X, y, size = self.X, self.y, self.w.batch_size
        if self.w.shuffle:
            order = torch.randperm(len(X), device=self.device)
            X, y = X[order], y[order]  # one gather an epoch beats one a batch
        return zip(X.split(size), y.split(size), strict=True)

    @torch.inference_mode()
    def predict(self, X: np.ndarray) -> np.ndarray:
        parts = [self.answer(part) for part in torch.from_numpy(X).split(CHUNK)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).numpy()[:, 0]

    def weights(self) -> Weights:
        return read_weights(self.net)


class FuncPopulation:
    """Stacked parameters, gradients by vmap(grad(...)), one fused optimizer over the stacks."""

    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, starts: list[Weights], threads: int, variant: str
    ) -> None:
        torch.set_num_threads(threads)
        torch.manual_seed(w.seed)
        self.w = w
        nets = [make_net(w, start) for start in starts]
        self.params, buffers = stack_module_state(nets)
        criterion, base = LOSSES[w.loss](), nets[0]

        def loss(params: dict[str, torch.Tensor], X: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return criterion(functional_call(base, (params, buffers), (X,)), y)

        self.gradients = vmap(grad(loss), randomness="different")
        self.optimizer = make_optimizer(w, list(self.params.values()))
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(targets(w, y))

    def train(self, epochs: int) -> None:
        size = self.w.batch_size
        for _ in range(epochs):
            orders = torch.stack([torch.randperm(len(self.X)) for _ in range(self.w.count)])
            X, y = self.X[orders], self.y[orders]
            for xb, yb in zip(X.split(size, 1), y.split(size, 1), strict=True):
                for name, gradient in self.gradients(self.params, xb, yb).items():
                    self.params[name].grad = gradient
                self.optimizer.step()

    def weights(self) -> list[Weights]:
        arrays = [value.detach().numpy() for value in self.params.values()]
        pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
        return [[(W[i].T, b[i]) for W, b in pairs] for i in range(self.w.count)]


POPULATIONS = {"func": FuncPopulation}
