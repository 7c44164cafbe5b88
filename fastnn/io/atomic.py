"""Writing a file so that its path holds the old bytes or the new ones, whatever happens.

The new bytes go to a temporary file in the same folder, reach the disk (fsync), take the path's place in one
rename, and the folder reaches the disk too. A process holds a lock (flock) on its temporary file; one that
nobody holds was left by a process that died, and the next save into the folder removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from typing import Any

#: Temporary files are called ``.<16 hexadecimal digits>.fastnn-tmp``.
SUFFIX = ".fastnn-tmp"
#: What file systems that cannot sync a folder say; the rename itself is done.
_CANNOT_SYNC_A_FOLDER = (errno.EINVAL, errno.ENOTSUP)


def write(path: str | os.PathLike[str], chunks: Any) -> None:
    """Write a file in one step: afterwards, or after any failure, it is whole, the new or the old one.

    Parameters
    ----------
    path : str or PathLike
        A symbolic link stays one, and the file it leads to is replaced. An existing file's permissions are
        kept; a new one has those of the process's umask.
    chunks : bytes-like, or iterable of bytes-like
        What to write, in order.

    Raises
    ------
    OSError
        If the folder is missing or read-only, the path is a folder or no regular file, the disk is full, ...;
        its ``filename`` is `path`. The old file is as it was, and no temporary file is left. Only where the
        very last act fails, syncing the folder, the new file is in place, though a power cut may undo it.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(f"{folder}/hello", [b"hello ", b"world"])
    ...     pathlib.Path(folder, "hello").read_bytes()
    b'hello world'
    """
    shown = os.fspath(path)
    try:
        target = os.path.realpath(shown)
        mode = _check(target)
        folder = os.path.dirname(target)
        _remove_leftovers(folder)
        with _temporary(folder) as (file, name):
            if mode is not None:
                os.fchmod(file, mode)
            for chunk in [chunks] if _is_bytes(chunks) else chunks:
                _write_all(file, chunk)
            os.fsync(file)
            os.replace(name, target)
        _sync_folder(folder)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, shown) from error


def _is_bytes(chunks: Any) -> bool:
    return isinstance(chunks, (bytes, bytearray, memoryview))


def _check(target: str) -> int | None:
    """Return the permissions of the file at `target`, None where there is none; raise if it is no file."""
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), target)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", target)
    if not os.access(target, os.W_OK):  # a rename would not ask
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), target)
    return stat.S_IMODE(found.st_mode)


@contextlib.contextmanager
def _temporary(folder: str) -> Iterator[tuple[int, str]]:
    """Make a locked temporary file; afterwards it is closed, and removed if it still has its name."""
    file, name = _create(folder)
    try:
        yield file, name
    finally:
        with contextlib.suppress(OSError):  # renamed, or not to be helped
            os.unlink(name)
        os.close(file)


def _create(folder: str) -> tuple[int, str]:
    while True:
        name = os.path.join(folder, f".{os.urandom(8).hex()}{SUFFIX}")
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            _lock(file)
            if os.fstat(file).st_nlink:  # else another process took it for a leftover before the lock
                return file, name
        except BaseException:
            os.unlink(name)
            os.close(file)
            raise
        os.close(file)


def _lock(file: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: leftovers stay, saving works
        fcntl.flock(file, fcntl.LOCK_EX)


def _remove_leftovers(folder: str) -> None:
    """Remove temporary files whose process is gone."""
    with os.scandir(folder) as entries:
        names = [entry.path for entry in entries if entry.name.endswith(SUFFIX)]
    for name in names:
        with contextlib.suppress(OSError):  # in use, gone already, or not ours to remove
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name)
            finally:
                os.close(file)


def _write_all(file: int, chunk: Any) -> None:
    whole = memoryview(chunk)
    rest = whole.cast("B") if whole.nbytes else b""
    while len(rest):
        rest = rest[os.write(file, rest) :]


def _sync_folder(folder: str) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_A_FOLDER:
            raise
    finally:
        os.close(opened)
