"""Callbacks: code that is called while a model trains, is evaluated or predicts."""

from fastnn.callbacks.base import Callback, CallbackList
from fastnn.callbacks.history import History
from fastnn.callbacks.live import LivePlot
from fastnn.callbacks.progress import ProgressBar
from fastnn.callbacks.weight_history import WeightHistory

__all__ = ["Callback", "CallbackList", "History", "LivePlot", "ProgressBar", "WeightHistory"]
