"""Descriptions of layers, models and losses: Keras' words for ours and back, as plain data.

Both are ``{'class_name': ..., 'config': ...}``; Keras adds the module, and has arguments of its own, which
are accepted as long as they have the value that changes nothing. A class that is not in the tables here is
refused: nothing is looked up by name anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fastnn.errors import ArgumentError, FileFormatError

Config = dict[str, Any]

_SLOTS = ("kernel", "bias", "embeddings", "alpha", "beta", "gamma", "moving_mean", "moving_variance")
_OBJECTS = {
    **{f"{slot}_initializer": "initializers" for slot in _SLOTS},
    **{f"{slot}_regularizer": "regularizers" for slot in (*_SLOTS, "activity")},
    **{f"{slot}_constraint": "constraints" for slot in _SLOTS},
}


def _slots(*names: str) -> tuple[str, ...]:
    kinds = ("initializer", "regularizer", "constraint")
    return tuple(f"{name}_{kind}" for name in names for kind in kinds)


#: The arguments of each layer that both have, besides name, trainable and activity_regularizer.
LAYERS: dict[str, tuple[str, ...]] = {
    "InputLayer": ("batch_shape", "dtype"),
    "Dense": ("units", "activation", "use_bias", *_slots("kernel", "bias")),
    "Activation": ("activation",),
    "Flatten": (),
    "Reshape": ("target_shape",),
    "Embedding": ("input_dim", "output_dim", *_slots("embeddings")),
    "ReLU": ("max_value", "negative_slope", "threshold"),
    "LeakyReLU": ("negative_slope",),
    "PReLU": _slots("alpha"),
    "ELU": ("alpha",),
    "Softmax": ("axis",),
    "Dropout": ("rate", "seed"),
    "AlphaDropout": ("rate", "seed"),
    "GaussianNoise": ("stddev", "seed"),
    "ActivityRegularization": ("l1", "l2"),
    "BatchNormalization": (
        "axis", "momentum", "epsilon", "center", "scale", *_slots("beta", "gamma"),
        "moving_mean_initializer", "moving_variance_initializer",
    ),
    "LayerNormalization": ("axis", "epsilon", "center", "scale", *_slots("beta", "gamma")),
    "Normalization": ("axis", "mean", "variance"),
    "Add": (), "Subtract": (), "Multiply": (), "Average": (), "Maximum": (),
    "Concatenate": ("axis",),
}  # fmt: skip
#: Arguments that only Keras has, with the value that changes nothing. (None: of any class.)
NEUTRAL: dict[str | None, dict[str, Any]] = {
    None: {"quantization_config": None},
    "InputLayer": {"sparse": False, "ragged": False, "optional": False},
    "Flatten": {"data_format": "channels_last"},
    "Embedding": {"mask_zero": False, "input_length": None, "weights": None},
    "PReLU": {"shared_axes": None},
    "Dropout": {"noise_shape": None},
    "AlphaDropout": {"noise_shape": None},
    "BatchNormalization": {
        "synchronized": False, "renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99,
    },
    "LayerNormalization": {"rms_scaling": False},
    "Normalization": {"invert": False},
    "AUC": {
        "num_thresholds": 200, "summation_method": "interpolation", "num_labels": None, "label_weights": None,
    },
    "R2Score": {"num_regressors": 0},
    "BinaryCrossentropy": {"axis": -1},
    "CategoricalCrossentropy": {"axis": -1},
    "SparseCategoricalCrossentropy": {"axis": -1},
}  # fmt: skip
#: Our layers without arguments that Keras has as activations only, and names it does not know.
_AS_ACTIVATION = {
    "Linear": "linear", "SELU": "selu", "SiLU": "silu", "Swish": "silu", "Mish": "mish", "Tanh": "tanh",
    "Softplus": "softplus", "Softsign": "softsign", "Sigmoid": "sigmoid", "HardSigmoid": "hard_sigmoid",
    "HardTanh": "hard_tanh", "LogSigmoid": "log_sigmoid", "Exponential": "exponential",
}  # fmt: skip
_WITH_DEFAULTS: dict[str, tuple[str, Config]] = {
    "GELU": ("gelu", {"approximate": False}),
    "CELU": ("celu", {"alpha": 1.0}),
    "LogSoftmax": ("log_softmax", {"axis": -1}),
}
ACTIVATIONS = {
    "celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_tanh", "leaky_relu", "linear", "log_sigmoid",
    "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign",
    "tanh",
}  # fmt: skip
_ALIASES = {"swish": "silu", "logistic": "sigmoid", "identity": "linear", "exp": "exponential"}
#: Arguments that are left out where they change nothing, because Keras, or an older one, lacks them.
_OURS_ONLY = {"dtype": None, "input_axes": None, "output_axes": None, "num_regressors": 0, "by_group": False}
#: Classes without a table of arguments: Keras' arguments are ours, those of `NEUTRAL` aside.
CLASSES: dict[str, set[str]] = {
    "initializers": {
        "Zeros", "Ones", "Constant", "Identity", "RandomNormal", "TruncatedNormal", "RandomUniform",
        "VarianceScaling", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal",
        "LecunUniform", "Orthogonal",
    },
    "regularizers": {"L1", "L2", "L1L2"},
    "constraints": {"MaxNorm", "NonNeg", "UnitNorm", "MinMaxNorm"},
    "optimizers": {
        "SGD", "RMSprop", "Adagrad", "Adadelta", "Adam", "AdamW", "Adamax", "Nadam", "Lion",
    },
    "optimizers.schedules": {
        "ExponentialDecay", "PiecewiseConstantDecay", "PolynomialDecay", "InverseTimeDecay", "CosineDecay",
        "CosineDecayRestarts",
    },
    "losses": {
        "MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "MeanAbsolutePercentageError",
        "MeanSquaredLogarithmicError", "Poisson", "BinaryCrossentropy", "BinaryFocalCrossentropy",
        "CategoricalCrossentropy", "CategoricalFocalCrossentropy", "SparseCategoricalCrossentropy", "Hinge",
        "SquaredHinge", "CategoricalHinge", "KLDivergence", "CosineSimilarity",
    },
    "metrics": {
        "AUC", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
        "F1Score", "FBetaScore", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError",
        "MeanSquaredLogarithmicError", "Precision", "R2Score", "Recall", "RootMeanSquaredError",
        "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "SparseTopKCategoricalAccuracy",
        "TopKCategoricalAccuracy",
    },
}  # fmt: skip


# --------------------------------------------------------------------------- ours to Keras'
def keras_object(kind: str, given: Mapping[str, Any], where: str) -> Config:
    """Return Keras' description of an initializer, loss, optimizer, ...; `kind` is its module.

    Raises
    ------
    ArgumentError
        If Keras has no such class; `where` says whose it is.
    """
    name = given["class_name"]
    if name not in CLASSES[kind]:
        raise ArgumentError(
            f"{where} cannot be written for Keras, which has no {name}: expected one of "
            f"{', '.join(sorted(CLASSES[kind]))}."
        )
    config = dict(given["config"])
    for key, neutral in _OURS_ONLY.items():
        if key in config and config[key] == neutral:
            del config[key]
        elif key == "by_group" and key in config:
            raise ArgumentError(f"{where} cannot be written for Keras, which has no `by_group` in {name}.")
    if isinstance(config.get("learning_rate"), Mapping):
        config["learning_rate"] = keras_object("optimizers.schedules", config["learning_rate"], where)
    return _described(f"keras.{kind}", name, config)


def keras_layer(given: Mapping[str, Any], dtype: str) -> Config:
    """Return Keras' description of a layer that computes in `dtype`.

    Raises
    ------
    ArgumentError
        If Keras has no such layer, or not with these arguments.
    """
    name, config = given["class_name"], dict(given["config"])
    where = f"Layer {config['name']!r} ({name})"
    config.pop("input_shape", None)
    common = {key: config.pop(key) for key in ("name", "trainable")}
    activation = _AS_ACTIVATION.get(name)
    if name in _WITH_DEFAULTS:
        activation, defaults = _WITH_DEFAULTS[name]
        for key, value in defaults.items():
            if config.pop(key) != value:
                raise ArgumentError(
                    f"{where} cannot be written for Keras, which has {activation!r} with {key}={value} only. "
                    f"Received: {key}={given['config'][key]!r}."
                )
    if activation is not None:
        name, config = "Activation", {"activation": activation, **config}
    if name not in LAYERS:
        raise ArgumentError(
            f"{where} cannot be written for Keras: expected one of {', '.join(sorted(LAYERS))}."
        )
    if name == "InputLayer":
        common.pop("trainable")
        return _described(
            "keras.layers",
            name,
            {"batch_shape": [None, *config["shape"]], "dtype": config["dtype"] or dtype, **common},
        )
    for key, value in config.items():
        if key == "activation":
            config[key] = _keras_activation(value, where)
        elif value is not None and key in _OBJECTS:
            config[key] = keras_object(_OBJECTS[key], value, f"{where}: `{key}`")
    return _described("keras.layers", name, {**common, "dtype": dtype, **config})


def _keras_activation(name: str, where: str) -> str:
    name = _ALIASES.get(name, name)
    if name not in ACTIVATIONS:
        raise ArgumentError(
            f"{where} cannot be written for Keras, which has no activation {name!r}: expected one of "
            f"{', '.join(sorted(ACTIVATIONS))}."
        )
    return name


def _described(module: str, name: str, config: Config) -> Config:
    return {"module": module, "class_name": name, "config": config, "registered_name": None}


# --------------------------------------------------------------------------- Keras' to ours
def our_object(kind: str, given: Any, where: str) -> Config:
    """Return our description of what Keras describes as one of its `kind`.

    Raises
    ------
    FileFormatError
        If it is a class or has an argument that we do not have; `where` says whose.
    """
    name, config = _keras_class(given, CLASSES[kind], where)
    if isinstance(config.get("learning_rate"), Mapping):
        schedule = our_object("optimizers.schedules", config["learning_rate"], f"{where}: `learning_rate`")
        config["learning_rate"] = schedule
    _drop_neutral(name, config, (), where)
    if "dtype" in config:
        dtype_of(config.pop("dtype") or "float32", where)
    return {"class_name": name, "config": config}


def our_layer(given: Any) -> tuple[Config, str]:
    """Return our description of a layer of Keras', and the dtype it computes in.

    Raises
    ------
    FileFormatError
        If we do not have the layer, or one of its arguments.
    """
    named = given.get("config", {}).get("name") if isinstance(given, dict) else None
    name, config = _keras_class(given, set(LAYERS), f"Layer {named!r}")
    where = f"Layer {named!r} ({name})"
    if name == "InputLayer":
        return _our_input(config, where)
    dtype = dtype_of(config.pop("dtype", "float32"), where)
    if name == "ActivityRegularization":
        config.pop("activity_regularizer", None)  # Keras repeats l1 and l2
    _drop_neutral(name, config, ("name", "trainable", "activity_regularizer", *LAYERS[name]), where)
    if name in ("LayerNormalization", "Normalization") and isinstance(config.get("axis"), list):
        config["axis"] = config["axis"][0] if len(config["axis"]) == 1 else config["axis"]
    if name == "Normalization":
        for key in ("mean", "variance"):
            if config.get(key) is None:
                config.pop(key, None)
    for key, value in config.items():
        if key == "activation" and not (value is None or isinstance(value, str)):
            raise FileFormatError(
                f"{where}: `activation` must be the name of one. Received: {_short(value)}."
            )
        if isinstance(value, dict):
            if key not in _OBJECTS:
                raise FileFormatError(f"{where}: `{key}` cannot be an object. Received: {_short(value)}.")
            config[key] = our_object(_OBJECTS[key], value, f"{where}: `{key}`")
    return {"class_name": name, "config": config}, dtype


def _our_input(config: Config, where: str) -> tuple[Config, str]:
    _drop_neutral("InputLayer", config, ("name", "batch_shape", "shape", "dtype"), where)
    shape = config.get("batch_shape")
    if not isinstance(shape, list) or not shape or shape[0] is not None or None in shape[1:]:
        raise FileFormatError(
            f"{where}: `batch_shape` must be [null, ...]: any number of rows, all of one shape. "
            f"Received: {_short(shape)}."
        )
    dtype = config.get("dtype") or "float32"
    if not isinstance(dtype, str):
        dtype = dtype_of(dtype, where)
    floats = dtype.startswith(("float", "bfloat"))
    ours = {"name": config["name"], "shape": shape[1:], "dtype": None if floats else dtype}
    return {"class_name": "InputLayer", "config": ours}, ""


def dtype_of(policy: Any, where: str) -> str:
    """Return the dtype that Keras' policy names.

    Raises
    ------
    FileFormatError
        If it is another than float32 and float64.
    """
    name = policy.get("config", {}).get("name") if isinstance(policy, Mapping) else policy
    if name not in ("float32", "float64"):
        raise FileFormatError(f"{where}: dtype must be float32 or float64. Received: {_short(policy)}.")
    return str(name)


def _keras_class(given: Any, known: set[str], where: str) -> tuple[str, Config]:
    """Return the class's name and a copy of its configuration."""
    name = given.get("class_name") if isinstance(given, dict) else None
    config = given.get("config", {}) if isinstance(given, dict) else None
    if not isinstance(name, str) or not isinstance(config, dict):
        raise FileFormatError(f"{where}: expected 'class_name' and 'config'. Received: {_short(given)}.")
    module = str(given.get("module") or "keras")
    if name not in known or module.split(".")[0] != "keras" or ">" in str(given.get("registered_name")):
        raise FileFormatError(
            f"{where} is of class {name[:80]!r} of module {module[:80]!r}, which cannot be read: expected "
            f"one of Keras' {', '.join(sorted(known))}."
        )
    return name, dict(config)


