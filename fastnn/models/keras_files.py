"""Models in Keras 3's files: ``.keras`` (structure, weights, compile settings) and ``.weights.h5``.

Both are written and read for the layers, optimizers, losses and metrics that both have; for anything else
there is an error that names the layer and the argument, and nothing is dropped. The optimizer's state is not
part of it: Keras begins it anew (and says so in a warning), and so does fastnn. ``model.save``,
``load_model``, ``save_weights`` and ``load_weights`` come here by the suffix.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn import losses, metrics, optimizers
from fastnn.errors import ArgumentError, FastnnError, FileFormatError
from fastnn.io import atomic, keras_archive, keras_config, keras_graph
from fastnn.layers import InputLayer, Layer, Normalization
from fastnn.layers.merging import Merge
from fastnn.models import config as plain
from fastnn.models import contents, formats, wiring
from fastnn.models.functional import Model, named
from fastnn.models.sequential import Sequential

Config = dict[str, Any]
FilePath = str | os.PathLike[str]
#: Metrics that Keras, too, chooses by the shapes of outputs and targets.
_BY_SHAPE = ("accuracy", "acc", "crossentropy", "ce")


# --------------------------------------------------------------------------- writing
def save_keras(model: Model, path: FilePath) -> None:
    """Write a model for Keras 3: structure, weights, and what ``compile`` was given.

    Parameters
    ----------
    model : Model
        Built. Layers that Keras has as activations only (``SiLU``, ``Tanh``, ...) become ``Activation``.
    path : str or PathLike
        Ends in ``.keras``, which Keras asks for.

    Raises
    ------
    ArgumentError
        If Keras lacks a layer, an argument, or something given to ``compile``; nothing is written.
    NotBuiltError, MissingExtraError
        If the model's shapes are not known; if h5py is not installed.
    OSError
        As of :func:`fastnn.io.atomic.write`.

    Examples
    --------
    >>> import tempfile
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(3, "relu", input_shape=(2,)), Dense(1)], seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_keras(model, f"{folder}/model.keras")
    ...     again = load_keras(f"{folder}/model.keras")
    >>> bool((again.predict([[1, 2]]) == model.predict([[1, 2]])).all())
    True
    """
    config, groups = _describe(model)
    arguments = model._compile_arguments
    if arguments:
        config["compile_config"] = _compile_config(arguments, f"Model {model.name!r}")
    keras_archive.write(path, config, _pack(model, groups))


def save_keras_weights(model: Model, path: FilePath) -> None:
    """Write a model's weights for Keras 3's ``load_weights``; ends in ``.weights.h5``, which Keras asks for.

    Raises
    ------
    ArgumentError, NotBuiltError, MissingExtraError, OSError
        As :func:`save_keras`.
    """
    _, groups = _describe(model)
    atomic.write(path, _pack(model, groups))


def _describe(model: Model) -> tuple[Config, list[tuple[str, Layer]]]:
    """Return Keras' description of a model, and each layer with its group in the weights file."""
    model._require_built()
    given = model.get_config()
    sequential = isinstance(model, Sequential)
    layers = [*([model.inputs[0].layer] if sequential else []), *model.layers]
    for layer, item in zip(layers, given["layers"], strict=True):
        if isinstance(layer, InputLayer) and layer.kind == "int" and item["config"]["dtype"] is None:
            item["config"]["dtype"] = "int32"
        if isinstance(layer, Normalization) and layer.given:  # the weights may have been set since
            item["config"].update(mean=layer.mean.tolist(), variance=layer.variance.tolist())
    described = [keras_config.keras_layer(item, model.dtype) for item in given["layers"]]
    if sequential:
        shape = [None, *model.inputs[0].spec.shape]
        config = {
            "name": model.name, "trainable": True, "dtype": model.dtype, "layers": described,
            "build_input_shape": shape,
        }  # fmt: skip
        order = list(range(1, len(layers)))
        found = {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}
    else:
        symbols = [*model.inputs, *model._calls]
        shapes = [list(symbol.shape) for symbol in symbols]
        dtypes = [model.dtype if symbol.spec.kind == "float" else "int32" for symbol in symbols]
        merges = {number for number, layer in enumerate(layers) if isinstance(layer, Merge)}
        config = keras_graph.keras_functional(given, described, shapes, dtypes, merges)
        order = keras_graph.keras_order(given)
        found = {
            "module": "keras.src.models.functional", "class_name": "Functional", "config": config,
            "registered_name": "Functional",
        }  # fmt: skip
    paths = keras_config.group_names([described[number] for number in order])
    return found, list(zip(paths, [layers[number] for number in order], strict=True))


def _pack(model: Model, groups: Sequence[tuple[str, Layer]]) -> bytes:
    names = {"": model.name, **{path: layer.name for path, layer in groups}}
    return keras_archive.pack(names, {"": [], **{path: _arrays_of(layer) for path, layer in groups}})


def _arrays_of(layer: Layer) -> list[np.ndarray]:
    """Return a layer's arrays as Keras has them."""
    if isinstance(layer, Normalization):
        # Given statistics are in the configuration; else Keras counts the batches of adapt(), too.
        return [] if layer.given else [*layer.get_weights(), np.zeros((), np.int32)]
    return layer.get_weights()


