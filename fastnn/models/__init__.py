"""Models: networks of layers that can be compiled, trained, evaluated and used."""

from fastnn.models import keras_files
from fastnn.models.clone import clone_model, deserialize, serialize
from fastnn.models.functional import Model
from fastnn.models.native import load_model
from fastnn.models.sequential import Sequential
from fastnn.models.torch_files import load_state_dict, state_dict

__all__ = [
    "Model",
    "Sequential",
    "clone_model",
    "deserialize",
    "keras_files",
    "load_model",
    "load_state_dict",
    "serialize",
    "state_dict",
]
