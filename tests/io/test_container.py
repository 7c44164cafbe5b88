"""The container: round trips, damage of every kind, hostile headers; the safetensors package as oracle."""

import hashlib
import json
import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn.errors import ArgumentError, DtypeError, FileFormatError
from fastnn.io import container

safetensors = pytest.importorskip("safetensors.numpy", reason="the oracle of the format")

CONTENT = {"name": "net", "seed": 7, "levels": ["ä", "b\u2028", '"quoted\\"'], "none": None, "x": [1.5, True]}
in_tmp_path = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100
)


def arrays():
    rng = np.random.default_rng(3)
    return {
        "dense/kernel": rng.normal(size=(3, 2)).astype(np.float32),
        "flags": np.array([True, False, True]),
        "step": np.array(7, np.int64),
        "empty": np.zeros((0, 4), np.float64),
        "half": rng.normal(size=3).astype(np.float16),
        "dense/bias": rng.normal(size=2),
    }


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def rebuild(path, header, data=b""):
    """Write a file with this header; a checksum of it is put in, as a malicious writer would."""
    if isinstance(header, dict):
        header = json.dumps(header)
    raw = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    checksum = hashlib.sha256(raw).hexdigest().encode()
    zeros = b'"fastnn_sha256": "' + b"0" * 64
    raw = raw.replace(zeros, zeros[:-64] + checksum)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)
    return path


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
SHA_OF_ZEROS = hashlib.sha256(bytes(8)).hexdigest()


def hostile(entries=None, document=None, **document_changes):
    """Return a header, for 8 bytes of zeros, that is right but for what is given."""
    entries = {"x": ENTRY} if entries is None else entries
    default = {"version": 1, "checksums": dict.fromkeys(entries, SHA_OF_ZEROS), "content": {}}
    text = document if isinstance(document, str) else json.dumps({**default, **document_changes})
    return {"__metadata__": {"fastnn": text, "fastnn_sha256": "0" * 64}, **entries}


# --------------------------------------------------------------------------- round trips
@pytest.mark.parametrize("mmap", [False, True])
def test_arrays_and_description_come_back(tmp_path, mmap):
    container.write(tmp_path / "file", arrays(), CONTENT)
    tensors, content = container.read(tmp_path / "file", mmap=mmap)
    assert_same(tensors, arrays())
    assert content == CONTENT
    for array in tensors.values():  # views of the file's bytes, none copied to be aligned
        assert array.flags.aligned and not array.flags.owndata and type(array) is np.ndarray


def test_arrays_read_are_the_callers_and_mapped_ones_are_not(tmp_path):
    container.write(tmp_path / "file", arrays(), {})
    container.read(tmp_path / "file")[0]["dense/kernel"][:] = 0
    mapped = container.read(tmp_path / "file", mmap=True)[0]["dense/kernel"]
    assert not mapped.flags.writeable and not mapped.flags.owndata
    container.write(tmp_path / "file", {}, {})  # an open map goes on showing the file it was made of
    assert_same({"k": mapped}, {"k": arrays()["dense/kernel"]})


names = st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.text()
plain_data = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)
dtypes = st.sampled_from(sorted(container.DTYPES.values(), key=str))
named_arrays = st.dictionaries(names, hnp.arrays(dtypes, hnp.array_shapes(min_dims=0)), max_size=4)


@in_tmp_path
@given(tensors=named_arrays, content=st.dictionaries(names, plain_data))
def test_whatever_can_be_written_comes_back(tmp_path, tensors, content):
    container.write(tmp_path / "file", tensors, content)
    found, described = container.read(tmp_path / "file")
    assert_same(found, {name: np.asarray(array) for name, array in tensors.items()})
    assert described == content


def test_memory_order_and_byte_order_do_not_matter(tmp_path):
    matrix = np.arange(6.0).reshape(2, 3)
    given = {"fortran": np.asfortranarray(matrix), "big": matrix.astype(">f8"), "strided": matrix[:, ::2]}
    container.write(tmp_path / "file", given, {})
    tensors, _ = container.read(tmp_path / "file")
    assert_same(tensors, {"fortran": matrix, "big": matrix, "strided": matrix[:, ::2].copy()})


def test_large_arrays_are_written_one_by_one(tmp_path, monkeypatch):
    container.write(tmp_path / "one", arrays(), CONTENT)
    monkeypatch.setattr(container, "SMALL", 0)
    container.write(tmp_path / "many", arrays(), CONTENT)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()


