"""The target column: which task it makes, and how its values become what a network is trained on."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.columns import as_numbers, check_finite, kind_of, level_text
from fastnn.data.numerals import are_dates, decimal_mark
from fastnn.data.read import load_pandas
from fastnn.errors import ArgumentError, DataError

TASKS = ("auto", "binary", "multiclass", "regression")
#: Whole numbers are classes where there are at most so many different ones, and so many rows for each.
MOST_NUMBER_CLASSES, ROWS_PER_NUMBER_CLASS = 20, 5
#: More classes than this share of the rows: an identifier or free text.
MOST_CLASSES_SHARE = 0.5


@dataclasses.dataclass(frozen=True)
class TargetSchema:
    """What was learned of the target.

    Attributes
    ----------
    name : str
    task : {'binary', 'multiclass', 'regression'}
    reason : str
        Why this task.
    source : {'number', 'point', 'comma', 'level'}
        How values are read.
    classes : tuple of str
        Class ``classes[i]`` is encoded as ``i``; empty for regression.
    center, scale : float
        A regression is trained on ``(y - center) / scale``.
    unit : str
        What the numbers count, as the user says it.
    """

    name: str
    task: str
    reason: str
    source: str
    classes: tuple[str, ...] = ()
    center: float = 0.0
    scale: float = 1.0
    unit: str = ""

    @classmethod
    def fit(cls, series: Any, task: str = "auto", decimal: str | None = None) -> TargetSchema:
        """Find the task of a target without missing values.

        Text, truth values and a few different whole numbers make a classification, other numbers a
        regression.

        Parameters
        ----------
        series : pandas.Series
        task : {'auto', 'binary', 'multiclass', 'regression'}
        decimal : {'.', ','}, optional
            The decimal mark of numbers in text, where it cannot be told.

        Raises
        ------
        ArgumentError
            If `task` is none of these.
        DataError
            If nothing can be learned (one class, a constant, no rows), the values are not of the task, or are
            not finite.
        """
        name = str(series.name)
        where = f"Target {name!r}"
        if task not in TASKS:
            raise ArgumentError(f"`task` must be one of {', '.join(TASKS)}. Received: {task!r}.")
        if not len(series):
            raise DataError(f"{where} has no value in any row.")
        if series.isna().any():
            raise DataError(
                f"{where} has missing values in {int(series.isna().sum()):,} rows: leave these out."
            )
        source, word = _source(series, where, decimal)
        values = None if source == "level" else as_numbers(series, source, where)
        if values is not None:
            check_finite(values, where, series.index)
        chosen, why = (task, "as asked") if task != "auto" else _choose(values, series, word)
        if chosen == "regression":
            return _regression(name, source, values, series, why)
        return _classification(name, chosen, series, why, values if source != "level" else None)

    def encode(self, series: Any) -> NDArray[Any]:
        """Turn the target's values into class indices (int32), or numbers as they are (float64).

        Returns
        -------
        ndarray of shape (rows,)

        Raises
        ------
        DataError
            If a class is not known, or a number is missing or not finite.
        """
        where = f"Target {self.name!r}"
        if self.task == "regression":
            values = as_numbers(series, self.source, where)
            check_finite(values, where, series.index)
            if np.isnan(values).any():
                raise DataError(f"{where} has missing values.")
            return values
        return _class_codes(series, self.classes, where)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return {**dataclasses.asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TargetSchema:
        """Return the target that `to_dict` described."""
        return cls(**{**data, "classes": tuple(data["classes"])})

    def with_scale(self, training: NDArray[np.float64]) -> TargetSchema:
        """Return the target with center and scale of the training rows' values."""
        scale = float(training.std()) or 1.0
        return dataclasses.replace(self, center=float(training.mean()), scale=scale)


