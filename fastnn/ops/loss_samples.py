"""Sample inputs of the losses: what the shared tests run them on."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.ops.registry import Sample

#: Rows and columns of the samples that every loss gets.
SIZES = (
    ("one", 1, 1),
    ("empty", 0, 1),
    ("odd", 7, 1),
    ("large", 1027, 1),
    ("columns", 17, 5),
    ("wide", 33, 41),
)
_BAD = (np.nan, 0.3, -0.2)


def _label(attrs: dict[str, Any]) -> str:
    return f" {attrs}" if attrs else ""


def _labels(rng, rows: int, columns: int) -> np.ndarray:
    return (rng.random((rows, columns)) < 0.4).astype(float)


def _one_hot(rng, rows: int, columns: int) -> np.ndarray:
    return np.eye(columns)[rng.integers(0, columns, rows)].reshape(rows, columns)


def _shares(rng, rows: int, columns: int) -> np.ndarray:
    p = rng.random((rows, columns)) + 0.05
    return p / p.sum(axis=1, keepdims=True)


def _sized(
    rng, targets, predictions, attrs: dict[str, Any], least: int = 1, few: bool = False
) -> list[Sample]:
    label = _label(attrs)
    return [
        Sample(f"{name}{label}", (targets(rng, n, max(k, least)), predictions(rng, n, max(k, least))), attrs)
        for name, n, k in SIZES
        if not few or name in ("odd", "columns")
    ]


def _normal(rng, rows: int, columns: int) -> np.ndarray:
    return 2.0 * rng.standard_normal((rows, columns))


def _positive(rng, rows: int, columns: int) -> np.ndarray:
    return rng.random((rows, columns)) * 5.0 + 0.1


def _probability(rng, rows: int, columns: int) -> np.ndarray:
    return rng.random((rows, columns)) * 0.98 + 0.01


def _special(name: str, target: Any, prediction: Any, **attrs: Any) -> Sample:
    return Sample(name, (np.array(target, float), np.array(prediction, float)), attrs, differentiable=False)


def regression(rng, **attrs) -> list[Sample]:
    """Errors of both signs, large, zero, and NaN."""
    label, found = _label(attrs), _sized(rng, _normal, _normal, attrs)
    found.append(Sample(f"flat{label}", (rng.standard_normal(9), rng.standard_normal(9)), attrs))
    found.append(_special(f"exact{label}", [[1.0, 2.0, -3.0]], [[1.0, 2.5, -3.0]], **attrs))
    found.append(_special(f"far{label}", [[0.0], [0.0], [1e-4]], [[1e4], [-1e4], [0.0]], **attrs))
    found.append(
        _special(f"nan{label}", [[1.0, 0.0, 0.0], [1.0, 2.0, 3.0]], [_BAD, [0.0, 0.0, 0.0]], **attrs)
    )
    return found


def counts(rng, **attrs) -> list[Sample]:
    """Targets and predictions above zero; predictions of exactly zero."""
    found = _sized(rng, _positive, _positive, attrs)
    found.append(_special("zero", [[0.0, 3.0, 0.0]], [[0.0, 0.0, 2.0]], **attrs))
    found.append(_special("nan", [[1.0, 0.0, 0.0], [1.0, 2.0, 3.0]], [_BAD, [1.0, 1.0, 1.0]], **attrs))
    return found


def signs(rng, **attrs) -> list[Sample]:
    """Labels 0 and 1, or -1 and 1, and scores."""
    found = _sized(rng, _labels, _normal, attrs)
    labels = np.where(rng.random((17, 3)) < 0.5, -1.0, 1.0)
    found.append(Sample("minus one", (labels, _normal(rng, 17, 3)), attrs))
    found.append(_special("margin", [[1.0, 0.0, 1.0]], [[1.0, -1.0, 0.0]], **attrs))
    found.append(_special("nan", [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0]], [_BAD, [0.0, 0.0, 0.0]], **attrs))
    return found


def _binary(rng, variants: list[dict[str, Any]]) -> list[Sample]:
    found = []
    for attrs in variants:
        label = _label(attrs)
        logits = attrs.get("from_logits", False)
        found += _sized(rng, _labels, _normal if logits else _probability, attrs, few=len(attrs) > logits)
        edges = [[-800.0, 800.0, 30.0, -30.0, 0.0]] * 2 if logits else [[0.0, 1.0, 1e-9, 1.0 - 1e-9, 0.5]] * 2
        found.append(_special(f"saturated{label}", [[0.0] * 5, [1.0] * 5], edges, **attrs))
        found.append(_special(f"nan{label}", [[1.0, 0.0], [1.0, 0.0]], [[np.nan, 0.5], [0.5, 0.5]], **attrs))
    soft = rng.random((9, 2))
    found.append(Sample("soft labels", (soft, _probability(rng, 9, 2)), {}))
    found.append(Sample("flat", (_labels(rng, 9, 1)[:, 0], _probability(rng, 9, 1)[:, 0]), {}))
    return found


_LINKS: list[dict[str, Any]] = [
    {},
    {"from_logits": True},
    {"label_smoothing": 0.1},
    {"from_logits": True, "label_smoothing": 0.1},
]
_GAMMAS: list[dict[str, Any]] = [
    {"gamma": 0.0},
    {"gamma": 1.0},
    {"gamma": 0.5, "alpha": 0.6},
    {"gamma": 3.5, "from_logits": True},
]


def binary(rng) -> list[Sample]:
    """Binary cross-entropy: both forms, with and without smoothing."""
    return _binary(rng, _LINKS)


def binary_focal(rng) -> list[Sample]:
    """Binary focal cross-entropy: also powers and class balancing."""
    balanced = {"apply_class_balancing": True}
    return _binary(rng, [*_LINKS, *_GAMMAS, balanced, {**balanced, "from_logits": True}])


def _many(rng, variants: list[dict[str, Any]], targets=_one_hot) -> list[Sample]:
    found = []
    for attrs in variants:
        label = _label(attrs)
        logits = attrs.get("from_logits", False)
        found += _sized(rng, targets, _normal if logits else _shares, attrs, 2, few=len(attrs) > logits)
        edges = [[1000.0, 0.0, -1000.0], [5.0, 5.0, 5.0]] if logits else [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
        found.append(_special(f"saturated{label}", [[1.0, 0.0, 0.0]] * 2, edges, **attrs))
        bad = [[0.5, np.nan, 0.2], [0.5, 0.3, 0.2]]
        found.append(_special(f"nan{label}", [[1.0, 0.0, 0.0]] * 2, bad, **attrs))
    return found


def categorical(rng) -> list[Sample]:
    """Categorical cross-entropy; also soft targets and unnormalised shares."""
    found = _many(rng, _LINKS)
    for logits in (False, True):
        found.append(
            Sample(f"soft {logits}", (_positive(rng, 9, 4), _positive(rng, 9, 4)), {"from_logits": logits})
        )
    return found


def categorical_focal(rng) -> list[Sample]:
    """Categorical focal cross-entropy: also powers."""
    return _many(rng, [*_LINKS, *_GAMMAS])


def categorical_margin(rng) -> list[Sample]:
    """Categorical hinge: also a tie and a row without loss."""
    found = _sized(rng, _one_hot, _normal, {}, 2)
    found.append(_special("tie", [[1.0, 0.0, 0.0]] * 2, [[0.0, 1.0, 1.0], [9.0, 0.0, 0.0]]))
    found.append(_special("nan", [[1.0, 0.0, 0.0]] * 2, [_BAD, [0.0, 1.0, 2.0]]))
    return found


def sparse(rng) -> list[Sample]:
    """Class indices, of shape (n, 1) and (n,)."""
    found = [
        Sample(
            s.name,
            (s.arrays[0].argmax(axis=1).astype(np.int32)[:, None], s.arrays[1]),
            s.attrs,
            s.differentiable,
        )
        for s in _many(rng, [{}, {"from_logits": True}])
    ]
    found.append(Sample("flat", (rng.integers(0, 3, 9).astype(np.int32), _shares(rng, 9, 3)), {}))
    return found


def distributions(rng) -> list[Sample]:
    """Shares of a whole; exactly zero and one."""
    found = _sized(rng, _shares, _shares, {}, 2)
    found.append(
        _special("saturated", [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]], [[1.0, 0.0, 0.0], [0.0, 0.5, 1.0]])
    )
    found.append(_special("nan", [[1.0, 0.0, 0.0]] * 2, [_BAD, [0.5, 0.3, 0.2]]))
    return found


def directions(rng) -> list[Sample]:
    """Vectors, among them zeros."""
    found = _sized(rng, _normal, _normal, {}, 2)
    found.append(_special("zeros", [[0.0, 0.0], [1.0, 2.0]], [[1.0, 2.0], [0.0, 0.0]]))
    found.append(_special("nan", [[1.0, 0.0, 0.0]] * 2, [_BAD, [0.5, 0.3, 0.2]]))
    return found


def gaussian(rng) -> list[Sample]:
    """Means and log-variances, among them one below the floor."""
    found = [Sample(name, (_normal(rng, n, k), rng.standard_normal((n, 2 * k)))) for name, n, k in SIZES]
    found.append(Sample("floored", (_normal(rng, 3, 1), np.array([[0.1, -15.0], [0.2, -40.0], [0.3, -13.0]])),
                        differentiable=False))  # fmt: skip
    found.append(_special("nan", [[1.0], [1.0], [1.0]], [[np.nan, 0.0], [0.0, np.nan], [0.0, 0.0]]))
    return found


def quantiles(rng) -> list[Sample]:
    """One quantile and several, of one target and of several."""
    found = regression(rng) + regression(rng, quantiles=(0.9,))
    several = {"quantiles": (0.1, 0.5, 0.9)}
    for name, n, k in SIZES:
        found.append(Sample(f"{name} {several}", (_normal(rng, n, k), _normal(rng, n, 3 * k)), several))
    found.append(_special("nan of several", [[1.0], [1.0]], [_BAD, [0.0, 1.0, 2.0]], **several))
    return found


def huber(rng) -> list[Sample]:
    """Two widths."""
    return regression(rng) + regression(rng, delta=0.4)


def with_weights(rng, samples: list[Sample]) -> list[Sample]:
    """Return the gradient op's samples: each loss sample bare or over the batch, and some with weights."""
    found = []
    for number, sample in enumerate(samples):
        attrs = {**sample.attrs, "scale": 0.7, "mean": True} if number % 2 else sample.attrs
        found.append(Sample(sample.name, sample.arrays, attrs, sample.differentiable))
        if sample.attrs != samples[0].attrs and not sample.name.startswith("columns"):
            continue
        rows = len(sample.arrays[-1])
        weight = rng.random((rows, 1) if number % 2 else rows)
        attrs = {**sample.attrs, "scale": 0.7, "mean": bool(number % 3)}
        found.append(
            Sample(f"{sample.name}, weighted", (*sample.arrays, weight), attrs, sample.differentiable)
        )
    return found


#: The samples of each loss.
SAMPLES: dict[str, Any] = {
    "mean_squared_error": regression,
    "mean_absolute_error": regression,
    "huber": huber,
    "log_cosh": regression,
    "mean_absolute_percentage_error": regression,
    "mean_squared_logarithmic_error": counts,
    "poisson": counts,
    "gaussian_nll": gaussian,
    "quantile": quantiles,
    "binary_crossentropy": binary,
    "binary_focal_crossentropy": binary_focal,
    "hinge": signs,
    "squared_hinge": signs,
    "categorical_crossentropy": categorical,
    "sparse_categorical_crossentropy": sparse,
    "categorical_focal_crossentropy": categorical_focal,
    "categorical_hinge": categorical_margin,
    "kl_divergence": distributions,
    "cosine_similarity": directions,
}
