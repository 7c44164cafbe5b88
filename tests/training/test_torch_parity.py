"""Ten steps of training in float64 agree with PyTorch to 1e-9: optimizers, losses, activations, layers.

Both start from the same weights and see the same batches, the last one partial. PyTorch computes the
gradients with its own autograd; where its convention differs from Keras' (an epsilon outside the root,
say), the difference is written down beside the case.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastnn import Input, Model, Sequential, activations, layers, losses, optimizers, regularizers

torch = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
F = torch.nn.functional

ROWS, BATCH, EPOCHS = 23, 5, 2  # five steps an epoch, the last of three rows
TOLERANCE = 1e-9
NARROW, WIDE = 5, 20  # units: (units, rows) blocks and row-major blocks


@pytest.fixture(autouse=True)
def _float64():
    """PyTorch keeps some of its scalars in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def data(columns=4, targets=2, kind="normal", seed=0):
    """Return inputs and targets of a kind."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((ROWS, columns))
    if kind == "onehot":
        y = np.eye(targets)[rng.integers(targets, size=ROWS)]
    elif kind == "index":
        y = rng.integers(targets, size=ROWS)
    elif kind == "binary":
        y = (rng.random((ROWS, targets)) < 0.5).astype(float)
    elif kind == "distribution":
        y = rng.dirichlet(np.ones(targets), size=ROWS)
    elif kind == "counts":
        y = rng.poisson(2.0, size=(ROWS, targets)).astype(float)
    elif kind == "positive":
        y = rng.random((ROWS, targets)) + 0.5
    else:
        y = rng.standard_normal((ROWS, targets))
    return x, y


def as_tensor(array):
    return None if array is None else torch.from_numpy(np.array(array))


def network(hidden=NARROW, outputs=2, activation="tanh", last=None, **options):
    """Return a network of two dense layers with random biases."""
    model = Sequential(
        [
            layers.Dense(hidden, activation=activation, input_shape=(4,), **options),
            layers.Dense(outputs, activation=last),
        ],
        seed=3,
        dtype="float64",
    )
    spread_biases(model)
    return model


def spread_biases(model):
    """Draw the biases too, which start at zero."""
    rng = np.random.default_rng(11)
    for variable in model.trainable_variables:
        if variable.name == "bias":
            variable.assign(0.3 * rng.standard_normal(variable.shape))


def two_layers(activation=torch.tanh, last=None):
    """Return the forward pass of `network` in PyTorch."""

    def forward(p, x):
        y = activation(x @ p[0] + p[1]) @ p[2] + p[3]
        return y if last is None else last(y)

    return forward


def train_torch(
    weights, forward, make_optimizer, loss, x, y, *, weight=None, each_step=None, every=1, after=None
):
    """Train in PyTorch; returns the weights and the loss of each epoch.

    `loss(output, y, weight, parameters)` is a batch's loss; `each_step(t, parameters, optimizer)` is
    called with the gradients in place; an update is taken every so many batches.
    """
    parameters = [torch.tensor(w, requires_grad=True) for w in weights]
    optimizer = make_optimizer(parameters)
    history, step = [], 0
    for _ in range(EPOCHS):
        total = 0.0
        for start in range(0, ROWS, BATCH):
            rows = slice(start, min(start + BATCH, ROWS))
            xb = [part[rows] for part in x] if isinstance(x, list) else x[rows]
            yb = [part[rows] for part in y] if isinstance(y, list) else y[rows]
            value = loss(forward(parameters, xb), yb, None if weight is None else weight[rows], parameters)
            (value / every).backward()
            total += value.item() * (rows.stop - rows.start)
            step += 1
            if step % every == 0:
                if each_step is not None:
                    each_step(step // every, parameters, optimizer)
                optimizer.step()
                optimizer.zero_grad()
                if after is not None:
                    after(parameters)
        history.append(total / ROWS)
    return [p.detach().numpy() for p in parameters], history


def mean(function):
    """Turn a function that gives one value a row into a batch's loss with weights."""

    def loss(output, y, weight, parameters):
        values = function(output, y)
        return (values if weight is None else values * weight).mean()

    return loss


mse_rows = mean(lambda p, y: ((p - y) ** 2).mean(1))


def assert_agrees(model, history, expected, expected_history):
    for variable, value, wanted in zip(model.weights, model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE, err_msg=variable.path)
    np.testing.assert_allclose(history.history["loss"], expected_history, rtol=0, atol=TOLERANCE)


