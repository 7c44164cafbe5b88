"""The table in the README, from the same results as docs/benchmarks.md; `benchmarks.page` writes both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.report import OURS

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- benchmarks:begin -->\n", "<!-- benchmarks:end -->"

RIVALS = {
    "jax:scan": "JAX, `scan`", "tensorflow:loop": "TensorFlow, XLA loop", "torch": "PyTorch",
    "keras": "Keras `fit`", "sklearn": "scikit-learn", "numpy": "NumPy",
}  # fmt: skip
ROWS = {
    "circles_full": "2-3-2, all 50,000 rows, SGD",
    "circles_b128": "2-3-2, 128, RMSprop",
    "returns_b32": "45-64-64-1, dropout .5, 32, Adam",
    "returns_b32_nodropout": "the same without dropout",
    "returns_b512": "45-64-64-1, dropout .5, 512, Adam",
    "wide_b256": "512-1024-1024-10, 256, Adam",
    "fresh_small": "a new 20-32-1, built and trained 10 epochs",
}


def duration(microseconds: float) -> str:
    """In the unit that gives one to three digits before the point."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size:
            return f"{microseconds / size:.3g} {unit}"
    return f"{microseconds:.3g} us"


def table(result: dict[str, Any]) -> list[str]:
    """Time of a step on one thread, or of a model; in brackets the ratio, bold where a rival is faster."""
    at = {(r["workload"], r["rival"]): r for r in result["rows"] if r["threads"] == 1 and "median_us" in r}
    lines = ["| network, batch | fastnn | " + " | ".join(RIVALS.values()) + " |",
             "|---" * (len(RIVALS) + 2) + "|"]  # fmt: skip
    for name, title in ROWS.items():
        ours = at.get((name, OURS))
        if ours is None:
            continue
        w = result["workloads"][name]
        steps = w["steps_per_epoch"] * w["epochs"] if w["kind"] == "fresh" else 1
        cells = [title, duration(ours["median_us"] * steps)]
        for rival in RIVALS:
            row = at.get((name, rival))
            if row is None or row.get("verdict", "").startswith("void"):
                cells.append("-")
                continue
            ratio = row["median_us"] / ours["median_us"]
            ratio_text = f"{ratio:.2g}" if ratio < 100 else f"{ratio:.0f}"
            star = " a" if row.get("deviation") else ""
            bold = "**" if ratio < 1 else ""
            cells.append(f"{duration(row['median_us'] * steps)} ({bold}{ratio_text}{bold}){star}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def renewed(text: str, result: dict[str, Any], words: str) -> str:
    """Return the README with the table and the words below it put between the markers."""
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    return head + BEGIN + "\n".join([*table(result), "", words, ""]) + END + tail
