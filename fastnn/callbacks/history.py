"""The record of a training: one value an epoch for each key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, ClassVar

from fastnn.callbacks.base import Callback
from fastnn.errors import NotBuiltError


class History(Callback):
    """What ``Model.fit`` returns.

    Attributes
    ----------
    history : dict of str to list of float
        ``'loss'``, the metrics' names, and the same with ``'val_'`` in front; one value an epoch (with
        ``validation_freq``, one an epoch with validation).
    epoch : list of int
        Numbers of the epochs.
    params : dict
        ``'epochs'``, ``'steps'``, ``'verbose'``.
    seconds : float
        Time spent in training, that of the runs it was resumed from included.

    Examples
    --------
    >>> from fastnn.layers import Dense
    >>> from fastnn.models import Sequential
    >>> model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    >>> model.compile("sgd", "mse", metrics=["mae"])
    >>> model.fit([[0.0, 1.0], [1.0, 1.0]], [1.0, 2.0], epochs=3, verbose=0)
    <History of 3 epochs: loss, mae>
    """

    state_attributes: ClassVar[tuple[str, ...]] = ("history", "epoch", "seconds")

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.seconds = 0.0
        self._evidence: Any = None  # plain data, or what gives them

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start with nothing."""
        self.epoch = []
        self.history = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Append an epoch's values."""
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)

    def extend(self, first_epoch: int, columns: Mapping[str, list[float]]) -> None:
        """Append many epochs at once."""
        count = len(next(iter(columns.values()), []))
        if not count:
            return
        self.epoch.extend(range(first_epoch, first_epoch + count))
        for key, values in columns.items():
            self.history.setdefault(key, []).extend(values)

    def last(self) -> dict[str, float]:
        """Return the latest value of each key."""
        return {key: values[-1] for key, values in self.history.items()}

    @property
    def evidence(self) -> dict[str, Any] | None:
        """What :meth:`certificate` is the hash of, as plain data; None until ``fit`` has ended."""
        if callable(self._evidence):
            self._evidence = self._evidence()
        found: dict[str, Any] | None = self._evidence
        return found

    def settle(self, evidence: Any) -> None:
        """Receive the evidence, or a function that gives it, when ``fit`` ends."""
        self._evidence = evidence

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_evidence": self.evidence}

    def certificate(self) -> str:
        """Return a hash of what was trained on what, how, and to which weights.

        The same run gives the same certificate: whatever the number of threads, with cold or warm kernel
        caches, in one go or interrupted and resumed. It is the SHA-256 of :attr:`evidence`, which holds

        * hashes of the training and validation data as the program reads them: dtypes, shapes, contents,
          sample weights (with class weights folded in); not whether they came as lists, arrays or frames; of
          files that are read piece by piece, of their names, sizes and contents; of batches that a user's
          code makes, only what made them;
        * the model's structure without its name and those of its layers, its dtype, the optimizer with the
          learning rate it began with, losses, loss weights and metrics;
        * seed, batch size, rows an epoch, whether rows were shuffled, how often and on how many rows it was
          validated, the first epoch, the steps and epochs that earlier fits had made, and those of this one;
        * fastnn's version;
        * the hash of the weights when ``fit`` ended.

        Callbacks are not in it, and neither are the versions of NumPy and of the compiler, nor the processor:
        where one of them makes a difference, it is in the weights. Functions (a schedule, a metric) are
        known by their names, initial weights by what became of them.

        Returns
        -------
        str
            64 hexadecimal digits.

        Raises
        ------
        NotBuiltError
            If the training has not ended, or this History is not the one ``fit`` returned.

        Notes
        -----
        The evidence is collected by every ``fit``. Data and weights up to 1 MiB are copied, and hashed when
        the certificate is asked for; larger ones at some 0.55 s a gigabyte, in a thread beside the
        training; of an array above 1 GiB, 1,024 blocks of 1 MiB.

        Examples
        --------
        >>> from fastnn.layers import Dense
        >>> from fastnn.models import Sequential
        >>> def train(threads):
        ...     model = Sequential([Dense(1, input_shape=(2,))], seed=0)
        ...     model.compile("sgd", "mse")
        ...     return model.fit([[0.0, 1.0], [1.0, 1.0]], [1.0, 2.0], verbose=0, threads=threads)
        >>> train(1).certificate() == train(2).certificate()
        True
        """
        if self.evidence is None:
            raise NotBuiltError(
                "A certificate is that of a training that has ended: expected the History that fit returned."
            )
        text = json.dumps(self.evidence, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def __repr__(self) -> str:
        count = len(self.epoch)
        return f"<History of {count} epoch{'' if count == 1 else 's'}: {', '.join(self.history)}>"
