"""The self-check of the user's device, on a stand-in for one: what it prints, finds, keeps and warns of."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from gpu_fake import fake_gpu

import fastnn
from fastnn import backends, cli
from fastnn.backends.gpu import compile as compiling
from fastnn.backends.gpu import expected, first_use, floors, limits, rates, selfcheck
from fastnn.backends.gpu.watched import current, watched
from fastnn.cli import gpu_trainings, gpucheck
from fastnn.layers import Dense, Input
from fastnn.ops import registry

if shutil.which("g++") is None:
    pytest.skip("kernels run on the CPU by way of g++, which is missing", allow_module_level=True)

OPS = ("dense", "relu_grad", "softmax")


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A device, and a cache folder of its own for what is kept of the checks (not for the CPU's kernels)."""
    monkeypatch.setenv(first_use.SWITCH, "0")
    monkeypatch.setattr(backends, "cache_root", lambda: tmp_path)
    first_use._once.cache_clear()
    with fake_gpu(regime=None) as cp:
        yield cp
    first_use._once.cache_clear()


@pytest.fixture
def small(monkeypatch):
    """Make the whole command quick enough for a test: some ops and rules, one training, small arrays."""
    every = selfcheck.ops_with_kernels
    monkeypatch.setattr(selfcheck, "ops_with_kernels", lambda names=None: every(names or OPS))
    monkeypatch.setattr(selfcheck.check_updates, "__defaults__", (selfcheck.RULES[1:2], ("float32",)))
    trainings = gpu_trainings.TRAININGS[1:2]  # its kernels are those of other tests here
    monkeypatch.setattr(gpu_trainings.check_trainings, "__defaults__", (trainings, False))
    monkeypatch.setattr(rates, "MOST_LAUNCHES", 2)
    monkeypatch.setattr(gpucheck, "PRODUCTS", ((33, 5, 7),))
    for name, size in {"ROWS": 64, "UPDATED": 1000}.items():
        monkeypatch.setattr(gpucheck, name, size)
        monkeypatch.setattr(gpucheck, f"{name}_QUICK", size)
    for name, count in {"MOST_ROWS": 512, "SHORT": 1, "LONG": 2}.items():
        monkeypatch.setattr(gpu_trainings, name, count)
    monkeypatch.setattr(expected, "STEPS", expected.STEPS[1:3])
    cases = rates.cases
    monkeypatch.setattr(rates, "cases", lambda rows: [c for c in cases(rows) if c.op in OPS][:2])


def plant(monkeypatch, source, old, new):
    """Put an error into a kernel file."""
    text = compiling.text(source)
    assert text.count(old) >= 1
    compiling.text.cache_clear()
    read = Path.read_text

    def changed(path, *args, **kwargs):
        found = read(path, *args, **kwargs)
        return found.replace(old, new) if path == compiling.FOLDER / f"{source}.cu" else found

    monkeypatch.setattr(Path, "read_text", changed)
    compiling.forget()


@pytest.fixture(autouse=True)
def sources_afterwards():
    yield
    compiling.text.cache_clear()
    compiling.signatures.cache_clear()
    compiling.forget()


