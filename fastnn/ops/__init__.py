"""The array API: every op of the table as a function on arrays, through the compiled kernels.

``fastnn.ops.NAME(*arrays, **attributes)`` computes op NAME; ``fastnn.ops.NAME.grad(d_output, *arrays,
**attributes)`` the gradients with respect to its inputs, by the op's own gradient rule.

Examples
--------
>>> import numpy as np
>>> from fastnn import ops
>>> x, w, b = np.ones((4, 2)), np.full((2, 3), 0.5), np.zeros(3)
>>> hidden = ops.sigmoid(ops.dense(x, w, b))
>>> hidden.shape
(4, 3)
>>> dx, dw, db = ops.dense.grad(np.ones((4, 3)), x, w, b)
>>> dw.shape
(2, 3)
"""

from __future__ import annotations

from typing import Any

# Importing a file adds its records to the table.
from fastnn.ops import activations as _activations  # noqa: F401
from fastnn.ops import bookkeeping as _bookkeeping  # noqa: F401
from fastnn.ops import dropout as _dropout  # noqa: F401
from fastnn.ops import elementwise as _elementwise  # noqa: F401
from fastnn.ops import embedding as _embedding  # noqa: F401
from fastnn.ops import linear as _linear  # noqa: F401
from fastnn.ops import losses as _losses  # noqa: F401
from fastnn.ops import normalization as _normalization  # noqa: F401
from fastnn.ops import reduce as _reduce  # noqa: F401
from fastnn.ops import registry
from fastnn.ops import updates as _updates
from fastnn.ops.custom import register_elementwise, unregister_elementwise
from fastnn.ops.dispatch import OpFunction

__all__ = ["names", "register_elementwise", "registry", "unregister_elementwise"]


def names() -> list[str]:
    """Return the names of all ops, sorted."""
    return registry.names()


# An op may share its name with the file of its records (``linear``): the function wins.
globals().update({name: OpFunction(registry.get(name)) for name in registry.names()})
# Updates overwrite their arrays, so they are plain functions: ``adam_inplace(param, grad, ...)``.
globals().update({name: getattr(_updates, name) for name in _updates.__all__})


def __getattr__(name: str) -> Any:  # ops registered later
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        return OpFunction(registry.get(name))
    except KeyError as error:
        raise AttributeError(str(error)) from None
