"""A real table: categorical columns as embeddings, class weights, and what they do to calibration.

The table is Ray Fair's: 6,366 married women answered a magazine's survey in 1974, among other things their
own and their husband's occupation, and whether they had had an affair (32 % had). statsmodels ships it, with
the author's permission: R. C. Fair, "A Theory of Extramarital Affairs", Journal of Political Economy 86(1),
1978.

    pip install 'fastnn[examples]'
    python examples/06_tabular.py [--quick] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss, recall_score, roc_auc_score
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from statsmodels.datasets import fair

from fastnn import Input, Model, viz
from fastnn.callbacks import EarlyStopping
from fastnn.data import TableSchema, holdout_split
from fastnn.layers import Concatenate, Dense, Dropout, Embedding, Flatten, Normalization
from fastnn.viz.style import figure

SEED = 0
OCCUPATIONS = {
    1: "student", 2: "farming, unskilled", 3: "white-collar", 4: "teacher, nurse, skilled", 5: "managerial",
    6: "professional",
}  # fmt: skip
#: Length of the vector that stands for an occupation.
WIDTH = 2


def load() -> tuple[Any, np.ndarray]:
    """Return the columns, occupations by name, and whether there was an affair (0 or 1)."""
    frame = fair.load_pandas().data
    for column in ("occupation", "occupation_husb"):
        frame[column] = frame[column].map(OCCUPATIONS)
    return frame.drop(columns="affairs"), (frame["affairs"] > 0).to_numpy(np.int64)


def network(schema: TableSchema, numbers: np.ndarray) -> Model:
    """Build the network: numbers normalised, each category's levels as vectors, two hidden layers."""
    inputs, parts = [], []
    for field in schema.inputs:
        symbol = Input((field.width,), dtype="int32" if field.levels else None, name=field.name)
        inputs.append(symbol)
        if field.levels:
            vectors = Embedding(field.levels, WIDTH, name=field.name.replace("column_", "vectors_"))
            parts.append(Flatten()(vectors(symbol)))
        else:
            scale = Normalization(name="scale")
            scale.adapt(numbers)
            parts.append(scale(symbol))
    x = Concatenate(name="row")(parts)
    for number in (1, 2):
        x = Dropout(0.2)(Dense(16, "relu", name=f"hidden_{number}")(x))
    model = Model(inputs, Dense(1, "sigmoid", name="affair")(x), seed=SEED)
    model.compile("adam", "binary_crossentropy", metrics=["auc"])
    return model


def without_weights(probability: np.ndarray, weights: dict[int, float]) -> np.ndarray:
    """Undo class weights: they multiply the odds by ``weights[1] / weights[0]``, so divide by it."""
    odds = probability / (1 - probability) * weights[0] / weights[1]
    return odds / (1 + odds)


def calibration_error(y: np.ndarray, p: np.ndarray) -> float:
    """Mean over ten bins, by rows, of the distance between frequency and mean probability."""
    which = np.minimum((p * 10).astype(int), 9)
    return sum(abs((y - p)[which == k].sum()) for k in range(10)) / len(y)


def scores(y: np.ndarray, p: np.ndarray) -> list[str]:
    """Return the cells of a row of the result table."""
    values = [
        roc_auc_score(y, p), log_loss(y, p), brier_score_loss(y, p), recall_score(y, p > 0.5), p.mean(),
        calibration_error(y, p),
    ]  # fmt: skip
    return [f"{value:.3f}" for value in values]


def table(rows: dict[str, list[str]]) -> str:
    """Return the results as text."""
    header = ["AUC", "log loss", "Brier", "recall", "mean p", "calibration error"]
    lines = [f"{'on the test rows':34}" + "".join(f"{name:>{len(name) + 3}}" for name in header)]
    for name, cells in rows.items():
        width = [len(text) + 3 for text in header]
        lines.append(f"{name:34}" + "".join(f"{c:>{w}}" for c, w in zip(cells, width, strict=True)))
    return "\n".join(lines)


