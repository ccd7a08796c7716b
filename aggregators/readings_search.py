"""Find pages by their words in a file that ``readings_sqlite`` wrote."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from aggregators import readings_sqlite

BEGIN, END = "\ue000", "\ue001"
"""Around what was found, in the text that SQLite gives; then removed. No script has these."""
SNIPPET_WORDS = 24
FIND = """
SELECT documents.name, pages.page, pages.item, pages.confidence, pages.source,
       snippet(words, 0, ?, ?, '…', ?), words.rank
FROM words JOIN pages ON pages.id = words.rowid JOIN documents ON documents.id = pages.document
WHERE words MATCH ? ORDER BY words.rank, documents.name, pages.page LIMIT ? OFFSET ?
"""
COUNT = "SELECT count(*) FROM words WHERE words MATCH ?"
HIGHLIGHT = "SELECT highlight(words, 0, ?, ?) FROM words WHERE words MATCH ? AND rowid = ?"
_PLAIN = re.compile(r'"([^"]*)"|([^\s"]+)')


class Hit(NamedTuple):
    """A page that was found, the best one first."""

    document: str
    page: int
    item: str
    confidence: int
    source: str
    snippet: str
    """About ``SNIPPET_WORDS`` words around what was found."""
    marks: Sequence[tuple[int, int]]
    """Where in ``snippet`` what was found begins and ends, in characters."""
    rank: float
    """How well it fits: the less the better."""


def find(file: Path, query: str, most: int, *, is_expression: bool = False, after: int = 0) -> list[Hit]:
    """The pages that hold all words of a query, at most ``most``.

    Args:
        file: One that ``readings_sqlite.write`` wrote.
        query: Words, in any order; in double quotes, one after another; ``inv*`` for all words that begin so. Neither
            case nor accents count.
        most: 1 or more.
        is_expression: The query is one of SQLite's FTS5, such as ``invoice NOT draft`` or ``NEAR(a b, 5)``.
        after: How many of the best ones are passed over.

    Raises:
        ValueError: The file is another one, or the query cannot be understood.
        OSError: The file cannot be read.
    """
    if why := readings_sqlite.refuses(file) or ("is empty" if not file.stat().st_size else ""):
        raise ValueError(f"{file} {why}: name a file that --format sqlite wrote")
    match = query if is_expression else plain(query)
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as db:
            rows = db.execute(FIND, (BEGIN, END, SNIPPET_WORDS, match, most, after)).fetchall()
    except sqlite3.Error as error:
        if is_expression:
            raise ValueError(f"the expression {query!r} cannot be understood: {error}") from None
        raise ValueError(f"{file} cannot be searched: {error}") from None
    return [_hit(*row) for row in rows]


def count(db: sqlite3.Connection, query: str) -> int:
    """How many pages of a file hold all words of a query: see ``find``.

    Raises:
        ValueError: It has no word.
    """
    [number] = db.execute(COUNT, (plain(query),)).fetchone()
    return int(number)


def marks(db: sqlite3.Connection, query: str, page: int) -> Sequence[tuple[int, int]]:
    """Where in the text of the page with this ``id`` the words of a query begin and end, in characters.

    Raises:
        ValueError: The query has no word.
    """
    found = db.execute(HIGHLIGHT, (BEGIN, END, plain(query), page)).fetchone()
    return () if found is None else _unmarked(found[0])[1]


def plain(query: str) -> str:
    """The FTS5 expression for all words of a query.

    Raises:
        ValueError: It has no word.
    """
    terms = []
    for phrase, word in _PLAIN.findall(query.replace("\0", " ")):
        text = phrase or word
        if any(sign.isalnum() for sign in text):
            terms.append(f'"{text}"' + ("*" if word.endswith("*") else ""))
    if not terms:
        raise ValueError(f"the query {query!r} has no word to look for")
    return " ".join(terms)


def _hit(document: str, page: int, item: str, confidence: int, source: str, marked: str, rank: float) -> Hit:
    snippet, found = _unmarked(re.sub(r"\s+", " ", marked))
    return Hit(document, page, item, confidence, source, snippet, found, rank)


def _unmarked(marked: str) -> tuple[str, Sequence[tuple[int, int]]]:
    """A text without the signs around what was found, and where that begins and ends."""
    text, found, begin, length = [], [], 0, 0
    for piece in re.split(f"([{BEGIN}{END}])", marked):
        if piece == BEGIN:
            begin = length
        elif piece == END:
            found.append((begin, length))
        else:
            text.append(piece)
            length += len(piece)
    return "".join(text), found
