"""The figures of a result: ratios to fastnn, the roofline, costs along the sweeps. Needs matplotlib.

Each PNG carries the fingerprint of what it was drawn from, so that a test can tell a stale one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.report import OURS, slope, sweep_cost

Row = dict[str, Any]


def measured(result: dict[str, Any]) -> list[Row]:
    """Rows with a time whose training was the same as the others'."""
    rows = [r for r in result["rows"] if "median_us" in r]
    return [r for r in rows if not r.get("verdict", "").startswith("void")]


def _save(figure: Any, path: str | Path, fingerprint: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, bbox_inches="tight", metadata={"Source": fingerprint})
    plt.close(figure)
    return str(path)


def ratios(result: dict[str, Any], path: str | Path, fingerprint: str = "") -> str:
    """How many times longer each rival takes: a line of marks for each workload and thread count."""
    rows = [r for r in measured(result) if r.get("ratio_to_ours") and r.get("cache") != "empty"]
    names = list(dict.fromkeys((r["workload"], r["threads"]) for r in rows if r["rival"] != OURS))[::-1]
    rivals = [r for r in dict.fromkeys(r["rival"] for r in rows) if r != OURS]
    figure, axes = plt.subplots(figsize=(9, 1.6 + 0.32 * len(names)))
    colours, marks = plt.get_cmap("tab20"), "osD^v<>PX*"
    for i, rival in enumerate(rivals):
        own = [r for r in rows if r["rival"] == rival]
        heights = [names.index((r["workload"], r["threads"])) for r in own]
        axes.plot(
            [r["ratio_to_ours"] for r in own], heights, marks[i % 10], color=colours(i % 20), label=rival
        )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), [f"{name}, {n} thread{'s' * (n > 1)}" for name, n in names])
    axes.set_xlabel(
        "time of a step, as a multiple of fastnn's (log scale; left of the line a rival is faster)"
    )
    axes.grid(axis="x", alpha=0.3)
    if rivals:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return _save(figure, path, fingerprint)


def roofline(result: dict[str, Any], path: str | Path, fingerprint: str = "") -> str:
    """Operations a second against operations a byte, under this machine's two roofs, for one thread."""
    limits = result["limits"]
    peak, bandwidth = limits["gflops"]["float32"], limits["gb_per_s"]["1"]
    figure, axes = plt.subplots(figsize=(8, 5))
    x = np.logspace(-1, 4, 200)
    axes.plot(x, np.minimum(peak, bandwidth * x), color="black", linewidth=1)
    axes.annotate(f"{peak:.0f} GFLOP/s", (x[-1], peak), ha="right", va="bottom")
    axes.annotate(f"{bandwidth:.0f} GB/s from memory", (0.12, bandwidth * 0.14), rotation=35, va="bottom")
    for row in measured(result):
        w = result["workloads"][row["workload"]]
        single = row["threads"] == 1 and w["dtype"] == "float32" and w["kind"] in ("steps", "predict")
        if not single or row["rival"] != OURS:
            continue
        at = w["step_flops"] / sum(w["step_bytes"].values())
        reached = w["step_flops"] / row["median_us"] / 1e3
        axes.plot(at, reached, "o", markersize=4)
        axes.annotate(row["workload"], (at, reached), fontsize=6, xytext=(3, 2), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlabel="operations of the products a byte of rows and parameters",
             ylabel="GFLOP/s in the products", title="fastnn, one thread, float32")  # fmt: skip
    axes.grid(alpha=0.3)
    return _save(figure, path, fingerprint)


def scaling(result: dict[str, Any], path: str | Path, fingerprint: str = "") -> str:
    """Cost along each sweep at one thread, log-log, with the slope of the fitted line."""
    curves = sweeps(result)
    quantities = list(dict.fromkeys(quantity for quantity, _ in curves))
    columns = min(3, len(quantities))
    lines = -(-len(quantities) // columns)
    figure, grid = plt.subplots(lines, columns, figsize=(4.2 * columns, 3.4 * lines), squeeze=False)
    for axes in grid.flat[len(quantities) :]:
        axes.set_visible(False)
    for axes, quantity in zip(grid.flat, quantities, strict=False):
        for (of, rival), points in curves.items():
            if of == quantity:
                fitted = f" (slope {slope(points):.2f})" if len(points) > 2 else ""
                axes.plot(*zip(*points, strict=True), "o-", markersize=3, label=rival + fitted)
        axes.set(xscale="log", yscale="log", xlabel=quantity, ylabel=_unit(quantity))
        axes.grid(alpha=0.3)
        axes.legend(fontsize=6, frameon=False)
    figure.tight_layout()
    return _save(figure, path, fingerprint)


def sweeps(result: dict[str, Any], threads: int = 1) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Points (value, cost) for each (quantity, rival), in the order of the value."""
    curves: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in measured(result):
        w = result["workloads"][row["workload"]]
        quantity, value = w.get("sweep", ("", 0))
        if quantity and row["threads"] == threads:
            curves.setdefault((quantity, row["rival"]), []).append((value, sweep_cost(w, row)))
    return {key: sorted(points) for key, points in curves.items()}


def _unit(quantity: str) -> str:
    return "us an epoch" if quantity == "rows" else "us a step"