def draw(model: Model, history: Any, levels: Sequence[str], y: np.ndarray, said: Any, out: Path) -> None:
    """Write the two figures."""
    drawing = figure(12, 9.5)
    axes = drawing.subplots(2, 2)
    viz.loss_curve(history, ax=axes[0, 0])
    axes[0, 0].set(ylabel="loss (nats)", title="training, without class weights")
    vectors = model.get_layer("vectors_occupation_husb").get_weights()[0][1:]
    axes[0, 1].scatter(*vectors.T, color=viz.style.COLOURS[0])
    for name, (x, height) in zip(levels, vectors, strict=True):
        axes[0, 1].annotate(name, (x, height), (0, 6), textcoords="offset points", ha="center", fontsize=9)
    axes[0, 1].margins(0.22)
    axes[0, 1].set(
        xlabel="first number", ylabel="second number", title="what was learned of the husband's occupation"
    )
    for ax, (name, p) in zip(axes[1], said.items(), strict=True):
        viz.reliability_curve(y, p, ax=ax)
        ax.set_title(name)
    drawing.savefig(out / "06_tabular.png", dpi=70)
    whole = viz.network_diagram(model, ax=figure(11, 5).subplots(), max_units=7).figure
    whole.savefig(out / "06_tabular_network.png", dpi=110)


def main(arguments: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Run the example; returns the result table's rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few epochs, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder of the figures (%(default)s)")
    args = parser.parse_args(arguments)
    args.out.mkdir(parents=True, exist_ok=True)
    frame, y = load()
    rest, test = holdout_split(len(y), 0.2, SEED, y)
    chosen, held = holdout_split(len(rest), 0.25, SEED, y[rest])
    train, valid = rest[chosen], rest[held]
    schema = TableSchema.fit(frame.iloc[train])
    x = {
        part: schema.transform(frame.iloc[rows])
        for part, rows in (("train", train), ("valid", valid), ("test", test))
    }
    categories = [column.name for column in schema.categories]
    parts = f"{len(train):,} to train on, {len(valid):,} to choose the epoch, {len(test):,} to test"
    print(f"{len(y):,} rows: {parts}.")
    print(f"{len(schema.numbers)} columns of numbers; categories: {', '.join(categories)}.")
    rows = {"the share in the training rows": scores(y[test], np.full(len(test), y[train].mean()))}

    encoder, scaler = OneHotEncoder(sparse_output=False), StandardScaler()
    linear = [
        np.hstack([scaler.fit_transform(x["train"][0]), encoder.fit_transform(frame.iloc[train][categories])])
    ]
    linear += [np.hstack([scaler.transform(x["test"][0]), encoder.transform(frame.iloc[test][categories])])]
    logistic = LogisticRegression().fit(linear[0], y[train])
    rows["logistic regression, one-hot"] = scores(y[test], logistic.predict_proba(linear[1])[:, 1])

    balanced = {label: len(train) / (2 * np.sum(y[train] == label)) for label in (0, 1)}
    epochs, said, kept = 3 if args.quick else 60, {}, []
    started = time.perf_counter()
    for name, weights in (("network, embeddings", None), ("same, balanced class weights", balanced)):
        model = network(schema, x["train"][0])
        best = EarlyStopping(patience=epochs, restore_best_weights=True)  # never stops, keeps the best epoch
        history = model.fit(
            x["train"], y[train], epochs=epochs, batch_size=64, class_weight=weights, verbose=0,
            validation_data=(x["valid"], y[valid]), callbacks=[best],
        )  # fmt: skip
        said[name] = np.float64(model.predict(x["test"])).ravel()
        rows[name] = scores(y[test], said[name])
        kept.append((model, history))
    rows["the latter, weights undone"] = scores(
        y[test], without_weights(said["same, balanced class weights"], balanced)
    )
    print(f"Both networks, {2 * epochs} epochs: {time.perf_counter() - started:.1f} s with compilation.\n")
    print(table(rows))
    husbands = next(column for column in schema.categories if column.name == "occupation_husb")
    draw(*kept[0], husbands.levels, y[test], said, args.out)
    print(f"\nfigures: {args.out / '06_tabular.png'}, {args.out / '06_tabular_network.png'}")
    return rows


if __name__ == "__main__":
    main()
