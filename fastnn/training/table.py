"""A table of training rows: inputs, targets and weights, checked and in a form the executor reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.errors import ArgumentError, DataError, ShapeError
from fastnn.program import PartSource, Source
from fastnn.rows import Gathered
from fastnn.serialization import check_number
from fastnn.training.arrays import match_rows, match_shape
from fastnn.training.door import check_finite, on_host, read, readable, to_index
from fastnn.training.parts import check_parts

#: Losses whose targets are probabilities.
PROBABILITY_TARGETS = frozenset(
    {"binary_crossentropy", "categorical_crossentropy"}
    | {"binary_focal_crossentropy", "categorical_focal_crossentropy"}
)


class Table:
    """Rows for training or evaluation.

    Attributes
    ----------
    inputs : list of ndarray or Gathered, shape (rows, numbers)
        One for each model input. Arrays that were on a GPU are CuPy's, here and in the following.
    targets : list of ndarray
        One for each output that has a loss; None entries for the others are left out of ``arrays``.
    weights : list of ndarray or None
        One for each output.
    rows : int
    held : int
        So many of the rows are in memory at a time: all of them.
    source : object
        What the rows are read from piece by piece; None: they are all there.
    """

    source: Any = None

    def __init__(
        self,
        inputs: list[np.ndarray | Gathered],
        targets: list[np.ndarray | None],
        weights: list[np.ndarray | None],
        target_shapes: Sequence[tuple[int | None, ...] | None],
    ):
        self.inputs = inputs
        self.targets = targets
        self.weights = weights
        self.target_shapes = target_shapes
        self.rows = self.held = len(inputs[0]) if inputs else 0
        self._brought: dict[int, np.ndarray] = {}

    @property
    def weighted(self) -> list[bool]:
        """For each output, whether its rows have weights."""
        return [weight is not None for weight in self.weights]

    def tables(self) -> list[np.ndarray | Gathered]:
        """Return inputs, targets, weights: the order of a step program's inputs."""
        optional = (*self.targets, *self.weights)
        return [*self.inputs, *(array for array in optional if array is not None)]

    def arrays(self) -> list[np.ndarray]:
        """Return the arrays of inputs, targets, weights as the executor is given them."""
        return arrays_of(self.tables())

    def sources(self) -> list[Source]:
        """Return the arrays' dtypes, ``:strided`` where a row's numbers are not adjacent, or their parts."""
        return [source_of(array) for array in self.tables()]

    def readable_in_place(self, dtype: str) -> bool:
        """Whether kernels may read every array where it is."""
        return all(readable_in_place(array, dtype) for array in self.tables())

    def bytes(self) -> int:
        """Return the size of all arrays in bytes."""
        return sum(array.nbytes for array in self.tables())

    def column_of(self, arrays: Sequence[Any], k: int) -> np.ndarray | None:
        """Return the targets or weights of output `k` on the host; what was on a GPU is brought over once."""
        array = arrays[k]
        if array is None or isinstance(array, np.ndarray):
            return array
        if id(array) not in self._brought:
            self._brought[id(array)] = on_host(array)
        return self._brought[id(array)]

    def split(self, start: int) -> tuple[Table, Table]:
        """Return the rows before `start`, and those from there on; no copies."""
        return self._slice(slice(0, start)), self._slice(slice(start, None))

    def _slice(self, rows: slice) -> Table:
        def cut(arrays: Sequence[Any]) -> list[Any]:
            return [None if array is None else array[rows] for array in arrays]

        return Table(cut(self.inputs), cut(self.targets), cut(self.weights), self.target_shapes)


def arrays_of(tables: Sequence[np.ndarray | Gathered]) -> list[np.ndarray]:
    """Return what the executor is given: each array, or what the parts of a table are made of."""
    found: list[np.ndarray] = []
    for table in tables:
        if isinstance(table, Gathered):
            for part in table.parts:
                found += [part.array, part.index, part.numbers]
        else:
            found.append(table)
    return found


def source_of(array: np.ndarray | Gathered) -> Source:
    """Return an array's dtype, or a table's parts, as the planner names them."""
    if isinstance(array, Gathered):
        return tuple(_part_source(part.array) for part in array.parts)
    adjacent = array.ndim < 2 or array.shape[1] == 1 or array.strides[1] == array.itemsize
    return array.dtype.name if adjacent else f"{array.dtype.name}:strided"


def _part_source(array: np.ndarray) -> PartSource:
    step = array.strides[1] // array.itemsize
    width = array.shape[1]
    return PartSource(array.dtype.name, width, 1 if width == 1 else step if step in (1, -1) else 0)


