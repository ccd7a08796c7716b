"""The texts of a run of ``ocr``: a list of them, searched or not, and one beside its picture."""

from __future__ import annotations

import itertools
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from aggregators import readings, readings_search, readings_sqlite
from aggregators.readings import Line
from aggregators.readings_search import BEGIN, END
from cluster import errors
from cluster.client.run import Run, Status
from cluster.roles import Role
from cluster.web import corrections, results_index
from cluster.web.problems import Problem
from cluster.web.routes import Action, Asked, Route, View
from cluster.web.runs import run_of

if TYPE_CHECKING:
    from cluster.web.results import Query

JOB = "ocr"
"""The job that reads texts."""
UNSURE = 60
"""A word whose confidence is below this, of 100, is shown as unsure."""
NEAR_CHARS = 100
"""Characters within which the next word of a page stands in its text."""
BEGINNING_CHARS = 120
"""Of a text in the list."""
READ_S = 10.0
"""How long a text is waited for while the result is read."""
PAGE_BREAK = "\f"
MOST_PAGES = 50
"""Of an item, whose pictures are shown."""
LEAD_CHARS = 16
"""Before the first word that was found, in the list."""
MOST_SHOWN_CHARS = 500_000
"""Of a text on the page; downloads have all of it."""
LIST = """
SELECT pages.item, substr(pages.text, 1, ?), pages.confidence
FROM documents CROSS JOIN pages ON pages.document = documents.id
ORDER BY documents.name, pages.page LIMIT ? OFFSET ?
"""
BEFORE = """
SELECT count(*) FROM documents CROSS JOIN pages ON pages.document = documents.id
WHERE (documents.name, pages.page) < (SELECT documents.name, pages.page FROM pages
    JOIN documents ON documents.id = pages.document WHERE pages.item = ?)
"""
ONE = "SELECT id, item, text, confidence, source, seconds, node, turn, digest FROM pages WHERE item = ?"


class Piece(BaseModel):
    """A piece of a text."""

    text: str
    hit: bool = False
    """It is among what was looked for."""
    unsure: bool = False
    """It was read with little confidence."""


class Row(BaseModel):
    """A text in the list."""

    item: str
    pieces: list[Piece]
    """Its beginning, or what surrounds the words that were looked for."""
    confidence: int


class Box(BaseModel):
    """A word on the picture, in pixels of ``OneText.page``."""

    text: str
    x: int
    y: int
    width: int
    height: int
    confidence: int
    hit: bool


class OneText(BaseModel):
    """A text."""

    item: str
    pieces: list[Piece]
    """All of it, one after the other."""
    is_cut: bool
    """The text goes on: only a download has all of it."""
    about: str
    """Who read it, how long that took, and how sure it is; for people."""
    confidence: int
    """0 to 100."""
    source: str
    """"pdf": the page's own text; "ocr": read by an engine."""
    seconds: float
    node: str
    pages: int
    """Of the item, at most ``MOST_PAGES``; their texts stand one after the other."""
    turn: int
    """Degrees clockwise by which the picture was turned to be read."""
    digest: str
    """Of the bytes that were read."""
    as_read: str | None
    """What was read, where the text was corrected since; None where it was not."""
    page: list[int] | None
    """``[width, height]`` of the picture in pixels of ``boxes``; None where the run has not kept places of words."""
    boxes: list[Box]
    """The words that were looked for and those that are unsure."""


class RunText(OneText):
    """A text of a run."""

    run: str


class Which(BaseModel):
    """Which text."""

    item: str = Field(max_length=4096)
    q: str = Field("", max_length=500)
    """Words to mark in it."""


class Corrected(BaseModel):
    """A text as it should be."""

    item: str = Field(max_length=4096)
    text: str | None = Field(max_length=MOST_SHOWN_CHARS)
    """None: what was read counts again."""


class Texts(BaseModel):
    """Texts of a run."""

    items: int
    """How many texts there are, as far as they are in the page's index by now."""
    found: int
    """How many of them hold all words that were looked for; all where none were."""
    after: int
    """Texts before the first of ``rows``."""
    rows: list[Row]
    one: OneText | None
    """The one that was asked for, else the first of ``rows``, if that is the first of all."""
    at: int
    """Its place in the list, counted from 0; -1 where that is not known."""
    searched_ms: float
    """How long the search took."""
    is_whole: bool


