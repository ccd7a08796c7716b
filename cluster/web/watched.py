"""Reads one run for all who watch it: what a page knows at first, then what has changed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from cluster import names
from cluster.client.run import Event, Line, News, Run, Status
from cluster.web import progress, training
from cluster.web.channels import Message
from cluster.web.progress import Change, Figures
from cluster.web.timeline import Drawn, Mark, Now, Piece
from cluster.web.training import Training

if TYPE_CHECKING:
    from cluster.client.nodes import Node
    from cluster.web.context import Web

SPAN_S = 60.0
"""The span of the timeline that is told line by line."""
MOST_EVENTS = 50
QUIET_S = 5.0
"""Seconds after which a watcher hears of a run in which nothing changes: its clock goes on."""
LIST_S = 1.0
OCR = "ocr"
"""The job whose results are read as soon as a run is done, if somebody watches it."""


class Row(BaseModel):
    """A run in the list of runs."""

    run: str
    state: str
    items_done: int
    items_total: int | None
    items_failed: int
    seconds: int


class Told(BaseModel):
    """What is told about a run while it goes on."""

    whole: bool
    """It begins anew, rather than adding to what was told."""
    now: float
    """Seconds since the run began."""
    status: Status
    figures: Figures
    pieces: list[Piece]
    """What was done since, or in the last minute."""
    working: list[Now]
    """All that is worked on."""
    marks: list[Mark]
    changes: list[Change]
    training: Training | None = None
    """How a run in rounds learns, where that has changed."""


class WatchedList:
    """The reader of the list of some runs that go on: it is over with the last of them."""

    def __init__(self, runs: Sequence[str], web: Web) -> None:
        self._runs, self._web = runs, web
        self._looked_at = 0.0
        self._told: list[Row] = []

    def first(self, after: str) -> Message:
        """All of them."""
        return self._message(self._read())

    def look(self) -> Message | None:
        """All of them, where something has changed."""
        if time.monotonic() - self._looked_at < LIST_S:
            return None
        self._looked_at = time.monotonic()
        rows = self._read()
        if rows == self._told:
            return None
        self._told = rows
        return self._message(rows)

    def _read(self) -> list[Row]:
        return [
            Row(
                run=status.run, state=progress.state(status), items_done=status.items_done,
                items_total=status.items_total, items_failed=status.items_failed, seconds=int(status.seconds),
            )
            for status in self._web.client.statuses(self._runs)
        ]  # fmt: skip

    def _message(self, rows: list[Row]) -> Message:
        is_over = all(row.state not in ("running", "paused") for row in rows)
        return Message([row.model_dump() for row in rows], is_last=is_over)


class Watched:
    """The reader of one run."""

    def __init__(self, run: Run, web: Web) -> None:
        self._run, self._web = run, web
        self._training = training.Live(run)
        self._lock = threading.Lock()
        self._line = self._event = ""
        self._drawn: Drawn | None = None
        self._lines: deque[Line] = deque()
        self._pieces: deque[Piece] = deque()
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._working: list[Now] = []
        self._nodes: Sequence[Node] = ()
        self._told_at = 0.0
        self._told: tuple[Status, list[Now], str, dict[str, str]] | None = None
        self._new: tuple[list[Piece], list[Event]] = [], []
        """What those who watch already are to be told."""

    def first(self, after: str) -> Message:
        """All that is known of the last minute."""
        with self._lock:
            status, now_ms = self._read()
            return self._message(status, now_ms, list(self._pieces), list(self._events), whole=True)

    def look(self) -> Message | None:
        """What has changed since the last look."""
        with self._lock:
            status, now_ms = self._read()
            pieces, events = self._new
            of_nodes = progress.waiting(status, self._nodes), progress.held(status, self._nodes)
            now = status.model_copy(update={"seconds": 0}), self._working, *of_nodes
            at = time.monotonic()
            if now == self._told and not pieces and not events and at - self._told_at < QUIET_S:
                return None
            self._told, self._told_at, self._new = now, at, ([], [])
            if status.state == "done" and status.job == OCR:  # so that who looks next finds its texts at once
                self._web.results.of(self._run, status, wait_s=0)
            return self._message(status, now_ms, pieces, events, whole=False)

    def _read(self) -> tuple[Status, int]:
        """Read what is new; gives the status, and the moment by Redis's clock in milliseconds."""
        found = self._begin() if self._drawn is None else self._run.news(self._line, self._event)
        pieces, self._working = self._drawn_of(found.status).add(found.lines, found.working)
        if self._event:  # somebody may know what was before
            self._new[0].extend(pieces)
            self._new[1].extend(found.events)
        oldest_ms = found.now_ms - SPAN_S * 1000
        self._line = found.lines[-1].id if found.lines else self._line or names.entry(int(oldest_ms))
        self._event = found.events[-1].id if found.events else self._event
        self._lines.extend(found.lines)
        self._pieces.extend(pieces)
        self._events.extend(found.events)
        while self._lines and self._lines[0].until_ms < oldest_ms:
            self._lines.popleft()
            self._pieces.popleft()
        self._nodes = self._web.nodes_seen.lately()
        return found.status, found.now_ms

    def _begin(self) -> News:
        """What is known at first: the last minute."""
        now_ms, working = self._run.working()
        lines = self._run.timeline(since_ms=int(now_ms - SPAN_S * 1000))
        return News(self._run.status(failures=False), now_ms, working, lines, self._run.last_events(MOST_EVENTS))

    def _drawn_of(self, status: Status) -> Drawn:
        if self._drawn is None:
            self._drawn = Drawn(status.started_at.timestamp() * 1000)
        return self._drawn

    def _message(
        self, status: Status, now_ms: int, pieces: list[Piece], events: list[Event], *, whole: bool
    ) -> Message:  # fmt: skip
        assert self._drawn is not None  # noqa: S101 - `_read` has made it
        told = Told(
            whole=whole,
            now=round(now_ms / 1000 - status.started_at.timestamp(), 3),
            status=status,
            figures=progress.figures(status, self._lines, now_ms, self._nodes),
            pieces=pieces,
            working=self._working,
            marks=self._drawn.marks(events),
            changes=progress.changes(events),
            training=self._learned(status, whole=whole),
        )
        return Message(told.model_dump(mode="json"), is_last=status.state != "running")

    def _learned(self, status: Status, *, whole: bool) -> Training | None:
        if whole and status.rounds is not None:
            return self._training.all(status)
        return self._training.look(status)
