"""What does not fit is refused before training, in words that help; and the model can be used afterwards."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from model_helpers import chapter, regressor
from scipy import sparse

from fastnn import layers
from fastnn.errors import ArgumentError, DataError, DtypeError, FastnnError, NotBuiltError, ShapeError
from fastnn.layers import Activation, Dense, Embedding, Input, LeakyReLU, Reshape
from fastnn.models import Sequential

ROWS = 12
X = np.random.default_rng(0).standard_normal((ROWS, 2))
Y = X.sum(axis=1)


def spoilt(value, dtype=float):
    """Return the inputs with one bad value, in row 5 of column 1."""
    x = X.astype(dtype)
    x[5, 1] = value
    return x


def frame(**columns):
    """Return a table of the inputs with some columns replaced."""
    return pd.DataFrame({"size": X[:, 0], "price": X[:, 1]}).assign(**columns)


BAD_FITS = {
    # shapes
    "too wide": (
        {"x": np.ones((ROWS, 3))},
        ShapeError,
        r"x: expected shape \(rows, 2\). Received: \(12, 3\)",
    ),
    "one row": ({"x": np.ones(2)}, ShapeError, r"add an axis: x\[None\]"),
    "a number": ({"x": 3.0}, ShapeError, "x: expected one row per example.*single number"),
    "more axes": ({"x": np.ones((ROWS, 2, 2))}, ShapeError, r"Received: \(12, 2, 2\)"),
    "ragged": ({"x": [[1.0, 2.0], [3.0]]}, ShapeError, "x: the rows do not all have the same length"),
    "no rows": ({"x": X[:0], "y": Y[:0]}, DataError, "x: expected at least one row"),
    "an empty list": ({"x": [], "y": []}, ShapeError, r"x: expected shape \(rows, 2\). Received: \(0,\)"),
    "rows of y": ({"y": Y[:-1]}, ShapeError, "y: x has 12 rows, so y must have as many. Received: 11"),
    "columns of y": ({"y": np.ones((ROWS, 3))}, ShapeError, "Received: 1 in layer"),
    "no x": ({"x": None}, ArgumentError, "x: expected one row per example. Received: None"),
    "no y": ({"y": None}, ArgumentError, "y: the loss needs targets. Received: None"),
    # values
    "NaN": ({"x": spoilt(np.nan)}, DataError, "x: .*finite. Received: NaN in column 1, first in row 5"),
    "infinity": ({"x": spoilt(-np.inf, "f4")}, DataError, "infinity in column 1"),
    "too large": ({"x": spoilt(1e300)}, DataError, r"1e\+300, beyond float32, in column 1"),
    "NaN in a frame": ({"x": frame(price=spoilt(np.nan)[:, 1])}, DataError, "NaN in column 'price'"),
    "missing values": (
        {"x": frame(size=pd.array([1, None] * 6, "Int64"))},
        DataError,
        "NaN in column 'size', first in row 1",
    ),
    "NaN in y": ({"y": spoilt(np.nan)[:, 1]}, DataError, "y: .*finite. Received: NaN, first in row 5"),
    "masked": ({"x": np.ma.masked_less(X, 0)}, DataError, "masked"),
    # dtypes
    "text": ({"x": X.astype(str)}, DtypeError, "x: must hold numbers, but column 0 holds text"),
    "a list of text": ({"x": [["1", "2"]] * ROWS}, DtypeError, "column 0 holds text, for example '1'"),
    "text in a frame": (
        {"x": frame(price=["3.5"] * ROWS)},
        DtypeError,
        "column 'price' must hold numbers.*'3.5'",
    ),
    "text as objects": (
        {"x": frame(price=pd.Series(["a"] * ROWS, dtype=object))},
        DtypeError,
        "column 'price'",
    ),
    "a category": ({"x": frame(size=pd.Categorical(["a"] * ROWS))}, DtypeError, "column 'size'.*category"),
    "times": ({"x": frame(size=pd.date_range("2020", periods=ROWS))}, DtypeError, "column 'size'.*datetime"),
    "complex": ({"x": X.astype(complex)}, DtypeError, "complex dtype complex128"),
    "objects": ({"x": np.full((ROWS, 2), {}, dtype=object)}, DtypeError, "dtype object"),
    "a generator beside y": (
        {"x": (row for row in X)},
        ArgumentError,
        "`y` of fit is for arrays; the generator",
    ),
    "a sparse matrix": ({"x": sparse.csr_array(X)}, DtypeError, r"use .toarray\(\)"),
    "text as target": ({"y": ["a"] * ROWS}, DtypeError, "y: must hold numbers"),
    "text as a column": ({"y": pd.Series(["a"] * ROWS)}, DtypeError, "y: the series must hold numbers"),
    # weights
    "negative weights": (
        {"sample_weight": -np.ones(ROWS)},
        DataError,
        "sample_weight: expected weights >= 0",
    ),
    "NaN weights": ({"sample_weight": np.full(ROWS, np.nan)}, DataError, "sample_weight: .*NaN"),
    "too few weights": (
        {"sample_weight": [1.0]},
        ShapeError,
        r"sample_weight: .*shape \(12,\). Received: \(1,\)",
    ),
    "text weights": ({"sample_weight": ["1"] * ROWS}, DtypeError, "sample_weight"),
    "class weights as a list": ({"class_weight": [1, 2]}, ArgumentError, "class_weight must be a dict"),
    "a class by name": (
        {"class_weight": {"cat": 2.0}},
        ArgumentError,
        "class_weight: a class is a number.*'cat'",
    ),
    "a negative class weight": ({"class_weight": {0: -1}}, ArgumentError, "class_weight"),
    "a class weight by name": ({"class_weight": {0: "much"}}, ArgumentError, "class_weight"),
    # numbers
    "negative epochs": (
        {"epochs": -1},
        ArgumentError,
        "`epochs` of fit must be an integer >= 0. Received: epochs=-1",
    ),
    "half an epoch": ({"epochs": 1.5}, ArgumentError, "`epochs`.*1.5"),
    "no number of epochs": ({"epochs": None}, ArgumentError, "`epochs`.*None"),
    "a batch of nothing": ({"batch_size": 0}, ArgumentError, "`batch_size` of fit must be an integer >= 1"),
    "a batch of 0.5": ({"batch_size": 0.5}, ArgumentError, "`batch_size`"),
    "steps": ({"steps_per_epoch": 0}, ArgumentError, "`steps_per_epoch`"),
    "an initial epoch": ({"initial_epoch": -1}, ArgumentError, "`initial_epoch`"),
    "threads": ({"threads": 0}, ArgumentError, "`threads`"),
    "a seed": ({"seed": -1}, ArgumentError, "`seed`"),
    "a large seed": ({"seed": 2**63}, ArgumentError, r"below 2\*\*63"),
    "all to validate": ({"validation_split": 1}, ArgumentError, r"`validation_split`.*\[0, 1\)"),
    "more to validate": ({"validation_split": 1.5}, ArgumentError, "1.5"),
    "less to validate": ({"validation_split": -0.1}, ArgumentError, "-0.1"),
    "a split by name": ({"validation_split": "half"}, ArgumentError, "'half'"),
    "nothing left to train on": ({"validation_split": 0.99}, ArgumentError, "leaves no rows to train on"),
    "nothing to validate on": (
        {"validation_split": 0.01, "x": X[:1], "y": Y[:1]},
        ArgumentError,
        "leaves no rows to train on. Received: 1 rows",
    ),
    "frequency": ({"validation_freq": 0}, ArgumentError, "`validation_freq`"),
    "frequencies": ({"validation_freq": ["first"]}, ArgumentError, "`validation_freq`"),
    "verbose": ({"verbose": 3}, ArgumentError, "`verbose` must be 'auto', 0, 1 or 2. Received: 3"),
    "verbose by name": ({"verbose": "loud"}, ArgumentError, "'loud'"),
    "shuffle": ({"shuffle": "batch"}, ArgumentError, "`shuffle`"),
    # callbacks and validation data
    "a callback class": ({"callbacks": [layers.Dense]}, ArgumentError, "add parentheses"),
    "no callback": ({"callbacks": [print]}, ArgumentError, "Callback objects"),
    "validation data of one": ({"validation_data": (X,)}, ArgumentError, r"\(x, y\).*a tuple of 1 items"),
    "validation data alone": ({"validation_data": X}, ArgumentError, "a ndarray"),
    "validation shapes": (
        {"validation_data": (np.ones((3, 5)), Y[:3])},
        ShapeError,
        "validation x: expected",
    ),
    "validation values": ({"validation_data": (X, Y * np.nan)}, DataError, "validation y: .*NaN"),
}


@pytest.mark.parametrize("case", BAD_FITS)
@pytest.mark.parametrize("built", [True, False], ids=["built", "waiting"])
def test_fit_refuses(case, built):
    change, error, words = BAD_FITS[case]
    model = regressor() if built else Sequential([Dense(4, "tanh"), Dense(1)])
    model.compile("adam", "mse")
    before = model.get_weights() if built else None
    arguments = {"x": X, "y": Y, "verbose": 0, **change}
    if built or not case.startswith(("too wide", "one row", "a number", "more axes", "an empty")):
        with pytest.raises(error, match=words):
            model.fit(**arguments)
    else:  # nothing says yet that these are wrong, except for the targets
        with pytest.raises(FastnnError):
            model.fit(**{**arguments, "y": Y[:-1]})
    if built:
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    loss = model.fit(X, Y, epochs=2, verbose=0).history["loss"]
    assert len(loss) == 2
    assert np.isfinite(loss).all()


GOOD_INPUTS = {
    "float32": X.astype("f4"),
    "float64": X,
    "float16": X.astype("f2"),
    "extended precision": X.astype(np.longdouble),
    "big-endian": X.astype(">f8"),
    "big-endian float32": X.astype(">f4"),
    "Fortran order": np.asfortranarray(X),
    "every second row": np.repeat(X, 2, axis=0)[::2],
    "every second column": np.repeat(X, 2, axis=1)[:, ::2],
    "backwards": X[::-1].copy()[::-1],
    "columns backwards": X[:, ::-1].copy()[:, ::-1],
    "lists": X.tolist(),
    "tuples": tuple(map(tuple, X.tolist())),
    "a list of arrays": list(X),
    "in a list": [X],
    "a matrix": X.view(type("Sub", (np.ndarray,), {})),
    "objects that are numbers": X.astype(object),
    "an axis of one": X[:, :, None],
    "a frame": pd.DataFrame(X),
    "a frame of Float64": pd.DataFrame(X).astype("Float64"),
    "a frame of two dtypes": pd.DataFrame(X).astype({0: "Float64"}),
    "a frame of objects": pd.DataFrame(X, dtype=object),
    "no mask": np.ma.masked_invalid(X),
    "fields": np.ascontiguousarray(X).view([("a", "f8"), ("b", "f8")]).view("f8").reshape(-1, 2),
}


@pytest.mark.parametrize("name", GOOD_INPUTS)
def test_every_form_of_the_same_numbers_gives_the_same(name):
    data = GOOD_INPUTS[name]
    loose = {"rtol": 5e-3, "atol": 5e-3} if name == "float16" else {"rtol": 2e-5, "atol": 2e-6}
    model = regressor()
    np.testing.assert_allclose(model.predict(data), model.predict(X), **loose)
    reference = regressor()
    reference.fit(X, Y, epochs=2, batch_size=5, verbose=0)
    model.fit(data, Y.tolist(), epochs=2, batch_size=5, verbose=0)
    for a, b in zip(model.get_weights(), reference.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, **loose)


def test_inputs_are_left_alone_and_may_be_read_only():
    x, y = X.copy(), Y.copy()
    x.setflags(write=False)
    y.setflags(write=False)
    model = regressor()
    model.fit(x, y, epochs=2, verbose=0)
    model.predict(x)
    np.testing.assert_array_equal(x, X)


def test_unaligned_numbers():
    raw = bytearray(8 * X.size + 1)
    x = np.frombuffer(raw, dtype=np.uint8)[1:].view("f8").reshape(X.shape)
    x[...] = X
    assert not x.flags.aligned
    model = regressor()
    np.testing.assert_array_equal(model.predict(x), model.predict(X))
    model.fit(x, Y, verbose=0)


def test_a_field_of_records_with_odd_strides():
    records = np.zeros(ROWS, dtype=[("x", "f8", 2), ("flag", "u1")])
    records["x"] = X
    assert records["x"].strides == (17, 8)
    model = regressor()
    np.testing.assert_array_equal(model.predict(records["x"]), model.predict(X))
    model.fit(records["x"], Y, verbose=0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64", "uint16", "uint64", "bool"])
def test_whole_numbers(dtype):
    x = (np.abs(X) * 2).astype(dtype)
    model = regressor()
    np.testing.assert_array_equal(model.predict(x), model.predict(x.astype(np.float32)))
    model.fit(x, x[:, 0], verbose=0)


@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "boolean", "bool", "int64"])
def test_nullable_whole_numbers(dtype):
    table = pd.DataFrame((np.abs(X) > 1).astype(int)).astype(dtype)
    model = regressor()
    expected = model.predict(table.to_numpy(dtype=float))
    np.testing.assert_array_equal(model.predict(table), expected)
    model.fit(table, table[0], verbose=0)


def test_bfloat16_and_torch_tensors():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = regressor()
    x = torch.tensor(X)
    np.testing.assert_array_equal(model.predict(x), model.predict(X))
    half = torch.tensor(X, dtype=torch.bfloat16)
    np.testing.assert_array_equal(model.predict(half), model.predict(half.float().numpy()))
    np.testing.assert_array_equal(model.predict(x.clone().requires_grad_()), model.predict(X))
    model.fit(x, torch.tensor(Y), verbose=0)
    with pytest.raises(DtypeError, match="complex"):
        model.predict(x.to(torch.complex64))


def test_bfloat16_arrays():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    x = X.astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(regressor().predict(x), regressor().predict(x.astype(np.float32)))


def test_dlpack_alone_is_enough():
    class Tensor:
        def __init__(self, array):
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    model = regressor()
    np.testing.assert_array_equal(model.predict(Tensor(X)), model.predict(X))


@pytest.mark.parametrize(
    ("loss", "y", "error", "words"),
    [
        (
            "sparse_categorical_crossentropy",
            np.arange(ROWS) % 3,
            DataError,
            "y: .*from 0 to 1. .*from 0 to 2",
        ),
        ("sparse_categorical_crossentropy", -np.ones(ROWS), DataError, "from -1"),
        ("sparse_categorical_crossentropy", np.full(ROWS, 0.5), DataError, "whole numbers. Received: 0.5"),
        ("sparse_categorical_crossentropy", np.eye(2)[np.arange(ROWS) % 2], ShapeError, "one-hot"),
        ("categorical_crossentropy", np.arange(ROWS) % 2, ShapeError, "sparse_categorical_crossentropy"),
        ("categorical_crossentropy", np.full((ROWS, 2), 2.0), DataError, "labels from 0 to 1. .*2.0 to 2.0"),
        ("binary_crossentropy", np.full((ROWS, 2), -1), DataError, "labels from 0 to 1"),
    ],
)
def test_labels_that_do_not_fit(loss, y, error, words):
    model = chapter()
    model.compile("adam", loss, metrics=["accuracy"])
    for method in (model.fit, model.evaluate):
        with pytest.raises(error, match=words):
            method(X, y, verbose=0)
    good = np.arange(ROWS) % 2 if loss.startswith("sparse") else np.eye(2)[np.arange(ROWS) % 2]
    model.fit(X, good, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"optimizer": "adamm"}, "optimizer.*Did you mean 'adam'"),
        ({"loss": "mean_square_error"}, "loss.*Did you mean 'mean_squared_error'"),
        ({"metrics": ["accurcy"]}, "metric.*Did you mean 'accuracy'"),
        ({"weighted_metrics": ["mea"]}, "metric.*Did you mean 'm"),
        ({"metrics": [["MSEE"]]}, "metric.*Did you mean 'mse'"),
        ({"loss": None}, "needs a loss"),
        ({"run_eagerly": True}, "run_eagerly"),
        ({"optimizer": 3}, "optimizer.*3"),
        ({"loss": 3}, "loss.*3"),
        ({"metrics": [3]}, "3"),
    ],
)
@pytest.mark.parametrize("built", [True, False], ids=["built", "waiting"])
def test_compile_refuses_and_keeps_what_it_had(arguments, words, built):
    model = regressor() if built else Sequential([Dense(1)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.compile("sgd", "mse")
        with pytest.raises(FastnnError, match=words):
            model.compile(**{"optimizer": "adam", "loss": "mae", **arguments})
    assert model.loss == "mse"
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("activation", ["softmax", layers.Softmax(), "log_softmax"])
def test_softmax_over_one_unit_is_refused(activation):
    last = Activation(activation) if isinstance(activation, str) else activation
    model = Sequential([Dense(1, input_shape=(2,)), last])
    with pytest.raises(ArgumentError, match=r"one unit.*'sigmoid'"):
        model.compile("sgd", "binary_crossentropy")
    waiting = Sequential([Dense(1, "softmax")])
    waiting.compile("sgd", "mse")
    with pytest.raises(ArgumentError, match="one unit"):
        waiting.fit(X, Y, verbose=0)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Dense(0), ArgumentError, "Dense layer.*`units` must be a positive integer. Received: 0"),
        (lambda: Dense(-3), ArgumentError, "-3"),
        (lambda: Dense(2.5), ArgumentError, "2.5"),
        (lambda: Dense(True), ArgumentError, "True"),
        (lambda: Dense(2**40), ArgumentError, r"below 2\*\*31. Received: 1099511627776"),
        (lambda: Dense(3, "rellu"), FastnnError, "activation.*Did you mean 'relu'"),
        (lambda: Dense(3, "ReLU"), FastnnError, "activation.*Did you mean 'relu'"),
        (lambda: Dense(3, LeakyReLU(0.1)), DtypeError, "layer of its own"),
        (
            lambda: Dense(3, kernel_initializer="he_norml"),
            FastnnError,
            "initializer.*Did you mean 'he_normal'",
        ),
        (lambda: Dense(3, kernel_regularizer="l3"), FastnnError, "regularizer.*Did you mean 'l"),
        (lambda: Dense(3, kernel_constraint="max_nrm"), FastnnError, "constraint.*Did you mean 'max_norm'"),
        (lambda: Dense(3, unit=3), ArgumentError, "Layer Dense has no argument 'unit'.*Did you mean 'units'"),
        (lambda: LeakyReLU(slope=0.1, name="leak"), ArgumentError, "'leak'.*Did you mean 'negative_slope'"),
        (lambda: Dense(3, name=3), ArgumentError, "`name`.*3"),
        (lambda: Dense(3, input_shape=(0,)), ShapeError, r"positive integers.*\(0,\)"),
        (lambda: Dense(3, input_shape=(None, 2)), ShapeError, "without the rows"),
        (lambda: Input(shape=(0,)), ShapeError, "positive integers"),
        (lambda: Input(shape="two"), ShapeError, "'two'"),
        (lambda: Input(shape=(2,), dtype="string"), ArgumentError, "dtype of numbers"),
        (lambda: Input(shape=(2,), batch_size=3), ArgumentError, "no argument 'batch_size'"),
        (lambda: Embedding(0, 4), ArgumentError, "`input_dim`"),
        (lambda: Embedding(4, 2**31), ArgumentError, "`output_dim`"),
        (lambda: Reshape((0, 2)), ShapeError, "target_shape"),
        (lambda: Reshape((-1, -1)), ShapeError, "target_shape"),
        (lambda: Reshape("2"), ShapeError, "target_shape"),
    ],
)
def test_layers_refuse(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Sequential([Dense]), ArgumentError, "a class: add parentheses"),
        (lambda: Sequential(["dense"]), ArgumentError, "'dense' of type str"),
        (lambda: Sequential([regressor(), Dense(1)]), ArgumentError, "call it in a functional Model"),
        (lambda: Sequential([Dense(1, name="a"), Dense(1, name="a")]), ArgumentError, "'a' twice"),
        (lambda: Sequential([Input((2,), name="a"), Dense(1, name="a")]), ArgumentError, "'a' twice"),
        (lambda: Sequential([Dense(1), Input(shape=(2,))]), ArgumentError, "an Input can only come first"),
        (lambda: Sequential([Input((2,)), Input((2,))]), ArgumentError, "an Input can only come first"),
        (lambda: Sequential([Input((6,)), Reshape((4,))]), ShapeError, "Layer 'reshape"),
        (lambda: Sequential([Input((2**20,)), Dense(2**20)]), ArgumentError, "1,099,511,627,776 elements"),
        (lambda: Sequential(dtype="float16"), ArgumentError, "`dtype` of model.*'float16'"),
        (lambda: Sequential(seed=0.5), ArgumentError, "`seed`"),
        (lambda: Sequential(name=""), ArgumentError, "`name`"),
    ],
)
def test_models_refuse(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_weights_larger_than_the_memory_are_refused_before_they_are_asked_for(monkeypatch):
    monkeypatch.setattr("fastnn.layers.variables.machine_bytes", lambda: 2**31)
    with pytest.raises(ArgumentError, match=r"4\.0 GiB: expected at most the machine's 2.0 GiB"):
        Sequential([Dense(2**15, input_shape=(2**15,))])


def test_what_must_come_first_is_said():
    model = Sequential([Dense(1)])
    for use in (lambda: model.fit(X, Y), lambda: model.evaluate(X, Y), lambda: model.train_on_batch(X, Y)):
        with pytest.raises(NotBuiltError, match="must be compiled first"):
            use()
    with pytest.raises(NotBuiltError, match="not built"):
        model.get_weights()
    assert not model.built


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: model.predict(X, batch_size=0), "`batch_size` of predict"),
        (lambda model: model.predict(X, steps=0), "`steps` of predict"),
        (lambda model: model.evaluate(X, Y, batch_size="all"), "`batch_size` of evaluate"),
        (lambda model: model.evaluate(X[:0], Y[:0]), "at least one row"),
        (lambda model: model.predict(X[:, :1]), r"expected shape \(rows, 2\)"),
        (lambda model: model.predict(None), "Received: None"),
        (lambda model: model.set_weights([]), "4 weight arrays. Received: 0"),
        (lambda model: model.set_weights([["a"], 1, 2, 3]), "must hold numbers"),
    ],
)
def test_other_methods_refuse(call, words):
    with pytest.raises(FastnnError, match=words):
        call(regressor())


def test_a_loss_that_diverges_says_where_and_leaves_finite_weights():
    model = regressor()
    model.compile("sgd", "mse")
    model.optimizer.learning_rate = 1e12
    with pytest.raises(ArithmeticError, match=r"epoch.*learning rate"):
        model.fit(X, Y, epochs=500, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
