"""Parquet, Arrow and Feather files, read piece by piece."""

import itertools
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
from pyarrow import feather, ipc, parquet  # noqa: E402

import fastnn  # noqa: E402
from fastnn.data import ArraySource, FileSource  # noqa: E402
from fastnn.data import files as reading  # noqa: E402
from fastnn.errors import (  # noqa: E402
    ArgumentError,
    DataError,
    DtypeError,
    FileFormatError,
    MissingExtraError,
    UnknownNameError,
)
from fastnn.layers import Dense  # noqa: E402
from fastnn.models import Sequential  # noqa: E402

ROWS, COLUMNS = 2_000, 5
NAMES = [f"c{number}" for number in range(COLUMNS)]
RNG = np.random.default_rng(0)
X = RNG.standard_normal((ROWS, COLUMNS)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.float32)
WEIGHT = RNG.random(ROWS).astype(np.float32)


def table(rows=slice(None), **more):
    columns = {name: X[rows, number] for number, name in enumerate(NAMES)}
    return pa.table({**columns, "y": Y[rows], "weight": WEIGHT[rows], **more})


def write(path, data, group=300):
    """Write a table in the format of the suffix."""
    if path.suffix == ".parquet":
        parquet.write_table(data, path, row_group_size=group)
    elif path.suffix == ".feather":
        feather.write_feather(data, path, chunksize=group)  # compressed
    else:
        with ipc.new_file(path, data.schema) as file:
            file.write_table(data, max_chunksize=group)
    return path


def folder_of(path, suffix, cuts=(0, 700, 701, 2000)):
    path.mkdir()
    for number, (start, stop) in enumerate(itertools.pairwise(cuts)):
        write(path / f"part{number}{suffix}", table(slice(start, stop)))
    return path


def network(seed=1):
    model = Sequential([Dense(8, "relu", input_shape=(COLUMNS,)), Dense(1, "sigmoid")], seed=seed)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def outcome(*data, **options):
    model = network()
    history = model.fit(*data, epochs=2, verbose=0, **options)
    return history.history, [weights.tolist() for weights in model.get_weights()]


@pytest.mark.parametrize("piece", [64, 1 << 16], ids=["small pieces", "pieces"])
@pytest.mark.parametrize("suffix", [".parquet", ".feather", ".arrow"])
def test_files_train_as_arrays(tmp_path, monkeypatch, suffix, piece):
    monkeypatch.setattr(reading, "PIECE_ROWS", piece)
    expected = outcome(X, Y, sample_weight=WEIGHT, shuffle=False)
    given = {"x": NAMES, "y": "y", "sample_weight": "weight", "window": 200}
    one = FileSource(write(tmp_path / f"one{suffix}", table()), **given)
    many = FileSource(folder_of(tmp_path / "many", suffix), **given)
    assert outcome(one, shuffle=False) == expected
    assert outcome(many, shuffle=False) == expected
    assert outcome(FileSource(list(many.files), **given), shuffle=False) == expected
    assert many.units() == [300, 300, 100, 1, 300, 300, 300, 300, 99]


def test_columns_are_chosen(tmp_path):
    path = write(tmp_path / "a.parquet", table())
    assert FileSource(path, y="y").columns == [*NAMES, "weight"]
    assert FileSource(path, y=["y", "c0"], sample_weight="weight").columns == NAMES[1:]
    source = FileSource(path, {"left": ["c1", "c0"], "right": "c2"}, {"a": "y", "b": ["c3", "c4"]})
    piece = source.sample()
    np.testing.assert_array_equal(piece.x["left"], X[:300, [1, 0]])
    np.testing.assert_array_equal(piece.x["right"], X[:300, 2])
    np.testing.assert_array_equal(piece.y["b"], X[:300, 3:])
    assert piece.where == f"{path}, row group 0" and piece.sample_weight is None


def test_dtypes_are_those_in_which_all_columns_fit(tmp_path):
    types = [pa.int64(), pa.float32(), pa.bool_(), pa.uint8(), pa.float64(), pa.float16()]
    columns = [pa.array(np.array([0, 1], type_.to_pandas_dtype()), type_) for type_ in types]
    data = pa.table(columns, names=[str(type_) for type_ in types])
    for suffix in (".parquet", ".arrow"):
        path = write(tmp_path / f"a{suffix}", data)
        assert FileSource(path).sample().x.dtype == np.float64
        assert FileSource(path, ["bool", "uint8"]).sample().x.dtype == np.uint8
        assert FileSource(path, ["float", "uint8"]).sample().x.dtype == np.float32
        assert FileSource(path, "bool").sample().x.dtype == bool
    frame = data.select(["int64", "float", "bool"]).to_pandas()
    read = FileSource(path, ["int64", "float", "bool"]).sample().x
    np.testing.assert_array_equal(read, frame.to_numpy(np.float64))


