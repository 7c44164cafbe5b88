"""A callback made of functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn.callbacks.base import HOOKS, Callback
from fastnn.errors import ArgumentError, unknown_name


class LambdaCallback(Callback):
    """Call functions at hooks.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called with ``epoch, logs``.
    on_train_begin, on_train_end : callable, optional
        Called with ``logs``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called with ``batch, logs``, every batch or as often as ``batch_interval`` says, which can be set on
        the object.
    **kwargs : callable
        Any other hook of :class:`Callback`, by name.

    Raises
    ------
    UnknownNameError
        If there is no such hook; the nearest is suggested.
    ArgumentError
        If something is not callable.

    Examples
    --------
    >>> from fastnn.callbacks import LambdaCallback
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, kernel_initializer="zeros", input_shape=(1,))])
    >>> model.compile("sgd", "mse")
    >>> show = LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs))
    >>> _ = model.fit([0.0], [1.0], epochs=1, verbose=0, callbacks=[show])
    0 {'loss': 1.0}
    """

    def __init__(
        self,
        on_epoch_begin: Callable | None = None,
        on_epoch_end: Callable | None = None,
        on_train_begin: Callable | None = None,
        on_train_end: Callable | None = None,
        on_train_batch_begin: Callable | None = None,
        on_train_batch_end: Callable | None = None,
        **kwargs: Callable | None,
    ) -> None:
        super().__init__()
        given: dict[str, Any] = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **kwargs,
        }
        for name, function in given.items():
            if name not in HOOKS:
                raise unknown_name("hook", name, HOOKS, "LambdaCallback")
            if function is not None and not callable(function):
                raise ArgumentError(f"`{name}` of LambdaCallback must be callable. Received: {function!r}.")
        self.__dict__.update({name: function for name, function in given.items() if function is not None})
