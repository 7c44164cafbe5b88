"""What TensorBoard costs an epoch, with histograms of weights and gradients: aim, under 15 ms for 45-64-64-1.

Read it as the difference of the two.
"""

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")

from fastnn.callbacks import Callback, TensorBoard
from fastnn.layers import Dense, Dropout
from fastnn.models import Sequential

EPOCHS = 20


class EachEpoch(Callback):
    """Asks for nothing but to be called."""

    def on_epoch_end(self, epoch, logs=None):
        pass


@pytest.mark.parametrize("callback", ["none", "tensorboard", "tensorboard and images"])
def test_an_epoch(benchmark, tmp_path, callback):
    if callback != "none":
        pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((320, 45)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.float32)
    stack = [Dense(64, "relu", input_shape=(45,)), Dropout(0.5), Dense(64, "relu"), Dropout(0.5)]
    model = Sequential([*stack, Dense(1, "sigmoid")], seed=1)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, verbose=0)  # compiles

    def epochs():
        board = EachEpoch()
        if callback != "none":
            board = TensorBoard(tmp_path, histogram_freq=1, write_images="images" in callback)
        model.fit(x, y, epochs=EPOCHS, verbose=0, callbacks=[board])

    epochs()
    benchmark.extra_info["epochs a round"] = EPOCHS
    benchmark(epochs)
