"""A model as a table of layers."""

from __future__ import annotations

import html
import math
from typing import Any


def _rows(model: Any) -> list[tuple[str, str, str, str]]:
    rows = []
    several = len(model.inputs) > 1 or len(model.outputs) > 1 or type(model).__name__ != "Sequential"
    sources: dict[int, list[str]] = {}
    for symbol in model._calls:
        sources[id(symbol.layer)] = [source.layer.name for source in symbol.inputs]
    for layer in model.layers:
        shape = (None, *layer.output_spec.shape)
        connected = ", ".join(sources.get(id(layer), [])) if several else ""
        rows.append((f"{layer.name} ({type(layer).__name__})", str(shape), f"{layer.count_params():,}", connected))
    return rows


def _totals(model: Any) -> list[str]:
    total = model.count_params()
    trainable = sum(variable.size for variable in model.trainable_variables)
    size = 4 if model.dtype == "float32" else 8

    def line(what: str, count: int) -> str:
        return f"{what} params: {count:,} ({_bytes(count * size)})"

    return [line("Total", total), line("Trainable", trainable), line("Non-trainable", total - trainable)]


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    power = min(int(math.log(count, 1024)), 3)
    return f"{count / 1024**power:.2f} {('B', 'KB', 'MB', 'GB')[power]}"


def summary_text(model: Any, line_length: int | None = None) -> str:
    """Return the summary as text."""
    header = ["Layer (type)", "Output Shape", "Param #", "Connected to"]
    rows = [list(row) for row in _rows(model)]
    columns = 4 if any(row[3] for row in rows) else 3
    table = [header[:columns]] + [row[:columns] for row in rows]
    widths = [max(len(row[i]) for row in table) + 2 for i in range(columns)]
    if line_length is not None and sum(widths) < line_length:
        widths[0] += line_length - sum(widths)
    rule = "─" * sum(widths)

    def text(row: list[str]) -> str:
        cells = [cell.rjust(width - 2) + "  " if i == 2 else cell.ljust(width) for i, (cell, width) in
                 enumerate(zip(row, widths, strict=True))]  # fmt: skip
        return "".join(cells).rstrip()

    lines = [f'Model: "{model.name}"', rule, text(table[0]), rule, *map(text, table[1:]), rule, *_totals(model)]
    return "\n".join(lines)


def summary_html(model: Any) -> str:
    """Return the summary as an HTML table, for notebooks."""
    rows = _rows(model)
    columns = 4 if any(row[3] for row in rows) else 3
    header = ("Layer (type)", "Output Shape", "Param #", "Connected to")[:columns]
    cells = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[:columns]) + "</tr>" for row in rows
    )
    totals = "<br>".join(html.escape(line) for line in _totals(model))
    return f"<b>{html.escape(model.name)}</b><table><tr>{cells}</tr>{body}</table>{totals}"
