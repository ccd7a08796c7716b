"""Who does what in a run, as pieces: a strip a node, in it a row for each message that it works on at a time."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from pydantic import BaseModel

from cluster import names
from cluster.client.run import Event, Line, Working

MOST_COLUMNS = 300
"""Pieces of a row, at most: narrower ones stand together."""
SAME_MS = 20
"""Two lines of one message, whose chunks are of two batches, are settled within this time, in milliseconds."""
MARKED = ("failed", "killed", "lost", "rejected")
"""Events that are marked where they happened."""
OPEN = math.inf


class Piece(BaseModel):
    """A message that a node has done, or some short ones that stand together."""

    node: str
    row: int
    """Of its strip."""
    begin: float
    """In seconds since the run began, as is the next."""
    end: float
    first: int
    last: int
    """The lowest and the highest chunk."""
    items: int
    missing: int
    """How many of the items are missing from the result."""
    id: str = ""
    """Of its line in the ledger."""

    @property
    def about(self) -> str:
        """What a pointer is told."""
        chunks = f"chunk {self.first}" if self.first == self.last else f"chunks {self.first} to {self.last}"
        lacks = f", {self.missing:,} missing" if self.missing else ""
        return f"{chunks}: {self.items:,} items{lacks}, {max(0.0, self.end - self.begin):.1f} s"


class Now(BaseModel):
    """What a slot works on."""

    node: str
    row: int
    begin: float
    about: str


class Mark(BaseModel):
    """Something that went wrong on a node."""

    node: str
    at: float
    about: str


class Strip(BaseModel):
    """A node."""

    node: str
    rows: int
    pieces: list[Piece]
    now: list[Now]
    marks: list[Mark]


class Timeline(BaseModel):
    """Who did what in a span of a run; times are in seconds since the run began."""

    span_s: float
    """What was asked for; 0 for the whole run."""
    begin: float
    end: float
    strips: list[Strip]


class Place(NamedTuple):
    """A row of a strip, and its last piece, in milliseconds since 1970."""

    since_ms: float
    until_ms: float


class Rows:
    """Finds a row for each piece: a slot does one message at a time, so a node has as many rows as it works on at once.

    The ledger does not know slots. A slot claims its next message right after it has settled one, so that a piece goes
    to the row that became free last before it began.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, list[Place]] = {}

    def __getitem__(self, node: str) -> int:
        """How many rows a node has."""
        return len(self._nodes.get(node, ()))

    @property
    def nodes(self) -> list[str]:
        """The nodes that have rows, by name."""
        return sorted(self._nodes)

    def place(self, node: str, since_ms: float, until_ms: float = OPEN) -> int:
        """The row of a piece; without an end it is being worked on."""
        rows = self._nodes.setdefault(node, [])
        own = [at for at, row in enumerate(rows) if row.since_ms == since_ms and _is_same(row.until_ms, until_ms)]
        free = [at for at, row in enumerate(rows) if row.until_ms <= since_ms]
        at = own[0] if own else max(free, key=lambda at: rows[at].until_ms) if free else len(rows)
        rows[at : at + 1] = [Place(since_ms, until_ms)]
        return at

    def release(self, held: Collection[tuple[str, float]]) -> None:
        """Free the rows of what is worked on no more and has no line, as it was handed to others.

        Args:
            held: Node and begin of what is still worked on.
        """
        for node, rows in self._nodes.items():
            for at, row in enumerate(rows):
                if row.until_ms == OPEN and (node, row.since_ms) not in held:
                    rows[at] = row._replace(until_ms=row.since_ms)


