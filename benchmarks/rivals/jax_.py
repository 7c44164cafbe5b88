"""JAX with Optax: `step`: a jitted step; `scan`: a jitted `lax.scan` over an epoch's steps; `scan_rbg`: that
with the `rbg` generator; `vmap`: `scan` for a population of networks. Compiled functions are kept, so a
second model of the same shapes compiles nothing.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.rivals import Unsupported
from benchmarks.workloads import CHUNK, Weights, Workload

PACKAGES = ("jax", "jaxlib", "optax", "numpy")


def deviation(w: Workload, variant: str) -> str:
    return ""


def make_optimizer(w: Workload) -> optax.GradientTransformation:
    o = w.params
    lr = o["learning_rate"]
    if w.optimizer == "sgd":
        return optax.sgd(lr, momentum=o["momentum"])
    if w.optimizer == "rmsprop":
        return optax.rmsprop(lr, decay=o["rho"], eps=o["epsilon"], eps_in_sqrt=True)
    return optax.adam(lr, o["beta_1"], o["beta_2"], o["epsilon"])


def loss(w: Workload, params: Any, X: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
    activation = jnp.tanh if w.activation == "tanh" else getattr(jax.nn, w.activation)
    for i, (kernel, bias) in enumerate(params):
        X = X @ kernel + bias
        if i < len(params) - 1:
            X = activation(X)
            if w.dropout:
                keep = 1 - w.dropout
                mask = jax.random.bernoulli(jax.random.fold_in(key, i), keep, X.shape)
                X = jnp.where(mask, X / keep, 0)
    if w.loss == "mse":
        return ((X - y) ** 2).mean()
    if w.sizes[-1] == 1:
        return optax.sigmoid_binary_cross_entropy(X[:, 0], y).mean()
    return optax.softmax_cross_entropy_with_integer_labels(X, y).mean()


def step(w: Workload, state: Any, X: jax.Array, y: jax.Array) -> Any:
    params, slots, key = state
    sub = key
    if w.dropout:
        key, sub = jax.random.split(key)
    gradients = jax.grad(partial(loss, w))(params, X, y, sub)
    updates, slots = make_optimizer(w).update(gradients, slots, params)
    return optax.apply_updates(params, updates), slots, key


@jax.jit
def probabilities(params: Any, X: jax.Array) -> jax.Array:
    for kernel, bias in params[:-1]:
        X = jax.nn.relu(X @ kernel + bias)
    kernel, bias = params[-1]
    return jax.nn.sigmoid((X @ kernel + bias)[:, 0])


take = jax.jit(lambda array, order: array[order])


@cache
def compiled(w: Workload) -> tuple[Any, Any, Any]:
    """(one step, one epoch, many full-batch epochs), each one XLA program that reuses the state's memory."""
    full, size = w.rows // w.batch_size, w.batch_size
    head = full * size

    def one_step(state: Any, X: jax.Array, y: jax.Array, start: jax.Array, rows: int) -> Any:
        # Sliced inside: two slices outside the jitted step would be two more dispatches.
        return step(w, state, *(jax.lax.dynamic_slice_in_dim(a, start, rows) for a in (X, y)))

    def epoch(state: Any, X: jax.Array, y: jax.Array, order: jax.Array) -> Any:
        X, y = X[order], y[order]
        batches = X[:head].reshape(full, size, -1), y[:head].reshape(full, size, *y.shape[1:])
        state, _ = jax.lax.scan(lambda s, b: (step(w, s, *b), None), state, batches)
        return step(w, state, X[head:], y[head:]) if head < w.rows else state

    def full_batch(state: Any, X: jax.Array, y: jax.Array, epochs: jax.Array) -> Any:
        return jax.lax.fori_loop(0, epochs, lambda _, s: step(w, s, X, y), state)

    return (
        jax.jit(one_step, donate_argnums=0, static_argnums=4),
        jax.jit(epoch, donate_argnums=0),
        jax.jit(full_batch, donate_argnums=0),
    )