def show(asked: Asked, run: Run, status: Status) -> Texts | None:
    """Texts of a run.

    Raises:
        errors.ClusterError: It has none.
    """
    standing = asked.web.results.of(run, status)
    if standing.problem:
        raise errors.ClusterError(standing.problem)
    if standing.file is None:
        return None
    begun = time.perf_counter()
    with results_index.opened(standing.file) as db:
        query: Query = asked.query
        items = db.execute("SELECT count(*) FROM pages").fetchone()[0]
        found, rows = _listed(db, standing.file, query, items)
        searched_ms = (time.perf_counter() - begun) * 1000
        item = query.item or (rows[0].item if rows and not query.after else "")
        one = of_item(db, item, query.q) if item else None
        return Texts(
            items=items, found=found, after=query.after, rows=rows, one=one, at=_place(db, query, rows, one),
            searched_ms=round(searched_ms, 1), is_whole=standing.is_whole,
        )  # fmt: skip


def show_one(asked: Asked) -> RunText:
    """A text of a run."""
    run = run_of(asked)
    return _one(asked, run, run.status(failures=False), asked.query.item, asked.query.q)


def correct(asked: Asked) -> RunText:
    """Keep a text in place of what was read, or no more."""
    run = run_of(asked, to="change")
    status = run.status(failures=False)
    given: Corrected = asked.body
    if given.text is not None and readings.NO_TEXT.search(given.text):
        raise Problem(422, "the text has control characters, which stand in none")
    before = _one(asked, run, status, given.item, "")
    standing = asked.web.results.of(run, status, READ_S)
    if not standing.is_whole or standing.file is None:
        raise Problem(409, f"the run {run.id} goes on: its texts can be corrected once it is done")
    if given.text is None:
        asked.web.corrections.drop(status.owner, before.digest)
    else:
        asked.web.corrections.put(status.owner, before.digest, given.text, asked.who.name)
    corrections.lay(standing.file, before.digest, given.text)
    return _one(asked, run, status, given.item, "")


def _one(asked: Asked, run: Run, status: Status, item: str, query: str) -> RunText:
    if status.job != JOB:
        raise Problem(404, f"the run {run.id} has no texts: it is of the job {status.job}, not of {JOB}")
    standing = asked.web.results.of(run, status, READ_S)
    found = None
    if standing.file is not None:
        # It may have no tables yet.
        with results_index.opened(standing.file) as db, suppress(sqlite3.OperationalError):
            found = of_item(db, item, query)
    if found is None and status.state == "done" and not standing.is_whole and not standing.problem:
        raise Problem(503, f"the texts of {run.id} are still being read: ask again in some seconds")
    if found is None:
        raise Problem(404, standing.problem or f"the run {run.id} has no text of {item[:200]!r}")
    return RunText(run=run.id, **found.model_dump())


def _listed(db: sqlite3.Connection, file: Path, query: Query, items: int) -> tuple[int, list[Row]]:
    if not query.q.strip():
        listed = db.execute(LIST, (BEGINNING_CHARS, query.most, query.after))
        return items, [
            Row(item=item, pieces=[Piece(text=" ".join(text.split()))], confidence=sure) for item, text, sure in listed
        ]
    try:
        readings_search.plain(query.q)
    except ValueError:  # no word in it
        return 0, []
    number = readings_search.count(db, query.q)
    try:
        hits = readings_search.find(file, query.q, query.most, after=query.after)
    except ValueError as error:
        raise sqlite3.DatabaseError(str(error)) from None
    return number, [
        Row(item=hit.item, pieces=_near(list(cut(hit.snippet, hit.marks))), confidence=hit.confidence) for hit in hits
    ]


def _near(pieces: list[Piece]) -> list[Piece]:
    """The same, from shortly before what was found: a row of the list has room for little."""
    if pieces and not pieces[0].hit and len(pieces[0].text) > LEAD_CHARS:
        text = pieces[0].text[-LEAD_CHARS:]
        pieces[0].text = f"…{text[text.find(' ') :] if ' ' in text.rstrip() else text}"
    return pieces


