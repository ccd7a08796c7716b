"""Search the texts of all runs that one may see."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, Field

from aggregators import readings_search
from cluster.client.run import Status, Which
from cluster.roles import Role
from cluster.web import results_index, results_text
from cluster.web.results_text import Piece
from cluster.web.routes import Asked, Route, View

MOST_RUNS = 200
"""Runs that are searched, the latest ones."""
MOST_HITS = 5
"""Texts of a run that are listed; its own page has all."""
MOST_INDEXED_AT_ONCE = 2


class Query(BaseModel):
    """What to look for."""

    q: str = Field("", max_length=500)
    """Words, as ``cluster search`` takes them."""


class Hit(BaseModel):
    """A text that was found."""

    item: str
    pieces: list[Piece]
    confidence: int


class Hits(BaseModel):
    """What was found in a run."""

    run: str
    owner: str
    started_at: datetime
    found: int
    """Texts that hold all words."""
    hits: list[Hit]
    """The best ones."""


class Search(BaseModel):
    """What was found, the latest run first."""

    runs: list[Hits]
    searched: int
    """Runs that were looked into."""
    waiting: list[str]
    """Runs whose texts are still being read: ask again in some seconds."""
    texts: int
    """Texts that hold all words, in all runs."""
    searched_ms: float


def show(asked: Asked) -> Search:
    """Texts of all runs that one may see."""
    begun = time.perf_counter()
    found, waiting, searched = [], [], 0
    if asked.query.q.strip():
        for status in _read(asked):
            file = asked.web.results.whole(status.run)
            if file is None:
                waiting.append(status.run)
                continue
            searched += 1
            if hits := _hits(file, asked.query.q, status):
                found.append(hits)
        _index(asked, waiting[:MOST_INDEXED_AT_ONCE])
    return Search(
        runs=found, searched=searched, waiting=waiting, texts=sum(one.found for one in found),
        searched_ms=round((time.perf_counter() - begun) * 1000, 1),
    )  # fmt: skip


def _read(asked: Asked) -> Iterator[Status]:
    """The runs that have read texts, and that one may see."""
    seen_by = None if asked.who.may(Role.OPERATOR) else asked.who.name
    page = asked.web.client.runs_page(MOST_RUNS, "", Which(seen_by=seen_by, state="done", job="ocr"))
    yield from page.runs


def _hits(file: Path, query: str, status: Status) -> Hits | None:
    with contextlib.suppress(ValueError, OSError, sqlite3.Error):  # no word in it; or it is forgotten right now
        with results_index.opened(file) as db:
            number = readings_search.count(db, query)
        if number:
            hits = [
                Hit(item=hit.item, pieces=list(results_text.cut(hit.snippet, hit.marks)), confidence=hit.confidence)
                for hit in readings_search.find(file, query, MOST_HITS)
            ]
            return Hits(run=status.run, owner=status.owner, started_at=status.started_at, found=number, hits=hits)
    return None


def _index(asked: Asked, runs: list[str]) -> None:
    """Have the texts of some runs read, so that a later search finds them."""
    for name in runs:
        run = asked.web.client.run(name)
        asked.web.results.of(run, run.status(failures=False), wait_s=0)


ROUTES: tuple[Route, ...] = (
    View("/search", show, "search.html", "Find texts in all runs that one may see.", query=Query),
)