def _source(series: Any, where: str, decimal: str | None) -> tuple[str, str]:
    """Return how values are read, and what to call them."""
    kind = kind_of(series, where)
    if kind in ("date", "duration"):
        raise DataError(f"{where} holds {kind}s; expected numbers or classes. Give a number, such as days.")
    if kind == "number":
        return "number", "number"
    if kind == "text":
        texts = [str(value) for value in series.unique()]
        if are_dates(texts) and len(texts) > 2:
            raise DataError(f"{where} holds dates; expected numbers or classes. Give a number, such as days.")
        mark = decimal_mark(texts, where, decimal)
        if mark is not None:
            return ("comma" if mark == "," else "point"), "number"
    return "level", "truth value" if kind == "bool" else "text"


def _choose(values: NDArray[np.float64] | None, series: Any, word: str) -> tuple[str, str]:
    """Return the task that the values make, and why."""
    if values is None:
        count = series.nunique()
        return _by_classes(count), f"it holds {count} different {word}s"
    count = len(np.unique(values))
    if (values != np.floor(values)).any():
        return "regression", "it holds numbers with decimals"
    if count <= 2 or (count <= MOST_NUMBER_CLASSES and len(values) >= ROWS_PER_NUMBER_CLASS * count):
        return _by_classes(
            count
        ), f"it holds {count} different whole numbers; --task regression predicts the number"
    return "regression", f"it holds {count:,} different numbers"


def _by_classes(count: int) -> str:
    return "binary" if count <= 2 else "multiclass"


def _regression(
    name: str, source: str, values: NDArray[np.float64] | None, series: Any, why: str
) -> TargetSchema:
    where = f"Target {name!r}"
    if values is None and kind_of(series, where) == "bool":
        source, values = "number", as_numbers(series, "number", where)
    if values is None:
        raise DataError(f"{where}: a regression needs numbers. Received: text such as {series.iloc[0]!r}.")
    if values.min() == values.max():
        raise DataError(
            f"{where} is {level_text(values[0])} in all {len(values):,} rows: nothing can be learned."
        )
    return TargetSchema(name, "regression", why, source, (), float(values.mean()), float(values.std()) or 1.0)


def _classification(
    name: str, task: str, series: Any, why: str, values: NDArray[np.float64] | None
) -> TargetSchema:
    where = f"Target {name!r}"
    classes = sorted({level_text(value) for value in series.unique()}, key=_class_order)
    rows = len(series)
    if len(classes) == 1:
        raise DataError(
            f"{where} has one class, {classes[0]!r}, in all {rows:,} rows: nothing can be learned."
        )
    if task == "binary" and len(classes) > 2:
        shown = ", ".join(repr(label) for label in classes[:5])
        raise DataError(
            f"{where}: a binary task needs two classes. Received: {len(classes):,} ({shown}, ...)."
        )
    if len(classes) > 2 and len(classes) > MOST_CLASSES_SHARE * rows:
        advice = "use --task regression" if values is not None else "is it an identifier or free text?"
        raise DataError(f"{where} has {len(classes):,} classes in {rows:,} rows: {advice}")
    return TargetSchema(name, task, why, "level", tuple(classes))


def _class_order(label: str) -> tuple[int, float, str]:
    """Sort numbers by value, before text."""
    try:
        value = float(label)
    except ValueError:
        return 1, 0.0, label
    return (0, value, label) if math.isfinite(value) else (1, 0.0, label)


def _class_codes(series: Any, classes: tuple[str, ...], where: str) -> NDArray[np.int32]:
    codes, uniques = load_pandas("A table").factorize(series)
    index = {label: number for number, label in enumerate(classes)}
    labels = [level_text(value) for value in uniques]
    unknown = [label for label in labels if label not in index]
    if unknown or (codes < 0).any():
        received = repr(unknown[0]) if unknown else "a missing value"
        raise DataError(f"{where}: expected one of {len(classes)} known classes. Received: {received}.")
    return np.array([index[label] for label in labels], np.int32)[codes]
