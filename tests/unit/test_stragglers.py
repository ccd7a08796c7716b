"""When a chunk is slow enough to begin it elsewhere as well, and which chunks are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.coordinator import stragglers
from cluster.coordinator.stragglers import is_slow
from cluster.ledger.records import Running, Worker
from cluster.ledger.row import Limits, RunPolicy
from cluster.nodes.registry import Node
from tests.kit.nodes import a_node

LIMITS = RunPolicy().limits


def doing(seconds: float, chunk: int = 0, node: str = "slow") -> Running:
    return Running(chunk, Worker(node, "incarnation"), seconds)


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
        (7.9, None, 4.0, False),  # twice as long as elsewhere, not only a second longer
        (8.1, None, 4.0, True),
        (3.0, 10.0, 4.0, True),  # what is left takes more than 1.5 times what it takes elsewhere
        (5.0, 10.0, 4.0, False),
        (0.1, 7.0, 4.0, False),  # its node is not half as fast
    ],
)
def test_a_chunk_is_slow(seconds: float, pace_s: float | None, elsewhere_s: float, slow: bool) -> None:
    assert is_slow(doing(seconds), pace_s, elsewhere_s) is slow


def copied(
    monkeypatch: pytest.MonkeyPatch, running: Sequence[Running], nodes: Iterable[Node], *,
    waiting: int = 0, pace: dict[str, float] | None = None, refused: Sequence[int] = (),
) -> list[int]:  # fmt: skip
    """The chunks that get a speculative copy; ``refused`` have had one."""
    published: list[int] = []
    chunks = SimpleNamespace(running=lambda run: running)
    pace = {"fast": 1.0} if pace is None else pace
    stores: Any = SimpleNamespace(ledger=SimpleNamespace(chunks=chunks), nodes=SimpleNamespace(nodes=lambda: nodes))
    lease: Any = SimpleNamespace(run="run", speculate=lambda chunk, node, why: chunk not in refused)

    def publish(app: Any, requirement: str, run: str, chunk: int, limits: Limits) -> None:
        published.append(chunk)

    monkeypatch.setattr("cluster.coordinator.stragglers.publish.publish_chunk", publish)
    app: Any = None
    stragglers.speculate(app, stores, lease, "ocr", LIMITS, len(running) + waiting, pace)
    return published


def fast(slots: int = 1, busy: int = 0, **fields: Any) -> Node:
    return a_node("fast", slots=slots, busy=busy, **{"jobs": ["ocr"], **fields})


def test_the_slowest_chunks_are_copied_into_the_free_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    running = [doing(5, 0), doing(9, 1), doing(7, 2), doing(0.5, 3)]
    assert copied(monkeypatch, running, [fast(slots=4, busy=2)]) == [1, 2]
    assert copied(monkeypatch, running, [fast(slots=4, busy=0)]) == [1, 2, 0]


@pytest.mark.parametrize(
    "nodes",
    [[], [fast(busy=1)], [fast(state="silent")], [fast(jobs=["faces"])], [fast(slots=2, slots_allowed=1, busy=1)]],
    ids=["none", "busy", "silent", "other job", "held back"],
)
def test_no_chunk_is_copied_where_no_slot_is_free(monkeypatch: pytest.MonkeyPatch, nodes: list[Node]) -> None:
    assert copied(monkeypatch, [doing(9)], nodes) == []


def test_no_chunk_is_copied_while_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    assert copied(monkeypatch, [doing(9)], [fast()], waiting=1) == []


def test_a_chunk_is_not_copied_by_the_pace_of_its_own_node(monkeypatch: pytest.MonkeyPatch) -> None:
    assert copied(monkeypatch, [doing(9, node="fast")], [fast()]) == []


def test_a_chunk_is_not_copied_to_a_node_of_unknown_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    assert copied(monkeypatch, [doing(9)], [fast()], pace={}) == []


def test_the_fastest_free_node_is_what_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [fast(), a_node("lame", jobs=["ocr"])]
    assert copied(monkeypatch, [doing(9)], nodes, pace={"fast": 1.0, "lame": 30.0}) == [0]


def test_a_chunk_that_has_had_its_copy_takes_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    assert copied(monkeypatch, [doing(9, 0), doing(8, 1)], [fast()], refused=[0]) == [1]


def test_nodes_are_not_read_where_no_chunk_can_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    def read() -> Iterator[Node]:
        raise AssertionError("the nodes were read")
        yield

    assert copied(monkeypatch, [doing(1.9)], read()) == []
    assert copied(monkeypatch, [doing(9, node="fast")], read()) == []
    with pytest.raises(AssertionError, match="the nodes were read"):
        copied(monkeypatch, [doing(9)], read())
