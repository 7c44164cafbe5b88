"""Progress on the screen: a tqdm bar, or a line an epoch."""

from __future__ import annotations

import sys
from typing import Any

from fastnn.callbacks.base import Callback


class ProgressBar(Callback):
    """Shows how training goes.

    Parameters
    ----------
    verbose : {'auto', 1, 2}
        A bar over the epochs with the latest values (1), or a line an epoch (2). ``'auto'`` is a bar on a
        terminal or in a notebook, else lines.
    """

    def __init__(self, verbose: Any = "auto"):
        super().__init__()
        self._lines = verbose == 2 or (verbose == "auto" and not (sys.stderr.isatty() or "ipykernel" in sys.modules))
        self._bar: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the bar."""
        if not self._lines:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.params["epochs"], unit="epoch", leave=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show an epoch's values."""
        values = {key: f"{value:.4f}" if isinstance(value, float) else str(value) for key, value in (logs or {}).items()}
        if self._bar is not None:
            self._bar.set_postfix(values, refresh=False)
            self._bar.update(epoch + 1 - self._bar.n)
        else:
            text = " - ".join(f"{key}: {value}" for key, value in values.items())
            print(f"Epoch {epoch + 1}/{self.params['epochs']} - {text}", flush=True)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
