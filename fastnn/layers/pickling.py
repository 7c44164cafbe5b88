"""What a pickled or copied layer is made from again: its class, configuration and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.layers.variables import initial_values, place


def restored(
    cls: Any,
    config: dict[str, Any],
    state: Mapping[str, np.ndarray],
    specs: Any,
    values: Mapping[str, np.ndarray] | None,
) -> Any:
    """Make a layer from what ``Layer.__reduce__`` gave.

    Parameters
    ----------
    cls : type
    config : dict
    state : dict of ndarray
        From ``get_extra_state``.
    specs : list of Spec or None
        Shapes of the inputs it was built for.
    values : dict of ndarray or None
        The variables' values by path, where it was part of a model.
    """
    layer = cls.from_config(config)
    layer.set_extra_state(state)
    if specs is not None:
        layer.infer(specs)
    if values:
        with initial_values(values):
            place(layer.variables, next(iter(values.values())).dtype.name, 0)
    return layer