def test_the_same_contents_make_the_same_bytes(tmp_path):
    for name in "ab":
        container.write(tmp_path / name, arrays(), CONTENT)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("tensors", "content", "error", "words"),
    [
        ({"x": np.array([1j])}, {}, DtypeError, "complex128"),
        ({"x": np.array(["text"])}, {}, DtypeError, "'x'"),
        ({"__metadata__": np.zeros(1)}, {}, ArgumentError, "__metadata__"),
        ({3: np.zeros(1)}, {}, ArgumentError, "3"),
        ({}, {"x": float("nan")}, ArgumentError, "JSON"),
        ({}, {"x": np.float32(1)}, ArgumentError, "float32"),
        ({}, {"x": {1: 2}}, ArgumentError, "keys"),
        ({}, {"x": "y" * container.MAX_HEADER_BYTES}, ArgumentError, "bytes"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, tensors, content, error, words):
    container.write(tmp_path / "file", arrays(), CONTENT)
    with pytest.raises(error, match=words):
        container.write(tmp_path / "file", tensors, content)
    assert_same(container.read(tmp_path / "file")[0], arrays())


def test_nesting_that_could_not_be_read_is_not_written(tmp_path):
    deep = {}
    for _ in range(61):
        deep = {"x": deep}
    container.write(tmp_path / "file", {}, {"deep": deep})
    assert container.read(tmp_path / "file")[1] == {"deep": deep}
    with pytest.raises(ArgumentError, match="64 levels"):
        container.write(tmp_path / "file", {}, {"deep": [[deep]]})


# --------------------------------------------------------------------------- the oracle
def test_safetensors_opens_ours(tmp_path):
    container.write(tmp_path / "file", arrays(), CONTENT)
    found = safetensors.load_file(tmp_path / "file")
    assert_same({name: found[name] for name in arrays()}, arrays())


def test_plain_files_go_both_ways(tmp_path):
    container.write_safetensors(tmp_path / "ours", arrays(), {"format": "pt"})
    found = safetensors.load_file(tmp_path / "ours")
    assert_same({name: found[name] for name in arrays()}, arrays())
    safetensors.save_file(arrays(), tmp_path / "theirs", {"format": "pt"})
    for name in ("ours", "theirs"):
        tensors, texts = container.read_safetensors(tmp_path / name)
        assert_same({name: tensors[name] for name in arrays()}, arrays())
        assert texts == {"format": "pt"}
        with pytest.raises(FileFormatError, match="not one of fastnn's"):
            container.read(tmp_path / name)
    with pytest.raises(ArgumentError, match="text by name"):
        container.write_safetensors(tmp_path / "ours", {}, {"x": 1})


def test_data_that_are_not_aligned_are_copied(tmp_path):
    header = '{"x":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}'
    path = rebuild(tmp_path / "file", header + " " * (9 - len(header) % 8), np.array([1.5, 2.5]).tobytes())
    for mmap in (False, True):
        array = container.read_safetensors(path, mmap=mmap)[0]["x"]
        assert array.flags.aligned and array.tolist() == [1.5, 2.5]


# --------------------------------------------------------------------------- damage
def small(path):
    container.write(path, {"k": np.arange(3, dtype=np.float32), "b": np.array([True])}, {"units": 3})
    return path.read_bytes()


def test_every_truncation_is_refused(tmp_path):
    whole = small(tmp_path / "file")
    for length in range(len(whole)):
        (tmp_path / "file").write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            container.read(tmp_path / "file")
    (tmp_path / "file").write_bytes(whole + b" ")
    with pytest.raises(FileFormatError):
        container.read(tmp_path / "file")


def test_every_flip_is_refused(tmp_path):
    whole = small(tmp_path / "file")
    for position in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << bit
            (tmp_path / "file").write_bytes(damaged)
            with pytest.raises(FileFormatError):
                container.read(tmp_path / "file")


# --------------------------------------------------------------------------- hostile headers
HOSTILE = {
    "overlap": hostile({"x": ENTRY, "y": {**ENTRY, "data_offsets": [4, 12]}}),
    "same bytes": hostile({"x": ENTRY, "y": ENTRY}),
    "gap": hostile({"x": {**ENTRY, "data_offsets": [8, 16]}}),
    "too few data": hostile({"x": {**ENTRY, "shape": [2**40], "data_offsets": [0, 2**42]}}),
    "shape and bytes": hostile({"x": {**ENTRY, "shape": [3]}}),
    "product beyond 64 bits": hostile({"x": {**ENTRY, "shape": [2**62, 2**62, 8]}}),
    "empty but huge": hostile({"x": {"dtype": "F32", "shape": [2**62, 0, 2**62], "data_offsets": [0, 0]}}),
    "many axes": hostile({"x": {**ENTRY, "shape": [1] * 100_000 + [2]}}),
    "negative": hostile({"x": {**ENTRY, "shape": [-2]}}),
    "backwards": hostile({"x": {**ENTRY, "data_offsets": [8, 0]}}),
    "float extent": hostile({"x": {**ENTRY, "shape": [2.0]}}),
    "true as extent": hostile({"x": {"dtype": "I64", "shape": [True], "data_offsets": [0, 8]}}),
    "three offsets": hostile({"x": {**ENTRY, "data_offsets": [0, 8, 8]}}),
    "dtype": hostile({"x": {**ENTRY, "dtype": "O"}}),
    "dtype is a list": hostile({"x": {**ENTRY, "dtype": ["F32"]}}),
    "more keys": hostile({"x": {**ENTRY, "file": "/etc/passwd"}}),
    "entry is a number": hostile({"x": 3}),
    "metadata is a list": {"__metadata__": []},
    "metadata holds numbers": {"__metadata__": {"fastnn": 1}},
    "header is a list": "[]",
    "header begins with space": " {}",
    "not UTF-8": b'{"\xff":1}',
    "twice": '{"x":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"x":{}}',
    "twice in the document": hostile(document='{"version":1,"version":1,"checksums":{},"content":{}}'),
    "NaN": hostile(document='{"version":1,"checksums":{},"content":{"x":NaN}}'),
    "infinity": hostile(document='{"version":1,"checksums":{},"content":{"x":1e999}}'),
    "long integer": hostile(document='{"version":1,"checksums":{},"content":{"x":' + "9" * 100_000 + "}}"),
    "deep": hostile(document="[" * 100_000),
    "deep header": '{"x":' * 100_000,
    "version of text": hostile(version="1"),
    "version true": hostile(version=True),
    "newer version": hostile(version=2),
    "content is a list": hostile(content=[]),
    "no checksum": hostile(checksums={}),
    "wrong checksum": hostile(checksums={"x": "0" * 64}),
}


#: What each is refused for: a case that is refused for something else would prove nothing.
REASONS = {
    "overlap": "overlap or gap", "same bytes": "overlap or gap", "gap": "overlap or gap",
    "too few data": "bytes of data", "shape and bytes": "must fill", "product beyond 64 bits": "must fill",
    "empty but huge": "too large", "many axes": "at most 32 axes", "negative": "whole numbers",
    "backwards": "must fill", "float extent": "whole numbers", "true as extent": "whole numbers",
    "three offsets": "must fill", "dtype": "dtype must be", "dtype is a list": "dtype must be",
    "more keys": "expected dtype, shape", "entry is a number": "expected dtype, shape",
    "metadata is a list": "'__metadata__'", "metadata holds numbers": "'__metadata__'",
    "header is a list": "does not begin", "header begins with space": "does not begin",
    "not UTF-8": "not UTF-8", "twice": "twice: 'x'", "twice in the document": "twice: 'version'",
    "NaN": "finite numbers. Received: NaN", "infinity": "finite numbers. Received: 1e999",
    "long integer": "is not JSON", "deep": "nests deeper", "deep header": "nests deeper",
    "version of text": "not one of format", "version true": "not one of format", "newer version": "newer",
    "content is a list": "not one of format", "no checksum": "different names", "wrong checksum": "array 'x'",
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_refused(tmp_path, case):
    path = rebuild(tmp_path / "file", HOSTILE[case], bytes(8))
    with pytest.raises(FileFormatError, match=re.escape(REASONS[case])) as caught:
        container.read(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 600


def test_a_header_that_is_right_is_read(tmp_path):
    """The frame of the cases above."""
    path = rebuild(tmp_path / "file", hostile(), bytes(8))
    assert container.read(path)[0]["x"].tolist() == [0, 0]


def test_truth_values_are_zero_or_one(tmp_path):
    entry = {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}
    checksum = hashlib.sha256(b"\x02").hexdigest()
    path = rebuild(tmp_path / "file", hostile({"x": entry}, checksums={"x": checksum}), b"\x02")
    with pytest.raises(FileFormatError, match="truth values"):
        container.read(path)


@pytest.mark.parametrize("length", [2**24 + 1, 2**31, 2**63, 2**64 - 1])
def test_a_header_that_claims_to_be_huge_takes_no_memory(tmp_path, length):
    with open(tmp_path / "file", "wb") as file:
        file.write(length.to_bytes(8, "little"))
        file.truncate(min(length + 8, 1 << 33))  # sparse
    tracemalloc.start()
    with pytest.raises(FileFormatError):
        container.read(tmp_path / "file")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


keys = st.sampled_from(["dtype", "shape", "data_offsets", "version", "content"])
anything = st.recursive(
    scalars | st.floats() | st.sampled_from([0, 4, 8, "F32"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner),
    max_leaves=12,
)


@in_tmp_path
@given(
    entries=st.dictionaries(st.text(max_size=3), anything, max_size=3),
    document=anything,
    data=st.binary(),
)
def test_hostile_headers_of_hypothesis(tmp_path, entries, document, data):
    path = rebuild(tmp_path / "file", hostile(entries, json.dumps(document)), data)
    with pytest.raises(FileFormatError):
        container.read(path)


@in_tmp_path
@given(data=st.binary(max_size=200))
def test_any_bytes(tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(FileFormatError):
        container.read(path)
    with pytest.raises(FileFormatError):
        container.read(rebuild(path, data))


def test_folders_and_devices_are_not_opened(tmp_path):
    with pytest.raises(IsADirectoryError):
        container.read(tmp_path)
    with pytest.raises(OSError, match="Not a regular file"):
        container.read("/dev/zero")
    with pytest.raises(FileNotFoundError):
        container.read(tmp_path / "missing")
