"""The figures of a run that its page shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.client.nodes import Node
from cluster.client.run import Event, Line
from cluster.ledger.row import RunRow
from cluster.ledger.status import Status, from_ledger
from cluster.web import progress
from cluster.web.fresh import Fresh

BEGAN_S = 1_700_000_000


def run(seconds: float, settled: int, total: int | None, failed: int = 0, running: int = 0, **more: Any) -> Status:
    row = RunRow(
        job="ocr", version="2", state="running", started_at=BEGAN_S, items_settled=settled, chunks_settled=settled,
        items_total=total, **more,
    )  # fmt: skip
    return from_ledger("ocr-1", row, {}, {}, {}, failed=failed, running=running, now_s=BEGAN_S + seconds)


def lines(per_s: float, seconds: int) -> list[Line]:
    return [
        Line(f"{at}", "pc", 0, round((BEGAN_S + at / per_s) * 1000), at, at, 1, 0)
        for at in range(round(per_s * seconds))
    ]


def node(**more: Any) -> Node:
    now = datetime.now(UTC)
    facts: dict[str, Any] = {
        "name": "pc", "state": "online", "joined_at": now, "last_seen_at": now, "incarnation": "i", "phase": "here",
        "slots": 2, "busy": 0, "done": 0, "cores": 2, "load": 0.5, "versions": {}, "jobs": ["ocr.2"],
        "memory_total_bytes": 2**30, "memory_available_bytes": 2**29,
    }  # fmt: skip
    return Node.model_validate(facts | more)


def figures(status: Status, done: list[Line], nodes: list[Node] | None = None) -> progress.Figures:
    return progress.figures(status, done, (BEGAN_S + status.seconds) * 1000, nodes or [])


def test_the_rate_is_that_of_the_last_minute() -> None:
    found = figures(run(600, 3000, 6000), lines(5, 600))
    assert found.rate == pytest.approx(5, abs=0.1)
    assert found.left_s == pytest.approx(600, rel=0.05)
    slow = figures(run(600, 3000, 6000), lines(5, 550))
    assert slow.rate == pytest.approx(5 / 6, abs=0.1)


@pytest.mark.parametrize(
    ("seconds", "settled", "is_known"), [(10, 10, False), (10, 200, True), (25, 10, True), (25, 0, False)]
)
def test_the_time_left_is_told_once_it_can_be(seconds: float, settled: int, is_known: bool) -> None:
    found = figures(run(seconds, settled, 1000), lines(settled / seconds, int(seconds)))
    assert (found.left_s is not None) == is_known


def test_a_run_whose_items_are_being_counted_has_no_share() -> None:
    found = figures(run(30, 100, None), lines(3, 30))
    assert (found.done, found.left_s, found.missing, found.running) == (None, None, 0, 0)


def test_shares_of_a_bar_are_one_at_most() -> None:
    found = figures(run(30, 90, 100, failed=10, running=40), [])
    assert (found.done, found.missing) == (0.8, 0.1)
    assert found.running == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([], "No node can do ocr.2."),
        ([node(jobs=[], missing={"ocr.2": "no tesseract"})], "No node can do ocr.2. pc: no tesseract"),
        ([node(slots_allowed=0, held_back="in use")], "Each node that can do it is paused."),
        ([node()], ""),
    ],
)
def test_a_run_that_stands_says_why(nodes: list[Node], why: str) -> None:
    assert figures(run(30, 0, 10), [], nodes).waiting == why
    assert figures(run(30, 0, 10, running=1), [], nodes).waiting == ""


def test_a_paused_run_has_no_time_left() -> None:
    found = figures(run(30, 100, 1000, paused="by maria"), lines(5, 30))
    assert (found.state, found.left_s, found.waiting) == ("paused", None, "It is paused by maria.")


def test_a_node_that_does_less_says_why() -> None:
    assert figures(run(9, 0, 9), [], [node(state="gone"), node(name="b", jobs=[])]).held.keys() == {"pc"}


def test_a_change_reads_as_on_the_command_line() -> None:
    event = Event(id="1-1", at=datetime.now(UTC), event="dead-lettered", chunk="7", node="pc", why="broken")
    [change] = progress.changes([event])
    assert (change.what, change.about) == ("given up", "chunk 7 · pc · broken")


def test_what_is_fresh_is_made_once() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(1)
        return len(made)

    fresh = Fresh(most=2)
    assert [fresh.get("a", make), fresh.get("a", make)] == [1, 1]
    assert [fresh.get(key, make) for key in ("b", "c", "a")] == [2, 3, 4]
    assert Fresh(fresh_s=0).get("a", make) == 5
