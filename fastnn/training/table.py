"""A table of training rows: inputs, targets and weights, checked and in a form the executor reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, DataError, ShapeError
from fastnn.ops.registry import Spec
from fastnn.training.arrays import READABLE, check_finite, match_rows, to_array, to_index


class Table:
    """Rows for training or evaluation.

    Attributes
    ----------
    inputs : list of ndarray, shape (rows, numbers)
        One for each model input.
    targets : list of ndarray
        One for each output that has a loss; None entries for the others are left out of ``arrays``.
    weights : list of ndarray or None
        One for each output.
    rows : int
    """

    def __init__(
        self,
        inputs: list[np.ndarray],
        targets: list[np.ndarray | None],
        weights: list[np.ndarray | None],
        target_shapes: list[tuple[int, ...] | None],
    ):
        self.inputs = inputs
        self.targets = targets
        self.weights = weights
        self.target_shapes = target_shapes
        self.rows = len(inputs[0]) if inputs else 0

    @property
    def weighted(self) -> list[bool]:
        """For each output, whether its rows have weights."""
        return [weight is not None for weight in self.weights]

    def arrays(self) -> list[np.ndarray]:
        """Return inputs, targets, weights: the order of a step program's inputs."""
        return [*self.inputs, *(t for t in self.targets if t is not None), *(w for w in self.weights if w is not None)]

    def sources(self) -> list[str]:
        """Return the arrays' dtypes, ``:strided`` where a row's numbers are not adjacent."""
        return [source_of(array) for array in self.arrays()]

    def readable_in_place(self, dtype: str) -> bool:
        """Whether kernels may read every array where it is."""
        return all(readable_in_place(array, dtype) for array in self.arrays())

    def bytes(self) -> int:
        """Return the size of all arrays in bytes."""
        return sum(array.nbytes for array in self.arrays())

    def split(self, start: int) -> tuple[Table, Table]:
        """Return the rows before `start`, and those from there on; no copies."""
        return self._slice(slice(0, start)), self._slice(slice(start, None))

    def _slice(self, rows: slice) -> Table:
        def cut(arrays: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
            return [None if array is None else array[rows] for array in arrays]

        return Table(cut(self.inputs), cut(self.targets), cut(self.weights), self.target_shapes)  # type: ignore[arg-type]


def source_of(array: np.ndarray) -> str:
    """Return an array's dtype as the planner names it."""
    adjacent = array.ndim < 2 or array.shape[1] == 1 or array.strides[1] == array.itemsize
    return array.dtype.name if adjacent else f"{array.dtype.name}:strided"


def readable_in_place(array: np.ndarray, dtype: str) -> bool:
    """Whether kernels may read an array where it is: right dtype, rows one after the other."""
    return array.dtype.name in (dtype, "int32") and array.flags.c_contiguous


def as_list(data: Any, names: Sequence[str], what: str) -> list[Any]:
    """Return one item for each name from a single item, a list or a dict by name."""
    if isinstance(data, Mapping) and not hasattr(data, "dtypes"):
        missing = [name for name in names if name not in data]
        if missing:
            raise ArgumentError(f"{what}: expected entries for {list(names)}. Received: {list(data)}; {missing} missing.")
        return [data[name] for name in names]
    if len(names) == 1:
        if isinstance(data, (list, tuple)) and len(data) == 1 and getattr(data[0], "ndim", 0) >= 1:
            return [data[0]]
        return [data]
    if not isinstance(data, (list, tuple)) or len(data) != len(names):
        count = len(data) if isinstance(data, (list, tuple)) else 1
        raise ArgumentError(f"{what}: the model has {len(names)} of them, {list(names)}. Received: {count}.")
    return list(data)


def read_inputs(model: Any, x: Any, where: str = "x") -> list[np.ndarray]:
    """Check a model's inputs; returns one 2-D array for each."""
    found = []
    items = as_list(x, model.input_names, where)
    for item, symbol, name, limit in zip(items, model.inputs, model.input_names, model.index_limits, strict=True):
        place = where if len(items) == 1 else f"{where}[{name!r}]"
        array, columns = to_array(item, place)
        array = _one_row_axis(array, symbol.spec, place)
        if symbol.spec.kind == "int":
            array = to_index(match_rows(array, symbol.spec, place), limit, place)
        else:
            check_finite(array, place, columns)
            array = _readable(match_rows(array, symbol.spec, place))
        found.append(array)
    _equal_rows(found, model.input_names, where)
    return found


def _one_row_axis(array: np.ndarray, spec: Spec, where: str) -> np.ndarray:
    if array.ndim == 1 and spec.size == 1:
        return array[:, None]
    return array


def _readable(array: np.ndarray) -> np.ndarray:
    """Copy only what no kernel can read: strides that are not whole items."""
    if array.dtype.name not in READABLE or any(stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array, np.float64 if array.dtype.name not in READABLE else None)
    return array


def read_targets(model: Any, y: Any, rows: int, where: str = "y") -> tuple[list[np.ndarray | None], list[Any]]:
    """Check the targets against the losses; returns the arrays and their shapes as given."""
    compiled = model.compiled
    if y is None:
        raise ArgumentError(f"{where}: the loss needs targets. Received: None.")
    arrays: list[np.ndarray | None] = []
    shapes: list[Any] = []
    for k, item in enumerate(as_list(y, model.output_names, where)):
        loss, spec = compiled.losses[k], model.outputs[k].spec
        place = where if len(model.output_names) == 1 else f"{where}[{model.output_names[k]!r}]"
        if loss is None:
            arrays.append(None)
            shapes.append(None)
            continue
        array, columns = to_array(item, place)
        if array.ndim == 0:
            raise ShapeError(f"{place}: expected one row per example. Received: a scalar.")
        loss.check((None, *spec.shape), array.shape, model.output_activation(k), where=model.describe_output(k))
        if len(array) != rows:
            raise ShapeError(f"{place}: x has {rows} rows, so {place} must have as many. Received: {len(array)}.")
        check_finite(array, place, columns)
        shapes.append((None, *array.shape[1:]))
        if loss.sparse_target:
            arrays.append(to_index(array.reshape(-1, 1), spec.size, place))
        else:
            _check_labels(loss, array, place)
            arrays.append(_readable(array.reshape(len(array), -1)))
    return arrays, shapes


def _check_labels(loss: Any, array: np.ndarray, where: str) -> None:
    probabilities = ("binary_crossentropy", "categorical_crossentropy", "binary_focal_crossentropy", "categorical_focal_crossentropy")
    if loss.op in probabilities and array.size and (array.min() < 0 or array.max() > 1):
        raise DataError(
            f"{where}: {loss.op} needs labels from 0 to 1. Received: values from {array.min()} to {array.max()}."
        )


def read_weights(
    model: Any, sample_weight: Any, class_weight: Any, targets: Sequence[np.ndarray | None], rows: int
) -> list[np.ndarray | None]:
    """Check sample weights and fold class weights into them; one array (or None) for each output."""
    names = model.output_names
    if sample_weight is None:
        found: list[np.ndarray | None] = [None] * len(names)
    elif len(names) > 1 and not isinstance(sample_weight, (list, tuple, Mapping)):
        found = [sample_weight] * len(names)
    else:
        found = as_list(sample_weight, names, "sample_weight")
    for k, item in enumerate(found):
        if item is None:
            continue
        array, _ = to_array(item, "sample_weight")
        if array.shape not in ((rows,), (rows, 1)):
            raise ShapeError(f"sample_weight: expected shape ({rows},). Received: {array.shape}.")
        check_finite(array, "sample_weight")
        if array.size and array.min() < 0:
            raise DataError(f"sample_weight: expected weights >= 0. Received: {array.min()}.")
        found[k] = _readable(array.reshape(-1, 1))
    if class_weight is not None:
        found = [_class_weights(class_weight, targets[k], found[k]) for k in range(len(names))]
    return [None if targets[k] is None else found[k] for k in range(len(names))]


def _class_weights(class_weight: Any, target: np.ndarray | None, weight: np.ndarray | None) -> np.ndarray | None:
    if not isinstance(class_weight, Mapping):
        raise ArgumentError(f"class_weight must be a dict from class to weight. Received: {class_weight!r}.")
    if target is None:
        return weight
    labels = target.argmax(axis=1) if target.shape[1] > 1 else target[:, 0]
    weights = np.ones((len(labels), 1))
    for label, value in class_weight.items():
        weights[labels == label] = value
    return weights if weight is None else weights * weight


def _equal_rows(arrays: Sequence[np.ndarray], names: Sequence[str], where: str) -> None:
    counts = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(counts.values())) > 1:
        raise ShapeError(f"{where}: all inputs must have equally many rows. Received: {counts}.")


def read_table(model: Any, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, where: str = "") -> Table:
    """Check everything a training or evaluation needs.

    Raises
    ------
    ShapeError, DtypeError, DataError, ArgumentError
        Saying what is wrong, what was expected, what was received and where.
    """
    inputs = read_inputs(model, x, f"{where}x")
    rows = len(inputs[0])
    if rows == 0:
        raise DataError(f"{where}x: expected at least one row. Received: no rows.")
    targets, shapes = read_targets(model, y, rows, f"{where}y")
    weights = read_weights(model, sample_weight, class_weight, targets, rows)
    return Table(inputs, targets, weights, shapes)
