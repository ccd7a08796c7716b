"""Uploads: files that somebody sends to this machine, which a run reads in order of arrival while more of them come.

An upload is a folder. ``order.jsonl`` grows by one JSON object a line, and no line ever changes: its head, then a file
a line, then that it is closed. The bytes of a file lie beside, under the sha256 of their content with the suffix of
the file's name, so no name that was sent is a path here, and what is sent twice lies here once.

| line | fields |
| --- | --- |
| head | upload, user, at (seconds since 1970), files and bytes (how many are to come; null: not known), job |
| file | name, size (bytes), sha256, modified (ms since 1970, or null), pages (numbers of a document's; null: all) |
| end | closed: true |
"""

from __future__ import annotations

import copy
import errno
import os
import re
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from splitters import Item
from splitters.items import Items

ORDER = "order.jsonl"
POLL_S = 0.1
READ_BYTES = 2**16
MAX_NAME_BYTES = 1024
MAX_PART_BYTES = 255
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")


class Head(NamedTuple):
    """What is known of an upload before its files come."""

    upload: str
    user: str = ""
    at: float = 0.0
    files: int | None = None
    size_bytes: int | None = None
    job: str = ""

    def line(self) -> bytes:
        """The line of ``order.jsonl``."""
        about = {"upload": self.upload, "user": self.user, "at": self.at, "files": self.files}
        return _line({**about, "bytes": self.size_bytes, "job": self.job})

    @classmethod
    def parse(cls, line: bytes) -> Head:
        """Read the line.

        Raises:
            ValueError: It is none.
        """
        about = _object(line)
        if not isinstance(about.get("upload"), str):
            raise ValueError("an upload begins with another line")
        return cls(
            about["upload"], str(about.get("user", "")), float(about.get("at", 0)), about.get("files"),
            about.get("bytes"), str(about.get("job", "")),
        )  # fmt: skip


class Entry(NamedTuple):
    """A file that has arrived."""

    name: str
    """As it was sent, checked by ``check_name``; none comes twice."""
    size_bytes: int
    sha256: str
    modified_ms: int | None = None
    pages: tuple[int, ...] | None = None
    """The pages that are wanted of a document; None for all."""

    def line(self) -> bytes:
        """The line of ``order.jsonl``."""
        about: dict[str, Any] = {"name": self.name, "size": self.size_bytes, "sha256": self.sha256}
        about |= {"modified": self.modified_ms} if self.modified_ms is not None else {}
        return _line(about | ({"pages": self.pages} if self.pages is not None else {}))

    @classmethod
    def parse(cls, line: bytes) -> Entry | None:
        """Read the line; None: the upload is closed.

        Raises:
            ValueError: It is none of the two.
        """
        about = _object(line)
        if about.get("closed") is True:
            return None
        name, size, sha256, pages = (about.get(key) for key in ("name", "size", "sha256", "pages"))
        if not (isinstance(name, str) and isinstance(size, int) and _SHA256.fullmatch(str(sha256))):
            raise ValueError("a line of an upload cannot be understood")
        return cls(name, size, str(sha256), about.get("modified"), None if pages is None else tuple(pages))

    @property
    def place(self) -> str:
        """Where its bytes lie, below the upload's folder."""
        return f"{self.sha256[:2]}/{self.sha256}{_suffix(self.name)}"


CLOSED = b'{"closed":true}\n'


