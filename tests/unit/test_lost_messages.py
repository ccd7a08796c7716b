"""When to look for lost messages, and which of those seen nowhere are lost."""

from __future__ import annotations

import time

import pytest

from cluster.coordinator import lost_messages
from cluster.coordinator.lost_messages import Search
from cluster.ledger.records import Progress

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
    assert looks(search, clock, complete, 2)[0] <= lost_messages.UNAGGREGATED_S + 0.25
    assert looks(search, clock, complete._replace(batches_aggregated=1), 1) == []


def test_what_is_nowhere_for_a_moment_is_not_lost(clock: Clock) -> None:
    search = Search()
    looks(search, clock, STILL, 0.25)
    assert search.missing({1, 2}) == []
    clock.now += 0.6 * lost_messages.MISSING_S
    assert search.due(STILL, 0)
    assert search.missing({2}) == []  # 1 has turned up
    clock.now += 0.6 * lost_messages.MISSING_S
    assert search.missing({1, 2}) == [2]
    clock.now += 0.6 * lost_messages.MISSING_S
    assert search.missing({2}) == []  # it was redelivered: its time begins anew
