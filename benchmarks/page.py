"""Writes docs/benchmarks.md, its figures and the README's table: `python -m benchmarks.page`.

Every number on the page comes from `results/*.json`, the CPU's; the words about a workload come from
`remarks.md`. Where two files have the same workload at the same thread count, the newer one counts, whole:
ratios are of one run.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from benchmarks.aims import AIMS, met, reached, worst
from benchmarks.readme import README, renewed
from benchmarks.report import OURS, slope, sweep_cost
from benchmarks.workloads import WORKLOADS

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
PAGE, FIGURES = DOCS / "benchmarks.md", DOCS / "figures"
Row = dict[str, Any]


def read_results(folder: Path = HERE / "results") -> dict[str, Any]:
    """One result of all files: the newest rows of each workload, thread count and cache."""
    files = {path: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    # A GPU's rows have the same names and other limits: they are no newer run of the CPU's.
    files = {path: result for path, result in files.items() if result.get("device", "cpu") == "cpu"}
    newest: dict[tuple[Any, ...], tuple[str, Path]] = {}
    for path, result in files.items():
        for row in result["rows"]:
            key = row["workload"], row["threads"], row.get("cache")
            newest[key] = max(newest.get(key, ("", path)), (result["machine"]["date"], path))
    together: dict[str, Any] = {
        "rows": [],
        "workloads": {},
        "files": {},
        "profiles": {},
        "fingerprint": fingerprint(files),
    }
    for path, result in sorted(files.items(), key=lambda item: item[1]["machine"]["date"]):
        kept = [{**row, "file": path.name} for row in result["rows"]
                if newest[row["workload"], row["threads"], row.get("cache")][1] == path]  # fmt: skip
        together["rows"] += kept
        together["workloads"] |= {r["workload"]: result["workloads"][r["workload"]] for r in kept}
        together["files"] |= {path.name: result} if kept else {}
        names = {r["workload"] for r in kept if r["threads"] == 1}
        together["profiles"] |= {n: p for n, p in result.get("profiles", {}).items() if n in names}
        if kept and "limits" in result:
            together["limits"] = result["limits"]
    return together


def fingerprint(files: dict[Path, Any]) -> str:
    """Of all results; the figures carry it."""
    text = json.dumps({path.name: result for path, result in files.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_remarks(path: Path = HERE / "remarks.md") -> dict[str, str]:
    """The text below each heading, by the heading."""
    sections = path.read_text(encoding="utf-8").split("\n## ")[1:]
    return {name.strip(): text.strip() for name, _, text in (s.partition("\n") for s in sections)}


def figures_of(result: dict[str, Any]) -> dict[str, str]:
    """The figures that this result has the figures for: file and caption."""
    found = {"bench_ratios.png": "Time of a step as a multiple of fastnn's."}
    if "limits" in result:
        found["bench_roofline.png"] = "Operations a second under the machine's two roofs."
    if any(w.get("sweep", [""])[0] for w in result["workloads"].values()):
        found["bench_scaling.png"] = "Cost along the sweeps, one thread."
    return found


# --- text -----------------------------------------------------------------------------------------------


def number(value: float | None, suffix: str = "", digits: int = 3) -> str:
    if value is None:
        return "-"
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}") + suffix


def percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def threads_text(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(head) - 1)]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)] + [""]


def machine_lines(result: dict[str, Any]) -> list[str]:
    rows = []
    for name, one in result["files"].items():
        m = one["machine"]
        limits = one.get("limits")
        peak = limits["gflops"]["float32"] if limits else one["gemm_peak_gflops"]["float32"]
        memory = limits["gb_per_s"]["1"] if limits else None
        exps = limits["exp_per_ns"]["float32"] if limits else None
        rows.append([
            f"[{name}](../benchmarks/results/{name})", m["date"][:10],
            f"{m['cpu']}, {m['cores_visible']} cores",
            number(peak), number(memory), number(exps), number(max(m["load_average"][0], 0)),
            f"`{(m['git_commit'] or '')[:10]}`{' and changes' if m['git_dirty'] else ''}",
        ])  # fmt: skip
    head = ["file", "date", "processor", "GFLOP/s a core", "GB/s", "exp a ns", "load before", "commit"]
    return markdown(head, rows)


def describe(w: dict[str, Any]) -> str:
    drop = f", dropout {w['dropout']:g}" if w["dropout"] else ""
    many = f"{w['count']} networks " if w.get("count", 1) > 1 else ""
    shape = "-".join(map(str, w["sizes"])) if len(w["sizes"]) < 8 else f"{len(w['sizes']) - 1} layers"
    network = f"{many}{shape}, {w['activation']}{drop}"
    if w["kind"] == "predict":
        return f"{network}; predicting {w['rows']:,} rows, {w['batch_size']:,} a call; {w['dtype']}."
    parameters = sum((a + 1) * b for a, b in zip(w["sizes"], w["sizes"][1:], strict=False))
    training = f"{w['rows']:,} rows, batch {w['batch_size']:,}, {w['optimizer']}"
    return f"{network}, {w['loss']}; {training}; {w['dtype']}; {parameters:,} parameters."


def cells(row: Row) -> list[str]:
    name = row["rival"] + ("\\*" if row.get("deviation") else "")
    if "cache" in row:
        name += f", {row['cache']} cache"
    if "median_us" not in row:
        return [name, str(row["threads"]), "-", *[""] * 8, row.get("unsupported") or row.get("error", "")]
    note = row.get("verdict", "").removeprefix("ok")
    if "total_s" in row:
        note = f"{note}; {row['total_s']:.2f} s from import to the end of the fit".lstrip("; ")
    spread = percent(row["iqr_us"] / row["median_us"])
    ratio = None if row.get("verdict", "").startswith("void") else row.get("ratio_to_ours")
    held = row.get("held_out_loss")
    return [
        name, str(row["threads"]), number(row["median_us"]), spread, number(ratio),
        number(row.get("first_call_s"), " s"), percent(row.get("fraction_of_peak")),
        percent(row.get("fraction_of_floor")), number(row.get("peak_mb"), digits=4),
        "-" if "final_loss" not in row else f"{row['final_loss']:.4f}",
        "-" if held is None else f"{held:.4f}", note,
    ]  # fmt: skip


HEAD = ["", "threads", "us a step", "spread", "x fastnn", "first call", "of peak", "of floor", "MB", "loss",
        "held out", "note"]  # fmt: skip


def winners(rows: list[Row]) -> list[Row]:
    """Rows of rivals that were faster, doing the same."""
    return [r for r in rows if r.get("ratio_to_ours", 1) < 1 and r["rival"] != OURS
            and not r.get("verdict", "").startswith("void")]  # fmt: skip


def missed(result: dict[str, Any]) -> set[str]:
    """Workloads at which an aim is missed: those whose page shows the profile, and the reason."""
    return {r.workload for aim in AIMS for r in reached(aim, result["rows"]) if not met(aim, r)}


def aim_lines(result: dict[str, Any]) -> list[str]:
    """Each aim with the worst of what was reached."""
    rows = []
    for aim in AIMS:
        found = reached(aim, result["rows"])
        short = "at most " if aim.kind == "seconds" else ""
        form = percent if aim.kind == "floor" else number
        if not found:
            rows.append([aim.what, short + form(aim.least), "-", "", "not measured"])
            continue
        last = worst(aim, found)
        fell_short = sum(not met(aim, r) for r in found)
        verdict = "met" if not fell_short else "**missed**" + (
            f" at {fell_short} of {len(found)}" if len(found) > 1 else "")  # fmt: skip
        rows.append([aim.what, short + form(aim.least), form(last.value), str(last), verdict])
    head = ["aim", "wanted", "reached at worst", "where", ""]
    return ["## Aims", "", AIMS_INTRO, "", *markdown(head, rows)]


AIMS_INTRO = (
    "Set before anything was measured, some from another machine's figures. At every thread count; a rival "
    "counts if it did the same training. Where one is missed, the workload's section has the reason and the "
    "profile of a step, each instruction alone on one thread."
)


def profile_lines(profile: dict[str, Any]) -> list[str]:
    """A step's instructions: how often, microseconds and share of all, the floor, the kernel."""
    total = profile["total"]
    lines = [
        f"{row['microseconds']:>10,.3f} us x {row['times']:<6g} "
        f"{row['times'] * row['microseconds'] / total:>6.1%}   "
        + (f"floor {row['floor']:>10,.3f}   " if row["bound"] else " " * 19)
        + row["kernel"]
        for row in profile["rows"]
    ]
    lines.append(
        f"{total:,.2f} us in all rows, {profile['products']:,.2f} in products; their floors "
        f"{profile['floor']:,.2f}; {profile['alone']:,.2f} measured for a whole step"
    )
    return ["```", *lines, "```", ""]