class Model:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        if variant == "scan_rbg" and not w.dropout:
            raise Unsupported("draws no random numbers here: the same as jax:scan")
        if w.dtype == "float64":
            jax.config.update("jax_enable_x64", True)
        if variant == "vmap":
            raise Unsupported("trains populations only")
        self.w, self.scan = w, variant.startswith("scan")
        self.X = jnp.asarray(X)
        self.y = jnp.asarray(y.astype(np.int32) if w.loss.startswith("sparse") else y.astype(w.dtype))
        params = [(jnp.array(kernel), jnp.array(bias)) for kernel, bias in weights]
        key = jax.random.key(w.seed, impl="rbg" if variant == "scan_rbg" else "threefry2x32")
        self.state = (params, make_optimizer(w).init(params), key)
        self.rng = np.random.default_rng(w.seed)
        self.one_step, self.epoch, self.full_batch = compiled(w)

    def train(self, epochs: int) -> None:
        w = self.w
        if not w.shuffle and self.scan:
            self.state = self.full_batch(self.state, self.X, self.y, epochs)
        else:
            for _ in range(epochs):
                self.train_epoch()
        jax.block_until_ready(self.state)

    def train_epoch(self) -> None:
        w, X, y = self.w, self.X, self.y
        if not w.shuffle:
            self.state = self.one_step(self.state, X, y, 0, w.rows)
            return
        order = self.order()
        if self.scan:
            self.state = self.epoch(self.state, X, y, order)
            return
        X, y = take(X, order), take(y, order)
        for start in range(0, w.rows, w.batch_size):
            self.state = self.one_step(self.state, X, y, start, min(w.batch_size, w.rows - start))

    def order(self) -> Any:
        """Drawn on the host: XLA's CPU sort makes jax.random.permutation of 64,000 rows many times slower."""
        return self.rng.permutation(self.w.rows).astype(np.int32)

    def predict(self, X: np.ndarray) -> np.ndarray:
        params = self.state[0]
        if len(X) <= CHUNK:
            return np.asarray(probabilities(params, X))
        parts = [probabilities(params, X[i : i + CHUNK]) for i in range(0, len(X), CHUNK)]
        return np.concatenate([np.asarray(part) for part in parts])

    def weights(self) -> Weights:
        return [(np.asarray(kernel), np.asarray(bias)) for kernel, bias in self.state[0]]


@cache
def compiled_population(w: Workload) -> Any:
    """One epoch of many networks: `vmap` over states and orders, the table shared."""
    full, size = w.rows // w.batch_size, w.batch_size
    if full * size != w.rows:
        raise Unsupported("written for tables of whole batches")

    def epoch(state: Any, X: jax.Array, y: jax.Array, order: jax.Array) -> Any:
        batches = X[order].reshape(full, size, -1), y[order].reshape(full, size)
        return jax.lax.scan(lambda s, b: (step(w, s, *b), None), state, batches)[0]

    return jax.jit(jax.vmap(epoch, in_axes=(0, None, None, 0)), donate_argnums=0)


class VmapPopulation:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, starts: list[Weights], threads: int, variant: str
    ) -> None:
        self.w, self.X, self.y = w, jnp.asarray(X), jnp.asarray(y.astype(w.dtype))
        params = [tuple(jnp.stack(arrays) for arrays in zip(*layer, strict=True))
                  for layer in zip(*starts, strict=True)]  # fmt: skip
        slots = jax.vmap(make_optimizer(w).init)(params)
        self.state = params, slots, jax.random.split(jax.random.key(w.seed), w.count)
        self.rng = np.random.default_rng(w.seed)
        self.epoch = compiled_population(w)

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            orders = np.stack([self.rng.permutation(self.w.rows) for _ in range(self.w.count)])
            self.state = self.epoch(self.state, self.X, self.y, orders.astype(np.int32))
        jax.block_until_ready(self.state)

    def weights(self) -> list[Weights]:
        layers = [(np.asarray(kernel), np.asarray(bias)) for kernel, bias in self.state[0]]
        return [[(kernel[i], bias[i]) for kernel, bias in layers] for i in range(self.w.count)]


POPULATIONS = {"vmap": VmapPopulation}
