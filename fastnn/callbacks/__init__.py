"""Callbacks: code of yours that training calls."""

from fastnn.callbacks.base import Callback, CallbackList

__all__ = ["Callback", "CallbackList"]