def readable_in_place(array: np.ndarray | Gathered, dtype: str) -> bool:
    """Whether kernels may read an array where it is: right dtype, rows one after the other.

    Of a table in parts, whether they might if it were an array: whichever it is, batches are cut alike.
    """
    if isinstance(array, Gathered):
        return array.dtype.name == dtype
    return array.dtype.name in (dtype, "int32") and array.flags.c_contiguous


def as_list(data: Any, names: Sequence[str], what: str, optional: Sequence[str] = ()) -> list[Any]:
    """Return one item for each name from a single item, a list or a dict by name.

    Parameters
    ----------
    data : object
    names : sequence of str
        Of the model's inputs or outputs.
    what : str
        What the data are, for messages.
    optional : sequence of str
        Names that a dict may leave out: their item is None.
    """
    if isinstance(data, Mapping):
        missing = [name for name in names if name not in data and name not in optional]
        if missing:
            raise ArgumentError(
                f"{what}: expected entries for {list(names)}. Received: {list(data)}; missing: {missing}."
            )
        return [data.get(name) for name in names]
    if len(names) == 1:
        if isinstance(data, (list, tuple)) and len(data) == 1 and getattr(data[0], "ndim", 0) >= 1:
            return [data[0]]
        return [data]
    if not isinstance(data, (list, tuple)) or len(data) != len(names):
        count = len(data) if isinstance(data, (list, tuple)) else f"one {type(data).__name__}"
        raise ArgumentError(
            f"{what}: expected a list of {len(names)} arrays, or a dict of them, for {list(names)}. "
            f"Received: {count}."
        )
    return list(data)


def read_inputs(model: Any, x: Any, where: str = "x", finite: bool = True) -> list[np.ndarray | Gathered]:
    """Check a model's inputs.

    Parameters
    ----------
    model : Model
        Built.
    x : array, list, DataFrame, Gathered, or a list or dict of them
    where : str
        What to call them in messages.
    finite : bool, default True
        Refuse arrays with a number that is not finite here; else the program must.

    Returns
    -------
    list of ndarray or Gathered, shape (rows, numbers in a row)
        One for each input; int32 for inputs that are looked up in an embedding.

    Raises
    ------
    ShapeError, DtypeError, DataError, ArgumentError
        If they cannot be used.
    """
    if x is None:
        raise ArgumentError(f"{where}: expected one row per example. Received: None.")
    found: list[np.ndarray | Gathered] = []
    names = model.input_names
    for item, symbol, name, limit in zip(
        as_list(x, names, where), model.inputs, names, model.index_limits, strict=True
    ):
        place = where if len(names) == 1 else f"{where}[{name!r}]"
        if isinstance(item, Gathered):
            match_shape(item.shape, symbol.spec, place)
            check_parts(item, symbol.spec.kind, place, model.dtype)
            found.append(item)
            continue
        array, columns = read(item, place)
        array = match_rows(array, symbol.spec, place)
        if symbol.spec.kind == "int":
            found.append(to_index(array, limit, place))
        else:
            if finite:
                check_finite(array, place, columns, model.dtype)
            found.append(readable(array))
    counts = {name: len(array) for name, array in zip(names, found, strict=True)}
    if len(set(counts.values())) > 1:
        raise ShapeError(f"{where}: all inputs must have equally many rows. Received: {counts}.")
    return found


def read_targets(
    model: Any, y: Any, rows: int, where: str = "y"
) -> tuple[list[np.ndarray | None], list[tuple[int | None, ...] | None]]:
    """Check the targets against the losses.

    Parameters
    ----------
    model : Model
        Built and compiled.
    y : array, list, DataFrame, or a list or dict of them
        Outputs without a loss need none.
    rows : int
        As many as the inputs have.
    where : str
        What to call them in messages.

    Returns
    -------
    arrays, shapes
        For each output the targets, shape (rows, numbers), int32 where they are classes, and their shape as
        given, with None for the rows.
    """
    if y is None:
        raise ArgumentError(f"{where}: the loss needs targets. Received: None.")
    names, losses = model.output_names, model.compiled.losses
    without = [name for name, loss in zip(names, losses, strict=True) if loss is None]
    arrays: list[np.ndarray | None] = []
    shapes: list[tuple[int | None, ...] | None] = []
    for k, item in enumerate(as_list(y, names, where, without)):
        array = None
        if losses[k] is not None:
            array = _read_target(model, k, item, rows, where if len(names) == 1 else f"{where}[{names[k]!r}]")
        shapes.append(None if array is None else (None, *array.shape[1:]))
        arrays.append(None if array is None else _settled(model, k, array))
    return arrays, shapes


