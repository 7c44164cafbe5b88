"""The layers: configuration, shapes, arguments and their errors."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest
from layer_tracing import ROW, emitted

from fastnn import layers
from fastnn.errors import ArgumentError, DtypeError, UnknownNameError
from fastnn.layers import LAYERS, Input, Layer, deserialize, serialize
from fastnn.ops.registry import Spec

SIMPLE = {
    "Linear": None, "SELU": "selu", "SiLU": "silu", "Mish": "mish", "Softplus": "softplus",
    "Softsign": "softsign", "Tanh": "tanh", "Sigmoid": "sigmoid", "HardSigmoid": "hard_sigmoid",
    "HardTanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid", "Exponential": "exponential",
}  # fmt: skip
# Class, arguments other than the defaults, input specs, shape of the output, number of parameters.
CASES = [
    ("InputLayer", {"shape": (3,), "dtype": "int32"}, [], (3,), 0),
    ("Dense", {"units": 2, "activation": "relu", "kernel_regularizer": "l2"}, [ROW], (2,), 8),
    ("Dense", {"units": 2, "kernel_constraint": "non_neg", "use_bias": False}, [Spec((4, 3))], (4, 2), 6),
    ("Activation", {"activation": "swish"}, [ROW], (3,), 0),
    ("Flatten", {}, [Spec((4, 3))], (12,), 0),
    ("Reshape", {"target_shape": (3, -1)}, [Spec((12,))], (3, 4), 0),
    ("Embedding", {"input_dim": 5, "output_dim": 2}, [Spec((3,), kind="int")], (3, 2), 10),
    ("ReLU", {"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.5}, [ROW], (3,), 0),
    ("LeakyReLU", {"negative_slope": 0.2}, [Spec((4, 3))], (4, 3), 0),
    ("PReLU", {"alpha_initializer": "ones", "alpha_regularizer": "l1"}, [Spec((4, 3))], (4, 3), 12),
    ("ELU", {"alpha": 0.5}, [ROW], (3,), 0),
    ("CELU", {"alpha": 0.5}, [ROW], (3,), 0),
    ("GELU", {"approximate": True}, [ROW], (3,), 0),
    ("Softmax", {"axis": 1}, [ROW], (3,), 0),
    ("LogSoftmax", {"axis": 2}, [Spec((4, 3))], (4, 3), 0),
    *[(name, {}, [Spec((4, 3))], (4, 3), 0) for name in SIMPLE],
    ("Dropout", {"rate": 0.5, "seed": 7}, [ROW], (3,), 0),
    ("AlphaDropout", {"rate": 0.1}, [ROW], (3,), 0),
    ("GaussianNoise", {"stddev": 2.0, "seed": 1}, [ROW], (3,), 0),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.2}, [ROW], (3,), 0),
    ("BatchNormalization", {"momentum": 0.9, "gamma_regularizer": "l2"}, [ROW], (3,), 12),
    ("BatchNormalization", {"scale": False, "epsilon": 1e-5}, [ROW], (3,), 9),
    ("LayerNormalization", {"center": False, "gamma_initializer": "he_normal"}, [Spec((4, 3))], (4, 3), 3),
    ("Normalization", {"mean": [1.0, 2.0, 3.0], "variance": 4.0}, [ROW], (3,), 6),
    ("Normalization", {}, [Spec((4, 3))], (4, 3), 6),
    ("Add", {}, [ROW, ROW, ROW], (3,), 0),
    ("Subtract", {"name": "difference"}, [ROW, ROW], (3,), 0),
    ("Multiply", {}, [ROW, ROW], (3,), 0),
    ("Average", {}, [ROW, ROW], (3,), 0),
    ("Maximum", {}, [ROW, ROW], (3,), 0),
    ("Concatenate", {"axis": 1}, [ROW, Spec((5,)), ROW], (11,), 0),
]
every_case = pytest.mark.parametrize(
    ("name", "arguments", "specs", "shape", "parameters"),
    CASES,
    ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)],
)
# Arguments, order and defaults, transcribed from Keras 3.
NORM = "center=True scale=True beta_initializer='zeros' gamma_initializer='ones'"
REST = "beta_regularizer=None gamma_regularizer=None beta_constraint=None gamma_constraint=None"
KERAS = {
    "Dropout": "rate noise_shape=None seed=None",
    "AlphaDropout": "rate noise_shape=None seed=None",
    "GaussianNoise": "stddev seed=None",
    "ActivityRegularization": "l1=0.0 l2=0.0",
    "BatchNormalization": f"axis=-1 momentum=0.99 epsilon=0.001 {NORM} moving_mean_initializer='zeros' "
    f"moving_variance_initializer='ones' {REST} synchronized=False",
    "LayerNormalization": f"axis=-1 epsilon=0.001 {NORM} {REST}",
    "Normalization": "axis=-1 mean=None variance=None invert=False",
    "ReLU": "max_value=None negative_slope=0.0 threshold=0.0",
    "LeakyReLU": "negative_slope=0.3",
    "PReLU": "alpha_initializer='zeros' alpha_regularizer=None alpha_constraint=None shared_axes=None",
    "ELU": "alpha=1.0",
    "Softmax": "axis=-1",
    "Concatenate": "axis=-1",
}


# --------------------------------------------------------------------------- configuration
def test_every_layer_has_a_case():
    assert {case[0] for case in CASES} | {"Swish"} == set(LAYERS)
    classes = {c for c in vars(layers).values() if isinstance(c, type) and issubclass(c, Layer)} - {Layer}
    assert set(LAYERS.values()) == classes
    assert set(layers.__all__) >= {cls.__name__ for cls in classes}


@every_case
def test_round_trip(name, arguments, specs, shape, parameters):
    layer = LAYERS[name](trainable=False, **arguments)
    description = json.loads(json.dumps(serialize(layer)))
    copy = deserialize(description)
    assert type(copy) is type(layer)
    assert serialize(copy) == serialize(layer) == description
    assert (copy.name, copy.trainable) == (layer.name, False)
    plain = (str, int, float, bool, type(None))
    for argument, value in arguments.items():
        if argument in description["config"] and isinstance(value, plain) and "regular" not in argument:
            found = description["config"][argument]
            assert found == value or (
                isinstance(found, dict) and found["class_name"].lower() in value.replace("_", "")
            )
    for training in (False, True):
        if specs:
            assert emitted(layer, specs, training) == emitted(copy, specs, training)


@every_case
def test_shapes_and_parameters(name, arguments, specs, shape, parameters):
    layer = LAYERS[name](**arguments)
    if specs:
        kind = specs[0].kind if name in ("Flatten", "Reshape", "Concatenate") else "float"
        assert layer.infer(specs) == Spec(shape, kind=kind)
    else:
        assert layer.output_spec == Spec(shape, kind="int")
    assert layer.count_params() == parameters
    names = [variable.path for variable in layer.variables]
    assert len(set(names)) == len(names)
    assert all(path.startswith(f"{layer.name}/") for path in names)


@pytest.mark.parametrize("name", KERAS)
def test_arguments_and_defaults_are_keras(name):
    parameters = list(inspect.signature(LAYERS[name]).parameters.values())
    found = [
        p.name if p.default is p.empty else f"{p.name}={p.default!r}"
        for p in parameters
        if p.kind != p.VAR_KEYWORD
    ]
    assert " ".join(found) == KERAS[name]


def test_unknown_names_and_arguments():
    with pytest.raises(UnknownNameError, match="Did you mean 'Dropout'"):
        deserialize({"class_name": "DropOut", "config": {"rate": 0.5}})
    with pytest.raises(ArgumentError, match=r"does not fit layer class 'Dropout'.*rat"):
        deserialize({"class_name": "Dropout", "config": {"rat": 0.5}})
    with pytest.raises(ArgumentError, match="rate"):
        deserialize({"class_name": "Dropout", "config": {"rate": 2.0}})
    for wrong in ("Dropout", None, {"config": {}}, {"class_name": "Dropout", "config": 3}):
        with pytest.raises(DtypeError, match="'class_name' and 'config'"):
            deserialize(wrong)
    with pytest.raises(DtypeError, match="Expected a layer object"):
        serialize(layers.Dropout)
    with pytest.raises(UnknownNameError, match="Did you mean 'relu'"):
        layers.Activation("rellu")
    with pytest.raises(UnknownNameError, match="Did you mean 'softmax'"):
        layers.Dense(2, activation="sofmax")


def test_custom_layers():
    class Double(layers.Tanh):
        pass

    description = serialize(Double(name="mine"))
    with pytest.raises(UnknownNameError, match="'Double'"):
        deserialize(description)
    assert isinstance(deserialize(description, custom_objects={"Double": Double}), Double)


def test_import_brings_no_compiler():
    unwanted = {"numba", "pandas", "sklearn", "matplotlib"}
    code = f"import sys, fastnn.layers; print({unwanted} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


# --------------------------------------------------------------------------- activations
@pytest.mark.parametrize("name", SIMPLE)
def test_simple_activations(name):
    expected = [] if SIMPLE[name] is None else [(SIMPLE[name], {})]
    assert emitted(LAYERS[name](), [ROW]) == expected
    assert layers.Swish is layers.SiLU


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.ReLU(max_value=-1.0), "max_value"),
        (lambda: layers.ReLU(negative_slope=-0.1), "negative_slope"),
        (lambda: layers.ReLU(threshold=float("nan")), "threshold"),
        (lambda: layers.LeakyReLU(None), "negative_slope"),
        (lambda: layers.ELU(-1.0), "alpha"),
        (lambda: layers.CELU(0.0), "alpha"),
        (lambda: layers.GELU("tanh"), "approximate"),
        (lambda: layers.PReLU(shared_axes=[1]), "shared_axes.*not implemented"),
        (lambda: layers.Softmax(axis=0), "last axis only"),
        (lambda: layers.Softmax(axis=(1, 2)), "last axis only"),
        (lambda: layers.Softmax(axis=2).infer([ROW]), r"axis=1 for rows of shape \(3,\)"),
        (lambda: layers.Concatenate(axis=-2), "last axis only"),
        (lambda: layers.Concatenate(axis=1)([Input((4, 3)), Input((4, 3))]), "last axis only"),
        *[
            (lambda rate=rate: layers.Dropout(rate), "rate")
            for rate in (1.0, -0.1, float("nan"), "0.5", None, True)
        ],
        (lambda: layers.AlphaDropout(1.5), "rate"),
        (lambda: layers.Dropout(0.5, (None, 1)), "noise_shape.*not implemented"),
        (lambda: layers.Dropout(0.5, seed=1.5), "seed"),
        (lambda: layers.GaussianNoise(-1.0), "stddev"),
        (lambda: layers.ActivityRegularization(l1=-1.0), "l1"),
        (lambda: layers.BatchNormalization(axis=0), "last axis only"),
        (lambda: layers.BatchNormalization(momentum=1.5), "momentum"),
        (lambda: layers.BatchNormalization(epsilon=0.0), "epsilon"),
        (lambda: layers.BatchNormalization(center=1), "center"),
        (lambda: layers.BatchNormalization(synchronized=True), "synchronized.*not implemented"),
        (lambda: layers.LayerNormalization(axis=1).infer([Spec((4, 3))]), "axis=2"),
        (lambda: layers.Normalization(axis=None), "axis=None is not implemented"),
        (lambda: layers.Normalization(mean=1.0), "both `mean` and `variance`"),
        (lambda: layers.Normalization(mean=1.0, variance=-1.0), "at least 0"),
        (lambda: layers.Normalization(mean="a", variance=1.0), "`mean` must be a finite number"),
        (lambda: layers.Normalization(invert=True), "`invert` is not implemented"),
        (lambda: layers.Normalization(mean=0.0, variance=1.0).adapt([[1.0]]), "cannot adapt"),
    ],
)
def test_arguments_out_of_range(make, words):
    with pytest.raises(ArgumentError, match=words):
        make()
