"""Write pages that were read to an SQLite file with a full-text index, and go on with one."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import orjson

from aggregators.readings import Line, Reading
from aggregators.readings_files import READ
from splitters import page_names

Parts = Iterable[Mapping[str, Reading | None]]
MAGIC = b"SQLite format 3\0"
OURS = 0x636C7470
"""The ``application_id`` of files with these tables: "cltp"."""
PACKED_LEVEL = 1
HASH_BYTES = 32 * 2**20
"""Memory for words that are not in the index yet: with FTS5's 1 MiB, many pages take half as long again."""
VERSION = 1
"""Of the tables, their ``user_version``."""
TABLES = """
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE pages (
    id INTEGER PRIMARY KEY,
    item TEXT NOT NULL UNIQUE,
    document INTEGER NOT NULL REFERENCES documents (id),
    page INTEGER NOT NULL,
    text TEXT NOT NULL,
    confidence INTEGER NOT NULL,
    source TEXT NOT NULL,
    seconds REAL NOT NULL,
    node TEXT NOT NULL,
    turn INTEGER NOT NULL,
    digest TEXT NOT NULL
);
CREATE INDEX pages_of_document ON pages (document, page);
CREATE VIRTUAL TABLE words USING fts5 (
    text, content='pages', content_rowid='id', tokenize="unicode61 remove_diacritics 2"
);
"""
TRIGGERS = """
CREATE TRIGGER page_added AFTER INSERT ON pages BEGIN
    INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
CREATE TRIGGER page_removed AFTER DELETE ON pages BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
END;
CREATE TRIGGER page_changed AFTER UPDATE OF text ON pages BEGIN
    INSERT INTO words (words, rowid, text) VALUES ('delete', old.id, old.text);
    INSERT INTO words (rowid, text) VALUES (new.id, new.text);
END;
"""
PLACES_TABLE = """
CREATE TABLE places (
    page INTEGER PRIMARY KEY REFERENCES pages (id) ON DELETE CASCADE,
    size TEXT NOT NULL,
    lines BLOB NOT NULL
);
"""
"""Where the words of a page stand: ``Reading.page`` as JSON, and ``Reading.lines`` as JSON that zlib packed."""
ADD_DOCUMENT = "INSERT INTO documents (name) VALUES (?) ON CONFLICT (name) DO UPDATE SET name = name RETURNING id"
ADD_PAGE = """
INSERT INTO pages (item, document, page, text, confidence, source, seconds, node, turn, digest)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (item) DO UPDATE SET
    text = excluded.text, confidence = excluded.confidence, source = excluded.source, seconds = excluded.seconds,
    node = excluded.node, turn = excluded.turn, digest = excluded.digest
RETURNING id
"""
ADD_PLACES = "INSERT OR REPLACE INTO places (page, size, lines) VALUES (?, ?, ?)"


class Places(NamedTuple):
    """Where the words of a page stand: see ``Reading``."""

    page: list[int]
    lines: list[Line]


def write(parts: Parts, file: Path, *, places: bool = False) -> None:
    """Add the pages of all parts to a file, which is empty or was written so; those of the same name are replaced.

    An item that failed changes nothing: what was read of it before stays. All is one transaction.

    Args:
        parts: As they are read.
        file: The draft.
        places: Keep where words stand, too, where the records tell. A file has it from the beginning, or never.

    Raises:
        ValueError: The file is another one, or this Python's SQLite has no full-text search.
    """
    if why := refuses(file):
        raise ValueError(f"{file.name} {why}")
    try:
        with closing(sqlite3.connect(file, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = MEMORY")  # a draft needs no file beside it that could stay behind
            db.execute("BEGIN")
            is_new = not db.execute("PRAGMA user_version").fetchone()[0]
            if is_new:
                _make(db, places=places)
            for part in parts:
                for name, record in part.items():
                    if record is not None:
                        page = _add(db, name, record)
                        if places and "lines" in record:
                            _add_places(db, page, record)
            if is_new:
                _index(db)
            db.execute("COMMIT")
    except sqlite3.Error as error:
        raise ValueError(f"SQLite cannot write it: {error}") from None


def refuses(file: Path) -> str:
    """Why ``write`` does not go on with the file that stands there, or ""."""
    with file.open("rb") as stream:
        head = stream.read(len(MAGIC))
    if not head:
        return ""
    if head != MAGIC:
        return "is no SQLite file"
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as db:
            [application] = db.execute("PRAGMA application_id").fetchone()
            [version] = db.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        return f"cannot be read: {error}"
    if application != OURS:
        return "is an SQLite file of another program"
    return "" if version == VERSION else f"has tables of version {version}, and this is version {VERSION}"


def places_of(db: sqlite3.Connection, page: int) -> Places | None:
    """Where the words of the page with this ``id`` stand; None where the file has not kept it."""
    found = db.execute("SELECT size, lines FROM places WHERE page = ?", (page,)).fetchone()
    return None if found is None else Places(orjson.loads(found[0]), orjson.loads(zlib.decompress(found[1])))


def _make(db: sqlite3.Connection, *, places: bool) -> None:
    for statement in _statements(TABLES + (PLACES_TABLE if places else "")):
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {OURS}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def _index(db: sqlite3.Connection) -> None:
    """Index the words of all pages of a new file at once.

    By triggers it takes twice the time: FTS5 writes its index down at each statement that a trigger belongs to.
    """
    db.execute("INSERT INTO words (words, rank) VALUES ('hashsize', ?)", (HASH_BYTES,))
    db.execute("INSERT INTO words (rowid, text) SELECT id, text FROM pages")
    for statement in _statements(TRIGGERS):
        db.execute(statement)


def _statements(script: str) -> Iterable[str]:
    """The statements one by one: ``executescript`` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _add(db: sqlite3.Connection, name: str, record: Reading) -> int:
    document, page = page_names.parse(name)
    [number] = db.execute(ADD_DOCUMENT, (page_names.path(document),)).fetchone()
    [added] = db.execute(ADD_PAGE, (
        name, number, page or 1, record["text"], record["confidence"], record.get("source", READ), record["seconds"],
        record["node"], record.get("turn", 0), record["digest"],
    )).fetchone()  # fmt: skip
    return int(added)


def _add_places(db: sqlite3.Connection, page: int, record: Reading) -> None:
    packed = zlib.compress(orjson.dumps(record["lines"]), PACKED_LEVEL)
    db.execute(ADD_PLACES, (page, orjson.dumps(record["page"]).decode(), packed))
