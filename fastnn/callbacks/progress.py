"""Progress on the screen: a tqdm bar, or a line an epoch."""

from __future__ import annotations

import sys
import time
from typing import Any

from fastnn.callbacks.base import Callback

#: A bar's values are written at most so often (seconds), so that short epochs stay short.
INTERVAL = 0.05


class ProgbarLogger(Callback):
    """Shows how training goes; ``fit`` adds one itself unless ``verbose=0`` or it is given one.

    Parameters
    ----------
    verbose : {None, 'auto', 0, 1, 2}
        A bar over the epochs with the latest values, on standard error or in the notebook (1), or a line an
        epoch, on standard output (2). ``'auto'`` is a bar on a terminal or in a notebook, else lines. None
        means what ``fit`` was given.
    first_epoch : int, default 0
        Where the bar begins.

    Examples
    --------
    >>> from fastnn.callbacks import ProgbarLogger
    >>> progress = ProgbarLogger(verbose=2)
    >>> progress.set_params({"epochs": 10})
    >>> progress.on_epoch_end(0, {"loss": 0.25})
    Epoch 1/10 - loss: 0.2500
    """

    def __init__(self, verbose: Any = None, first_epoch: int = 0):
        super().__init__()
        self._verbose = verbose
        self._first = first_epoch
        self._bar: Any = None
        self._written = 0.0

    def _way(self) -> Any:
        verbose = self.params.get("verbose", "auto") if self._verbose is None else self._verbose
        return (1 if _is_watched() else 2) if verbose == "auto" else verbose

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the bar."""
        if self._way() == 1:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.params["epochs"], initial=self._first, unit="epoch", leave=True)
            self._written = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show an epoch's values."""
        total = self.params["epochs"]
        if self._bar is None:
            if self._way() == 2:
                print(f"Epoch {epoch + 1}/{total} - {_text(logs, ': ', ' - ')}", flush=True)
            return
        now = time.monotonic()
        if now - self._written > INTERVAL or epoch + 1 == total or self.model.stop_training:
            self._bar.set_postfix_str(_text(logs, "=", ", "), refresh=False)
            self._bar.update(epoch + 1 - self._bar.n)
            self._written = now

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


#: What it was called before it had Keras' name.
ProgressBar = ProgbarLogger


def _is_watched() -> bool:
    """Whether someone looks on: a terminal, or a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def _text(logs: dict[str, Any] | None, equals: str, between: str) -> str:
    return between.join(f"{key}{equals}{number(value)}" for key, value in (logs or {}).items())


def number(value: Any) -> str:
    """Write a value for reading: four decimals, or four digits of what is smaller or larger.

    Examples
    --------
    >>> from fastnn.callbacks.progress import number
    >>> number(0.25), number(1.5e-5), number(3)
    ('0.2500', '1.5000e-05', '3')
    """
    if not isinstance(value, float):
        return str(value)
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e6 or value != value else f"{value:.4e}"
