"""Atomic writes: every failure of every call leaves the old file whole and no litter."""

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap
import time

import pytest

from fastnn.io import atomic

OLD, NEW = b"old" * 1000, [b"new", b"", memoryview(b"er" * 5000)]
NEW_BYTES = b"".join(bytes(chunk) for chunk in NEW)


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def names(folder):
    return sorted(entry.name for entry in os.scandir(folder))


def test_the_file_is_replaced_and_nothing_else_is_left(target):
    atomic.write(target, NEW)
    assert target.read_bytes() == NEW_BYTES
    assert names(target.parent) == ["file"]
    atomic.write(str(target), bytearray(b"bytes"))
    assert target.read_bytes() == b"bytes"


def test_a_short_write_is_continued(target, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:1000]))
    atomic.write(target, NEW)
    assert target.read_bytes() == NEW_BYTES


def test_permissions(tmp_path, target):
    target.chmod(0o640)
    atomic.write(target, NEW)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    before = os.umask(0o027)
    try:
        atomic.write(tmp_path / "fresh", NEW)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o640


def test_links_are_followed(tmp_path, target):
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link"
    link.symlink_to(target)
    atomic.write(link, NEW)
    assert link.is_symlink() and target.read_bytes() == NEW_BYTES
    assert names(tmp_path / "elsewhere") == ["link"]


# --------------------------------------------------------------------------- failing calls
class FailingCalls:
    """Stands in for some functions of `os`: the n-th call of any of them fails."""

    NAMES = ("open", "write", "fsync", "replace", "fchmod", "close")

    def __init__(self, monkeypatch, failing, error):
        self.calls, self.failing, self.error = 0, failing, error
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self.wrap(name, getattr(os, name)))

    def wrap(self, name, real):
        def call(*args, **kwargs):
            self.calls += 1
            if self.calls != self.failing:
                return real(*args, **kwargs)
            self.failed = name
            if name == "close":  # an error of close has closed the file
                real(*args)
            raise self.error

        return call


def fail_each(target, monkeypatch, error):
    """Write with the first call failing, then the second, ...; yields the error and which call it was."""
    for failing in range(1, 100):
        target.write_bytes(OLD)
        with monkeypatch.context() as patch:
            calls = FailingCalls(patch, failing, error)
            try:
                atomic.write(target, NEW)
            except type(error) as caught:
                yield calls.failed, caught
                continue
        assert calls.calls == failing - 1 and failing > 8
        return
    raise AssertionError("it never succeeded")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EACCES])
def test_the_nth_call_fails(target, monkeypatch, number):
    opened, failed, places = len(os.listdir("/proc/self/fd")), [], []
    for name, caught in fail_each(target, monkeypatch, OSError(number, os.strerror(number))):
        assert caught.errno == number and caught.filename == str(target)
        found = target.read_bytes()
        if found == NEW_BYTES:  # the rename is done: only closing and syncing the folder were left
            assert name in ("close", "open", "fsync")
            places.append(name)
        else:
            assert found == OLD
        assert names(target.parent) == ["file"]
        failed.append(name)
    assert set(failed) == set(FailingCalls.NAMES)
    assert places == ["close", "open", "fsync", "close"]
    assert len(os.listdir("/proc/self/fd")) == opened


def test_the_bytes_reach_the_disk_before_the_name_and_the_name_before_the_return(target, monkeypatch):
    """After a power cut the disk has the calls up to the last sync, and no others for sure."""
    seen = []
    for name in ("write", "fsync", "replace"):
        real = getattr(os, name)

        def call(*args, name=name, real=real):
            folder = name == "fsync" and stat.S_ISDIR(os.fstat(args[0]).st_mode)
            seen.append("fsync folder" if folder else name)
            return real(*args)

        monkeypatch.setattr(os, name, call)
    atomic.write(target, NEW)
    assert seen == ["write", "write", "fsync", "replace", "fsync folder"]


def test_ctrl_c_at_the_nth_call(target, monkeypatch):
    for _ in fail_each(target, monkeypatch, KeyboardInterrupt()):
        assert target.read_bytes() in (OLD, NEW_BYTES)
        assert names(target.parent) == ["file"]


def test_chunks_that_fail(target):
    def chunks():
        yield b"new"
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        atomic.write(target, chunks())
    assert target.read_bytes() == OLD and names(target.parent) == ["file"]


