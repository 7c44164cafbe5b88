"""Where a training step's time goes: `python -m benchmarks.profile_step returns_b32 [...]`.

Prints `Model.explain_speed` of a workload, on one thread by default. Unset OPENBLAS_CORETYPE and
OPENBLAS_L2_SIZE first, as benchmarks.run does.
"""

from __future__ import annotations

import argparse
from typing import Any

from benchmarks.rivals.fastnn_ import Model
from benchmarks.workloads import WORKLOADS, make_data


def report(name: str, threads: int) -> Any:
    """`Model.explain_speed` of a workload."""
    w = WORKLOADS[name]
    model = Model(w, *make_data(w), None, threads, "")
    return model.model.explain_speed(model.X, w.batch_size, model.y, shuffle=w.shuffle, threads=threads)


def measure(name: str, threads: int) -> dict[str, Any]:
    """The same for the JSON of a run: microseconds, and the rows of the program."""
    found = report(name, threads)
    keys = ("batch_size", "block", "blocks", "lanes", "alone", "total", "floor", "products", "gemm_rate")
    return {key: getattr(found, key) for key in keys} | {"rows": [row._asdict() for row in found.rows]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "workloads", nargs="+", choices=[w.name for w in WORKLOADS.values() if w.kind == "steps"]
    )
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    for name in args.workloads:
        print(f"\n{name}\n{report(name, args.threads)}")


if __name__ == "__main__":
    main()
