"""compile(device=...), fastnn.devices(), and the cost model of 'auto'."""

import subprocess
import sys

import numpy as np
import pytest
from gpu_fake import fake_gpu

import fastnn
from fastnn.backends import devices as backend_devices
from fastnn.backends.devices import Work, choose, seconds
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import driver
from fastnn.errors import ArgumentError, DeviceError
from fastnn.layers import Dense
from fastnn.models import Sequential, clone_model, load_model

X = np.random.default_rng(0).normal(size=(70, 5)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)
LARGE = Work(10**7, 100, 4096, parameters=10**7, training=True, nbytes=4 * 10**9)
SMALL = Work(1000, 10, 32, parameters=1000, training=True, nbytes=10**5)


@pytest.fixture
def cp():
    with fake_gpu() as module:
        yield module


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)


def model(device="cpu"):
    net = Sequential([Dense(4, activation="relu", input_shape=(5,)), Dense(1, activation="sigmoid")], seed=1)
    net.compile("adam", "binary_crossentropy", device=device)
    return net


def test_the_device_of_compile_is_where_the_model_runs(cp):
    weights = []
    for device in ("cpu", "gpu"):
        net = model(device)
        net.fit(X, Y, epochs=2, verbose=0)
        assert net.device_choice.device == device
        net.predict(X, verbose=0)
        net.evaluate(X, Y, verbose=0)
        assert net.device_choice.device == device
        weights.append(net.storage.array.copy())
    np.testing.assert_allclose(*weights, rtol=0, atol=1e-6)
    assert cp.stats["launches"]


def test_the_device_is_the_cpu_unless_asked_and_a_name():
    net = model()
    assert net.device == "cpu" and net.device_choice is None
    with pytest.raises(ArgumentError, match=r"`device` of compile must be one of 'cpu', 'gpu', 'auto'"):
        net.compile("adam", "mse", device="cuda")
    assert net.device == "cpu"


def test_config_clone_and_files_do_not_know_the_device(cp, tmp_path):
    net = model("gpu")
    assert net.get_config() == model("cpu").get_config() | {"name": net.name} or "device" not in repr(
        net.get_config()
    )
    assert clone_model(net).device == "cpu"
    net.save(tmp_path / "net.fastnn")
    assert load_model(tmp_path / "net.fastnn").device == "cpu"


def test_compile_for_a_gpu_that_is_missing_names_the_extra_and_changes_nothing(no_cupy):
    net = model()
    with pytest.raises(DeviceError, match=r"fastnn\[gpu13\].*fastnn\[gpu12\]"):
        net.compile("sgd", "mse", device="gpu")
    assert net.loss == "binary_crossentropy" and net.device == "cpu"


def test_auto_says_what_it_chose(capsys, no_cupy):
    net = model("auto")
    net.fit(X, Y, epochs=2, verbose=2)
    assert net.device_choice.device == "cpu"
    assert "device='cpu': estimated" in capsys.readouterr().out


def test_auto_takes_a_gpu_where_it_is_faster_and_there(cp, monkeypatch):
    net = model("auto")
    monkeypatch.setattr(backend_devices, "CPU_FLOPS", 1.0)
    net.fit(X, Y, verbose=0)
    assert net.device_choice.device == "gpu"


def test_a_validation_runs_where_the_training_does(cp, monkeypatch):
    net = model("auto")
    monkeypatch.setattr(backend_devices, "CPU_FLOPS", 1e5)
    monkeypatch.setattr(backend_devices, "GPU_START_SECONDS", 0.1)
    net.fit(X, Y, epochs=3, validation_split=0.1, verbose=0)
    assert net.device_choice.device == "gpu"
    net.predict(X[:1], verbose=0)
    assert net.device_choice.device == "cpu"


def test_auto_without_a_gpu_says_why_it_stays(no_cupy):
    choice = choose("auto", LARGE, on_gpu=False)
    assert choice.device == "cpu" and "there is none (The GPU needs CuPy" in choice.reason


def test_auto_does_not_look_for_cupy_where_the_cpu_is_faster(monkeypatch):
    monkeypatch.setattr(compiling, "cupy", lambda: pytest.fail("imported CuPy"))
    assert choose("auto", SMALL, on_gpu=False).device == "cpu"


def test_the_cost_model_grows_with_data_and_with_model():
    cpu, gpu = seconds(SMALL)
    assert cpu < gpu
    cpu, gpu = seconds(LARGE)
    assert gpu < cpu
    for more in (LARGE._replace(rows=2 * LARGE.rows), LARGE._replace(parameters=2 * LARGE.parameters)):
        for one, other in zip(seconds(more), (cpu, gpu), strict=True):
            assert one > 1.5 * other
    assert seconds(LARGE._replace(dtype="float64"))[1] > 10 * gpu


def test_devices_lists_the_gpu(cp):
    found = fastnn.devices()
    assert [device.kind for device in found] == ["cpu", "gpu"] and found.reason == ""
    gpu = found[1]
    assert (gpu.name, gpu.memory, gpu.compute_capability, gpu.driver) == ("Stand-in", 1 << 33, "8.0", "13.0")
    assert "gpu:0  Stand-in, 8.0 GiB, compute capability 8.0, driver for CUDA 13.0" in repr(found)


def test_devices_says_why_there_is_no_gpu(no_cupy):
    found = fastnn.devices()
    assert [device.kind for device in found] == ["cpu"]
    assert "fastnn[gpu13]" in found.reason and f"no gpu: {found.reason}" in repr(found)


@pytest.mark.parametrize(
    ("versions", "count", "expected"),
    [
        ((0, 13000), 0, "there is no NVIDIA driver"),
        ((12040, 13000), 0, r"supports CUDA 12.4 and CuPy was built for CUDA 13.0.*'fastnn\[gpu12\]'"),
        ((11040, 13000), 0, "a CuPy for an older CUDA"),
        ((13000, 13000), 0, "shows 0 devices; CUDA_VISIBLE_DEVICES"),
    ],
)
def test_a_missing_driver_is_told_from_an_old_one(cp, monkeypatch, versions, count, expected):
    runtime = cp.cuda.runtime
    monkeypatch.setattr(cp.cuda, "is_available", lambda: False)
    monkeypatch.setattr(runtime, "driverGetVersion", lambda: versions[0])
    monkeypatch.setattr(runtime, "runtimeGetVersion", lambda: versions[1])
    monkeypatch.setattr(runtime, "getDeviceCount", lambda: count)
    with pytest.raises(DeviceError, match=expected):
        model("gpu")
    assert expected.split(".*")[0].split("\\")[0][:20] in fastnn.devices().reason


def test_a_driver_that_answers_with_an_error_is_quoted(cp, monkeypatch):
    def fails():
        raise cp.cuda.runtime.CUDARuntimeError("cudaErrorSystemNotReady")

    monkeypatch.setattr(cp.cuda.runtime, "getDeviceCount", fails)
    assert "cudaErrorSystemNotReady" in fastnn.devices().reason
    assert "cudaErrorSystemNotReady" in driver.why_none(cp)


def test_import_fastnn_does_not_import_cupy():
    code = (
        "import sys, fastnn, fastnn.models\n"
        "fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))]).compile('sgd', 'mse', device='auto')\n"
        "assert 'cupy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
