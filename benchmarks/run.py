"""Runs the benchmarks: `python -m benchmarks.run --env-dir DIR`. See README.md for the method.

Every rival works in its own process (and environment, with --env-dir). All rivals of a workload are started
and warmed up, then take turns, one repeat each a round, the order rotating; while one works the others wait
on their pipes.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.environment import REMOVED, child_env, load, machine
from benchmarks.report import add_floors, add_peak_fraction, compare, judge, summarise, table
from benchmarks.rivals import RIVALS_ON
from benchmarks.workloads import WORKLOADS, Workload

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S, REPEAT_LIMIT_S = 600.0, 180.0


class Failed(Exception):
    pass


class Worker:
    """A child process and its two pipes."""

    def __init__(self, python: str, job: dict[str, Any], cache_dir: str | None = None) -> None:
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (lives as long as the worker)
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", json.dumps(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=ROOT,
            env=child_env(job["threads"], cache_dir, job.get("device", "cpu")),
        )  # fmt: skip

    def read(self, limit: float) -> dict[str, Any]:
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        if not ready:
            self.stop()
            raise Failed(f"no answer within {limit:.0f} s")
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            trace = self.log.read()[-3000:].strip()
            print(trace, file=sys.stderr)
            # The result file gets the last line only, without this machine's folders.
            last = trace.rpartition("\n")[2].replace(str(ROOT), ".").replace(sys.prefix, ".")
            raise Failed(last or f"exit code {self.process.returncode}")
        return json.loads(line)

    def repeat(self) -> dict[str, Any]:
        try:
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it died; `read` says why
        return self.read(REPEAT_LIMIT_S)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Runner:
    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.cpus = args.cpus or sorted(os.sched_getaffinity(0))

    def python(self, env: str) -> str:
        if self.args.env_dir is None:
            return sys.executable
        return str(Path(self.args.env_dir).resolve() / f"bench-{env}" / "bin" / "python")

    def start(self, rival: str, w: Workload, threads: int, cache_dir: str | None = None) -> Worker:
        r = RIVALS_ON[self.args.device][rival]
        job = {"module": r.module, "variant": r.variant, "workload": w.name, "threads": threads,
               "cpus": self.cpus[:threads], "min_time": self.args.min_time, "device": r.device}  # fmt: skip
        return Worker(self.python(r.env), job, cache_dir)

    def peak(self) -> dict[str, Any]:
        worker = Worker(self.python("numpy"), {"module": "gemm_peak", "threads": 1, "cpus": self.cpus[:1]})
        try:
            return worker.read(60)
        finally:
            worker.stop()

    def gpu(self) -> dict[str, Any]:
        job = {"module": "gpu_limits", "threads": 1, "cpus": self.cpus[:1], "device": "gpu"}
        worker = Worker(self.python("fastnn-gpu"), job)
        try:
            return worker.read(120)
        finally:
            worker.stop()

    def measure(self, w: Workload, threads: int) -> list[dict[str, Any]]:
        """All rivals on one workload, taking turns."""
        rows, workers = [], {}
        try:
            for rival in self.args.rivals:
                row: dict[str, Any] = {"workload": w.name, "threads": threads, "rival": rival}
                rows.append(row)
                print(f"  {w.name}, {threads} thread(s): {rival}", file=sys.stderr)
                worker = self.start(rival, w, threads)
                workers[rival] = worker
                try:
                    row |= worker.read(START_LIMIT_S)
                except Failed as reason:
                    row["error"] = str(reason)
            live = [r for r in rows if "units" in r]
            repeats: dict[str, list[dict[str, Any]]] = {r["rival"]: [] for r in live}
            for turn in range(self.args.repeats):
                shift = turn % len(live) if live else 0
                for row in live[shift:] + live[:shift]:
                    if "error" in row:
                        continue
                    try:
                        repeats[row["rival"]].append(workers[row["rival"]].repeat())
                    except Failed as reason:
                        row["error"] = str(reason)
        finally:
            for worker in workers.values():
                worker.stop()
        for row in live:
            done = repeats[row["rival"]]
            if "error" in row or not done:
                continue
            summarise(row, [d["seconds"] for d in done], row["steps"])
            # Processor time hardly feels a neighbour; its share of the wall time tells whether there was one
            # (or whether threads idled).
            row["cpu_us"] = 1e6 * median(d["cpu_seconds"] for d in done) / row["steps"]
            row["cpu_share"] = median(d["cpu_seconds"] / d["seconds"] for d in done)
            row["load_average"] = load()
            if w.kind == "fresh":
                row |= {"models": row["units"] * len(done), "steps_per_model": row["steps"] // row["units"]}
        return rows

    def first_fit(self, w: Workload, threads: int) -> list[dict[str, Any]]:
        """A new process each time: first with empty compiler caches, then with those it has just filled."""
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        totals: dict[tuple[str, str], list[float]] = {}
        for _ in range(self.args.repeats):
            for rival in self.args.rivals:
                with tempfile.TemporaryDirectory() as cache_dir:
                    for cache in ("empty", "warm"):
                        key = (rival, cache)
                        row = rows.setdefault(key, {"workload": w.name, "threads": threads, "rival": rival,
                                                    "cache": cache})  # fmt: skip
                        if "error" in row or "unsupported" in row:
                            continue
                        worker = self.start(rival, w, threads, cache_dir)
                        try:
                            row |= worker.read(START_LIMIT_S)
                            if "first_fit_s" in row:
                                totals.setdefault(key, []).append(row.pop("first_fit_s"))
                        except Failed as reason:
                            row["error"] = str(reason)
                        finally:
                            worker.stop()
        for key, seconds in totals.items():
            summarise(rows[key], seconds, w.steps_per_epoch * w.epochs)
            rows[key] |= {"total_s": median(seconds), "models": len(seconds), "repeats_s": seconds,
                          "steps_per_model": w.steps_per_epoch * w.epochs}  # fmt: skip
        return sorted(rows.values(), key=lambda r: r["cache"])

    def run(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "machine": machine(),
            "method": {"repeats": self.args.repeats, "min_time_s": self.args.min_time, "cpus": self.cpus,
                       "environment_1_thread": _difference(child_env(1))},
            "device": self.args.device,
            **({"gpu": self.gpu()} if self.args.device == "gpu" else {"gemm_peak_before": self.peak()}),
            "workloads": {name: WORKLOADS[name].describe() for name in self.args.workloads},
            "rows": [],
        }  # fmt: skip
        for name in self.args.workloads:
            w = WORKLOADS[name]
            for threads in self.args.threads:
                if threads not in w.threads or threads > len(self.cpus):
                    continue
                rows = self.first_fit(w, threads) if w.kind == "first_fit" else self.measure(w, threads)
                for cache in dict.fromkeys(r.get("cache") for r in rows):
                    group = [r for r in rows if r.get("cache") == cache]
                    judge(group, w.tolerance)
                    compare(group)
                result["rows"] += rows
                save(result, self.args.out)
        result["machine"]["load_average_after"] = load()
        if self.args.device == "gpu":
            add_floors(result["rows"], result["workloads"], result["gpu"])
            save(result, self.args.out)
            return result
        result["gemm_peak_after"] = self.peak()
        # The better of the two: a busy moment can only lower what is measured.
        peaks = [result[k]["gflops"] for k in ("gemm_peak_before", "gemm_peak_after")]
        result["gemm_peak_gflops"] = {dtype: max(p[dtype] for p in peaks) for dtype in peaks[0]}
        add_peak_fraction(result["rows"], result["workloads"], result["gemm_peak_gflops"])
        save(result, self.args.out)
        return result


def _difference(env: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in env.items() if os.environ.get(k) != v}


def save(result: dict[str, Any], out: str | None) -> None:
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--device", choices=list(RIVALS_ON), default="cpu")
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS))
    parser.add_argument("--rivals", nargs="+", choices=sorted({r for on in RIVALS_ON.values() for r in on}))
    parser.add_argument("--threads", nargs="+", type=int, help="1 and 2 by default; on a GPU 1")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--min-time", type=float, default=0.3, help="seconds of work in one repeat")
    parser.add_argument("--quick", action="store_true", help="3 repeats of 0.1 s, 1 thread: a smoke test")
    parser.add_argument("--env-dir", help="the folder given to benchmarks.make_envs (else: this Python)")
    parser.add_argument("--cpus", nargs="+", type=int, help="cores to pin to: the first as many as threads")
    parser.add_argument("--out", help="JSON file, say benchmarks/results/NAME.json")
    args = parser.parse_args()
    args.threads = args.threads or ([1, 2] if args.device == "cpu" else [1])
    args.workloads = args.workloads or [n for n, w in WORKLOADS.items() if args.device in w.devices]
    args.rivals = [r for r in args.rivals or RIVALS_ON[args.device] if r in RIVALS_ON[args.device]]
    if args.quick:
        args.repeats, args.min_time, args.threads = 3, 0.1, [1]
    print(f"{' and '.join(REMOVED)} are unset in every measured process.")
    result = Runner(args).run()
    if args.device == "gpu":
        rates = [f"{result['gpu'][name] / 1e9:.0f}" for name in ("bandwidth", "flops")]
        print(f"{result['gpu']['name']}: {rates[0]} GB/s, {rates[1]} GFLOP/s; the floors are in us\n")
    else:
        peaks = [result[k]["gflops"]["float32"] for k in ("gemm_peak_before", "gemm_peak_after")]
        print(f"one core's float32 GEMM peak: {peaks[0]:.0f} GFLOP/s before, {peaks[1]:.0f} after the run\n")
    print(table(result["rows"], args.device))
    if args.out:
        print(f"\nwritten to {args.out}")


if __name__ == "__main__":
    main()
