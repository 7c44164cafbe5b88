"""Variables: named views of one flat buffer, which optimizers, copies and files treat as one vector."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from fastnn import random
from fastnn.errors import ArgumentError, FileFormatError, NotBuiltError

#: Variables begin at multiples of so many elements (a 64-byte line of float32).
ALIGNMENT = 16
#: A variable of more elements is taken for a mistake.
MOST_ELEMENTS = 2**31 - 1


class Storage:
    """A flat buffer and the variables that live in it.

    Attributes
    ----------
    array : ndarray, shape (elements,)
        Zero between the variables.
    """

    def __init__(self, variables: Sequence[Variable], dtype: str, old: dict[int, np.ndarray]):
        self.variables = list(variables)
        offset = 0
        offsets = []
        for variable in variables:
            offsets.append(offset)
            offset += -(-variable.size // ALIGNMENT) * ALIGNMENT
        _check_memory(offset * np.dtype(dtype).itemsize, len(self.variables))
        self.array = np.zeros(offset, dtype)
        for variable, start in zip(variables, offsets, strict=True):
            variable.storage, variable.offset = self, start
            if id(variable) in old:
                variable.view()[...] = old[id(variable)]


class Variable:
    """An array of parameters.

    Attributes
    ----------
    path : str
        Layer's name and the variable's own, ``'hidden/kernel'``.
    shape : tuple of int
    initializer, regularizer, constraint
    trainable : bool
    storage : Storage or None
        Where the values live, once a model has placed them.
    offset : int
        First element in the storage.
    """

    __slots__ = (
        "constraint", "initializer", "offset", "path", "regularizer", "shape", "size", "storage", "trainable",
    )  # fmt: skip

    def __init__(
        self,
        path: str,
        shape: tuple[int, ...],
        initializer: Any,
        regularizer: Any,
        constraint: Any,
        trainable: bool,
    ):
        self.path = path
        self.shape = shape
        self.size = math.prod(shape)
        if self.size > MOST_ELEMENTS:
            raise ArgumentError(
                f"{path} would have {self.size:,} elements: expected at most {MOST_ELEMENTS:,}. "
                f"Received: shape {shape}."
            )
        self.initializer = initializer
        self.regularizer = regularizer
        self.constraint = constraint
        self.trainable = trainable
        self.storage: Storage | None = None
        self.offset = 0

    @property
    def name(self) -> str:
        """The variable's own name, without the layer's."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the values."""
        return self._placed().array.dtype

    def view(self) -> np.ndarray:
        """Return the values themselves: writing to them changes the model."""
        return self._placed().array[self.offset : self.offset + self.size].reshape(self.shape)

    def numpy(self) -> np.ndarray:
        """Return a copy of the values."""
        return self.view().copy()

    def assign(self, values: Any) -> None:
        """Set the values."""
        self.view()[...] = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def _placed(self) -> Storage:
        if self.storage is None:
            raise NotBuiltError(f"{self.path} has no values yet: its layer is not part of a model.")
        return self.storage

    def __repr__(self) -> str:
        return f"<Variable {self.path} {self.shape}>"


def machine_bytes() -> int | None:
    """Return the size of the machine's memory, where that can be told."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PAGE_SIZE" not in names or "SC_PHYS_PAGES" not in names:
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _check_memory(size: int, variables: int) -> None:
    """Raise before asking for more memory than the machine has: it might be granted, and fail in use."""
    if size < 2**30:
        return
    available = machine_bytes()
    if available is not None and size > available:
        raise ArgumentError(
            f"{variables} variables would take {size / 2**30:.1f} GiB: expected at most the machine's "
            f"{available / 2**30:.1f} GiB. Received: layers with {size:,} bytes of weights."
        )


#: Values that new variables take, by path, instead of drawing them: while a saved model is made.
_GIVEN: ContextVar[Mapping[str, np.ndarray] | None] = ContextVar("initial values", default=None)


@contextmanager
def initial_values(values: Mapping[str, np.ndarray]) -> Iterator[None]:
    """Let variables placed inside the block begin with `values`; nothing is drawn.

    What a file says a model's shapes are is compared with the arrays that it holds before memory is asked
    for, so a file cannot make its reader use much more memory than its own size.

    Parameters
    ----------
    values : dict of str to ndarray
        By the variables' paths.

    Raises
    ------
    FileFormatError
        From inside the block, if a variable is not among them, or of another shape or dtype.
    """
    token = _GIVEN.set(values)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def _check_given(variables: Sequence[Variable], dtype: str, given: Mapping[str, np.ndarray]) -> None:
    for variable in variables:
        array = given.get(variable.path)
        if array is None or array.shape != variable.shape or array.dtype != dtype:
            found = "none" if array is None else f"{array.dtype} of shape {array.shape}"
            raise FileFormatError(
                f"Expected an array {variable.path!r}, {dtype} of shape {variable.shape}. Received: {found}."
            )


def place(variables: Sequence[Variable], dtype: str, seed: int) -> Storage:
    """Put variables into one storage, drawing initial values for those that have none.

    Variables that live elsewhere already bring along their whole old storage, so that every model that
    uses any of them still finds all of its own in one buffer.

    Parameters
    ----------
    variables : sequence of Variable
    dtype : {'float32', 'float64'}
    seed : int
        Seeds the initial values: variable number i draws from node i of the seed tree.
    """
    storages = {id(v.storage): v.storage for v in variables}
    if len(storages) == 1 and None not in storages.values():
        return next(iter(storages.values()))  # type: ignore[return-value]
    everything: dict[int, Variable] = {}
    old: dict[int, np.ndarray] = {}
    for storage in storages.values():
        for variable in storage.variables if storage else ():
            everything[id(variable)] = variable
            old[id(variable)] = variable.numpy()
    given = _GIVEN.get()
    if given is not None:
        _check_given([variable for variable in variables if id(variable) not in old], dtype, given)
    for variable in variables:
        everything.setdefault(id(variable), variable)
    merged = Storage(list(everything.values()), dtype, old)
    for number, variable in enumerate(variables):
        if id(variable) in old:
            continue
        if given is not None:
            variable.assign(given[variable.path])
        else:
            generator = random.generator(seed, random.INIT_STREAM, number)
            variable.assign(variable.initializer(variable.shape, merged.array.dtype, generator))
    return merged
