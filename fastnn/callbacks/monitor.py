"""What callbacks share that watch one value of the logs: its direction, and what counts as better."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from fastnn.callbacks.base import Callback
from fastnn.errors import ArgumentError, nearest
from fastnn.serialization import check_choice, check_number


class MonitorCallback(Callback):
    """Base class of callbacks that compare a value of the logs with the best so far.

    A value is better if it is so by more than `min_delta`. NaN is never better than anything, not even than
    nothing: Keras 3.15 takes a first NaN for the best and lets no later value win.

    Parameters
    ----------
    monitor : str
        A key of the logs: ``'loss'``, a metric's name, or one of these with ``'val_'`` in front; with
        several outputs ``'price_mae'``.
    mode : {'auto', 'min', 'max'}
        Which way is better; ``'auto'`` asks the metric.
    best : float, optional
        What to beat at first.
    min_delta : float, default 0
        Its absolute value counts.

    Raises
    ------
    ArgumentError
        When training begins, if `mode` is ``'auto'`` and `monitor` is no key of the model, or one whose
        metric does not tell its direction.
    """

    state_attributes: ClassVar[tuple[str, ...]] = ("best",)

    def __init__(self, monitor: str, mode: str, best: float | None = None, min_delta: float = 0.0) -> None:
        super().__init__()
        where = type(self).__name__
        if not (isinstance(monitor, str) and monitor):
            raise ArgumentError(f"`monitor` of {where} must be a key of the logs. Received: {monitor!r}.")
        self.monitor = monitor
        self.mode = check_choice("mode", mode, where, ("auto", "min", "max"))
        self.best = best
        self.min_delta = abs(check_number("min_delta", min_delta, where))
        self._sign: float | None = None
        self._warned = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find out which way is better."""
        self._warned = False
        mode = direction(self.model, self.monitor, type(self).__name__) if self.mode == "auto" else self.mode
        self._sign = 1.0 if mode == "max" else -1.0

    def improves(self, value: float, on: float | None) -> bool:
        """Whether `value` is better than `on`; anything but NaN is better than None."""
        if value != value:
            return False
        if on is None or on != on:
            return True
        assert self._sign is not None, "on_train_begin comes first"
        return self._sign * value - self.min_delta > self._sign * on

    def value(self, logs: dict[str, Any] | None) -> float | None:
        """Return the value in the logs; where there is none, warn once and return None."""
        found = (logs or {}).get(self.monitor)
        if found is None:
            if not self._warned:
                self._warned = True
                available = ", ".join(logs or {}) or "none"
                warnings.warn(
                    f"{type(self).__name__} monitors {self.monitor!r}, which is not among the logs; "
                    f"available: {available}.{nearest(self.monitor, logs or {})}",
                    UserWarning,
                    stacklevel=2,
                )
            return None
        try:
            return float(found)
        except (TypeError, ValueError):
            raise ArgumentError(
                f"{type(self).__name__} monitors {self.monitor!r}: expected a number. Received: {found!r}."
            ) from None


def direction(model: Any, monitor: str, where: str) -> str:
    """Return 'min' or 'max' for a key of a compiled model's logs, with or without ``'val_'``.

    Raises
    ------
    ArgumentError
        If the key is not known, or its metric has no direction.
    """
    known = _directions(model)
    key = monitor if monitor in known else monitor.removeprefix("val_")
    found = known.get(key)
    if found is not None:
        return found
    what = "has a metric that does not tell which way is better" if key in known else "is not known"
    raise ArgumentError(
        f"{where}(mode='auto'): the direction of {monitor!r} {what}. Expected one of {', '.join(known)}, "
        f"with or without 'val_' in front; or give mode='min' or mode='max'. Received: monitor={monitor!r}."
        f"{'' if key in known else nearest(key, known)}"
    )


def _directions(model: Any) -> dict[str, str | None]:
    """Return the direction of every value of a compiled model's logs."""
    compiled = model.compiled
    known: dict[str, str | None] = {"loss": "min"}
    if len(compiled.losses) > 1:
        pairs = zip(compiled.output_names, compiled.losses, strict=True)
        known.update({f"{name}_loss": "min" for name, loss in pairs if loss is not None})
    metrics = compiled.resolve_metrics(model.output_shapes, [None] * len(model.output_shapes))
    known.update({compiled.metric_key(k, metric): metric.direction for k, metric, _ in metrics})
    return known
