"""One column of a table: what it holds, and how it becomes numbers or indices of levels."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.numerals import are_dates, decimal_mark, parse
from fastnn.data.read import load_pandas
from fastnn.errors import DataError, DtypeError

NUMBER, CATEGORY, LEFT_OUT = "number", "category", "left out"
IDENTIFIER_NAME = re.compile(r"(.*[_\s.-])?(?i:id|uuid|guid|key|index|idx|rowid)|.*[a-z](Id|ID)|Unnamed: \d+")
#: From so many rows on, whole numbers without repetition or gaps are taken for a row number.
ROWS_TO_CALL_IT_A_COUNTER = 50
#: Text with so many distinct values a row is taken for an identifier.
IDENTIFIER_SHARE, ROWS_TO_CALL_IT_AN_IDENTIFIER = 0.9, 20
#: Numbers are handed to a float32 network as they are within these bounds, else centred and scaled.
LARGEST_TAME, SMALLEST_TAME_SPREAD, SMALLEST_TAME_RATIO = 1e15, 1e-15, 1e-3


@dataclasses.dataclass(frozen=True)
class Column:
    """What was learned of one column from the training rows.

    Attributes
    ----------
    name : str
    kind : {'number', 'category', 'left out'}
    source : {'number', 'point', 'comma', 'date', 'level', ''}
        How values are read: numbers, numbers in text with a decimal point or comma, days since 1970 of a
        date, levels.
    note : str
        What a user should be told; empty where nothing is unusual.
    missing : int
        Training rows without a value.
    median : float
        Stands for a missing number.
    center, scale : float
        A number enters the network as ``(x - center) / scale``: 0 and 1 but for columns that float32 cannot
        hold, very large or nearly constant.
    levels : tuple of str
        Level ``levels[i]`` has index ``i + 1``; index 0 is for missing and unknown ones.
    dtype : str
        The training column's dtype in pandas.
    unit : str
        What the numbers count, as the user says it: ``'EUR'``; nothing is converted.
    """

    name: str
    kind: str
    source: str = ""
    note: str = ""
    missing: int = 0
    median: float = 0.0
    center: float = 0.0
    scale: float = 1.0
    levels: tuple[str, ...] = ()
    dtype: str = ""
    unit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that JSON can hold."""
        return {**dataclasses.asdict(self), "levels": list(self.levels)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Column:
        """Return the column that `to_dict` described."""
        return cls(**{**data, "levels": tuple(data["levels"])})

    def numbers(self, series: Any) -> NDArray[np.float64]:
        """Return a number column's values: centred and scaled, NaN where missing.

        Raises
        ------
        DataError
            If a value is not a finite number.
        """
        values = as_numbers(series, self.source, self.where)
        check_finite(values, self.where, series.index)
        return (values - self.center) / self.scale

    def codes(self, series: Any) -> NDArray[np.int32]:
        """Return a category column's indices; 0 for missing and unknown levels."""
        codes, uniques = load_pandas("A table").factorize(series)
        index = {level: number for number, level in enumerate(self.levels, start=1)}
        table = np.array([*(index.get(level_text(value), 0) for value in uniques), 0], np.int32)
        return table[codes]  # the code of a missing value is -1: the last entry

    @property
    def where(self) -> str:
        """What messages call the column."""
        return f"Column {self.name!r}"


def level_text(value: Any) -> str:
    """Return the text of a level: whole numbers without a decimal point, whatever dtype they came in."""
    if isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return str(value)


def kind_of(series: Any, where: str) -> str:
    """Tell what a column holds: 'number', 'bool', 'text', 'category', 'date', 'duration' or 'nothing'.

    Raises
    ------
    DtypeError
        If it holds anything else; `where` is the column's name in the message.
    """
    types = load_pandas("A table").api.types
    found = types.infer_dtype(series, skipna=True)
    if isinstance(series.dtype, load_pandas("A table").CategoricalDtype):
        return "category"
    if types.is_bool_dtype(series.dtype) or found == "boolean":
        return "bool"
    if types.is_complex_dtype(series.dtype) or found == "complex":
        raise DtypeError(
            f"{where} must hold real numbers. Received: complex ones. Give two columns, real and imaginary "
            "part, or leave it out (drop=, --drop)."
        )
    if found in ("integer", "floating", "mixed-integer-float", "decimal"):
        return "number"
    if found in ("datetime64", "datetime", "date"):
        return "date"
    if found in ("timedelta64", "timedelta"):
        return "duration"
    if found in ("string", "mixed-integer") or (found == "mixed" and _only_simple(series)):
        return "text"
    if found == "empty" or not len(series):
        return "nothing"
    raise DtypeError(
        f"{where} must hold numbers, text, truth values or dates. Received: dtype {series.dtype} "
        f"({found}), such as {_example(series)}. Convert the column or leave it out (drop=, --drop)."
    )


def _only_simple(series: Any) -> bool:
    return all(isinstance(value, (str, int, float, bool, np.generic)) for value in series.dropna())


def _example(series: Any) -> str:
    text = repr(series.dropna().iloc[0])
    return text if len(text) <= 40 else text[:37] + "..."


def as_numbers(series: Any, source: str, where: str) -> NDArray[np.float64]:
    """Return a column as float64, NaN where missing.

    Parameters
    ----------
    series : pandas.Series
    source : {'number', 'point', 'comma', 'date'}
    where : str
        The column, for messages.
    """
    kind = kind_of(series, where)
    if kind == "nothing":
        return np.full(len(series), np.nan)
    if source == "date":
        return _as_days(series, kind, where)
    if kind == "category":
        series = series.astype(series.cat.categories.dtype)
        kind = kind_of(series, where)
    if kind in ("number", "bool"):
        values = series.astype(float) if series.dtype == object else series
        return np.asarray(values.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind == "text":
        codes, uniques = load_pandas("A table").factorize(series)
        parsed = parse([str(text) for text in uniques], "," if source == "comma" else ".", where)
        return np.append(parsed, np.nan)[codes]
    raise DtypeError(f"{where}: expected numbers. Received: {kind}s ({series.dtype}).")


def _as_days(series: Any, kind: str, where: str) -> NDArray[np.float64]:
    pandas = load_pandas("A table")
    if kind == "duration":
        return np.asarray(pandas.to_timedelta(series).dt.total_seconds().to_numpy(np.float64)) / 86400.0
    if kind not in ("date", "text"):
        raise DtypeError(f"{where}: expected dates. Received: {kind}s ({series.dtype}).")
    options = {"format": "ISO8601"} if kind == "text" else {}
    try:
        times = pandas.to_datetime(series, utc=True, **options)
    except (ValueError, OverflowError) as error:
        raise DataError(f"{where}: expected dates such as 2024-03-01. {str(error).splitlines()[0]}") from None
    stamps = times.dt.tz_localize(None).to_numpy("datetime64[us]")
    days = (stamps - np.datetime64(0, "us")) / np.timedelta64(1, "D")
    return np.asarray(days, np.float64)


def check_finite(values: NDArray[np.float64], where: str, index: Any) -> None:
    """Raise DataError if a value is infinite (NaN means missing); `index` holds the rows' labels."""
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise DataError(
            f"{where} must be finite. Received: {values[infinite[0]]} in {len(infinite):,} of "
            f"{len(values):,} rows, first in row {index[infinite[0]]} (counted from 0). Replace "
            "infinities, or leave them empty."
        )


# --------------------------------------------------------------------------- learning a column
def learn(series: Any, name: str, force: str | None = None, decimal: str | None = None) -> Column:
    """Learn a column from the training rows.

    Parameters
    ----------
    series : pandas.Series
    name : str
    force : {'number', 'category'}, optional
        What the user says the column is.
    decimal : {'.', ','}, optional
        The decimal mark of numbers in text, where the user says it.
    """
    where = f"Column {name!r}"
    missing = int(series.isna().sum())
    if missing == len(series):
        return Column(name, LEFT_OUT, note="no value in any training row", missing=missing)
    kind = kind_of(series, where)
    if force == CATEGORY or (force is None and kind in ("bool", "category")):
        return _learn_category(series, name, missing, checked=force is None)
    if kind == "number" or (force == NUMBER and kind in ("bool", "category")):
        return _learn_number(series, name, missing, "number", checked=force is None)
    if kind in ("date", "duration"):
        note = "dates, read as days since 1970" if kind == "date" else "durations, read as days"
        return _learn_number(series, name, missing, "date", note)
    texts = [str(value) for value in series.dropna().unique()]
    if are_dates(texts):
        return _learn_number(series, name, missing, "date", "dates in text, read as days since 1970")
    mark = decimal_mark(texts, where, decimal)
    if mark is not None:
        source, word = ("comma", "comma") if mark == "," else ("point", "point")
        note = f"text holding numbers, read with a decimal {word}"
        return _learn_number(series, name, missing, source, note)
    if force == NUMBER:
        parse(texts, decimal or ".", where)  # raises, with the text that is not a number
    return _learn_category(series, name, missing, checked=True)


def _learn_number(
    series: Any, name: str, missing: int, source: str, note: str = "", checked: bool = False
) -> Column:
    values = as_numbers(series, source, f"Column {name!r}")
    check_finite(values, f"Column {name!r}", series.index)
    known = values[~np.isnan(values)]
    low, high = float(known.min()), float(known.max())
    if low == high and not missing:
        return Column(name, LEFT_OUT, note=f"constant: {level_text(low)} in every training row")
    if checked and _is_identifier(known, name):
        return Column(
            name, LEFT_OUT, note="a number of its own in each row, an identifier? (--numeric keeps it)"
        )
    median = float(np.median(known))
    largest, spread = max(abs(low), abs(high)), high - low
    tame = largest <= LARGEST_TAME and spread >= max(SMALLEST_TAME_SPREAD, SMALLEST_TAME_RATIO * largest)
    center, scale = (
        (0.0, 1.0) if tame or low == high else (median, spread if math.isfinite(spread) else largest)
    )
    return Column(name, NUMBER, source, note, missing, median, center, scale)


def _is_identifier(values: NDArray[np.float64], name: str) -> bool:
    if len(values) < 2 or (values != np.floor(values)).any() or len(np.unique(values)) < len(values):
        return False
    dense = len(values) >= ROWS_TO_CALL_IT_A_COUNTER and values.max() - values.min() < 2 * len(values)
    return bool(dense or IDENTIFIER_NAME.fullmatch(name))


def _learn_category(series: Any, name: str, missing: int, checked: bool) -> Column:
    present = len(series) - missing
    levels = sorted({level_text(value) for value in series.dropna().unique()})
    if len(levels) == 1 and not missing:
        return Column(name, LEFT_OUT, note=f"constant: {levels[0]!r} in every training row")
    many = IDENTIFIER_SHARE * present if present >= ROWS_TO_CALL_IT_AN_IDENTIFIER else present
    if checked and len(levels) > 2 and len(levels) >= many:
        note = f"{len(levels):,} levels in {present:,} rows, an identifier? (--categorical keeps it)"
        return Column(name, LEFT_OUT, note=note, missing=missing)
    return Column(name, CATEGORY, "level", "", missing, levels=tuple(levels))