def test_shuffled_files(tmp_path):
    path = folder_of(tmp_path / "many", ".parquet")
    given = {"x": NAMES, "y": "y", "window": 640}
    first = outcome(FileSource(path, **given))
    assert outcome(FileSource(path, **given), threads=1) == first
    assert outcome(FileSource(path, **given), seed=4) != first
    orders = []
    for epoch in range(2):
        pieces = FileSource(path, **given).pieces(3, epoch, True)
        found = np.concatenate([piece.x for piece in pieces])
        orders.append(found)
        np.testing.assert_array_equal(np.sort(found[:, 0]), np.sort(X[:, 0]))
    assert not np.array_equal(*orders) and not np.array_equal(orders[0], X)


def test_evaluate_and_predict(tmp_path):
    source = FileSource(folder_of(tmp_path / "many", ".parquet"), NAMES, "y", window=100)
    model = network()
    np.testing.assert_allclose(model.evaluate(source), model.evaluate(X, Y), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(source), model.predict(X))
    history = model.fit(X, Y, verbose=0, validation_data=source).history
    np.testing.assert_allclose(history["val_loss"], [model.evaluate(X, Y)[0]], rtol=1e-12)


def test_the_fingerprint_is_that_of_the_content(tmp_path):
    source = FileSource(write(tmp_path / "a.parquet", table()), NAMES, "y")
    (tmp_path / "b").mkdir()
    same = FileSource(write(tmp_path / "b" / "a.parquet", table()), NAMES, "y")
    other = FileSource(write(tmp_path / "b" / "c.parquet", table(slice(1, None))), NAMES, "y")
    assert source.fingerprint() == same.fingerprint() != other.fingerprint()
    assert network().fit(source, verbose=0).certificate() == network().fit(same, verbose=0).certificate()


# --------------------------------------------------------------------------- errors
def changed(name, row, value):
    values = dict(zip(NAMES, X.T, strict=True))[name].copy().tolist()
    values[row] = value
    return {name: pa.array(values, pa.float32())}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (changed("c3", 1234, float("nan")), "NaN in column 'c3', first in row 34 "),
        (changed("c3", 1234, float("inf")), "infinity in column 'c3', first in row 34 "),
        (changed("c3", 1234, None), "no value in column 'c3', first in row 34 "),
    ],
    ids=["NaN", "infinity", "null"],
)
def test_a_bad_value_is_named(tmp_path, monkeypatch, column, message):
    monkeypatch.setattr(reading, "PIECE_ROWS", 16)
    data = table()
    (name,) = column
    path = write(tmp_path / "a.parquet", data.set_column(NAMES.index(name), name, column[name]))
    model = network()
    with pytest.raises(DataError, match=rf"a.parquet, row group 4: every value must be .*{message}"):
        model.fit(FileSource(path, NAMES, "y", window=64), shuffle=False, verbose=0)
    assert model.iterations > 10 and all(np.isfinite(weights).all() for weights in model.get_weights())
    model.fit(FileSource(path, NAMES[:3] + NAMES[4:] + ["weight"], "y"), verbose=0)


def test_columns_that_hold_no_numbers(tmp_path):
    more = {
        "town": ["Rome"] * ROWS,
        "code": pa.array(["a"] * ROWS).dictionary_encode(),
        "day": np.zeros(ROWS, "datetime64[ns]"),
        "list": [[1.0]] * ROWS,
    }
    path = write(tmp_path / "a.parquet", table(**more))
    for name in more:
        with pytest.raises(DtypeError, match=rf"a.parquet: column '{name}' must hold numbers. Received: "):
            FileSource(path, [*NAMES, name], "y")
    FileSource(path, NAMES, "y")


def test_files_that_differ(tmp_path):
    write(tmp_path / "a.parquet", table())
    write(tmp_path / "b.parquet", table().drop(["c4"]))
    with pytest.raises(UnknownNameError, match=r"b.parquet: .*Received: 'c4'. Did you mean"):
        FileSource(tmp_path, NAMES, "y")
    write(tmp_path / "b.parquet", table().set_column(4, "c4", pa.array(np.zeros(ROWS))))
    with pytest.raises(DtypeError, match=r"b.parquet: column 'c4' differs from the first .*float32.*float64"):
        FileSource(tmp_path, NAMES, "y")
    write(tmp_path / "b.parquet", table(other=Y))
    FileSource(tmp_path, NAMES, "y")


