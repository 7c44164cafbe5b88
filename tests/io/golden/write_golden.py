"""Write the golden files of a release: ``python tests/io/golden/write_golden.py`` in a checkout of it.

Each release adds a folder; what is in one is never written again. Beside a model stand the rows it was asked
about and what it said, in ``expected.json``. The weights of `exact` are small whole numbers, so that every
product and sum is exact in float32 on any machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import fastnn
from fastnn import layers, losses, optimizers
from fastnn.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input, Normalization
from fastnn.models import Model, Sequential

X = (np.arange(24).reshape(8, 3) % 7 - 3).astype(np.float32)
CITY = (np.arange(8) % 4).reshape(-1, 1).astype(np.int32)
Y = (X[:, :1] * 2 - X[:, 1:2]).astype(np.float32)


def exact():
    """A dense network whose arithmetic is exact."""
    model = Sequential(
        [Dense(4, "relu", input_shape=(3,), name="hidden"), Dense(2, name="out")], name="exact", seed=1
    )
    values = iter(range(100))
    model.set_weights(
        [
            np.array([next(values) % 5 - 2 for _ in range(w.size)]).reshape(w.shape)
            for w in model.get_weights()
        ]
    )
    return model, [X]


def trained():
    """A classifier in training: optimizer, metrics, history and a schema."""
    model = Sequential(
        [Dense(4, "tanh", input_shape=(3,)), Dropout(0.2), Dense(1, "sigmoid")], name="trained", seed=2
    )
    model.compile(
        optimizers.AdamW(0.01, clipnorm=1.0), losses.BinaryCrossentropy(), metrics=["accuracy", "auc"]
    )
    model.fit(X, Y > 0, epochs=3, batch_size=4, verbose=0)
    model.schema = {"format": 1, "columns": ["a", "b", "ü"]}
    return model, [X]


def graph():
    """Two inputs, two outputs, a shared layer, statistics and an embedding, in float64."""
    x, city = Input(shape=(3,), name="x"), Input(shape=(1,), dtype="int32", name="city")
    normalization = Normalization(name="normalize")
    normalization.adapt(X)
    shared = Dense(3, "gelu", kernel_regularizer="l2", bias_constraint="non_neg", name="shared")
    hidden = BatchNormalization(name="norm")(shared(shared(normalization(x))))
    both = layers.Concatenate(name="both")([hidden, Flatten(name="flat")(Embedding(4, 2, name="town")(city))])
    model = Model(
        [x, city], {"y": Dense(1, name="y")(both), "h": hidden}, name="graph", seed=3, dtype="float64"
    )
    model.compile(optimizers.Nadam(use_ema=True), {"y": losses.Huber(0.5), "h": None}, metrics={"y": "mae"})
    model.fit([X, CITY], {"y": Y, "h": None}, epochs=2, batch_size=4, verbose=0)
    return model, [X, CITY]


MODELS = {"exact": exact, "trained": trained, "graph": graph}


def outputs(model, inputs):
    """Return a model's predictions as lists by output."""
    found = model.predict(inputs if len(inputs) > 1 else inputs[0])
    found = found if isinstance(found, dict) else {"output": found}
    return {name: values.astype(np.float64).tolist() for name, values in found.items()}


def main():
    folder = Path(__file__).parent / fastnn.__version__
    if folder.exists():
        sys.exit(f"{folder} is there already: golden files are written once.")
    folder.mkdir()
    expected = {}
    for name, make in MODELS.items():
        model, inputs = make()
        model.save(folder / f"{name}.fastnn")
        expected[name] = {"inputs": [array.tolist() for array in inputs], "outputs": outputs(model, inputs)}
    model.save_weights(folder / "weights.fastnn")
    (folder / "expected.json").write_text(json.dumps(expected) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
