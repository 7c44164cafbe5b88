"""JAX on a GPU: the CPU's functions, compiled for the device; the permutation is drawn there too."""

from __future__ import annotations

from functools import partial

import jax

from benchmarks.rivals import jax_
from benchmarks.rivals.jax_ import deviation

__all__ = ["PACKAGES", "Model", "deviation", "setup"]
PACKAGES = (*jax_.PACKAGES, "jax-cuda13-plugin")


def setup(threads: int) -> None:
    if jax.default_backend() != "gpu":
        raise RuntimeError(f"JAX runs on {jax.default_backend()}, not on a GPU")
    jax.config.update("jax_default_matmul_precision", "float32")  # no TF32, as everyone here


@partial(jax.jit, static_argnums=1)
def permuted(key: jax.Array, rows: int) -> tuple[jax.Array, jax.Array]:
    key, sub = jax.random.split(key)
    return key, jax.random.permutation(sub, rows)


class Model(jax_.Model):
    def __init__(self, w, X, y, weights, threads, variant) -> None:
        super().__init__(w, X, y, weights, threads, variant)
        self.key = jax.random.key(w.seed + 1)

    def order(self) -> jax.Array:
        self.key, order = permuted(self.key, self.w.rows)
        return order
