"""Metrics: exact values, in float64, of whole arrays of targets and predictions.

Names, arguments and defaults are those of Keras where Keras has the metric.
"""

from fastnn.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from fastnn.metrics.base import Metric
from fastnn.metrics.confusion import F1Score, FBetaScore, Precision, Recall
from fastnn.metrics.correlation import (
    InformationCoefficient,
    InformationRatio,
    PearsonCorrelation,
    RankInformationCoefficient,
    SpearmanCorrelation,
)
from fastnn.metrics.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    LogLoss,
    SparseCategoricalCrossentropy,
)
from fastnn.metrics.function import FunctionMetric
from fastnn.metrics.mean import MeanMetric
from fastnn.metrics.ranking import AUC, PRAUC, ROCAUC
from fastnn.metrics.registry import deserialize, direction_of, get, names, resolve, serialize
from fastnn.metrics.regression import (
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    R2Score,
    RootMeanSquaredError,
)

__all__ = [
    "AUC",
    "PRAUC",
    "ROCAUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "F1Score",
    "FBetaScore",
    "FunctionMetric",
    "InformationCoefficient",
    "InformationRatio",
    "LogLoss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanMetric",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "PearsonCorrelation",
    "Precision",
    "R2Score",
    "RankInformationCoefficient",
    "Recall",
    "RootMeanSquaredError",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpearmanCorrelation",
    "TopKCategoricalAccuracy",
    "deserialize",
    "direction_of",
    "get",
    "names",
    "resolve",
    "serialize",
]
