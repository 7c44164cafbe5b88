"""The rivals: one file each. This list is all the runner knows of them (it imports none).

A rival's file has
    PACKAGES              names whose versions are recorded
    Model(w, X, y, weights, threads, variant)
                          builds and compiles; everything a user of that library does before training
    Model.train(epochs)   trains that many epochs, and returns when the arithmetic is done
    Model.weights()       [(kernel (inputs, outputs), bias), ...] as NumPy arrays
    deviation(w, variant) a sentence if the row is not the same training (another optimizer, say), else ""
    Model.predict(X)      probabilities of class 1 (rows,), for workloads of the kind "predict"
and raises `Unsupported` from Model for what the library cannot do at all. It may have
    setup(threads)        called first
    Population, POPULATIONS[variant]
                          like Model with a list of weights, for "many"; without, Models train in threads
"""

from dataclasses import dataclass


class Unsupported(Exception):
    """The library has no such thing; the table shows a dash."""


@dataclass(frozen=True)
class Rival:
    module: str
    env: str  # its environment: env/<env>.txt, installed as <env-dir>/bench-<env>
    variant: str = ""
    needs: tuple[str, ...] = ()  # what must be importable where all rivals run in one Python
    device: str = "cpu"


_TORCH, _JAX, _TF = ("torch",), ("jax", "optax"), ("tensorflow", "keras")
RIVALS = {
    "fastnn": Rival("fastnn_", "fastnn"),
    "numpy": Rival("numpy_", "numpy"),
    "sklearn": Rival("sklearn_", "sklearn", needs=("sklearn",)),
    "torch": Rival("torch_", "torch", needs=_TORCH),
    "torch:dataloader": Rival("torch_", "torch", "dataloader", _TORCH),
    "torch:compile": Rival("torch_", "torch", "compile", _TORCH),
    "torch:func": Rival("torch_", "torch", "func", _TORCH),
    "skorch": Rival("skorch_", "skorch", needs=("skorch", "torch")),
    "thinc": Rival("thinc_", "thinc", needs=("thinc",)),
    "tensorflow:step": Rival("tensorflow_", "tensorflow", "step", _TF),
    "tensorflow:loop": Rival("tensorflow_", "tensorflow", "loop", _TF),
    "keras": Rival("keras_", "tensorflow", "", _TF),
    "keras:xla": Rival("keras_", "tensorflow", "xla", _TF),
    "keras:xla50": Rival("keras_", "tensorflow", "xla50", _TF),
    "keras:call": Rival("keras_", "tensorflow", "call", _TF),
    "jax:step": Rival("jax_", "jax", "step", _JAX),
    "jax:scan": Rival("jax_", "jax", "scan", _JAX),
    "jax:scan_rbg": Rival("jax_", "jax", "scan_rbg", _JAX),
    "jax:vmap": Rival("jax_", "jax", "vmap", _JAX),
    "onnxruntime": Rival("onnxruntime_", "onnxruntime", needs=("onnxruntime", "onnx")),
}
#: On a CUDA machine; none of these has run on one yet.
GPU_RIVALS = {
    "fastnn": Rival("fastnn_gpu", "fastnn-gpu", needs=("cupy",), device="gpu"),
    "torch": Rival("torch_gpu", "torch-gpu", needs=_TORCH, device="gpu"),
    "torch:compile": Rival("torch_gpu", "torch-gpu", "compile", needs=_TORCH, device="gpu"),
    "torch:graph": Rival("torch_gpu", "torch-gpu", "graph", needs=_TORCH, device="gpu"),
    "tensorflow:step": Rival("tensorflow_gpu", "tensorflow-gpu", "step", needs=_TF, device="gpu"),
    "tensorflow:loop": Rival("tensorflow_gpu", "tensorflow-gpu", "loop", needs=_TF, device="gpu"),
    "jax:step": Rival("jax_gpu", "jax-gpu", "step", needs=_JAX, device="gpu"),
    "jax:scan": Rival("jax_gpu", "jax-gpu", "scan", needs=_JAX, device="gpu"),
}
RIVALS_ON = {"cpu": RIVALS, "gpu": GPU_RIVALS}