def test_folders_that_cannot_be_synced_are_no_error(target, monkeypatch):
    real = os.fsync

    def fsync(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(file)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic.write(target, NEW)
    assert target.read_bytes() == NEW_BYTES


# --------------------------------------------------------------------------- real faults
def test_the_target_is_a_folder_or_a_device(tmp_path, target):
    with pytest.raises(IsADirectoryError) as caught:
        atomic.write(tmp_path, NEW)
    assert caught.value.filename == str(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(OSError, match="Not a regular file"):
            atomic.write(path, NEW)
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert names(tmp_path) == ["file", "pipe"]


def test_the_folder_is_missing_or_a_file(tmp_path, target):
    with pytest.raises(FileNotFoundError) as caught:
        atomic.write(tmp_path / "missing" / "file", NEW)
    assert caught.value.filename == str(tmp_path / "missing" / "file")
    with pytest.raises(NotADirectoryError):
        atomic.write(target / "file", NEW)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links"):
        atomic.write(loop, NEW)


def run_as_nobody(code, *arguments):
    """Run Python as a user without rights, where the tests run as root, whom no permission stops."""
    prelude = """
        import os, sys
        from fastnn.io import atomic
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


@pytest.mark.parametrize("read_only", ["folder", "file"])
def test_what_is_read_only_stays(tmp_path, target, read_only):
    for folder in tmp_path.parents:
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)
    tmp_path.chmod(0o555 if read_only == "folder" else 0o777)
    target.chmod(0o666 if read_only == "folder" else 0o444)
    code = """
        try:
            atomic.write(sys.argv[1], [b"new"])
        except PermissionError as error:
            print(error.filename)
    """
    done = run_as_nobody(code, target)
    tmp_path.chmod(0o755)
    assert done.stdout.strip() == str(target), done.stderr
    assert target.read_bytes() == OLD and names(tmp_path) == ["file"]


def test_no_space_is_left(target):
    """By a limit on the size of files: the kernel's own EFBIG, after a short write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(OSError) as caught:
            atomic.write(target, NEW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.errno == errno.EFBIG and caught.value.filename == str(target)
    assert target.read_bytes() == OLD and names(target.parent) == ["file"]


def test_a_full_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small tmpfs cannot be mounted here; test_no_space_is_left has a limit instead")
    try:
        atomic.write(folder / "file", [OLD])
        with pytest.raises(OSError) as caught:
            atomic.write(folder / "file", [bytes(4096)] * 40)
        assert caught.value.errno == errno.ENOSPC
        assert (folder / "file").read_bytes() == OLD and names(folder) == ["file"]
    finally:
        subprocess.run(["umount", str(folder)], check=True)


# --------------------------------------------------------------------------- processes
def start(code, *arguments):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)])


def wait_until(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for half a minute")


def test_temporary_files_of_dead_processes_go_and_those_in_use_stay(target):
    code = """
        import sys, time
        from fastnn.io import atomic

        def chunks():
            yield b"part"
            time.sleep(60)

        atomic.write(sys.argv[1], chunks())
    """
    process = start(code, target)
    try:
        wait_until(lambda: len(names(target.parent)) == 2)
        (leftover,) = set(names(target.parent)) - {"file"}
        wait_until(lambda: (target.parent / leftover).read_bytes())
        atomic.write(target, [b"while it is writing"])
        assert leftover in names(target.parent)
    finally:
        process.kill()
        process.wait()
    assert leftover in names(target.parent)
    atomic.write(target, NEW)
    assert names(target.parent) == ["file"] and target.read_bytes() == NEW_BYTES


def test_killed_at_the_nth_call(target):
    """The old file or the new one, and nothing left behind after the next save."""
    code = """
        import os, signal, sys
        from fastnn.io import atomic

        path, old, new = sys.argv[1], b"old" * 1000, [b"new", b"er" * 5000]
        fates = []
        for fatal in range(1, 100):
            atomic.write(path, old)
            assert os.listdir(os.path.dirname(path)) == ["file"], fatal
            child = os.fork()
            if not child:
                calls = 0
                for name in ("open", "write", "fsync", "replace", "fchmod", "close", "unlink"):
                    def call(*args, real=getattr(os, name), **kwargs):
                        global calls
                        calls += 1
                        if calls == fatal:
                            os.kill(os.getpid(), signal.SIGKILL)
                        return real(*args, **kwargs)
                    setattr(os, name, call)
                atomic.write(path, new)
                os._exit(0)
            ended = os.waitpid(child, 0)[1]
            with open(path, "rb") as file:
                fates.append({old: "old", b"".join(new): "new"}[file.read()])
            if ended == 0:
                break
            assert os.WIFSIGNALED(ended)
        print(" ".join(fates))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(target)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    fates = done.stdout.decode().split()
    assert 8 < len(fates) < 99 and fates == sorted(fates, reverse=True) and set(fates) == {"old", "new"}


def test_two_processes_write_and_a_reader_sees_whole_files(target):
    code = """
        import sys
        from fastnn.io import atomic

        for _ in range(100):
            atomic.write(sys.argv[1], [sys.argv[2].encode() * 10_000] * 10)
    """
    target.write_bytes(b"0" * 100_000)
    writers = [start(code, target, letter) for letter in "ab"]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        found = target.read_bytes()
        assert len(found) == 100_000 and len(set(found)) == 1
        seen.add(found[:1])
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen >= {b"a", b"b"} and names(target.parent) == ["file"]
