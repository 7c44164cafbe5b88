"""What it costs to train from files: 45-64-64-1 at batch 32, to be read as a ratio to arrays in memory.

Aim: from Parquet in the page cache at least 70 % of the speed in memory, with a core to spare for the thread
that reads. The group's rows differ in nothing else: orders are the same without shuffling.
"""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pytest_benchmark")
pa = pytest.importorskip("pyarrow")
from pyarrow import feather, parquet  # noqa: E402

from benchmarks.rivals.fastnn_ import Model  # noqa: E402
from benchmarks.workloads import WORKLOADS, initial_weights, make_data  # noqa: E402
from fastnn.data import ArraySource, BatchSource, FileSource  # noqa: E402

W = replace(WORKLOADS["returns_b32_nodropout"], rows=400_000)
EPOCHS = 2


def in_memory(folder, x, y):
    return x, y


def memmap(folder, x, y):
    np.save(folder / "x.npy", x)
    return np.load(folder / "x.npy", mmap_mode="r"), y


def array_source(folder, x, y):
    return (ArraySource(x, y),)


def parquet_file(folder, x, y):
    parquet.write_table(table(x, y), folder / "rows.parquet", row_group_size=1 << 15)
    return (FileSource(folder / "rows.parquet", y="y"),)


def feather_file(folder, x, y):
    feather.write_feather(table(x, y), folder / "rows.feather")
    return (FileSource(folder / "rows.feather", y="y"),)


def batches(folder, x, y):
    return (
        BatchSource(
            [(x[at : at + W.batch_size], y[at : at + W.batch_size]) for at in range(0, len(x), W.batch_size)]
        ),
    )


def table(x, y):
    """Return the rows as an Arrow table."""
    columns = {f"c{number}": np.ascontiguousarray(column) for number, column in enumerate(x.T)}
    return pa.table({**columns, "y": np.ravel(y)})


KINDS = [in_memory, memmap, array_source, parquet_file, feather_file, batches]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_fit(benchmark, shuffle, kind, tmp_path):
    model = Model(W, *make_data(W), initial_weights(W), 1, "")
    benchmark.group = "shuffled" if shuffle else "in order"
    data = kind(tmp_path, model.X, model.y)
    fit = {**model.fit, "shuffle": shuffle}
    if kind is batches:
        fit.pop("batch_size")
    benchmark.pedantic(
        lambda: model.model.fit(*data, epochs=EPOCHS, **fit), warmup_rounds=1, rounds=5
    )  # fmt: skip
    if benchmark.stats is not None:  # None under --benchmark-disable
        steps = EPOCHS * -(-W.rows // W.batch_size)
        benchmark.extra_info["us_per_step"] = 1e6 * benchmark.stats.stats.median / steps
