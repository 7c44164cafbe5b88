"""The losses: values and gradients of the float64 reference, and the classes that describe them."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest

from fastnn import losses
from fastnn.errors import ArgumentError, DataError, DtypeError, ShapeError, UnknownNameError
from fastnn.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    GaussianNLL,
    Hinge,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    Quantile,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from fastnn.ops import loss_reference

N, K = 7, 3
RNG = np.random.default_rng(5)
REAL, TARGET = RNG.normal(size=(N, K)), RNG.normal(size=(N, K))
POSITIVE = RNG.uniform(0.1, 3.0, size=(N, K))
COUNTS = RNG.integers(0, 5, size=(N, K)).astype(float)
PROBABILITIES = RNG.uniform(0.05, 0.95, size=(N, K))
BITS = RNG.integers(0, 2, size=(N, K)).astype(float)
LABELS = RNG.integers(0, K, size=N)
ONE_HOT = np.eye(K)[LABELS]
SHARES = POSITIVE / POSITIVE.sum(axis=1, keepdims=True)

# name: (loss, target, prediction); no prediction lies within 1e-3 of a kink.
CASES = {
    "mse": (MeanSquaredError(), TARGET, REAL),
    "mae": (MeanAbsoluteError(), TARGET, REAL),
    "huber": (Huber(delta=0.7), TARGET, REAL),
    "log_cosh": (LogCosh(), TARGET, 5.0 * REAL),
    "mape": (MeanAbsolutePercentageError(), TARGET, REAL),
    "msle": (MeanSquaredLogarithmicError(), COUNTS, np.where(REAL < -0.5, REAL, POSITIVE)),
    "poisson": (Poisson(), COUNTS, POSITIVE),
    "gaussian_nll": (GaussianNLL(), TARGET, np.hstack([REAL, 2.0 * TARGET])),
    "median": (Quantile(), TARGET, REAL),
    "quantiles": (Quantile([0.1, 0.5, 0.9]), TARGET, RNG.normal(size=(N, 3 * K))),
    "bce": (BinaryCrossentropy(), BITS, PROBABILITIES),
    "bce_smoothed": (BinaryCrossentropy(label_smoothing=0.2), BITS, PROBABILITIES),
    "bce_logits": (BinaryCrossentropy(from_logits=True, label_smoothing=0.1), BITS, 4.0 * REAL),
    "focal": (BinaryFocalCrossentropy(), BITS, PROBABILITIES),
    "focal_balanced": (BinaryFocalCrossentropy(True, 0.3, 1.5, label_smoothing=0.1), BITS, PROBABILITIES),
    "focal_logits": (BinaryFocalCrossentropy(True, gamma=0.5, from_logits=True), BITS, 4.0 * REAL),
    "cce": (CategoricalCrossentropy(), ONE_HOT, SHARES),
    "cce_unnormalised": (CategoricalCrossentropy(label_smoothing=0.3), ONE_HOT, POSITIVE),
    "cce_logits": (CategoricalCrossentropy(from_logits=True, label_smoothing=0.3), 2 * ONE_HOT, 4.0 * REAL),
    "sparse": (SparseCategoricalCrossentropy(), LABELS, POSITIVE),
    "sparse_logits": (SparseCategoricalCrossentropy(from_logits=True), LABELS[:, None], 4.0 * REAL),
    "categorical_focal": (CategoricalFocalCrossentropy(label_smoothing=0.1), ONE_HOT, POSITIVE),
    "categorical_focal_logits": (
        CategoricalFocalCrossentropy(0.6, 0.5, from_logits=True),
        ONE_HOT,
        4.0 * REAL,
    ),
    "hinge": (Hinge(), BITS, REAL),
    "squared_hinge": (SquaredHinge(), 2 * BITS - 1, REAL),
    "categorical_hinge": (CategoricalHinge(), ONE_HOT, REAL),
    "kl": (KLDivergence(), SHARES[::-1].copy(), SHARES),
    "cosine": (CosineSimilarity(), TARGET, REAL),
}
ALL = list(dict.fromkeys(type(loss) for loss, _, _ in CASES.values()))


def gradient(loss, y_true, y_pred):
    return getattr(loss_reference, f"{loss.op}_grad")(y_true, y_pred, **loss.attrs())


def test_every_loss_is_in_the_cases():
    assert set(ALL) == set(losses.LOSSES)
    assert len(ALL) == 19


# ------------------------------------------------------------------------- values and gradients


@pytest.mark.parametrize("case", CASES)
def test_gradient_is_the_central_difference_along_a_random_direction(case):
    loss, y_true, y_pred = CASES[case]
    direction = np.random.default_rng(3).normal(size=y_pred.shape)
    h = 1e-5
    difference = loss.row_values(y_true, y_pred + h * direction)
    difference = (difference - loss.row_values(y_true, y_pred - h * direction)) / (2 * h)
    expected = np.sum(gradient(loss, y_true, y_pred) * direction, axis=1)
    np.testing.assert_allclose(difference, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("case", CASES)
def test_inputs_stay_and_results_are_float64(case):
    loss, y_true, y_pred = CASES[case]
    target, prediction = y_true.copy(), np.asfortranarray(y_pred)
    target.flags.writeable = prediction.flags.writeable = False
    value, slope = loss.row_values(target, prediction), gradient(loss, target, prediction)
    assert value.dtype == slope.dtype == np.float64
    assert value.shape == (N,)
    assert slope.shape == y_pred.shape
    np.testing.assert_allclose(value, loss.row_values(y_true, y_pred), rtol=1e-14)
    np.testing.assert_array_equal(target, y_true)
    np.testing.assert_array_equal(prediction, y_pred)
    assert loss.row_values(y_true[:0], y_pred[:0]).shape == (0,)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="values are compared with PyTorch's")


TORCH = {
    "mse": lambda F, t, p: F.mse_loss(p, t, reduction="none").mean(1),
    "mae": lambda F, t, p: F.l1_loss(p, t, reduction="none").mean(1),
    "huber": lambda F, t, p: F.huber_loss(p, t, reduction="none", delta=0.7).mean(1),
    "poisson": lambda F, t, p: F.poisson_nll_loss(p, t, log_input=False, eps=1e-7, reduction="none").mean(1),
    "gaussian_nll": lambda F, t, p: F.gaussian_nll_loss(
        p[:, :K], t, p[:, K:].exp(), eps=1e-6, reduction="none"
    ).mean(1),
    "bce": lambda F, t, p: F.binary_cross_entropy(p, t, reduction="none").mean(1),
    "bce_smoothed": lambda F, t, p: F.binary_cross_entropy(p, t * 0.8 + 0.1, reduction="none").mean(1),
    "bce_logits": lambda F, t, p: F.binary_cross_entropy_with_logits(
        p, t * 0.9 + 0.05, reduction="none"
    ).mean(1),
    "cce": lambda F, t, p: -(t * (p / p.sum(1, keepdim=True)).log()).sum(1),
    "cce_logits": lambda F, t, p: F.cross_entropy(p, t * 0.7 + 0.1, reduction="none"),
    "sparse_logits": lambda F, t, p: F.cross_entropy(p, t[:, 0], reduction="none"),
    "kl": lambda F, t, p: F.kl_div(p.log(), t, reduction="none").sum(1),
    "cosine": lambda F, t, p: -F.cosine_similarity(t, p),
    "hinge": lambda F, t, p: F.relu(1 - (2 * t - 1) * p).mean(1),
    "squared_hinge": lambda F, t, p: (F.relu(1 - t * p) ** 2).mean(1),
}


@pytest.mark.parametrize("case", TORCH)
def test_values_and_gradients_agree_with_torch(torch, case):
    loss, y_true, y_pred = CASES[case]
    prediction = torch.tensor(y_pred, requires_grad=True)
    value = TORCH[case](torch.nn.functional, torch.tensor(y_true), prediction)
    value.sum().backward()
    np.testing.assert_allclose(
        loss.row_values(y_true, y_pred), value.detach().numpy(), rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(
        gradient(loss, y_true, y_pred), prediction.grad.numpy(), rtol=1e-11, atol=1e-13
    )


def test_gaussian_nll_below_the_floor_has_torchs_gradient(torch):
    y_true, y_pred = np.array([[0.5], [0.1]]), np.array([[0.2, -20.0], [0.1, -800.0]])
    prediction = torch.tensor(y_pred, requires_grad=True)
    m, s = prediction[:, :1], prediction[:, 1:]
    value = torch.nn.functional.gaussian_nll_loss(
        m, torch.tensor(y_true), s.exp(), eps=1e-6, reduction="none"
    )
    value.sum().backward()
    np.testing.assert_allclose(GaussianNLL().row_values(y_true, y_pred), value.detach()[:, 0], rtol=1e-12)
    np.testing.assert_allclose(gradient(GaussianNLL(), y_true, y_pred), prediction.grad, rtol=1e-9)


# Numbers worked out by hand from the equations of Keras 3.15.
@pytest.mark.parametrize(
    ("loss", "y_true", "y_pred", "expected"),
    [
        (MeanAbsolutePercentageError(), [0.0, -2.0], [1e-7, 1.0], 100 * (1.0 + 1.5) / 2),
        (MeanSquaredLogarithmicError(), [0.0, 1.0], [-5.0, 3.0], (0 + np.log(4 / 2) ** 2) / 2),
        (LogCosh(), [0.0], [1e-9], 5e-19),
        (LogCosh(), [0.0], [-1000.0], 1000 - np.log(2)),
        (Quantile([0.1, 0.9]), [2.0], [1.0, 4.0], (0.1 * 1 + 0.1 * 2) / 2),
        (Quantile([0.25, 0.75]), [1.0, 10.0], [0.0, 8.0, 3.0, 10.0], (0.25 + 0.5 + 0.5 + 0) / 4),
        (Hinge(), [0.0, 1.0], [-3.0, 0.25], 0.75 / 2),
        (Hinge(), [-1.0, 1.0], [-3.0, 0.25], 0.75 / 2),
        (SquaredHinge(), [0.0, 1.0], [0.5, 0.5], (1.5**2 + 0.5**2) / 2),
        (CategoricalHinge(), [0.0, 1.0, 0.0], [0.3, 0.5, 0.4], 0.4 - 0.5 + 1),
        (KLDivergence(), [0.0, 1.0], [0.5, 0.5], 1e-7 * np.log(2e-7) + np.log(2)),
        (CosineSimilarity(), [3.0, 4.0], [0.0, 0.0], 0.0),
        (BinaryCrossentropy(), [1.0], [0.0], -np.log(1e-7)),
        (BinaryCrossentropy(from_logits=True), [1.0], [-900.0], 900.0),
        (CategoricalCrossentropy(), [0.0, 1.0], [3.0, 1.0], np.log(4)),
        (CategoricalCrossentropy(label_smoothing=0.5), [0.0, 1.0], [3.0, 1.0], np.log(4) - 0.25 * np.log(3)),
        (CategoricalCrossentropy(from_logits=True), [0.0, 1.0], [900.0, 0.0], 900.0),
        (BinaryFocalCrossentropy(), [1.0], [0.8], 0.2**2 * -np.log(0.8)),
        (BinaryFocalCrossentropy(True, 0.3), [0.0], [0.8], 0.7 * 0.8**2 * -np.log(0.2)),
        (BinaryFocalCrossentropy(from_logits=True), [0.0], [np.log(4)], 0.8**2 * -np.log(0.2)),
        (CategoricalFocalCrossentropy(), [0.0, 1.0], [0.2, 0.8], 0.25 * 0.2**2 * -np.log(0.8)),
        (CategoricalFocalCrossentropy(from_logits=True), [0.0, 1.0], [0.0, np.log(4)], 0.01 * -np.log(0.8)),
    ],
    ids=lambda value: value.op if isinstance(value, losses.Loss) else "",
)
def test_values_by_hand(loss, y_true, y_pred, expected):
    assert loss.row_values([y_true], [y_pred])[0] == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_sparse_equals_one_hot():
    for from_logits in (False, True):
        sparse, dense = SparseCategoricalCrossentropy(from_logits), CategoricalCrossentropy(from_logits)
        np.testing.assert_array_equal(
            sparse.row_values(LABELS, POSITIVE), dense.row_values(ONE_HOT, POSITIVE)
        )
        np.testing.assert_array_equal(gradient(sparse, LABELS, POSITIVE), gradient(dense, ONE_HOT, POSITIVE))


def test_gradients_at_kinks_and_clips_are_finite():
    assert gradient(MeanAbsoluteError(), [[1.0]], [[1.0]]).item() == 0.0
    assert gradient(Quantile(), [[1.0]], [[1.0]]).item() == 0.0
    assert gradient(BinaryCrossentropy(), [[1.0]], [[0.0]]).item() == 0.0
    assert gradient(BinaryFocalCrossentropy(gamma=0.5), [[1.0]], [[1.0]]).item() == 0.0
    assert gradient(BinaryFocalCrossentropy(gamma=0.0), [[1.0]], [[0.5]]).item() == pytest.approx(-2.0)
    assert gradient(KLDivergence(), [[1.0]], [[1.5]]).item() == 0.0
    for loss in (CategoricalCrossentropy(), CategoricalFocalCrossentropy()):
        np.testing.assert_array_equal(gradient(loss, [[0.0, 1.0]], [[1.0, 0.0]]), 0.0)
    assert np.isfinite(gradient(CosineSimilarity(), [[1.0, 1.0]], [[0.0, 0.0]])).all()


@pytest.mark.parametrize("labels", [[0, 3], [0, -1], [0, 0.5], [0, np.nan]], ids=str)
def test_labels_out_of_range_are_refused(labels):
    with pytest.raises(DataError, match=r"whole numbers from 0 to 2.*Received: .* in row 1"):
        SparseCategoricalCrossentropy().row_values(labels, SHARES[:2])


def test_shapes_are_never_broadcast():
    with pytest.raises(ShapeError, match=r"Received: target of shape \(7, 1\), prediction of shape \(7, 3\)"):
        MeanSquaredError()(TARGET[:, 0], REAL)
    with pytest.raises(ShapeError, match=r"2 times its columns.*prediction of shape \(7, 3\)"):
        GaussianNLL()(TARGET, REAL)
    with pytest.raises(ShapeError, match=r"\(rows, columns\).*\(7, 3, 1\)"):
        MeanSquaredError()(TARGET[..., None], REAL[..., None])
    with pytest.raises(ShapeError, match=r"Class indices.*\(7, 3\)"):
        SparseCategoricalCrossentropy()(ONE_HOT, SHARES)
    assert MeanSquaredError()([1.0, 2.0], [[1.0], [4.0]]) == 2.0


# ---------------------------------------------------------------------------------- reduction


def test_reductions():
    y_true, y_pred, weights = [0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [1.0, 0.0, 0.5]
    expected = {
        "sum_over_batch_size": 5.5 / 3,
        "mean": 5.5 / 3,
        "sum": 5.5,
        "mean_with_sample_weight": 5.5 / 1.5,
    }
    for reduction, value in expected.items():
        loss = MeanSquaredError(reduction=reduction)
        assert loss(y_true, y_pred, weights) == pytest.approx(value, rel=1e-15)
        assert loss(y_true, y_pred, np.array(weights)[:, None]) == pytest.approx(value, rel=1e-15)
        assert type(loss(y_true, y_pred)) is float
    assert MeanSquaredError(reduction="mean_with_sample_weight")(y_true, y_pred, np.zeros(3)) == 0.0
    assert MeanSquaredError()(np.zeros((0, 1)), np.zeros((0, 1))) == 0.0


def test_bad_sample_weights():
    with pytest.raises(
        ShapeError, match=r"one weight a row: expected shape \(7,\)\. Received: shape \(7, 3\)"
    ):
        MeanSquaredError()(TARGET, REAL, np.ones((N, K)))
    with pytest.raises(DataError, match=r"sample_weight.*finite"):
        MeanSquaredError()(TARGET, REAL, np.full(N, np.nan))


# --------------------------------------------------------------------- does it fit the output?


@pytest.mark.parametrize(
    ("loss", "output", "target", "activation"),
    [
        (MeanSquaredError(), (None, 3), (50, 3), "linear"),
        (MeanSquaredError(), (None, 1), (50,), None),
        (MeanSquaredError(), (None, 4), None, "softmax"),
        (GaussianNLL(), (None, 6), (50, 3), "linear"),
        (Quantile([0.1, 0.5, 0.9]), (None, 3), (50,), "linear"),
        (Quantile([0.1, 0.9]), (None, 4), (50, 2), "linear"),
        (BinaryCrossentropy(), (None, 1), (50, 1), "sigmoid"),
        (BinaryCrossentropy(), (None, 2), (50, 2), "softmax"),
        (BinaryCrossentropy(from_logits=True), (None, 1), (50,), "linear"),
        (CategoricalCrossentropy(), (None, 3), (50, 3), "softmax"),
        (CategoricalCrossentropy(), (None, 3), (50, 3), "exponential"),
        (SparseCategoricalCrossentropy(), (None, 3), (50,), "softmax"),
        (SparseCategoricalCrossentropy(from_logits=True), (None, 3), (50, 1), None),
        (Poisson(), (None, 1), (50,), "exponential"),
        (Hinge(), (None, 1), (50,), "tanh"),
    ],
)
def test_fitting_outputs_pass(loss, output, target, activation):
    loss.check(output, target, activation, where="layer 'top'")


@pytest.mark.parametrize(
    ("loss", "output", "target", "activation", "error", "message"),
    [
        (BinaryCrossentropy(), (None, 1), (50, 1), "softmax", ArgumentError, "over one unit.*'sigmoid'"),
        (MeanSquaredError(), (None, 1), (50, 1), "softmax", ArgumentError, "softmax over one unit"),
        (
            SparseCategoricalCrossentropy(),
            (None, 1),
            (50,),
            "sigmoid",
            ShapeError,
            "at least 2.*binary_cross",
        ),
        (CategoricalCrossentropy(), (None, 1), (50, 1), "sigmoid", ShapeError, "at least 2.*binary_cross"),
        (CategoricalFocalCrossentropy(), (None, 1), (50, 1), None, ShapeError, "at least 2 units"),
        (CategoricalHinge(), (None, 1), (50, 1), None, ShapeError, "at least 2 units"),
        (CosineSimilarity(), (None, 1), (50, 1), None, ShapeError, "at least 2 units.*sign"),
        (BinaryCrossentropy(), (None, 2), (50, 1), "sigmoid", ShapeError, r"expected 1 .*\(50, 1\).*: 2"),
        (MeanSquaredError(), (None, 1), (50, 3), None, ShapeError, r"expected 3 .*\(50, 3\).*: 1"),
        (CategoricalCrossentropy(), (None, 3), (50,), "softmax", ShapeError, "use sparse_cat"),
        (SparseCategoricalCrossentropy(), (None, 3), (50, 3), "softmax", ShapeError, "use cat"),
        (GaussianNLL(), (None, 3), (50, 3), None, ShapeError, r"2 unit\(s\).*expected 6"),
        (Quantile([0.1, 0.9]), (None, 1), (50,), None, ShapeError, r"2 unit\(s\).*expected 2"),
        (MeanSquaredError(), (None, 5, 3), (50, 3), None, ShapeError, r"\(rows, columns\)"),
        (MeanSquaredError(), (None, None), (50, 3), None, ShapeError, r"\(rows, columns\)"),
        (BinaryCrossentropy(from_logits=True), (None, 1), (50,), "sigmoid", ArgumentError, "own sigmoid"),
        (CategoricalCrossentropy(from_logits=True), (None, 3), None, "softmax", ArgumentError, "own softmax"),
        (BinaryCrossentropy(), (None, 1), (50,), "linear", ArgumentError, "end with 'sigmoid', or set"),
        (SparseCategoricalCrossentropy(), (None, 3), (50,), "tanh", ArgumentError, "end with 'softmax'"),
        (Poisson(), (None, 1), (50,), "linear", ArgumentError, "positive: end with 'exponential'"),
        (KLDivergence(), (None, 3), (50, 3), "relu", ArgumentError, "takes probabilities"),
    ],
)
def test_misfits_are_explained(loss, output, target, activation, error, message):
    with pytest.raises(error, match=message) as caught:
        loss.check(output, target, activation, where="layer 'top'")
    assert "Received: " in str(caught.value)
    assert "layer 'top'" in str(caught.value)


# ---------------------------------------------------------------------- arguments and names


# Arguments and defaults in the order of Keras 3.15.1, but for `name`, whose default there is the op's.
END = "reduction='sum_over_batch_size' name=None dtype=None"
KERAS = {
    Huber: f"delta=1.0 {END}",
    Quantile: f"quantiles=0.5 {END}",
    CosineSimilarity: f"axis=-1 {END}",
    BinaryCrossentropy: f"from_logits=False label_smoothing=0.0 axis=-1 {END}",
    CategoricalCrossentropy: f"from_logits=False label_smoothing=0.0 axis=-1 {END}",
    SparseCategoricalCrossentropy: (
        "from_logits=False ignore_class=None reduction='sum_over_batch_size' axis=-1 name=None dtype=None"
    ),
    BinaryFocalCrossentropy: (
        "apply_class_balancing=False alpha=0.25 gamma=2.0 from_logits=False label_smoothing=0.0 "
        f"axis=-1 {END}"
    ),
    CategoricalFocalCrossentropy: (
        f"alpha=0.25 gamma=2.0 from_logits=False label_smoothing=0.0 axis=-1 {END}"
    ),
}


@pytest.mark.parametrize("cls", ALL)
def test_signature_is_that_of_keras(cls):
    parameters = inspect.signature(cls).parameters.values()
    assert " ".join(f"{p.name}={p.default!r}" for p in parameters) == KERAS.get(cls, END)


@pytest.mark.parametrize("cls", ALL)
def test_attributes_are_the_references_arguments(cls):
    loss = cls()
    parameters = inspect.signature(getattr(loss_reference, loss.op)).parameters
    assert list(loss.attrs()) == list(parameters)[2:]
    assert {name: parameters[name].default for name in loss.attrs()} == loss.attrs()
    assert (
        inspect.signature(getattr(loss_reference, f"{loss.op}_grad")).parameters.keys() == parameters.keys()
    )
    assert loss.sparse_target == (cls is SparseCategoricalCrossentropy)


@pytest.mark.parametrize("case", CASES)
def test_configuration_round_trip(case):
    loss, y_true, y_pred = CASES[case]
    again = losses.get(json.loads(json.dumps(losses.serialize(loss))))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()
    assert repr(again) == repr(loss)
    assert again(y_true, y_pred) == loss(y_true, y_pred)


@pytest.mark.parametrize("cls", ALL)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction": None}, "reduction.*sum_over_batch_size.*Received: reduction=None"),
        ({"reduction": "average"}, "reduction.*'average'"),
        ({"name": ""}, "name.*non-empty"),
        ({"dtype": "float16"}, "dtype.*model's dtype.*float16"),
    ],
)
def test_common_arguments_are_checked(cls, arguments, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        cls(**arguments)
    assert cls.__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (Huber, {"delta": 0.0}),
        (Quantile, {"quantiles": 1.0}),
        (Quantile, {"quantiles": [0.5, "a"]}),
        (Quantile, {"quantiles": []}),
        (Quantile, {"quantiles": [0.5, 0.5]}),
        (BinaryCrossentropy, {"from_logits": 1}),
        (BinaryCrossentropy, {"label_smoothing": 1.5}),
        (BinaryCrossentropy, {"axis": 0}),
        (CategoricalCrossentropy, {"axis": True}),
        (SparseCategoricalCrossentropy, {"ignore_class": -1}),
        (BinaryFocalCrossentropy, {"apply_class_balancing": "no"}),
        (BinaryFocalCrossentropy, {"gamma": -1.0}),
        (CategoricalFocalCrossentropy, {"alpha": [0.2, 0.8]}),
        (CosineSimilarity, {"axis": 1}),
    ],
)
def test_own_arguments_are_checked(cls, arguments):
    ((name, _),) = arguments.items()
    with pytest.raises(ArgumentError, match=rf"`{name}` of {cls.__name__} .*Received: {name}="):
        cls(**arguments)


@pytest.mark.parametrize(
    ("name", "cls"),
    {
        "mse": MeanSquaredError,
        "MAE": MeanAbsoluteError,
        "mape": MeanAbsolutePercentageError,
        "msle": MeanSquaredLogarithmicError,
        "bce": BinaryCrossentropy,
        "kld": KLDivergence,
        "logcosh": LogCosh,
        "pinball": Quantile,
        "nll": GaussianNLL,
        "huber_loss": Huber,
    }.items(),
)
def test_aliases(name, cls):
    assert type(losses.get(name)) is cls


@pytest.mark.parametrize("cls", ALL)
def test_get_by_name_class_and_object(cls):
    assert type(losses.get(cls.op)) is type(losses.get(cls.__name__)) is type(losses.get(cls)) is cls
    loss = cls()
    assert losses.get(loss) is loss
    assert loss.name == cls.op


def test_unknown_losses_are_explained():
    with pytest.raises(UnknownNameError, match=r"Unknown loss.*Did you mean 'binary_crossentropy'"):
        losses.get("binary_crosentropy")
    with pytest.raises(DtypeError, match=r"Python function cannot be a loss.*'mse'.*Received: <function"):
        losses.get(lambda y_true, y_pred: 0.0)
    with pytest.raises(DtypeError, match=r"loss.*Received: None"):
        losses.get(None)
