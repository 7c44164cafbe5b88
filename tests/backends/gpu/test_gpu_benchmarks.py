"""Our side of the GPU benchmarks on a stand-in for a GPU, and what the report makes of its rows.

The rivals need a CUDA machine: of them only the list is looked at.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gpu_fake import fake_gpu

if shutil.which("g++") is None:
    pytest.skip("kernels run on the CPU by way of g++, which is missing", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import environment, report, rivals, workloads

    return {"environment": environment, "report": report, "rivals": rivals, "workloads": workloads}


@pytest.mark.parametrize("name", ["circles_b128", "returns_b32"])
def test_our_rival_trains_the_workload_on_the_device(benchmarks, name):
    from benchmarks.rivals import fastnn_gpu

    w = benchmarks["workloads"].WORKLOADS[name]
    w = replace(w, rows=3 * w.batch_size, sizes=(w.sizes[0], 3, w.sizes[-1]), dropout=0.0)
    X, y = benchmarks["workloads"].make_data(w)
    start = benchmarks["workloads"].initial_weights(w)
    with fake_gpu(regime=None):
        model = fastnn_gpu.Model(w, X, y, start, 1, "")
        model.train(3)
    assert model.model.device_choice.device == "gpu"
    evaluate = benchmarks["workloads"].evaluate
    assert evaluate(w, model.weights(), X, y) < evaluate(w, start, X, y)


def test_the_floors_stand_beside_each_figure(benchmarks):
    w = benchmarks["workloads"].WORKLOADS["returns_b512"]
    row = {"workload": w.name, "threads": 1, "rival": "fastnn", "median_us": 30.0, "iqr_us": 1.0}
    limits = {"flops": 67e12, "flops64": 33e12, "bandwidth": 3.35e12}
    benchmarks["report"].add_floors([row], {w.name: w.describe()}, limits)
    assert row["floor_flops_us"] == pytest.approx(w.step_flops / 67e6)
    parameters = 45 * 64 + 64 * 64 + 64 + 129
    assert w.gpu_step_bytes == 4 * (512 * 46 + 9 * parameters)
    table = benchmarks["report"].table([row], "gpu")
    head, _, line = table.splitlines()
    assert "flops floor" in head and "bytes floor" in head and "of peak" not in head
    assert f"{row['floor_flops_us']:.3g}" in line and f"{row['floor_bytes_us']:.3g}" in line
    assert "of peak" in benchmarks["report"].table([row])


def test_every_rival_has_its_file_and_environment(benchmarks):
    for rival in benchmarks["rivals"].GPU_RIVALS.values():
        assert (ROOT / "benchmarks" / "rivals" / f"{rival.module}.py").is_file()
        assert (ROOT / "benchmarks" / "env" / f"{rival.env}.txt").is_file() and rival.device == "gpu"
    on_gpu = [w for w in benchmarks["workloads"].WORKLOADS.values() if "gpu" in w.devices]
    assert {w.data for w in on_gpu} >= {"circles", "returns"} and all(w.kind == "steps" for w in on_gpu)


def test_a_measured_process_sees_the_device_or_does_not(benchmarks, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    child_env = benchmarks["environment"].child_env
    assert child_env(1)["CUDA_VISIBLE_DEVICES"] == "" and child_env(1)["JAX_PLATFORMS"] == "cpu"
    env = child_env(1, device="gpu")
    assert env["CUDA_VISIBLE_DEVICES"] == "0" and "JAX_PLATFORMS" not in env
    assert np.all([env[name] == "0" for name in ("NVIDIA_TF32_OVERRIDE", "FASTNN_GPU_SELFCHECK")])
