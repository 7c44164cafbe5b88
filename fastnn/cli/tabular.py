"""A network for a table: rows prepared, inputs normalised and embedded inside the model, training."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks import History
from fastnn.cli.training import Lines, fit_until_interrupt
from fastnn.data import InputField, TableSchema, TargetSchema, holdout_split
from fastnn.errors import DataError
from fastnn.layers import Concatenate, Dense, Dropout, Embedding, Flatten, Input, Normalization
from fastnn.models import Model

LOSSES = {
    "binary": "binary_crossentropy",
    "multiclass": "sparse_categorical_crossentropy",
    "regression": "mean_squared_error",
}
WIDEST_EMBEDDING = 50


@dataclasses.dataclass
class Rows:
    """A table split and turned into arrays.

    Attributes
    ----------
    schema : TableSchema
    target : TargetSchema
    x_train, x_test : list of ndarray
        As the schema's ``transform`` returns.
    y_train, y_test : ndarray, shape (rows,)
        Class indices, or numbers in the target's own unit.
    without_target : int
        Rows left out because their target is missing.
    unknown : dict
        Categorical column to the number of held-out rows whose level was not seen in training.
    """

    schema: TableSchema
    target: TargetSchema
    x_train: list[NDArray[Any]]
    x_test: list[NDArray[Any]]
    y_train: NDArray[Any]
    y_test: NDArray[Any]
    without_target: int
    unknown: dict[str, int]

    @property
    def train(self) -> int:
        """Rows to train on."""
        return len(self.y_train)

    @property
    def test(self) -> int:
        """Rows held out."""
        return len(self.y_test)

    @property
    def loss(self) -> str:
        """The loss of the task."""
        return LOSSES[self.target.task]

    @property
    def width(self) -> int:
        """Numbers that enter the first layer for each row."""
        return sum(embedding_width(field) if field.levels else field.width for field in self.schema.inputs)

    def training_target(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return what the network is trained on: a regression's target is centred and scaled."""
        if self.target.task == "multiclass":
            return y
        return ((y - self.target.center) / self.target.scale).astype(np.float32)


def prepare(frame: Any, target_name: str, args: argparse.Namespace) -> Rows:
    """Drop rows without a target, find the task, split, and learn the columns on the training rows."""
    present = frame[target_name].notna().to_numpy()
    missing = int((~present).sum())
    if missing == len(frame):
        raise DataError(f"Target {target_name!r} has no value in any of {len(frame):,} rows.")
    frame = frame[present]
    target = TargetSchema.fit(frame[target_name], args.task, args.decimal)
    y = target.encode(frame[target_name])
    labels = None if target.task == "regression" else y
    train, test = holdout_split(len(frame), args.test_size, args.seed, labels)
    if target.task == "regression":
        target = target.with_scale(y[train])
    units = dict(args.unit)
    target = dataclasses.replace(target, unit=units.pop(target_name, ""))
    features = frame.drop(columns=[target_name])
    known, held = features.iloc[train], features.iloc[test]
    schema = TableSchema.fit(
        known,
        numeric=args.numeric,
        categorical=args.categorical,
        drop=args.drop,
        decimal=args.decimal,
        units=units,
    )
    return Rows(
        schema, target, schema.transform(known), schema.transform(held), y[train], y[test],
        missing, schema.unknown_levels(held),
    )  # fmt: skip


def embedding_width(field: InputField) -> int:
    """Return the length of a category's vectors: half as many numbers as levels, at most 50."""
    return min(WIDEST_EMBEDDING, (field.levels + 1) // 2)


def build(rows: Rows, args: argparse.Namespace) -> Model:
    """Make the network: numbers normalised, categories embedded, hidden layers, one output layer."""
    inputs, parts = [], []
    for field, array in zip(rows.schema.inputs, rows.x_train, strict=True):
        symbol = Input(shape=(field.width,), dtype="int32" if field.levels else None, name=field.name)
        inputs.append(symbol)
        if field.levels:
            embedding = Embedding(field.levels, embedding_width(field), name=f"embed_{field.name}")
            parts.append(Flatten()(embedding(symbol)))
        elif field.name == "numbers":
            normalization = Normalization(name="normalize")
            normalization.adapt(array)
            parts.append(normalization(symbol))
        else:
            parts.append(symbol)
    x = parts[0] if len(parts) == 1 else Concatenate()(parts)
    for number, units in enumerate(args.hidden, start=1):
        x = Dense(units, activation="relu", name=f"hidden_{number}")(x)
        if args.dropout:
            x = Dropout(args.dropout)(x)
    task = rows.target.task
    units = len(rows.target.classes) if task == "multiclass" else 1
    activation = {"binary": "sigmoid", "multiclass": "softmax", "regression": None}[task]
    return Model(inputs, Dense(units, activation=activation, name="output")(x), name="table", seed=args.seed)


def train(model: Model, rows: Rows, args: argparse.Namespace) -> tuple[History, float, NDArray[Any]]:
    """Train the network, and predict the held-out rows.

    Returns
    -------
    history : History
    preparation : float
        Seconds before the first epoch.
    predictions : ndarray, shape (rows, units)
        Probabilities, or numbers in the target's own unit.
    """
    options: dict[str, Any] = {}
    if not args.quiet:
        options["validation_data"] = (rows.x_test, rows.training_target(rows.y_test))
        options["callbacks"] = [Lines()]
    history, preparation = fit_until_interrupt(
        model,
        rows.x_train,
        rows.training_target(rows.y_train),
        epochs=args.epochs,
        batch_size=args.batch_size,
        threads=args.threads,
        **options,
    )
    predictions = model.predict(rows.x_test, threads=args.threads)
    if rows.target.task == "regression":
        predictions = predictions.astype(np.float64) * rows.target.scale + rows.target.center
    return history, preparation, predictions
