"""Named arrays and a JSON description in one checked file, in the safetensors format.

    8 bytes     length of the header, little-endian
    header      JSON: name -> {"dtype", "shape", "data_offsets"}, and "__metadata__" -> text by name; spaces
    data        the arrays' bytes, without gaps

The ``safetensors`` package opens our files (https://github.com/huggingface/safetensors has the format). Ours
hold two texts in ``__metadata__``: ``fastnn``, a JSON document with the format's version, the SHA-256 of each
array and what the caller described; and ``fastnn_sha256``, that of the header itself, computed with zeros in
its own place. So each byte of a file is under some checksum, and a file that was cut short or had a
bit changed is refused. The package is not used here, because it gives back neither the header's bytes nor its
spaces, and does not know checksums; reading and writing the format ourselves takes this page.

A checksum tells damage, not malice. Against malice there are bounds: nothing in a file is run, imported or
opened, and no file makes its reader use memory beyond a small multiple of the file's size.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import stat
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from fastnn.errors import ArgumentError, DtypeError, FileFormatError
from fastnn.io import atomic, strict_json

VERSION = 1
DTYPES: dict[str, np.dtype] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}
MAX_HEADER_BYTES = 16 << 20
MAX_TENSORS = 1 << 16
MAX_AXES = 32
#: Up to so many bytes of arrays are copied together and written by one call of the system.
SMALL = 1 << 22
#: The data begin at a multiple of this, for memory-mapped arrays.
ALIGNMENT = 64
_DOCUMENT, _CHECKSUM = "fastnn", "fastnn_sha256"
_ZEROS = "0" * 64

Arrays = dict[str, np.ndarray]


# --------------------------------------------------------------------------- writing
def write(path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    """Write arrays and a description, in one step and with checksums.

    Parameters
    ----------
    path : str or PathLike
    tensors : dict of str to array_like
        Of floats of 16, 32 or 64 bits, integers or truth values; of any shape and memory order.
    metadata : dict
        Anything JSON can hold: text, finite numbers, truth values, None, lists, and dicts with text as keys.
        Tuples come back as lists.

    Raises
    ------
    ArgumentError, DtypeError
        If something cannot be written; the file is as it was.
    OSError
        As of :func:`fastnn.io.atomic.write`.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/file", {"kernel": np.ones((2, 3))}, {"units": 3})
    ...     tensors, metadata = read(f"{folder}/file")
    >>> tensors["kernel"].shape, metadata
    ((2, 3), {'units': 3})
    """
    arrays = _arrays(tensors)
    document = {
        "version": VERSION,
        "checksums": {name: _sha256(array) for name, array in arrays.items()},
        "content": dict(metadata),
    }
    text = strict_json.dumps(document, "The description of a file")
    header = _header(arrays, {_DOCUMENT: text, _CHECKSUM: _ZEROS})
    # The document's own quotes are escaped in the header, so only the field itself reads like this.
    field = f'"{_CHECKSUM}":"{_ZEROS}"'.encode()
    checksum = hashlib.sha256(header).hexdigest().encode()
    _write(path, header.replace(field, field.replace(_ZEROS.encode(), checksum)), arrays)


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a plain safetensors file, without checksums, for other programs.

    Parameters
    ----------
    path : str or PathLike
    tensors : dict of str to array_like
        As of :func:`write`.
    metadata : dict of str to str, optional

    Raises
    ------
    ArgumentError, DtypeError, OSError
        As of :func:`write`.
    """
    for item in (metadata or {}).items():
        if not all(isinstance(text, str) for text in item):
            raise ArgumentError(f"Metadata of a safetensors file are text by name. Received: {item!r}.")
    arrays = _arrays(tensors)
    _write(path, _header(arrays, dict(metadata or {})), arrays)


def _arrays(tensors: Mapping[str, Any]) -> Arrays:
    """Return arrays as they are written: C order, little-endian."""
    if len(tensors) > MAX_TENSORS:
        raise ArgumentError(f"A file holds at most {MAX_TENSORS:,} arrays. Received: {len(tensors):,}.")
    found = {}
    for name, given in tensors.items():
        if not isinstance(name, str) or name == "__metadata__":
            raise ArgumentError(f"An array's name in a file is text, not '__metadata__'. Received: {name!r}.")
        array = np.asarray(given)
        little = array.dtype.newbyteorder("<") if array.dtype.kind in "fiu" else array.dtype
        if little not in NAMES:
            raise DtypeError(
                f"Array {name!r} cannot be written: expected one of {', '.join(map(str, NAMES))}. "
                f"Received: {array.dtype}."
            )
        found[name] = np.asarray(array, little, order="C")
    return found


