"""What an output holds already: the memory of ``--only-new``, a small SQLite database.

It lies in an output folder as ``.cluster-done.sqlite``, and for an output file in this machine's cache folder. A row
stands for a file of the input whose results are written. Losing the database loses no result: its files are read again.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from cluster import errors
from splitters import files

FILE = ".cluster-done.sqlite"
FOLDER = "outputs"
"""In the cache folder: the memories of output files."""
VERSION = 1
LOCK_S = 60.0
"""How long to wait for another program that writes to the same memory."""
WRITE_S = 1.0
"""A program that is killed forgets the files of this many seconds at most, which are read again."""
NOT_DECISIVE = frozenset({"chunk_size", "password_file"})
"""Options that change no result."""
DIGEST_CHARS = 16
SCHEMA = (
    """
create table if not exists done (
    kind text not null, name text not null, size integer not null, mtime_ns integer not null, sha256 text not null,
    options text not null, output text not null, primary key (kind, name)
) without rowid
""",
    """
create table if not exists begun (
    kind text not null, options text not null, name text not null, path text not null, depth integer not null,
    size integer, mtime_ns integer
)
""",
)
"""``done``: files with results. ``begun``: files of the run that is under way, or was stopped, in their order."""


class Stamp(NamedTuple):
    """How a file looked when the input was walked: as long as this is the same, so are its bytes."""

    size_bytes: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """That of a file; None where there is none to reach."""
        try:
            with files.reached(path) as near:
                found = near.stat()
        except OSError:
            return None
        return cls(found.st_size, found.st_mtime_ns)


class Begun(NamedTuple):
    """A file that a run is to read."""

    name: str
    path: str
    depth: int
    size_bytes: int | None
    """None, like the time: it could not be reached."""
    mtime_ns: int | None


class Memory:
    """The files of the input that an output has the results of, for one job and format. Use it in a ``with``.

    Several programs may use it at a time, also by a network drive that can lock files.

    Args:
        file: Of the database; it is made.
        output: The folder or file of the results.
        kind: Job and format, as ``ocr pdf``: several may write to one folder.
        options: Digest of the options that decide the results, see ``digest``.
        is_folder: Whether ``output`` is a folder with a file for each document.

    Raises:
        errors.ClusterError: The database is damaged, or cannot be used there.
    """

    def __init__(self, file: Path, output: Path, kind: str, options: str, *, is_folder: bool) -> None:
        self.file = file
        self._output = output
        self._kind, self._options = kind, options
        self._is_folder = is_folder
        self._lock = threading.Lock()  # the writer of a run has a thread of its own
        self._pending: list[tuple[str | int, ...]] = []
        self._written_at = time.monotonic()
        with self._explained():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(file, timeout=LOCK_S, isolation_level=None, check_same_thread=False)
            # A journal and no WAL: that one needs memory shared by all who write, which a network drive has not.
            self._db.execute("pragma synchronous=normal")
            [[version]] = self._db.execute("pragma user_version")
            if version not in (0, VERSION):
                raise errors.ClusterError(f"{file} is of another version of cluster: remove it to read all files again")
            if not version:
                for table in SCHEMA:
                    self._db.execute(table)
                self._db.execute(f"pragma user_version={VERSION}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Keep what was entered, and let go of the database."""
        with self._lock, self._explained():
            self._flush()
            self._db.close()

    def has(self, name: str, path: Path, stamp: Stamp | None) -> bool:
        """Whether the results of a file are there: of the same bytes with the same options, and not removed since.

        A file is read where its size is the known one and its time is not; where it is the same all the same, the new
        time is kept.
        """
        with self._lock, self._explained():
            row = self._db.execute(
                "select size, mtime_ns, sha256, options, output from done where kind = ? and name = ?",
                (self._kind, name),
            ).fetchone()
        if row is None or stamp is None:
            return False
        size, mtime_ns, sha256, options, output = row
        if (options, size) != (self._options, stamp.size_bytes) or not self._is_there(output):
            return False
        if mtime_ns != stamp.mtime_ns:
            if sha256_of(path) != sha256:
                return False
            self._put(name, stamp, sha256, output)
        return True

    def enter(self, name: str, path: Path, stamp: Stamp, output: str) -> bool:
        """Remember that the results of a file are written; False where the file has changed since it was walked.

        Args:
            name: Of the file in the input.
            path: Where it lies.
            stamp: How it looked when it was walked.
            output: The file or folder with its results, below the output folder; "" for the output itself, and where it
                was left alone.
        """
        sha256 = sha256_of(path)
        if not sha256 or Stamp.of(path) != stamp:
            return False
        self._put(name, stamp, sha256, output)
        return True

    def begin(self, files: Iterable[Begun]) -> None:
        """Remember which files a run is to read, so that the same run can go on after it was stopped."""
        rows = [(self._kind, self._options, *one) for one in files]
        with self._lock, self._explained():
            self._db.execute("begin immediate")
            self._db.execute("delete from begun where kind = ?", (self._kind,))
            self._db.executemany("insert into begun values (?, ?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("commit")

    def begun(self) -> list[Begun]:
        """The files of the last run with these options, where it has not ended."""
        asked = "select name, path, depth, size, mtime_ns from begun where kind = ? and options = ? order by rowid"
        with self._lock, self._explained():
            return [Begun(*row) for row in self._db.execute(asked, (self._kind, self._options))]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other programs with this memory waiting meanwhile: what is read and written again loses nothing."""
        with self._lock, self._explained():
            self._db.execute("begin immediate")
        try:
            yield
        finally:
            with self._lock, self._explained():
                self._write()
                self._db.execute("commit")

    def _is_there(self, output: str) -> bool:
        place = self._output / output if self._is_folder and output else self._output
        try:
            with files.reached(place) as near:
                return near.exists()
        except OSError:
            return False

    def _put(self, name: str, stamp: Stamp, sha256: str, output: str) -> None:
        """Enter a row, with others at once: no lock is held in between."""
        with self._lock, self._explained():
            self._pending.append((self._kind, name, *stamp, sha256, self._options, output))
            if not self._db.in_transaction and time.monotonic() - self._written_at > WRITE_S:
                self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._db.execute("begin immediate")
            self._write()
            self._db.execute("commit")

    def _write(self) -> None:
        self._db.executemany("insert or replace into done values (?, ?, ?, ?, ?, ?, ?)", self._pending)
        self._pending.clear()
        self._written_at = time.monotonic()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            hint = "wait for the other program that uses it, or name another -o" if "locked" in str(error) else (
                "remove it, and all files are read again"
            )  # fmt: skip
            raise errors.ClusterError(f"the memory of --only-new, {self.file}: {error}; {hint}") from None


def digest(version: str, options: Mapping[str, Any]) -> str:
    """16 hex digits for the version of a job and those options that decide its results."""
    decisive = {name: value for name, value in options.items() if name not in NOT_DECISIVE}
    told = orjson.dumps([version, decisive], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(told).hexdigest()[:DIGEST_CHARS]


def place(output: Path, cache: Path, *, is_folder: bool) -> Path:
    """Where the memory of an output lies."""
    if is_folder:
        return output / FILE
    key = hashlib.sha256(str(output.resolve()).encode("utf-8", "surrogateescape")).hexdigest()
    return cache / FOLDER / f"{key}.sqlite"


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file; "" where it cannot be read."""
    try:
        with files.reached(path) as near, near.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""