def _drop_neutral(name: str, config: Config, kept: tuple[str, ...], where: str) -> None:
    """Drop arguments that only Keras has; without a list of ours, the class checks the others itself."""
    neutral = {**NEUTRAL[None], **NEUTRAL.get(name, {})}
    for key, value in list(config.items()):
        if key in kept:
            continue
        if key in neutral and (value == neutral[key] or value is None):
            del config[key]
        elif kept or key in neutral:
            expected = f"expected {neutral[key]!r}" if key in neutral else "no such argument is known"
            raise FileFormatError(
                f"{where}: `{key[:80]}` cannot be read: {expected}. Received: {_short(value)}."
            )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:120]}..."


# --------------------------------------------------------------------------- structures
def nested(given: Any, leaf: Callable[[Any], Any]) -> Any:
    """Apply a function to what lists and dicts by name hold; a dict with 'class_name' is one thing."""
    if isinstance(given, (list, tuple)):
        return [nested(item, leaf) for item in given]
    if isinstance(given, Mapping) and "class_name" not in given:
        return {key: nested(value, leaf) for key, value in given.items()}
    return None if given is None else leaf(given)


def group_names(layers: list[Config]) -> list[str]:
    """Return the groups of a weights file, ``layers/<class>[_<number>]``, of Keras' layers in its order."""
    used: dict[str, int] = {}
    names = []
    for layer in layers:
        name = _snake_case(layer["class_name"])
        used[name] = used.get(name, -1) + 1
        names.append(f"layers/{name}_{used[name]}" if used[name] else f"layers/{name}")
    return names


def _snake_case(name: str) -> str:
    """As Keras writes class names: PReLU is p_re_lu."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
