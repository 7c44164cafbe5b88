"""Losses of classes: cross-entropies, hinges, and the divergence of distributions."""

from __future__ import annotations

from fastnn.errors import ArgumentError
from fastnn.losses.base import NOT_PROBABILITIES, SIGNED, Loss
from fastnn.serialization import check_bool


class BinaryCrossentropy(Loss):
    """Cross-entropy of labels 0 and 1, each column on its own.

    A row's value is ``mean(-y log p - (1 - y) log(1 - p))``, ``p`` clipped to ``[1e-7, 1 - 1e-7]``;
    from logits ``mean(max(z, 0) - z y + log(1 + exp(-|z|)))``, which needs no clipping.

    Parameters
    ----------
    from_logits : bool
        The prediction is before the sigmoid; default False: after it.
    label_smoothing : float
        In ``[0, 1]``: labels become ``y (1 - s) + s / 2``; default 0.0.
    axis : int
        Only -1, the classes' axis, is implemented.
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> round(BinaryCrossentropy()([[1.0]], [[0.5]]), 4)
    0.6931
    """

    op = "binary_crossentropy"
    _refused = NOT_PROBABILITIES
    _advice = "takes probabilities: end with 'sigmoid', or set from_logits=True"
    _link = "sigmoid"
    _attrs = ("from_logits", "label_smoothing")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self._set_classification(locals())


class BinaryFocalCrossentropy(Loss):
    """Binary cross-entropy that discounts what is classified well already.

    A row's value is the mean of ``w (1 - p_t)**gamma`` times the cross-entropy, where
    ``p_t = y p + (1 - y)(1 - p)`` and ``w`` is 1, or ``y alpha + (1 - y)(1 - alpha)`` with
    `apply_class_balancing`. Source: Lin et al. (2018), arXiv:1708.02002.

    Parameters
    ----------
    apply_class_balancing : bool
        Weight the classes by `alpha`; default False.
    alpha : float
        In ``[0, 1]``: the weight of class 1, 1 - alpha that of class 0; default 0.25.
    gamma : float
        >= 0: how much well-classified rows are discounted; default 2.0.
    from_logits : bool
        The prediction is before the sigmoid; default False: after it.
    label_smoothing : float
        In ``[0, 1]``: labels become ``y (1 - s) + s / 2``; default 0.0.
    axis : int
        Only -1, the classes' axis, is implemented.
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> round(BinaryFocalCrossentropy()([[1.0]], [[0.5]]), 4)  # 0.25 times the cross-entropy
    0.1733
    """

    op = "binary_focal_crossentropy"
    _refused = NOT_PROBABILITIES
    _advice = "takes probabilities: end with 'sigmoid', or set from_logits=True"
    _link = "sigmoid"
    _attrs = ("apply_class_balancing", "alpha", "gamma", "from_logits", "label_smoothing")

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self._set_classification(locals())
        self.apply_class_balancing = check_bool(
            "apply_class_balancing", apply_class_balancing, type(self).__name__
        )


class CategoricalCrossentropy(Loss):
    """Cross-entropy of one-hot labels (or of any distribution over classes).

    A row's value is ``-sum(y log q)``, ``q = p / sum(p)`` clipped to ``[1e-7, 1 - 1e-7]``; from
    logits ``log q`` is the log-softmax, unclipped.

    Parameters
    ----------
    from_logits : bool
        The prediction is before the softmax; default False: after it.
    label_smoothing : float
        In ``[0, 1]``: labels become ``y (1 - s) + s / classes``; default 0.0.
    axis : int
        Only -1, the classes' axis, is implemented.
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> round(CategoricalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 4)
    0.6931
    """

    op = "categorical_crossentropy"
    _least_units = 2
    _least_reason = "one for each class (for two classes in one unit use binary_crossentropy)"
    _refused = SIGNED | {"relu"}
    _advice = "takes probabilities: end with 'softmax', or set from_logits=True"
    _link = "softmax"
    _attrs = ("from_logits", "label_smoothing")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self._set_classification(locals())


