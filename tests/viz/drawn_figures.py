"""What tests of figures share: reading texts back from a drawn figure, and eyes that see fewer colours."""

from __future__ import annotations

import itertools

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

#: Linear RGB as each kind of colour blindness sees it (Machado, Oliveira and Fernandes 2009, severity 1).
SIMULATED = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colours, kind=None):
    """CIE L*a*b* of sRGB colours from 0 to 1, as seen by one kind of colour blindness."""
    rgb = np.asarray(colours, float)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if kind is not None:
        linear = np.clip(linear @ np.array(SIMULATED[kind]).T, 0, 1)
    xyz = linear @ np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]).T
    t = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 1e-9))
    return np.stack([116 * t[:, 1] - 16, 500 * (t[:, 0] - t[:, 1]), 200 * (t[:, 1] - t[:, 2])], axis=1)


def texts(figure):
    """Every text that is drawn, with its box in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    found = []
    for ax in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
        axes = [ax.xaxis, ax.yaxis, *([ax.zaxis] if ax.name == "3d" else [])] if ax.axison else []
        for axis in axes:
            ticks = axis._update_ticks()
            found += [label for tick in ticks for label in (tick.label1, tick.label2)]
            found += [axis.label, axis.offsetText]
        found += [ax.title, *ax.texts, *(ax.get_legend().get_texts() if ax.get_legend() else [])]
    found = [text for text in found if text.get_visible() and text.get_text()]
    return [(text.get_text(), text.get_window_extent(renderer)) for text in dict.fromkeys(found)]


def assert_legible(figure, boxes_apart=True):
    """No text lies on another, none is cut off at the figure's edge."""
    found = texts(figure)
    assert found
    for name, box in found:
        assert box.x0 >= -0.5 and box.y0 >= -0.5, f"{name!r} is cut off"
        assert box.x1 <= figure.bbox.x1 + 0.5 and box.y1 <= figure.bbox.y1 + 0.5, f"{name!r} is cut off"
    for (one, a), (two, b) in itertools.combinations(found, 2) if boxes_apart else ():
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        along = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= 0.5 or along <= 0.5, f"{one!r} lies on {two!r}"


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]
