"""With `steps_per_epoch`, metrics that need all predictions are of the rows that the epoch came to."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fastnn import layers, optimizers
from fastnn.models import Sequential
from fastnn.random import permutation


@pytest.mark.parametrize("shuffle", [True, False])
def test_metrics_of_an_epochs_rows(shuffle):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1_000, 3)).astype(np.float32)
    y = (x[:, 0] + rng.standard_normal(1_000) > 0).astype(np.float32)
    weight = rng.random(1_000).astype(np.float32)
    model = Sequential([layers.Dense(1, "sigmoid", input_shape=(3,))], seed=7)
    model.compile(
        optimizers.SGD(1e-30), "binary_crossentropy", metrics=["auc"], weighted_metrics=["auc"]
    )  # the weights stay as they are
    scores = model.predict(x)[:, 0]
    options = {"steps_per_epoch": 5, "batch_size": 32, "shuffle": shuffle, "sample_weight": weight}
    history = model.fit(x, y, epochs=3, verbose=0, **options).history
    for epoch in range(3):
        rows = permutation(1_000, 7, epoch)[:160] if shuffle else np.arange(160)
        plain = roc_auc_score(y[rows], scores[rows])
        weighted = roc_auc_score(y[rows], scores[rows], sample_weight=weight[rows])
        assert history["auc"][epoch] == pytest.approx(plain, abs=1e-9)
        assert history["weighted_auc"][epoch] == pytest.approx(weighted, abs=1e-9)
    assert history["auc"][0] != history["weighted_auc"][0]
