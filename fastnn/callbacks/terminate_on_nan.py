"""End training without an error where the loss is not finite."""

from __future__ import annotations

from fastnn.callbacks.base import Callback
from fastnn.serialization import check_bool


class TerminateOnNaN(Callback):
    """End training quietly when the loss turns NaN or infinite.

    Training notices that by itself, at every step, and raises NonFiniteLossError with the last finite
    weights kept. With this callback it prints the error's message, sets ``model.stop_training`` and returns
    the history of the epochs before; the weights are kept just so. It costs nothing per batch.

    Parameters
    ----------
    raise_error : bool, default False
        Raise NonFiniteLossError after all.

    Examples
    --------
    >>> from fastnn.callbacks import TerminateOnNaN
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=0, dtype="float64")
    >>> model.compile("sgd", "mse")
    >>> history = model.fit([1e200], [0.0], epochs=3, verbose=0, callbacks=[TerminateOnNaN()])
    The loss became NaN or infinite in epoch 1, step 1 of 1, ...
    >>> len(history.epoch), model.stop_training
    (0, True)
    """

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = check_bool("raise_error", raise_error, "TerminateOnNaN")

    def on_nonfinite(self, error: ArithmeticError) -> bool:
        """Decide how training ends."""
        if self.raise_error:
            return False
        print(error)
        self.model.stop_training = True
        return True
