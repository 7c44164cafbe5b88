"""Losses through the array API: gradients against central differences and PyTorch, and what is refused."""

import numpy as np
import pytest

from fastnn import losses, ops
from fastnn.errors import ArgumentError, DataError, ShapeError
from fastnn.ops import registry
from fastnn.ops.losses import GRADIENT_ATTRS, LOSSES, SPARSE

ALL = [*LOSSES, "activity_penalty"]


def _differentiable(name):
    return [s for s in registry.get(name).samples(np.random.default_rng(5)) if s.differentiable]


@pytest.mark.parametrize("name", ALL)
def test_gradient_matches_central_differences(name):
    """Along a random direction, each row's value with its own step: rows do not act on each other."""
    rng = np.random.default_rng(7)
    step = 1e-6
    checked = 0
    for sample in _differentiable(name):
        *target, prediction = (np.asarray(a) for a in sample.arrays)
        direction = rng.standard_normal(prediction.shape)
        op = getattr(ops, name)
        after = op(*target, prediction + step * direction, **sample.attrs)
        before = op(*target, prediction - step * direction, **sample.attrs)
        gradient, rows = getattr(ops, f"{name}_grad")(*target, prediction, **sample.attrs)
        slope = (gradient * direction).reshape(len(prediction), direction[:1].size or 1).sum(axis=1)
        numeric = (after - before) / (2 * step)
        # A step over a kink (of the absolute error, a hinge, ...) is off: in a large sample, two rows may be.
        off = np.abs(slope - numeric) > 1e-5 * (1.0 + np.abs(numeric))
        assert off.mean() <= 0.002 if off.size > 100 else not off.any(), (
            sample.name,
            slope[off],
            numeric[off],
        )
        np.testing.assert_allclose(rows, op(*target, prediction, **sample.attrs), rtol=1e-13, atol=1e-300)
        checked += len(prediction)
    assert checked > 50


@pytest.mark.parametrize("name", ALL)
def test_grad_is_the_rule_of_the_loss(name):
    """``op.grad`` weighs each row by what comes back to its value; a target gets none."""
    sample = _differentiable(name)[2]
    d_rows = np.random.default_rng(1).random(len(sample.arrays[-1]))
    gradients = getattr(ops, name).grad(d_rows, *sample.arrays, **sample.attrs)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    expected, _ = getattr(ops, f"{name}_grad")(*sample.arrays, d_rows, **sample.attrs)
    np.testing.assert_array_equal(gradients[-1], expected)
    assert all(g is None for g in gradients[:-1])


@pytest.mark.parametrize("name", ALL)
def test_nan_in_a_prediction_shows_in_its_row_alone(name):
    sample = next(s for s in _differentiable(name) if s.name.startswith(("columns", "(17, 5)")))
    *target, prediction = sample.arrays
    for dtype in (np.float32, np.float64):
        broken = np.array(prediction, dtype)
        broken[3, -1] = np.nan
        given = [np.asarray(t) if np.asarray(t).dtype.kind == "i" else np.asarray(t, dtype) for t in target]
        rows = getattr(ops, name)(*given, broken, **sample.attrs)
        assert np.isnan(rows[3]), dtype
        assert np.isfinite(np.delete(rows, 3)).all(), dtype


def test_every_description_has_its_op():
    for name, default in LOSSES.items():
        loss = losses.get(name)
        assert loss.attrs() == default
        assert registry.get(name).attrs == loss.attrs()
        assert registry.get(f"{name}_grad").attrs == {**loss.attrs(), **GRADIENT_ATTRS}
        assert loss.sparse_target == (name in SPARSE)
    assert set(LOSSES) == {description.op for description in losses.LOSSES}


def test_labels_out_of_range_are_refused():
    for labels in ([0, 3], [-1, 0]):
        with pytest.raises(DataError, match="from"):
            ops.sparse_categorical_crossentropy(np.array(labels), np.full((2, 3), 0.3))


def test_misfits_are_refused():
    with pytest.raises(ShapeError, match="1 column"):
        ops.mean_squared_error(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(ShapeError, match="2 column"):
        ops.gaussian_nll(np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ShapeError, match="one class index"):
        ops.sparse_categorical_crossentropy(np.zeros((3, 2), int), np.zeros((3, 2)))
    with pytest.raises(ShapeError, match="one weight"):
        ops.mean_squared_error_grad(np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(ShapeError, match="rows of shape"):
        ops.mean_squared_error(np.zeros((3, 2, 2)), np.zeros((3, 2, 2)))
    with pytest.raises(ArgumentError, match="no attribute"):
        ops.mean_squared_error(np.zeros((3, 2)), np.zeros((3, 2)), delta=1.0)


# --------------------------------------------------------------------------- against PyTorch
def _torch_cases():
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    none = {"reduction": "none"}
    z = np.random.default_rng(2).standard_normal((40, 4)) * 3
    hot = np.eye(4)[np.arange(40) % 4]
    binary = (z[::-1] > 0).astype(float)
    noise = np.random.default_rng(3).standard_normal((40, 4))
    return torch, {
        "mean_squared_error": (noise, z, {}, lambda t, p: f.mse_loss(p, t, **none).mean(1)),
        "mean_absolute_error": (noise, z, {}, lambda t, p: f.l1_loss(p, t, **none).mean(1)),
        "huber": (noise, z, {"delta": 0.7}, lambda t, p: f.huber_loss(p, t, **none, delta=0.7).mean(1)),
        "binary_crossentropy": (
            binary, z, {"from_logits": True},
            lambda t, p: f.binary_cross_entropy_with_logits(p, t, **none).mean(1),
        ),
        "categorical_crossentropy": (
            hot, z, {"from_logits": True, "label_smoothing": 0.2},
            lambda t, p: f.cross_entropy(p, t, **none, label_smoothing=0.2),
        ),
        "sparse_categorical_crossentropy": (
            np.arange(40)[:, None] % 4, z, {"from_logits": True},
            lambda t, p: f.cross_entropy(p, t[:, 0], **none),
        ),
        "cosine_similarity": (noise, z, {}, lambda t, p: -f.cosine_similarity(p, t)),
        "gaussian_nll": (
            noise[:, :2], z, {},
            lambda t, p: f.gaussian_nll_loss(p[:, :2], t, p[:, 2:].exp(), **none).mean(1),
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "mean_squared_error", "mean_absolute_error", "huber", "binary_crossentropy",
        "categorical_crossentropy", "sparse_categorical_crossentropy", "cosine_similarity", "gaussian_nll",
    ],
)  # fmt: skip
def test_value_and_gradient_match_pytorch(name):
    torch, cases = _torch_cases()
    target, prediction, attrs, oracle = cases[name]
    p = torch.tensor(prediction.copy(), requires_grad=True)
    wanted = oracle(torch.tensor(target.copy()), p)
    wanted.mean().backward()
    gradient, rows = getattr(ops, f"{name}_grad")(target, prediction, **attrs, mean=True)
    np.testing.assert_allclose(rows, wanted.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradient, p.grad.numpy(), rtol=1e-11, atol=1e-14)