def _by_size(arrays: Arrays) -> list[str]:
    """Return the names in the order of their bytes: wide numbers first, so that all are aligned."""
    return sorted(arrays, key=lambda name: -arrays[name].itemsize)


def _header(arrays: Arrays, metadata: dict[str, str]) -> bytes:
    """Return the header's bytes, padded with spaces so that the data are aligned."""
    offsets, position = {}, 0
    for name in _by_size(arrays):
        offsets[name] = [position, position + arrays[name].nbytes]
        position += arrays[name].nbytes
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    for name, array in arrays.items():
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": list(array.shape),
            "data_offsets": offsets[name],
        }
    raw = strict_json.dumps(header, "The header of a file").encode()
    raw += b" " * (-(len(raw) + 8) % ALIGNMENT)
    if len(raw) > MAX_HEADER_BYTES:
        raise ArgumentError(
            f"The description of a file takes at most {MAX_HEADER_BYTES:,} bytes. Received: {len(raw):,}."
        )
    return raw


def _write(path: str | os.PathLike[str], header: bytes, arrays: Arrays) -> None:
    chunks = [len(header).to_bytes(8, "little"), header, *(_bytes(arrays[name]) for name in _by_size(arrays))]
    small = sum(array.nbytes for array in arrays.values()) <= SMALL
    atomic.write(path, b"".join(chunks) if small else chunks)


def _bytes(array: np.ndarray) -> Any:
    return array.reshape(-1).view(np.uint8).data


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(_bytes(array)).hexdigest()


# --------------------------------------------------------------------------- reading
def read(path: str | os.PathLike[str], *, mmap: bool = False) -> tuple[Arrays, dict[str, Any]]:
    """Read what :func:`write` wrote: the same arrays and description, or an error.

    Parameters
    ----------
    path : str or PathLike
    mmap : bool, default False
        Return read-only arrays that look at the file, in memory the processes on this machine share. All
        bytes are still read once, to compare checksums.

    Returns
    -------
    tensors : dict of str to ndarray
    metadata : dict

    Raises
    ------
    FileFormatError
        If the file is damaged, cut short, longer than it should be, out of bounds, or not one of ours.
    OSError
        If it cannot be opened.
    """
    where = f"File {os.fspath(path)!r}"
    header, arrays = _read(path, mmap, where)
    texts = header[1]
    if _DOCUMENT not in texts or _CHECKSUM not in texts:
        raise FileFormatError(
            f"{where} is a safetensors file, but not one of fastnn's: its header lacks the description. "
            f"Expected '{_DOCUMENT}' and '{_CHECKSUM}' in '__metadata__'. Received: {sorted(texts)[:8]}."
        )
    blank = header[0].replace(texts[_CHECKSUM].encode("utf-8", "replace"), _ZEROS.encode(), 1)
    if hashlib.sha256(blank).hexdigest() != texts[_CHECKSUM]:
        raise FileFormatError(f"{where} is damaged: its header does not have the checksum that it states.")
    document = strict_json.loads(texts[_DOCUMENT], f"{where}: the description")
    checksums, content = _check_document(document, where)
    if checksums.keys() != arrays.keys():
        raise FileFormatError(f"{where}: arrays and checksums have different names.")
    for name, array in arrays.items():
        if _sha256(array) != checksums[name]:
            raise FileFormatError(
                f"{where} is damaged: array {name!r} does not have the checksum that is stated for it."
            )
    return arrays, content


def read_safetensors(path: str | os.PathLike[str], *, mmap: bool = False) -> tuple[Arrays, dict[str, str]]:
    """Read any safetensors file whose arrays NumPy can hold; nothing is compared with checksums.

    Parameters
    ----------
    path : str or PathLike
    mmap : bool, default False
        As of :func:`read`.

    Returns
    -------
    tensors : dict of str to ndarray
    metadata : dict of str to str
        The header's ``__metadata__``.

    Raises
    ------
    FileFormatError
        If the file breaks the format or its bounds, or an array is of a type that NumPy lacks (bfloat16).
    OSError
        If it cannot be opened.
    """
    (_, texts), arrays = _read(path, mmap, f"File {os.fspath(path)!r}")
    return arrays, texts


def _check_document(document: Any, where: str) -> tuple[dict[str, str], dict[str, Any]]:
    version = document.get("version") if isinstance(document, dict) else None
    if type(version) is int and version > VERSION:
        raise FileFormatError(
            f"{where} was written by a newer fastnn: format {version}, and this one reads up to {VERSION}."
        )
    if (
        type(version) is not int
        or version < 1
        or document.keys() != {"version", "checksums", "content"}
        or not all(isinstance(document[key], dict) for key in ("checksums", "content"))
    ):
        raise FileFormatError(f"{where}: the description is not one of format {VERSION}.")
    return document["checksums"], document["content"]


