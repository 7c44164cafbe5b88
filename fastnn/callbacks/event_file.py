"""TensorBoard's event files: records framed and checksummed by TensorBoard's own writer."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastnn.errors import missing_extra

#: Bars of a histogram, as many as TensorBoard's own writer makes.
BARS = 30
#: The ends of the scale of weight images (Okabe and Ito's blue and vermillion); zero is white.
NEGATIVE, POSITIVE = (0, 114, 178), (213, 94, 0)


def require_tensorboard() -> None:
    """Raise MissingExtraError if tensorboard is not installed."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        raise missing_extra("tensorboard", "tensorboard", "The TensorBoard callback") from None


class EventFile:
    """A file of events in a folder, opened on creation.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    run : str
        Names the training in the file's name, so that its files can be found again.
    purge_step : int
        TensorBoard is told to forget what earlier files of the folder hold from this step on. It heeds this
        from the second file on, so every file has the mark.
    """

    def __init__(self, folder: Path, run: str, purge_step: int):
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads a folder's files in the order of their names.
        host = re.sub(r"[^A-Za-z0-9_-]", "_", socket.gethostname())
        self.path = folder / f"events.out.tfevents.{time.time():.6f}.{host}.{os.getpid()}.{run}.v2"
        self._event = event_pb2.Event
        self._file = open(self.path, "xb")  # noqa: SIM115
        self._records = RecordWriter(self._file)
        self.add(file_version="brain.Event:2")
        start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
        self.add(step=purge_step, session_log=start)

    def add(self, **fields: Any) -> None:
        """Write an event."""
        self._records.write(self._event(wall_time=time.time(), **fields).SerializeToString())

    def write(self, step: int, values: Sequence[Any]) -> None:
        """Write summary values of one step."""
        from tensorboard.compat.proto import summary_pb2

        if values:
            self.add(step=step, summary=summary_pb2.Summary(value=values))

    def flush(self) -> int:
        """Hand everything to the operating system; returns the file's size in bytes."""
        self._file.flush()
        return self._file.tell()

    def close(self) -> None:
        """Flush and close; may be called again."""
        self._file.close()


def cut_back(folder: Path, run: str, sizes: dict[str, int]) -> None:
    """Cut the files of a run back to what they held at an earlier moment; younger ones are deleted.

    Parameters
    ----------
    folder : Path
    run : str
        Files of other runs are left alone.
    sizes : dict of str to int
        Bytes of each file at that moment, by name. One that is missing, or shorter, stays as it is.
    """
    for path in folder.glob(f"events.out.tfevents.*.{run}.v2"):
        if path.name not in sizes:
            path.unlink()
        elif path.stat().st_size > sizes[path.name]:
            os.truncate(path, sizes[path.name])


# ---------------------------------------------------------------------------- values of a summary
def scalar(tag: str, number: float) -> Any:
    """Return a number as a summary value; one too large for float32 becomes infinite."""
    from tensorboard.compat.proto import tensor_pb2, types_pb2
    from tensorboard.plugins.scalar.metadata import create_summary_metadata

    with np.errstate(over="ignore"):
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[float(np.float32(number))])
    return _value(tag, create_summary_metadata(None, None), tensor)


def histogram(tag: str, values: np.ndarray) -> Any:
    """Return an array's distribution as a summary value."""
    from tensorboard.compat.proto import tensor_pb2, types_pb2
    from tensorboard.plugins.histogram.metadata import create_summary_metadata

    table = bars(values)
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_DOUBLE, tensor_shape=_shape(table.shape), tensor_content=table.tobytes()
    )
    return _value(tag, create_summary_metadata(None, None), tensor)


