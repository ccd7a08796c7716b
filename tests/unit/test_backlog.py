"""How much of a run may be on its way follows the slots of the nodes that can do it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster import settings
from cluster.coordinator import backlog
from cluster.coordinator.backlog import Backlog
from cluster.nodes.registry import Node
from cluster.settings import MiB, Settings
from tests.kit.nodes import a_node

MB = 10**6


def node(slots: int, *jobs: str, state: str = "online", allowed: int | None = None) -> Node:
    return a_node(slots=slots, slots_allowed=allowed, jobs=list(jobs), state=state)


class Claims:
    """A ledger that knows how many chunks are claimed, and how often it was asked."""

    def __init__(self, claimed: int) -> None:
        self.now, self.asked = claimed, 0

    def claimed(self, run: str) -> int:
        self.asked += 1
        return self.now


def made(config: Settings, there: list[Node], claims: Claims | None = None) -> Backlog:
    stores: Any = SimpleNamespace(
        ledger=SimpleNamespace(chunks=claims or Claims(0)), nodes=SimpleNamespace(nodes=lambda: there)
    )
    return Backlog(stores, config, "run", "ocr")


@pytest.mark.parametrize(
    ("there", "limits"),
    [
        ([], (64 * MiB, 512)),
        ([node(2, "ocr")], (64 * MiB, 512)),
        ([node(30, "ocr"), node(20, "ocr", "wordcount")], (100 * MB, 512)),
        ([node(400, "ocr")], (800 * MB, 800)),
        ([node(400, "wordcount"), node(400, "ocr", state="silent")], (64 * MiB, 512)),
    ],
)
def test_two_chunks_for_each_slot_may_be_on_their_way(there: list[Node], limits: tuple[int, int]) -> None:
    assert made(settings.load(), there).limits(MB, chunks_per_message=1) == limits


def test_two_messages_for_each_slot_where_chunks_travel_together() -> None:
    assert made(settings.load(), [node(50, "ocr")]).limits(100, chunks_per_message=32) == (64 * MiB, 3200)


def test_a_limit_that_was_set_holds_whatever_the_nodes_need() -> None:
    config = settings.load(max_in_flight_bytes=5, max_in_flight_chunks=7)
    assert made(config, [node(400, "ocr")]).limits(MB, chunks_per_message=32) == (5, 7)


@pytest.mark.parametrize(
    ("given", "limits"),
    [({"max_in_flight_bytes": 5}, (5, 800)), ({"max_in_flight_chunks": 7}, (800 * MB, 7))],
)
def test_the_limit_that_was_not_set_follows_the_nodes(given: dict[str, int], limits: tuple[int, int]) -> None:
    assert made(settings.load(**given), [node(400, "ocr")]).limits(MB, chunks_per_message=1) == limits


def test_nodes_are_looked_at_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("cluster.coordinator.backlog.time.monotonic", lambda: now[0])
    there = [node(2, "ocr")]
    found = made(settings.load(), there)
    assert found.slots() == 2
    there.append(node(3, "ocr"))
    assert found.slots() == 2
    now[0] += 2 * backlog.SLOTS_LOOK_S
    assert found.slots() == 5


def test_chunks_wait_that_nobody_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("cluster.coordinator.backlog.time.monotonic", lambda: now[0])
    claims = Claims(3)
    found = made(settings.load(), [], claims)
    assert [found.waiting(unsettled) for unsettled in (10, 9, 2)] == [7, 6, 0]
    assert claims.asked == 1
    claims.now, now[0] = 5, now[0] + 2 * backlog.LOOK_S
    assert found.waiting(10) == 5


@pytest.mark.parametrize(
    ("slots", "published", "claimed", "fed"),
    [(0, 8, 0, False), (2, 3, 0, False), (2, 4, 0, True), (2, 8, 4, True), (2, 8, 8, False)],
)
def test_all_slots_are_fed_where_each_has_one_chunk_and_another_waits(
    slots: int, published: int, claimed: int, fed: bool
) -> None:
    there = [node(slots, "ocr")] if slots else []
    assert made(settings.load(), there, Claims(claimed)).feeds_all(published) is fed


@pytest.mark.parametrize(
    ("others", "found"),
    [([], (7, 7)), (["ocr"], (3.5, 7)), (["ocr", "ocr"], (7 / 3, 7)), (["wordcount"], (4.5, 7)), (["faces"], (7, 7))],
)
def test_runs_share_the_slots_of_nodes_that_serve_both(others: list[str], found: tuple[float, int]) -> None:
    there = [
        node(2, "ocr"), node(5, "ocr", "wordcount"), node(9, "wordcount"), node(4, "ocr", allowed=0),
        node(4, "ocr", state="silent"),
    ]  # fmt: skip
    assert backlog.share(there, "ocr", others) == pytest.approx(found)