def compare(model, forward, make_optimizer, loss, x, y, ours, our_loss, *, sample_weight=None, **options):
    """Train `model` and its twin in PyTorch and compare weights and losses."""
    model.compile(ours, our_loss)
    weights = model.get_weights()
    history = model.fit(
        x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, sample_weight=sample_weight
    )
    x, y = ([as_tensor(part) for part in z] if isinstance(z, list) else as_tensor(z) for z in (x, y))
    options.setdefault("weight", as_tensor(sample_weight))
    expected, expected_history = train_torch(weights, forward, make_optimizer, loss, x, y, **options)
    moved = max(np.abs(a - b).max() for a, b in zip(weights, model.get_weights(), strict=True))
    assert moved > 1e-4, "nothing was learned, so nothing was compared"
    assert_agrees(model, history, expected, expected_history)


def plain_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


# ------------------------------------------------------------------------------------------ optimizers
def bias_corrected(epsilon, beta_2):
    """Set PyTorch's Adam epsilon, outside the bias correction, to what Keras' inside it amounts to."""

    def each_step(t, parameters, optimizer):
        optimizer.param_groups[0]["eps"] = epsilon / np.sqrt(1.0 - beta_2**t)

    return each_step


TINY = 1e-40  # where epsilon stands elsewhere in PyTorch's equation: none to speak of, in both
O, T = optimizers, torch.optim
OPTIMIZERS = {
    "sgd": (O.SGD(0.1), lambda p: T.SGD(p, lr=0.1)),
    "momentum": (O.SGD(0.1, momentum=0.9), lambda p: T.SGD(p, lr=0.1, momentum=0.9)),
    "nesterov": (O.SGD(0.1, 0.9, nesterov=True), lambda p: T.SGD(p, lr=0.1, momentum=0.9, nesterov=True)),
    "rmsprop": (O.RMSprop(0.01, epsilon=TINY), lambda p: T.RMSprop(p, lr=0.01, alpha=0.9, eps=0)),
    "rmsprop without epsilon": (
        O.RMSprop(0.01, epsilon=0),
        lambda p: T.RMSprop(p, lr=0.01, alpha=0.9, eps=0),
    ),
    "rmsprop momentum": (
        O.RMSprop(0.01, rho=0.8, momentum=0.7, epsilon=TINY),
        lambda p: T.RMSprop(p, lr=0.01, alpha=0.8, momentum=0.7, eps=0),
    ),
    "rmsprop centered": (
        O.RMSprop(0.01, epsilon=TINY, centered=True),
        lambda p: T.RMSprop(p, lr=0.01, alpha=0.9, centered=True, eps=0),
    ),
    "rmsprop centered momentum": (
        O.RMSprop(0.01, momentum=0.7, epsilon=TINY, centered=True),
        lambda p: T.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.7, centered=True, eps=0),
    ),
    "adagrad": (
        O.Adagrad(0.1, epsilon=TINY),
        lambda p: T.Adagrad(p, lr=0.1, initial_accumulator_value=0.1, eps=0),
    ),
    "adadelta": (O.Adadelta(1.0, epsilon=1e-6), lambda p: T.Adadelta(p, lr=1.0, rho=0.95, eps=1e-6)),
    "adam": (O.Adam(0.01, epsilon=TINY), lambda p: T.Adam(p, lr=0.01, eps=TINY)),
    "adam epsilon": (
        O.Adam(0.01, beta_2=0.99, epsilon=1e-2),
        lambda p: T.Adam(p, lr=0.01, betas=(0.9, 0.99)),
        bias_corrected(1e-2, 0.99),
    ),
    "amsgrad": (
        O.Adam(0.01, beta_2=0.9, epsilon=1e-7, amsgrad=True),
        lambda p: T.Adam(p, lr=0.01, betas=(0.9, 0.9), amsgrad=True),
        bias_corrected(1e-7, 0.9),
    ),
    "adamw": (
        O.AdamW(0.01, weight_decay=0.3),
        lambda p: T.AdamW(p, lr=0.01, weight_decay=0.3),
        bias_corrected(1e-7, 0.999),
    ),
    "adamw amsgrad": (
        O.AdamW(0.01, weight_decay=0.3, amsgrad=True),
        lambda p: T.AdamW(p, lr=0.01, weight_decay=0.3, amsgrad=True),
        bias_corrected(1e-7, 0.999),
    ),
    "adam weight decay": (
        O.Adam(0.01, weight_decay=0.3),
        lambda p: T.AdamW(p, lr=0.01, weight_decay=0.3),
        bias_corrected(1e-7, 0.999),
    ),
    "adamax": (O.Adamax(0.01, epsilon=TINY), lambda p: T.Adamax(p, lr=0.01, eps=TINY)),
    "nadam": (O.Nadam(0.01), lambda p: T.NAdam(p, lr=0.01, eps=1e-7, momentum_decay=1.0)),
    "nadam weight decay": (
        O.Nadam(0.01, weight_decay=0.3),
        lambda p: T.NAdam(
            p, lr=0.01, eps=1e-7, momentum_decay=1.0, weight_decay=0.3, decoupled_weight_decay=True
        ),
    ),
    "radam": (O.RAdam(0.01), lambda p: T.RAdam(p, lr=0.01, eps=1e-7)),
    "radam weight decay": (
        O.RAdam(0.01, weight_decay=0.3),
        lambda p: T.RAdam(p, lr=0.01, eps=1e-7, weight_decay=0.3, decoupled_weight_decay=True),
    ),
}


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
@pytest.mark.parametrize("case", OPTIMIZERS)
def test_optimizer(case, hidden):
    ours, theirs, *each_step = OPTIMIZERS[case]
    x, y = data()
    each_step = each_step[0] if each_step else None
    compare(network(hidden), two_layers(), theirs, mse_rows, x, y, ours, "mse", each_step=each_step)


