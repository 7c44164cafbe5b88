"""The same models in Keras and in fastnn, to exchange files; runs in an environment with either.

    python keras_exchange.py write FOLDER     # with Keras: write each case's files, inputs and outputs
    python keras_exchange.py check FOLDER     # with Keras: open files in FOLDER, compare outputs; prints JSON

The cases are written once: both packages have the same names.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

ACTIVATIONS = (
    "celu elu exponential gelu hard_sigmoid hard_tanh leaky_relu linear log_sigmoid log_softmax mish relu "
    "relu6 selu sigmoid silu softmax softplus softsign tanh swish"
).split()
INITIALIZERS = (
    "Zeros Ones Identity RandomNormal TruncatedNormal RandomUniform GlorotNormal GlorotUniform HeNormal "
    "HeUniform LecunNormal LecunUniform Orthogonal VarianceScaling"
).split()


def dense(lib):
    layers = lib.layers
    model = lib.Sequential(
        [
            lib.Input((5,)),
            layers.Dense(
                6,
                "relu",
                kernel_regularizer=lib.regularizers.L1L2(0.01, 0.02),
                bias_regularizer="l2",
                activity_regularizer=lib.regularizers.L1(0.125),
                kernel_constraint=lib.constraints.MaxNorm(3.0),
                bias_constraint="non_neg",
            ),
            layers.Dense(4, use_bias=False, kernel_constraint=lib.constraints.MinMaxNorm(0.1, 2.0, 0.5)),
            layers.Activation("tanh"),
            layers.Dense(3, "softmax", kernel_constraint=lib.constraints.UnitNorm(axis=0)),
        ],
        name="dense_net",
    )
    model.layers[1].trainable = False
    schedule = lib.optimizers.schedules.CosineDecay(0.01, 100, warmup_target=0.1, warmup_steps=10)
    model.compile(
        lib.optimizers.AdamW(schedule, weight_decay=0.01, clipnorm=1.0, use_ema=True),
        lib.losses.CategoricalCrossentropy(label_smoothing=0.1),
        loss_weights=[2.0],
        metrics=[
            "accuracy",
            lib.metrics.Precision(thresholds=0.4, name="p"),
            lib.metrics.TopKCategoricalAccuracy(k=2),
        ],
    )
    return model, [(5,)]


def activations(lib):
    layers = lib.layers
    x = lib.Input((6,), name="x")
    parts = [layers.Dense(2, name, name=f"dense_{name}")(x) for name in ACTIVATIONS]
    made = [
        layers.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2),
        layers.LeakyReLU(0.05),
        layers.PReLU(),
        layers.ELU(0.7),
        layers.Softmax(),
    ]
    parts += [layer(x) for layer in made]
    return lib.Model(x, layers.Concatenate()(parts)), [(6,)]


def normalization(lib):
    layers = lib.layers
    scaled = layers.Normalization()
    scaled.adapt(np.random.default_rng(0).normal(3.0, 2.0, (100, 5)).astype("float32"))
    model = lib.Sequential(
        [
            lib.Input((5,)),
            scaled,
            layers.Dense(4),
            layers.BatchNormalization(momentum=0.9, epsilon=0.01),
            layers.ReLU(),
            layers.Dropout(0.3, seed=3),
            layers.BatchNormalization(center=False),
            layers.LayerNormalization(epsilon=1e-5),
            layers.GaussianNoise(0.1),
            layers.AlphaDropout(0.1),
            layers.LayerNormalization(scale=False),
            layers.ActivityRegularization(0.1, 0.2),
            layers.Dense(1),
        ]
    )
    model.compile(
        lib.optimizers.SGD(0.125, momentum=0.9, nesterov=True, gradient_accumulation_steps=2),
        "mse",
        metrics=["mae", lib.metrics.RootMeanSquaredError(), lib.metrics.R2Score()],
    )
    return model, [(5,)]


def graph(lib):
    layers = lib.layers
    wide, city, spare = (
        lib.Input((4,), name="wide"),
        lib.Input((2,), dtype="int32", name="city"),
        lib.Input((4,), name="spare"),
    )
    looked_up = layers.Flatten()(layers.Embedding(7, 2, name="cities")(city))
    scaled = layers.Normalization(mean=[1.0, 2.0, 3.0, 4.0], variance=[1.0, 4.0, 9.0, 16.0])(wide)
    deep = layers.Dense(4, "relu", name="z_first")(layers.Dense(4, "tanh", name="y_second")(scaled))
    shared = layers.Dense(4, name="shared")
    a, b, c = shared(deep), shared(looked_up), shared(layers.Add()([scaled, spare]))
    merged = layers.Concatenate()(
        [
            layers.Add()([a, b, c]),
            layers.Subtract()([a, b]),
            layers.Multiply()([a, c]),
            layers.Average()([b, c]),
            layers.Maximum()([a, b]),
            layers.Flatten()(layers.Reshape((2, -1))(a)),
        ]
    )
    price = layers.Dense(1, name="price")(merged)
    risk = layers.Dense(2, "sigmoid", name="risk")(layers.Dense(3)(a))
    model = lib.Model({"wide": wide, "city": city, "spare": spare}, [price, risk], name="graph")
    model.compile("rmsprop", loss=[lib.losses.Huber(), "binary_crossentropy"], loss_weights=[1.0, 0.5])
    return model, [(4,), "city", (4,)]


def initializers(lib):
    layers = lib.layers
    model = lib.Sequential(
        [
            lib.Input((4,)),
            *(layers.Dense(4, kernel_initializer=getattr(lib.initializers, name)()) for name in INITIALIZERS),
            layers.Dense(4, bias_initializer=lib.initializers.Constant(0.25)),
        ]
    )
    schedule = lib.optimizers.schedules.PiecewiseConstantDecay([10, 20], [0.1, 0.01, 0.001])
    model.compile(lib.optimizers.Nadam(schedule), lib.losses.LogCosh())
    return model, [(4,)]


def double(lib):
    layers = lib.layers
    if lib.__name__ == "keras":
        options = {"dtype": "float64"}
        stack = [
            layers.Dense(4, "gelu", **options),
            layers.Dense(4, "tanh", **options),
            layers.Dense(1, **options),
        ]
        return lib.Sequential([lib.Input((3,), **options), *stack]), [(3,)]
    stack = [layers.Dense(4, "gelu"), layers.Dense(4, "tanh"), layers.Dense(1)]
    return lib.Sequential([lib.Input((3,)), *stack], dtype="float64"), [(3,)]


CASES = {f.__name__: f for f in (dense, activations, normalization, graph, initializers, double)}


def ours(lib):
    """Layers that fastnn has and Keras writes as activations; made by fastnn only."""
    layers = lib.layers
    names = (
        "Linear SELU SiLU Mish Softplus Softsign Tanh Sigmoid HardSigmoid HardTanh LogSigmoid Swish".split()
    )
    stack = [getattr(layers, name)() for name in (*names, "GELU", "CELU", "Exponential", "LogSoftmax")]
    model = lib.Sequential([layers.Dense(5, "logistic", input_shape=(4,)), *stack, layers.Dense(2)])
    model.compile(lib.optimizers.Lion(0.01), lib.losses.Hinge(), metrics=["binary_accuracy"])
    return model, [(4,)]


def data(shapes, rows=9):
    """Return inputs for a case."""
    rng = np.random.default_rng(5)
    return [
        rng.integers(0, 7, (rows, 2)).astype("int32")
        if shape == "city"
        else rng.normal(size=(rows, *shape))
        .astype("float32")
        .astype("float64")  # Keras reads them in float32
        for shape in shapes
    ]


def randomise(model):
    """Give every weight another value, variances positive ones."""
    rng = np.random.default_rng(11)
    for layer in model.layers:
        if type(layer).__name__ == "Normalization":  # Keras would go on with the old values
            continue
        for variable in layer.weights:
            low = 0.5 if "variance" in variable.name else -1.0
            variable.assign(rng.uniform(low, 1.5, variable.shape))


def predict(model, inputs):
    """Return the outputs, as a list of arrays."""
    if len(inputs) > 1:
        inputs = dict(zip(("wide", "city", "spare"), inputs, strict=True))
        outputs = model.predict(inputs, verbose=0)
    else:
        outputs = model.predict(inputs[0], verbose=0)
    return [np.asarray(o) for o in (outputs if isinstance(outputs, list) else [outputs])]


def error(output, expected):
    """Return the largest difference, relative to the largest output above 1."""
    return float(np.max(np.abs(output - expected)) / max(1.0, np.max(np.abs(expected))))


def write(folder, lib):
    """Write each case's files and outputs."""
    recorded = {}
    for name, case in CASES.items():
        model, shapes = case(lib)
        randomise(model)
        model.save(folder / f"{name}.keras")
        if name in ("normalization", "graph"):
            model.save_weights(folder / f"{name}.weights.h5")
        for number, output in enumerate(predict(model, data(shapes))):
            recorded[f"{name}/{number}"] = output
    np.savez(folder / "outputs.npz", **recorded)


def check(folder, keras):
    """Open what fastnn wrote; return for each case the largest error and what was compiled."""
    found = {}
    expected = np.load(folder / "outputs.npz")
    for path in sorted(folder.glob("*.keras")):
        name = path.stem
        shapes = CASES[name](keras)[1] if name in CASES else [(4,)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
            model = keras.models.load_model(path)
        models = [model]
        if (folder / f"{name}.weights.h5").exists() and name in CASES:
            models.append(CASES[name](keras)[0])
            models[-1].load_weights(folder / f"{name}.weights.h5")
        errors = [
            error(output, expected[f"{name}/{number}"])
            for one in models
            for number, output in enumerate(predict(one, data(shapes)))
        ]
        optimizer = getattr(model, "optimizer", None)
        found[name] = {
            "errors": errors,
            "optimizer": None if optimizer is None else optimizer.get_config(),
            "trainable": [layer.trainable for layer in model.layers],
        }
    return found


if __name__ == "__main__":
    import keras

    where = Path(sys.argv[2])
    if sys.argv[1] == "write":
        write(where, keras)
    else:
        print(json.dumps(check(where, keras), default=str))
