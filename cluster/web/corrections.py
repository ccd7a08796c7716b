"""What people have corrected of texts that were read. It is kept apart from results, and survives another reading.

A correction belongs to the bytes that were read and to the owner of the run: when the same owner has the same picture
read again, with other options or in another run, it stands there, too.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

TABLE = """
CREATE TABLE IF NOT EXISTS corrections (
    owner TEXT NOT NULL,
    digest TEXT NOT NULL,
    text TEXT NOT NULL,
    by TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (owner, digest)
) WITHOUT ROWID
"""
AS_READ = "CREATE TABLE IF NOT EXISTS as_read (page INTEGER PRIMARY KEY, text TEXT NOT NULL)"
"""In the file of a run: what was read of pages whose text was corrected since."""
PUT = "INSERT OR REPLACE INTO corrections (owner, digest, text, by, at) VALUES (?, ?, ?, ?, ?)"


class Correction(NamedTuple):
    """A text as somebody has corrected it."""

    text: str
    by: str
    at: datetime


class Corrections:
    """All corrections of this page. Any thread may use it.

    Args:
        file: Where they are kept; it is made.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def put(self, owner: str, digest: str, text: str, by: str) -> None:
        """Keep a text in place of what was read of the bytes with this digest."""
        with self._opened() as db:
            db.execute(PUT, (owner, digest, text, by, datetime.now(UTC).isoformat()))

    def drop(self, owner: str, digest: str) -> None:
        """What was read counts again."""
        with self._opened() as db:
            db.execute("DELETE FROM corrections WHERE owner = ? AND digest = ?", (owner, digest))

    def get(self, owner: str, digest: str) -> Correction | None:
        """What stands in place of what was read of these bytes."""
        if not self._file.exists():
            return None
        with self._opened() as db:
            found = db.execute(
                "SELECT text, by, at FROM corrections WHERE owner = ? AND digest = ?", (owner, digest)
            ).fetchone()
        return None if found is None else Correction(found[0], found[1], datetime.fromisoformat(found[2]))

    def texts(self, owner: str) -> Mapping[str, str]:
        """Digest -> text, of all that was corrected for an owner."""
        if not self._file.exists():
            return {}
        with self._opened() as db:
            return dict(db.execute("SELECT digest, text FROM corrections WHERE owner = ?", (owner,)))

    def lay_over(self, file: Path, owner: str) -> None:
        """Have the file of a run, as ``readings_sqlite`` writes it, hold the corrected texts; searches find them."""
        if texts := self.texts(owner):
            with _changing(file) as db:
                for page, digest in db.execute("SELECT id, digest FROM pages").fetchall():
                    if digest in texts:
                        _lay(db, page, texts[digest])

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock, closing(sqlite3.connect(self._file)) as db, db:
            db.execute("PRAGMA secure_delete = ON")  # what is forgotten stays in no free page of the file
            db.execute(TABLE)
            yield db


def lay(file: Path, digest: str, text: str | None) -> None:
    """Have the file of a run hold this text for these bytes; None: what was read."""
    with _changing(file) as db:
        for (page,) in db.execute("SELECT id FROM pages WHERE digest = ?", (digest,)).fetchall():
            _lay(db, page, text)


def as_read(db: sqlite3.Connection, page: int) -> str | None:
    """What was read of the page with this ``id``; None where that is what the file holds."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'as_read'").fetchone():
        return None
    found = db.execute("SELECT text FROM as_read WHERE page = ?", (page,)).fetchone()
    return None if found is None else str(found[0])


@contextmanager
def _changing(file: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        db.execute(AS_READ)
        yield db
        db.execute("COMMIT")


def _lay(db: sqlite3.Connection, page: int, text: str | None) -> None:
    if text is None:
        db.execute("UPDATE pages SET text = (SELECT text FROM as_read WHERE page = id) WHERE id IN"
                   " (SELECT page FROM as_read WHERE page = ?)", (page,))  # fmt: skip
        db.execute("DELETE FROM as_read WHERE page = ?", (page,))
        return
    db.execute("INSERT OR IGNORE INTO as_read (page, text) SELECT id, text FROM pages WHERE id = ?", (page,))
    db.execute("UPDATE pages SET text = ? WHERE id = ?", (text, page))
