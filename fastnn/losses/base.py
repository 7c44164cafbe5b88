"""What every loss shares: settings, reduction, and whether it fits an output.

A loss object is a description; the maths is in `fastnn.ops.loss_reference` (float64 NumPy) and in
the compiled kernels of the op that `Loss.op` names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.errors import ArgumentError, DataError, ShapeError
from fastnn.ops import loss_reference
from fastnn.serialization import Configurable, check_bool, check_choice, check_number

REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight")

#: Activations whose values may be negative, then those whose values may exceed 1.
SIGNED = frozenset(
    {"linear", "leaky_relu", "prelu", "elu", "selu", "celu", "gelu", "silu", "swish", "mish", "softsign"}
    | {"tanh", "hard_tanh", "hard_silu", "hard_swish", "log_sigmoid", "log_softmax", "sin"}
)
NOT_PROBABILITIES = SIGNED | {"relu", "softplus", "exponential"}
PROBABILITIES = frozenset({"sigmoid", "softmax", "hard_sigmoid"})


class Loss(Configurable):
    """Base class of losses.

    Parameters
    ----------
    reduction : {'sum_over_batch_size', 'sum', 'mean', 'mean_with_sample_weight'}
        How the rows' values, times their weights, become one number: divided by the number of
        rows (the first, Keras' default, and 'mean', the same), summed, or divided by the sum of
        the weights. Keras' None is refused: training needs one number (see `row_values`).
    name : str, optional
        For messages and configurations; the op's name by default.
    dtype : None
        A loss is computed in its model's dtype; anything else is refused.

    Raises
    ------
    ArgumentError
        If an argument is not allowed.
    """

    #: The name of the loss in the op table.
    op: ClassVar[str] = ""
    #: Whether targets are class indices, shape (n,) or (n, 1).
    sparse_target: ClassVar[bool] = False
    #: Which way is better, for callbacks that watch a loss used as a metric.
    direction: ClassVar[str] = "min"
    #: The constructor's arguments that the op takes.
    _attrs: ClassVar[tuple[str, ...]] = ()
    _least_units: ClassVar[int] = 1
    _least_reason: ClassVar[str] = "there is nothing to learn otherwise"
    #: Output activations that cannot be right (unless `from_logits`), and what to do instead.
    _refused: ClassVar[frozenset[str]] = frozenset()
    _advice: ClassVar[str] = ""
    #: The activation that `from_logits` stands for.
    _link: ClassVar[str] = ""

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str | None = None, dtype: None = None
    ) -> None:
        where = type(self).__name__
        self.reduction = check_choice("reduction", reduction, where, REDUCTIONS)
        if name is not None and not (isinstance(name, str) and name):
            raise ArgumentError(f"`name` of {where} must be a non-empty string or None. Received: {name!r}.")
        if dtype is not None:
            raise ArgumentError(
                f"`dtype` of {where} must be None: a loss has its model's dtype. Received: dtype={dtype!r}."
            )
        self.name = name or self.op
        self.dtype = None

    def _set_classification(self, arguments: dict[str, Any]) -> None:
        """Check and keep the arguments that the cross-entropies share."""
        where = type(self).__name__
        self._set_axis(arguments["axis"])
        self.from_logits = check_bool("from_logits", arguments["from_logits"], where)
        for name in ("label_smoothing", "alpha"):
            if name in arguments:
                setattr(self, name, check_number(name, arguments[name], where, 0.0, 1.0))
        if "gamma" in arguments:
            self.gamma = check_number("gamma", arguments["gamma"], where, 0.0)

    def _set_axis(self, axis: int) -> None:
        """Check and keep the axis."""
        if axis != -1 or isinstance(axis, bool):
            raise ArgumentError(
                f"`axis` of {type(self).__name__} must be -1, the last. Received: axis={axis!r}."
            )
        self.axis = axis

    def attrs(self) -> dict[str, Any]:
        """Return the op's attributes: the settings its kernel and its reference read."""
        return {name: getattr(self, name) for name in self._attrs}

    @property
    def columns_per_target(self) -> int:
        """How many columns the prediction has for each column of the target."""
        return 1

    def row_values(self, y_true: ArrayLike, y_pred: ArrayLike) -> NDArray[np.float64]:
        """Return the loss of each row, computed in float64.

        Parameters
        ----------
        y_true : array_like
            Targets, shape (n, k) or (n,); class indices where `sparse_target`.
        y_pred : array_like
            Predictions, shape (n, k) or (n,).

        Returns
        -------
        ndarray of float64, shape (n,)

        Raises
        ------
        ShapeError
            If the shapes do not fit; nothing is broadcast.
        DataError
            If a class index is out of range.
        """
        values: NDArray[np.float64] = getattr(loss_reference, self.op)(y_true, y_pred, **self.attrs())
        return values

    def __call__(self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Return the reduced loss, computed in float64.

        Parameters
        ----------
        y_true, y_pred : array_like
            As in `row_values`.
        sample_weight : array_like, optional
            One finite weight a row, shape (n,) or (n, 1).

        Returns
        -------
        float
            0.0 where the divisor is 0.

        Raises
        ------
        ShapeError
            If the shapes do not fit.
        DataError
            If a class index is out of range or a weight is not finite.
        """
        values = self.row_values(y_true, y_pred)
        weights = np.ones_like(values)
        if sample_weight is not None:
            given = np.asarray(sample_weight, dtype=np.float64)
            if given.shape not in (values.shape, (*values.shape, 1)):
                raise ShapeError(
                    f"`sample_weight` must hold one weight a row: expected shape {values.shape}. "
                    f"Received: shape {given.shape}."
                )
            if not np.isfinite(given).all():
                raise DataError("`sample_weight` must be finite. Received: NaN or infinity.")
            weights = given.reshape(values.shape)
        total = float(np.sum(values * weights))
        if self.reduction == "sum":
            return total
        by_weight = self.reduction == "mean_with_sample_weight"
        divisor = float(np.sum(weights)) if by_weight else float(values.size)
        return total / divisor if divisor else 0.0

    def check(
        self,
        output_shape: Sequence[int | None],
        target_shape: Sequence[int | None] | None,
        output_activation: str | None = None,
        where: str = "the output",
    ) -> None:
        """Raise if this loss does not fit the model's output.

        Parameters
        ----------
        output_shape : sequence of int or None
            The output's shape **with** its rows axis, ``(None, units)``.
        target_shape : sequence of int or None, or None
            The target's shape with its rows axis, ``(n,)`` or ``(n, k)``; None if not known yet.
        output_activation : str, optional
            The name of the activation that gave the output; None if unknown.
        where : str
            What to call the output in messages: ``"layer 'output'"``.

        Raises
        ------
        ShapeError
            If the target's columns, the output's units and the loss do not fit together.
        ArgumentError
            If the output's activation cannot be right for the loss.
        """
        units = _column_count(output_shape, where)
        self._check_activation(units, output_activation, where)
        if units < self._least_units:
            raise ShapeError(
                f"{self.name} needs an output of at least {self._least_units} units: {self._least_reason}. "
                f"Received: {units} unit(s) in {where}."
            )
        if target_shape is None:
            return
        targets = _column_count(target_shape, "the target")
        if self.sparse_target and targets != 1:
            raise ShapeError(
                f"{self.name} takes class indices: expected a target of shape (n,) or (n, 1). "
                f"Received: target of shape {tuple(target_shape)} for {where}. "
                "For one-hot targets use categorical_crossentropy."
            )
        expected = targets * self.columns_per_target
        if not self.sparse_target and units != expected:
            labels = targets == 1 and self._link == "softmax"
            hint = " For class indices use sparse_categorical_crossentropy." if labels else ""
            raise ShapeError(
                f"{self.name} needs {self.columns_per_target} unit(s) for each column of the target: "
                f"expected {expected} for a target of shape {tuple(target_shape)}. "
                f"Received: {units} in {where}.{hint}"
            )

    def _check_activation(self, units: int, activation: str | None, where: str) -> None:
        """Raise if the activation cannot be right for the loss."""
        if units == 1 and activation in ("softmax", "log_softmax"):
            raise ArgumentError(
                f"{activation} over one unit is constant, so nothing can be learned: use one unit with "
                f"'sigmoid', or one unit for each class. Received: 1 unit with {activation!r} in {where}."
            )
        if getattr(self, "from_logits", False):
            if activation in PROBABILITIES:
                raise ArgumentError(
                    f"{self.name} with from_logits=True applies its own {self._link}: remove the "
                    f"activation or set from_logits=False. Received: activation {activation!r} in {where}."
                )
        elif activation in self._refused:
            raise ArgumentError(
                f"{self.name} {self._advice}. Received: activation {activation!r} in {where}."
            )


def _column_count(shape: Sequence[int | None], what: str) -> int:
    """Return the number of columns of a shape that starts with the rows axis."""
    columns = (*shape[1:], 1)[0]
    if len(shape) not in (1, 2) or columns is None:
        raise ShapeError(f"Expected {what} to have shape (rows, columns). Received: shape {tuple(shape)}.")
    return columns
