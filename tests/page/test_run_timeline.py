"""Pieces of work find their row: a slot does one message at a time."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from cluster.client.run import Event, Line, Working
from cluster.web import timeline
from cluster.web.timeline import MOST_COLUMNS, Drawn, Piece, Rows

BEGAN_MS = 1_700_000_000_000


def line(since_s: float, until_s: float, node: str = "pc", chunk: int = 0, missing: int = 0) -> Line:
    since_ms, until_ms = (BEGAN_MS + round(at * 1000) for at in (since_s, until_s))
    return Line(f"{until_ms}-{chunk}", node, since_ms, until_ms, chunk, chunk, 1, missing)


def drawn(lines: list[Line]) -> list[Piece]:
    return Drawn(BEGAN_MS).add(lines, [])[0]


def test_a_slot_that_goes_on_stays_in_its_row() -> None:
    lines = [line(0, 3), line(0.1, 5, chunk=1), line(5, 8, chunk=3), line(3, 10, chunk=2)]
    assert [piece.row for piece in drawn(lines)] == [0, 1, 1, 0]


@given(st.integers(1, 5), st.integers(0, 2**32))
def test_no_two_pieces_of_a_row_are_at_the_same_time(slots: int, seed: int) -> None:
    chance = random.Random(seed)
    lines: list[Line] = []
    for slot in range(slots):
        at = chance.uniform(0, 5)
        while at < 60:
            until = at + chance.uniform(0.1, 9)
            lines.append(line(at, until, chunk=slot * 1000 + len(lines)))
            at = until + chance.choice([0, 0, chance.uniform(0, 3)])
    pieces = drawn(sorted(lines, key=lambda one: one.until_ms))
    for row in {piece.row for piece in pieces}:
        own = sorted((piece for piece in pieces if piece.row == row), key=lambda one: one.begin)
        assert all(one.end <= other.begin for one, other in itertools.pairwise(own))


def test_what_is_worked_on_keeps_its_row_until_it_is_done() -> None:
    to_draw = Drawn(BEGAN_MS)
    first, second, third = (Working("pc", BEGAN_MS + at, (str(at),)) for at in (0, 100, 4000))
    assert [one.row for one in to_draw.add([], [first, second])[1]] == [0, 1]
    pieces, now = to_draw.add([line(0.1, 4)], [first, third])
    assert [piece.row for piece in pieces] == [1]
    assert [one.row for one in now] == [0, 1]


def test_the_row_of_a_lost_claim_is_free_again() -> None:
    to_draw = Drawn(BEGAN_MS)
    to_draw.add([], [Working("pc", BEGAN_MS, ("1",))])
    assert to_draw.add([], []) == ([], [])
    assert to_draw.add([], [Working("pc", BEGAN_MS + 9000, ("2",))])[1][0].row == 0


def test_an_attempt_that_failed_leaves_its_row_to_the_next_one() -> None:
    to_draw = Drawn(BEGAN_MS)
    to_draw.add([], [Working("pc", BEGAN_MS, ("1",))])
    pieces, _ = to_draw.add([line(5, 8)], [])  # claimed again and settled between two looks
    assert [piece.row for piece in pieces] == [0]


def test_lines_of_one_message_stand_in_one_row() -> None:
    rows = Rows()
    assert rows.place("pc", 0, 5000) == rows.place("pc", 0, 5010) == 0
    assert rows.place("pc", 0, 9000) == 1  # another slot, which claimed in the same millisecond
    assert (rows["pc"], rows["gone"]) == (2, 0)


def test_a_long_run_has_no_more_pieces_than_columns_can_be_seen() -> None:
    lines = [line(at / 10, at / 10 + 0.1, chunk=at, missing=at == 700) for at in range(10_000)]
    found = timeline.of_lines(lines, [], [], BEGAN_MS, BEGAN_MS + 1_000_000)
    [strip] = found.strips
    assert len(strip.pieces) <= MOST_COLUMNS
    assert sum(piece.items for piece in strip.pieces) == 10_000
    assert [piece.missing for piece in strip.pieces if piece.missing] == [1]
    assert (found.begin, found.end) == (0, 1000)


def test_a_span_shows_what_went_wrong_in_it() -> None:
    def event(at_s: float, kind: str, node: str = "pc") -> Event:
        return Event(
            at=datetime.fromtimestamp(BEGAN_MS / 1000 + at_s, UTC), event=kind, node=node, chunk="7", why="why"
        )

    events = [event(10, "lost"), event(95, "killed"), event(96, "first-part"), event(97, "lost", "other")]
    found = timeline.of_lines([line(90, 99)], [], events, BEGAN_MS, BEGAN_MS + 100_000, 60)
    assert (found.begin, found.end) == (40, 100)
    [strip] = found.strips
    assert [(mark.at, mark.about) for mark in strip.marks] == [(95, "killed: chunk 7: why")]


def test_a_piece_says_what_it_is() -> None:
    [piece] = drawn([line(1, 3.5, chunk=4, missing=1)._replace(last=9, items=1200)])
    assert piece.about == "chunks 4 to 9: 1,200 items, 1 missing, 2.5 s"
