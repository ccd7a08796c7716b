"""When a chunk is slow, when to look for lost messages, and what a message is about."""

from __future__ import annotations

import time

import pytest

from cluster import wire
from cluster.coordinator import supervise
from cluster.coordinator.supervise import Search, is_slow
from cluster.ledger.records import Progress, Running, Worker


def doing(seconds: float) -> Running:
    return Running(0, Worker("worker@slow", "start"), seconds)


@pytest.mark.parametrize(
    ("seconds", "pace_s", "elsewhere_s", "slow"),
    [
        (0.1, 10.0, 1.0, True),  # it will take ten times as long, so at once
        (9.5, 10.0, 1.0, False),  # it is nearly there
        (11.5, 10.0, 1.0, True),  # it should have been there by now
        (1.9, None, 1.0, False),
        (2.1, None, 1.0, True),
        (0.9, None, 0.01, False),  # not worth a message
        (1.5, 1.5, 1.0, False),
        (0.0, 0.5, 0.4, False),
    ],
)
def test_a_chunk_is_slow(seconds: float, pace_s: float | None, elsewhere_s: float, slow: bool) -> None:
    assert is_slow(doing(seconds), pace_s, elsewhere_s) is slow


STILL = Progress("running", 8, 3, 100, 0, 0, split_ended=True)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def looks(search: Search, clock: Clock, progress: Progress, seconds: float, losses: int = 0) -> list[float]:
    """At which times, of so many seconds, it is due."""
    began, found = clock.now, []
    while clock.now < began + seconds:
        if search.due(progress, losses):
            found.append(clock.now - began)
        clock.now += 0.25
    return found


def test_a_run_that_stands_still_is_looked_at_ever_more_seldom(clock: Clock) -> None:
    assert looks(Search(), clock, STILL, 35) == [0, 2.25, 6.5, 14.75, 31.0]


def test_a_run_that_moves_is_looked_at_once(clock: Clock) -> None:
    search, found = Search(), []
    for settled in range(40):
        found += looks(search, clock, STILL._replace(chunks_settled=settled), 1)
    assert found == [0]


def test_a_lost_node_is_a_reason_to_look(clock: Clock) -> None:
    search = Search()
    looks(search, clock, STILL, 1)
    assert looks(search, clock, STILL, 1, losses=1) == [0]


def test_a_complete_batch_that_is_not_aggregated_is_a_reason_to_look(clock: Clock) -> None:
    search = Search()
    looks(search, clock, STILL, 0.5)
    complete = STILL._replace(batches_complete=1)
    assert looks(search, clock, complete, 2)[0] <= supervise.UNAGGREGATED_S + 0.25
    assert looks(search, clock, complete._replace(batches_aggregated=1), 1) == []


def test_what_is_nowhere_for_a_moment_is_not_lost(clock: Clock) -> None:
    search = Search()
    looks(search, clock, STILL, 0.25)
    assert search.missing({1, 2}) == []
    clock.now += 0.6 * supervise.MISSING_S
    assert search.due(STILL, 0)
    assert search.missing({2}) == []  # 1 has turned up
    clock.now += 0.6 * supervise.MISSING_S
    assert search.missing({1, 2}) == [2]
    clock.now += 0.6 * supervise.MISSING_S
    assert search.missing({2}) == []  # it was published again: its time begins anew


@pytest.mark.parametrize("message", [b"", b"{}", b"[]", b"[1]", b'{"headers": 3}', b"\xff", b"null"])
def test_a_message_that_cannot_be_read_has_no_id(message: bytes) -> None:
    assert wire.task_id(message) == ""


def test_the_id_of_a_message_in_a_queue_and_of_one_that_is_held() -> None:
    message = b'{"headers": {"id": "ocr-1.17"}}'
    assert wire.task_id(message) == wire.task_id(b"[" + message + b', "", "cluster2.ocr"]') == "ocr-1.17"
