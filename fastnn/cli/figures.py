"""Where the commands write their figures."""

from __future__ import annotations

import errno
from pathlib import Path

from fastnn.errors import unknown_name
from fastnn.viz.style import figure


def check_output(path: str) -> None:
    """Raise before training if the figure could not be written after it."""
    formats = figure(1, 1).canvas.get_supported_filetypes()
    suffix = Path(path).suffix[1:].lower()
    if suffix not in formats:
        raise unknown_name("suffix of a figure", suffix, formats, "--out")
    if not Path(path).parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, "No such folder", str(Path(path).parent))
