"""Fuzz the loader with atheris; a script, which pytest does not collect.

    pip install atheris
    python tests/io/fuzz_loader.py -runs=100000 -max_total_time=600

The fuzzer changes a header and data; a right checksum is put in, so that it gets past the checksums, and the
loader must give a FileFormatError or a model. Anything else is a finding.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["fastnn"]):
    from fastnn.errors import FileFormatError
    from fastnn.models import load_model

GOLDEN = Path(__file__).parent / "golden"
FOLDER = tempfile.TemporaryDirectory()
PATH = Path(FOLDER.name, "fuzzed.fastnn")
FIELD = re.compile(rb'"fastnn_sha256":"([0-9a-f]{64})"')


def with_checksum(data: bytes) -> bytes:
    """Return the file with the header's length and checksum put right."""
    end = data.find(b"}}", 8)
    length = int.from_bytes(data[:8], "little")
    if not 8 < length <= len(data) - 8:
        length = end + 2 - 8 if end > 8 else len(data) - 8
    header = data[8 : 8 + max(length, 0)]
    found = FIELD.search(header)
    if found:
        blank = header.replace(found[1], b"0" * 64, 1)
        header = header.replace(found[1], hashlib.sha256(blank).hexdigest().encode(), 1)
    return len(header).to_bytes(8, "little") + header + data[8 + len(header) :]


def one(data: bytes) -> None:
    """Load one file."""
    PATH.write_bytes(with_checksum(data))
    with contextlib.suppress(FileFormatError):
        load_model(PATH)


def main() -> None:
    """Start from the golden files."""
    corpus = Path(FOLDER.name, "corpus")
    corpus.mkdir()
    for number, path in enumerate(GOLDEN.rglob("*.fastnn")):
        (corpus / str(number)).write_bytes(path.read_bytes())
    atheris.Setup([*sys.argv, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