def test_learning_rate_schedule_counts_steps():
    x, y = data()

    def each_step(t, parameters, optimizer):
        optimizer.param_groups[0]["lr"] = 0.1 * 0.8 ** (t - 1)

    ours = optimizers.SGD(lambda step: 0.1 * 0.8**step)
    compare(network(), two_layers(), plain_sgd, mse_rows, x, y, ours, "mse", each_step=each_step)


def clip_to(limit, groups):
    """Scale gradients to a norm exactly; PyTorch's function adds 1e-6 to the norm it divides by."""

    def each_step(t, parameters, optimizer):
        for group in groups(parameters):
            norm = torch.nn.utils.clip_grad_norm_(group, float("inf"))
            torch.nn.utils.clip_grad_norm_(group, limit * (1.0 + 1e-6 / norm.item()))

    return each_step


CLIPS = {
    "global_clipnorm": (0.7, clip_to(0.7, lambda parameters: [parameters])),
    "clipnorm": (0.3, clip_to(0.3, lambda parameters: [[p] for p in parameters])),
    "clipvalue": (0.05, lambda t, parameters, optimizer: torch.nn.utils.clip_grad_value_(parameters, 0.05)),
}


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
@pytest.mark.parametrize("kind", CLIPS)
def test_clipping(kind, hidden):
    limit, each_step = CLIPS[kind]
    x, y = data()
    ours = optimizers.SGD(0.1, momentum=0.5, **{kind: limit})

    def theirs(p):
        return torch.optim.SGD(p, lr=0.1, momentum=0.5)

    compare(network(hidden), two_layers(), theirs, mse_rows, x, y, ours, "mse", each_step=each_step)


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
def test_gradient_accumulation_crosses_epochs(hidden):
    x, y = data()
    ours = optimizers.SGD(0.1, momentum=0.5, gradient_accumulation_steps=2)

    def theirs(p):
        return torch.optim.SGD(p, lr=0.1, momentum=0.5)

    compare(network(hidden), two_layers(), theirs, mse_rows, x, y, ours, "mse", every=2)


def test_average_of_weights():
    x, y = data()
    averages: list = []

    def after(parameters):
        now = [p.detach().clone() for p in parameters]
        if averages:
            now = [0.9 * a + 0.1 * p for a, p in zip(averages, now, strict=True)]
        averages[:] = now

    model = network()
    model.compile(optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9), "mse")
    weights = model.get_weights()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    train_torch(weights, two_layers(), plain_sgd, mse_rows, as_tensor(x), as_tensor(y), after=after)
    for value, wanted in zip(model.get_weights(), averages, strict=True):
        np.testing.assert_allclose(value, wanted.numpy(), rtol=0, atol=TOLERANCE)


# ---------------------------------------------------------------------------------------------- losses
def softmax(z):
    return torch.softmax(z, 1)


def nll(p, y):
    return F.nll_loss(torch.log(p), y, reduction="none")


