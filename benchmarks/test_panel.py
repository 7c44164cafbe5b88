"""Windows over a panel of returns: 3,313 stocks and 118 months make 308,109 rows of 44 features.

`pytest benchmarks/test_panel.py`. Extra column: peak memory while they are made, in panels of float64. The
aims are 0.5 s and 3 panels.
"""

import tracemalloc

import pytest

pytest.importorskip("pytest_benchmark")
pytest.importorskip("pandas")

from fastnn.datasets import returns_windows, synthetic_panel


def test_windows_are_made(benchmark):
    panel = synthetic_panel(3313, 118, seed=1, dtype="float64")

    def make():
        return returns_windows(panel, 24, year="onehot", month="onehot", start="2002-02")

    assert make().X.shape == (308_109, 44)
    tracemalloc.start()
    make()
    benchmark.extra_info["peak_in_panels"] = tracemalloc.get_traced_memory()[1] / panel.to_numpy().nbytes
    tracemalloc.stop()
    benchmark(make)