def check_name(name: str) -> None:
    """See that a file may be sent under this name: a relative path of plain parts, in text.

    Raises:
        ValueError: It may not; the message says why.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError("its name is no text in UTF-8") from None
    if not 0 < size <= MAX_NAME_BYTES:
        raise ValueError(f"its name has {size:,} bytes; 1 to {MAX_NAME_BYTES:,} are taken")
    if _CONTROL.search(name):
        raise ValueError("its name has a control character")
    parts = name.split("/")
    if name.startswith("/") or _DRIVE.match(name) or "" in parts or "." in parts or ".." in parts:
        raise ValueError("its name is no path below a folder")
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        raise ValueError(f"a part of its name has over {MAX_PART_BYTES} bytes")


def follow(folder: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[Entry]:
    """The files of an upload in order of arrival, to its end; waits for those that are to come.

    Args:
        folder: The upload's.
        on_wait: Called some times a second while it waits; what it raises ends the iteration.

    Raises:
        OSError: There is no such upload, or it was dropped while it was read.
        ValueError: The upload cannot be understood.
    """
    try:
        opened = (folder / ORDER).open("rb", buffering=0)
    except FileNotFoundError:
        raise _dropped(folder) from None
    with opened as stream:
        is_head = True
        while True:
            lines = _whole_lines(stream)
            if not lines:
                if os.fstat(stream.fileno()).st_nlink == 0:
                    raise _dropped(folder)
                on_wait()
                time.sleep(POLL_S)
            for line in lines:
                if is_head:
                    Head.parse(line)
                    is_head = False
                elif (entry := Entry.parse(line)) is None:
                    return
                else:
                    yield entry


def _whole_lines(stream: FileIO) -> list[bytes]:
    """The next lines, as far as they end. What is behind them is read anew: a full disk may take back half a line."""
    at, size = stream.tell(), READ_BYTES
    while b"\n" not in (data := stream.read(size)) and len(data) == size:
        size *= 2
        stream.seek(at)
    whole = data.rfind(b"\n") + 1
    stream.seek(at + whole)
    return data[:whole].splitlines()


def _dropped(folder: Path) -> OSError:
    return OSError(errno.ESTALE, "the upload was dropped", str(folder))


class Sent(Items):
    """An upload as the input of a run: files that go by the names under which they were sent.

    The order is that of arrival, so the input is the same whenever it is read.

    Args:
        folder: The upload's.

    Raises:
        FileNotFoundError: There is no such upload.
        ValueError: It cannot be understood.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with (folder / ORDER).open("rb") as stream:
            self.head = Head.parse(stream.readline())
        self.on_wait: Callable[[], None] = lambda: None
        """Called some times a second while it waits for files."""
        self._laid_out: Path | None = None
        super().__init__(self._read, self.head.files)

    def __str__(self) -> str:
        return f"the upload {self.head.upload}"

    def __iter__(self) -> Iterator[Path]:  # type: ignore[override]
        """The upload as files and folders, for splitters that take these alone; waits until it is closed.

        Files beside each other are given one by one, as if they were named; of anything else the folder of all.
        """
        return iter(self._paths())

    def again(self) -> Sent:
        """The same upload, for another thread."""
        other = copy.copy(self)
        other.on_wait, other._laid_out = (lambda: None), None
        return other

    def entries(self) -> Iterator[Entry]:
        """Its files: see ``follow``."""
        return follow(self.folder, lambda: self.on_wait())

    def path(self, entry: Entry) -> Path:
        """Where the bytes of a file lie."""
        return self.folder / entry.place

    def _read(self) -> Iterator[Item]:
        from splitters import files

        return map(files.read, files.walk(self))

    def _paths(self) -> Sequence[Path]:
        if self._laid_out is None:
            # On the disk of the upload, where a link does; what a kill leaves goes with the upload.
            self._laid_out = Path(tempfile.mkdtemp(prefix="laid-out-", dir=self.folder))
            weakref.finalize(self, shutil.rmtree, self._laid_out, ignore_errors=True)
        root = self._laid_out
        names = []
        for entry in self.entries():
            target = root / entry.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                _link(self.path(entry), target)
            names.append(entry.name)
        return [root] if any("/" in name for name in names) else [root / name for name in names]


def _link(path: Path, target: Path) -> None:
    """Have the bytes at ``target`` too, by a hard link where the two lie on one disk."""
    try:
        target.hardlink_to(path)
    except OSError:
        shutil.copyfile(path, target)


def _suffix(name: str) -> str:
    """The suffix that tells a file's kind, in lower case; "" without one."""
    from splitters import files

    return "" if files.is_without_suffix(name) else os.path.splitext(name)[1].lower()  # noqa: PTH122 - as in files


def _object(line: bytes) -> dict[str, Any]:
    found = orjson.loads(line)
    if not isinstance(found, dict):
        raise ValueError("a line of an upload is no JSON object")
    return found


def _line(about: dict[str, Any]) -> bytes:
    return orjson.dumps(about) + b"\n"
