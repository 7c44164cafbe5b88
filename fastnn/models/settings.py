"""The numbers given to ``fit``, checked once."""

from __future__ import annotations

import numbers
import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from fastnn.errors import ArgumentError
from fastnn.models.network import check_seed
from fastnn.serialization import check_bool, check_integer
from fastnn.training.table import Table


@dataclass(frozen=True)
class FitSettings:
    """How to fit; the attributes are the arguments of ``fit``."""

    batch_size: int
    epochs: int
    verbose: Any
    validation_split: float
    shuffle: bool
    initial_epoch: int
    steps_per_epoch: int | None
    validation_steps: int | None
    validation_batch_size: int
    validation_freq: int | frozenset[int]
    threads: int | None
    seed: int | None
    resume: str | None

    @classmethod
    def check(cls, given: dict[str, Any]) -> FitSettings:
        """Make settings from the arguments of ``fit``.

        Raises
        ------
        ArgumentError
            If one is of a wrong type or out of its range.
        """
        whole = {
            name: None if given[name] is None else check_integer(name, given[name], "fit", least)
            for name, least in (
                ("batch_size", 1),
                ("epochs", 0),
                ("initial_epoch", 0),
                ("steps_per_epoch", 1),
                ("validation_steps", 1),
                ("validation_batch_size", 1),
                ("threads", 1),
            )
        }
        for name in ("epochs", "initial_epoch"):
            check_integer(name, given[name], "fit", 0)
        whole["batch_size"] = whole["batch_size"] or 32
        whole["validation_batch_size"] = whole["validation_batch_size"] or whole["batch_size"]
        return cls(
            verbose=check_verbose(given["verbose"]),
            validation_split=_check_share(given["validation_split"]),
            shuffle=check_bool("shuffle", given["shuffle"], "fit"),
            validation_freq=_check_freq(given["validation_freq"]),
            resume=_check_path(given["resume"]),
            seed=None if given["seed"] is None else check_seed(given["seed"], "fit"),
            **whole,  # type: ignore[arg-type]
        )

    @property
    def validation_rows(self) -> int | None:
        """How many rows are evaluated at most; None for all."""
        return None if self.validation_steps is None else self.validation_steps * self.validation_batch_size

    def identity(self) -> dict[str, Any]:
        """Return what, besides the data, a resumed training must have in common, as plain data."""
        frequency = self.validation_freq
        return {
            "initial_epoch": self.initial_epoch,
            "validation_rows": self.validation_rows,
            "validation_freq": frequency if isinstance(frequency, int) else sorted(frequency),
        }

    def split(self, table: Table) -> tuple[Table, Table | None]:
        """Return the rows to train on and the last ones, to validate on."""
        if not self.validation_split:
            return table, None
        start = int(table.rows * (1.0 - self.validation_split))
        if start in (0, table.rows):
            raise ArgumentError(
                f"`validation_split`={self.validation_split} leaves no rows to "
                f"{'train' if start == 0 else 'validate'} on. Received: {table.rows} rows."
            )
        return table.split(start)


def _check_path(value: Any) -> str | None:
    if value is not None and (not isinstance(value, (str, os.PathLike)) or not os.fspath(value)):
        raise ArgumentError(f"`resume` of fit must be a backup's path, or None. Received: {value!r}.")
    return None if value is None else str(os.fspath(value))


def _check_share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) < 1:
        raise ArgumentError(f"`validation_split` of fit must be a number in [0, 1). Received: {value!r}.")
    return float(value)


def _check_freq(value: Any) -> int | frozenset[int]:
    if isinstance(value, Collection) and not isinstance(value, (str, dict)):
        return frozenset(check_integer("validation_freq", epoch, "fit", 1) for epoch in value)
    return check_integer("validation_freq", value, "fit", 1)


def check_verbose(value: Any) -> Any:
    """Return `verbose` if it is 'auto', 0, 1 or 2, else raise ArgumentError."""
    if not (isinstance(value, (str, numbers.Integral)) and value in ("auto", 0, 1, 2)):
        raise ArgumentError(f"`verbose` must be 'auto', 0, 1 or 2. Received: {value!r}.")
    return value if value == "auto" else int(value)