class CategoricalFocalCrossentropy(Loss):
    """Categorical cross-entropy that discounts what is classified well already.

    A row's value is ``-alpha sum((1 - q)**gamma y log q)``, ``q`` as in `CategoricalCrossentropy`.
    Source: Lin et al. (2018), arXiv:1708.02002.

    Parameters
    ----------
    alpha : float
        In ``[0, 1]``: a factor on the whole (one number; a list of them is not implemented); default 0.25.
    gamma : float
        >= 0: how much well-classified rows are discounted; default 2.0.
    from_logits : bool
        The prediction is before the softmax; default False: after it.
    label_smoothing : float
        In ``[0, 1]``: labels become ``y (1 - s) + s / classes``; default 0.0.
    axis : int
        Only -1, the classes' axis, is implemented.
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> round(CategoricalFocalCrossentropy(alpha=1.0)([[0.0, 1.0]], [[0.5, 0.5]]), 4)
    0.1733
    """

    op = "categorical_focal_crossentropy"
    _least_units = 2
    _least_reason = "one for each class (for two classes in one unit use binary_crossentropy)"
    _refused = SIGNED | {"relu"}
    _advice = "takes probabilities: end with 'softmax', or set from_logits=True"
    _link = "softmax"
    _attrs = ("alpha", "gamma", "from_logits", "label_smoothing")

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self._set_classification(locals())


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of labels given as class indices, shape (n,) or (n, 1).

    A row's value is ``-log q[y]``, ``q`` as in `CategoricalCrossentropy`. No one-hot array is made
    while training.

    Parameters
    ----------
    from_logits : bool
        The prediction is before the softmax; default False: after it.
    ignore_class : None
        Not implemented: give the rows to ignore a `sample_weight` of 0 instead.
    axis : int
        Only -1, the classes' axis, is implemented.
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> round(SparseCategoricalCrossentropy()([1], [[0.5, 0.5]]), 4)
    0.6931
    """

    op = "sparse_categorical_crossentropy"
    sparse_target = True
    _least_units = 2
    _least_reason = "one for each class (for two classes in one unit use binary_crossentropy)"
    _refused = SIGNED | {"relu"}
    _advice = "takes probabilities: end with 'softmax', or set from_logits=True"
    _link = "softmax"
    _attrs = ("from_logits",)

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: None = None,
        reduction: str = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self._set_classification(locals())
        if ignore_class is not None:
            raise ArgumentError(
                "`ignore_class` of SparseCategoricalCrossentropy is not implemented: give the rows to ignore "
                f"a sample_weight of 0. Received: ignore_class={ignore_class!r}."
            )
        self.ignore_class = None


class Hinge(Loss):
    """The hinge loss of a margin classifier with an output in (-inf, inf).

    A row's value is ``mean(max(1 - y p, 0))``, where a label <= 0 counts as ``y = -1`` and any other
    as ``y = 1``: labels may be 0 and 1 or -1 and 1. (Keras looks at a whole batch to tell which.)

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> Hinge()([[0.0], [1.0]], [[-2.0], [0.5]])
    0.25
    """

    op = "hinge"


class SquaredHinge(Loss):
    """The square of the hinge loss.

    A row's value is ``mean(max(1 - y p, 0)**2)``; labels as in `Hinge`.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> SquaredHinge()([[0.0], [1.0]], [[-2.0], [0.5]])
    0.125
    """

    op = "squared_hinge"


class CategoricalHinge(Loss):
    """The hinge loss of one-hot labels.

    A row's value is ``max(neg - pos + 1, 0)``, ``pos = sum(y p)`` and ``neg = max((1 - y) p)``.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 1.0]])
    0.5
    """

    op = "categorical_hinge"
    _least_units = 2
    _least_reason = "one for each class (for two classes in one unit use binary_crossentropy)"


class KLDivergence(Loss):
    """The Kullback-Leibler divergence of a predicted distribution from the target.

    A row's value is ``sum(y log(y / p))``, both first clipped to ``[1e-7, 1]``.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> round(KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]), 4)
    0.1438
    """

    op = "kl_divergence"
    _refused = NOT_PROBABILITIES
    _advice = "takes probabilities: end with 'softmax' or 'sigmoid'"
