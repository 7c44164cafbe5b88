"""Scores of predictions for held-out rows, as text for the table of results."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastnn import metrics
from fastnn.cli.tabular import Rows

HEADS = {
    "binary": ("AUC", "accuracy", "log loss"),
    "multiclass": ("accuracy", "log loss"),
    "regression": ("RMSE", "MAE", "R2"),
}


def scores(rows: Rows, predictions: NDArray[Any]) -> list[str]:
    """Return the values under `HEADS`, for predictions of any model.

    Parameters
    ----------
    rows : Rows
    predictions : ndarray
        Probability of class 1, shape (rows,) or (rows, 1); of each class, shape (rows, classes); or numbers.
    """
    y, task = rows.y_test, rows.target.task
    if task == "regression":
        flat = predictions.reshape(-1)
        chosen = (metrics.RootMeanSquaredError(), metrics.MeanAbsoluteError(), metrics.R2Score())
        return [f"{metric(y, flat):.5g}" for metric in chosen]
    if task == "binary":
        flat = predictions.reshape(-1)
        both = 0 < y.sum() < len(y)  # a class of one row is not held out
        auc = f"{metrics.AUC()(y, flat):.4f}" if both else "-"
        return [auc, f"{metrics.BinaryAccuracy()(y, flat):.4f}", f"{metrics.LogLoss()(y, flat):.4f}"]
    accuracy, loss = metrics.SparseCategoricalAccuracy(), metrics.LogLoss()
    return [f"{accuracy(y, predictions):.4f}", f"{loss(y, predictions):.4f}"]
