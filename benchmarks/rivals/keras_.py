"""Keras 3 on TensorFlow: `fit(verbose=0)`; `xla`: XLA; `xla50`: and 50 steps per execution, as its speed
guide says; `call`: predictions by `predict_on_batch`, which its guide names for small batches.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

from benchmarks.rivals import Unsupported
from benchmarks.workloads import Weights, Workload, targets

PACKAGES = ("keras", "tensorflow-cpu", "numpy")
OPTIMIZERS = {"sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}


def setup(threads: int) -> None:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def deviation(w: Workload, variant: str) -> str:
    return ""


class Model:
    def __init__(
        self, w: Workload, X: np.ndarray, y: np.ndarray, weights: Weights | None, threads: int, variant: str
    ) -> None:
        if variant == "call" and w.kind != "predict":
            raise Unsupported("a way to predict")
        keras.utils.set_random_seed(w.seed)
        keras.config.set_floatx(w.dtype)
        keras.config.set_dtype_policy(w.dtype)
        self.w, self.variant = w, variant
        *hidden, outputs = w.sizes[1:]
        layers = [keras.Input((w.sizes[0],))]
        for units in hidden:
            layers.append(keras.layers.Dense(units, activation=w.activation))
            if w.dropout:
                layers.append(keras.layers.Dropout(w.dropout))
        layers.append(keras.layers.Dense(outputs))  # logits: faster and more exact than softmax, then log
        self.model = keras.Sequential(layers)
        if w.loss == "mse":
            loss = keras.losses.MeanSquaredError()
        elif outputs == 1:
            loss = keras.losses.BinaryCrossentropy(from_logits=True)
        else:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        extra = {"jit_compile": True} if variant.startswith("xla") else {}
        if variant == "xla50":
            extra["steps_per_execution"] = 50
        self.model.compile(optimizer=OPTIMIZERS[w.optimizer](**w.params), loss=loss, **extra)
        if weights is not None:
            self.model.set_weights([array for pair in weights for array in pair])
        if w.kind == "predict":  # a network in use ends in its activation
            self.model = keras.Sequential([*self.model.layers, keras.layers.Activation("sigmoid")])
            self.model.compile(**extra)
        self.X, self.y = X, targets(w, y)
        self.fit = {"batch_size": w.batch_size, "shuffle": w.shuffle, "verbose": 0}
        self.whole = None
        if variant == "xla50" and not w.shuffle:
            # Full batch: an epoch of `fit` costs far more than its one step, so let one epoch be many steps
            # (a multiple of 50: `fit` would round up).
            self.whole = tf.data.Dataset.from_tensors((self.X, self.y)).repeat()

    def train(self, epochs: int) -> None:
        if self.whole is not None:
            if epochs >= 50:
                self.model.fit(self.whole, steps_per_epoch=epochs // 50 * 50, shuffle=False, verbose=0)
            for _ in range(epochs % 50):
                self.model.train_on_batch(self.X, self.y)
        else:
            self.model.fit(self.X, self.y, epochs=epochs, **self.fit)

    def predict(self, X: np.ndarray) -> np.ndarray:
        if self.variant == "call":
            return self.model.predict_on_batch(X)[:, 0]
        return self.model.predict(X, batch_size=8_192, verbose=0)[:, 0]

    def weights(self) -> Weights:
        flat = self.model.get_weights()
        return list(zip(flat[::2], flat[1::2], strict=True))