class Drawn:
    """Lines and what is worked on, as pieces of rows.

    Args:
        began_ms: When the run began, in milliseconds since 1970 by Redis's clock.
    """

    def __init__(self, began_ms: float) -> None:
        self._began_ms = began_ms
        self.rows = Rows()

    def add(self, lines: Sequence[Line], working: Sequence[Working]) -> tuple[list[Piece], list[Now]]:
        """The pieces of lines that follow those of the calls before, and of what is worked on after these."""
        self.rows.release(
            {*((one.node, one.since_ms) for one in working), *((one.node, one.since_ms) for one in lines)}
        )
        pieces = self._pieces(lines)
        self.rows.release({(one.node, one.since_ms) for one in working})
        return pieces, self._now(working)

    def _pieces(self, lines: Iterable[Line]) -> list[Piece]:
        return [
            Piece(
                node=line.node, row=self.rows.place(line.node, line.since_ms, line.until_ms),
                begin=self._seconds(line.since_ms), end=self._seconds(line.until_ms), first=line.first, last=line.last,
                items=line.items, missing=line.missing, id=line.id,
            )
            for line in lines
        ]  # fmt: skip

    def _now(self, working: Iterable[Working]) -> list[Now]:
        return [
            Now(
                node=one.node, row=self.rows.place(one.node, one.since_ms), begin=self._seconds(one.since_ms),
                about=_units(one.units),
            )
            for one in working
        ]  # fmt: skip

    def marks(self, events: Iterable[Event]) -> list[Mark]:
        """What went wrong on nodes."""
        return [
            Mark(node=event.node, at=self._seconds(event.at.timestamp() * 1000), about=_told(event))
            for event in events
            if event.event in MARKED and event.node
        ]

    def strips(
        self, pieces: Iterable[Piece], now: Iterable[Now] = (), marks: Iterable[Mark] = (), column_s: float = 0.0
    ) -> list[Strip]:  # fmt: skip
        """All of it by node; pieces of a row that together are shorter than ``column_s`` seconds stand together."""
        found = {node: Strip(node=node, rows=self.rows[node], pieces=[], now=[], marks=[]) for node in self.rows.nodes}
        for piece in pieces:
            found[piece.node].pieces.append(piece)
        for one in now:
            found[one.node].now.append(one)
        for mark in marks:
            if mark.node in found:
                found[mark.node].marks.append(mark)
        for strip in found.values():
            strip.pieces = joined(strip.pieces, column_s)
        return list(found.values())

    def _seconds(self, at_ms: float) -> float:
        return round((at_ms - self._began_ms) / 1000, 3)


def of_lines(
    lines: Sequence[Line], working: Sequence[Working], events: Iterable[Event], began_ms: float, now_ms: float,
    span_s: float = 0.0,
) -> Timeline:  # fmt: skip
    """The timeline of a span of a run.

    Args:
        lines: What was settled in it.
        working: What is worked on now.
        events: Of the run.
        began_ms: When the run began, in milliseconds since 1970 by Redis's clock.
        now_ms: The moment, or the end of the run, by that clock.
        span_s: Length in seconds; 0 for the whole run.
    """
    drawn = Drawn(began_ms)
    pieces, now = drawn.add(lines, working)
    end = max(0.0, (now_ms - began_ms) / 1000)
    begin = max(0.0, end - span_s) if span_s else 0.0
    marks = [mark for mark in drawn.marks(events) if begin <= mark.at <= end]
    strips = drawn.strips(pieces, now, marks, column_s=2 * (end - begin) / MOST_COLUMNS)
    return Timeline(span_s=span_s, begin=round(begin, 3), end=round(end, 3), strips=strips)


def joined(pieces: Iterable[Piece], column_s: float) -> list[Piece]:
    """Pieces of a strip, neighbours in a row joined as long as they are no longer than ``column_s`` together.

    Two neighbours of those that are left are longer than that: at most twice as many stand in a row as columns fit.
    """
    found: list[Piece] = []
    last: dict[int, int] = {}
    for piece in sorted(pieces, key=lambda one: one.end):
        at = last.get(piece.row)
        if at is not None and piece.end - found[at].begin <= column_s:
            found[at] = _both(found[at], piece)
        else:
            last[piece.row] = len(found)
            found.append(piece)
    return found


def _both(one: Piece, other: Piece) -> Piece:
    return one.model_copy(
        update={
            "begin": min(one.begin, other.begin), "end": other.end, "first": min(one.first, other.first),
            "last": max(one.last, other.last), "items": one.items + other.items,
            "missing": one.missing + other.missing, "id": other.id,
        }
    )  # fmt: skip


def _is_same(until_ms: float, given_ms: float) -> bool:
    return until_ms == OPEN or abs(until_ms - given_ms) <= SAME_MS


def _units(units: Sequence[str]) -> str:
    words = [names.described(unit) for unit in units]
    return words[0] if len(words) == 1 else f"{words[0]} and {len(words) - 1} more"


def _told(event: Event) -> str:
    about = names.described(event.chunk) if event.chunk else ""
    return ": ".join(word for word in (event.event, about, event.why) if word)
