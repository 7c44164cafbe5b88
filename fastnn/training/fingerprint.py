"""What a training was: a hash of its data, and its settings as plain data."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.rows import Source
from fastnn.training.table import Table

#: Data above this size are hashed in a thread of their own, beside the training.
ASIDE_BYTES = 1 << 20
#: Of an array above this size, blocks spread evenly over it are hashed, so much in all.
MOST_BYTES = 1 << 30
BLOCK_BYTES = 1 << 20


class Fingerprint:
    """The SHA-256 of a table's inputs, targets and weights, taken while a training runs.

    It covers each array's dtype, shape and bytes in row order, as the program reads them; not the memory
    order, nor whether a list, an array or a data frame was given. SHA-256 takes about 0.55 s a gigabyte on a
    processor with instructions for it. Data up to 1 MiB are copied, and hashed when the value is asked for:
    for a short training the hash would be a tenth of its time. Larger data are hashed in a thread meanwhile,
    which a training on few threads does not notice. Of an array above 1 GiB only blocks of 1 MiB are read,
    1,024 of them spread evenly.

    Parameters
    ----------
    table : Table

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.training.fingerprint import Fingerprint
    >>> from fastnn.training.table import Table
    >>> x, y = np.zeros((4, 2)), np.ones((4, 1))
    >>> one, other = Table([x], [y], [None], [None]), Table([np.asfortranarray(x)], [y], [None], [None])
    >>> Fingerprint(one).value() == Fingerprint(other).value()
    True
    """

    def __init__(self, table: Table):
        self._arrays = list(_named_arrays(table))
        self._value: str | None = None
        self._thread: threading.Thread | None = None
        on_gpu = any(hasattr(array, "get") for _, array in self._arrays)  # brought over block by block
        if sum(_bytes(array) for _, array in self._arrays) <= ASIDE_BYTES:
            self._arrays = [(name, np.array(_host(array), order="C")) for name, array in self._arrays]
        elif not on_gpu:
            self._thread = threading.Thread(target=self._take_aside, daemon=True)
            self._thread.start()

    def _take_aside(self) -> None:
        with contextlib.suppress(Exception):  # such as a disk's; `value` tries again, and raises
            self._value = content_hash(self._arrays)

    def settle(self) -> None:
        """Wait for the thread: from here on the caller's arrays may change."""
        if self._thread is not None:
            self.value()

    def value(self) -> str:
        """Return the hash; the arrays are let go."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._value is None:
            self._value = content_hash(self._arrays)
        self._arrays = []
        return self._value


class SourceFingerprint:
    """What the rows that are read piece by piece are known by; see ``Source.fingerprint``.

    It is asked for in a thread beside the training: a file's, or an array's, reads much of it.
    """

    def __init__(self, source: Any):
        self._source = source
        self._value: Any = None
        self._thread: threading.Thread | None = None
        if type(source).fingerprint is not Source.fingerprint:
            self._thread = threading.Thread(target=self._take_aside, daemon=True)
            self._thread.start()

    def _take_aside(self) -> None:
        with contextlib.suppress(Exception):  # such as a disk's; `value` tries again, and raises
            self._value = self._source.fingerprint()

    def settle(self) -> None:
        """Take the value: from here on the source may change."""
        self.value()

    def value(self) -> Any:
        """Return plain data."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._value is None:
            self._value = self._source.fingerprint()
        return self._value


def fingerprint_of(table: Table) -> Fingerprint | SourceFingerprint:
    """Return the fingerprint of a table, whether its rows are in memory or not."""
    return Fingerprint(table) if table.source is None else SourceFingerprint(table.source)


def _named_arrays(table: Table) -> Iterator[tuple[str, np.ndarray]]:
    for role in ("inputs", "targets", "weights"):
        for number, array in enumerate(getattr(table, role)):
            if array is not None:
                yield f"{role} {number}", array


def _bytes(array: Any) -> int:
    return math.prod(array.shape) * array.dtype.itemsize


def _host(array: Any) -> Any:
    """Return rows of a table, wherever it is, as the host has them."""
    return array.get() if hasattr(array, "get") else array


