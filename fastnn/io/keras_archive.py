"""Keras 3's files as data: the zip archive ``.keras``, and the HDF5 layout of ``.weights.h5``.

A ``.keras`` file is a zip of ``config.json``, ``metadata.json`` and ``model.weights.h5``; the last holds the
arrays of each layer as ``layers/<class in snake case>[_<number>]/vars/<0, 1, ...>``. Layers that hold no
arrays have an empty group. Source: Keras 3.15, ``saving/saving_lib.py``.

Nothing in a file is imported, run, or unpacked to disk. An archive holds these three members and no others,
their sizes are bounded by the file's own, and an HDF5 file's links to other files are not followed.
"""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastnn.errors import FileFormatError, missing_extra
from fastnn.io import atomic, strict_json

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MAX_CONFIG_BYTES = 16 << 20
#: Keras stores members as they are; one that was compressed afterwards may grow by so much, not more.
MAX_EXPANSION = 100
MAX_LAYERS, MAX_ARRAYS = 1 << 16, 64

#: The arrays of each group, such as ``layers/dense_1``, in order.
Groups = dict[str, list[np.ndarray]]


# --------------------------------------------------------------------------- the archive
def write(path: str | os.PathLike[str], config: Mapping[str, Any], weights: bytes) -> None:
    """Write a ``.keras`` file, in one step.

    Parameters
    ----------
    path : str or PathLike
    config : dict
        As Keras' ``serialize_keras_object`` describes a model.
    weights : bytes
        From :func:`pack`.

    Raises
    ------
    OSError
        As of :func:`fastnn.io.atomic.write`.
    """
    metadata = {"keras_version": "3.0.0", "written_by": "fastnn"}
    members = {
        METADATA: json.dumps(metadata).encode(),
        CONFIG: strict_json.dumps(dict(config), "The configuration of a model").encode(),
        WEIGHTS: weights,
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(
                zipfile.ZipInfo(name), content
            )  # without the time: the same model, the same file
    atomic.write(path, buffer.getbuffer())


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], bytes]:
    """Read a ``.keras`` file.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    config : dict
    weights : bytes
        For :func:`unpack`.

    Raises
    ------
    FileFormatError
        If it is no such archive, is damaged, or has other members or larger ones than it should.
    OSError
        If it cannot be opened.
    """
    where = f"File {os.fspath(path)!r}"
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            with zipfile.ZipFile(file) as archive:
                members = _members(archive, size, where)
        except (
            zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
            ValueError, OverflowError,
        ) as error:  # fmt: skip
            if isinstance(error, FileFormatError):
                raise
            raise FileFormatError(f"{where} is no sound .keras archive: {error}.") from None
    try:
        text = members[CONFIG].decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{where}: {CONFIG} is not UTF-8 text ({error}).") from None
    config = strict_json.loads(text, f"{where}: {CONFIG}")
    if not isinstance(config, dict):
        raise FileFormatError(f"{where}: {CONFIG} must be a JSON object.")
    return config, members[WEIGHTS]