def smoothed(y, share, classes):
    return y * (1.0 - share) + share / classes


def focal(p, y, gamma):
    cross = F.binary_cross_entropy(p, y, reduction="none")
    return ((1.0 - (y * p + (1.0 - y) * (1.0 - p))) ** gamma * cross).mean(1)


def pinball(p, y):
    low, high = y - p[:, :2], y - p[:, 2:]
    parts = [torch.maximum(q * e, (q - 1.0) * e) for q, e in ((0.1, low), (0.8, high))]
    return torch.cat(parts, 1).mean(1)


def _rows(function, *arrays, **options):
    """Return PyTorch's loss of each row: the mean over its columns."""
    return function(*arrays, reduction="none", **options).mean(1)


L = losses
ROW_LOSSES = {
    # name: (loss, targets, outputs, kind of target, last activation, the same in PyTorch, one value a row)
    "mse": (L.MeanSquaredError(), 2, 2, "normal", None, lambda z, y: _rows(F.mse_loss, z, y)),
    "mae": (L.MeanAbsoluteError(), 2, 2, "normal", None, lambda z, y: _rows(F.l1_loss, z, y)),
    "huber": (
        L.Huber(0.6), 2, 2, "normal", None,
        lambda z, y: F.huber_loss(z, y, reduction="none", delta=0.6).mean(1),
    ),
    "log_cosh": (L.LogCosh(), 2, 2, "normal", None, lambda z, y: torch.log(torch.cosh(z - y)).mean(1)),
    "mape": (
        L.MeanAbsolutePercentageError(), 2, 2, "positive", None,
        lambda z, y: ((z - y).abs() / y).mean(1) * 100.0,
    ),
    "msle": (
        L.MeanSquaredLogarithmicError(), 2, 2, "positive", "softplus",
        lambda z, y: ((torch.log1p(F.softplus(z)) - torch.log1p(y)) ** 2).mean(1),
    ),
    "poisson": (
        L.Poisson(), 2, 2, "counts", "exponential",
        lambda z, y: F.poisson_nll_loss(torch.exp(z), y, log_input=False, eps=1e-7, reduction="none").mean(1),
    ),
    "gaussian_nll": (
        L.GaussianNLL(), 2, 4, "normal", None,
        lambda z, y: _rows(F.gaussian_nll_loss, z[:, :2], y, torch.exp(z[:, 2:]), eps=1e-6),
    ),
    "quantile": (L.Quantile([0.1, 0.8]), 2, 4, "normal", None, pinball),
    "cosine": (L.CosineSimilarity(), 3, 3, "normal", None, lambda z, y: -F.cosine_similarity(z, y)),
    "kl": (
        L.KLDivergence(), 3, 3, "distribution", "softmax",
        lambda z, y: F.kl_div(F.log_softmax(z, 1), y, reduction="none").sum(1),
    ),
    "bce": (
        L.BinaryCrossentropy(), 2, 2, "binary", "sigmoid",
        lambda z, y: F.binary_cross_entropy(torch.sigmoid(z), y, reduction="none").mean(1),
    ),
    "bce one unit": (
        L.BinaryCrossentropy(), 1, 1, "binary", "sigmoid",
        lambda z, y: F.binary_cross_entropy(torch.sigmoid(z), y, reduction="none").mean(1),
    ),
    "bce of a softmax": (
        L.BinaryCrossentropy(), 2, 2, "onehot", "softmax",
        lambda z, y: F.binary_cross_entropy(softmax(z), y, reduction="none").mean(1),
    ),
    "bce logits": (
        L.BinaryCrossentropy(from_logits=True), 2, 2, "binary", None,
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(1),
    ),
    "bce smoothed": (
        L.BinaryCrossentropy(label_smoothing=0.2), 2, 2, "binary", "sigmoid",
        lambda z, y: F.binary_cross_entropy_with_logits(z, smoothed(y, 0.2, 2), reduction="none").mean(1),
    ),
    "cce": (
        L.CategoricalCrossentropy(), 3, 3, "onehot", "softmax",
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
    ),
    "cce of distributions": (
        L.CategoricalCrossentropy(), 3, 3, "distribution", "softmax",
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
    ),
    "cce of sigmoids": (
        L.CategoricalCrossentropy(), 3, 3, "onehot", "sigmoid",
        lambda z, y: nll(F.normalize(torch.sigmoid(z), p=1), y.argmax(1)),
    ),
    "cce logits": (
        L.CategoricalCrossentropy(from_logits=True), 3, 3, "onehot", None,
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
    ),
    "cce smoothed": (
        L.CategoricalCrossentropy(label_smoothing=0.1), 3, 3, "onehot", "softmax",
        lambda z, y: F.cross_entropy(z, y, reduction="none", label_smoothing=0.1),
    ),
    "sparse cce": (
        L.SparseCategoricalCrossentropy(), 3, 3, "index", "softmax",
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
    ),
    "sparse cce logits": (
        L.SparseCategoricalCrossentropy(from_logits=True), 3, 3, "index", None,
        lambda z, y: F.cross_entropy(z, y, reduction="none"),
    ),
    "sparse cce of sigmoids": (
        L.SparseCategoricalCrossentropy(), 3, 3, "index", "sigmoid",
        lambda z, y: nll(F.normalize(torch.sigmoid(z), p=1), y),
    ),
    "binary focal": (
        L.BinaryFocalCrossentropy(gamma=1.5), 2, 2, "binary", "sigmoid",
        lambda z, y: focal(torch.sigmoid(z), y, 1.5),
    ),
    "categorical focal": (
        L.CategoricalFocalCrossentropy(alpha=0.5, gamma=1.5), 3, 3, "onehot", "softmax",
        lambda z, y: -(0.5 * (1.0 - softmax(z)) ** 1.5 * y * F.log_softmax(z, 1)).sum(1),
    ),
    "hinge": (
        L.Hinge(), 2, 2, "binary", None,
        lambda z, y: F.hinge_embedding_loss((2 * y - 1) * z, -torch.ones_like(z), reduction="none").mean(1),
    ),
    "squared hinge": (
        L.SquaredHinge(), 2, 2, "binary", None,
        lambda z, y: (torch.relu(1.0 - (2 * y - 1) * z) ** 2).mean(1),
    ),
    "categorical hinge": (  # of two classes with positive scores: PyTorch adds over the classes
        L.CategoricalHinge(), 2, 2, "onehot", "softplus",
        lambda z, y: 2.0 * F.multi_margin_loss(F.softplus(z), y.argmax(1), reduction="none"),
    ),
}  # fmt: skip


