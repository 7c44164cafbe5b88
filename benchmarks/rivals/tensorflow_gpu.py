"""TensorFlow with XLA on a GPU: the CPU's functions, but the order is a sort: it has no shuffle there."""

from __future__ import annotations

import tensorflow as tf

from benchmarks.rivals import tensorflow_
from benchmarks.rivals.tensorflow_ import deviation

__all__ = ["PACKAGES", "Model", "deviation", "setup"]
PACKAGES = ("tensorflow", "keras", "numpy")


def setup(threads: int) -> None:
    if not tf.config.list_physical_devices("GPU"):
        raise RuntimeError("TensorFlow sees no GPU")
    tf.config.experimental.enable_tensor_float_32_execution(False)  # no TF32, as everyone here
    tensorflow_.setup(threads)


class Model(tensorflow_.Model):
    def order(self) -> tf.Tensor:
        return tf.argsort(tf.random.uniform([self.w.rows]))