def _members(archive: zipfile.ZipFile, size: int, where: str) -> dict[str, bytes]:
    """Return the members' bytes, after a look at what the archive says of them."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    expected = {CONFIG, METADATA, WEIGHTS}
    if len(names) != len(set(names)) or not {CONFIG, WEIGHTS} <= set(names) <= expected:
        raise FileFormatError(
            f"{where}: a .keras archive holds {CONFIG}, {WEIGHTS} and {METADATA}, each once. "
            f"Received: {[name[:80] for name in names[:8]]}."
        )
    found = {}
    for info in infos:
        bound = MAX_CONFIG_BYTES if info.filename != WEIGHTS else size
        if info.compress_type == zipfile.ZIP_DEFLATED:
            bound = min(MAX_CONFIG_BYTES if info.filename != WEIGHTS else 1 << 62, size * MAX_EXPANSION)
        elif info.compress_type != zipfile.ZIP_STORED:
            raise FileFormatError(f"{where}: {info.filename} is compressed in a way Keras does not use.")
        if info.file_size > bound:
            raise FileFormatError(
                f"{where}: {info.filename} would take {info.file_size:,} bytes: expected at most {bound:,}."
            )
        with archive.open(info) as member:
            found[info.filename] = member.read(info.file_size + 1)
        if len(found[info.filename]) != info.file_size:
            raise FileFormatError(f"{where}: {info.filename} does not have the size that is stated for it.")
    return found


# --------------------------------------------------------------------------- HDF5
def pack(names: Mapping[str, str], groups: Mapping[str, Sequence[Any]]) -> bytes:
    """Return an HDF5 file of arrays in Keras' layout.

    Parameters
    ----------
    names : dict of str to str
        For each group the name of its layer, which Keras notes beside the arrays.
    groups : dict of str to sequence of array_like
    """
    h5py = _h5py()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, arrays in groups.items():
            variables = file.create_group(f"{path}/vars" if path else "vars")
            variables.attrs["name"] = names[path]
            for number, array in enumerate(arrays):
                variables.create_dataset(str(number), data=np.asarray(array))
    return buffer.getvalue()


def unpack(content: bytes, where: str) -> Groups:
    """Return the arrays of the layers of an HDF5 file in Keras' layout.

    Parameters
    ----------
    content : bytes
    where : str
        Begins messages.

    Raises
    ------
    FileFormatError
        If it is no such file, or an array is compressed, elsewhere, or not of numbers.
    """
    h5py = _h5py()
    groups: Groups = {}
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            layers = _child(h5py, file, "layers", h5py.Group, where)
            if len(layers) > MAX_LAYERS:
                raise FileFormatError(f"{where}: at most {MAX_LAYERS:,} layers. Received: {len(layers):,}.")
            for name in layers:
                layer = _child(h5py, layers, name, h5py.Group, where)
                found = f"{where}: layers/{name}"
                extra = set(layer) - {"vars", "seed_generator"}
                if extra:
                    raise FileFormatError(f"{found} holds more than arrays. Received: {sorted(extra)[:8]}.")
                variables = _child(h5py, layer, "vars", h5py.Group, found) if "vars" in layer else {}
                groups[f"layers/{name}"] = _arrays(h5py, variables, len(content), found)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError, MemoryError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{where} holds no sound weights in Keras' layout: {error}.") from None
    return groups


def _child(h5py: Any, group: Any, name: str, kind: type, where: str) -> Any:
    """Return a member of a group; a link that leads elsewhere is not followed."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise FileFormatError(f"{where}: expected {name!r}, in the file itself.")
    child = group[name]
    if not isinstance(child, kind):
        raise FileFormatError(f"{where}: {name!r} is not a {kind.__name__.lower()}.")
    return child


def _arrays(h5py: Any, variables: Any, size: int, where: str) -> list[np.ndarray]:
    if len(variables) > MAX_ARRAYS:
        raise FileFormatError(f"{where}: at most {MAX_ARRAYS} arrays. Received: {len(variables):,}.")
    if set(variables) != {str(number) for number in range(len(variables))}:
        raise FileFormatError(f"{where}: arrays are called 0, 1, ... Received: {sorted(variables)[:8]}.")
    found = []
    for number in range(len(variables)):
        data = _child(h5py, variables, str(number), h5py.Dataset, where)
        at = f"{where}: array {number}"
        if data.dtype.kind not in "fiu" or "dtype" in data.attrs:
            raise FileFormatError(f"{at} must be of floats or integers. Received: {data.dtype}.")
        elsewhere = data.is_virtual or data.external or data.chunks is not None
        if elsewhere or data.nbytes > size or data.id.get_storage_size() < data.nbytes:
            raise FileFormatError(f"{at} must be stored as it is, within the file.")
        found.append(np.asarray(data[()]))
    return found


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise missing_extra("h5py", "keras", "Reading and writing Keras' files") from None
    return h5py
