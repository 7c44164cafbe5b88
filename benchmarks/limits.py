"""What the machine can do: matrix products, memory, exponentials; and from them the floor of a step.

The floor of a step is the largest of what its products and exponentials need, which share the vector units,
and of what its memory traffic needs, which may go on meanwhile:

    max(operations / peak + exponentials / their rate, bytes / bandwidth)

Bytes count only where they live in more memory than the last cache has. Nothing is counted for the rest:
dropout, the optimizer's divisions and roots, the calls. So no library reaches the floor.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

SECONDS = 1.0  # spent on each figure


def best(work: Callable[[], object], seconds: float = SECONDS) -> float:
    """Shortest of many calls, in seconds."""
    work()
    fastest, end = math.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest


def gemm_peak(sizes: tuple[int, ...] = (96, 256, 1024)) -> dict[str, float]:
    """GFLOP/s of NumPy's matrix product on one core, single and double precision: the best of some sizes.

    OpenBLAS is at its best in small ones, which it multiplies where they are: 112 against 96 at 1,024.
    """
    import numpy as np

    rates = {"float32": 0.0, "float64": 0.0}
    for dtype in rates:
        for size in sizes:
            A = np.random.default_rng(0).normal(size=(size, size)).astype(dtype)
            out = A @ A
            took = best(lambda A=A, out=out: np.dot(A, A, out), SECONDS / len(sizes))
            rates[dtype] = max(rates[dtype], 2 * size**3 / took / 1e9)
    return rates


def our_gemm_peak() -> dict[str, float]:
    """The same of fastnn's best product, which may be its own."""
    from fastnn.backends.cpu import profile

    return {dtype: profile.gemm_rate(dtype) / 1e9 for dtype in ("float32", "float64")}


def bandwidth(threads: int, megabytes: int = 256) -> float:
    """GB/s read and written when threads copy arrays far larger than the caches.

    The line that is fetched before it is written is not counted, as in the STREAM benchmark.
    """
    import numpy as np

    pairs = [(np.ones(megabytes << 17), np.zeros(megabytes << 17)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        took = best(lambda: list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs)))
    return threads * 2 * (megabytes << 20) / took / 1e9


def exponentials(size: int = 16_384) -> dict[str, float]:
    """Thousand millions a second of NumPy's exp on one core, from and to the second cache."""
    import numpy as np

    rates = {}
    for dtype in ("float32", "float64"):
        x = np.linspace(-5, 5, size).astype(dtype)
        out = np.empty_like(x)
        rates[dtype] = size / best(lambda x=x, out=out: np.exp(x, out), SECONDS / 2) / 1e9
    return rates


def our_exponentials(size: int = 16_384, passes: int = 20) -> dict[str, float]:
    """The same of fastnn's exp, in a loop that does nothing else."""
    import numpy as np

    from fastnn.backends.cpu import vecmath
    from fastnn.backends.cpu.jit import compile_kernel, vector

    rates = {}
    for dtype in ("float32", "float64"):
        exp, kind = vecmath.exp, np.dtype(dtype)

        kernel = compile_kernel(
            f"benchmark_exp({dtype})", lambda kind=kind, exp=exp: _exp_loop(kind, exp, vector)
        )
        x = np.linspace(-5, 5, size).astype(dtype)
        out = np.empty_like(x)
        q = np.array([x.ctypes.data, out.ctypes.data, size, passes])
        took = best(lambda kernel=kernel, q=q: kernel.call(q.ctypes.data, q.ctypes.data), SECONDS / 2)
        rates[dtype] = size * passes / took / 1e9
    return rates


def _exp_loop(dtype: Any, exp: Any, vector: Any) -> Callable[..., None]:
    def loop(q, r):
        x, out = vector(q[0], q[2], dtype), vector(q[1], q[2], dtype)
        for _ in range(q[3]):
            for i in range(q[2]):
                out[i] = exp(x[i])

    return loop


def measure() -> dict[str, Any]:
    """All of it, in a process of one thread."""
    return {"gflops": gemm_peak(), "exp_per_ns": exponentials(), "gb_per_s": {"1": bandwidth(1)}}


def measure_ours() -> dict[str, Any]:
    """The same of fastnn's own, for one core: a limit is the best that was found."""
    return {"gflops": our_gemm_peak(), "exp_per_ns": our_exponentials()}


def floor_us(w: dict[str, Any], threads: int, limits: dict[str, Any]) -> float:
    """The least microseconds a step of this workload (its description) can take on this machine."""
    operations = w["step_flops"] / (limits["gflops"][w["dtype"]] * 1e3)
    squashed = w["step_exps"] / (limits["exp_per_ns"][w["dtype"]] * 1e3)
    moved = sum(w["step_bytes"][k] for k in w["step_bytes"] if w["resident_bytes"][k] > limits["cache_bytes"])
    return max((operations + squashed) / threads, moved / (limits["gb_per_s"][str(threads)] * 1e3))
