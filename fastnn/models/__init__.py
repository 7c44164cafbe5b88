"""Models: networks of layers that can be compiled, trained, evaluated and used."""

from fastnn.models.clone import clone_model, deserialize, serialize
from fastnn.models.functional import Model
from fastnn.models.native import load_model
from fastnn.models.sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model", "deserialize", "load_model", "serialize"]
