"""A saved model that was damaged: one exception, or the exact model; never another one."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastnn.errors import FileFormatError
from fastnn.io import container
from fastnn.layers import Dense
from fastnn.models import Sequential, load_model

FLIPS = 2000


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """The bytes of a small model in training, and its path."""
    path = tmp_path_factory.mktemp("models") / "model.fastnn"
    x = np.random.default_rng(0).standard_normal((20, 3))
    model = Sequential([Dense(2, "relu", input_shape=(3,), name="a"), Dense(1, name="b")], seed=1)
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(x, x[:, 0], epochs=2, verbose=0)
    model.save(path)
    return path.read_bytes(), path


def assert_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(FileFormatError):
        load_model(path)


def test_every_truncation_of_a_model(saved, tmp_path):
    whole, _ = saved
    for length in range(len(whole)):
        assert_refused(tmp_path / "cut.fastnn", whole[:length])


def test_random_flips_in_a_model(saved, tmp_path):
    """Every byte is under a checksum, so each flip is refused; most are made in the header."""
    whole, _ = saved
    rng = random.Random(4)
    header = 8 + int.from_bytes(whole[:8], "little")
    for number in range(FLIPS):
        damaged = bytearray(whole)
        position = rng.randrange(len(whole) if number % 2 else header)
        damaged[position] ^= 1 << rng.randrange(8)
        assert_refused(tmp_path / "flipped.fastnn", bytes(damaged))


def test_bytes_that_were_swapped_zeroed_or_repeated(saved, tmp_path):
    whole, _ = saved
    rng = random.Random(5)
    for _ in range(300):
        start, size = rng.randrange(len(whole) - 80), rng.randrange(1, 64)
        part = whole[start : start + size]
        for new in (part[::-1], bytes(size), part + part, b""):
            if new != part:
                assert_refused(tmp_path / "torn.fastnn", whole[:start] + new + whole[start + size :])


# --------------------------------------------------------------------------- malice
HOSTILE = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**65), 2**65), st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["os.system", "../../etc/passwd", "Dense", "FunctionMetric", "sigmoid", "__class__", ""]),
    st.lists(st.integers(0, 2**40), max_size=3), st.just({}), st.just([]),
    st.just({"class_name": "Dense", "config": {"units": 2**31 - 1}}),
    st.just({"class_name": "Constant", "config": {"value": 1e308}}),
)  # fmt: skip


def nodes(tree):
    """Go through the containers of nested plain data."""
    yield tree
    for value in tree.values() if isinstance(tree, dict) else tree:
        if isinstance(value, (dict, list)):
            yield from nodes(value)


def keys(node):
    return list(node) if isinstance(node, dict) else range(len(node))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(data=st.data())
def test_contents_by_a_hostile_writer(saved, tmp_path, data):
    """With right checksums: an error of one kind, or a model, in little memory; no file, no import."""
    arrays, content = container.read(saved[1])
    for _ in range(data.draw(st.integers(1, 3))):
        places = [(node, key) for node in nodes(content) for key in keys(node)]
        node, key = places[data.draw(st.integers(0, len(places) - 1))]
        node[key] = copy.deepcopy(data.draw(HOSTILE))
    path = tmp_path / "hostile.fastnn"
    container.write(path, arrays, content)
    before = set(sys.modules)
    tracemalloc.start()
    try:
        model = load_model(path)
        assert len(model.get_weights()) == 4
    except FileFormatError as error:
        assert str(path) in str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 20 << 20
    assert not {name for name in set(sys.modules) - before if not name.startswith(("fastnn", "encodings"))}


def test_a_deep_or_wide_header_takes_little_time_and_memory(tmp_path):
    """In a process of its own with 1 GiB of address space more than it starts with."""
    code = """
        import json, resource, sys, time
        from fastnn.errors import FileFormatError
        from fastnn.io import container
        from fastnn.models import load_model

        size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 30), size + (1 << 30)))
        for header in (
            b'{"a":' + b"[" * 8_000_000 + b"]" * 8_000_000 + b"}",
            b'{"a":[' + b"[]," * 4_000_000 + b"[]]}",
            b'{"__metadata__":{"fastnn":"' + b"[" * 15_000_000 + b'","fastnn_sha256":"0"}}',
            b"{" + b",".join(b'"%d":0' % k for k in range(1_000_000)) + b"}",
            b'{"a":{"dtype":"F32","data_offsets":[0,0],"shape":[' + b"9," * 7_000_000 + b"0]}}",
        ):
            with open(sys.argv[1], "wb") as file:
                file.write(len(header).to_bytes(8, "little") + header)
            started = time.process_time()
            try:
                load_model(sys.argv[1])
            except FileFormatError as error:
                assert len(str(error)) < 600
                print(f"{time.process_time() - started:.1f} s")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "deep.fastnn")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" s\n") == 5


# --------------------------------------------------------------------------- processes
def test_two_processes_save_and_a_reader_loads_whole_models(tmp_path):
    path = tmp_path / "model.fastnn"
    code = """
        import sys
        import numpy as np
        from fastnn.layers import Dense
        from fastnn.models import Sequential

        model = Sequential([Dense(64, input_shape=(30,)), Dense(1)])
        model.set_weights([np.full(w.shape, float(sys.argv[2])) for w in model.get_weights()])
        for _ in range(100):
            model.save(sys.argv[1])
    """
    writers = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(path), number]) for number in "12"
    ]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        if path.exists():
            found = {float(value) for weights in load_model(path).get_weights() for value in weights.ravel()}
            assert len(found) == 1
            seen |= found
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen == {1.0, 2.0} and [entry.name for entry in tmp_path.iterdir()] == ["model.fastnn"]