def test_every_loss_is_compared():
    assert {type(case[0]) for case in ROW_LOSSES.values()} == set(losses.LOSSES)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("hidden", [NARROW, WIDE])
@pytest.mark.parametrize("case", ROW_LOSSES)
def test_loss(case, hidden, weighted):
    our_loss, targets, outputs, kind, last, rows = ROW_LOSSES[case]
    x, y = data(targets=targets, kind=kind)
    weight = np.random.default_rng(2).random(ROWS) * 2.0 if weighted else None
    rate = 1e-3 if case == "mape" else 0.1
    compare(
        network(hidden, outputs, last=last), two_layers(), lambda p: torch.optim.SGD(p, lr=rate), mean(rows),
        x, y, optimizers.SGD(rate), our_loss, sample_weight=weight,
    )  # fmt: skip


def test_summed_loss():
    x, y = data(targets=3, kind="onehot")

    def loss(z, y, weight, parameters):
        return F.cross_entropy(z, y, reduction="sum")

    model = network(outputs=3, last="softmax")
    model.compile(optimizers.SGD(0.02), losses.CategoricalCrossentropy(reduction="sum"))
    weights = model.get_weights()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    expected, _ = train_torch(
        weights, two_layers(), lambda p: torch.optim.SGD(p, lr=0.02), loss, as_tensor(x), as_tensor(y)
    )
    for value, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("kind", ["onehot", "index"])
def test_class_weights(kind):
    """A row's loss times its class's weight, divided by the rows (PyTorch's mean divides by the weights)."""
    x, y = data(targets=3, kind=kind)
    weights = {0: 0.5, 2: 3.0}
    per_class = torch.tensor([0.5, 1.0, 3.0])
    model = network(outputs=3, last="softmax")
    model.compile(
        "sgd", "categorical_crossentropy" if kind == "onehot" else "sparse_categorical_crossentropy"
    )
    start = model.get_weights()
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0, class_weight=weights)

    def loss(z, y, weight, parameters):
        labels = y.argmax(1) if kind == "onehot" else y
        return F.cross_entropy(z, labels, weight=per_class, reduction="none").mean()

    expected = train_torch(
        start, two_layers(), lambda p: torch.optim.SGD(p, lr=0.01), loss, as_tensor(x), as_tensor(y)
    )
    assert_agrees(model, history, *expected)