def content_hash(arrays: Sequence[tuple[str, np.ndarray]]) -> str:
    """Return the SHA-256 of named arrays: names, dtypes, shapes and bytes in row order."""
    digest = hashlib.sha256()
    for name, array in arrays:
        digest.update(f"{name} {np.dtype(array.dtype).str} {tuple(array.shape)}\n".encode())
        rows = len(array) if array.ndim else 0
        block = max(1, BLOCK_BYTES * rows // max(_bytes(array), 1))
        starts = range(0, rows, block)
        if _bytes(array) > MOST_BYTES:
            starts = np.linspace(0, rows - block, MOST_BYTES // BLOCK_BYTES).astype(np.int64).tolist()
        for start in starts:
            digest.update(np.ascontiguousarray(_host(array[start : start + block])).data)
    return digest.hexdigest()


class WeightsFingerprint:
    """The SHA-256 of all variables as they are now, layer by layer: dtype, shapes and bytes.

    Weights up to 1 MiB are copied, and hashed when the value is asked for.

    Parameters
    ----------
    model : Model
        Built.
    """

    def __init__(self, model: Any):
        array = model.storage.array
        self._places = [(variable.offset, variable.size, variable.shape) for variable in model.variables]
        self._array = array.copy() if array.nbytes <= ASIDE_BYTES else array
        self._value: str | None = None
        if self._array is array:
            self.value()

    def value(self) -> str:
        """Return the hash; the copy is let go."""
        if self._value is None:
            array = self._array
            digest = hashlib.sha256(f"{array.dtype.str} {[shape for *_, shape in self._places]}\n".encode())
            for offset, size, _ in self._places:
                digest.update(array[offset : offset + size])
            self._value = digest.hexdigest()
        del self._array
        return self._value


class Evidence:
    """What a certificate is the hash of, put together when it is asked for.

    Parameters
    ----------
    settings : dict
        Plain data.
    hashes : dict of str to Fingerprint, WeightsFingerprint or None
    """

    def __init__(self, settings: dict[str, Any], hashes: dict[str, Any]):
        self._settings, self._hashes = settings, hashes

    def __call__(self) -> dict[str, Any]:
        """Return settings and hashes as plain data."""
        taken = {name: None if item is None else item.value() for name, item in self._hashes.items()}
        return {**self._settings, **taken}


# --------------------------------------------------------------------------- settings
def description(training: Any) -> dict[str, Any]:
    """Return what a training computes, as plain data; names of layers are left out.

    Parameters
    ----------
    training : Training

    Returns
    -------
    dict
        ``'model'``, ``'dtype'``, ``'losses'``, ``'loss_weights'``, ``'metrics'`` and ``'optimizer'``.
    """
    compiled = training.compiled
    if compiled.described is None or compiled.described[0] is not training.plan:
        compiled.described = (training.plan, _describe(training))  # it takes 0.1 ms, and fits may be short
    found = compiled.described[1]
    rate = plain(compiled.optimizer.learning_rate)  # the one setting that callbacks change
    optimizer = {**found["optimizer"], "config": {**found["optimizer"]["config"], "learning_rate": rate}}
    return {**found, "optimizer": optimizer}


def _describe(training: Any) -> dict[str, Any]:
    model, compiled = training.model, training.compiled
    structure = _nameless(plain(model.get_config()))
    optimizer = compiled.optimizer
    settings = {name: plain(getattr(optimizer, name)) for name in optimizer.argument_names()}
    return {
        "model": {key: item for key, item in structure.items() if key not in ("seed", "dtype")},
        "dtype": model.dtype,
        "losses": [plain(loss) for loss in compiled.losses],
        "loss_weights": [float(weight) for weight in compiled.loss_weights],
        "metrics": [[k, plain(metric), weighted] for k, metric, weighted in training.metrics],
        "optimizer": {"class_name": type(optimizer).__name__, "config": settings},
    }


def plain(value: Any) -> Any:
    """Return configurations as JSON can hold them; functions by their names, arrays by their hashes."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, np.ndarray):
        return {"sha256": content_hash([("", np.atleast_1d(value))])}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "get_config") and not isinstance(value, type):
        return {"class_name": type(value).__name__, "config": plain(value.get_config())}
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _nameless(config: Any) -> Any:
    """Leave out names: those made by fastnn count the layers of a process, and no result depends on them."""
    if isinstance(config, dict):
        return {key: _nameless(item) for key, item in config.items() if key != "name"}
    return [_nameless(item) for item in config] if isinstance(config, list) else config


def canonical(value: Any) -> bytes:
    """Return plain data as bytes, the same for equal data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def differences(there: Any, here: Any, path: str = "") -> Iterator[str]:
    """Name what differs between two pieces of plain data, ``'batch_size: 32 there, 64 here'``.

    Examples
    --------
    >>> from fastnn.training.fingerprint import differences
    >>> list(differences({"model": [{"units": 3}]}, {"model": [{"units": 4}]}))
    ['model[0].units: 3 there, 4 here']
    """
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            inner = f"{path}.{key}" if path else str(key)
            if key in there and key in here:
                yield from differences(there[key], here[key], inner)
            else:
                yield f"{inner}: only {'there' if key in there else 'here'}"
    elif isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for number, (one, other) in enumerate(zip(there, here, strict=True)):
            yield from differences(one, other, f"{path}[{number}]")
    elif there != here:
        yield f"{path}: {_short(there)} there, {_short(here)} here"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
