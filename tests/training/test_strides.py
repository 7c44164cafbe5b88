"""Inputs whose columns run backwards, skip, stand still or begin at an odd byte give what a copy gives."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import layers
from fastnn.models import Sequential

VIEWS = {
    "backwards": lambda x: x[:, ::-1],
    "upside_down": lambda x: x[::-1],
    "both": lambda x: x[::-1, ::-1],
    "every_second_backwards": lambda x: np.repeat(x, 2, axis=1)[:, ::-2],
    "columns_first": lambda x: np.asfortranarray(x)[:, ::-1],
    "one_column_all_over": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "odd_byte": lambda x: np.frombuffer(b"-" + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
}


@pytest.mark.parametrize("units", [3, 32], ids=["units_major", "row_major"])
@pytest.mark.parametrize("view", VIEWS)
def test_views_give_what_copies_give(view, units):
    x = np.random.default_rng(0).standard_normal((70, 6)).astype(np.float32)
    view = VIEWS[view](x)
    found = []
    for data in (view, np.array(view, order="C")):
        model = Sequential([layers.Dense(units, "relu", input_shape=(6,)), layers.Dense(1)], seed=1)
        model.compile("sgd", "mse")
        history = model.fit(data, x[:, 0], batch_size=32, verbose=0)
        found.append((history.history["loss"], model.predict(data).tolist()))
    assert found[0] == found[1]
