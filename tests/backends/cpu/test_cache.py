"""The cache of kernels on disk: each test starts fresh processes with a cache folder of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn

PACKAGE = Path(fastnn.__file__).parent

#: Train a small model; print how each kernel came about and a hash of the weights.
TRAIN = """
import hashlib, json, warnings
import numpy as np
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fastnn
    from fastnn import layers
    from fastnn.backends.cpu import jit
    x = np.random.default_rng(0).standard_normal((200, 6)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.float32)
    model = fastnn.Sequential([
        layers.Dense(8, activation="tanh", input_shape=(6,)), layers.Dense(1, activation="sigmoid"),
    ], seed=3)
    model.compile("sgd", "binary_crossentropy")
    model.fit(x, y, epochs=3, batch_size=32, verbose=0)
weights = b"".join(w.tobytes() for w in model.get_weights())
print(json.dumps({
    "cached": {kernel.key: kernel.cached for kernel in jit.compiled_kernels()},
    "result": hashlib.sha256(weights).hexdigest(),
    "warnings": [[w.category.__name__, str(w.message)] for w in caught],
}))
"""
#: Compute one op; print the same.
ONE_OP = """
import json, warnings
import numpy as np
from fastnn import ops
from fastnn.backends.cpu import jit
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    y = ops.sigmoid(np.array([[0.0, 1.0]], np.float32))
    ops.relu(y)
print(json.dumps({
    "cached": {kernel.key: kernel.cached for kernel in jit.compiled_kernels()},
    "result": y.tolist(),
    "warnings": [[w.category.__name__, str(w.message)] for w in caught],
}))
"""


def start(script, cache, root=PACKAGE.parent, **environment):
    """Start a fresh interpreter on the package under `root`."""
    environment = {**os.environ, "FASTNN_CACHE_DIR": str(cache), "PYTHONPATH": str(root), **environment}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=root,
    )


def finish(process):
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return json.loads(out)


def run(script, cache, root=PACKAGE.parent, **environment):
    return finish(start(script, cache, root, **environment))


@pytest.fixture(scope="module")
def cold(tmp_path_factory):
    """A training from an empty cache: the folder it filled, and what it printed."""
    folder = tmp_path_factory.mktemp("cold")
    return folder, run(TRAIN, folder)


@pytest.fixture
def filled(cold, tmp_path):
    """A copy of the filled cache, and what filled it."""
    shutil.copytree(cold[0], tmp_path / "cache")
    return tmp_path / "cache", cold[1]


def objects(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_the_second_process_compiles_nothing_and_gets_the_same_bits(filled):
    folder, first = filled
    assert len(first["cached"]) > 8 and not any(first["cached"].values())
    assert len(objects(folder)) == len(first["cached"]), "one file a kernel, and no leftovers"
    before = {path: path.read_bytes() for path in objects(folder)}
    second = run(TRAIN, folder)
    assert second["cached"].keys() == first["cached"].keys() and all(second["cached"].values())
    assert second["result"] == first["result"]
    assert first["warnings"] == second["warnings"] == []
    assert {path: path.read_bytes() for path in objects(folder)} == before


def test_damaged_files_are_compiled_again(filled):
    folder, first = filled
    files = objects(folder)
    damages = [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"\x00\xff" * 500,
        lambda data: data.partition(b"\n")[0],
        lambda data: b"[]\n" + data.partition(b"\n")[2],
        lambda data: data[:-100] + bytes(byte ^ 1 for byte in data[-100:-99]) + data[-99:],
    ]
    for number, path in enumerate(files):
        path.write_bytes(damages[number % len(damages)](path.read_bytes()))
    again = run(TRAIN, folder)
    assert not any(again["cached"].values())
    assert again["result"] == first["result"] and again["warnings"] == []
    assert objects(folder) == files
    assert all(run(TRAIN, folder)["cached"].values())


def test_a_missing_file_is_compiled_alone(filled):
    folder, first = filled
    lost = objects(folder)[3]
    lost.unlink()
    again = run(TRAIN, folder)
    assert sum(again["cached"].values()) == len(first["cached"]) - 1
    assert again["result"] == first["result"] and lost.exists()


def test_processes_fill_one_cache_at_once(cold, tmp_path):
    found = [finish(process) for process in [start(TRAIN, tmp_path) for _ in range(2)]]
    assert {one["result"] for one in found} == {cold[1]["result"]}
    assert not any(one["warnings"] for one in found)
    assert len(objects(tmp_path)) == len(cold[1]["cached"])
    assert all(run(TRAIN, tmp_path)["cached"].values())


def test_without_a_writable_folder_there_is_one_warning(tmp_path):
    (tmp_path / "file").write_text("not a folder")  # a folder without permission would not stop the superuser
    found = run(ONE_OP, tmp_path / "file" / "cache")
    ((category, message),) = found["warnings"]
    assert (
        category == "RuntimeWarning" and "FASTNN_CACHE_DIR" in message and str(tmp_path / "file") in message
    )
    assert list(found["cached"].values()) == [False, False]
    assert found["result"] == [[0.5, pytest.approx(0.7310586)]]


def test_machine_code_for_another_processor_is_not_loaded(tmp_path):
    def computed(**environment):
        found = run(ONE_OP, tmp_path, **environment)
        assert found["result"] == [[0.5, pytest.approx(0.7310586)]]
        return all(found["cached"].values())

    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    assert [computed(), computed(), computed(**generic), computed(**generic), computed()] == [
        False, True, False, True, True,
    ]  # fmt: skip


@pytest.fixture
def package(tmp_path):
    """A copy of the package, to be edited."""
    shutil.copytree(PACKAGE, tmp_path / "copy" / "fastnn", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


EDITS = {
    # A helper that lives in another file than the kernel: Numba alone would not see this edit.
    "backends/cpu/vecmath.py": "\n\n@inline_math\ndef sigmoid(x):\n    return x - x\n",
    "ops/loss_reference.py": "\nEPS = 1e-6\n",
    "__init__.py": "\n__version__ = '99.0'\n",
}


def test_an_edit_of_a_source_recompiles(package, tmp_path):
    cache = tmp_path / "cache"
    first = run(ONE_OP, cache, package)
    assert first["cached"] == dict.fromkeys(first["cached"], False)
    with (package / "fastnn" / "models" / "summary.py").open("a") as unrelated:
        unrelated.write("\n# no kernel reads this\n")
    assert all(run(ONE_OP, cache, package)["cached"].values())
    for file, addition in EDITS.items():
        source = package / "fastnn" / file
        original = source.read_text(encoding="utf-8")
        source.write_text(original + addition, encoding="utf-8")
        edited = run(ONE_OP, cache, package)
        assert not any(edited["cached"].values()), file
        assert (edited["result"] == [[0.0, 0.0]]) == file.endswith("vecmath.py")
        source.write_text(original, encoding="utf-8")
    again = run(ONE_OP, cache, package)
    assert all(again["cached"].values()) and again["result"] == first["result"]
