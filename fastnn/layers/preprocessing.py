"""Normalization by statistics of the data, found before training and kept in the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastnn import initializers
from fastnn.arrays import to_array
from fastnn.errors import ArgumentError, DataError, ShapeError
from fastnn.graph.trace import Value
from fastnn.layers.axes import check_axis, check_last_axis
from fastnn.layers.base import Layer, Trace
from fastnn.layers.variables import Variable
from fastnn.ops.registry import Spec

#: Rows are turned into float64 so many elements at a time when `Normalization` adapts.
_ADAPT_ELEMENTS = 2**18


class Normalization(Layer):
    """Brings each column of the data to mean 0 and variance 1, inside the model.

    ``y = (x - mean) / max(sqrt(variance), 1e-7)``, where ``mean`` and ``variance`` are given, or found by
    :meth:`adapt`. A layer that was not adapted has mean 0 and variance 1.

    Parameters
    ----------
    axis : int, default -1
        Only the last axis: one mean and one variance for each column.
    mean, variance : float or array_like of float, optional
        Known statistics, both or neither: one number for all columns, or one for each.
    invert : bool, default False
        Only False: the way back is not implemented.
    **common
        ``name``, ``input_shape`` and the like: see :class:`Layer`.

    Raises
    ------
    ArgumentError
        If only one of the statistics is given, a variance is negative, or `axis` or `invert` ask for what is
        not implemented.
    ShapeError
        If the layer is used on rows of another width than it was adapted to.

    Notes
    -----
    Rows of shape ``(..., columns)``; the output has the same shape. Variables, which training does not
    change: ``mean`` and ``variance``, each of shape ``(columns,)``. (Keras also keeps a count of the rows.)
    They are weights: ``get_weights`` holds them, ``get_config`` does not.

    Examples
    --------
    >>> from fastnn.layers import Normalization
    >>> layer = Normalization()
    >>> layer.adapt([[1.0, 10.0], [3.0, 30.0]])
    >>> layer.mean, layer.variance
    (array([ 2., 20.]), array([  1., 100.]))
    """

    config_names: ClassVar[tuple[str, ...]] = ("axis",)

    def __init__(
        self, axis: int = -1, mean: Any = None, variance: Any = None, invert: bool = False, **common: Any
    ):
        super().__init__(**common)
        if axis is None:
            raise ArgumentError(
                f"Normalization layer {self.name!r} keeps one mean and variance a column: axis=None is not "
                "implemented, expected axis=-1. Received: axis=None."
            )
        if invert is not False:
            raise ArgumentError(
                f"Normalization layer {self.name!r}: `invert` is not implemented, expected False. "
                f"Received: invert={invert!r}."
            )
        if (mean is None) != (variance is None):
            raise ArgumentError(
                f"Normalization layer {self.name!r} needs both `mean` and `variance`, or neither. "
                f"Received: mean={mean!r}, variance={variance!r}."
            )
        self.axis = check_axis(axis, self)
        self._given = mean is not None
        self._statistics: tuple[NDArray[Any], NDArray[Any]] | None = None
        if self._given:
            statistics = self._checked("mean", mean), self._checked("variance", variance)
            if (statistics[1] < 0.0).any():
                raise ArgumentError(
                    f"Normalization layer {self.name!r}: a variance is at least 0. "
                    f"Received: variance={variance!r}."
                )
            self._statistics = statistics
        self._variables: tuple[Variable, Variable] | None = None

    def _checked(self, name: str, values: Any) -> NDArray[Any]:
        array = np.asarray(values)
        if array.dtype.kind not in "fiu" or array.ndim > 1 or not np.isfinite(array).all():
            raise ArgumentError(
                f"Normalization layer {self.name!r}: `{name}` must be a finite number, or one for each "
                f"column. Received: {name}={values!r}."
            )
        return array.astype(np.float64)

    @property
    def mean(self) -> NDArray[Any]:
        """The mean of each column; 0 before :meth:`adapt`."""
        return self._current(0)

    @property
    def variance(self) -> NDArray[Any]:
        """The variance of each column; 1 before :meth:`adapt`."""
        return self._current(1)

    def _current(self, which: int) -> NDArray[Any]:
        if self._variables is not None and self._variables[which].storage is not None:
            return self._variables[which].numpy()
        if self._statistics is not None:
            return self._statistics[which].copy()
        return np.array(float(which))

    def adapt(self, data: Any) -> None:
        """Set mean and variance to those of the columns of `data`, computed in float64.

        Works before the layer is part of a model and afterwards; what an earlier call found is forgotten.

        Parameters
        ----------
        data : array_like, shape (rows, ..., columns)
            Numbers: NumPy array, list, pandas DataFrame, anything with ``__array__``. One axis means one
            column.

        Raises
        ------
        DtypeError
            If the data are not real numbers.
        DataError
            If there are no rows, or NaN or infinity among the values; the column is named.
        ShapeError
            If the layer was built for another number of columns.
        ArgumentError
            If mean and variance were given to the constructor.
        """
        where = f"Normalization layer {self.name!r}"
        if self._given:
            raise ArgumentError(f"{where} cannot adapt: its mean and variance were given when it was made.")
        statistics = column_statistics(data, where)
        if self._variables is not None and self._variables[0].shape != statistics[0].shape:
            raise ShapeError(
                f"{where} was built for rows of {self._variables[0].size} columns. "
                f"Received: data with {statistics[0].size} columns."
            )
        self._statistics = statistics
        for variable, values in zip(self._variables or (), statistics, strict=False):
            variable.initializer = initializers.get(values)
            if variable.storage is not None:
                variable.assign(values)

    def build(self, specs: Sequence[Spec]) -> None:
        """Make the variables; their initial values are the statistics."""
        check_last_axis(self.axis, specs[0], self)
        width = specs[0].shape[-1]
        first: list[Any] = ["zeros", "ones"]
        if self._statistics is not None:
            for which, (name, values) in enumerate(zip(("mean", "variance"), self._statistics, strict=True)):
                if values.ndim and values.size != width:
                    raise ShapeError(
                        f"Normalization layer {self.name!r} has a {name} for each of {values.size} columns. "
                        f"Received: rows of shape {specs[0].shape}."
                    )
                first[which] = np.broadcast_to(values, (width,))
        self._variables = (
            self.add_weight("mean", (width,), first[0], trainable=False),
            self.add_weight("variance", (width,), first[1], trainable=False),
        )

    def call(self, trace: Trace, inputs: Sequence[Value]) -> Value:
        """Emit the op."""
        assert self._variables is not None
        check_last_axis(self.axis, inputs[0].spec, self)
        mean, variance = self._variables
        if inputs[0].spec.shape[-1:] != mean.shape:
            raise ShapeError(
                f"was built for rows of {mean.size} columns. Received: rows of shape {inputs[0].spec.shape}."
            )
        return trace.emit("standardize", [inputs[0], trace.parameter(mean), trace.parameter(variance)])

    def get_extra_state(self) -> dict[str, NDArray[Any]]:
        """Return what :meth:`adapt` found, if it was called."""
        if self._given or self._statistics is None:
            return {}
        return dict(zip(("mean", "variance"), self._statistics, strict=True))

    def set_extra_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take what :meth:`get_extra_state` returned; variables keep the values they have.

        Raises
        ------
        ArgumentError
            If it is not a mean and a variance.
        """
        if not state:
            return
        if self._given or state.keys() != {"mean", "variance"}:
            super().set_extra_state(state)
        self._statistics = self._checked("mean", state["mean"]), self._checked("variance", state["variance"])

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain data: the statistics only if they were given."""
        config = super().get_config()
        if self._given and self._statistics is not None:
            config["mean"], config["variance"] = (values.tolist() for values in self._statistics)
        return config


def column_statistics(data: Any, where: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return mean and variance of each column, over the rows and the axes between, in float64.

    Two passes over the data, a slice of rows at a time; values are taken relative to the first row, so that
    a constant column has a variance of exactly 0.

    Parameters
    ----------
    data : array_like, shape (rows, ..., columns) or (rows,)
    where : str
        For messages.

    Returns
    -------
    mean, variance : ndarray of float64, shape (columns,)

    Raises
    ------
    DtypeError, DataError, ShapeError
        If the data are not numbers, hold NaN or infinity (the column is named), or there are none.

    Examples
    --------
    >>> column_statistics([[1, 5], [3, 5]], "the table")
    (array([2., 5.]), array([1., 0.]))
    """
    array, columns_of_data = to_array(data, where)
    if array.ndim == 0 or array.size == 0:
        raise DataError(f"{where} needs data of at least one row and column. Received: shape {array.shape}.")
    columns = array.shape[-1] if array.ndim > 1 else 1
    array = array.reshape(-1, columns)
    names: list[Any] = list(columns_of_data or range(columns))
    step = max(1, _ADAPT_ELEMENTS // columns)
    slices = [slice(start, start + step) for start in range(0, len(array), step)]
    shift = array[0].astype(np.float64)
    total, squares = np.zeros(columns), np.zeros(columns)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in slices:
            block = array[rows].astype(np.float64)
            finite = np.isfinite(block).all(axis=0)
            if not finite.all():
                raise DataError(
                    f"{where} needs finite data. Received: NaN or infinity in column "
                    f"{names[int(np.argmin(finite))]!r}."
                )
            total += (block - shift).sum(axis=0)
        offset = total / len(array)
        for rows in slices:
            squares += ((array[rows].astype(np.float64) - shift - offset) ** 2).sum(axis=0)
        mean, variance = shift + offset, squares / len(array)
    finite = np.isfinite(mean) & np.isfinite(variance)
    if not finite.all():
        raise DataError(
            f"{where} needs values whose squares are finite. Received: larger ones in column "
            f"{names[int(np.argmin(finite))]!r}."
        )
    return mean, variance