def bars(values: np.ndarray, count: int = BARS) -> np.ndarray:
    """Return a histogram: left edge, right edge and number of values of each bar.

    Parameters
    ----------
    values : ndarray of float
        Values that are not finite are not counted.
    count : int, default 30
        Bars of equal width from the smallest value to the largest. Where those are the same, or too close
        to be divided, every bar is that one value and the last has the count, as TensorBoard does it.

    Returns
    -------
    ndarray of float64, shape (count, 3)

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.callbacks.event_file import bars
    >>> bars(np.array([0.0, 0.1, 0.9, 1.0]), 2)
    array([[0. , 0.5, 2. ],
           [0.5, 1. , 2. ]])
    """
    found = np.asarray(values, np.float64).ravel()
    if not np.isfinite(found).all():
        found = found[np.isfinite(found)]
    table = np.zeros((count, 3))
    if not found.size:
        return table
    low, high = found.min(), found.max()
    edges = np.linspace(low / count, high / count, count + 1) * count  # no overflow where high - low would
    if not (np.diff(edges) > 0).all():
        table[:, :2] = high
        table[-1, 2] = found.size
        return table
    edges[0], edges[-1] = low, high
    table[:, 0], table[:, 1] = edges[:-1], edges[1:]
    table[:, 2] = np.diff(np.append(np.sort(found).searchsorted(edges[:-1]), found.size))
    return table


def image(tag: str, pixels: np.ndarray, description: str) -> Any:
    """Return an RGB image, shape (height, width, 3) of uint8, as a summary value."""
    from tensorboard.compat.proto import tensor_pb2, types_pb2
    from tensorboard.plugins.image.metadata import create_summary_metadata

    height, width, _ = pixels.shape
    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING,
        tensor_shape=_shape((3,)),
        string_val=[str(width).encode(), str(height).encode(), png(pixels)],
    )
    return _value(tag, create_summary_metadata(None, description), tensor)


def text(tag: str, markdown: str) -> Any:
    """Return a text, which TensorBoard reads as Markdown, as a summary value."""
    from tensorboard.compat.proto import tensor_pb2, types_pb2
    from tensorboard.plugins.text.metadata import create_summary_metadata

    tensor = tensor_pb2.TensorProto(
        dtype=types_pb2.DT_STRING, tensor_shape=_shape(()), string_val=[markdown.encode()]
    )
    return _value(tag, create_summary_metadata(None, None), tensor)


def trial_begins(numbers: dict[str, float | bool | str]) -> Any:
    """Return a trial's hyperparameters as a summary value."""
    from google.protobuf import struct_pb2
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time())
    for name, value in numbers.items():
        if isinstance(value, bool):
            info.hparams[name].CopyFrom(struct_pb2.Value(bool_value=value))
        elif isinstance(value, str):
            info.hparams[name].CopyFrom(struct_pb2.Value(string_value=value))
        else:
            info.hparams[name].CopyFrom(struct_pb2.Value(number_value=value))
    data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
    content = metadata.create_summary_metadata(data)
    return _value(metadata.SESSION_START_INFO_TAG, content, metadata.NULL_TENSOR)


def trial_ends() -> Any:
    """Return the end of a trial as a summary value."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=time.time())
    data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
    return _value(metadata.SESSION_END_INFO_TAG, metadata.create_summary_metadata(data), metadata.NULL_TENSOR)


def _value(tag: str, metadata: Any, tensor: Any) -> Any:
    from tensorboard.compat.proto import summary_pb2

    return summary_pb2.Summary.Value(tag=tag, metadata=metadata, tensor=tensor)


def _shape(shape: Sequence[int]) -> Any:
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])


# ---------------------------------------------------------------------------- pictures of weights
def weight_pixels(values: np.ndarray) -> np.ndarray:
    """Return an array of weights as an image: blue is negative, white zero, orange-red positive.

    Parameters
    ----------
    values : ndarray
        Of one axis: a row of pixels; of two: the matrix, or if it has more rows than columns its transpose;
        of more: the last axis against all others.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        The value that is largest in magnitude has the full colour.
    """
    matrix = np.asarray(values, np.float64)
    matrix = matrix.reshape(1, -1) if matrix.ndim < 2 else matrix.reshape(-1, matrix.shape[-1])
    if matrix.shape[0] > matrix.shape[1]:
        matrix = matrix.T
    largest = np.abs(matrix).max()
    share = (matrix / largest if largest > 0 else matrix)[..., None]
    full = np.where(share < 0, NEGATIVE, POSITIVE)
    return np.rint(255 + np.abs(share) * (full - 255.0)).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Return an RGB image, shape (height, width, 3) of uint8, as a PNG file (ISO/IEC 15948)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    height, width, _ = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each line begins with its filter: none
    lines[:, 1:] = pixels.reshape(height, -1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body
