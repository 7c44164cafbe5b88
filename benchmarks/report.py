"""From raw repeats to rows: medians, spread, ratios, the quality verdict, the printed table."""

from __future__ import annotations

from math import isfinite, log, nan
from statistics import median, quantiles
from typing import Any

from benchmarks.limits import floor_us

OURS = "fastnn"


def summarise(row: dict[str, Any], repeats_s: list[float], steps: int) -> None:
    """Adds microseconds a step: median, quartile distance, best, and every repeat."""
    each = [1e6 * s / steps for s in repeats_s]
    low, _, high = quantiles(each, n=4, method="inclusive") if len(each) > 1 else (each[0],) * 3
    row |= {"median_us": median(each), "iqr_us": high - low, "best_us": min(each), "repeats_us": each}


def judge(rows: list[dict[str, Any]], tolerance: float) -> None:
    """Marks each row of one workload and thread count: same training as the others, or void.

    The reference is the median final loss of the rows that claim to be the same training. A row that declares
    a deviation (another optimizer, say) is never void, but the table marks it with a star.
    """
    losses = [r["final_loss"] for r in rows if isfinite(r.get("final_loss", nan)) and not r["deviation"]]
    for row in rows:
        if "prediction_error" in row:
            wrong = not row["prediction_error"] <= tolerance  # also catches NaN
            row["verdict"] = f"void: probabilities off by {row['prediction_error']:.1e}" if wrong else "ok"
        if "final_loss" not in row:
            continue
        row["reference_loss"] = reference = median(losses) if losses else None
        if row["deviation"]:
            row["verdict"] = f"not the same training: {row['deviation']}"
        elif not row["final_loss"] < row["start_loss"]:  # also catches NaN
            row["verdict"] = "void: the loss did not fall"
        elif len(losses) < 2:
            row["verdict"] = "unchecked: nobody to compare with"
        elif abs(row["final_loss"] - reference) > tolerance:
            row["verdict"] = f"void: final loss {row['final_loss']:.4f}, the others {reference:.4f}"
        else:
            row["verdict"] = "ok"


def compare(rows: list[dict[str, Any]]) -> None:
    """Adds the ratio to ours: how many times longer a rival takes."""
    ours = next((r["median_us"] for r in rows if r["rival"] == OURS and "median_us" in r), None)
    for row in rows:
        if "median_us" in row and ours is not None:
            row["ratio_to_ours"] = row["median_us"] / ours


def add_limits(rows: list[dict[str, Any]], workloads: dict[str, Any], limits: dict[str, Any]) -> None:
    """Adds the share of the cores' measured GEMM peak in the products, the step's floor and its share."""
    for row in rows:
        w = workloads[row["workload"]]
        if w["kind"] in ("steps", "many", "predict") and "median_us" in row:
            gflops = w["step_flops"] / (row["median_us"] * 1e3)
            row["fraction_of_peak"] = gflops / (limits["gflops"][w["dtype"]] * row["threads"])
            row["floor_us"] = floor_us(w, row["threads"], limits)
            row["fraction_of_floor"] = row["floor_us"] / row["median_us"]


def add_floors(rows: list[dict[str, Any]], workloads: dict[str, Any], limits: dict[str, Any]) -> None:
    """Adds the two floors of a step on a GPU in microseconds: arithmetic by rate, bytes by bandwidth."""
    for row in rows:
        w = workloads[row["workload"]]
        if w["kind"] != "steps" or "median_us" not in row:
            continue
        rate = limits["flops" if w["dtype"] == "float32" else "flops64"]
        for name, work, most in (
            ("flops", w["step_flops"], rate),
            ("bytes", w["gpu_step_bytes"], limits["bandwidth"]),
        ):
            row[f"floor_{name}_us"] = 1e6 * work / most if most else None


def _number(value: float | None, form: str = ".3g", suffix: str = "") -> str:
    if value is None:
        return "-"
    return (f"{value:,.0f}" if form == ".3g" and value >= 100 else f"{value:{form}}") + suffix


HEAD = ("workload", "threads", "rival",
        "us/step", "IQR", "x ours", "first call s", "of peak", "of floor", "MB", "cpu", "loss",
        "note")  # fmt: skip
#: On a GPU the two floors themselves stand in the place of the shares of the processor's.
GPU_HEAD = (*HEAD[:7], "flops floor", "bytes floor", *HEAD[9:])


def table(rows: list[dict[str, Any]], device: str = "cpu") -> str:
    head = HEAD if device == "cpu" else GPU_HEAD
    lines = [head]
    for r in rows:
        name = r["rival"] + ("*" if r.get("deviation") else "")
        start = (r["workload"] + (f", {r['cache']} cache" if "cache" in r else ""), str(r["threads"]), name)
        if "median_us" not in r:
            why = r.get("unsupported") or r.get("error", "")
            lines.append((*start, "-", *[""] * (len(head) - 5), why))
            continue
        note = r.get("verdict", "").removeprefix("ok")
        if "total_s" in r:
            note += f"; {r['total_s']:.2f} s from import to the end of fit"
        elif "models" in r:
            note += f"; {r['median_us'] * r['steps_per_model'] / 1e3:.3g} ms a model"
        if device == "cpu":
            limits = [_number(r.get(f"fraction_of_{name}"), ".0%") for name in ("peak", "floor")]
        else:
            limits = [_number(r.get(f"floor_{name}_us")) for name in ("flops", "bytes")]
        lines.append((
            *start, _number(r["median_us"]), _number(r["iqr_us"]), _number(r.get("ratio_to_ours")),
            _number(r.get("first_call_s"), ".2f"), *limits, _number(r.get("peak_mb"), ".0f"),
            _number(r.get("cpu_share"), ".2f"), _number(r.get("final_loss"), ".4f"), note.lstrip("; "),
        ))  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    out, last = [], None
    for line in lines:
        if last is not None and line[:2] != last:
            out.append("")
        last = line[:2]
        left = "  ".join(cell.ljust(n) for cell, n in zip(line[:3], widths[:3], strict=True))
        right = "  ".join(cell.rjust(n) for cell, n in zip(line[3:-1], widths[3:-1], strict=True))
        out.append(f"{left}  {right}  {line[-1]}".rstrip())
    return "\n".join(out)


def sweep_cost(w: dict[str, Any], row: dict[str, Any]) -> float:
    """What a curve shows: microseconds a step, or an epoch where the rows vary."""
    return row["median_us"] * (w["steps_per_epoch"] if w["sweep"][0] == "rows" else 1)


def slope(points: list[tuple[float, float]]) -> float:
    """Slope of the least-squares line through the logarithms: the cost grows as value ** slope."""
    xs, ys = [log(x) for x, _ in points], [log(y) for _, y in points]
    x0, y0 = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - x0) * (y - y0) for x, y in zip(xs, ys, strict=True)) / sum((x - x0) ** 2 for x in xs)
