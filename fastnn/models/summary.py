"""A model as a table of layers."""

from __future__ import annotations

import html
import math
from typing import Any

HEADER = ("Layer (type)", "Output Shape", "Param #", "Connected to")


def _rows(model: Any) -> list[tuple[str, ...]]:
    """Return one row for each layer; the last column only where the layers are no simple chain."""
    chain = all(len(symbol.inputs) == 1 for symbol in model._calls) and len(model.outputs) < 2
    sources: dict[int, list[str]] = {}
    for symbol in model._calls:
        sources.setdefault(id(symbol.layer), []).extend(source.layer.name for source in symbol.inputs)
        chain = chain and len(sources[id(symbol.layer)]) == 1
    rows: list[tuple[str, ...]] = []
    for layer in model.layers:
        built = layer.built and layer.output_spec is not None
        shape = str((None, *layer.output_spec.shape)) if built else "?"
        count = f"{layer.count_params():,}" if built else "0 (unbuilt)"
        row = (f"{layer.name} ({type(layer).__name__})", shape, count)
        rows.append(row if chain else (*row, ", ".join(sources.get(id(layer), []))))
    return rows


def _totals(model: Any) -> list[str]:
    variables = [variable for layer in model.layers for variable in layer.weights]
    trainable = {id(variable) for layer in model.layers for variable in layer.trainable_weights}
    total = sum(variable.size for variable in variables)
    trained = sum(variable.size for variable in variables if id(variable) in trainable)
    size = 4 if model.dtype == "float32" else 8
    parts = (("Total", total), ("Trainable", trained), ("Non-trainable", total - trained))
    return [f"{what} params: {count:,} ({_bytes(count * size)})" for what, count in parts]


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    power = min(int(math.log(count, 1024)), 3)
    return f"{count / 1024**power:.2f} {('B', 'KB', 'MB', 'GB')[power]}"


def summary_text(model: Any, line_length: int | None = None) -> str:
    """Return the summary as text."""
    rows = _rows(model)
    table = [HEADER[: len(rows[0]) if rows else 3], *rows]
    widths = [max(map(len, column)) + 2 for column in zip(*table, strict=True)]
    if line_length is not None and sum(widths) < line_length:
        widths[0] += line_length - sum(widths)
    rule = "─" * sum(widths)

    def text(row: tuple[str, ...]) -> str:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[2] = row[2].rjust(widths[2] - 2) + "  "
        return "".join(cells).rstrip()

    lines = [f'Model: "{model.name}"', rule, text(table[0]), rule, *map(text, table[1:]), rule]
    return "\n".join([*lines, *_totals(model)])


def summary_html(model: Any) -> str:
    """Return the summary as an HTML table, for notebooks."""
    rows = _rows(model)
    header = HEADER[: len(rows[0]) if rows else 3]

    def line(tag: str, row: tuple[str, ...]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

    body = line("th", header) + "".join(line("td", row) for row in rows)
    totals = "<br>".join(map(html.escape, _totals(model)))
    return f"<b>{html.escape(model.name)}</b><table>{body}</table>{totals}"