# --------------------------------------------------------------------------- the command
@pytest.mark.slow  # where its kernels are compiled first
@pytest.mark.parametrize("quick", [["--quick"], []], ids=str)
def test_the_command_prints_errors_speed_and_success(gpu, small, capsys, tmp_path, quick):
    assert cli.main(["gpucheck", *quick, "--all"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"fastnn {fastnn.__version__} on Stand-in: compute capability 80")
    for line in (*gpucheck.GROUPS.values(), *OPS, "2-3-2, full batch", "a launch", "cuBLAS", "adam"):
        assert line in out
    assert "FAIL" not in out and "checks passed, in" in out
    for line in ("training steps, beside the plan", "circles, batch 128", "45-64-64-1, batch 32"):
        assert (line in out) == (not quick)
    assert json.loads(first_use.marker(tmp_path).read_text()) == {"failures": []}


def test_a_planted_error_is_found_and_reported(gpu, monkeypatch, capsys, tmp_path):
    plant(monkeypatch, "linear", "acc[i][j] + bias[n]", "acc[i][j] + bias[0]")
    assert cli.main(["gpucheck", "--quick", "--ops", "dense,softmax"]) == gpucheck.FAILED
    out = capsys.readouterr().out
    report = out.partition("-" * 78)[2]
    assert "ops: dense (" in report and "ops: softmax" not in report and "allowed 4e-05" in report
    for word in ("numpy ", "python ", "Stand-in", "driver for CUDA 13.0", "1 of 3 checks failed"):
        assert word in report
    assert not first_use.marker(tmp_path).exists()  # some ops are not the device's check


def test_a_kernel_that_does_not_compile_is_a_failed_check(gpu, monkeypatch):
    plant(monkeypatch, "activations", "extern", "no such word; extern")
    check, *_ = selfcheck.check_ops(("relu",), ("float32",), each=False)
    assert not check.ok and "DeviceError" in check.message and "activations" in str(check)


def test_without_a_device_the_command_says_what_is_missing(monkeypatch, capsys):
    def missing():
        raise fastnn.errors.DeviceError("The GPU needs CuPy: pip install 'fastnn[gpu13]'")

    monkeypatch.setattr(compiling, "cupy", missing)
    assert cli.main(["gpucheck"]) == cli.FAILED
    assert "fastnn[gpu13]" in capsys.readouterr().err


# --------------------------------------------------------------------------- the parts
def test_every_op_and_every_optimizer_is_checked():
    from fastnn.ops.updates import UPDATES

    ops = [name for name in registry.names() if registry.get(name).outputs]
    assert selfcheck.ops_with_kernels() == ops
    assert {rule.op for rule in selfcheck.RULES} == set(UPDATES)
    assert len({str(rule) for rule in selfcheck.RULES}) == len(selfcheck.RULES)
    assert set(selfcheck.SHORT) <= set(ops)


def test_updates_agree_and_a_planted_error_is_found(gpu, monkeypatch):
    (rule,) = [rule for rule in selfcheck.RULES if str(rule) == "adam"]
    assert all(check.ok for check in selfcheck.check_updates([rule], ("float32",)))
    plant(monkeypatch, "updates", "sqrt(1.0 - pow(h[3], t))", "sqrt(1.0 - pow(h[2], t))")
    assert not any(check.ok for check in selfcheck.check_updates([rule], ("float32",)))


def test_graphs_and_products_are_checked(gpu, monkeypatch):
    assert [check.ok for check in (*rates.check_capture(), *rates.check_products([(9, 4, 3)]))] == [True] * 3
    monkeypatch.setattr(gpu.cuda.Graph, "launch", lambda self, stream=None: None)
    assert not next(rates.check_capture()).ok
    product = gpu.matmul
    monkeypatch.setattr(gpu, "matmul", lambda a, b, out: product(a, b + b * 1e-3, out=out))
    assert [c.name for c in rates.check_products([(9, 4, 3)]) if not c.ok] == ["cuBLAS"]


def test_a_training_that_differs_is_found(gpu, monkeypatch):
    (training, *_) = gpu_trainings.TRAININGS
    drawn = gpu_trainings.train

    def other_launches(training, device, regime=None):
        watch = current()
        weights = drawn(training, device, regime)
        return weights if watch is None or watch.capture else np.nextafter(weights, np.float32(9))

    monkeypatch.setattr(gpu_trainings, "train", other_launches)
    agreed, bits = gpu_trainings.check_trainings([training], quick=True)
    assert agreed.ok and not bits.ok and "without graphs" in bits.case


def test_cublas_takes_a_layer_of_a_network_that_is_trained(gpu, monkeypatch):
    (training,) = [one for one in gpu_trainings.TRAININGS if one.name.startswith("64 wide")]
    monkeypatch.setattr(gpu_trainings, "REGIMES", ("library",))
    products = []
    multiply = gpu.matmul
    monkeypatch.setattr(
        gpu, "matmul", lambda a, b, out: products.append(out.shape) or multiply(a, b, out=out)
    )
    checks = list(gpu_trainings.check_trainings([training]))
    assert [(check.case, check.ok) for check in checks] == [
        ("library, CPU", True),
        ("library, without graphs", True),
    ]
    assert {(48, 64), (64, 64)} <= set(products)
    monkeypatch.setattr(gpu, "matmul", lambda a, b, out: multiply(a, b + b * 1e-2, out=out))
    agreed, _ = gpu_trainings.check_trainings([training])
    assert not agreed.ok


def test_a_step_of_the_plan_is_timed_as_fit_runs_it(gpu, monkeypatch):
    monkeypatch.setattr(gpu_trainings, "MOST_BATCHES", 2)
    step = expected.Step("small", (2, 3, 2), 20, slots=1)
    regime, line = gpucheck.steps([step]).splitlines()[1].split()[1:3]
    assert regime == expected.plan(step).regime == "resident" and float(line) != 0


@pytest.mark.parametrize(
    "got, wanted, error",
    [
        ([1, 2], [1, 4], 0.5),
        ([0.0], [0.0], 0.0),
        ([np.nan, np.inf], [np.nan, np.inf], 0.0),
        ([np.inf], [-np.inf], np.inf),
        ([1.0], [np.nan], np.inf),
        ([np.nan], [1.0], np.inf),
        ([1.0, 2.0], [1.0], np.inf),
    ],
)
def test_errors_are_relative_to_the_largest_number(got, wanted, error):
    assert selfcheck.error_of(np.array(got), np.array(wanted)) == error


def test_the_regimes_of_trainings_are_told(gpu):
    training = gpu_trainings.TRAININGS[1]
    with watched() as watch:
        gpu_trainings.train(training, "gpu", "generic")
        gpu_trainings.train(training, "gpu")
    assert watch.regimes == ["generic", "resident"] and current() is None


def test_limits_are_read_from_the_device(gpu, monkeypatch):
    known = {"ClockRate": 1_980_000, "MultiProcessorCount": 132, "MemoryClockRate": 2_619_000}
    monkeypatch.setattr(gpu.cuda.Device, "attributes", {**known, "GlobalMemoryBusWidth": 5120})
    monkeypatch.setattr(gpu.cuda.Device, "compute_capability", "90")
    found = limits.describe(gpu)
    assert found.flops == pytest.approx(66.9e12, rel=1e-3) and found.flops64 == found.flops / 2
    assert found.bandwidth == pytest.approx(3.35e12, rel=1e-3)
    assert limits.floors(floors.Work(66.9e6, 3.35e6), found) == pytest.approx((1e-6, 1e-6), rel=1e-3)
    monkeypatch.setattr(gpu.cuda.runtime, "getDeviceProperties", None)
    assert limits.describe(gpu).name == limits.UNKNOWN
    x, w, y = (np.zeros(s, np.float32) for s in ((10, 4), (4, 2), (10, 2)))
    assert limits.work_of("dense", [x, w], [y]) == (160.0, 272.0)


# --------------------------------------------------------------------------- the first use
def trained():
    model = fastnn.Sequential([Input((2,)), Dense(1)], seed=1)
    model.compile("sgd", "mse", device="gpu")
    model.fit(np.ones((4, 2), np.float32), np.ones(4, np.float32), epochs=1, verbose=0)


def test_a_device_is_checked_once(gpu, monkeypatch, tmp_path):
    runs = []
    monkeypatch.setattr(first_use, "short", lambda: runs.append(1) or [])
    trained()
    assert not runs  # switched off
    monkeypatch.setenv(first_use.SWITCH, "1")
    trained()
    trained()
    first_use._once.cache_clear()  # as in another process
    trained()
    assert len(runs) == 1
    monkeypatch.setattr(gpu.cuda.runtime, "driverGetVersion", lambda: 13010)
    first_use._once.cache_clear()
    trained()
    assert len(runs) == 2 and len(list(tmp_path.glob("gpu-*.json"))) == 2


def test_what_failed_is_warned_of_in_every_process_and_stops_nothing(gpu, monkeypatch):
    monkeypatch.setenv(first_use.SWITCH, "1")
    bad = selfcheck.Check("ops", "dense", "float32", 0.5, 4e-5)
    monkeypatch.setattr(first_use, "short", lambda: [bad])
    for _ in range(2):
        first_use._once.cache_clear()
        with pytest.warns(RuntimeWarning, match=r"1 of fastnn's checks failed.*dense.*`fastnn gpucheck`"):
            trained()
        monkeypatch.setattr(first_use, "short", lambda: pytest.fail("it has been checked"))


def test_a_folder_that_cannot_be_written_stops_nothing(gpu, monkeypatch, tmp_path):
    monkeypatch.setenv(first_use.SWITCH, "1")
    monkeypatch.setattr(first_use, "short", list)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(backends, "cache_root", lambda: tmp_path / "file" / "folder")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trained()


def test_the_short_form_passes_and_finds_a_planted_error(gpu, monkeypatch):
    monkeypatch.setattr(selfcheck, "SHORT", OPS)
    assert all(check.ok for check in first_use.short())
    plant(monkeypatch, "linear", "acc[i][j] + bias[n]", "acc[i][j] + bias[0]")
    assert {check.name for check in first_use.short() if not check.ok} == {"dense"}


# --------------------------------------------------------------------------- the plan on paper
def test_the_plan_chooses_as_the_executor_does(gpu):
    from fastnn.backends.gpu import fused, regimes

    for step in expected.STEPS:
        found = expected.plan(step)
        assert found.expected > max(found.arithmetic, found.memory)
        assert found.regime in regimes.REGIMES
    chosen = [expected.plan(step).regime for step in expected.STEPS]
    assert chosen == ["fused", "resident", "fused", "fused", "fused", "generic"]
    chain = fused.example((45, 64, 64, 1))
    step = expected.STEPS[2]
    assert (step.weights, step.parameters) == (chain.weights, 7040 + 129)
    assert step.work().flops == floors.of_chain(chain, 32).flops


def test_the_page_shows_the_plan():
    page = Path(__file__).resolve().parents[3] / "docs" / "gpu.md"
    assert expected.table() in page.read_text(encoding="utf-8")
