"""NumPy by hand: the textbook loop, kept honest (no needless copies, parameters updated in place)."""

from __future__ import annotations

import numpy as np

from benchmarks.workloads import CHUNK, Weights, Workload

PACKAGES = ("numpy",)


def deviation(w: Workload, variant: str) -> str:
    return ""


def activate(w: Workload, Z: np.ndarray) -> np.ndarray:
    """The hidden activation, in place where NumPy can."""
    if w.activation == "relu":
        return np.maximum(Z, 0, out=Z)
    return np.tanh(Z, out=Z) if w.activation == "tanh" else 1 / (1 + np.exp(-Z))


class Model:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        self.w, self.X = w, X
        self.rng = np.random.default_rng(w.seed)
        outputs = w.sizes[-1]
        # One-hot rows (or the 0/1 column of a sigmoid unit): the gradient of the logits is then Y_hat - Y.
        if w.loss == "mse":
            self.Y = y
        else:
            self.Y = y.astype(w.dtype)[:, None] if outputs == 1 else np.eye(outputs, dtype=w.dtype)[y]
        self.W = [kernel.copy() for kernel, _ in weights]
        self.b = [bias.copy() for _, bias in weights]
        self.params = [*self.W, *self.b]
        self.slots = [(np.zeros_like(p), np.zeros_like(p)) for p in self.params]
        self.t = 0

    def gradients(self, X: np.ndarray, Y: np.ndarray) -> list[np.ndarray]:
        w, inputs, masks, values = self.w, [X], [], []
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            Z = inputs[-1] @ W
            Z += b
            if i == len(self.W) - 1:
                break
            H = activate(w, Z)
            if w.dropout:
                keep = 1 - w.dropout
                masks.append((self.rng.random(H.shape, dtype=H.dtype) < keep) * H.dtype.type(1 / keep))
                values.append(H)
                H = H * masks[-1]
            inputs.append(H)
        if w.loss == "mse":
            dZ = Z * (2 / Z.shape[1])
            Y = Y * Z.dtype.type(2 / Z.shape[1])
        elif Z.shape[1] == 1:
            dZ = 1 / (1 + np.exp(-Z))
        else:
            dZ = np.exp(Z - Z.max(1, keepdims=True))
            dZ /= dZ.sum(1, keepdims=True)
        dZ -= Y
        dZ *= dZ.dtype.type(1 / len(X))
        dW, db = [], []
        for i in reversed(range(len(self.W))):
            dW.insert(0, inputs[i].T @ dZ)
            db.insert(0, dZ.sum(0))
            if i:
                dH, H = dZ @ self.W[i].T, inputs[i]
                if w.dropout:
                    dH *= masks[i - 1]
                # relu: a kept unit is positive exactly where its dropped-out value is
                if w.activation == "relu":
                    dZ = dH * (H > 0)
                else:
                    A = H if not w.dropout else values[i - 1]
                    dZ = dH * (1 - A * A) if w.activation == "tanh" else dH * A * (1 - A)
        return [*dW, *db]

    def update(self, grads: list[np.ndarray]) -> None:
        o = self.w.params
        lr = o["learning_rate"]
        self.t += 1
        for p, g, (m, v) in zip(self.params, grads, self.slots, strict=True):
            if self.w.optimizer == "sgd":
                m *= o["momentum"]
                m -= lr * g
                p += m
            elif self.w.optimizer == "rmsprop":
                v *= o["rho"]
                v += (1 - o["rho"]) * g * g
                p -= lr * g / np.sqrt(v + o["epsilon"])
            else:
                m += (1 - o["beta_1"]) * (g - m)
                v += (1 - o["beta_2"]) * (g * g - v)
                rate = lr * (1 - o["beta_2"] ** self.t) ** 0.5 / (1 - o["beta_1"] ** self.t)
                p -= rate * m / (np.sqrt(v) + o["epsilon"])

    def train(self, epochs: int) -> None:
        n, size = len(self.X), self.w.batch_size
        for _ in range(epochs):
            X, Y = self.X, self.Y
            if self.w.shuffle:
                order = self.rng.permutation(n)
                X, Y = X[order], Y[order]
            for start in range(0, n, size):
                self.update(self.gradients(X[start : start + size], Y[start : start + size]))

    def predict(self, X: np.ndarray) -> np.ndarray:
        if len(X) > CHUNK:
            return np.concatenate([self.predict(X[i : i + CHUNK]) for i in range(0, len(X), CHUNK)])
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            X = X @ W
            X += b
            X = activate(self.w, X)
        return 1 / (1 + np.exp(-(X @ self.W[-1] + self.b[-1])[:, 0]))

    def weights(self) -> Weights:
        return list(zip(self.W, self.b, strict=True))
