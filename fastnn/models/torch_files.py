"""Weights as PyTorch's ``state_dict`` has them, in a dict or in a plain ``.safetensors`` file.

==================== ===========================================================================
fastnn               PyTorch
==================== ===========================================================================
Dense                ``Linear``: ``weight`` is the kernel, transposed; ``bias``
BatchNormalization   ``BatchNorm1d``: ``weight`` (gamma), ``bias`` (beta), ``running_mean``,
                     ``running_var``, ``num_batches_tracked`` (0; not needed to be read)
LayerNormalization   ``LayerNorm``: ``weight`` (gamma), ``bias`` (beta)
Embedding            ``Embedding``: ``weight``
PReLU                ``PReLU``: ``weight``
==================== ===========================================================================

The prefix of a layer's entries is its position in the ``torch.nn.Sequential`` of the same steps, as in
``0.weight``. Each layer is one step, and an activation within a layer is a step of its own, as in ``Linear``,
``ReLU``; an ``Input`` and ``'linear'`` are none. In a functional model the prefix is the layer's name, as the
attribute of a ``Module``. Other prefixes can be given. What is no array is not part of a ``state_dict``: give
PyTorch's layers the same ``eps`` and ``momentum`` (Keras' momentum is 1 minus PyTorch's).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastnn import activations
from fastnn.errors import ArgumentError, DtypeError, FileFormatError, unknown_name
from fastnn.io import container
from fastnn.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Embedding,
    Layer,
    LayerNormalization,
    PReLU,
)
from fastnn.layers.variables import Variable
from fastnn.models import formats
from fastnn.models.functional import Model
from fastnn.models.sequential import Sequential

#: PyTorch's name of each variable, by the layer's class.
_NAMES: dict[type[Layer], dict[str, str]] = {
    Dense: {"kernel": "weight", "bias": "bias"},
    BatchNormalization: {
        "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
    },
    LayerNormalization: {"gamma": "weight", "beta": "bias"},
    Embedding: {"embeddings": "weight"},
    PReLU: {"alpha": "weight"},
}  # fmt: skip
_COUNTER = "num_batches_tracked"


class _Entry(NamedTuple):
    """One entry of a state_dict."""

    key: str
    variable: Variable
    transposed: bool


def state_dict(model: Model, names: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """Return copies of a model's weights, named and laid out as PyTorch has them.

    Parameters
    ----------
    model : Model
        Built.
    names : dict of str to str, optional
        Prefixes by layer name, for those that differ from the default.

    Returns
    -------
    dict of str to ndarray

    Raises
    ------
    ArgumentError
        If a layer's weights have no counterpart in PyTorch, or two have the same name.
    NotBuiltError
        If the model has no weights yet.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, state_dict
    >>> model = Sequential([Dense(8, "relu", input_shape=(3,)), Dense(1)])
    >>> {name: array.shape for name, array in state_dict(model).items()}
    {'0.weight': (8, 3), '0.bias': (8,), '2.weight': (1, 8), '2.bias': (1,)}
    """
    found = {}
    for key, variable, transposed in _entries(model, names):
        array = variable.numpy()
        found[key] = np.ascontiguousarray(array.T) if transposed else array
        if key.endswith("running_var"):
            found[f"{key.removesuffix('running_var')}{_COUNTER}"] = np.zeros((), np.int64)
    return found


def load_state_dict(model: Model, state: Mapping[str, Any], names: Mapping[str, str] | None = None) -> None:
    """Set a model's weights from a ``state_dict``.

    Parameters
    ----------
    model : Model
        Built.
    state : dict of str to array_like
        NumPy arrays, or tensors on the CPU: ``module.state_dict()``.
    names : dict of str to str, optional
        As of :func:`state_dict`.

    Raises
    ------
    ArgumentError
        If entries are missing, left over, or of another shape; the model is as it was.
    DtypeError
        If `state` is no dict.
    NotBuiltError
        If the model has no weights yet.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, load_state_dict
    >>> model = Sequential([Dense(1, input_shape=(2,))])
    >>> load_state_dict(model, {"0.weight": np.array([[1.0, 2.0]]), "0.bias": np.array([3.0])})
    >>> model.predict([[1.0, 1.0]])
    array([[6.]], dtype=float32)
    """
    if not isinstance(state, Mapping):
        raise DtypeError(f"A state_dict is a dict of arrays by name. Received: {type(state).__name__}.")
    entries = list(_entries(model, names))
    keys = {entry.key for entry in entries}
    counters = {f"{key.removesuffix('running_var')}{_COUNTER}" for key in keys if key.endswith("running_var")}
    missing, extra = sorted(keys - set(state)), sorted(set(state) - keys - counters)
    if missing or extra:
        raise ArgumentError(
            f"The state_dict does not fit model {model.name!r}: missing {missing}, left over {extra}. "
            "See fastnn.models.torch_files for the names, and `names` to give others."
        )
    arrays = {}
    for key, variable, transposed in entries:
        array = np.asarray(state[key])
        array = array.T if transposed and array.ndim == 2 else array
        if array.shape != variable.shape or array.dtype.kind != "f":
            shape = variable.shape[::-1] if transposed else variable.shape
            raise ArgumentError(
                f"Entry {key!r} of the state_dict must hold floats of shape {shape}, for {variable.path} of "
                f"model {model.name!r}. Received: {np.asarray(state[key]).dtype} of shape "
                f"{np.shape(state[key])}."
            )
        arrays[id(variable)] = array
    model.set_weights([arrays[id(variable)] for variable in model.variables])


def _entries(model: Model, names: Mapping[str, str] | None) -> Iterator[_Entry]:
    """Go through the variables with their names in PyTorch."""
    model._require_built()
    prefixes = _prefixes(model)
    for name, prefix in (names or {}).items():
        if name not in prefixes:
            raise unknown_name("layer", name, prefixes, f"`names` for model {model.name!r}")
        if not isinstance(prefix, str) or not prefix:
            raise ArgumentError(f"A prefix in `names` must be a non-empty string. Received: {prefix!r}.")
        prefixes[name] = prefix
    seen: dict[str, str] = {}
    for layer in model.layers:
        for variable in layer.variables:
            key = f"{prefixes[layer.name]}.{_name(layer, variable)}"
            if seen.setdefault(key, variable.path) != variable.path:
                raise ArgumentError(f"{seen[key]} and {variable.path} would both be {key!r}: see `names`.")
            yield _Entry(key, variable, isinstance(layer, Dense) and variable.name == "kernel")


def _name(layer: Layer, variable: Variable) -> str:
    names = _NAMES.get(type(layer), {})
    if variable.name not in names or (isinstance(layer, PReLU) and len(variable.shape) != 1):
        raise ArgumentError(
            f"{variable.path} of {type(layer).__name__} layer {layer.name!r}, of shape {variable.shape}, has "
            f"no counterpart in PyTorch: expected layers of {', '.join(cls.__name__ for cls in _NAMES)}."
        )
    affine = [v.name for v in layer.variables if v.name in ("gamma", "beta")]
    if "gamma" in names and len(affine) == 1:
        raise ArgumentError(
            f"{type(layer).__name__} layer {layer.name!r} has {affine[0]} only, and PyTorch has weight and "
            "bias or neither. Expected center and scale both True or both False."
        )
    return names[variable.name]


def _prefixes(model: Model) -> dict[str, str]:
    """Return for each layer the position of its step in a torch.nn.Sequential, or its name."""
    if not isinstance(model, Sequential):
        return {layer.name: layer.name for layer in model.layers}
    found, position = {}, 0
    for layer in model.layers:
        found[layer.name] = str(position)
        own = getattr(layer, "activation", "linear")
        extra = not isinstance(layer, Activation) and activations.op_of(own) != "linear"
        position += 2 if extra else 1
    return found


# --------------------------------------------------------------------------- files
def save_torch(model: Model, path: str | os.PathLike[str]) -> None:
    """Write :func:`state_dict` to a ``.safetensors`` file, for ``safetensors.torch.load_file``.

    Raises
    ------
    ArgumentError, NotBuiltError
        As :func:`state_dict`.
    OSError
        As of :func:`fastnn.io.atomic.write`.
    """
    container.write_safetensors(path, state_dict(model), {"format": "pt"})


def load_torch(model: Model, path: str | os.PathLike[str], skip_mismatch: bool = False) -> None:
    """Set a model's weights from a ``.safetensors`` file of a ``state_dict``.

    Raises
    ------
    ArgumentError
        If `skip_mismatch` is True.
    FileFormatError
        If the file is damaged, or does not fit; the model is as it was.
    NotBuiltError, OSError
        If the model has no weights yet; if the file cannot be read.
    """
    if skip_mismatch:
        raise ArgumentError(
            "skip_mismatch is for .fastnn and .weights.h5, whose weights belong to layers; all entries of a "
            "state_dict must fit. Received: skip_mismatch=True."
        )
    arrays, _ = container.read_safetensors(path)
    list(_entries(model, None))
    try:
        load_state_dict(model, arrays)
    except ArgumentError as error:
        raise FileFormatError(f"File {os.fspath(path)!r}: {error}") from error


formats.FORMATS[".safetensors"] = formats.Format(save_weights=save_torch, load_weights=load_torch)
