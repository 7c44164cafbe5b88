"""PyTorch on a GPU: the CPU's loop with the table on the device; `compile`; `graph`: a whole step captured.

`graph` is the "whole network capture" of PyTorch's notes on CUDA graphs: forward, backward and a capturable
optimizer on static batches, which each step fills by one gather from the epoch's order.
"""

from __future__ import annotations

import torch

from benchmarks.rivals import torch_
from benchmarks.rivals.torch_ import PACKAGES, deviation
from benchmarks.workloads import Workload

__all__ = ["PACKAGES", "Model", "deviation", "setup"]
WARM_UP = 3  # eager steps on a side stream before the capture, as the notes ask


def setup(threads: int) -> None:
    if not torch.cuda.is_available():
        raise RuntimeError("PyTorch sees no CUDA device")


def make_optimizer(w: Workload, params: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The CPU rival's optimizer, capturable; SGD needs no word for it."""
    o = w.params
    lr = o["learning_rate"]
    if w.optimizer == "sgd":
        return torch_.make_optimizer(w, params)
    if w.optimizer == "rmsprop":
        return torch.optim.RMSprop(
            params, lr, alpha=o["rho"], eps=o["epsilon"], foreach=True, capturable=True
        )
    return torch.optim.Adam(params, lr, (o["beta_1"], o["beta_2"]), o["epsilon"], fused=True, capturable=True)


class Model(torch_.Model):
    device = "cuda"
    make_optimizer = staticmethod(make_optimizer)

    def __init__(self, w, X, y, weights, threads, variant) -> None:
        super().__init__(w, X, y, weights, threads, variant)
        self.graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        self.captured = variant == "graph"

    def train(self, epochs: int) -> None:
        if not self.captured:
            super().train(epochs)
            torch.cuda.synchronize()
            return
        size, rows = self.w.batch_size, len(self.X)
        for _ in range(epochs):
            order = torch.randperm(rows, device=self.device)
            for start in range(0, rows, size):
                part = order[start : start + size]
                graph, index = self.graph_of(len(part))
                index.copy_(part)
                graph.replay()
        torch.cuda.synchronize()

    def graph_of(self, rows: int) -> tuple[torch.cuda.CUDAGraph, torch.Tensor]:
        """A captured step of so many rows (the last batch may be smaller), and the rows it takes."""
        if rows not in self.graphs:
            index = torch.arange(rows, device=self.device)
            kept = self.state()
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    self.step(index)
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self.step(index)
            self.put_back(kept)
            self.graphs[rows] = graph, index
        return self.graphs[rows]

    def step(self, index: torch.Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=False)
        self.loss(self.X[index], self.y[index]).backward()
        self.optimizer.step()

    def state(self) -> tuple[list[torch.Tensor], dict[int, dict[str, torch.Tensor]]]:
        """Copies of weights and optimizer state: warming up must not train."""
        copies = {
            number: {name: value.clone() for name, value in self.optimizer.state[p].items()}
            for number, p in enumerate(self.net.parameters())
            if p in self.optimizer.state
        }
        return [p.detach().clone() for p in self.net.parameters()], copies

    def put_back(self, kept: tuple[list[torch.Tensor], dict[int, dict[str, torch.Tensor]]]) -> None:
        """In place: the graph has the addresses."""
        weights, copies = kept
        with torch.no_grad():
            for number, (p, old) in enumerate(zip(self.net.parameters(), weights, strict=True)):
                p.copy_(old)
                for name, value in self.optimizer.state[p].items():
                    before = copies.get(number, {}).get(name)
                    if isinstance(value, torch.Tensor):
                        value.copy_(before) if before is not None else value.zero_()
