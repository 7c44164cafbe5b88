"""Callbacks: code that is called while a model trains, is evaluated or predicts."""

from fastnn.callbacks.base import Callback, CallbackList
from fastnn.callbacks.csv_logger import CSVLogger
from fastnn.callbacks.early_stopping import EarlyStopping
from fastnn.callbacks.history import History
from fastnn.callbacks.lambda_callback import LambdaCallback
from fastnn.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from fastnn.callbacks.live import LivePlot
from fastnn.callbacks.model_checkpoint import ModelCheckpoint
from fastnn.callbacks.progress import ProgbarLogger, ProgressBar
from fastnn.callbacks.swap_ema_weights import SwapEMAWeights
from fastnn.callbacks.terminate_on_nan import TerminateOnNaN
from fastnn.callbacks.time_budget import TimeBudget
from fastnn.callbacks.weight_history import WeightHistory

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "LivePlot",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ProgressBar",
    "ReduceLROnPlateau",
    "SwapEMAWeights",
    "TerminateOnNaN",
    "TimeBudget",
    "WeightHistory",
]
