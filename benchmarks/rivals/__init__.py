"""The rivals: one file each. This list is all the runner knows of them (it imports none).

A rival's file has
    PACKAGES              names whose versions are recorded
    Model(w, X, y, weights, threads, variant)
                          builds and compiles; everything a user of that library does before training
    Model.train(epochs)   trains that many epochs, and returns when the arithmetic is done
    Model.weights()       [(kernel (inputs, outputs), bias), ...] as NumPy arrays
    deviation(w, variant) a sentence if the row is not the same training (another optimizer, say), else ""
and raises `Unsupported` from Model for what the library cannot do at all.
"""

from dataclasses import dataclass


class Unsupported(Exception):
    """The library has no such thing; the table shows a dash."""


@dataclass(frozen=True)
class Rival:
    module: str
    env: str  # its environment: env/<env>.txt, installed as <env-dir>/bench-<env>
    variant: str = ""
    device: str = "cpu"


RIVALS = {
    "fastnn": Rival("fastnn_", "fastnn"),
    "numpy": Rival("numpy_", "numpy"),
    "sklearn": Rival("sklearn_", "sklearn"),
    "torch": Rival("torch_", "torch"),
    "torch:compile": Rival("torch_", "torch", "compile"),
    "tensorflow:step": Rival("tensorflow_", "tensorflow", "step"),
    "tensorflow:loop": Rival("tensorflow_", "tensorflow", "loop"),
    "keras": Rival("keras_", "tensorflow"),
    "keras:xla50": Rival("keras_", "tensorflow", "xla50"),
    "jax:step": Rival("jax_", "jax", "step"),
    "jax:scan": Rival("jax_", "jax", "scan"),
    "jax:scan_rbg": Rival("jax_", "jax", "scan_rbg"),
}
#: On a CUDA machine; none of these has run on one yet.
GPU_RIVALS = {
    "fastnn": Rival("fastnn_gpu", "fastnn-gpu", "", "gpu"),
    "torch": Rival("torch_gpu", "torch-gpu", "", "gpu"),
    "torch:compile": Rival("torch_gpu", "torch-gpu", "compile", "gpu"),
    "torch:graph": Rival("torch_gpu", "torch-gpu", "graph", "gpu"),
    "tensorflow:step": Rival("tensorflow_gpu", "tensorflow-gpu", "step", "gpu"),
    "tensorflow:loop": Rival("tensorflow_gpu", "tensorflow-gpu", "loop", "gpu"),
    "jax:step": Rival("jax_gpu", "jax-gpu", "step", "gpu"),
    "jax:scan": Rival("jax_gpu", "jax-gpu", "scan", "gpu"),
}
RIVALS_ON = {"cpu": RIVALS, "gpu": GPU_RIVALS}