# ----------------------------------------------------------------------------------------- activations
def celu(z, alpha):
    """`F.celu`, whose gradient divides by `alpha` in float32 only."""
    return torch.where(z > 0, z, alpha * torch.expm1(z / alpha))


ACTIVATIONS = {
    "linear": lambda z: z,
    "identity": lambda z: z,
    "relu": torch.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.2),
    "elu": F.elu,
    "selu": F.selu,
    "celu": lambda z: celu(z, 1.0),
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "swish": F.silu,
    "mish": F.mish,
    "softplus": lambda z: F.softplus(z, threshold=50),
    "softsign": F.softsign,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "logistic": torch.sigmoid,
    "hard_sigmoid": lambda z: F.relu6(z + 3.0) / 6.0,  # F.hardsigmoid's gradient is 1 / 6 in float32
    "hard_tanh": F.hardtanh,
    "log_sigmoid": F.logsigmoid,
    "exponential": torch.exp,
    "exp": torch.exp,
    "softmax": softmax,
    "log_softmax": lambda z: F.log_softmax(z, 1),
}


def test_every_activation_is_compared():
    assert set(ACTIVATIONS) == set(activations.names())


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name, hidden):
    x, y = data()
    rate = {"exp": 0.02, "exponential": 0.02, "log_softmax": 0.002}.get(name, 0.1)
    compare(
        network(hidden, activation=name), two_layers(ACTIVATIONS[name]),
        lambda p: torch.optim.SGD(p, lr=rate, momentum=0.5), mse_rows, x, y,
        optimizers.SGD(rate, momentum=0.5), "mse",
    )  # fmt: skip


def shifted_relu(z):
    return torch.where(z >= 0.3, z, 0.1 * (z - 0.3)).clamp(max=0.9)


ACTIVATION_LAYERS = {
    "relu": (lambda: layers.ReLU(max_value=0.9, negative_slope=0.1, threshold=0.3), shifted_relu),
    "leaky": (lambda: layers.LeakyReLU(0.1), lambda z: F.leaky_relu(z, 0.1)),
    "elu": (lambda: layers.ELU(0.7), lambda z: F.elu(z, 0.7)),
    "celu": (lambda: layers.CELU(0.7), lambda z: celu(z, 0.7)),
    "gelu": (lambda: layers.GELU(True), lambda z: F.gelu(z, approximate="tanh")),
    "softmax": (lambda: layers.Softmax(), softmax),
}


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
@pytest.mark.parametrize("name", ACTIVATION_LAYERS)
def test_activation_layer(name, hidden):
    make, theirs = ACTIVATION_LAYERS[name]
    x, y = data()
    model = Sequential(
        [layers.Dense(hidden, input_shape=(4,)), make(), layers.Dense(2)], seed=3, dtype="float64"
    )
    spread_biases(model)
    compare(model, two_layers(theirs), plain_sgd, mse_rows, x, y, optimizers.SGD(0.1), "mse")


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
def test_prelu(hidden):
    x, y = data()
    model = Sequential(
        [layers.Dense(hidden, input_shape=(4,)), layers.PReLU(alpha_initializer="uniform"), layers.Dense(2)],
        seed=3,
        dtype="float64",
    )
    spread_biases(model)

    def forward(p, x):
        return F.prelu(x @ p[0] + p[1], p[2]) @ p[3] + p[4]

    compare(model, forward, plain_sgd, mse_rows, x, y, optimizers.SGD(0.1), "mse")


