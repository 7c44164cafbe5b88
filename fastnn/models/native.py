"""The ``.fastnn`` format: a model's arrays and plain data in a checked container.

Data only: classes are found by name among fastnn's own and those the caller hands over; nothing in a file is
imported, run or opened.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import fastnn
from fastnn.errors import FastnnError, FileFormatError
from fastnn.io import container
from fastnn.models import contents, formats
from fastnn.models.clone import MODELS
from fastnn.models.functional import Model
from fastnn.models.settings_config import check_own, compile_config, own_things, resolved

#: What reading a file of wrong content may raise on the way; all of it becomes a FileFormatError.
_WRONG_CONTENT = (FastnnError, KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)


def save(model: Model, path: str, include_optimizer: bool) -> None:
    """Write a whole model."""
    arrays, data = contents.take_apart(model, include_optimizer)
    arguments = model._compile_arguments if include_optimizer else {}
    content = {
        "kind": "model",
        "fastnn": fastnn.__version__,
        "class_name": type(model).__name__,
        "own": {
            "model": sorted(own_things([*model.layers, type(model)])),
            "compile": sorted(own_things(arguments)),
        },
        "compile": compile_config(arguments) if arguments else None,
        **data,
    }
    container.write(path, arrays, content)


def load(path: str, custom_objects: Mapping[str, Any] | None, compile: bool) -> Model:
    """Read a whole model."""
    arrays, content = container.read(path)
    where, custom = f"File {path!r}", dict(custom_objects or {})
    if content.get("kind") == "weights":
        raise FileFormatError(f"{where} holds weights alone: make the model and call load_weights.")
    own = _own_names(content, where)
    check_own(own["model"], custom, where)
    if compile:
        check_own(own["compile"], custom, where, ", or compile=False")
    try:
        return _load(arrays, content, custom, own, compile)
    except _WRONG_CONTENT as error:
        raise FileFormatError(f"{where} does not describe a model that can be made: {error}") from error


def _own_names(content: dict[str, Any], where: str) -> dict[str, list[str]]:
    """Return the names of the writer's own classes: those of the model, those given to compile()."""
    own = content.get("own")
    lists = [own.get(key) for key in ("model", "compile")] if isinstance(own, dict) else [None]
    if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in lists):
        raise FileFormatError(f"{where} does not describe a model.")
    return own  # type: ignore[return-value]


def _load(
    arrays: contents.Arrays,
    content: dict[str, Any],
    custom: dict[str, Any],
    own: dict[str, list[str]],
    compile: bool,
) -> Model:
    theirs = {name: custom[name] for name in own["model"]}
    model = contents.build(_model_class(content["class_name"], theirs), arrays, content, theirs)
    if compile and content["compile"] is not None:
        model.compile(**resolved(content["compile"], {name: custom[name] for name in own["compile"]}))
        contents.resume(model, arrays, content)
    return model


def _model_class(name: Any, own: dict[str, Any]) -> type[Model]:
    cls = own[name] if name in own else MODELS[name]
    if not (isinstance(cls, type) and issubclass(cls, Model)):
        raise FileFormatError(f"{name!r} is no model class.")
    return cls


def save_weights(model: Model, path: str) -> None:
    """Write the weights alone."""
    arrays = {contents.WEIGHTS + key: array for key, array in contents.weights_of(model).items()}
    container.write(path, arrays, {"kind": "weights", "fastnn": fastnn.__version__})


def load_weights(model: Model, path: str, skip_mismatch: bool = False) -> None:
    """Set the weights to those in a file of weights or of a model."""
    arrays, _ = container.read(path)
    put = contents.set_what_fits if skip_mismatch else contents.set_weights
    put(model, contents.under(contents.WEIGHTS, arrays), f"File {path!r}")


def load_model(
    filepath: str | os.PathLike[str],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
    safe_mode: bool = True,
) -> Model:
    """Read a model that ``model.save`` wrote.

    It predicts the same bits, and goes on training to the same bits, as the one that was saved.

    Parameters
    ----------
    filepath : str or PathLike
        Its suffix tells the format.
    custom_objects : dict of str to class or function, optional
        Classes of layers, losses and the like, and functions as metrics, of one's own, by name. An
        elementwise op of one's own is registered beforehand (``fastnn.ops.register_elementwise``).
    compile : bool, default True
        Whether the model is compiled as it was, with the optimizer's state.
    safe_mode : bool, default True
        Accepted as Keras scripts pass it: no file can make its reader run code, either way.

    Returns
    -------
    Model

    Raises
    ------
    FileFormatError
        If the file is damaged, or is none of a model.
    UnknownNameError
        If `custom_objects` lacks a class or function that the file needs.
    ArgumentError
        If the suffix is not known.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential, load_model
    >>> model = Sequential([Dense(1, kernel_initializer="ones", input_shape=(2,))])
    >>> model.compile("adam", "mse")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(f"{folder}/model.fastnn")
    ...     copy = load_model(f"{folder}/model.fastnn")
    >>> copy.predict([[1.0, 2.0]]), copy.optimizer.name
    (array([[3.]], dtype=float32), 'adam')
    """
    return formats.function_for("load", filepath)(formats.readable(filepath), custom_objects, compile)


formats.FORMATS[".fastnn"] = formats.Format(save, load, save_weights, load_weights)