def workload_lines(name: str, result: dict[str, Any], remarks: dict[str, str]) -> list[str]:
    w, rows = result["workloads"][name], [r for r in result["rows"] if r["workload"] == name]
    rivals = " ".join(dict.fromkeys(r["rival"] for r in rows))
    threads = " ".join(dict.fromkeys(str(r["threads"]) for r in rows))
    lines = [f"### {name}", "", describe(w), ""]
    lines += markdown(HEAD, [cells(r) for r in rows])
    faster, short = winners(rows), name in missed(result)
    if faster:
        text = ", ".join(
            f"{r['rival']} ({threads_text(r['threads'])}, {r['ratio_to_ours']:.2f} of our time)"
            for r in faster
        )
        lines += [f"**Faster than fastnn:** {text}.", ""]
        if name not in remarks:
            raise ValueError(f"a rival wins at {name}: say why in benchmarks/remarks.md")
    elif short and name not in remarks:
        raise ValueError(f"an aim is missed at {name}: say why in benchmarks/remarks.md")
    if name in remarks:
        lines += [remarks[name], ""]
    if short and name in result["profiles"]:
        lines += profile_lines(result["profiles"][name])
    files = ", ".join(dict.fromkeys(r["file"] for r in rows))
    command = (
        f"python -m benchmarks.run --env-dir ENVS --workloads {name} --rivals {rivals} --threads {threads}"
    )
    return [*lines, f"From {files}. Again:", "", "```", command, "```", ""]


