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
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.aims import PROFILED
from benchmarks.environment import REMOVED, child_env, load, machine
from benchmarks.report import add_floors, add_limits, compare, judge, summarise, table
from benchmarks.rivals import RIVALS_ON
from benchmarks.workloads import QUICK, WORKLOADS, Workload

ROOT = Path(__file__).resolve().parent.parent
CHECKOUT = (ROOT / "fastnn").is_dir()
# Installed, this folder is a part of the package, which is found as it was for this process.
PATH = os.pathsep.join(filter(None, [str(ROOT), "" if CHECKOUT else os.environ.get("PYTHONPATH")]))
START_LIMIT_S, REPEAT_LIMIT_S = 600.0, 180.0


#: Of a smoke test: one of each family, the quickest to start.
QUICK_RIVALS = ("fastnn", "numpy", "sklearn", "torch", "jax:scan", "jax:vmap", "onnxruntime")


class Failed(Exception):
    pass


class Worker:
    """A child process and its two pipes."""

    def __init__(self, python: str, job: dict[str, Any], cache_dir: str | None = None) -> None:
        self.log = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (lives as long as the worker)
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.worker", json.dumps(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, cwd=ROOT,
            env=child_env(job["threads"], cache_dir, job.get("device", "cpu")) | {"PYTHONPATH": PATH},
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
        self.began = time.perf_counter()

    def python(self, env: str) -> str:
        if self.args.env_dir is None or (env == "fastnn" and not CHECKOUT):
            return sys.executable  # also where fastnn was installed and not checked out
        return str(Path(self.args.env_dir).resolve() / f"bench-{env}" / "bin" / "python")

    def start(self, rival: str, w: Workload, threads: int, cache_dir: str | None = None) -> Worker:
        r = RIVALS_ON[self.args.device][rival]
        job = {"module": r.module, "variant": r.variant, "workload": w.name, "threads": threads,
               "cpus": self.cpus[:threads], "min_time": self.args.min_time, "device": r.device}  # fmt: skip
        return Worker(self.python(r.env), job, cache_dir)

    def ask(self, env: str, module: str, threads: int, device: str = "cpu", name: str = "") -> dict[str, Any]:
        job = {"module": module, "threads": threads, "cpus": self.cpus[:threads], "device": device,
               "workload": name}  # fmt: skip
        worker = Worker(self.python(env), job)
        try:
            return worker.read(START_LIMIT_S)
        finally:
            worker.stop()

    def limits(self, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the machine can do: the best of NumPy's and our own, and of before and after the run."""
        found = self.ask("numpy", "limits", 1)
        for threads in range(2, min(max(self.args.threads), len(self.cpus)) + 1):
            found["gb_per_s"] |= self.ask("numpy", "bandwidth", threads)
        ours = self.ask("fastnn", "our_limits", 1)
        for other in (ours, before or {}):  # a busy moment can only lower what is measured
            for name in {"gflops", "exp_per_ns", "gb_per_s"} & set(other):
                found[name] = {key: max(value, found[name][key]) for key, value in other[name].items()}
        return found | {"cache_bytes": last_cache()}

    def rivals(self, w: Workload, threads: int) -> list[str]:
        if self.args.rivals is not None:
            return list(self.args.rivals)
        known = available(self.args)
        return w.rivals_for(threads, known) if self.args.device == "cpu" else known

    def measure(self, w: Workload, threads: int) -> list[dict[str, Any]]:
        """All rivals on one workload, taking turns."""
        rows, workers = [], {}
        try:
            for rival in self.rivals(w, threads):
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
            for rival in self.rivals(w, threads):
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
        gpu = self.args.device == "gpu"
        before = {"gpu": self.ask("fastnn-gpu", "gpu_limits", 1, "gpu")} if gpu else {"limits": self.limits()}
        result: dict[str, Any] = {
            "machine": machine(),
            "method": {"repeats": self.args.repeats, "min_time_s": self.args.min_time, "cpus": self.cpus,
                       "environment_1_thread": _difference(child_env(1, device=self.args.device))},
            "device": self.args.device,
            **before,
            "workloads": {name: WORKLOADS[name].describe() for name in self.args.workloads},
            "rows": [],
            "profiles": {},
            "not_run": [],
            "seconds": {},
        }  # fmt: skip
        for name in self.args.workloads:
            w, began = WORKLOADS[name], time.perf_counter()
            if began - self.began > 60 * self.args.budget:
                result["not_run"].append(name)
                continue
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
            if name in PROFILED and not gpu:
                result["profiles"][name] = self.ask("fastnn", "profile", 1, name=name)
            result["seconds"][name] = round(time.perf_counter() - began, 1)
        result["machine"]["load_average_after"] = load()
        if gpu:
            add_floors(result["rows"], result["workloads"], result["gpu"])
        else:
            result["limits"] = self.limits(result["limits"])
            add_limits(result["rows"], result["workloads"], result["limits"])
        result["minutes"] = round((time.perf_counter() - self.began) / 60, 1)
        save(result, self.args.out)
        return result


def available(args: argparse.Namespace) -> list[str]:
    """The device's rivals; without --env-dir those whose packages this Python has."""
    on = RIVALS_ON[args.device]
    return [name for name, rival in on.items() if args.env_dir or all(map(find_spec, rival.needs))]


def last_cache() -> int:
    """Bytes of the largest cache; 32 MB where the system does not tell."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = [size for size in machine()["caches"].values() if size]
    return max((int(size[:-1]) * units[size[-1]] for size in sizes), default=32 * 2**20)


def _difference(env: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in env.items() if os.environ.get(k) != v}


def save(result: dict[str, Any], out: str | None) -> None:
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(result, indent=1) + "\n")


def fill_in(args: argparse.Namespace) -> None:
    """What was not named: all that the device has, or a few of each kind for a smoke test."""
    if args.quick:
        args.repeats, args.min_time, args.threads, args.budget = 3, 0.05, [1], 4.0
        if args.rivals is None:
            args.rivals = [name for name in QUICK_RIVALS if name in available(args)]
    if args.workloads is None:
        names = QUICK if args.quick else WORKLOADS
        args.workloads = [name for name in names if args.device in WORKLOADS[name].devices]
    args.threads = args.threads or ([1, 2] if args.device == "cpu" else [1])


def print_result(args: argparse.Namespace, result: dict[str, Any]) -> None:
    """The machine's limits, the table and, if asked for, the figure."""
    if args.device == "gpu":
        rates = [f"{result['gpu'][name] / 1e9:.0f}" for name in ("bandwidth", "flops")]
        print(f"{result['gpu']['name']}: {rates[0]} GB/s, {rates[1]} GFLOP/s; the floors are in us\n")
    else:
        limits = result["limits"]
        memory = [f"{gb:.0f} GB/s with {n}" for n, gb in limits["gb_per_s"].items()]
        print(
            f"one core, float32: {limits['gflops']['float32']:.0f} GFLOP/s in products, "
            f"{limits['exp_per_ns']['float32']:.1f} exponentials a nanosecond; "
            f"memory: {', '.join(memory)} thread(s)\n"
        )
    print(table(result["rows"], args.device))
    if result["not_run"]:
        print(f"\nnot run, {args.budget:g} minutes were over: {', '.join(result['not_run'])}")
    if args.figure:
        # Imported when asked for: matplotlib may be missing.
        from benchmarks.figures import ratios

        print(f"\nfigure: {ratios(result, args.figure)}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--workloads", nargs="+", choices=list(WORKLOADS), help="default: the device's")
    rivals_help = "default: those the workload names; without --env-dir, of these, those this Python has"
    names = sorted({name for on in RIVALS_ON.values() for name in on})
    parser.add_argument("--rivals", nargs="+", choices=names, help=rivals_help)
    parser.add_argument("--threads", nargs="+", type=int, help="default: 1 2; on a GPU 1")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--min-time", type=float, default=0.2, help="seconds of work in one repeat")
    budget_help = "minutes after which no further workload is begun; those left are listed as not run"
    parser.add_argument("--budget", type=float, default=55.0, help=budget_help)
    quick_help = "a smoke test: a workload of each kind, one thread, 3 repeats of 0.05 s, 4 minutes"
    parser.add_argument("--quick", action="store_true", help=quick_help)
    parser.add_argument("--figure", help="PNG file of the ratios to fastnn (needs matplotlib)")
    parser.add_argument("--env-dir", help="the folder given to benchmarks.make_envs (else: this Python)")
    parser.add_argument("--device", choices=list(RIVALS_ON), default="cpu")
    parser.add_argument("--cpus", nargs="+", type=int, help="cores to pin to: the first as many as threads")
    parser.add_argument("--out", help="JSON file, say benchmarks/results/NAME.json")
    args = parser.parse_args()
    absent = [name for name in args.rivals or () if name not in RIVALS_ON[args.device]]
    if absent:
        there = ", ".join(RIVALS_ON[args.device])
        parser.error(f"not on the {args.device}: {', '.join(absent)}. There: {there}")
    apart = [name for name in args.workloads or () if WORKLOADS[name].kind in ("many", "predict")]
    if apart and args.device == "gpu":
        parser.error(f"populations and predictions are timed on the CPU only: {', '.join(apart)}")
    fill_in(args)
    print(f"{' and '.join(REMOVED)} are unset in every measured process.")
    result = Runner(args).run()
    print_result(args, result)
    if args.out:
        print(f"\nwritten to {args.out}")


if __name__ == "__main__":
    main()