def _compile_config(arguments: Mapping[str, Any], where: str) -> Config:
    def loss(item: Any) -> Config:
        return keras_config.keras_object("losses", losses.serialize(losses.get(item)), f"{where}: its loss")

    def metric(item: Any) -> Any:
        if isinstance(item, str) and item in _BY_SHAPE:
            return item
        return keras_config.keras_object(
            "metrics", metrics.serialize(metrics.get(item)), f"{where}: a metric"
        )

    optimizer = optimizers.serialize(arguments["optimizer"])
    return {
        "optimizer": keras_config.keras_object("optimizers", optimizer, f"{where}: its optimizer"),
        "loss": keras_config.nested(arguments["loss"], loss),
        "loss_weights": arguments["loss_weights"],
        "metrics": keras_config.nested(arguments["metrics"], metric),
        "weighted_metrics": keras_config.nested(arguments["weighted_metrics"], metric),
        "run_eagerly": False,
        "steps_per_execution": 1,
        "jit_compile": "auto",
    }


# --------------------------------------------------------------------------- reading
def load_keras(path: FilePath, compile: bool = True) -> Model:
    """Read a model that Keras 3 or :func:`save_keras` wrote.

    Parameters
    ----------
    path : str or PathLike
        A ``.keras`` file.
    compile : bool, default True
        Compile the model as it was, if it was. How Keras was to compute (``run_eagerly``, ``jit_compile``,
        ``steps_per_execution``) is of no consequence here.

    Returns
    -------
    Model
        A ``Sequential``, or a functional model.

    Raises
    ------
    FileFormatError
        If the file is damaged, or holds a layer, an argument or a setting that fastnn does not have, such as
        ``Lambda`` or a class of one's own.
    OSError, MissingExtraError
        If it cannot be opened; if h5py is not installed.
    """
    where = f"File {os.fspath(path)!r}"
    config, content = keras_archive.read(path)
    groups = keras_archive.unpack(content, f"{where}: {keras_archive.WEIGHTS}")
    model, arrays = _guarded(where, lambda: _model(config, groups, where))
    if model.built:
        model.set_weights(arrays)
    settings = config.get("compile_config")
    if compile and settings:  # Keras writes {} for a model that was not compiled
        _guarded(
            f"{where}, which can be loaded with compile=False: compile_config",
            lambda: model.compile(**_compile_arguments(settings)),
        )
    return model


def load_keras_weights(model: Model, path: FilePath, skip_mismatch: bool = False) -> None:
    """Set a model's weights to those of a ``.weights.h5`` file, of Keras 3 or of :func:`save_keras_weights`.

    Parameters
    ----------
    model : Model
        Built, of the same layers in the same order; names do not matter.
    path : str or PathLike
    skip_mismatch : bool, default False
        Warn of layers whose weights differ in number or shapes, and leave them as they are.

    Raises
    ------
    FileFormatError
        If the file is damaged or its arrays do not fit; the model is as it was.
    ArgumentError, NotBuiltError, OSError, MissingExtraError
        As :func:`save_keras`.
    """
    where = f"File {os.fspath(path)!r}"
    _, groups = _describe(model)
    with open(path, "rb") as file:
        arrays = keras_archive.unpack(file.read(), where)
    skipped: list[str] | None = [] if skip_mismatch else None
    found = _fitting(groups, model.variables, arrays, where, skipped)
    contents.warn_of_skipped(skipped or [], where)
    model.set_weights(found)