def _read(
    path: str | os.PathLike[str], mmap: bool, where: str
) -> tuple[tuple[bytes, dict[str, str]], Arrays]:
    """Return the header's bytes and texts, and the arrays."""
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(path))
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = _read_header(file, size, where)
        start = 8 + len(header)
        entries, texts = _check_header(header, size - start, where)
        if mmap and size > start:
            data = np.asarray(np.memmap(file, np.uint8, "r", start, (size - start,)))
        else:
            data = np.empty(size - start, np.uint8)
            if file.readinto(data.data) < len(data):
                raise FileFormatError(f"{where} became shorter while it was read.")
    return (header, texts), {name: _view(data, *entry, f"{where}: array {name!r}") for name, entry in entries}


def _read_header(file: BinaryIO, size: int, where: str) -> bytes:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise FileFormatError(
            f"{where} is no file of fastnn's, or is cut short: expected a header of {length:,} bytes. "
            f"Received: {size:,} bytes in all."
        )
    if length > MAX_HEADER_BYTES:
        raise FileFormatError(
            f"{where}: a header has at most {MAX_HEADER_BYTES:,} bytes. Received: {length:,}."
        )
    return file.read(length)


Entry = tuple[str, tuple[np.dtype, tuple[int, ...], int, int]]


def _check_header(raw: bytes, size: int, where: str) -> tuple[list[Entry], dict[str, str]]:
    """Return each array's name, dtype, shape and place in `size` bytes of data, and the metadata."""
    if raw[:1] != b"{":
        raise FileFormatError(f"{where} is no safetensors file: its header does not begin with '{{'.")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{where}: the header is not UTF-8 text ({error}).") from None
    header = strict_json.loads(text, f"{where}: the header")
    texts = header.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
        raise FileFormatError(f"{where}: '__metadata__' in the header must give a text for each name.")
    if len(header) > MAX_TENSORS:
        raise FileFormatError(f"{where}: at most {MAX_TENSORS:,} arrays. Received: {len(header):,}.")
    entries = [(name, _check_entry(entry, f"{where}: array {name!r}")) for name, entry in header.items()]
    position = 0
    for name, (_, _, begin, end) in sorted(entries, key=lambda entry: entry[1][2:]):
        if begin != position:
            raise FileFormatError(
                f"{where}: array {name!r} should begin at byte {position}, without overlap or gap. "
                f"Received: {begin}."
            )
        position = end
    if position != size:
        raise FileFormatError(f"{where} should hold {position:,} bytes of data. Received: {size:,}.")
    return entries, texts


def _check_entry(entry: Any, where: str) -> tuple[np.dtype, tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise FileFormatError(f"{where}: expected dtype, shape and data_offsets.")
    name, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    dtype = DTYPES.get(name) if isinstance(name, str) else None
    if dtype is None:
        raise FileFormatError(
            f"{where}: dtype must be one of {', '.join(DTYPES)}. Received: {str(name)[:40]!r}."
        )
    numbers = (*_naturals(shape, where), *_naturals(offsets, where))
    begin, end = numbers[-2:] if len(offsets) == 2 else (1, 0)
    if len(shape) > MAX_AXES or math.prod(shape) * dtype.itemsize != end - begin:
        raise FileFormatError(
            f"{where}: the shape, of at most {MAX_AXES} axes, must fill the bytes from begin to end. "
            f"Received: shape={str(shape)[:80]}, data_offsets={str(offsets)[:80]}."
        )
    if math.prod(extent for extent in shape if extent) >= 1 << 48:  # of an empty array; NumPy has a limit too
        raise FileFormatError(f"{where}: the shape is too large. Received: {str(shape)[:80]}.")
    return dtype, tuple(shape), begin, end


def _naturals(values: Any, where: str) -> list[int]:
    if not isinstance(values, list) or not all(type(v) is int and 0 <= v < 1 << 63 for v in values):
        raise FileFormatError(f"{where}: shape and offsets are lists of whole numbers from 0 to 2**63 - 1.")
    return values


def _view(
    data: np.ndarray, dtype: np.dtype, shape: tuple[int, ...], begin: int, end: int, where: str
) -> np.ndarray:
    """Return an array of the bytes; a copy only where others' files do not align them."""
    raw = data[begin:end]
    if dtype.kind == "b" and raw.max(initial=0) > 1:
        raise FileFormatError(f"{where}: truth values are bytes 0 and 1. Received: {raw.max()}.")
    array = raw.view(dtype).reshape(shape)
    return array if array.flags.aligned else array.copy()