def _read_target(model: Any, k: int, item: Any, rows: int, where: str) -> np.ndarray:
    """Return the targets of output number `k` in the shape they were given."""
    loss, spec = model.compiled.losses[k], model.outputs[k].spec
    if item is None:
        raise ArgumentError(f"{where}: the loss needs targets. Received: None.")
    array, columns = read(item, where)
    if array.ndim == 0:
        raise ShapeError(f"{where}: expected one row per example. Received: a single number.")
    if len(array) != rows:
        raise ShapeError(
            f"{where}: x has {rows} rows, so {where} must have as many. Received: {len(array)} "
            f"(shape {array.shape})."
        )
    loss.check((None, *spec.shape), array.shape, model.output_activation(k), where=model.describe_output(k))
    check_finite(array, where, columns, model.dtype)
    if loss.sparse_target:
        return to_index(array, spec.size, where)
    if loss.op in PROBABILITY_TARGETS and (array.min() < 0 or array.max() > 1):
        raise DataError(
            f"{where}: {loss.name} needs labels from 0 to 1. "
            f"Received: values from {array.min()} to {array.max()}."
        )
    return array


def _settled(model: Any, k: int, array: np.ndarray) -> np.ndarray:
    """Return targets as the program reads them."""
    columns = array.reshape(len(array), -1)
    return columns if model.compiled.losses[k].sparse_target else readable(columns)


def read_weights(
    model: Any, sample_weight: Any, class_weight: Any, targets: Sequence[np.ndarray | None], rows: int
) -> list[np.ndarray | None]:
    """Check sample weights and fold class weights into them; one array (or None) for each output."""
    names = model.output_names
    found: list[np.ndarray | None] = [None] * len(names)
    if sample_weight is not None:
        if len(names) > 1 and not isinstance(sample_weight, (list, tuple, Mapping)):
            sample_weight = [sample_weight] * len(names)
        items = as_list(sample_weight, names, "sample_weight", names)
        found = [_sample_weight(item, rows, model.dtype) for item in items]
    if class_weight is not None:
        weights = class_weights(class_weight, targets, names, model.outputs[0].spec.size)
        found[0] = readable(weights if found[0] is None else weights * on_host(found[0]))
    return [None if target is None else weight for target, weight in zip(targets, found, strict=True)]


def _sample_weight(item: Any, rows: int, dtype: str) -> np.ndarray | None:
    """Return the weights of one output's rows, shape (rows, 1)."""
    if item is None:
        return None
    array, _ = read(item, "sample_weight")
    if array.shape not in ((rows,), (rows, 1)):
        raise ShapeError(
            f"sample_weight: expected one weight for each row, shape ({rows},). Received: {array.shape}."
        )
    check_finite(array, "sample_weight", dtype=dtype)
    if array.min() < 0:
        raise DataError(f"sample_weight: expected weights >= 0. Received: {array.min()}.")
    return readable(array.reshape(-1, 1))


def class_weights(
    class_weight: Any, targets: Sequence[np.ndarray | None], names: Sequence[str], units: int
) -> np.ndarray:
    """Return the weight of each row by its class, shape (rows, 1); classes not named weigh 1.

    Raises
    ------
    ArgumentError
        If `class_weight` is not a dict from class to a weight of at least 0, or there are several outputs.
    """
    if not isinstance(class_weight, Mapping):
        raise ArgumentError(f"class_weight must be a dict from class to weight. Received: {class_weight!r}.")
    if len(targets) > 1:
        raise ArgumentError(
            f"class_weight is for models with one output; use sample_weight. Received: outputs {list(names)}."
        )
    assert targets[0] is not None
    classes = on_host(targets[0])
    labels = classes.argmax(axis=1) if classes.shape[1] > 1 else classes[:, 0]
    weights = np.ones((len(labels), 1))
    for label, value in class_weight.items():
        if isinstance(label, bool) or not isinstance(label, (int, float, np.integer, np.floating)):
            raise ArgumentError(
                f"class_weight: a class is a number, as in the targets. Received: {label!r} of type "
                f"{type(label).__name__}."
            )
        if label < 0 or (units > 1 and label >= units):
            raise ArgumentError(f"class_weight: expected classes from 0 to {units - 1}. Received: {label!r}.")
        weights[labels == label] = check_number("class_weight", value, f"class {label!r}", 0.0)
    return weights


def read_table(
    model: Any, x: Any, y: Any, sample_weight: Any = None, class_weight: Any = None, where: str = ""
) -> Table:
    """Check everything a training or evaluation needs.

    Parameters
    ----------
    model : Model
        Built and compiled.
    x, y, sample_weight, class_weight
        As ``fit`` takes them.
    where : str
        Put before the names in messages: ``'validation '``.

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