def sweep_lines(result: dict[str, Any]) -> list[str]:
    """A row for each curve: its points and the slope."""
    curves: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
    for row in result["rows"]:
        w = result["workloads"][row["workload"]]
        good = "median_us" in row and not row.get("verdict", "").startswith("void")
        if good and w.get("sweep", [""])[0]:
            key = (w["sweep"][0], row["rival"], row["threads"])
            curves.setdefault(key, []).append((w["sweep"][1], sweep_cost(w, row)))
    if not curves:
        return []
    rows = [
        [quantity, rival, str(threads), f"{min(p)[0]:g} to {max(p)[0]:g}", number(min(p)[1]),
         number(max(p)[1]), f"{slope(p):.2f}"]
        for (quantity, rival, threads), p in curves.items() if len(p) > 2
    ]  # fmt: skip
    head = ["varied", "rival", "threads", "range", "us at the start", "us at the end", "slope"]
    intro = ("The cost of a step (rows: of an epoch) grows as the varied quantity to the power of the slope, "
             "by a least-squares line through the logarithms.")  # fmt: skip
    return ["## Scaling", "", intro, "", *markdown(head, rows)]


def thread_lines(result: dict[str, Any]) -> list[str]:
    """fastnn at one thread and at more."""
    times = {(r["workload"], r["threads"], r.get("cache")): r["median_us"] for r in result["rows"]
             if r["rival"] == OURS and "median_us" in r}  # fmt: skip
    rows = []
    for (name, threads, cache), many in times.items():
        one = times.get((name, 1, cache))
        if threads > 1 and one is not None:
            points = [(1.0, one), (float(threads), many)]
            rows.append(
                [name, str(threads), number(one), number(many), f"{one / many:.2f}", f"{slope(points):.2f}"]
            )
    head = ["workload", "threads", "us with one", "us with these", "times faster", "slope"]
    return ["## Threads", "", *markdown(head, rows)] if rows else []


def generate(result: dict[str, Any], remarks: dict[str, str]) -> str:
    """The page, as text."""
    lines = ["# Benchmarks", "", "<!-- Generated by `python -m benchmarks.page`; do not edit. -->", "",
             remarks["introduction"], "", "## The machine", "", *machine_lines(result)]  # fmt: skip
    lines += aim_lines(result)
    for file, caption in figures_of(result).items():
        lines += [f"![{caption}](figures/{file})", ""]
    lines += ["## Method", "", remarks["method"], ""]
    groups: dict[str, list[str]] = {}
    for name, w in result["workloads"].items():
        groups.setdefault(w.get("group", "training"), []).append(name)
    for group, names in groups.items():
        lines += [f"## {group[0].upper()}{group[1:]}", ""]
        for name in names:
            lines += workload_lines(name, result, remarks)
    lines += sweep_lines(result) + thread_lines(result)
    left = [n for n, w in WORKLOADS.items() if "cpu" in w.devices and n not in result["workloads"]]
    if left:
        lines += ["## Not measured yet", "", "Described in the code, without a committed result: "
                  + ", ".join(f"`{name}`" for name in left) + ".", ""]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    # The page needs no matplotlib, its figures do.
    from benchmarks import figures

    result, remarks = read_results(), read_remarks()
    PAGE.write_text(generate(result, remarks), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    README.write_text(renewed(text, result, remarks["readme"]), encoding="utf-8")
    print(f"{PAGE}\n{README}")
    for file in figures_of(result):
        draw = getattr(figures, file.removeprefix("bench_").removesuffix(".png"))
        print(draw(result, FIGURES / file, result["fingerprint"]))


if __name__ == "__main__":
    main()
