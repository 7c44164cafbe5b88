"""What fastnn is to reach, and whether a result reaches it: the table at the head of docs/benchmarks.md.

The aims were set before anything was measured, some from another machine's figures. A missed one stays in the
table; its workload's section has the profile and the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.report import OURS
from benchmarks.workloads import WORKLOADS

Row = dict[str, Any]


@dataclass(frozen=True)
class Aim:
    """At least `least` of a quantity, on every one of `workloads`, at every thread count measured."""

    what: str
    least: float
    workloads: tuple[str, ...]
    # "ratio": time of the best of `rivals` by ours; "floor": share of it, on one thread; "threads": time with
    # one thread by time with more; "seconds": of a whole process, `cache` as said, at most `least`.
    kind: str = "ratio"
    rivals: tuple[str, ...] = ()  # by name or family; () is all that do the same training
    cache: str | None = None


@dataclass(frozen=True)
class Reached:
    """One aim at one workload and thread count."""

    value: float
    workload: str
    threads: int
    rival: str = ""

    def __str__(self) -> str:
        beside = f", beside {self.rival}" if self.rival else ""
        return f"`{self.workload}`, {self.threads} thread{'s' * (self.threads > 1)}{beside}"


def _named(prefix: str) -> tuple[str, ...]:
    return tuple(name for name in WORKLOADS if name.startswith(prefix))


_WIDE = ("width_512", "width_1024", "width_2048", "wide_b256")
_NARROW = tuple(name for name in _named("width_") if name not in _WIDE)
_TRAINED = tuple(name for name, w in WORKLOADS.items() if w.kind in ("steps", "many") and len(w.threads) > 1)

AIMS = (
    Aim("circles, full batch: times the best rival's speed", 25, ("circles_full",)),
    Aim("circles, batch 128: times JAX scan", 25, ("circles_b128",), rivals=("jax:scan",)),
    Aim("circles, batch 128: times Keras", 400, ("circles_b128",), rivals=("keras",)),
    Aim("circles, batch 128: times PyTorch", 60, ("circles_b128",), rivals=("torch",)),
    Aim("returns, batch 32, dropout: times the best rival", 7, ("returns_b32",)),
    Aim("returns, batch 32, dropout: times PyTorch", 24, ("returns_b32",), rivals=("torch",)),
    Aim("returns, batch 32, dropout: times Keras", 40, ("returns_b32",), rivals=("keras",)),
    Aim("returns, batch 32, no dropout: times the best rival", 3, ("returns_b32_nodropout",)),
    Aim("returns, batch 32, no dropout: times scikit-learn", 15, ("returns_b32_nodropout",),
        rivals=("sklearn",)),
    Aim("returns, batch 512: times the best rival", 2.5, ("returns_b512",)),
    Aim("returns, batch 8,192: times the best rival", 1.5, ("returns44_b8192", "returns44_b8192_nodropout")),
    Aim("widths 8 to 256: times the best rival", 1.5, _NARROW),
    Aim("widths 512 to 2,048: times the best rival", 1.0, _WIDE),
    Aim("a fresh small model: times scikit-learn", 25, ("fresh_small",), rivals=("sklearn",)),
    Aim("eight networks at once: times JAX vmap", 3, _named("eight_"), rivals=("jax:vmap",)),
    Aim("predicting one row: times onnxruntime", 2, ("predict_1",), rivals=("onnxruntime",)),
    Aim("predicting a million rows: times onnxruntime", 1, ("predict_1m",), rivals=("onnxruntime",)),
    Aim("two threads: times the speed of one", 1, _TRAINED, kind="threads"),
    Aim("circles, full batch, two threads: times the speed of one", 1.7, ("circles_full",), kind="threads"),
    Aim("returns, batch 32: share of the floor", 0.55, ("returns_b32", "returns_b32_nodropout"),
        kind="floor"),
    Aim("circles, full batch: share of the floor", 0.60, ("circles_full",), kind="floor"),
    Aim("wide layers: share of the floor", 0.85, _WIDE, kind="floor"),
    Aim("first fit in a new process, kernels compiled before: seconds", 0.6, ("first_fit",), kind="seconds",
        cache="warm"),
    Aim("first fit in a new process, nothing compiled: seconds", 8, ("first_fit",), kind="seconds",
        cache="empty"),
)  # fmt: skip
#: Whose profile a run records.
PROFILED = tuple(
    dict.fromkeys(
        name for aim in AIMS if aim.kind in ("ratio", "floor") for name in aim.workloads
        if WORKLOADS[name].kind == "steps"
    )
)  # fmt: skip


def reached(aim: Aim, rows: list[Row]) -> list[Reached]:
    """Return what was reached at each workload and thread count; empty where nothing was measured."""
    return [found for name in aim.workloads for found in _at(aim, name, rows)]


def met(aim: Aim, found: Reached) -> bool:
    return found.value <= aim.least if aim.kind == "seconds" else found.value >= aim.least


def worst(aim: Aim, found: list[Reached]) -> Reached:
    """Return the one that is furthest from the aim."""
    return (max if aim.kind == "seconds" else min)(found, key=lambda r: r.value)


def _at(aim: Aim, name: str, rows: list[Row]) -> Iterator[Reached]:
    rows = [r for r in rows if r["workload"] == name and "median_us" in r]
    ours = {r["threads"]: r for r in rows if r["rival"] == OURS and r.get("cache") == aim.cache}
    for threads, row in ours.items():
        if aim.kind == "seconds":
            yield Reached(row["total_s"], name, threads)
        elif aim.kind == "floor":
            if threads == 1 and "fraction_of_floor" in row:
                yield Reached(row["fraction_of_floor"], name, 1)
        elif aim.kind == "threads":
            if threads > 1 and 1 in ours:
                yield Reached(ours[1]["median_us"] / row["median_us"], name, threads)
        else:
            beside = [r for r in rows if r["threads"] == threads and _counts(aim, r)]
            if beside:
                best = min(beside, key=lambda r: r["median_us"])
                yield Reached(best["median_us"] / row["median_us"], name, threads, best["rival"])


def _counts(aim: Aim, row: Row) -> bool:
    """Whether a row is one of the aim's rivals', doing the same training."""
    rival = row["rival"]
    if rival == OURS or row.get("verdict", "").startswith("void") or row.get("deviation"):
        return False
    return not aim.rivals or rival in aim.rivals or rival.partition(":")[0] in aim.rivals
