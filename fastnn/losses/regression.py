"""Losses of numbers: errors, counts, distributions, quantiles, directions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastnn.errors import ArgumentError
from fastnn.losses.base import SIGNED, Loss
from fastnn.serialization import check_number


class MeanSquaredError(Loss):
    """The mean of the squared errors.

    A row's value is ``mean((y_true - y_pred)**2)`` over its columns.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> MeanSquaredError()([[1.0, 2.0]], [[3.0, 2.0]])
    2.0
    """

    op = "mean_squared_error"


class MeanAbsoluteError(Loss):
    """The mean of the absolute errors.

    A row's value is ``mean(|y_true - y_pred|)``; the gradient is 0 at an error of exactly 0.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> MeanAbsoluteError()([[1.0, 2.0]], [[3.0, 2.0]])
    1.0
    """

    op = "mean_absolute_error"


class Huber(Loss):
    """Squared errors up to `delta`, absolute beyond: robust to outliers.

    A row's value is the mean of ``e**2 / 2`` where ``|e| <= delta``, else
    ``delta |e| - delta**2 / 2``, with ``e = y_pred - y_true``.

    Parameters
    ----------
    delta : float
        Greater than 0; default 1.0.
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> Huber(delta=1.0)([[0.0]], [[3.0]])
    2.5
    """

    op = "huber"
    _attrs = ("delta",)

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.delta = check_number("delta", delta, "Huber", 0.0, low_open=True)


class LogCosh(Loss):
    """The log of the hyperbolic cosine of the errors: smooth, and nearly absolute far out.

    A row's value is ``mean(log(cosh(y_pred - y_true)))``, computed so that it never overflows.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> round(LogCosh()([[0.0]], [[1.0]]), 4)
    0.4338
    """

    op = "log_cosh"


class MeanAbsolutePercentageError(Loss):
    """The mean of the absolute errors in per cent of the target.

    A row's value is ``100 mean(|y_true - y_pred| / max(|y_true|, 1e-7))``.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> MeanAbsolutePercentageError()([[2.0]], [[3.0]])
    50.0
    """

    op = "mean_absolute_percentage_error"


class MeanSquaredLogarithmicError(Loss):
    """The mean of the squared differences of ``log(1 + y)``.

    A row's value is ``mean((log(1 + y_true) - log(1 + y_pred))**2)``, both first raised to at
    least 1e-7; a prediction below that gets no gradient.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> round(MeanSquaredLogarithmicError()([[0.0]], [[1.0]]), 4)
    0.4805
    """

    op = "mean_squared_logarithmic_error"


class Poisson(Loss):
    """The negative log-likelihood of counts, up to a constant, given their predicted mean.

    A row's value is ``mean(y_pred - y_true log(y_pred + 1e-7))``. The prediction is the mean
    itself, so the output must be positive ('exponential', 'softplus').

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> Poisson()([[0.0]], [[2.0]])
    2.0
    """

    op = "poisson"
    _refused = SIGNED
    _advice = "predicts a mean, which is positive: end with 'exponential' or 'softplus'"


class GaussianNLL(Loss):
    """The negative log-likelihood of a normal distribution whose mean and variance are predicted.

    For ``k`` targets the prediction has ``2k`` columns: the ``k`` means, then the ``k`` natural
    logs of the variances (so a linear output fits). A row's value is
    ``mean((log v + (y_true - mean)**2 / v) / 2)``, ``v = max(exp(log_variance), 1e-6)``: that of
    ``torch.nn.GaussianNLLLoss(full=False, eps=1e-6)``, whose gradient below the floor is kept too.

    Parameters
    ----------
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> GaussianNLL()([[1.0]], [[3.0, 0.0]])  # mean 3, variance 1
    2.0
    """

    op = "gaussian_nll"

    @property
    def columns_per_target(self) -> int:
        """Two: a mean and a log-variance."""
        return 2


class Quantile(Loss):
    """The pinball loss: its least value is at the quantile(s) of the target's distribution.

    A row's value is the mean of ``max(q e, (q - 1) e)``, ``e = y_true - y_pred``. For ``k``
    targets and Q quantiles the prediction has ``Q k`` columns: all targets at the first quantile,
    then all at the second, and so on. At 0.5 it is half the absolute error. Source: Koenker and
    Bassett (1978), "Regression Quantiles".

    Parameters
    ----------
    quantiles : float or sequence of float
        Between 0 and 1, both excluded, without repeats; default 0.5, the median.
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> Quantile([0.1, 0.9])([[1.0]], [[0.0, 0.0]])
    0.5
    """

    op = "quantile"
    _attrs = ("quantiles",)

    def __init__(
        self,
        quantiles: float | Sequence[float] = 0.5,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        several = quantiles if isinstance(quantiles, (list, tuple, np.ndarray)) else [quantiles]
        bounds = {"low": 0.0, "high": 1.0}
        self.quantiles = tuple(
            check_number("quantiles", q, "Quantile", **bounds, low_open=True, high_open=True) for q in several
        )
        if not self.quantiles or len(set(self.quantiles)) != len(self.quantiles):
            raise ArgumentError(
                "`quantiles` of Quantile must be one or more numbers without repeats. "
                f"Received: quantiles={quantiles!r}."
            )

    @property
    def columns_per_target(self) -> int:
        """The number of quantiles."""
        return len(self.quantiles)


class CosineSimilarity(Loss):
    """Minus the cosine of the angle between target and prediction: from -1, alike, to 1.

    A row's value is ``-sum(y_true / |y_true| * y_pred / |y_pred|)``; a norm below 1e-7 counts as
    1e-7, so a row of zeros gives 0.

    Parameters
    ----------
    axis : int
        Only -1, the columns' axis, is implemented.
    reduction, name, dtype : optional
        Common to all losses: see `Loss`.

    Examples
    --------
    >>> CosineSimilarity()([[0.0, 2.0]], [[0.0, 5.0]])
    -1.0
    """

    op = "cosine_similarity"
    _least_units = 2
    _least_reason = "the cosine of one number is only its sign"

    def __init__(
        self,
        axis: int = -1,
        reduction: str = "sum_over_batch_size",
        name: str | None = None,
        dtype: None = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self._set_axis(axis)