def _place(db: sqlite3.Connection, query: Query, rows: Sequence[Row], one: OneText | None) -> int:
    if one is None:
        return -1
    for number, row in enumerate(rows, query.after):
        if row.item == one.item:
            return number
    return -1 if query.q.strip() else int(db.execute(BEFORE, (one.item,)).fetchone()[0])


def of_item(db: sqlite3.Connection, item: str, query: str) -> OneText | None:
    """One text; None where there is none of that item."""
    found = db.execute(ONE, (item,)).fetchone()
    if found is None:
        return None
    page, item, text, confidence, source, seconds, node, turn, digest = found
    marks: Sequence[tuple[int, int]] = ()
    if query.strip():
        with suppress(ValueError):  # no word in it
            marks = readings_search.marks(db, query, page)
    as_read = corrections.as_read(db, page)
    places = readings_sqlite.places_of(db, page)
    shown = text[:MOST_SHOWN_CHARS].translate({ord(BEGIN): None, ord(END): None})
    words = list(_words(shown, places.lines)) if places else []
    unsure = [(begin, end) for begin, end, word in words if word[5] < UNSURE] if as_read is None else []
    return OneText(
        item=item, pieces=list(cut(shown, marks, unsure)), is_cut=len(text) > MOST_SHOWN_CHARS,
        about=_about(node, seconds, confidence, source, is_corrected=as_read is not None),
        pages=min(MOST_PAGES, 1 + (as_read or text).count(PAGE_BREAK)), confidence=confidence, source=source,
        seconds=seconds, node=node, turn=turn, digest=digest, as_read=as_read,
        page=places.page[:2] if places else None, boxes=list(_boxes(words, marks)),
    )  # fmt: skip


def _about(node: str, seconds: float, confidence: int, source: str, *, is_corrected: bool) -> str:
    how = "the page's own text" if source == "pdf" else f"{confidence} % sure"
    return " · ".join([*([node] if node else []), f"{seconds:.2f} s", "corrected" if is_corrected else how])


def _words(text: str, lines: Sequence[Line]) -> Iterator[tuple[int, int, Any]]:
    """Where each word of a page stands in its text, and the word; those that are not found there are left out."""
    at = 0
    for line in lines:
        for word in line[4]:
            begin = text.find(word[0], at, at + len(word[0]) + NEAR_CHARS)
            if begin >= 0:
                at = begin + len(word[0])
                yield begin, at, word


def _boxes(words: Sequence[tuple[int, int, Any]], marks: Sequence[tuple[int, int]]) -> Iterator[Box]:
    """The words that were looked for, and those that are unsure."""
    ahead = iter([*marks, (sys.maxsize,) * 2])
    mark = next(ahead)
    for begin, end, (text, x0, y0, x1, y1, confidence) in words:
        while mark[1] <= begin:
            mark = next(ahead)
        is_hit = mark[0] < end
        if is_hit or confidence < UNSURE:
            yield Box(text=text, x=x0, y=y0, width=x1 - x0, height=y1 - y0, confidence=confidence, hit=is_hit)


def cut(
    text: str, marks: Sequence[tuple[int, int]], unsure: Sequence[tuple[int, int]] = ()
) -> Iterator[Piece]:  # fmt: skip
    """A text in pieces, each of one kind throughout."""
    edges = sorted({0, len(text), *(edge for span in (*marks, *unsure) for edge in span if edge <= len(text))})
    hits, doubts = iter([*marks, (sys.maxsize,) * 2]), iter([*unsure, (sys.maxsize,) * 2])
    hit, doubt = next(hits), next(doubts)
    for begin, end in itertools.pairwise(edges):
        while hit[1] <= begin:
            hit = next(hits)
        while doubt[1] <= begin:
            doubt = next(doubts)
        yield Piece(text=text[begin:end], hit=hit[0] <= begin, unsure=doubt[0] <= begin)


ROUTES: tuple[Route, ...] = (
    View("/runs/{run}/text", show_one, "text.html", "A text of a run.", query=Which, by_link=True),
    Action(
        "PUT",
        "/api/runs/{run}/correction",
        correct,
        "Keep a text in place of what was read.",
        Role.SUBMITTER,
        body=Corrected,
    ),
)
