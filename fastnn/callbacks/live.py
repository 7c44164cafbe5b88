"""A plot that grows while a model trains."""

from __future__ import annotations

import io
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastnn.callbacks.base import Callback
from fastnn.errors import ArgumentError, unknown_name
from fastnn.io import atomic
from fastnn.serialization import check_number
from fastnn.viz.curves import better, draw_curves
from fastnn.viz.style import figure, load_pyplot

#: Drawing takes at most this share of the time.
SHARE = 0.05
#: Inches of one key's curves, and how many stand side by side.
WIDTH, HEIGHT, COLUMNS = 5.0, 3.2, 3
#: matplotlib's backends that only write files.
WITHOUT_WINDOW = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


class LivePlot(Callback):
    """Draws loss and metrics while a model trains: in a notebook, in a window, or into a file.

    The figure is drawn again after an epoch, at most once in `interval` seconds, as seldom as it must be to
    take no more than a twentieth of the time, and once at the end. Needs the extra ``viz``.

    Parameters
    ----------
    keys : sequence of str, optional
        What to draw, such as ``['loss', 'auc']``, each with its ``val_`` twin where there is one; by
        default the loss and all metrics.
    path : str or Path, optional
        Draw into this file (``.png``, ``.svg``, ``.pdf``, ...), which is whole at any moment. By default
        the figure is shown in the notebook, or in a window of matplotlib's interactive backend.
    interval : float, default 1.0
        Seconds between two drawings, at least.

    Attributes
    ----------
    drawings : int
        How often the figure was drawn in the latest training.

    Raises
    ------
    ArgumentError
        If `interval` is negative, the file could not be written in that format or folder, or, when training
        begins, if there is neither a notebook nor a window nor a path.
    MissingExtraError
        When training begins, if matplotlib is not installed.

    Examples
    --------
    >>> import tempfile, os
    >>> from fastnn.callbacks import LivePlot
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    >>> model.compile("sgd", "mse", metrics=["mae"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     plot = LivePlot(path=os.path.join(folder, "training.png"))
    ...     _ = model.fit([[0.0, 1.0], [1.0, 1.0]], [1.0, 2.0], epochs=3, callbacks=[plot], verbose=0)
    ...     os.listdir(folder)
    ['training.png']
    """

    def __init__(
        self,
        keys: Sequence[str] | None = None,
        path: str | Path | None = None,
        interval: float = 1.0,
    ):
        super().__init__()
        self.keys = None if keys is None else [keys] if isinstance(keys, str) else list(keys)
        self.path = None if path is None else Path(path)
        self.interval = check_number("interval", interval, "LivePlot", 0.0)
        self.drawings = 0
        self._values: dict[str, tuple[list[int], list[float]]] = {}
        self._figure: Any = None
        self._shown: Any = None

    def state_dict(self) -> dict[str, Any]:
        """Return the values drawn so far."""
        return {"values": self._values}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the curves of an earlier training."""
        self._check_state(state, ("values",))
        self._values = {key: (list(item[0]), list(item[1])) for key, item in state["values"].items()}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open the figure."""
        self._values = {}
        self._pending = False
        self._next = 0.0
        self.drawings = 0
        self._shown = None
        self._window = False
        if self.path is not None:
            self._figure = _figure_for(self.path)
        elif in_notebook():
            self._figure = figure(WIDTH, HEIGHT)
        else:
            self._figure = _window()
            self._window = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Take an epoch's values, and draw if it is time."""
        for key, value in (logs or {}).items():
            epochs, values = self._values.setdefault(key, ([], []))
            epochs.append(epoch + 1)
            values.append(value)
        for key in self.keys or ():
            if key not in self._values:
                raise unknown_name("key", key, self._values, "LivePlot: the values of an epoch")
        self._pending = True
        if time.monotonic() >= self._next:
            self._draw()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Draw the last epochs."""
        if self._pending:
            self._draw()

    # ------------------------------------------------------------------ drawing
    def _draw(self) -> None:
        started = time.monotonic()
        plotted = [key for key in self._values if not key.startswith("val_")]
        keys = self.keys or plotted
        columns = min(len(keys), COLUMNS)
        rows = math.ceil(len(keys) / columns)
        self._figure.clear()
        if not self.drawings:  # later a window may have been given another size by hand
            self._figure.set_size_inches(WIDTH * columns, HEIGHT * rows)
        for number, key in enumerate(keys):
            curves = {"training": self._values[key]}
            if f"val_{key}" in self._values:
                curves["validation"] = self._values[f"val_{key}"]
            draw_curves(self._figure.add_subplot(rows, columns, number + 1), key, curves, better(key))
        self._show()
        self._pending = False
        self.drawings += 1
        now = time.monotonic()
        cost = now - started if self.drawings > 1 else 0.0  # the first one loads fonts and the like
        self._next = now + max(self.interval, cost / SHARE)

    def _show(self) -> None:
        if self.path is not None:
            atomic.write(self.path, _picture(self._figure, self.path.suffix[1:].lower()))
        elif self._window:
            self._figure.canvas.draw_idle()
            self._figure.canvas.flush_events()
        else:
            from IPython.display import Image, display

            picture = Image(data=_picture(self._figure, "png"), format="png")
            if self._shown is None:
                self._shown = display(picture, display_id=True)
            else:
                self._shown.update(picture)


def in_notebook() -> bool:
    """Whether IPython runs in a kernel, whose front end shows pictures."""
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return hasattr(get_ipython(), "kernel")


def _window() -> Any:
    """Return the figure of a new window."""
    pyplot = load_pyplot()
    backend = pyplot.get_backend()
    if backend.lower() in WITHOUT_WINDOW:
        raise ArgumentError(
            "LivePlot has nowhere to show a figure: expected a notebook, an interactive backend of "
            f"matplotlib, or LivePlot(path='training.png'). Received: backend {backend!r}."
        )
    drawing = pyplot.figure(layout="constrained")
    drawing.show()
    return drawing


def _figure_for(path: Path) -> Any:
    """Return a figure that can be written to `path`, or raise before training."""
    drawing = figure(WIDTH, HEIGHT)
    formats = drawing.canvas.get_supported_filetypes()
    suffix = path.suffix[1:].lower()
    if suffix not in formats:
        raise unknown_name("suffix of a figure", suffix, formats, "LivePlot(path=...)")
    if not path.parent.is_dir():
        raise ArgumentError(f"LivePlot: expected `path` in a folder that exists. Received: {str(path)!r}.")
    return drawing


def _picture(drawing: Any, suffix: str) -> bytes:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format=suffix, dpi=100)
    return buffer.getvalue()