def _guarded(where: str, make: Callable[[], Any]) -> Any:
    """Call a function; whatever a file's contents make it raise is one kind of error."""
    try:
        return make()
    except (FastnnError, LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        text = str(error)
        raise FileFormatError(text if text.startswith(where) else f"{where}: {text}") from error


def _model(config: Config, arrays: keras_archive.Groups, where: str) -> tuple[Model, list[np.ndarray]]:
    """Return the model, with initial weights, and the weights it is to have."""
    inner = config.get("config")
    if not isinstance(inner, dict) or not isinstance(inner.get("layers"), list):
        raise FileFormatError(f"{where}: expected a model's 'config' with its 'layers'.")
    described = [keras_config.our_layer(item) for item in inner["layers"]]
    dtypes = {dtype for _, dtype in described if dtype}
    if len(dtypes) > 1:
        raise FileFormatError(f"{where}: all layers must be of one dtype. Received: {sorted(dtypes)}.")
    options = {"name": inner["name"], "dtype": next(iter(dtypes), "float32")}
    layers = [layer for layer, _ in described]
    if config.get("class_name") == "Sequential":
        return _sequential(layers, arrays, options, where)
    if config.get("class_name") == "Functional":
        return _functional(keras_graph.our_functional(inner, layers, where), arrays, options, where)
    name = str(config.get("class_name"))[:80]
    raise FileFormatError(f"{where}: expected a Sequential or Functional model. Received: {name!r}.")


def _sequential(
    described: list[Config], arrays: keras_archive.Groups, options: Config, where: str
) -> tuple[Model, list[np.ndarray]]:
    layers = plain.layers_from_config({"layers": described})
    weights: list[np.ndarray] = []
    if layers and isinstance(layers[0], InputLayer):
        # The shapes are compared before memory is asked for: they may be anything.
        symbol = layers[0].output
        for layer in layers[1:]:
            symbol = layer(symbol)
        paths = keras_config.group_names(described[1:])
        variables = [variable for layer in layers for variable in layer.variables]
        weights = _fitting(list(zip(paths, layers[1:], strict=True)), variables, arrays, where)
        for layer in layers[1:]:
            layer.reset()
    return Sequential(layers, **options), weights


def _functional(
    data: Config, arrays: keras_archive.Groups, options: Config, where: str
) -> tuple[Model, list[np.ndarray]]:
    inputs, outputs = plain.graph_from_config(data)
    layers = wiring.layers_of(inputs, wiring.in_order(inputs, outputs))
    by_name = {layer.name: layer for layer in layers}
    order = [data["layers"][number] for number in keras_graph.keras_order(data)]
    paths = keras_config.group_names(order)
    groups = [(path, by_name[item["config"]["name"]]) for path, item in zip(paths, order, strict=True)]
    variables = [variable for layer in layers for variable in layer.variables]
    weights = _fitting(groups, variables, arrays, where)
    model = Model(named(inputs, data["input_names"]), named(outputs, data["output_names"]), **options)
    return model, weights


def _fitting(
    groups: Sequence[tuple[str, Layer]],
    variables: Iterable[Any],
    arrays: keras_archive.Groups,
    where: str,
    skipped: list[str] | None = None,
) -> list[np.ndarray]:
    """Return an array for each variable, in order.

    Parameters
    ----------
    skipped : list of str, optional
        Takes a note of each layer whose arrays do not fit, and the layer keeps those it has.

    Raises
    ------
    FileFormatError
        If, without `skipped`, an array is missing, of another shape, or nobody's.
    """
    found: dict[int, np.ndarray] = {}
    for path, layer in groups:
        mine, given = layer.variables, arrays.get(path, [])
        if isinstance(layer, Normalization):
            mine = [] if layer.given else mine
            given = given[: len(mine)] if len(given) == 3 else given
        expected, received = [v.shape for v in mine], [array.shape for array in given]
        if expected != received:
            if skipped is None:
                raise FileFormatError(
                    f"{where}: layer {layer.name!r} has weights of shapes {expected}. "
                    f"Received: {received} in {path!r}."
                )
            skipped.append(f"{layer.name!r} (expected shapes {expected}; received {received} in {path!r})")
            given = [variable.numpy() for variable in mine]
        found.update((id(v), array) for v, array in zip(mine, given, strict=True))
        if isinstance(layer, Normalization) and layer.given:
            statistics = zip(layer.variables, (layer.mean, layer.variance), strict=True)
            found.update((id(v), np.broadcast_to(array, v.shape)) for v, array in statistics)
    extra = [path for path in arrays if arrays[path] and path not in dict(groups)]
    if extra and skipped is None:
        raise FileFormatError(f"{where} holds weights that no layer of the model has: {extra[:8]}.")
    return [found[id(v)] for v in variables]


def _compile_arguments(settings: Any) -> Config:
    if not isinstance(settings, dict):
        raise FileFormatError(f"Expected an object. Received: {str(settings)[:80]!r}.")

    def loss(item: Any) -> Any:
        return (
            item if isinstance(item, str) else losses.get(keras_config.our_object("losses", item, "The loss"))
        )

    def metric(item: Any) -> Any:
        if isinstance(item, str):
            return item
        return metrics.deserialize(keras_config.our_object("metrics", item, "A metric"))

    optimizer = settings.get("optimizer")
    if not isinstance(optimizer, str):
        optimizer = optimizers.get(keras_config.our_object("optimizers", optimizer, "The optimizer"))
    return {
        "optimizer": optimizer,
        "loss": keras_config.nested(settings.get("loss"), loss),
        "loss_weights": settings.get("loss_weights"),
        "metrics": keras_config.nested(settings.get("metrics"), metric),
        "weighted_metrics": keras_config.nested(settings.get("weighted_metrics"), metric),
    }


# --------------------------------------------------------------------------- by suffix
def _save(model: Model, path: str, include_optimizer: bool) -> None:
    """Write a model; the optimizer's state is never part of it."""
    save_keras(model, path)


def _load(path: str, custom_objects: Mapping[str, Any] | None, compile: bool) -> Model:
    if custom_objects:
        raise ArgumentError(
            f"custom_objects cannot be used with {path!r}: of Keras' files only Keras' own classes are read. "
            f"Received: {sorted(custom_objects)}."
        )
    return load_keras(path, compile)


formats.FORMATS[".keras"] = formats.Format(save=_save, load=_load)
formats.FORMATS[".weights.h5"] = formats.Format(
    save_weights=save_keras_weights, load_weights=load_keras_weights
)
