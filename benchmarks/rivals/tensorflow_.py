"""TensorFlow without `fit`: `tf.function(jit_compile=True)` of a step, or (`loop`) of a whole epoch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from benchmarks.workloads import CHUNK, Weights, Workload

PACKAGES = ("tensorflow-cpu", "keras", "numpy")


def setup(threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def deviation(w: Workload, variant: str) -> str:
    return ""


def make_optimizer(w: Workload) -> tf.keras.optimizers.Optimizer:
    names = {"sgd": "SGD", "rmsprop": "RMSprop", "adam": "Adam"}
    return getattr(tf.keras.optimizers, names[w.optimizer])(**w.params)


class Model:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        tf.random.set_seed(w.seed)
        self.w, self.variant = w, variant
        self.X = tf.constant(X)
        self.y = tf.constant(y.astype(np.int32) if w.loss.startswith("sparse") else y.astype(w.dtype))
        if w.sizes[-1] == 1:
            self.y = self.y[:, None]
        self.params = [tf.Variable(array) for pair in weights for array in pair]
        self.optimizer = make_optimizer(w)
        self.optimizer.build(self.params)
        rest = w.rows % w.batch_size
        self.parts = [w.batch_size] * (w.rows // w.batch_size) + ([rest] if rest else [])
        self.step = tf.function(self._step, jit_compile=True)
        self.epoch = tf.function(self._epoch, jit_compile=True)
        self.probabilities = tf.function(self._probabilities, jit_compile=True, reduce_retracing=False)

    def _step(self, X: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        activation = getattr(tf.math if self.w.activation == "tanh" else tf.nn, self.w.activation)
        with tf.GradientTape() as tape:
            h, last = X, len(self.params) // 2 - 1
            for i in range(last + 1):
                h = h @ self.params[2 * i] + self.params[2 * i + 1]
                if i < last:
                    h = activation(h)
                    if self.w.dropout:
                        h = tf.nn.dropout(h, self.w.dropout)
            if self.w.loss == "mse":
                losses = tf.math.squared_difference(h, y)
            elif self.w.sizes[-1] == 1:
                losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=h)
            else:
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=h)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, self.params)
        self.optimizer.apply_gradients(zip(gradients, self.params, strict=True))
        return loss

    def _epoch(self, X: tf.Tensor, y: tf.Tensor) -> None:
        """All steps of an epoch (full batch: of 50) in one compiled loop, then the smaller last batch."""
        w, full = self.w, self.w.rows // self.w.batch_size
        if not w.shuffle:
            for _ in tf.range(50):
                self._step(X, y)
            return
        head = full * w.batch_size
        Xs = tf.reshape(X[:head], (full, w.batch_size, X.shape[1]))
        ys = tf.reshape(y[:head], (full, w.batch_size, *y.shape[1:]))
        for i in tf.range(full):
            self._step(Xs[i], ys[i])
        if head < w.rows:
            self._step(X[head:], y[head:])

    def train(self, epochs: int) -> None:
        w = self.w
        if not w.shuffle:
            rounds = epochs // 50 if self.variant == "loop" else 0
            for _ in range(rounds):
                self.epoch(self.X, self.y)
            for _ in range(epochs - 50 * rounds):
                self.step(self.X, self.y)
            self.params[0].numpy()
            return
        for _ in range(epochs):
            order = self.order()
            X, y = tf.gather(self.X, order), tf.gather(self.y, order)
            if self.variant == "loop":
                self.epoch(X, y)
                continue
            # One split an epoch: two slices a step would cost as much as the step.
            for xb, yb in zip(tf.split(X, self.parts), tf.split(y, self.parts), strict=True):
                self.step(xb, yb)
        self.params[0].numpy()  # wait for the last step

    def order(self) -> tf.Tensor:
        return tf.random.shuffle(tf.range(self.w.rows))

    def _probabilities(self, X: tf.Tensor) -> tf.Tensor:
        *hidden, (kernel, bias) = zip(self.params[::2], self.params[1::2], strict=True)
        for W, b in hidden:
            X = tf.nn.relu(X @ W + b)
        return tf.sigmoid((X @ kernel + bias)[:, 0])

    def predict(self, X: np.ndarray) -> np.ndarray:
        parts = [self.probabilities(tf.constant(X[i : i + CHUNK])).numpy() for i in range(0, len(X), CHUNK)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def weights(self) -> Weights:
        flat = [p.numpy() for p in self.params]
        return list(zip(flat[::2], flat[1::2], strict=True))