# ---------------------------------------------------------------------------------------------- layers
@pytest.mark.parametrize("hidden", [NARROW, WIDE])
def test_batch_normalization(hidden):
    """The moving statistics too: PyTorch's momentum is 1 - ours, and its running variance is unbiased."""
    x, y = data()
    model = Sequential(
        [
            layers.Dense(hidden, input_shape=(4,)),
            layers.BatchNormalization(momentum=0.8),
            layers.Activation("tanh"),
            layers.Dense(2),
        ],
        seed=3,
        dtype="float64",
    )
    spread_biases(model)
    moving = [torch.zeros(hidden), torch.ones(hidden)]

    def forward(p, x):
        z = x @ p[0] + p[1]
        unbiased = torch.ones(hidden)
        normal = F.batch_norm(z, moving[0], unbiased, p[2], p[3], training=True, momentum=0.2, eps=1e-3)
        rows = len(x)
        batch = (unbiased - 0.8) / 0.2 * (rows - 1) / rows
        moving[1] = 0.8 * moving[1] + 0.2 * batch.detach()
        return torch.tanh(normal) @ p[6] + p[7]

    model.compile(optimizers.SGD(0.1), "mse")
    weights = model.get_weights()
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)

    def make(parameters):
        return torch.optim.SGD([p for k, p in enumerate(parameters) if k not in (4, 5)], lr=0.1)

    expected, losses_ = train_torch(weights, forward, make, mse_rows, as_tensor(x), as_tensor(y))
    expected[4:6] = [m.numpy() for m in moving]
    assert_agrees(model, history, expected, losses_)
    p = [torch.from_numpy(w) for w in expected]
    normal = F.batch_norm(as_tensor(x) @ p[0] + p[1], p[4], p[5], p[2], p[3], eps=1e-3)
    wanted = torch.tanh(normal) @ p[6] + p[7]
    np.testing.assert_allclose(model.predict(x), wanted.numpy(), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
def test_layer_normalization(hidden):
    x, y = data()
    model = Sequential(
        [
            layers.Dense(hidden, input_shape=(4,)),
            layers.LayerNormalization(),
            layers.Activation("tanh"),
            layers.Dense(2),
        ],
        seed=3,
        dtype="float64",
    )
    spread_biases(model)

    def forward(p, x):
        normal = F.layer_norm(x @ p[0] + p[1], (hidden,), p[2], p[3], eps=1e-3)
        return torch.tanh(normal) @ p[4] + p[5]

    compare(model, forward, plain_sgd, mse_rows, x, y, optimizers.SGD(0.1), "mse")


def test_embedding():
    rng = np.random.default_rng(5)
    x = rng.integers(6, size=(ROWS, 3))
    _, y = data()
    model = Sequential(
        [
            layers.Embedding(6, 4, input_shape=(3,)),
            layers.Flatten(),
            layers.Dense(7, "tanh"),
            layers.Dense(2),
        ],
        seed=3,
        dtype="float64",
    )

    def forward(p, x):
        return torch.tanh(F.embedding(x, p[0]).flatten(1) @ p[1] + p[2]) @ p[3] + p[4]

    compare(
        model, forward, lambda p: torch.optim.Adam(p, lr=0.01), mse_rows, x, y,
        optimizers.Adam(0.01), "mse", each_step=bias_corrected(1e-7, 0.999),
    )  # fmt: skip


MERGES = {
    "Add": lambda a, b: a + b,
    "Subtract": lambda a, b: a - b,
    "Multiply": lambda a, b: a * b,
    "Average": lambda a, b: (a + b) / 2.0,
    "Maximum": torch.maximum,
    "Concatenate": lambda a, b: torch.cat([a, b], 1),
}


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
@pytest.mark.parametrize("merge", MERGES)
def test_skip_connection(merge, hidden):
    x, y = data()
    inputs = Input(shape=(4,))
    first = layers.Dense(hidden, activation="tanh")(inputs)
    second = layers.Dense(hidden, activation="relu")(first)
    merged = getattr(layers, merge)()([second, first])
    model = Model(inputs, layers.Dense(2)(merged), seed=3, dtype="float64")
    spread_biases(model)

    def forward(p, x):
        a = torch.tanh(x @ p[0] + p[1])
        b = torch.relu(a @ p[2] + p[3])
        return MERGES[merge](b, a) @ p[4] + p[5]

    compare(model, forward, plain_sgd, mse_rows, x, y, optimizers.SGD(0.1), "mse")


@pytest.mark.parametrize("hidden", [NARROW, WIDE])
def test_two_inputs_and_two_outputs(hidden):
    """An output that feeds another one, two losses with weights, and sample weights."""
    x, y = data(columns=6)
    _, labels = data(targets=3, kind="onehot", seed=4)
    left, right = Input(shape=(4,), name="left"), Input(shape=(2,), name="right")
    a = layers.Dense(hidden, activation="tanh")(left)
    b = layers.Dense(hidden, activation="sigmoid")(right)
    number = layers.Dense(2, name="number")(layers.Concatenate()([a, b]))
    label = layers.Dense(3, activation="softmax", name="label")(layers.Concatenate()([number, b]))
    model = Model([left, right], [number, label], seed=3, dtype="float64")
    spread_biases(model)
    weight = np.random.default_rng(2).random(ROWS)
    model.compile(optimizers.SGD(0.1), ["mse", "categorical_crossentropy"], loss_weights=[0.3, 2.0])
    start = model.get_weights()
    history = model.fit(
        {"left": x[:, :4], "right": x[:, 4:]}, [y, labels], batch_size=BATCH, epochs=EPOCHS, shuffle=False,
        verbose=0, sample_weight={"number": weight, "label": None},
    )  # fmt: skip
    names = [variable.path for variable in model.weights]
    order = {layer.name: 2 * k for k, layer in enumerate(lay for lay in model.layers if lay.variables)}
    at = [order[layer.name] for layer in (a.layer, b.layer, number.layer, label.layer)]
    assert len(names) == 8

    def forward(p, x):
        u = torch.tanh(x[0] @ p[at[0]] + p[at[0] + 1])
        v = torch.sigmoid(x[1] @ p[at[1]] + p[at[1] + 1])
        n = torch.cat([u, v], 1) @ p[at[2]] + p[at[2] + 1]
        return n, torch.cat([n, v], 1) @ p[at[3]] + p[at[3] + 1]

    parts: list = []

    def loss(z, y, weight, parameters):
        values = (((z[0] - y[0]) ** 2).mean(1) * weight).mean(), F.cross_entropy(z[1], y[1])
        parts.append([len(y[0]) * v.item() / ROWS for v in values])
        return 0.3 * values[0] + 2.0 * values[1]

    tensors = [as_tensor(x[:, :4]), as_tensor(x[:, 4:])], [as_tensor(y), as_tensor(labels)]
    expected = train_torch(start, forward, plain_sgd, loss, *tensors, weight=as_tensor(weight))
    assert_agrees(model, history, *expected)
    by_epoch = np.array(parts).reshape(EPOCHS, -1, 2).sum(1)
    found = np.transpose([history.history["number_loss"], history.history["label_loss"]])
    np.testing.assert_allclose(found, by_epoch, rtol=0, atol=TOLERANCE)


def penalty(l1, l2):
    return lambda w: l1 * w.abs().sum() + l2 * (w**2).sum()


@pytest.mark.parametrize(
    "l1, l2, hidden", [*itertools.product([0.0, 0.02], [0.0, 0.03], [NARROW]), (0.02, 0.03, WIDE)]
)
def test_regularizers(l1, l2, hidden):
    """Of kernels, biases and activities; a batch's penalties are part of its loss."""
    x, y = data()
    regularizer = (
        regularizers.L1L2(l1, l2) if l1 and l2 else regularizers.L1(l1) if l1 else regularizers.L2(l2)
    )
    model = network(
        hidden, kernel_regularizer=regularizer, bias_regularizer=regularizer, activity_regularizer=regularizer
    )
    norm = penalty(l1, l2)

    def forward(p, x):
        h = torch.tanh(x @ p[0] + p[1])
        return h, h @ p[2] + p[3]

    def loss(z, y, weight, p):
        return ((z[1] - y) ** 2).mean(1).mean() + norm(p[0]) + norm(p[1]) + norm(z[0]) / len(y)

    compare(model, forward, plain_sgd, loss, x, y, optimizers.SGD(0.1), "mse")


def test_coupled_weight_decay_is_an_l2_penalty():
    """PyTorch's ``weight_decay`` of SGD adds to the gradient: half of it as an L2 penalty here."""
    x, y = data()
    model = network()
    for layer in model.layers:
        layer.kernel.regularizer = layer.bias.regularizer = regularizers.L2(0.1)

    def theirs(p):
        return torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.2)

    model.compile(optimizers.SGD(0.1, momentum=0.9), "mse")
    start = model.get_weights()
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, shuffle=False, verbose=0)
    expected, _ = train_torch(start, two_layers(), theirs, mse_rows, as_tensor(x), as_tensor(y))
    for value, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=0, atol=TOLERANCE)


def test_frozen_layer():
    x, y = data()
    model = network()
    model.layers[0].trainable = False
    before = model.get_weights()

    def theirs(parameters):
        return torch.optim.SGD(parameters[2:], lr=0.1)

    compare(model, two_layers(), theirs, mse_rows, x, y, optimizers.SGD(0.1), "mse")
    assert all((a == b).all() for a, b in zip(before[:2], model.get_weights()[:2], strict=True))
