"""Zip archives as folders: their entries by name, checked before one is unpacked."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from splitters import files

HEADS = (b"PK\x03\x04", b"PK\x05\x06")
"""The latter of one without entries."""
MOST_ENTRIES = 10_000
MOST_LIST_BYTES = 4 * 2**20
"""Of the list of entries; 10,000 names of 300 characters fit."""
MOST_TIMES = 100
"""An entry, and all together, unpack to at most this many times the bytes that they take, or to ``FREE_BYTES``."""
FREE_BYTES = 16 * 2**20
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The others' libraries take as much memory as the archive asks for."""
END = struct.Struct("<4s4H2LH")
END_MARK = b"PK\x05\x06"
END_64 = struct.Struct("<4sQ2H2L4Q")
END_64_MARK = b"PK\x06\x06"
LOCATOR_BYTES = 20
"""Between the two ends of a Zip64. Of these the former counts, whatever the latter says."""
ABSOLUTE = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
ENCRYPTED = 1
ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, struct.error)


class Damaged(ValueError):
    """Why an archive, or an entry of it, cannot be read."""


class Entry(NamedTuple):
    """A file in an archive."""

    name: str
    """Its path in the archive; where two have the same one, the second is named ``a~2.jpg``."""
    info: zipfile.ZipInfo
    problem: str = ""
    """Why it is not to be unpacked."""


class Archive:
    """An open archive. Use it in a ``with``.

    Raises:
        Damaged: It is no zip archive, or has more entries than any should.
        OSError: The file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with files.reached(path) as near:
            self._stream: BinaryIO = near.open("rb")
        try:
            _check_list(self._stream)
            self._zip = zipfile.ZipFile(self._stream)
        except ERRORS as error:
            self._stream.close()
            raise error if isinstance(error, Damaged) else Damaged(f"is damaged: {error}") from None
        self._size = self._stream.seek(0, 2)

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it. It gives no more bytes."""
        self._zip.close()
        self._stream.close()

    def entries(self) -> list[Entry]:
        """The files in it, sorted like those of a folder, without those whose names start with a dot.

        Raises:
            Damaged: There are too many.
        """
        infos = [info for info in self._zip.infolist() if not info.is_dir()]
        if len(infos) > MOST_ENTRIES:
            raise Damaged(_too_many())
        found = []
        names = Counter[str]()
        left = max(FREE_BYTES, MOST_TIMES * self._size)
        for info in sorted(infos, key=lambda one: (one.filename.split("/"), one.header_offset)):
            problem = _problem(info)
            if not problem and any(part.startswith(".") for part in info.filename.split("/")):
                continue
            left -= 0 if problem else info.file_size
            if not problem and left < 0:
                problem = f"the entries up to it unpack to more than {MOST_TIMES} times the bytes of the archive"
            names[info.filename] += 1
            found.append(Entry(_numbered(info.filename, names), info, problem))
        return found

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[IO[bytes]]:
        """The entry's bytes, as many as it says at most, unpacked as they are read in the body of ``with``.

        Raises:
            Damaged: It cannot be unpacked.
        """
        try:
            with self._zip.open(entry.info) as stream:
                yield stream
        except ERRORS as error:
            raise Damaged(f"damaged: {error}") from None


def _too_many() -> str:
    return f"has more than {MOST_ENTRIES:,} entries"


def _check_list(stream: BinaryIO) -> None:
    """See that the list of entries has a size that can be held, before all of it is read."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - END_64.size - LOCATOR_BYTES - END.size - 0xFFFF))
    end = stream.read()
    at = end.rfind(END_MARK)
    if at < 0 or at + END.size > len(end):
        raise Damaged("is no zip archive, or cut off")
    _, _, _, _, entries, list_bytes, _, _ = END.unpack_from(end, at)
    before = at - LOCATOR_BYTES - END_64.size
    if before >= 0 and end.startswith(END_64_MARK, before):
        *_, entries_64, list_bytes_64, _ = END_64.unpack_from(end, before)
        entries, list_bytes = max(entries, entries_64), max(list_bytes, list_bytes_64)
    if entries > MOST_ENTRIES or list_bytes > MOST_LIST_BYTES:  # both are the largest numbers in a Zip64
        raise Damaged(_too_many())


def _problem(info: zipfile.ZipInfo) -> str:
    parts = re.split(r"[/\\]", info.filename)
    if ABSOLUTE.match(info.filename) or ".." in parts:
        return "its name leads out of the archive"
    kind = info.external_attr >> 16
    if stat.S_ISLNK(kind):
        return "is a link, which archives are not followed for"
    if info.flag_bits & ENCRYPTED:
        return "is encrypted: unpack the archive, and give the folder"
    if info.compress_type not in METHODS:
        return "is packed in a way that is not read: unpack the archive, and give the folder"
    if info.file_size > max(FREE_BYTES, MOST_TIMES * info.compress_size):
        return f"unpacks to {info.file_size // max(1, info.compress_size):,} times its bytes; the limit is {MOST_TIMES}"
    return ""


def _numbered(name: str, names: Counter[str]) -> str:
    """The name, or one like it that no entry before has."""
    if names[name] == 1:
        return name
    stem, dot, suffix = name.rpartition(".")
    for number in range(names[name], MOST_ENTRIES + 2):
        other = f"{stem}~{number}.{suffix}" if dot and "/" not in suffix else f"{name}~{number}"
        if not names[other]:
            break
    names[other] += 1
    return other
