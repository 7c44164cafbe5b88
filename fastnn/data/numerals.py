"""Numbers and dates written as text: told by all values of a column, never by one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from fastnn.errors import ArgumentError, DataError

#: 1234.5, 1,234.5, .5, 1e-3
POINT = re.compile(r"[+-]?(\d{1,3}(,\d{3})+(?!\d)|\d+|(?=\.\d))(\.\d*)?([eE][+-]?\d+)?")
#: 1234,5 and 1.234,5
COMMA = re.compile(r"[+-]?(\d{1,3}(\.\d{3})+(?!\d)|\d+|(?=,\d))(,\d*)?([eE][+-]?\d+)?")
ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?")
#: Text such as 007 is a code: as a number it would lose its zeros.
CODE = re.compile(r"0\d+")
#: A column of text in which so many of the values are numbers was meant to hold numbers.
MOSTLY = 0.9
FEWEST = 10
#: So many texts show whether it is worth looking at all of them.
SAMPLE = 1000


def clean(texts: Sequence[str]) -> list[str]:
    """Return the texts without blanks around or between thousands (some write 1 234,5)."""
    return [re.sub(r"(?<=\d)\s(?=\d{3}(?!\d))", "", text.strip()) for text in texts]


def are_dates(texts: Sequence[str]) -> bool:
    """Tell whether every text is a date or time as ISO 8601 writes it (2024-03-01 12:30)."""
    return bool(texts) and all(ISO_DATE.fullmatch(text.strip()) for text in texts)


def decimal_mark(texts: Sequence[str], where: str, decimal: str | None = None) -> str | None:
    """Tell how a column's texts write numbers.

    Parameters
    ----------
    texts : sequence of str
        The distinct texts.
    where : str
        The column, for messages.
    decimal : {'.', ','}, optional
        The decimal mark, where the user says it.

    Returns
    -------
    {'.', ','} or None
        The decimal mark, or None where the texts are not numbers.

    Raises
    ------
    DataError
        If nearly all texts are numbers but some are not, or if the mark cannot be told (1,234).

    Examples
    --------
    >>> decimal_mark(["12,5", "3"], "column 'price'")
    ','
    >>> decimal_mark(["1,234.5", "3"], "column 'price'")
    '.'
    >>> decimal_mark(["007", "012"], "column 'agent'") is None
    True
    """
    if decimal not in (None, ".", ","):
        raise ArgumentError(f"`decimal` must be '.' or ','. Received: {decimal!r}.")
    texts = clean(texts)
    if sum(map(_is_numeral, texts[:SAMPLE])) < len(texts[:SAMPLE]) / 2 or any(
        CODE.fullmatch(text) for text in texts
    ):
        return None
    point = [bool(POINT.fullmatch(text)) for text in texts]
    comma = [bool(COMMA.fullmatch(text)) for text in texts]
    if decimal is not None:
        point, comma = ([False], comma) if decimal == "," else (point, [False])
    if all(point) and all(comma) and any("," in text for text in texts):
        example = next(text for text in texts if "," in text)
        raise DataError(
            f"{where}: the comma of {example!r} may be a decimal mark or part thousands. "
            "Say which: decimal='.' or decimal=',' (--decimal on the command line)."
        )
    if all(point):
        return "."
    if all(comma):
        return ","
    _refuse_stray_texts(texts, point if sum(point) >= sum(comma) else comma, where)
    return None


def _is_numeral(text: str) -> bool:
    return bool(POINT.fullmatch(text) or COMMA.fullmatch(text))


def _refuse_stray_texts(texts: list[str], numbers: list[bool], where: str) -> None:
    if len(texts) < FEWEST or sum(numbers) < MOSTLY * len(texts):
        return
    strays = [text for text, number in zip(texts, numbers, strict=True) if not number]
    shown = ", ".join(repr(text) for text in strays[:3]) + (", ..." if len(strays) > 3 else "")
    raise DataError(
        f"{where}: expected numbers, as nearly all of its {len(texts):,} distinct values are. Received: text "
        f"{shown}. Correct these, read them as missing (--missing {strays[0]!r} on the command line), or "
        "take the column as categories (categorical=, --categorical)."
    )


def parse(texts: Sequence[str], mark: str, where: str) -> np.ndarray:
    """Return the numbers that texts hold, written with this decimal mark.

    Raises
    ------
    DataError
        If a text is not a number; it is shown.

    Examples
    --------
    >>> parse(["1.234,5", "3"], ",", "column 'price'").tolist()
    [1234.5, 3.0]
    """
    pattern = COMMA if mark == "," else POINT
    values = np.empty(len(texts))
    for number, text in enumerate(clean(texts)):
        if not pattern.fullmatch(text):
            raise DataError(f"{where}: expected a number. Received: the text {texts[number]!r}.")
        plain = text.replace(".", "").replace(",", ".") if mark == "," else text.replace(",", "")
        values[number] = float(plain)
    return values