def test_files_that_cannot_be_read(tmp_path):
    path = write(tmp_path / "a.parquet", table())
    with pytest.raises(UnknownNameError, match=r"'cc1'. Did you mean 'c1'"):
        FileSource(path, ["cc1"], "y")
    with pytest.raises(FileNotFoundError):
        FileSource(tmp_path / "none.parquet", y="y")
    with pytest.raises(ArgumentError, match=r"told by its suffix.*'a.csv'"):
        FileSource(tmp_path / "a.csv", y="y")
    with pytest.raises(ArgumentError, match=r"a path or a list of paths. Received: 3"):
        FileSource(3, y="y")
    with pytest.raises(ArgumentError, match=r"names of columns. Received: 3"):
        FileSource(path, [3], "y")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArgumentError, match=r"expected files named \.parquet"):
        FileSource(tmp_path / "empty", y="y")
    for suffix in (".parquet", ".feather"):
        for content in (b"", b"no table at all, but long enough to be one"):
            bad = tmp_path / f"bad{suffix}"
            bad.write_bytes(content)
            with pytest.raises(FileFormatError, match=rf"bad{suffix} cannot be read"):
                FileSource(bad, y="y")
    none = write(tmp_path / "none.parquet", table(slice(0, 0)))
    with pytest.raises(DataError, match=r"at least one row"):
        FileSource(none, NAMES, "y")
    assert FileSource([none, path], NAMES, "y").rows == ROWS


@pytest.mark.parametrize("how", ["vanishes", "is replaced", "is damaged"])
def test_a_file_that_changes_while_it_is_read(tmp_path, how):
    from fastnn.callbacks import LambdaCallback

    path = folder_of(tmp_path / "many", ".parquet")
    source = FileSource(path, NAMES, "y", window=64)
    last = path / "part2.parquet"

    def change(epoch, logs):
        if how == "vanishes":
            last.unlink()
        elif how == "is replaced":
            write(last, table(slice(0, 900)))
        else:
            content = bytearray(last.read_bytes())
            content[4:2000] = os.urandom(1996)
            last.write_bytes(content)

    expected = {"vanishes": FileNotFoundError, "is replaced": (DataError, FileFormatError)}
    model = network()
    with pytest.raises(expected.get(how, (FileFormatError, DataError)), match=r"part2.parquet|has changed"):
        model.fit(source, epochs=9, shuffle=False, verbose=0, callbacks=[LambdaCallback(on_epoch_end=change)])
    assert 0 < len(model.history.epoch) < 9
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
    model.predict(X)


def test_pyarrow_may_be_missing(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", table())
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"fastnn\[table\]"):
        FileSource(path, y="y")


# --------------------------------------------------------------------------- memory
SCRIPT = """
    import resource, sys
    from fastnn.data import FileSource
    from fastnn.layers import Dense
    from fastnn.models import Sequential

    path, rows = sys.argv[1], int(sys.argv[2])
    source = FileSource(path, y="y", window=rows)
    model = Sequential([Dense(4, "relu", input_shape=(len(source.columns),)), Dense(1)], seed=1)
    model.compile("adam", "mse")
    model.fit(FileSource(sys.argv[3], y="y"), verbose=0, batch_size=512)  # kernels, pyarrow's own memory
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.fit(source, batch_size=512, verbose=0, shuffle=sys.argv[4] == "shuffled")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts memory in KiB, as Linux does")
@pytest.mark.parametrize(("suffix", "order"), [(".parquet", "shuffled"), (".feather", "in order")])
def test_memory_is_bounded(tmp_path, suffix, order):
    """A file of 120 MB, blocks of 6 MB: three of them and 64 MiB are the budget."""
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # the system counts it
    rows, columns, window = 300_000, 100, 16_384
    numbers = np.random.default_rng(0).standard_normal((20_000, columns)).astype(np.float32)
    part = pa.table({**{f"c{n}": column for n, column in enumerate(numbers.T)}, "y": numbers[:, 0]})
    small = write(tmp_path / f"small{suffix}", part.slice(0, 1000))
    large = tmp_path / f"large{suffix}"
    if suffix == ".parquet":
        with parquet.ParquetWriter(large, part.schema) as file:
            for _ in range(0, rows, len(numbers)):
                file.write_table(part)
    else:
        with ipc.new_file(large, part.schema) as file:
            for _ in range(0, rows, len(numbers)):
                file.write_table(part)
    assert large.stat().st_size >= rows * columns * 4 or suffix == ".parquet"  # repeats itself
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {**os.environ, "PYTHONPATH": str(Path(fastnn.__file__).resolve().parent.parent)}
    command = [sys.executable, str(script), str(large), str(window), str(small), order]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert run.returncode == 0, run.stderr
    used = int(run.stdout) * 1024
    assert used < 3 * window * (columns + 1) * 4 + (64 << 20)


def test_array_source_takes_what_fit_takes():
    source = ArraySource({"a": X, "b": X.tolist()}, [Y, X[:, :2]])
    piece = source.sample()
    assert piece.x["b"].shape == (ROWS, COLUMNS) and [y.shape for y in piece.y] == [(ROWS,), (ROWS, 2)]
    assert source.units() == [ROWS] and repr(source) == "ArraySource(2000 rows)"
    with pytest.raises(DataError, match=r"at least one row"):
        ArraySource(X[:0])
