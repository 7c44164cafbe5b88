"""What the network is compared with: a linear model on the same rows, and no model at all."""

from __future__ import annotations

import dataclasses
import time
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.cli.tabular import Rows
from fastnn.errors import missing_extra

MOST_ITERATIONS = 1000


@dataclasses.dataclass
class Baseline:
    """A fitted linear model's predictions for the held-out rows."""

    name: str
    predictions: NDArray[Any]
    seconds: float
    remark: str = ""


def linear(rows: Rows) -> Baseline:
    """Fit a logistic or ridge regression to standardised numbers and one-hot categories.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression, Ridge
    except ImportError:
        raise missing_extra("scikit-learn", "table", "The linear baseline") from None
    started = time.perf_counter()
    train, test = _features(rows)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        if rows.target.task == "regression":
            name = "ridge regression"
            ridge = Ridge(alpha=1.0).fit(train, rows.y_train)
            took = time.perf_counter() - started
            predictions = ridge.predict(test)
        else:
            name = "logistic regression"
            logistic = LogisticRegression(max_iter=MOST_ITERATIONS).fit(train, rows.y_train)
            took = time.perf_counter() - started
            predictions = logistic.predict_proba(test).astype(np.float32)
            predictions = predictions[:, 1] if rows.target.task == "binary" else predictions
    stopped = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    remark = f"the {name} had not converged after {MOST_ITERATIONS:,} iterations" if stopped else ""
    return Baseline(name, predictions, took, remark)


def _features(rows: Rows) -> tuple[Any, Any]:
    """Return training and held-out features, sparse where there are categories."""
    from scipy import sparse
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    parts = []
    for field, train, test in zip(rows.schema.inputs, rows.x_train, rows.x_test, strict=True):
        if field.levels:
            encoder = OneHotEncoder(handle_unknown="ignore").fit(train)
            parts.append((encoder.transform(train), encoder.transform(test)))
        else:
            scaler = StandardScaler().fit(train.astype(np.float64))
            parts.append(
                (scaler.transform(train.astype(np.float64)), scaler.transform(test.astype(np.float64)))
            )
    if not any(field.levels for field in rows.schema.inputs):
        return np.hstack([train for train, _ in parts]), np.hstack([test for _, test in parts])
    return (
        sparse.hstack([sparse.csr_matrix(train) for train, _ in parts]).tocsr(),
        sparse.hstack([sparse.csr_matrix(test) for _, test in parts]).tocsr(),
    )


def constant(rows: Rows) -> NDArray[Any]:
    """Return the best prediction without looking at a row: the training rows' mean, or class shares."""
    if rows.target.task == "regression":
        return np.full(rows.test, rows.y_train.mean())
    shares = np.bincount(rows.y_train, minlength=len(rows.target.classes)) / rows.train
    if rows.target.task == "binary":
        return np.full(rows.test, shares[1], np.float32)
    return np.tile(shares.astype(np.float32), (rows.test, 1))
