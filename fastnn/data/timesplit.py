"""Splits by date: what is known first trains, what comes later tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.data.dates import as_dates, not_after
from fastnn.errors import ArgumentError, DataError, ShapeError
from fastnn.serialization import check_bool, check_integer


def time_split(
    dates: Any, train_until: Any, validation_until: Any = None, test_until: Any = None
) -> tuple[NDArray[np.int64], ...]:
    """Split rows at dates, as ``.loc`` does: labels are inclusive, and ``'1991'`` is all of that year.

    Parameters
    ----------
    dates : array_like, pandas Series or Index, shape (rows,)
        When each row is, in any order: datetimes without a time zone, text such as ``'1991-12'``, or numbers.
        For rows with a target that lies ahead give the date of the target.
    train_until : date, text or number
        The last date to train on.
    validation_until : date, text or number, optional
        The last date to validate on; None for no validation rows.
    test_until : date, text or number, optional
        The last date to test on; rows after it are in no part. By default all later rows are tested on.

    Returns
    -------
    train, validation, test : ndarray of int64
        Row numbers, ascending; without `validation_until` only train and test.

    Raises
    ------
    DtypeError, ShapeError
        If dates or labels cannot be compared.
    ArgumentError
        If the labels are not in order.
    DataError
        If a date is missing, or a part would have no rows.

    Examples
    --------
    >>> dates = ["1990-06", "1991-01", "1991-12", "1992-01", "2000-12", "2001-01"]
    >>> train, validation, test = time_split(dates, "1991", "2000")
    >>> train.tolist(), validation.tolist(), test.tolist()
    ([0, 1, 2], [3, 4], [5])
    """
    found = as_dates(dates, "dates")
    labels = {"train_until": train_until, "validation_until": validation_until, "test_until": test_until}
    if train_until is None:
        raise ArgumentError("train_until: expected a date. Received: None.")
    names = [name for name, label in labels.items() if label is not None]
    before = [not_after(found, labels[name], name) for name in names]
    if test_until is None:
        before.append(np.ones(len(found), bool))
    parts = ["train", *(["validation"] if validation_until is not None else []), "test"]
    rows, used = [], np.zeros(len(found), bool)
    for number, (part, upto) in enumerate(zip(parts, before, strict=True)):
        if (used & ~upto).any():
            raise ArgumentError(
                f"{names[number]}: expected a date after {names[number - 1]}={labels[names[number - 1]]!r}. "
                f"Received: {labels[names[number]]!r}."
            )
        chosen = np.flatnonzero(upto & ~used)
        if not len(chosen):
            span = f"from {found.min()} to {found.max()}" if len(found) else "of no rows"
            given = ", ".join(f"{name}={labels[name]!r}" for name in names)
            raise DataError(
                f"dates: expected at least one row to {_VERBS[part]}. Received: none; dates {span}, {given}."
            )
        rows.append(chosen)
        used |= upto
    return tuple(rows)


_VERBS = {"train": "train on", "validation": "validate on", "test": "test on"}


class WalkForward:
    """Folds that walk forward in time, for scikit-learn's ``cv=``: train on the past, test on what follows.

    Rows are grouped by date, so that no date is on both sides. A *period* is one of the distinct dates. The
    last ``n_splits * test_size`` periods are tested on, `test_size` at a time; each fold trains on periods
    before its test::

        |------------- train -------------| purge |-- test --|

    Parameters
    ----------
    n_splits : int or None, default 5
        Folds. None for as many as there is room for, which needs `test_size`.
    test_size : int, optional
        Periods to test on in each fold; by default ``periods // (n_splits + 1)``, as of scikit-learn's
        ``TimeSeriesSplit``.
    train_size : int, optional
        With `rolling` the periods to train on, else the fewest; by default what is left before the first
        test (if `n_splits` is None: `test_size`).
    rolling : bool, default False
        Train on the latest `train_size` periods only, instead of on all earlier ones.
    purge : int, default 0
        Periods between training and test that are in neither: as many as a target reaches ahead.
    embargo : int, default 0
        Periods after each test part that later folds do not train on, because their features still hold
        what was tested.
    dates : array_like of shape (rows,), optional
        When each row is; else ``split`` takes them as `groups`.

    Raises
    ------
    ArgumentError
        If a number is not one, or there are fewer periods than the folds need.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import WalkForward
    >>> years = np.repeat([2001, 2002, 2003, 2004, 2005], 2)
    >>> for train, test in WalkForward(2, test_size=1, purge=1).split(years, groups=years):
    ...     print(years[train].tolist(), years[test].tolist())
    [2001, 2001, 2002, 2002] [2004, 2004]
    [2001, 2001, 2002, 2002, 2003, 2003] [2005, 2005]
    """

    def __init__(
        self,
        n_splits: int | None = 5,
        *,
        test_size: int | None = None,
        train_size: int | None = None,
        rolling: bool = False,
        purge: int = 0,
        embargo: int = 0,
        dates: Any = None,
    ):
        where = "WalkForward"
        self.n_splits = None if n_splits is None else check_integer("n_splits", n_splits, where, 1)
        self.test_size = None if test_size is None else check_integer("test_size", test_size, where, 1)
        self.train_size = None if train_size is None else check_integer("train_size", train_size, where, 1)
        self.rolling = check_bool("rolling", rolling, where)
        self.purge = check_integer("purge", purge, where, 0)
        self.embargo = check_integer("embargo", embargo, where, 0)
        self.dates = None if dates is None else as_dates(dates, "dates")
        if self.n_splits is None and self.test_size is None:
            raise ArgumentError("WalkForward: expected `n_splits` or `test_size`. Received: neither.")

    def __repr__(self) -> str:
        names = ("n_splits", "test_size", "train_size", "rolling", "purge", "embargo")
        return f"WalkForward({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Return the number of folds; where `n_splits` is None, dates must be known.

        Examples
        --------
        >>> WalkForward(None, test_size=2, dates=range(2000, 2007)).get_n_splits()
        2
        """
        if self.n_splits is not None:
            return self.n_splits
        return self._folds(len(np.unique(self._dates_of(X, groups))))[0]

    def split(
        self, X: Any, y: Any = None, groups: Any = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Go through the folds.

        Parameters
        ----------
        X : array_like, shape (rows, ...)
            Only its length counts.
        y : object
            Not used.
        groups : array_like of shape (rows,), optional
            The rows' dates, if they were not given to the constructor.

        Yields
        ------
        train, test : ndarray of int64
            Row numbers, ascending.

        Raises
        ------
        ArgumentError
            If there are no dates, or fewer periods than the folds need.
        ShapeError
            If there is not one date a row.
        """
        periods, period_of_row = np.unique(self._dates_of(X, groups), return_inverse=True)
        splits, test_size, train_size = self._folds(len(periods))
        first = len(periods) - splits * test_size
        allowed = np.ones(len(periods), bool)
        for start in range(first, len(periods), test_size):
            stop = start - self.purge
            train = np.zeros(len(periods), bool)
            train[max(0, stop - train_size) if self.rolling else 0 : stop] = True
            train &= allowed
            if not train.any():
                raise ArgumentError(
                    f"{self}: the fold that tests on {periods[start]} has nothing to train on; expected a "
                    f"longer train_size than the embargo. Received: embargo={self.embargo}."
                )
            test = (period_of_row >= start) & (period_of_row < start + test_size)
            yield np.flatnonzero(train[period_of_row]), np.flatnonzero(test)
            allowed[start + test_size : start + test_size + self.embargo] = False

    def _dates_of(self, X: Any, groups: Any) -> np.ndarray:
        if (groups is None) == (self.dates is None):
            given = "neither" if groups is None else "both"
            raise ArgumentError(
                f"WalkForward: expected the rows' dates, either as WalkForward(dates=...) or as `groups`. "
                f"Received: {given}."
            )
        dates = self.dates if groups is None else as_dates(groups, "groups")
        assert dates is not None
        rows = None if X is None else getattr(X, "shape", (None,))[0] or len(X)
        if rows is not None and rows != len(dates):
            raise ShapeError(f"WalkForward: expected one date a row ({rows}). Received: {len(dates)} dates.")
        return dates

    def _folds(self, periods: int) -> tuple[int, int, int]:
        """Return the number of folds, and the periods of a test and of the first training part."""
        splits, test_size, least = self.n_splits, self.test_size, self.train_size or 1
        if splits is None:
            assert test_size is not None
            least = self.train_size or test_size
            splits = max((periods - self.purge - least) // test_size, 1)
        elif test_size is None:
            test_size = max(periods // (splits + 1), 1)
        left = periods - splits * test_size - self.purge
        if left < least:
            raise ArgumentError(
                f"{self}: expected at least {splits} x {test_size} periods to test on, {self.purge} to purge "
                f"and {least} to train on. Received: {periods} distinct dates."
            )
        return splits, test_size, self.train_size or left
